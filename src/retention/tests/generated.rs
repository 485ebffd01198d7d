//! Lists and policies for the properties.

use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::kinds::{Keep, Prefer, RetentionSpec, TimeSpan};
use crate::model::names::SnapshotName;
use crate::retention::{Candidate, Period, SetAside};

/// The time that lists are made around.
pub(super) fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// Minutes before now: dense in the last days, thin over years, a few ahead.
fn age() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..4_000_i64, 4 => 0..60_000_i64, 3 => 0..1_600_000_i64, 1 => -500_i64..0]
}

/// A candidate of any kind; its creation follows its slot by up to ten minutes, or now and then by anything.
fn candidate() -> impl Strategy<Value = Candidate> {
    let lag = prop_oneof![6 => 0..600_i64, 1 => -900_000..900_000_i64];
    let set_aside = prop_oneof![
        12 => Just(None),
        1 => Just(Some(SetAside::Held("audit".to_owned()))),
        1 => Just(Some(SetAside::Protected))
    ];
    (age(), lag, prop::bool::weighted(0.8), set_aside, prop::bool::weighted(0.03)).prop_map(
        |(age, lag, complete, set_aside, current)| {
            let slot = now() - SignedDuration::from_mins(age);
            let created = slot + SignedDuration::from_secs(lag);
            Candidate { name: SnapshotName::observed(""), slot, created, complete, set_aside, current }
        },
    )
}

/// Lists of candidates with names that say nothing about their times.
pub(super) fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    vec(candidate(), 0..90).prop_map(|mut list| {
        for (i, candidate) in list.iter_mut().enumerate() {
            candidate.name = SnapshotName::observed(format!("s{}", (i * 37) % 101));
        }
        list
    })
}

/// Lists as a series makes them: created at the slot, which no other has, and none of it special.
pub(super) fn plain_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    candidates().prop_map(|mut list| {
        list.sort_by_key(|candidate| candidate.slot);
        list.dedup_by_key(|candidate| candidate.slot);
        for candidate in &mut list {
            candidate.created = candidate.slot;
            candidate.set_aside = None;
            candidate.current = false;
        }
        list
    })
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 3 => 1..4_u32, 1 => 4..30_u32]
}

fn span() -> impl Strategy<Value = Option<TimeSpan>> {
    const TEXTS: [&str; 11] = ["1s", "90m", "36h", "3d", "2w", "31d", "1mo", "5mo", "1y", "1y1mo1d1h", "3y"];
    option::weighted(0.2, select(&TEXTS[..]).prop_map(|text| TimeSpan::parse(text).unwrap()))
}

fn keep() -> impl Strategy<Value = Keep> {
    (vec(count(), 7), vec(span(), 7)).prop_map(|(counts, spans)| {
        let mut keep = Keep::default();
        for (period, count) in Period::ALL.into_iter().zip(counts) {
            set_count(&mut keep, period, count);
        }
        let fields = [
            &mut keep.within,
            &mut keep.within_hourly,
            &mut keep.within_daily,
            &mut keep.within_weekly,
            &mut keep.within_monthly,
            &mut keep.within_quarterly,
            &mut keep.within_yearly,
        ];
        for (field, span) in fields.into_iter().zip(spans) {
            *field = span;
        }
        keep
    })
}

/// Any policy.
pub(super) fn specs() -> impl Strategy<Value = RetentionSpec> {
    const ZONES: [&str; 5] = ["UTC", "Europe/Prague", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"];
    let prefer = select(&[Prefer::Newest, Prefer::Oldest][..]);
    (select(&ZONES[..]), keep(), prefer, any::<bool>(), span(), 0..4_u32, span()).prop_map(
        |(zone, keep, prefer, fill_oldest, minimum_age, minimum_count, maximum_age)| RetentionSpec {
            time_zone: Some(zone.to_owned()),
            keep,
            prefer,
            fill_oldest,
            minimum_age,
            minimum_count,
            maximum_age,
        },
    )
}

/// Policies whose buckets lie in each other, with the newest member staying: no weeks beside anything coarser.
pub(super) fn nested_specs() -> impl Strategy<Value = RetentionSpec> {
    (specs(), any::<bool>()).prop_map(|(mut spec, weeks)| {
        spec.prefer = Prefer::Newest;
        let keep = &mut spec.keep;
        if weeks {
            (keep.monthly, keep.quarterly, keep.yearly) = (0, 0, 0);
            (keep.within_monthly, keep.within_quarterly, keep.within_yearly) = (None, None, None);
        } else {
            (keep.weekly, keep.within_weekly) = (0, None);
        }
        spec
    })
}

/// Sets the count of a period's rule.
pub(super) fn set_count(keep: &mut Keep, period: Period, count: u32) {
    let field = match period {
        Period::Each => &mut keep.last,
        Period::Hour => &mut keep.hourly,
        Period::Day => &mut keep.daily,
        Period::Week => &mut keep.weekly,
        Period::Month => &mut keep.monthly,
        Period::Quarter => &mut keep.quarterly,
        Period::Year => &mut keep.yearly,
    };
    *field = count;
}
