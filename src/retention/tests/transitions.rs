//! Buckets around every change of the clocks, 2025 to 2027: no day is lost, none is kept twice, and the hours are those that
//! a clock on the wall shows, with the offset that tells the repeated ones apart.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rstest::rstest;

use super::spec;
use crate::model::kinds::TimeSpan;
use crate::model::names::SnapshotName;
use crate::retention::{Candidate, Context, decide};

/// The transitions of a zone that move its clocks.
fn changes(zone: &TimeZone) -> Vec<Timestamp> {
    let (from, until): (Timestamp, Timestamp) =
        ("2025-01-01T00:00:00Z".parse().unwrap(), "2028-01-01T00:00:00Z".parse().unwrap());
    zone.following(from).map(|change| change.timestamp()).take_while(|change| *change < until).collect()
}

/// One snapshot each ten minutes, from two days before an instant to two days after it.
fn around(change: Timestamp) -> Vec<Candidate> {
    let start = change - SignedDuration::from_hours(48);
    let slots = (0..6 * 96).map(|i| start + SignedDuration::from_mins(10 * i));
    slots
        .map(|slot| Candidate {
            name: SnapshotName::observed(slot.to_string()),
            slot,
            created: slot,
            complete: true,
            set_aside: None,
            current: false,
        })
        .collect()
}

#[rstest]
#[case("Europe/Prague", 6)]
#[case("America/New_York", 6)]
#[case("Australia/Lord_Howe", 6)]
// Morocco decides by decree: the zone database has changed its mind more than once.
#[case("Africa/Casablanca", 4)]
fn every_change_of_the_clocks_keeps_each_day_and_hour_once(#[case] name: &str, #[case] least: usize) {
    let zone = TimeZone::get(name).unwrap();
    let changes = changes(&zone);
    assert!(changes.len() >= least, "{name} {changes:?}");
    for change in changes {
        let list = around(change);
        let context = Context { now: list[list.len() - 1].slot, max_future: &TimeSpan::parse("5m").unwrap() };
        for prefer in ["newest", "oldest"] {
            for (rule, format) in [("daily", "%F"), ("hourly", "%F %H %:z"), ("weekly", "%G-%V"), ("monthly", "%Y-%m")]
            {
                let policy =
                    spec(&format!("{{timeZone: {name}, keep: {{{rule}: 999}}, prefer: {prefer}, minimumCount: 0}}"));
                let shown = |candidate: &Candidate| candidate.slot.to_zoned(zone.clone()).strftime(format).to_string();
                let all: BTreeSet<String> = list.iter().map(shown).collect();
                let decisions = decide(&list, &policy, &context).unwrap();
                // The newest of all is kept whatever the rules say.
                let by_rule = |reasons: &[crate::retention::Reason]| reasons.iter().any(|r| r.code().as_str() == rule);
                let kept: Vec<String> =
                    list.iter().zip(&decisions).filter(|(_, d)| by_rule(&d.reasons)).map(|(c, _)| shown(c)).collect();
                assert_eq!(kept.iter().cloned().collect::<BTreeSet<_>>(), all, "{name} {change} {rule}: one is lost");
                assert_eq!(kept.len(), all.len(), "{name} {change} {rule}: one is kept twice");
            }
        }
    }
}
