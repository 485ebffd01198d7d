//! Checking manifests beside a bare event parse of the same bytes, by the same parser. Both in memory, from texts to
//! findings, each with the number of threads that is fastest for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use saphyr_parser::Parser;
use snapward::manifest::{Loaded, Source, load};

use crate::measure::{in_turns, result, sides};

const MANIFESTS: usize = 10_000;

pub(crate) fn measure() {
    for (manifests, rounds, goal) in [(MANIFESTS / 100, 10, ""), (MANIFESTS / 10, 5, ""), (MANIFESTS, 3, "<= 2")] {
        let sources = sources(manifests);
        let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
        let best = [1, 2, 4, 8]
            .into_iter()
            .min_by_key(|threads| {
                let start = std::time::Instant::now();
                parse(&sources, *threads);
                start.elapsed()
            })
            .unwrap();
        let size = format!("{manifests} manifests");
        let measured = in_turns("validate", &size, rounds, || parse(&sources, best), || loaded(&sources));
        let row = "validate, beside a bare event parse";
        let words = format!("{} ({best} threads), {bytes} bytes", sides(&measured, manifests));
        result(row, &size, measured.ratio(), goal, &words);
    }
}

pub(crate) fn once(size: usize) -> Box<dyn FnOnce()> {
    let sources = sources(size);
    Box::new(move || drop(loaded(&sources)))
}

fn loaded(sources: &[Source]) -> Loaded {
    let loaded = load(sources);
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics.first());
    loaded
}

/// Reads all events and throws them away.
fn parse(sources: &[Source], threads: usize) -> usize {
    let next = AtomicUsize::new(0);
    let some = || {
        let mut events = 0;
        while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            events += Parser::new_from_str(std::str::from_utf8(&source.text).unwrap()).map(Result::unwrap).count();
        }
        events
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (1..threads).map(|_| scope.spawn(some)).collect();
        some() + workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>()
    })
}

/// What a repository of a farm looks like: a set for each domain, with some snapshots and a series each, and a policy.
fn sources(count: usize) -> Vec<Source> {
    let policy = "apiVersion: snapward/v1\nkind: RetentionPolicy\nmetadata: {name: gfs}\nspec:\n  timeZone: Europe/Prague\n  \
                  keep: {last: 3, hourly: 24, daily: 7, weekly: 4}\n";
    let first = Source { name: "policy.yaml".into(), text: policy.as_bytes().to_vec() };
    let sets = (1..count).map(|number| {
        let text = format!(
            "# The web server number {number}.\napiVersion: snapward/v1\nkind: SnapshotSet\nmetadata:\n  name: web-{number}\nspec:\n  \
             domains:\n    include: [web-{number}]\n  snapshots:\n    - name: golden\n      description: Clean install, patched\n      \
             capture: {{content: full, location: internal}}\n      protect: true\n    - name: before-upgrade\n      description: |\n        \
             The state before the upgrade,\n        with all services stopped.\n      capture:\n        content: full\n        location: \
             internal\n      when: stopped\n      deleteAfter: 90d\n  series:\n    - name: hourly\n      schedule: {{cron: \"0 * * * *\", \
             timeZone: Europe/Prague, startingDeadline: 30m}}\n      capture: {{content: full, location: internal}}\n      retention: \
             {{policyRef: gfs}}\n      prune: true\n  current: golden\n  holds:\n    - {{snapshot: golden, reason: audit, until: 2027-01-01}}\n"
        );
        Source { name: format!("sets/web-{number}.yaml").into(), text: text.into_bytes() }
    });
    std::iter::once(first).chain(sets).collect()
}
