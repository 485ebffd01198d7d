//! Measures a decision on many snapshots beside the mere sorting of them, on one core.
//!
//!     cargo bench --bench retention
//!
//! The list is shuffled, as a sorted one costs a sort nothing. Both sides run in turns, so that a machine that gets slower
//! or faster does so for both; the medians are compared. Sorting is by the same order, of times beside indices, which was
//! the fastest of the ways tried.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and panics where it is broken")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use snapward::model::kinds::{RetentionSpec, TimeSpan};
use snapward::model::names::SnapshotName;
use snapward::retention::{Candidate, Context, decide};

const LARGEST: usize = 1_000_000;
const ROUNDS: usize = 7;
const POLICY: &str = "{timeZone: Europe/Prague, minimumAge: 1h, keep: {last: 3, hourly: 24, daily: 7, weekly: 4, \
                      monthly: 12, quarterly: 4, yearly: 2, within: 48h}}";

fn main() {
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let span = TimeSpan::parse("5m").unwrap();
    let context = Context { now, max_future: &span };
    let spec: RetentionSpec = serde_yaml::from_str(POLICY).unwrap();
    println!("policy    {POLICY}");
    for size in [LARGEST / 100, LARGEST / 10, LARGEST] {
        let list = shuffled(size, now);
        let (mut sorts, mut decisions) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            sorts.push(timed(|| sorted(&list)));
            decisions.push(timed(|| decide(&list, &spec, &context).unwrap()));
            decisions.push(timed(|| decide(&list, &spec, &context).unwrap()));
            sorts.push(timed(|| sorted(&list)));
        }
        let kept = decide(&list, &spec, &context).unwrap().iter().filter(|decision| decision.keep).count();
        let (sort, decision) = (median(&mut sorts), median(&mut decisions));
        println!(
            "{size:>8} snapshots, {kept} kept: sorting {:>8.2} ms, deciding {:>8.2} ms, ratio {:.2}, {:.1} ns per n log n",
            millis(sort),
            millis(decision),
            decision.as_secs_f64() / sort.as_secs_f64(),
            decision.as_secs_f64() * 1e9 / (size as f64 * (size as f64).log2()),
        );
    }
}

/// One snapshot each quarter of an hour, back from now, in an order that a fixed generator makes.
fn shuffled(size: usize, now: Timestamp) -> Vec<Candidate> {
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

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let result = black_box(work());
    let took = start.elapsed();
    drop(result);
    took
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
