//! restic's `ApplyPolicy` (internal/restic/snapshot_policy.go, 0.16 to 0.18).

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::{COUNTED, key};
use crate::model::kinds::{Keep, TimeSpan};
use crate::model::retention::{Because, Code};
use crate::retention::rule::{Period, Rule};

/// restic's duration: years, months, days, hours.
pub(super) type Duration = [i64; 4];

/// The span as restic writes it; none where it has minutes or seconds.
pub(super) fn duration(span: &TimeSpan) -> Option<Duration> {
    let span = span.span();
    let days = i64::from(span.get_weeks()) * 7 + i64::from(span.get_days());
    let whole = span.get_minutes() == 0 && span.get_seconds() == 0;
    whole.then(|| [span.get_years().into(), span.get_months().into(), days, span.get_hours().into()])
}

/// Every rule looks at every snapshot by itself, so that one snapshot can use up several counts. The oldest of the list is
/// kept by each rule that has a count left.
pub(super) fn decide(list: &[Timestamp], keep: &Keep, zone: &TimeZone, now: Timestamp) -> Vec<Vec<Because>> {
    let mut counts: Vec<u32> = COUNTED.iter().map(|(period, _)| keep.count(*period)).collect();
    let mut last: Vec<Option<String>> = vec![None; COUNTED.len()];
    let mut last_within = last.clone();
    // The newest that is not in the future (`findLatestTimestamp`).
    let latest = list.iter().find(|at| **at < now);
    let starts: Vec<Option<Timestamp>> = COUNTED
        .iter()
        .map(|(period, _)| {
            let duration = duration(keep.span(*period)?)?;
            // Where all are in the future, and beyond the calendar, it reaches everything.
            Some(latest.and_then(|latest| before(*latest, duration, zone)).unwrap_or(Timestamp::MIN))
        })
        .collect();
    let mut matches = vec![Vec::new(); list.len()];
    for (place, at) in list.iter().enumerate() {
        let oldest = place + 1 == list.len();
        for (rule, (period, word)) in COUNTED.iter().enumerate() {
            if counts[rule] == 0 {
                continue;
            }
            // `last` numbers the snapshots, so that no two are the same.
            let own = if *period == Period::Each { place.to_string() } else { key(*period, *at, zone) };
            let is_new = last[rule].as_ref() != Some(&own);
            if is_new || oldest {
                counts[rule] -= 1;
                last[rule] = Some(own);
                matches[place].push(kept(Rule::count(*period), is_new, &format!("{word} snapshot")));
            }
        }
        for (rule, (period, word)) in COUNTED.iter().enumerate() {
            if starts[rule].is_none_or(|start| *at <= start) {
                continue;
            }
            let span = keep.span(*period).map(written).unwrap_or_default();
            if *period == Period::Each {
                matches[place].push(kept(Rule::span(*period), true, &format!("within {span}")));
                continue;
            }
            let own = key(*period, *at, zone);
            let is_new = last_within[rule].as_ref() != Some(&own);
            if is_new || oldest {
                last_within[rule] = Some(own);
                matches[place].push(kept(Rule::span(*period), is_new, &format!("{word} within {span}")));
            }
        }
    }
    matches
}

fn kept(rule: Rule, is_new: bool, text: &str) -> Because {
    match is_new {
        true => Because { code: rule.code(), text: text.to_owned() },
        false => Because { code: Code::Oldest, text: format!("oldest {text}") },
    }
}

/// As restic prints a duration: `1y2m3d4h`, and nothing for what is zero.
fn written(span: &TimeSpan) -> String {
    let numbers = duration(span).unwrap_or_default();
    numbers.iter().zip(["y", "m", "d", "h"]).filter(|(n, _)| **n != 0).map(|(n, unit)| format!("{n}{unit}")).collect()
}

/// Go's `AddDate` backwards, then hours: a day that a month does not have runs over into the next month.
fn before(at: Timestamp, [years, months, days, hours]: Duration, zone: &TimeZone) -> Option<Timestamp> {
    let local = at.to_zoned(zone.clone()).datetime();
    let month = 12 * (i64::from(local.year()) - years) + i64::from(local.month()) - 1 - months;
    let first = jiff::civil::date(i16::try_from(month.div_euclid(12)).ok()?, month.rem_euclid(12) as i8 + 1, 1);
    let day = first.checked_add((i64::from(local.day()) - 1 - days).days()).ok()?;
    let moved = day.to_datetime(local.time()).to_zoned(zone.clone()).ok()?;
    moved.timestamp().checked_sub(hours.hours()).ok()
}
