//! borg's `prune` (`prune_within` and `prune_split` in src/borg/archiver.py of 1.4).

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::{COUNTED, key};
use crate::model::kinds::{Keep, TimeSpan};
use crate::model::retention::{Because, Code};
use crate::retention::rule::{Period, Rule};

/// A span in borg's hours, where a month has 31 days and a year 365; none where it has minutes or seconds.
pub(super) fn hours(span: &TimeSpan) -> Option<i64> {
    let span = span.span();
    let days = i64::from(span.get_years()) * 365
        + i64::from(span.get_months()) * 31
        + i64::from(span.get_weeks()) * 7
        + i64::from(span.get_days());
    let whole = span.get_minutes() == 0 && span.get_seconds() == 0;
    whole.then(|| days * 24 + i64::from(span.get_hours()))
}

/// The rules run one after the other. What one of them keeps does not use up the count of the next, but it has to be the
/// newest of its period for that period to be passed over.
pub(super) fn decide(list: &[Timestamp], keep: &Keep, zone: &TimeZone, now: Timestamp) -> Vec<Vec<Because>> {
    let mut because: BTreeMap<usize, Because> = BTreeMap::new();
    if let Some(hours) = keep.within.as_ref().and_then(hours) {
        // Beyond the calendar it reaches everything.
        let start = now.checked_sub(hours.hours()).unwrap_or(Timestamp::MIN);
        let young = list.iter().enumerate().filter(|(_, at)| **at > start);
        for (ordinal, (place, _)) in young.enumerate() {
            let text = format!("within #{}", ordinal + 1);
            because.insert(place, Because { code: Rule::span(Period::Each).code(), text });
        }
    }
    for (period, word) in COUNTED {
        // `--keep-last` is another name of `--keep-secondly`.
        let word = if period == Period::Each { "secondly" } else { word };
        split(list, period, word, keep.count(period), zone, &mut because);
    }
    (0..list.len()).map(|place| because.remove(&place).into_iter().collect()).collect()
}

fn split(
    list: &[Timestamp],
    period: Period,
    word: &str,
    limit: u32,
    zone: &TimeZone,
    because: &mut BTreeMap<usize, Because>,
) {
    if limit == 0 {
        return;
    }
    let mut last = None;
    let mut counted = 0;
    for (place, at) in list.iter().enumerate() {
        let own = Some(if period == Period::Each { at.as_second().to_string() } else { key(period, *at, zone) });
        if own == last {
            continue;
        }
        last = own;
        if let std::collections::btree_map::Entry::Vacant(free) = because.entry(place) {
            counted += 1;
            free.insert(Because { code: Rule::count(period).code(), text: format!("{word} #{counted}") });
            if counted == limit {
                return;
            }
        }
    }
    if let Some(oldest) = list.len().checked_sub(1) {
        because
            .entry(oldest)
            .or_insert_with(|| Because { code: Code::Oldest, text: format!("{word}[oldest] #{}", counted + 1) });
    }
}
