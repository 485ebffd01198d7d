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
