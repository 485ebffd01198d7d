//! The algorithm: which snapshots stay. docs/retention.md tells it step by step, with its sources.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::age::Age;
use super::candidate::{Candidate, Context, SetAside};
use super::reason::{Change, Decision, Reason};
use super::rule::Period;
use super::walk::{Entry, Runs, Walk};
use crate::model::kinds::RetentionSpec;
use crate::model::text::printable;

/// A policy names a zone that the database does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a time zone; write an IANA name, as Europe/Prague or UTC", printable(.0))]
pub struct UnknownZone(pub String);

/// Decides on every candidate; the answers stand in the order of the input, which has no influence on them.
///
/// Costs the sorting of the candidates, and a few passes over them.
///
/// # Errors
/// [`UnknownZone`], which a validated policy does not have.
pub fn decide(
    candidates: &[Candidate],
    spec: &RetentionSpec,
    context: &Context<'_>,
) -> Result<Vec<Decision>, UnknownZone> {
    let zone = zone(spec)?;
    let mut decisions = run(candidates, spec, context, &zone);
    let aged = |decision: &Decision| decision.reasons.contains(&Reason::MaximumAge);
    if spec.maximum_age.is_some() && decisions.iter().any(aged) {
        let ageless = RetentionSpec { maximum_age: None, ..spec.clone() };
        let kept = run(candidates, &ageless, context, &zone);
        for (decision, other) in decisions.iter_mut().zip(kept) {
            if aged(decision) && other.keep {
                decision.saved_by = Some(Change::NoMaximumAge);
            }
        }
    }
    Ok(decisions)
}

/// The zone whose calendar the policy goes by; UTC where it names none.
pub(super) fn zone(spec: &RetentionSpec) -> Result<TimeZone, UnknownZone> {
    match &spec.time_zone {
        None => Ok(TimeZone::UTC),
        Some(name) => jiff::tz::db().get(name).map_err(|_| UnknownZone(name.clone())),
    }
}

fn run(candidates: &[Candidate], spec: &RetentionSpec, context: &Context<'_>, zone: &TimeZone) -> Vec<Decision> {
    let mut decisions = vec![Decision::default(); candidates.len()];
    let mut entries = Vec::with_capacity(candidates.len());
    let latest = context.max_future.after(context.now);
    for (index, candidate) in candidates.iter().enumerate() {
        let decision = &mut decisions[index];
        match &candidate.set_aside {
            Some(SetAside::Held(_)) => keep(decision, Reason::Held),
            Some(SetAside::Protected) => keep(decision, Reason::Protected),
            None => {}
        }
        if candidate.current {
            keep(decision, Reason::Current);
        }
        let ahead = candidate.slot.max(candidate.created);
        if latest.is_some_and(|latest| ahead > latest) {
            keep(decision, Reason::Clock(ahead));
        } else if candidate.set_aside.is_none() {
            entries.push(Entry { slot: candidate.slot, created: candidate.created, index });
        }
    }
    entries.sort_unstable_by(|a, b| newest_first(candidates, a, b));
    by_rules(&entries, spec, context.now, zone, &mut decisions);
    by_guards(&entries, candidates, spec, context.now, &mut decisions);
    decisions
}

/// Newest slot first; of equal ones the one created last, then by name.
// A call for each comparison is a good part of sorting.
#[inline]
fn newest_first(candidates: &[Candidate], a: &Entry, b: &Entry) -> Ordering {
    let by_time = (b.slot, b.created).cmp(&(a.slot, a.created));
    by_time.then_with(|| candidates[a.index].name.cmp(&candidates[b.index].name))
}

fn keep(decision: &mut Decision, reason: Reason) {
    if !decision.keep {
        // What was said against it does not hold.
        *decision = Decision { keep: true, ..Decision::default() };
        // Mostly the only one.
        decision.reasons.reserve_exact(1);
    }
    decision.reasons.push(reason);
}

/// What the calendar rules keep, and why they do not keep the rest.
fn by_rules(entries: &[Entry], spec: &RetentionSpec, now: Timestamp, zone: &TimeZone, decisions: &mut [Decision]) {
    // Without those beyond maximumAge, so that none of them stands for a bucket that has a younger one.
    let old = spec.maximum_age.as_ref().map(|span| Age::new(span, now));
    let (ruled, aged): (Vec<Entry>, Vec<Entry>) = match &old {
        None => (entries.to_vec(), Vec::new()),
        Some(old) => entries.iter().copied().partition(|entry| old.is_younger(entry.created)),
    };
    let mut walk = Walk::new(&ruled, spec.prefer);
    let runs = Runs::of(&ruled, zone.clone());
    // Of the count rule that ran last: how many it keeps, of how many.
    let mut coarsest = None;
    for period in Period::ALL {
        let (limit, age) = (spec.keep.count(period), spec.keep.span(period).map(|span| Age::new(span, now)));
        let counted = if period == Period::Each {
            let counted = walk.last(limit);
            age.inspect(|age| walk.within(age));
            counted
        } else {
            let runs = runs.of_period(period);
            let counted = walk.count(period, limit, &runs);
            age.inspect(|age| walk.span(period, age, &runs));
            counted
        };
        if limit > 0 {
            coarsest = Some((period, counted, limit));
        }
    }
    for (index, kept, reason, raised) in walk.outcome() {
        let decision = &mut decisions[index];
        if kept {
            keep(decision, reason);
        } else if !decision.keep {
            decision.reasons.push(reason);
            decision.saved_by = raised;
        }
    }
    match (coarsest, walk.unkept_oldest()) {
        (Some((period, counted, limit)), Some(index)) if spec.fill_oldest && counted < limit => {
            keep(&mut decisions[index], Reason::Oldest { period, counted });
        }
        _ => {}
    }
    for entry in aged {
        let decision = &mut decisions[entry.index];
        if !decision.keep {
            decision.reasons.push(Reason::MaximumAge);
        }
    }
}

/// What is kept beyond the calendar.
fn by_guards(
    entries: &[Entry],
    candidates: &[Candidate],
    spec: &RetentionSpec,
    now: Timestamp,
    decisions: &mut [Decision],
) {
    let young = spec.minimum_age.as_ref().map(|span| Age::new(span, now));
    let mut complete = 0;
    for (place, entry) in entries.iter().enumerate() {
        let decision = &mut decisions[entry.index];
        if place == 0 {
            keep(decision, Reason::Newest);
        }
        if let Some(young) = young.as_ref().filter(|young| young.is_younger(entry.created)) {
            keep(decision, Reason::MinimumAge(young.expiry(entry.created)));
        }
        if complete < spec.minimum_count && candidates[entry.index].complete {
            complete += 1;
            keep(decision, Reason::MinimumCount(complete));
        }
    }
}
