//! What is true of every list and every policy, and where a statement is true only of some, which.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::generated::{candidates, nested_specs, now, plain_candidates, set_count, specs};
use super::kept;
use super::oracle::Oracle;
use crate::model::kinds::{Keep, RetentionSpec, TimeSpan};
use crate::model::names::SnapshotName;
use crate::retention::{Candidate, Context, Decision, Period, Reason, decide};

fn max_future() -> TimeSpan {
    TimeSpan::parse("5m").unwrap()
}

fn decided(list: &[Candidate], spec: &RetentionSpec) -> Vec<Decision> {
    decide(list, spec, &Context { now: now(), max_future: &max_future() }).unwrap()
}

fn survivors(list: &[Candidate], spec: &RetentionSpec, later: SignedDuration) -> Vec<Candidate> {
    let max_future = max_future();
    let decisions = decide(list, spec, &Context { now: now() + later, max_future: &max_future }).unwrap();
    list.iter().zip(decisions).filter(|(_, decision)| decision.keep).map(|(candidate, _)| candidate.clone()).collect()
}

fn names(list: &[Candidate]) -> BTreeSet<&str> {
    list.iter().map(|candidate| candidate.name.as_str()).collect()
}

/// A decision without places in the list.
fn unplaced(list: &[Candidate], decision: &Decision) -> (bool, Vec<String>) {
    let reasons = decision.reasons.iter().map(|reason| match reason {
        Reason::Superseded { rule, bucket, by } => format!("{rule:?} {bucket} {}", list[*by].name),
        other => format!("{other:?}"),
    });
    (decision.keep, reasons.chain([format!("{:?}", decision.saved_by)]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_and_every_reason_bears_a_second_look(list in candidates(), spec in specs()) {
        let max_future = max_future();
        let oracle = Oracle::new(&list, &spec, Context { now: now(), max_future: &max_future });
        for (i, decision) in decided(&list, &spec).iter().enumerate() {
            oracle.check(i, decision);
        }
    }

    #[test]
    fn the_order_of_the_input_is_irrelevant(
        (list, shuffled) in candidates().prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        spec in specs(),
    ) {
        let (a, b) = (decided(&list, &spec), decided(&shuffled, &spec));
        for (candidate, decision) in list.iter().zip(&a) {
            let there = shuffled.iter().position(|other| other.name == candidate.name).unwrap();
            prop_assert_eq!(unplaced(&list, decision), unplaced(&shuffled, &b[there]));
        }
    }

    #[test]
    fn a_second_run_deletes_nothing(list in candidates(), spec in specs()) {
        let first = survivors(&list, &spec, SignedDuration::ZERO);
        let second = survivors(&first, &spec, SignedDuration::ZERO);
        prop_assert_eq!(names(&first), names(&second));
    }

    /// The promise of a count: as many of the newest buckets as it says hold a kept snapshot.
    #[test]
    fn every_count_is_met(list in plain_candidates(), mut spec in specs()) {
        spec.maximum_age = None;
        let sane: Vec<_> = list.iter().filter(|candidate| candidate.slot <= now()).cloned().collect();
        let kept = survivors(&sane, &spec, SignedDuration::ZERO);
        for period in Period::ALL {
            let held = |list: &[Candidate]| {
                let mut days: Vec<String> = list.iter().map(|candidate| bucket(period, candidate, &spec)).collect();
                days.sort();
                days.dedup();
                days.into_iter().rev().take(spec.keep.count(period) as usize).collect::<Vec<_>>()
            };
            prop_assert_eq!(held(&sane), held(&kept), "{:?}", period);
        }
    }

    #[test]
    fn a_more_generous_nested_policy_keeps_a_superset(
        list in plain_candidates(), mut spec in nested_specs(), period in 0..7_usize, more in 1..5_u32,
    ) {
        let period = Period::ALL[period];
        // With fillOldest, a new coarsest rule can be the first that reaches its count.
        let count = spec.keep.count(period);
        if count == 0 {
            if !nests(&spec, period) {
                return Ok(());
            }
            spec.fill_oldest = false;
        }
        let mut generous = spec.clone();
        set_count(&mut generous.keep, period, count + more);
        let (less, more) = (survivors(&list, &spec, SignedDuration::ZERO), survivors(&list, &generous, SignedDuration::ZERO));
        prop_assert!(names(&less).is_subset(&names(&more)), "{:?} {:?}", names(&less), names(&more));
    }

    #[test]
    fn more_age_and_more_complete_ones_keep_a_superset(list in candidates(), spec in specs(), more in 1..5_u32) {
        let less = survivors(&list, &spec, SignedDuration::ZERO);
        let count = RetentionSpec { minimum_count: spec.minimum_count + more, ..spec.clone() };
        let age = RetentionSpec { minimum_age: TimeSpan::parse("9y").ok(), ..spec.clone() };
        for generous in [count, age] {
            let more = survivors(&list, &generous, SignedDuration::ZERO);
            prop_assert!(names(&less).is_subset(&names(&more)));
        }
    }

    #[test]
    fn a_newer_snapshot_never_revives_a_deleted_one_of_a_nested_policy(
        list in plain_candidates(), mut spec in nested_specs(), minutes in 0..200_000_i64,
    ) {
        // Those ahead of now are set aside today and not later; and where the oldest ages away, another is the oldest.
        let list: Vec<_> = list.into_iter().filter(|candidate| candidate.slot <= now()).collect();
        spec.fill_oldest &= spec.maximum_age.is_none();
        // A span that keeps the new one covers its year, and a count then reaches one year further back.
        spec.keep = Keep {
            within: None,
            within_hourly: None,
            within_daily: None,
            within_weekly: None,
            within_monthly: None,
            within_quarterly: None,
            within_yearly: None,
            ..spec.keep
        };
        prop_assume!(spec.keep != Keep::default());
        let before = survivors(&list, &spec, SignedDuration::ZERO);
        let later = SignedDuration::from_mins(minutes);
        let newest = Candidate {
            name: SnapshotName::observed("new"),
            slot: now() + later,
            created: now() + later,
            complete: true,
            set_aside: None,
            current: false,
        };
        let grown = [list.clone(), vec![newest]].concat();
        let after = survivors(&grown, &spec, later);
        let gone: BTreeSet<_> = names(&list).difference(&names(&before)).copied().collect();
        prop_assert!(names(&after).is_disjoint(&gone), "{:?} {:?}", names(&after), gone);
    }
}

/// Whether the buckets of all rules lie in each other with this period too.
fn nests(spec: &RetentionSpec, period: Period) -> bool {
    let mut all: Vec<Period> = spec.keep.rules().map(|rule| rule.period).chain([period]).collect();
    all.sort();
    all.windows(2).all(|pair| pair[0].nests_in(pair[1]))
}

fn bucket(period: Period, candidate: &Candidate, spec: &RetentionSpec) -> String {
    let local = candidate.slot.in_tz(spec.time_zone.as_deref().unwrap()).unwrap();
    match period {
        Period::Each => candidate.slot.to_string(),
        // The instant the hour began at, as its clock shows it: in the repeated hour there are two.
        Period::Hour => {
            let into = i64::from(local.minute()) * 60 + i64::from(local.second());
            (candidate.slot.as_second() - into).to_string()
        }
        Period::Day => local.strftime("%F").to_string(),
        Period::Week => local.strftime("%G-%V").to_string(),
        Period::Month => local.strftime("%Y-%m").to_string(),
        Period::Quarter => format!("{}-{}", local.year(), (local.month() - 1) / 3),
        Period::Year => local.strftime("%Y").to_string(),
    }
}

#[test]
fn with_weeks_and_months_a_higher_count_can_keep_another_member() {
    // October is kept either way: by its last day, or, with one week more, by its last Sunday.
    let times = ["2026-11-01", "2026-10-31", "2026-10-25"];
    assert_eq!(kept(&times, "keep: {weekly: 1, monthly: 2}"), ["2026-11-01", "2026-10-31"]);
    assert_eq!(kept(&times, "keep: {weekly: 2, monthly: 2}"), ["2026-11-01", "2026-10-25"]);
}

#[test]
fn with_the_oldest_preferred_a_higher_count_can_keep_another_member() {
    let times = ["2026-11-23", "2026-11-20", "2026-11-19"];
    let oldest = |keep: &str| kept(&times, &format!("{{keep: {keep}, prefer: oldest, minimumCount: 0}}"));
    assert_eq!(oldest("{last: 1, monthly: 1}"), ["2026-11-23"]);
    assert_eq!(oldest("{daily: 1, yearly: 1}"), ["2026-11-23"]);
    assert_eq!(oldest("{yearly: 1}"), ["2026-11-23", "2026-11-19"]);
}
