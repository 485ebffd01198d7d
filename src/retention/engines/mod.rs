//! What other tools would keep of the same list. They delete nothing here: they are there to compare.
//!
//! Each follows its tool's own source. Times are instants; the tools read them in the zone of the policy, as restic does
//! with snapshots taken there, and borg and PBS on a host of that zone.

mod borg;
mod pbs;
mod restic;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::rule::{Period, Reach, Rule};
use crate::model::kinds::{Keep, Prefer, RetentionSpec};
use crate::model::retention::{Because, Engine};

/// What restic would keep of snapshots taken at these times.
pub(super) fn restic(times: &[Timestamp], keep: &Keep, zone: &TimeZone, now: Timestamp) -> Vec<Vec<Because>> {
    newest_first(times, |list| restic::decide(list, keep, zone, now))
}

/// What borg would keep of archives made at these times.
pub(super) fn borg(times: &[Timestamp], keep: &Keep, zone: &TimeZone, now: Timestamp) -> Vec<Vec<Because>> {
    newest_first(times, |list| borg::decide(list, keep, zone, now))
}

/// What PBS would keep of backups taken at these times.
pub(super) fn pbs(times: &[Timestamp], keep: &Keep, zone: &TimeZone) -> Vec<Vec<Because>> {
    newest_first(times, |list| pbs::decide(list, keep, zone))
}

/// All three sort by time alone, and leave equal ones in the order they list them in.
fn newest_first(times: &[Timestamp], decide: impl Fn(&[Timestamp]) -> Vec<Vec<Because>>) -> Vec<Vec<Because>> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(times[index]));
    let list: Vec<Timestamp> = order.iter().map(|&index| times[index]).collect();
    let mut kept = vec![Vec::new(); times.len()];
    for (index, reasons) in order.into_iter().zip(decide(&list)) {
        kept[index] = reasons;
    }
    kept
}

/// The fields of the policy that are set and that the engine has nothing like.
pub(super) fn left_out(engine: Engine, spec: &RetentionSpec) -> Vec<&'static str> {
    let has = |rule: &Rule| match (engine, rule.reach, spec.keep.span(rule.period)) {
        (Engine::Pbs, Reach::Span, _) => false,
        (Engine::Borg, Reach::Span, span) => rule.period == Period::Each && span.and_then(borg::hours).is_some(),
        (Engine::Restic, Reach::Span, span) => {
            rule.period != Period::Quarter && span.and_then(restic::duration).is_some()
        }
        _ => rule.period != Period::Quarter,
    };
    if engine == Engine::Snapward {
        return Vec::new();
    }
    let mut fields: Vec<_> = spec.keep.rules().filter(|rule| !has(rule)).map(Rule::name).collect();
    let mut field = |name, set: bool| fields.extend(set.then_some(name));
    field("prefer", spec.prefer != Prefer::Newest);
    field("fillOldest", spec.fill_oldest);
    field("minimumAge", spec.minimum_age.is_some());
    field("minimumCount", spec.minimum_count > 1);
    field("maximumAge", spec.maximum_age.is_some());
    fields
}

/// The text by which a tool tells the members of a period apart; the same formats in all three.
fn key(period: Period, at: Timestamp, zone: &TimeZone) -> String {
    let local = at.to_zoned(zone.clone());
    let format = match period {
        Period::Each => return at.to_string(),
        Period::Hour => "%Y-%m-%d %H",
        Period::Day => "%Y-%m-%d",
        Period::Week => "%G-%V",
        Period::Month | Period::Quarter => "%Y-%m",
        Period::Year => "%Y",
    };
    local.strftime(format).to_string()
}

/// The periods that all three count, in the order they do, with the word for each.
const COUNTED: [(Period, &str); 6] = [
    (Period::Each, "last"),
    (Period::Hour, "hourly"),
    (Period::Day, "daily"),
    (Period::Week, "weekly"),
    (Period::Month, "monthly"),
    (Period::Year, "yearly"),
];
