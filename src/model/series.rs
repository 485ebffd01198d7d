//! A series as it holds: its template's keys laid under its own, and the names of its snapshots.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::desired::{DesiredState, Document, Origin};
use super::kinds::{
    Capture, Presence, RetentionChoice, RetentionSpec, Schedule, Series, SeriesTemplateSpec, SnapshotSet, When,
};
use super::names::SetId;

/// What a series without `nameTemplate` uses.
pub const DEFAULT_NAME_TEMPLATE: &str = "{set}-{series}-{slot}";

/// A slot as it stands in a name.
pub const SAMPLE_SLOT: &str = "20261123T040000Z";

/// Fills in a name template.
pub fn fill(template: &str, set: &str, series: &str, slot: &str) -> String {
    template.replace("{set}", set).replace("{series}", series).replace("{slot}", slot)
}

/// A slot as it stands in a name and a stamp: `20261123T040000Z`.
pub fn slot_name(slot: Timestamp) -> String {
    slot.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Reads a slot back; none for any other text.
pub fn slot_of_name(text: &str) -> Option<Timestamp> {
    let slot = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    // strptime is lenient about digits; what we wrote reads back as it was.
    (slot_name(slot) == text).then_some(slot)
}

/// A series of a set with its template's keys under its own.
#[derive(Debug, Clone, Copy)]
pub struct EffectiveSeries<'a> {
    /// The set it stands in.
    pub set: &'a Document<SnapshotSet>,
    /// As it is written.
    pub series: &'a Series,
    /// Where in the set's list.
    pub index: usize,
    /// When a snapshot is due.
    pub schedule: Option<&'a Schedule>,
    /// What is captured.
    pub capture: Option<&'a Capture>,
    /// The run state in which it is captured.
    pub when: When,
    /// The names of its snapshots.
    pub name_template: &'a str,
    /// What is kept.
    pub retention: Option<&'a RetentionSpec>,
    /// Whether retention may delete.
    pub prune: bool,
}

impl<'a> EffectiveSeries<'a> {
    /// The series of a set, in their order.
    pub fn all(desired: &'a DesiredState, set: &'a Document<SnapshotSet>) -> Vec<Self> {
        let series = set.value.spec.series.iter().enumerate();
        series.map(|(index, series)| Self::of(desired, set, index, series)).collect()
    }

    fn of(desired: &'a DesiredState, set: &'a Document<SnapshotSet>, index: usize, series: &'a Series) -> Self {
        let in_namespace =
            |name: &str| SetId { namespace: set.value.metadata.namespace.clone(), name: name.to_owned() };
        let template = series.template.as_deref().and_then(|name| desired.templates.get(&in_namespace(name)));
        let under: Option<&SeriesTemplateSpec> = template.map(|template| &template.value.spec);
        let chosen = |choice: &'a RetentionChoice| match (&choice.spec, &choice.policy_ref) {
            (Some(spec), _) => Some(spec),
            (None, Some(name)) => desired.retention.get(&in_namespace(name)).map(|policy| &policy.value.spec),
            (None, None) => None,
        };
        let retention = series.retention.as_ref().or_else(|| under?.retention.as_ref());
        Self {
            set,
            series,
            index,
            schedule: series.schedule.as_ref().or_else(|| under?.schedule.as_ref()),
            capture: series.capture.as_ref().or_else(|| under?.capture.as_ref()),
            when: series.when.or_else(|| under?.when).unwrap_or_default(),
            name_template: series
                .name_template
                .as_deref()
                .or_else(|| under?.name_template.as_deref())
                .unwrap_or(DEFAULT_NAME_TEMPLATE),
            retention: retention.and_then(chosen),
            prune: series.prune.or_else(|| under?.prune).unwrap_or(false),
        }
    }

    /// Where it is declared, or one of its fields, where that is written there.
    pub fn origin(&self, field: &str) -> Origin {
        self.set.origin(&format!("/spec/series/{}{field}", self.index))
    }

    /// The name of a slot's snapshot.
    pub fn name_of(&self, slot: Timestamp) -> String {
        fill(self.name_template, &self.set.value.metadata.name, &self.series.name, &slot_name(slot))
    }

    /// Whether it shall exist.
    pub fn is_present(&self) -> bool {
        self.series.state == Presence::Present
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    proptest! {
        #[test]
        fn a_slots_name_reads_back(seconds in -2_000_000_000i64..10_000_000_000) {
            let slot = Timestamp::from_second(seconds).expect("in range");
            prop_assert_eq!(slot_of_name(&slot_name(slot)), Some(slot));
        }
    }

    #[test]
    fn other_texts_are_no_slots() {
        assert_eq!(slot_name(at("2026-11-23T04:00:00Z")), SAMPLE_SLOT);
        for text in [
            "",
            "20261123",
            "20261123T040000",
            "20261123T040000z",
            "20261323T040000Z",
            "20261123T240000Z",
            "+2261123T040000Z",
            "20261123T040000Zx",
        ] {
            assert_eq!(slot_of_name(text), None, "{text}");
        }
    }
}
