//! Times in the names of snapshots that somebody else's schedule made: a `strftime` pattern, read back.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::model::kinds::AdoptPattern;
use crate::model::text::printable;

/// A pattern that names can fit.
#[derive(Debug, Clone)]
pub struct TimePattern {
    pattern: String,
    zone: TimeZone,
}

impl TimePattern {
    /// Reads a pattern, which must hold a date at least.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn new(adopt: &AdoptPattern) -> Result<Self, String> {
        let pattern = adopt.pattern.as_str();
        let zone = match &adopt.time_zone {
            None => TimeZone::UTC,
            Some(name) => jiff::tz::db().get(name).map_err(|_| format!("`{}` is not a time zone", printable(name)))?,
        };
        let read = Self { pattern: pattern.to_owned(), zone };
        // A time of whose parts no two are alike: written by the pattern and read back it must be of the same day.
        let sample = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1_795_413_906);
        let day = |instant: Timestamp| read.zone.to_datetime(instant).date();
        let name = strtime::format(pattern, &sample.to_zoned(read.zone.clone()))
            .map_err(|error| format!("`{}` is not a strftime pattern ({error})", printable(pattern)))?;
        match read.slot_of(&name) {
            Some(slot) if day(slot) == day(sample) => Ok(read),
            _ => Err(format!("`{}` does not hold a whole date that can be read back", printable(pattern))),
        }
    }

    /// The time in a name that fits the pattern as a whole; none for any other name.
    pub fn slot_of(&self, name: &str) -> Option<Timestamp> {
        let parts = strtime::parse(&self.pattern, name).ok()?;
        let slot = match parts.to_timestamp() {
            Ok(instant) => instant,
            Err(_) => self.zone.to_timestamp(parts.to_datetime().ok()?).ok()?,
        };
        // Reading is lenient about spaces and digits, and of a time that the clock skips it makes another: what is taken
        // over must be exactly what the pattern would have written.
        let written = strtime::format(&self.pattern, &slot.to_zoned(self.zone.clone())).ok()?;
        (written == name).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(pattern: &str, zone: Option<&str>) -> Result<TimePattern, String> {
        TimePattern::new(&AdoptPattern { pattern: pattern.into(), time_zone: zone.map(Into::into) })
    }

    fn slot(text: &str, zone: Option<&str>, name: &str) -> Option<String> {
        pattern(text, zone).expect(text).slot_of(name).map(|slot| slot.to_string())
    }

    #[test]
    fn a_name_that_fits_as_a_whole_tells_its_time_in_the_zone() {
        let prague = Some("Europe/Prague");
        let read = |name| slot("auto-%Y%m%d-%H%M", prague, name);
        assert_eq!(read("auto-20261123-0500").as_deref(), Some("2026-11-23T04:00:00Z"));
        assert_eq!(read("auto-20260723-0500").as_deref(), Some("2026-07-23T03:00:00Z"));
        assert_eq!(read("auto-20261025-0230").as_deref(), Some("2026-10-25T00:30:00Z"), "the first of the two");
        for other in [
            "auto-20261123-0500x",
            "xauto-20261123-0500",
            "auto-20261123-500",
            "auto-20261323-0500",
            "golden",
            "auto-20260329-0230",
            "auto-2026 1123-0500",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(slot("%Y-%m-%d", prague, "2026-11-23").as_deref(), Some("2026-11-22T23:00:00Z"));
        assert_eq!(slot("s%s", None, "s1795413906").as_deref(), Some("2026-11-23T06:05:06Z"));
    }

    #[test]
    fn a_pattern_needs_a_date_that_can_be_read_back() {
        for bad in ["auto", "%H%M", "auto-%Y-%m", "%Q-%q", "%Y%m%d%", "%m/%d"] {
            assert!(pattern(bad, None).is_err(), "{bad}");
        }
        assert!(pattern("%Y%m%d", Some("Europe/Nowhere")).is_err());
    }
}
