//! Proxmox Backup Server's `compute_prune_info` (pbs-datastore/src/prune.rs), of finished backups that nobody protects.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{COUNTED, key};
use crate::model::kinds::Keep;
use crate::model::retention::Because;
use crate::retention::rule::{Period, Rule};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Keep(Period),
    Remove,
}

/// A period that holds anything kept so far is passed over. The losers of a period are marked at once, so no later rule
/// can keep them.
pub(super) fn decide(list: &[Timestamp], keep: &Keep, zone: &TimeZone) -> Vec<Vec<Because>> {
    let mut marks: Vec<Option<Mark>> = vec![None; list.len()];
    for (period, _) in COUNTED {
        let limit = keep.count(period) as usize;
        // `last` goes by the backup's path, which ends in its time.
        let id = |at: Timestamp| key(period, at, zone);
        let kept = list.iter().zip(&marks).filter(|(_, mark)| matches!(mark, Some(Mark::Keep(_))));
        let already: BTreeSet<String> = kept.map(|(at, _)| id(*at)).collect();
        let mut included = BTreeSet::new();
        for (at, mark) in list.iter().zip(&mut marks) {
            if mark.is_some() {
                continue;
            }
            let own = id(*at);
            if already.contains(&own) {
                continue;
            }
            if included.contains(&own) {
                *mark = Some(Mark::Remove);
                continue;
            }
            if included.len() >= limit {
                break;
            }
            included.insert(own);
            *mark = Some(Mark::Keep(period));
        }
    }
    let words = |period| COUNTED.iter().find(|(p, _)| *p == period).map_or("", |(_, word)| *word);
    marks
        .into_iter()
        .map(|mark| match mark {
            Some(Mark::Keep(period)) => {
                vec![Because { code: Rule::count(period).code(), text: format!("keep-{}", words(period)) }]
            }
            Some(Mark::Remove) | None => Vec::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times, newest first, that are kept.
    fn kept<'a>(times: &[&'a str], keep: &str) -> Vec<&'a str> {
        let list: Vec<Timestamp> = times.iter().map(|time| format!("{time}:00Z").parse().unwrap()).collect();
        let decided = decide(&list, &serde_yaml::from_str(keep).unwrap(), &TimeZone::UTC);
        times.iter().zip(decided).filter(|(_, reasons)| !reasons.is_empty()).map(|(time, _)| *time).collect()
    }

    #[test]
    fn an_earlier_rule_covers_the_whole_period_and_uses_up_no_count() {
        let times = ["2026-05-06T18:00", "2026-05-06T06:00", "2026-05-05T06:00", "2026-05-04T06:00"];
        assert_eq!(kept(&times, "{last: 1}"), times[..1]);
        // The 6th is covered by the one that `last` kept: the count goes to the 5th.
        assert_eq!(kept(&times, "{last: 1, daily: 1}"), ["2026-05-06T18:00", "2026-05-05T06:00"]);
        assert_eq!(kept(&times, "{hourly: 3}"), times[..3]);
        assert_eq!(kept(&times, "{yearly: 9}"), times[..1]);
        assert!(kept(&times, "{}").is_empty());
    }

    #[test]
    fn the_loser_of_a_week_is_lost_for_its_month() {
        // Sunday 2026-11-01 stands for the week of Saturday 10-31; October is left to the week before.
        let times = ["2026-11-04T06:00", "2026-11-01T06:00", "2026-10-31T06:00", "2026-10-23T06:00"];
        let expected = ["2026-11-04T06:00", "2026-11-01T06:00", "2026-10-23T06:00"];
        assert_eq!(kept(&times, "{daily: 1, weekly: 1, monthly: 1}"), expected);
        // Without any, the month is lost.
        assert_eq!(kept(&times[..3], "{daily: 1, weekly: 1, monthly: 1}"), expected[..2]);
    }

    #[test]
    fn the_oldest_has_no_place_of_its_own() {
        let times = ["2026-05-06T18:00", "2026-05-03T06:00", "2026-05-02T06:00"];
        assert_eq!(kept(&times, "{monthly: 2}"), times[..1]);
    }
}
