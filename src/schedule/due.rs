//! The due-test: whether a series owes a snapshot now. It asks what is there and the clock, and nothing else, so a timer,
//! a CI job and the agent come to the same answer, however often they ask.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::cron::CronError;
use super::slots::Timetable;
use crate::model::kinds::{Schedule, TimeSpan};
use crate::model::names::DomainUuid;

/// A schedule, ready to be asked.
#[derive(Debug, Clone)]
pub struct Tempo {
    /// When the slots are.
    pub timetable: Timetable,
    starting_deadline: Option<TimeSpan>,
    jitter: Option<TimeSpan>,
}

impl Tempo {
    /// Reads a schedule.
    ///
    /// # Errors
    /// When its cron expression or zone is not what it should be.
    pub fn of(schedule: &Schedule) -> Result<Self, CronError> {
        Ok(Self {
            timetable: Timetable::of(schedule)?,
            starting_deadline: schedule.starting_deadline.clone(),
            jitter: schedule.jitter.clone(),
        })
    }

    /// The instant until which a slot may be taken, itself excluded: its deadline, and never later than the next slot.
    pub fn end(&self, slot: Timestamp) -> Timestamp {
        let next = self.timetable.next_after(slot).unwrap_or(Timestamp::MAX);
        let deadline = self.starting_deadline.as_ref().and_then(|span| span.after(slot));
        deadline.map_or(next, |deadline| deadline.min(next))
    }

    /// How long after a slot its snapshot is taken, with a jitter of `part` of the declared one (see [`jitter`]).
    ///
    /// At most half of the time in which the slot may be taken: a timer that comes every few minutes must still find it
    /// due before it is over.
    fn delay(&self, slot: Timestamp, part: f64) -> SignedDuration {
        let Some(end) = self.jitter.as_ref().and_then(|span| span.after(slot)) else { return SignedDuration::ZERO };
        let most = end.duration_since(slot).min(self.end(slot).duration_since(slot) / 2);
        SignedDuration::from_secs(most.mul_f64(part).as_secs())
    }

    /// The first instant after `now` at which a snapshot will be due.
    pub fn next_due(&self, now: Timestamp, part: f64) -> Option<Timestamp> {
        self.clone().at(now).next_due(part)
    }

    /// The schedule at one moment.
    pub fn at(self, now: Timestamp) -> Pace {
        let (newest, next) = (self.timetable.newest_at(now), self.timetable.next_after(now));
        Pace { tempo: self, now, newest, next }
    }
}

/// A schedule at one moment, with the slots around it looked up: they are the same for every domain of a set.
#[derive(Debug, Clone)]
pub struct Pace {
    /// The schedule.
    pub tempo: Tempo,
    now: Timestamp,
    /// The newest slot at or before now.
    newest: Option<Timestamp>,
    /// The first one after now.
    next: Option<Timestamp>,
}

impl Pace {
    /// Whether the newest slot is owed. `newest` is the newest slot of which the series has a snapshot, `part` the domain's own
    /// part of the jitter ([`jitter`]).
    pub fn due(&self, newest: Option<Timestamp>, part: f64) -> Due {
        let Self { tempo, now, .. } = self;
        let Some(slot) = self.newest else { return Due::No };
        if newest.is_some_and(|newest| newest >= slot) {
            return Due::No;
        }
        let end = tempo.end(slot);
        if *now >= end {
            return Due::Missed { slot, end };
        }
        match slot.checked_add(tempo.delay(slot, part)) {
            Ok(at) if *now < at => Due::From { slot, at },
            _ => Due::Now { slot },
        }
    }

    /// The first instant after now at which a snapshot will be due.
    pub fn next_due(&self, part: f64) -> Option<Timestamp> {
        let slot = self.next?;
        slot.checked_add(self.tempo.delay(slot, part)).ok()
    }
}

/// What the due-test found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The slot is to be taken now.
    Now {
        /// The slot.
        slot: Timestamp,
    },
    /// Nothing is owed.
    No,
    /// The slot is to be taken from then on: it has a jitter.
    From {
        /// The slot.
        slot: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// The slot was not taken in its time and will not be: the next one is.
    Missed {
        /// The slot.
        slot: Timestamp,
        /// When its time was over.
        end: Timestamp,
    },
}

/// Whether the newest slot at or before `now` is owed. `newest` is the newest slot of which the series has a snapshot,
/// `part` the domain's own part of the jitter ([`jitter`]).
pub fn due(tempo: &Tempo, newest: Option<Timestamp>, now: Timestamp, part: f64) -> Due {
    tempo.clone().at(now).due(newest, part)
}

/// A domain's own part of a series' jitter, from 0 to below 1: the same each time, so that its snapshots keep their
/// distance, and another for each domain.
pub fn jitter(domain: DomainUuid, series: &str) -> f64 {
    let mut hash = Sha256::new();
    hash.update(domain.0.as_bytes());
    hash.update(series.as_bytes());
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
    f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}
