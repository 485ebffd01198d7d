//! Two sides in turns, their medians, and the files that samples and results go to (those of benches/common.sh).

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What was measured of two sides.
pub(crate) struct Measured {
    /// The median of each, in seconds.
    pub(crate) base: f64,
    pub(crate) ours: f64,
}

impl Measured {
    pub(crate) fn ratio(&self) -> f64 {
        self.ours / self.base
    }
}

/// Runs both in turns, so many rounds, and notes every sample.
pub(crate) fn in_turns<A, B>(
    row: &str,
    size: &str,
    rounds: usize,
    base: impl Fn() -> A,
    ours: impl Fn() -> B,
) -> Measured {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        a.push(timed(&base));
        b.push(timed(&ours));
        b.push(timed(&ours));
        a.push(timed(&base));
    }
    for (side, times) in [("base", &a), ("snapward", &b)] {
        for time in times {
            append("samples.tsv", &format!("{row}\t{size}\t{side}\t{:.3}\tms", time.as_secs_f64() * 1e3));
        }
    }
    Measured { base: median(&mut a), ours: median(&mut b) }
}

fn timed<T>(work: impl Fn() -> T) -> Duration {
    let start = Instant::now();
    let result = black_box(work());
    let took = start.elapsed();
    drop(result);
    took
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    let middle = times.len() / 2;
    (times[middle] + times[middle - 1]).as_secs_f64() / 2.0
}

/// Notes a row of the table. `goal` is empty where the issue has none for this size.
pub(crate) fn result(row: &str, size: &str, measured: f64, goal: &str, sides: &str) {
    append("results.tsv", &format!("{row}\t{size}\t{measured:.2}\t{goal}\t{sides}"));
    let goal = if goal.is_empty() { String::new() } else { format!(", goal {goal}") };
    println!("=> {row} ({size}): {measured:.2}{goal}; {sides}");
}

/// `12.3 ms beside 4.5 ms, 6.7 ns per n log n`.
pub(crate) fn sides(measured: &Measured, n: usize) -> String {
    let n = n as f64;
    format!(
        "{:.1} ms beside {:.1} ms, {:.1} ns per n log n",
        measured.ours * 1e3,
        measured.base * 1e3,
        measured.ours * 1e9 / (n * n.log2())
    )
}

fn append(name: &str, line: &str) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).unwrap();
    let file: File = OpenOptions::new().create(true).append(true).open(folder.join(name)).unwrap();
    writeln!(&file, "{line}").unwrap();
}
