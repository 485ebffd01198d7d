//! Planning beside the mere sorting of the same snapshots by time, and the memory it takes beside the bytes of their names
//! and descriptions.
//!
//! Sorting is of times beside indices, read from the same state, which was the fastest of the ways tried.

use snapward::model::plan::{Plan, PlanSource};
use snapward::plan::plan;

use crate::allocations;
use crate::fleet::{Fleet, Kind, NOW};
use crate::measure::{in_turns, result, sides};

const DOMAINS: usize = 10_000;
const SNAPSHOTS: usize = 100;
const KINDS: [(Kind, &str); 2] = [(Kind::Declared, "declared"), (Kind::Series, "of a series")];

pub(crate) fn measure() {
    for (kind, word) in KINDS {
        for (domains, rounds, goal) in [(DOMAINS / 100, 10, ""), (DOMAINS / 10, 5, ""), (DOMAINS, 2, "<= 10")] {
            let fleet = Fleet::new(kind, domains, SNAPSHOTS);
            let size = format!("{domains} x {SNAPSHOTS} {word}");
            let measured = in_turns("planning", &size, rounds, || sorted(&fleet), || planned(&fleet));
            let row = "planning, beside sorting by time";
            result(row, &size, measured.ratio(), goal, &sides(&measured, domains * SNAPSHOTS));
        }
    }
}

/// The most memory in use from the reading of the state on, beside what is in it anyhow.
pub(crate) fn measure_memory() {
    for (kind, word) in KINDS {
        for (domains, goal) in [(DOMAINS / 100, ""), (DOMAINS / 10, ""), (DOMAINS, "<= 6")] {
            allocations::count(true);
            let before = allocations::in_use();
            allocations::forget_most();
            let fleet = Fleet::new(kind, domains, SNAPSHOTS);
            let held = allocations::in_use() - before;
            // What stays of a plan in which there is nothing to do but to be kept is part of it.
            let plan = planned(&fleet);
            let most = allocations::most() - before;
            allocations::count(false);
            drop(plan);
            let size = format!("{domains} x {SNAPSHOTS} {word}");
            let mib = |bytes: isize| bytes as f64 / f64::from(1 << 20);
            let words = format!(
                "{:.1} MiB beside {:.1} MiB of names and descriptions; {:.1} MiB are what was read",
                mib(most),
                mib(fleet.text_bytes as isize),
                mib(held)
            );
            let row = "peak memory of planning, beside names and descriptions";
            result(row, &size, most as f64 / fleet.text_bytes as f64, goal, &words);
        }
    }
}

pub(crate) fn once(kind: Kind, size: usize) -> Box<dyn FnOnce()> {
    let fleet = Fleet::new(kind, size, SNAPSHOTS);
    Box::new(move || drop(planned(&fleet)))
}

fn planned(fleet: &Fleet) -> Plan {
    let source = PlanSource { paths: vec!["web.yaml".to_owned()], at: None };
    let plan = plan(&fleet.desired, &fleet.observed, NOW.parse().unwrap(), source);
    assert!(plan.actions.is_empty() && plan.blocked.is_empty(), "the steady state has something to do");
    plan
}

fn sorted(fleet: &Fleet) -> Vec<(i64, u32)> {
    let mut keys: Vec<_> = fleet.snapshots().zip(0..).map(|(snapshot, place)| (snapshot.created, place)).collect();
    keys.sort_unstable();
    keys
}
