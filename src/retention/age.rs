//! Ages: whether a snapshot's time is over, by spans in UTC's calendar.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::kinds::TimeSpan;

/// The instant from which a snapshot is past its `deleteAfter`; none when the span reaches beyond time itself.
/// `created` is libvirt's creationTime, UTC epoch seconds.
pub fn expires_at(created: i64, delete_after: &TimeSpan) -> Option<Timestamp> {
    delete_after.after(Timestamp::from_second(created).ok()?)
}

/// A span, ready to be compared with many ages.
///
/// Younger than a span means: created plus the span lies after now. An expiry belongs to the snapshot, and so never moves;
/// now minus the span would jump back at the ends of months.
#[derive(Debug, Clone)]
pub(super) struct Age {
    now: Timestamp,
    span: jiff::Span,
    /// Created after this: younger in any calendar. Created at or before `certain.0`: not younger in any.
    certain: (i64, i64),
}

impl Age {
    pub(super) fn new(span: &TimeSpan, now: Timestamp) -> Self {
        let span = span.span();
        let (shortest, longest) = seconds(&span);
        // A second to each side for what lies between whole seconds.
        let certain = (
            now.as_second().saturating_sub(longest).saturating_sub(1),
            now.as_second().saturating_sub(shortest).saturating_add(1),
        );
        Self { now, span, certain }
    }

    /// Whether a snapshot created then is younger.
    pub(super) fn is_younger(&self, created: Timestamp) -> bool {
        let second = created.as_second();
        if second <= self.certain.0 {
            return false;
        }
        second > self.certain.1 || self.expiry(created).is_none_or(|expiry| expiry > self.now)
    }

    /// When it is not younger any more; none beyond the end of time.
    pub(super) fn expiry(&self, created: Timestamp) -> Option<Timestamp> {
        created.to_zoned(TimeZone::UTC).checked_add(self.span).ok().map(|zoned| zoned.timestamp())
    }
}

/// The shortest and the longest a span can be, in seconds of UTC, where every day has 86 400.
pub(super) fn seconds(span: &jiff::Span) -> (i64, i64) {
    const DAY: i64 = 86_400;
    let months = i64::from(span.get_years()) * 12 + i64::from(span.get_months());
    let days = i64::from(span.get_weeks()) * 7 + i64::from(span.get_days());
    let rest = i64::from(span.get_hours()) * 3600 + span.get_minutes() * 60 + span.get_seconds();
    let exact = days.saturating_mul(DAY).saturating_add(rest);
    // Twelve months are 365 or 366 days; of fewer, each has 28 to 31.
    let (years, months) = (months / 12, months % 12);
    let shortest = exact.saturating_add((years * 365 + months * 28) * DAY);
    let longest = exact.saturating_add((years * 366 + months * 31) * DAY);
    (shortest, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_expires_its_span_after_its_capture() {
        let fortnight = TimeSpan::parse("14d").unwrap();
        assert_eq!(expires_at(1_795_413_254, &fortnight).unwrap().to_string(), "2026-12-07T05:54:14Z");
        assert_eq!(expires_at(i64::MAX, &fortnight), None);
    }

    #[test]
    fn the_quick_answer_is_the_exact_one() {
        for text in ["1s", "90m", "36h", "1d", "2w", "1mo", "11mo", "1y", "1y1mo1d1h", "4y"] {
            let span = TimeSpan::parse(text).unwrap();
            for now in ["2024-02-29T12:00:00Z", "2026-03-31T23:59:59Z", "2027-01-01T00:00:00.5Z"] {
                let now: Timestamp = now.parse().unwrap();
                let age = Age::new(&span, now);
                let (shortest, longest) = seconds(&span.span());
                for base in [shortest, longest] {
                    for nudge in [-90_000, -1, 0, 1, 90_000] {
                        let created = Timestamp::from_second(now.as_second() - base + nudge).unwrap();
                        assert_eq!(age.is_younger(created), span.after(created).unwrap() > now, "{text} {now} {nudge}");
                    }
                }
            }
        }
    }
}
