//! The walk of the rules over the buckets of a sorted list, newest first.

use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::age::Age;
use super::calendar::{Bucket, Calendar};
use super::reason::{Change, Reason};
use super::rule::{Period, Rule};
use crate::model::kinds::Prefer;

/// A candidate on its place in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) slot: Timestamp,
    pub(super) created: Timestamp,
    /// Where it stands in the input.
    pub(super) index: usize,
}

/// Neighbours of a sorted list that share a bucket.
#[derive(Debug, Clone)]
pub(super) struct Run {
    range: Range<usize>,
    bucket: Bucket,
}

/// A sorted list cut into hours and days; what is coarser is made of days.
#[derive(Debug)]
pub(super) struct Runs {
    hours: Vec<Run>,
    days: Vec<(Range<usize>, i32)>,
}

impl Runs {
    /// Looks every entry up, once.
    pub(super) fn of(entries: &[Entry], zone: TimeZone) -> Self {
        let mut calendar = Calendar::new(zone);
        let mut hours: Vec<Run> = Vec::new();
        let mut days: Vec<(Range<usize>, i32)> = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            let (bucket, day) = calendar.look_up(entry.slot);
            match hours.last_mut() {
                Some(run) if run.bucket == bucket => run.range.end = place + 1,
                _ => hours.push(Run { range: place..place + 1, bucket }),
            }
            match days.last_mut() {
                Some((range, last)) if *last == day => range.end = place + 1,
                _ => days.push((place..place + 1, day)),
            }
        }
        Self { hours, days }
    }

    /// The buckets of a period that have a candidate, newest first.
    pub(super) fn of_period(&self, period: Period) -> Vec<Run> {
        if period == Period::Hour {
            return self.hours.clone();
        }
        let mut runs: Vec<Run> = Vec::new();
        for (range, day) in &self.days {
            let bucket = Bucket::of_day(period, *day);
            match runs.last_mut() {
                Some(run) if run.bucket == bucket => run.range.end = range.end,
                _ => runs.push(Run { range: range.clone(), bucket }),
            }
        }
        runs
    }
}

/// What the rules have said about a place so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// No rule has reached its bucket.
    Beyond,
    /// A rule keeps it.
    Kept { rule: Rule, bucket: Bucket, ordinal: u32 },
    /// The finest rule that reached its bucket keeps the one at this place.
    Lost { rule: Rule, bucket: Bucket, by: usize },
}

/// The raise of a count that would keep a place.
#[derive(Debug, Clone, Copy)]
struct Raise {
    by: u32,
    period: Period,
    to: u32,
}

