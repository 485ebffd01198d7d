//! Reasons and changes in words.

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
        let spec = self.spec;
        match reason {
            Reason::Rule { rule, bucket, ordinal } => {
                let name = rule.name();
                let name = match rule.reach {
                    Reach::Count => format!("{name} {ordinal} of {}", spec.keep.count(rule.period)),
                    Reach::Span => format!("{name} {}", text(spec.keep.span(rule.period))),
                };
                if rule.period == Period::Each { name } else { format!("{name}: {bucket}") }
            }
            Reason::Oldest { period, counted } => {
                let name = Rule::count(*period).name();
                format!("the oldest, as {name} has only {counted} of {}", spec.keep.count(*period))
            }
            Reason::Newest => "the newest of its series".to_owned(),
            Reason::Current => "the domain's current snapshot".to_owned(),
            Reason::Held => match self.candidates.get(index).and_then(|candidate| candidate.set_aside.as_ref()) {
                Some(SetAside::Held(why)) => format!("held: {why}"),
                _ => "held".to_owned(),
            },
            Reason::Protected => "protected".to_owned(),
            Reason::MinimumAge(until) => {
                let until = until.map(|until| format!(", until {until:.0}")).unwrap_or_default();
                format!("younger than minimumAge {}{until}", text(spec.minimum_age.as_ref()))
            }
            Reason::MinimumCount(ordinal) => {
                format!("complete, and {ordinal} of minimumCount {}", spec.minimum_count)
            }
            Reason::Clock(at) => format!("its time {at:.0} lies ahead: a clock is or was wrong"),
            Reason::Superseded { rule, bucket, by } => {
                format!("{} {bucket} is kept as {}", rule.name(), self.name(*by))
            }
            Reason::Beyond => "no rule reaches back to it".to_owned(),
            Reason::MaximumAge => format!("older than maximumAge {}", text(spec.maximum_age.as_ref())),
        }
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

fn text(span: Option<&TimeSpan>) -> &str {
    span.map_or("", TimeSpan::as_str)
}
