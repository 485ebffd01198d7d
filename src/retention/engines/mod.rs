//! What other tools would keep of the same list. They delete nothing here: they are there to compare.
//!
//! Each follows its tool's own source. Times are instants; the tools read them in the zone of the policy, as restic does
//! with snapshots taken there, and borg and PBS on a host of that zone.

mod borg;
mod pbs;
mod restic;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decide::{UnknownZone, zone};
use super::reason::Code;
use super::rule::{Period, Reach, Rule};
use crate::model::kinds::{Prefer, RetentionSpec};

/// A tool with an algorithm of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Other {
    /// restic 0.16 to 0.18, `forget`.
    Restic,
    /// borg 1.2 to 1.4, `prune`.
    Borg,
    /// Proxmox Backup Server, `prune`.
    Pbs,
}

/// Why the tool keeps a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The rule, or `oldest`.
    pub code: Code,
    /// In the tool's own words.
    pub text: String,
}

/// What a tool would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why it keeps each snapshot of the list, in the order of the list; where there is no reason, it is deleted.
    pub kept: Vec<Vec<Match>>,
    /// The fields of the policy that the tool has nothing like, as `keep.quarterly`. They had no part in this.
    pub left_out: Vec<&'static str>,
}

/// What the tool would keep of snapshots taken at these times.
///
/// # Errors
/// [`UnknownZone`], which a validated policy does not have.
pub fn decide_as(
    other: Other,
    times: &[Timestamp],
    spec: &RetentionSpec,
    now: Timestamp,
) -> Result<Outcome, UnknownZone> {
    let zone = zone(spec)?;
    // All three sort by time alone, and leave equal ones in the order they list them in.
    let mut newest_first: Vec<usize> = (0..times.len()).collect();
    newest_first.sort_by_key(|&index| std::cmp::Reverse(times[index]));
    let list: Vec<Timestamp> = newest_first.iter().map(|&index| times[index]).collect();
    let sorted = match other {
        Other::Restic => restic::decide(&list, &spec.keep, &zone, now),
        Other::Borg => borg::decide(&list, &spec.keep, &zone, now),
        Other::Pbs => pbs::decide(&list, &spec.keep, &zone),
    };
    let mut kept = vec![Vec::new(); times.len()];
    for (index, matches) in newest_first.into_iter().zip(sorted) {
        kept[index] = matches;
    }
    Ok(Outcome { kept, left_out: left_out(other, spec) })
}

/// The fields that are set and that a tool has nothing like.
fn left_out(other: Other, spec: &RetentionSpec) -> Vec<&'static str> {
    let has = |rule: &Rule| match (other, rule.reach, rule.period) {
        (_, _, Period::Quarter) | (Other::Pbs, Reach::Span, _) => false,
        (Other::Borg, Reach::Span, period) => {
            period == Period::Each && spec.keep.span(period).is_some_and(|span| borg::hours(span).is_some())
        }
        (Other::Restic, Reach::Span, period) => {
            spec.keep.span(period).is_some_and(|span| restic::duration(span).is_some())
        }
        _ => true,
    };
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