/// The rules at work. They are to be called in their order, fine to coarse.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    entries: &'a [Entry],
    prefer: Prefer,
    /// Apart from the fates, to be scanned fast.
    kept: Vec<bool>,
    fates: Vec<Fate>,
    raises: Vec<Raise>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(entries: &'a [Entry], prefer: Prefer) -> Self {
        let raise = Raise { by: u32::MAX, period: Period::Each, to: u32::MAX };
        let length = entries.len();
        Self {
            entries,
            prefer,
            kept: vec![false; length],
            fates: vec![Fate::Beyond; length],
            raises: vec![raise; length],
        }
    }

    /// `last`: every snapshot is a bucket by itself. Returns how many it keeps.
    pub(super) fn last(&mut self, limit: u32) -> u32 {
        let mut counted = 0;
        for place in 0..self.entries.len() {
            counted += 1;
            self.pick(place, Period::Each, Bucket::Each, counted, limit);
        }
        counted.min(limit)
    }

    /// `within`: everything that is younger.
    pub(super) fn within(&mut self, age: &Age) {
        let mut ordinal = 0;
        for place in 0..self.entries.len() {
            if !self.kept[place] && age.is_younger(self.entries[place].created) {
                ordinal += 1;
                self.keep(place, Rule::span(Period::Each), Bucket::Each, ordinal);
            }
        }
    }

    /// A count rule. A bucket that holds a kept snapshot is covered: neither picked from nor counted. The walk goes on past
    /// the limit to learn what a higher one would keep. Returns how many it keeps.
    pub(super) fn count(&mut self, period: Period, limit: u32, runs: &[Run]) -> u32 {
        let rule = Rule::count(period);
        let mut counted = 0_u32;
        for Run { range, bucket } in runs {
            let reached = counted < limit;
            if self.stands_for(range).is_none() {
                counted = counted.saturating_add(1);
                let place = match self.prefer {
                    Prefer::Newest => range.start,
                    Prefer::Oldest => range.end - 1,
                };
                self.pick(place, period, *bucket, counted, limit);
            }
            if let (true, Some(by)) = (reached, self.stands_for(range)) {
                for place in range.clone() {
                    self.lose(place, rule, *bucket, by);
                }
            }
        }
        counted.min(limit)
    }

    /// A span rule: the same without a count, among the members that are younger.
    pub(super) fn span(&mut self, period: Period, age: &Age, runs: &[Run]) {
        let rule = Rule::span(period);
        let mut ordinal = 0;
        for Run { range, bucket } in runs {
            let young = |place: &usize| age.is_younger(self.entries[*place].created);
            let first = match self.prefer {
                Prefer::Newest => range.clone().find(young),
                Prefer::Oldest => range.clone().rfind(young),
            };
            let Some(first) = first else { continue };
            if self.stands_for(range).is_none() {
                ordinal += 1;
                self.keep(first, rule, *bucket, ordinal);
            }
            if let Some(by) = self.stands_for(range) {
                for place in range.clone() {
                    if age.is_younger(self.entries[place].created) {
                        self.lose(place, rule, *bucket, by);
                    }
                }
            }
        }
    }

    /// The oldest, where no rule keeps it. Returns its index in the input.
    pub(super) fn unkept_oldest(&self) -> Option<usize> {
        let last = self.entries.len().checked_sub(1)?;
        (!self.kept[last]).then_some(self.entries[last].index)
    }

    /// What came out, by the indices of the input: whether it is kept, why or why not, and what would have kept it.
    pub(super) fn outcome(&self) -> impl Iterator<Item = (usize, bool, Reason, Option<Change>)> + '_ {
        self.entries.iter().enumerate().map(|(place, entry)| {
            let Raise { period, to, .. } = self.raises[place];
            let raised = Some(Change::Count { period, to });
            match self.fates[place] {
                Fate::Kept { rule, bucket, ordinal } => {
                    (entry.index, true, Reason::Rule { rule, bucket, ordinal }, None)
                }
                Fate::Lost { rule, bucket, by } => {
                    let by = self.entries[by].index;
                    (entry.index, false, Reason::Superseded { rule, bucket, by }, raised)
                }
                Fate::Beyond => (entry.index, false, Reason::Beyond, raised),
            }
        })
    }

    /// The kept member of a run that is first in it.
    fn stands_for(&self, range: &Range<usize>) -> Option<usize> {
        self.kept[range.clone()].iter().position(|kept| *kept).map(|place| range.start + place)
    }

    /// The count rule of a period comes to a place, having counted it: kept, or beyond the limit.
    fn pick(&mut self, place: usize, period: Period, bucket: Bucket, counted: u32, limit: u32) {
        if counted <= limit {
            self.keep(place, Rule::count(period), bucket, counted);
        } else if counted - limit <= self.raises[place].by {
            self.raises[place] = Raise { by: counted - limit, period, to: counted };
        }
    }

    fn keep(&mut self, place: usize, rule: Rule, bucket: Bucket, ordinal: u32) {
        self.kept[place] = true;
        self.fates[place] = Fate::Kept { rule, bucket, ordinal };
    }

    fn lose(&mut self, place: usize, rule: Rule, bucket: Bucket, by: usize) {
        if self.fates[place] == Fate::Beyond {
            self.fates[place] = Fate::Lost { rule, bucket, by };
        }
    }
}
