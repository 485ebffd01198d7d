//! Holds of a set: on its own snapshots, once each, with a reason the stamp can carry.

use crate::model::text::suggestion;
use std::collections::{HashMap, HashSet};

use super::series::NamePattern;
use super::{Entry, Scope};
use crate::manifest::diagnostic::{Code, Diagnostic};
use crate::manifest::tree::shown;
use crate::model::kinds::SnapshotSet;

/// Checks the holds of a set.
pub(super) fn check(entry: &Entry<'_>, set: &SnapshotSet, scope: &Scope<'_>, out: &mut Vec<Diagnostic>) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let patterns: Vec<NamePattern> = set.spec.series.iter().map(|series| NamePattern::of(set, series, scope)).collect();
    let declared: HashSet<&str> = set.spec.snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect();
    for (i, hold) in set.spec.holds.iter().enumerate() {
        let name = hold.snapshot.as_str();
        let at = format!("/spec/holds/{i}");
        if let Some(&other) = first.get(name) {
            out.push(
                entry
                    .fault(Code::DuplicateName, &format!("{at}/snapshot"), format!("`{}` is held twice", shown(name)))
                    .label("held again here")
                    .related(entry.text, &entry.range(&format!("/spec/holds/{other}/snapshot")), "held first here")
                    .help("keep the hold that ends last"),
            );
        }
        first.entry(name).or_insert(i);
        if !declared.contains(name) && !patterns.iter().any(|pattern| pattern.fits(name)) {
            let message = format!("the hold is for `{}`, which this set does not declare", shown(name));
            let label = match suggestion(name, set.spec.snapshots.iter().map(|snapshot| snapshot.name.as_str())) {
                Some(near) => format!("did you mean `{}`?", shown(near)),
                None => "not a snapshot of this set".to_owned(),
            };
            let help = "a set can hold its own snapshots only; `snapward snapshot hold` holds any";
            out.push(entry.fault(Code::Unresolved, &format!("{at}/snapshot"), message).label(label).help(help));
        }
        let reason = &hold.reason;
        if reason.trim().is_empty() {
            let message = "a hold needs a reason".to_owned();
            out.push(
                entry
                    .fault(Code::WrongValue, &format!("{at}/reason"), message)
                    .help("say who needs the snapshot, and what for"),
            );
        } else if reason.contains([';', '\n', '\r']) {
            let message = "a hold's reason is one line without `;`".to_owned();
            let help = "it is written on the snapshot as `Snapward-Hold: reason; until`";
            out.push(entry.fault(Code::WrongValue, &format!("{at}/reason"), message).help(help));
        }
    }
}
