//! The manifest kinds, exactly as a user writes them. Free of spans: where a value stands is in [`super::desired::Document`].
//!
//! Doc comments here are the descriptions of the published JSON Schemas, so they are written for users.

mod policy;
mod set;

pub use policy::{
    Clock, FreeSpace, Inventory, InventoryHost, InventorySpec, Keep, MaxDeletes, Percent, PolicyRef, Power, Prefer,
    RetentionPolicy, RetentionSpec, RevertGuard, RevertRequest, RevertRequestSpec, SafetyPolicy, SafetySpec,
    SeriesTemplate, SeriesTemplateSpec, Window, WindowAction,
};
pub use set::{
    AdoptPattern, Capture, CaptureDisk, Consistency, Content, CreateMode, DiskLocation, DomainSelector, Hold,
    HostSelector, Location, MemoryFile, Presence, RetentionChoice, Schedule, Series, Snapshot, SnapshotSet,
    SnapshotSetSpec, SourceType, Suspend, When,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The one API version there is.
pub const API_VERSION: &str = "snapward/v1";

/// What names a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Unique within the kind and namespace: lower case letters, digits, `-` and `.`, at most 63.
    #[schemars(regex(pattern = r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$"))]
    pub name: String,
    /// Groups documents; part of the owner written on every snapshot.
    #[serde(default = "default_namespace")]
    #[schemars(regex(pattern = r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$"))]
    pub namespace: String,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// A span of time: a number and a unit, as `90s`, `30m`, `36h`, `14d`, `2w`, `3mo`, `1y`, or several as `1d12h`. Days
/// and longer are calendar units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct TimeSpan(#[schemars(regex(pattern = r"^([0-9]+(s|m|h|d|w|mo|y))+$"))] String);

impl TimeSpan {
    /// Reads a span.
    ///
    /// # Errors
    /// A sentence for the user when the text is not a positive span in the form above.
    pub fn parse(text: &str) -> Result<Self, String> {
        let span = Self::read(text).ok_or_else(|| {
            format!("`{}` is not a span of time; write for example 30m, 36h, 14d or 3mo", super::text::printable(text))
        })?;
        if span.is_zero() {
            return Err("a span of time must be longer than zero".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    fn read(text: &str) -> Option<jiff::Span> {
        let mut rest = text;
        let mut span = jiff::Span::new();
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let number: i64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            span = match &rest[..unit] {
                "s" => span.try_seconds(span.get_seconds() + number),
                "m" => span.try_minutes(span.get_minutes() + number),
                "h" => span.try_hours(i64::from(span.get_hours()) + number),
                "d" => span.try_days(i64::from(span.get_days()) + number),
                "w" => span.try_weeks(i64::from(span.get_weeks()) + number),
                "mo" => span.try_months(i64::from(span.get_months()) + number),
                "y" => span.try_years(i64::from(span.get_years()) + number),
                _ => return None,
            }
            .ok()?;
            rest = &rest[unit..];
        }
        Some(span)
    }

    /// The span in calendar units.
    pub fn span(&self) -> jiff::Span {
        // The text was read once by `parse`, the only way to make a `TimeSpan`.
        Self::read(&self.0).unwrap_or_default()
    }

    /// The instant this span after `start`, in UTC's calendar; none beyond what a timestamp can hold.
    pub fn after(&self, start: jiff::Timestamp) -> Option<jiff::Timestamp> {
        start.to_zoned(jiff::tz::TimeZone::UTC).checked_add(self.span()).ok().map(|zoned| zoned.timestamp())
    }

    /// The span as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A day (`2027-01-01`, meaning its first instant in UTC) or an instant (`2027-01-01T08:00:00Z`, with an offset).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct DateOrInstant(#[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?$"))] String);

impl DateOrInstant {
    /// Reads a day or an instant.
    ///
    /// # Errors
    /// A sentence for the user when the text is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        match Self::read(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(format!(
                "`{}` is neither a day nor an instant; write 2027-01-01 or 2027-01-01T08:00:00Z",
                super::text::printable(text)
            )),
        }
    }

    fn read(text: &str) -> Option<jiff::Timestamp> {
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Some(instant);
        }
        if text.len() != "2027-01-01".len() {
            return None;
        }
        let day: jiff::civil::Date = text.parse().ok()?;
        day.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    }

    /// The instant meant.
    pub fn timestamp(&self) -> jiff::Timestamp {
        // Checked by `parse`, the only way to make one.
        Self::read(&self.0).unwrap_or(jiff::Timestamp::MAX)
    }

    /// The text as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for DateOrInstant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_numbers_with_units() {
        let start: jiff::Timestamp = "2026-01-31T00:00:00Z".parse().expect("valid");
        let after = |text: &str| TimeSpan::parse(text).expect(text).after(start).expect("in range").to_string();
        assert_eq!(after("14d"), "2026-02-14T00:00:00Z");
        assert_eq!(after("1mo"), "2026-02-28T00:00:00Z");
        assert_eq!(after("1d12h"), "2026-02-01T12:00:00Z");
        for bad in ["", "14", "d", "14 d", "-1d", "0s", "1.5h", "1x", "99999999999999999999d"] {
            assert!(TimeSpan::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_is_its_first_instant_in_utc() {
        let read = |text: &str| DateOrInstant::parse(text).expect(text).timestamp().to_string();
        assert_eq!(read("2027-01-01"), "2027-01-01T00:00:00Z");
        assert_eq!(read("2027-01-01T08:00:00+02:00"), "2027-01-01T06:00:00Z");
        assert!(DateOrInstant::parse("tomorrow").is_err());
    }
}
