//! When snapshots will go if nothing new is taken: the decision run ahead over every instant at which an age ends.

use jiff::Timestamp;

use super::age::{self, Age};
use super::decide::{UnknownZone, decide};
use super::{Candidate, Context, Period};
use crate::model::kinds::{RetentionSpec, TimeSpan};

/// The instant at which each candidate goes if no other snapshot is ever taken: now for those that go now, none for those
/// that nothing but a new snapshot, or a person, will send away.
///
/// Costs one decision for each age of each snapshot that ends: it is for a series, not for a million.
///
/// # Errors
/// [`UnknownZone`], which a validated policy does not have.
pub fn departures(
    candidates: &[Candidate],
    spec: &RetentionSpec,
    context: &Context<'_>,
) -> Result<Vec<Option<Timestamp>>, UnknownZone> {
    let mut gone = vec![None; candidates.len()];
    let mut there: Vec<usize> = (0..candidates.len()).collect();
    let mut now = Some(context.now);
    while let Some(at) = now {
        let list: Vec<Candidate> = there.iter().map(|&index| candidates[index].clone()).collect();
        let decisions = decide(&list, spec, &Context { now: at, ..*context })?;
        for (&index, decision) in there.iter().zip(&decisions) {
            if !decision.keep {
                gone[index] = Some(at);
            }
        }
        there.retain(|&index| gone[index].is_none());
        let changes = there.iter().flat_map(|&index| changes(&candidates[index], spec, context.max_future));
        now = changes.filter(|change| *change > at).min();
    }
    Ok(gone)
}

/// The instants at which time changes what is said of a candidate.
fn changes(candidate: &Candidate, spec: &RetentionSpec, max_future: &TimeSpan) -> Vec<Timestamp> {
    if candidate.set_aside.is_some() {
        return Vec::new();
    }
    let spans = Period::ALL.into_iter().filter_map(|period| spec.keep.span(period));
    let ages = spans.chain(&spec.minimum_age).chain(&spec.maximum_age);
    let ends = ages.filter_map(|span| Age::new(span, candidate.created).expiry(candidate.created));
    // From when on its time does not lie ahead.
    let ahead = candidate.slot.max(candidate.created);
    let (shortest, longest) = age::seconds(&max_future.span());
    let sane = [shortest, longest].into_iter();
    let sane = sane.filter_map(|seconds| ahead.checked_sub(jiff::SignedDuration::from_secs(seconds)).ok());
    ends.chain(sane).collect()
}
