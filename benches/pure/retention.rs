//! A decision on many snapshots beside the mere sorting of them, on one core.
//!
//! The list is shuffled, as a sorted one costs a sort nothing. Sorting is by the same order, of times beside indices, which
//! was the fastest of the ways tried.

use jiff::{SignedDuration, Timestamp};
use snapward::model::kinds::{RetentionSpec, TimeSpan};
use snapward::model::names::SnapshotName;
use snapward::retention::{Candidate, Context, Decision, decide};

use crate::fleet::NOW;
use crate::measure::{in_turns, result, sides};

const LARGEST: usize = 1_000_000;
const POLICY: &str = "{timeZone: Europe/Prague, minimumAge: 1h, keep: {last: 3, hourly: 24, daily: 7, weekly: 4, \
                      monthly: 12, quarterly: 4, yearly: 2, within: 48h}}";

pub(crate) fn measure() {
    for (size, rounds, goal) in [(LARGEST / 100, 10, ""), (LARGEST / 10, 7, ""), (LARGEST, 5, "<= 5")] {
        let list = shuffled(size);
        let name = format!("{size} snapshots");
        let measured = in_turns("retention", &name, rounds, || sorted(&list), || decided(&list));
        result("retention, beside sorting", &name, measured.ratio(), goal, &sides(&measured, size));
    }
}

pub(crate) fn once(size: usize) -> Box<dyn FnOnce()> {
    let list = shuffled(size);
    Box::new(move || drop(decided(&list)))
}

fn decided(list: &[Candidate]) -> Vec<Decision> {
    let span = TimeSpan::parse("5m").unwrap();
    let spec: RetentionSpec = serde_yaml::from_str(POLICY).unwrap();
    decide(list, &spec, &Context { now: NOW.parse().unwrap(), max_future: &span }).unwrap()
}

/// One snapshot each quarter of an hour, back from now, in an order that a fixed generator makes.
fn shuffled(size: usize) -> Vec<Candidate> {
    let now: Timestamp = NOW.parse().unwrap();
    let mut list: Vec<Candidate> = (0..size)
        .map(|i| {
            let slot = now - SignedDuration::from_mins(15 * i as i64);
            Candidate {
                name: SnapshotName::observed(format!("web-quarterly-{i:08}")),
                slot,
                created: slot + SignedDuration::from_secs(3),
                complete: true,
                set_aside: None,
                current: i == 0,
            }
        })
        .collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for i in (1..list.len()).rev() {
        // Knuth's MMIX generator; its high bits are the random ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        list.swap(i, (state >> 33) as usize % (i + 1));
    }
    list
}

fn sorted(list: &[Candidate]) -> Vec<(Timestamp, Timestamp, usize)> {
    let mut keys: Vec<_> =
        list.iter().enumerate().map(|(i, candidate)| (candidate.slot, candidate.created, i)).collect();
    keys.sort_unstable_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then_with(|| list[a.2].name.cmp(&list[b.2].name)));
    keys
}
