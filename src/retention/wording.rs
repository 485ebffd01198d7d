//! Reasons and changes in words.

use std::fmt::{self, Write as _};

use super::candidate::{Candidate, SetAside};
use super::reason::{Change, Reason};
use super::rule::{Period, Reach, Rule};
use crate::model::kinds::{RetentionSpec, TimeSpan};
use crate::model::names::SnapshotName;

/// Puts the reasons of one run of [`super::decide`] into words. They are made when they are asked for: most are never read.
#[derive(Debug, Clone, Copy)]
pub struct Wording<'a> {
    candidates: &'a [Candidate],
    spec: &'a RetentionSpec,
}

impl<'a> Wording<'a> {
    /// For the candidates and the policy that were decided on.
    pub fn new(candidates: &'a [Candidate], spec: &'a RetentionSpec) -> Self {
        Self { candidates, spec }
    }

    /// A reason about the candidate at an index of the input, as `daily 3 of 7: 2026-11-20`.
    pub fn reason(&self, index: usize, reason: &Reason) -> String {
        self.reasons(index, std::slice::from_ref(reason))
    }

    /// Several of them, with `; ` between them.
    pub fn reasons(&self, index: usize, reasons: &[Reason]) -> String {
        // Long enough for most.
        let mut text = String::with_capacity(64);
        for (place, reason) in reasons.iter().enumerate() {
            let between = if place == 0 { "" } else { "; " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{between}{}", Worded { wording: self, index, reason });
        }
        text
    }

    /// A change as it is written in the policy, as `daily: 8`.
    pub fn change(&self, change: Change) -> String {
        match change {
            Change::Count { period, to } => format!("{}: {to}", Rule::count(period).name()),
            Change::NoMaximumAge => "maximumAge: null".to_owned(),
        }
    }

    fn name(&self, index: usize) -> String {
        self.candidates.get(index).map(|candidate| &candidate.name).map(SnapshotName::to_string).unwrap_or_default()
    }
}

/// A reason that is written where it is shown.
struct Worded<'a> {
    wording: &'a Wording<'a>,
    index: usize,
    reason: &'a Reason,
}

impl fmt::Display for Worded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wording { candidates, spec } = *self.wording;
        match self.reason {
            Reason::Rule { rule, bucket, ordinal } => {
                let name = rule.name();
                match rule.reach {
                    Reach::Count => write!(f, "{name} {ordinal} of {}", spec.keep.count(rule.period))?,
                    Reach::Span => write!(f, "{name} {}", text(spec.keep.span(rule.period)))?,
                }
                if rule.period == Period::Each { Ok(()) } else { write!(f, ": {bucket}") }
            }
            Reason::Oldest { period, counted } => {
                let name = Rule::count(*period).name();
                write!(f, "the oldest, as {name} has only {counted} of {}", spec.keep.count(*period))
            }
            Reason::Newest => f.write_str("the newest of its series"),
            Reason::Current => f.write_str("the domain's current snapshot"),
            Reason::Held => match candidates.get(self.index).and_then(|candidate| candidate.set_aside.as_ref()) {
                Some(SetAside::Held(why)) => write!(f, "held: {why}"),
                _ => f.write_str("held"),
            },
            Reason::Protected => f.write_str("protected"),
            Reason::MinimumAge(until) => {
                write!(f, "younger than minimumAge {}", text(spec.minimum_age.as_ref()))?;
                until.map_or(Ok(()), |until| write!(f, ", until {until:.0}"))
            }
            Reason::MinimumCount(ordinal) => {
                write!(f, "complete, and {ordinal} of minimumCount {}", spec.minimum_count)
            }
            Reason::Clock(at) => write!(f, "its time {at:.0} lies ahead: a clock is or was wrong"),
            Reason::Superseded { rule, bucket, by } => {
                write!(f, "{} {bucket} is kept as {}", rule.name(), self.wording.name(*by))
            }
            Reason::Beyond => f.write_str("no rule reaches back to it"),
            Reason::MaximumAge => write!(f, "older than maximumAge {}", text(spec.maximum_age.as_ref())),
        }
    }
}

fn text(span: Option<&TimeSpan>) -> &str {
    span.map_or("", TimeSpan::as_str)
}
