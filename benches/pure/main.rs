//! Measures the parts of snapward that do no I/O, each beside the least that its task takes, on one thread each but where
//! it says otherwise.
//!
//!     cargo run --release -p snapward-pure [PART...]          # planning, memory, retention, validate
//!     cargo run --release -p snapward-pure count PART SIZE    # runs a part once and prints its allocations; for benches/gate
//!
//! Both sides run in turns (ABBA), so that a machine that gets slower or faster does so for both; medians are compared. At a
//! hundredth, a tenth and all of the size of the goal.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark prints, and panics where it is broken"
)]

mod allocations;
mod fleet;
mod manifests;
mod measure;
mod planning;
mod retention;
mod xml;

use allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, part, size] = words.as_slice()
        && first == "count"
    {
        return count(part, size.parse().unwrap());
    }
    let wanted = |part: &str| words.is_empty() || words.iter().any(|word| word == part);
    if wanted("planning") {
        planning::measure();
    }
    if wanted("memory") {
        planning::measure_memory();
    }
    if wanted("retention") {
        retention::measure();
    }
    if wanted("validate") {
        manifests::measure();
    }
}

/// One run of a part; what it is prepared with is not counted.
fn count(part: &str, size: usize) {
    let run: Box<dyn FnOnce()> = match part {
        "plan-declared" => planning::once(fleet::Kind::Declared, size),
        "plan-series" => planning::once(fleet::Kind::Series, size),
        "retention" => retention::once(size),
        "validate" => manifests::once(size),
        "xml" => xml::once(size),
        other => panic!("no part {other}"),
    };
    println!("{}", counted(run));
}

/// The allocations of a run. Of its own, so that the tool that counts instructions knows where to begin.
#[inline(never)]
fn counted(run: Box<dyn FnOnce()>) -> u64 {
    allocations::count(true);
    run();
    allocations::made()
}
