//! Buckets: the hour, day, week, month, quarter and year an instant lies in, in the zone of the policy.
//!
//! Instants are looked up newest first, and between two changes of the clock the zone's offset is a constant. So the zone
//! is asked once per stretch, and the rest is integer arithmetic: this is what makes a million snapshots affordable.

use jiff::civil::{Date, ISOWeekDate};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

use super::rule::Period;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// One stretch of time that a rule keeps one snapshot of. Numbers count from 1970-01-01 in the zone's calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// A snapshot by itself.
    Each,
    /// An hour. The repeated hour of a clock change is two buckets, by the offset from UTC in seconds.
    Hour {
        /// Hours.
        hour: i32,
        /// Seconds east of UTC.
        offset: i32,
    },
    /// A day, in days.
    Day(i32),
    /// An ISO week, in weeks from the Monday before 1970-01-01.
    Week(i32),
    /// A month: twelve times the year, and the months from January.
    Month(i32),
    /// A quarter: four times the year, and the quarters from January.
    Quarter(i32),
    /// A year.
    Year(i32),
}

impl Bucket {
    /// The bucket of a coarser period that holds the day.
    pub(super) fn of_day(period: Period, day: i32) -> Self {
        match period {
            Period::Each => Self::Each,
            Period::Hour | Period::Day => Self::Day(day),
            // 1970-01-01 was a Thursday.
            Period::Week => Self::Week((day + 3).div_euclid(7)),
            Period::Month | Period::Quarter | Period::Year => {
                let date = date_of(day);
                let (year, month) = (i32::from(date.year()), i32::from(date.month()) - 1);
                match period {
                    Period::Month => Self::Month(12 * year + month),
                    Period::Quarter => Self::Quarter(4 * year + month / 3),
                    _ => Self::Year(year),
                }
            }
        }
    }
}

/// As people write it: `2026-11-20 13:00+01:00`, `2026-11-20`, `2026-W47`, `2026-11`, `2026-Q4`, `2026`.
impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Each => Ok(()),
            Self::Hour { hour, offset } => {
                let date = date_of(hour.div_euclid(24));
                // The texts of a large series are mostly these: set digit by digit, they take a tenth of what `write!` takes.
                let mut text = *b"0000-00-00 00:00+00:00";
                set_date(&mut text, date);
                set_two(&mut text[11..], hour.rem_euclid(24));
                text[16] = if offset < 0 { b'-' } else { b'+' };
                set_two(&mut text[17..], offset.abs() / 3600);
                set_two(&mut text[20..], offset.abs() / 60 % 60);
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
            Self::Day(day) => {
                let mut text = *b"0000-00-00";
                set_date(&mut text, date_of(day));
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
            Self::Week(week) => {
                let week: ISOWeekDate = date_of(week * 7 - 3).iso_week_date();
                write!(f, "{:04}-W{:02}", week.year(), week.week())
            }
            Self::Month(month) => write!(f, "{:04}-{:02}", month.div_euclid(12), month.rem_euclid(12) + 1),
            Self::Quarter(quarter) => write!(f, "{:04}-Q{}", quarter.div_euclid(4), quarter.rem_euclid(4) + 1),
            Self::Year(year) => write!(f, "{year:04}"),
        }
    }
}

/// Sets a date as `2026-11-20`. A year before the first, which only a broken clock writes, is shown without its sign.
fn set_date(text: &mut [u8], date: Date) {
    let year = i32::from(date.year()).abs();
    set_two(text, year / 100);
    set_two(&mut text[2..], year % 100);
    set_two(&mut text[5..], i32::from(date.month()));
    set_two(&mut text[8..], i32::from(date.day()));
}

/// Sets two digits.
fn set_two(text: &mut [u8], number: i32) {
    let digit = |number: i32| b'0' + number.rem_euclid(10) as u8;
    text[0] = digit(number / 10);
    text[1] = digit(number);
}

/// The date so many days after 1970-01-01. Days come from timestamps, which are all within the calendar.
fn date_of(day: i32) -> Date {
    let midnight = Timestamp::from_second(i64::from(day) * DAY).unwrap_or(Timestamp::MAX);
    Offset::UTC.to_datetime(midnight).date()
}

/// The calendar of a zone, remembering the stretch it was asked about last.
#[derive(Debug)]
pub(super) struct Calendar {
    zone: TimeZone,
    stretch: Stretch,
}

/// A time between two changes of the zone's offset, in UTC epoch seconds.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: i64,
    until: i64,
    offset: i64,
    /// The last day there is in it. A clock set back across midnight begins the day twice: the piece before the change is
    /// counted to the day it falls back to, so that days follow each other.
    last_day: i64,
}

impl Calendar {
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { zone, stretch: Stretch { from: 0, until: 0, offset: 0, last_day: 0 } }
    }

    /// The hour and the day (in days from 1970-01-01) of an instant.
    pub(super) fn look_up(&mut self, at: Timestamp) -> (Bucket, i32) {
        let second = floor_second(at);
        if !(self.stretch.from..self.stretch.until).contains(&second) {
            self.stretch = self.stretch_around(at);
        }
        let Stretch { offset, last_day, .. } = self.stretch;
        let local = second + offset;
        let hour = Bucket::Hour { hour: local.div_euclid(HOUR) as i32, offset: offset as i32 };
        (hour, local.div_euclid(DAY).min(last_day) as i32)
    }

    fn stretch_around(&self, at: Timestamp) -> Stretch {
        let seconds = |offset: Offset| i64::from(offset.seconds());
        let offset = self.zone.to_offset(at);
        // Some transitions change the zone's name alone.
        let next = self.zone.following(at).find(|transition| transition.offset() != offset);
        let after = at.checked_add(1.nanoseconds()).unwrap_or(at);
        let before = self.zone.preceding(after).next();
        Stretch {
            from: before.map_or(i64::MIN, |transition| transition.timestamp().as_second()),
            until: next.as_ref().map_or(i64::MAX, |transition| transition.timestamp().as_second()),
            offset: seconds(offset),
            last_day: next.map_or(i64::MAX, |transition| {
                let (change, back) = (transition.timestamp().as_second(), seconds(transition.offset()));
                // Forward the day before the change is the earlier one anyway.
                if back < seconds(offset) { (change + back).div_euclid(DAY) } else { i64::MAX }
            }),
        }
    }
}

/// Whole seconds, rounded down also before 1970.
fn floor_second(at: Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}
