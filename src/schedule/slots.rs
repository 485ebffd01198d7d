//! Slots: the instants of a cron expression in a time zone, forwards and backwards, right at every change of the clocks.
//!
//! The rules, of which there is one for each kind of schedule, so that no day goes without and none has two:
//! - Hours written as numbers (`30 2 * * *`) follow the clock on the wall. A time that the clock skips fires once, at the
//!   first instant after the gap; a time that comes twice fires the first time.
//! - Hours written with `*` (`30 * * * *`, `0 */2 * * *`) follow elapsed time: a time that comes twice is two slots, and
//!   one that is skipped is none, unless its hour is there in part (Lord Howe skips 30 minutes): then it fires in the rest.

use std::collections::VecDeque;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::cron::{Cron, CronError};
use crate::model::kinds::Schedule;

/// How many days may lie between two slots: the 29th of February on a certain weekday comes after 40 years at the latest
/// (2100 is no leap year).
const LONGEST_GAP_DAYS: usize = 41 * 366;

/// A cron expression and the zone it is read in.
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Cron,
    zone: TimeZone,
}

impl Timetable {
    /// Reads an expression for a zone of the embedded IANA database; without one, UTC.
    ///
    /// # Errors
    /// When either is not what it should be.
    pub fn new(cron: &str, zone: Option<&str>) -> Result<Self, CronError> {
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => jiff::tz::db().get(name).map_err(|_| CronError {
                text: format!("`{}` is not a time zone", crate::model::text::printable(name)),
                help: "write an IANA name, as Europe/Prague or UTC".to_owned(),
            })?,
        };
        Ok(Self { cron: Cron::parse(cron)?, zone })
    }

    /// The timetable of a schedule.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(schedule: &Schedule) -> Result<Self, CronError> {
        Self::new(&schedule.cron, schedule.time_zone.as_deref())
    }

    /// The newest slot at or before an instant; none before time begins.
    pub fn newest_at(&self, at: Timestamp) -> Option<Timestamp> {
        let mut date = self.zone.to_datetime(at).date();
        // Clocks set back over midnight let the next day begin before this one ends.
        if let Ok(tomorrow) = date.tomorrow()
            && self.begin(tomorrow).is_some_and(|begin| begin <= at)
        {
            date = tomorrow;
        }
        let mut found = None;
        for _ in 0..LONGEST_GAP_DAYS {
            // And for the same reason the day before may have the last word.
            if found.is_some() && self.end(date) <= found {
                return found;
            }
            found = found.max(self.slots_of(date).into_iter().filter(|slot| *slot <= at).max());
            date = date.yesterday().ok()?;
        }
        found
    }

    /// The first instant of a local day, or one before it.
    fn begin(&self, date: Date) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).earlier().ok()
    }

    /// The last second of a local day, or one after it.
    fn end(&self, date: Date) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(date.at(23, 59, 59, 0)).later().ok()
    }

    /// The first slot after an instant; none after time ends.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.after(after).next()
    }

    /// All slots after an instant, in order, without end but that of time.
    pub fn after(&self, after: Timestamp) -> Slots<'_> {
        let date = self.zone.to_datetime(after).date();
        let unfinished = date.yesterday().ok().filter(|yesterday| self.end(*yesterday) > Some(after));
        Slots {
            timetable: self,
            after,
            next_date: Some(unfinished.unwrap_or(date)),
            ready: VecDeque::new(),
            ahead: Vec::new(),
        }
    }

    /// The shortest time between two slots, as far as some hundred of them show: schedules repeat within days or a year.
    pub fn shortest_gap(&self) -> Option<jiff::SignedDuration> {
        const SLOTS: usize = 400;
        // Any year will do; a fixed one gives the same answer each time.
        let slots: Vec<_> = self.after(Timestamp::UNIX_EPOCH).take(SLOTS).collect();
        slots.windows(2).map(|pair| pair[1].duration_since(pair[0])).min()
    }

    /// The slots of one local day, in order. Those of the next local day lie between them only where clocks are set back over
    /// midnight.
    fn slots_of(&self, date: Date) -> Vec<Timestamp> {
        if !self.cron.fits_day(date) {
            return Vec::new();
        }
        let mut slots = Vec::new();
        for (hour, minute) in self.cron.times() {
            self.instants(date.at(hour, minute, 0, 0), &mut slots);
        }
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// The instants at which one local time is a slot.
    fn instants(&self, local: DateTime, slots: &mut Vec<Timestamp>) {
        let elapsed = self.cron.follows_elapsed_time();
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => slots.extend(offset.to_timestamp(local)),
            AmbiguousOffset::Fold { before, after } => {
                slots.extend(before.to_timestamp(local));
                if elapsed {
                    slots.extend(after.to_timestamp(local));
                }
            }
            AmbiguousOffset::Gap { before, .. } => {
                // By the old offset the skipped time lies at or after the change.
                let Ok(skipped) = before.to_timestamp(local) else { return };
                let Ok(behind) = skipped.checked_add(jiff::SignedDuration::from_secs(1)) else { return };
                let Some(change) = self.zone.preceding(behind).next().map(|change| change.timestamp()) else { return };
                let first = self.zone.to_datetime(change);
                if !elapsed || (first.date(), first.hour()) == (local.date(), local.hour()) {
                    slots.push(change);
                }
            }
        }
    }
}

/// The slots after an instant, in order.
#[derive(Debug, Clone)]
pub struct Slots<'a> {
    timetable: &'a Timetable,
    after: Timestamp,
    /// The next local day to look at.
    next_date: Option<Date>,
    /// Slots that no later day can come before.
    ready: VecDeque<Timestamp>,
    /// Slots of the days looked at that the next day's can come before.
    ahead: Vec<Timestamp>,
}

impl Iterator for Slots<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        for _ in 0..LONGEST_GAP_DAYS {
            if let Some(slot) = self.ready.pop_front() {
                return Some(slot);
            }
            let date = self.next_date?;
            self.ahead.extend(self.timetable.slots_of(date));
            self.ahead.sort_unstable();
            self.ahead.dedup();
            self.next_date = date.tomorrow().ok();
            // What the next day can come before has to wait for it.
            let begin = self.next_date.and_then(|next| self.timetable.begin(next)).unwrap_or(Timestamp::MAX);
            let settled = self.ahead.partition_point(|slot| *slot < begin);
            self.ready.extend(self.ahead.drain(..settled).filter(|slot| *slot > self.after));
        }
        None
    }
}
