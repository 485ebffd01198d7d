//! One SnapshotSet: its snapshots agree with themselves and with each other.

use std::collections::HashMap;

use super::{Entry, Scope, capture, holds, selectors, series};
use crate::manifest::diagnostic::{Code, Diagnostic};
use crate::manifest::kind::Kind;
use crate::manifest::tree::shown;
use crate::model::kinds::{CreateMode, Location, Presence, Snapshot, SnapshotSet};
use crate::model::stamp::looks_like_trailer;

/// Checks a set.
pub(super) fn check(entry: &Entry<'_>, set: &SnapshotSet, scope: &Scope<'_>, out: &mut Vec<Diagnostic>) {
    selectors::check_domains(entry, "/spec/domains", &set.spec.domains, out);
    if let Some(hosts) = &set.spec.hosts {
        selectors::check_hosts(entry, "/spec/hosts", hosts, out);
    }
    if let Some(suspend) = set.spec.suspend.as_ref().filter(|suspend| suspend.reason.trim().is_empty()) {
        let message = "a suspended set needs a reason";
        let help = match suspend.until {
            Some(_) => "say why; plan and status show it until then",
            None => "say why, and better also `until` when; plan and status show it",
        };
        out.push(entry.fault(Code::WrongValue, "/spec/suspend/reason", message).help(help));
    }
    if let Some(safety) = &set.spec.safety {
        let reference = (Kind::SafetyPolicy, &set.metadata, safety.policy_ref.as_str());
        scope.resolve(entry, "/spec/safety/policyRef", reference, out);
    }
    names(entry, set, out);
    for (i, snapshot) in set.spec.snapshots.iter().enumerate() {
        self::snapshot(entry, &format!("/spec/snapshots/{i}"), snapshot, out);
    }
    parents(entry, set, out);
    current(entry, set, out);
    series::check_set(entry, set, scope, out);
    holds::check(entry, set, scope, out);
    one_location(entry, set, scope, out);
}

fn names(entry: &Entry<'_>, set: &SnapshotSet, out: &mut Vec<Diagnostic>) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (i, snapshot) in set.spec.snapshots.iter().enumerate() {
        let name = snapshot.name.as_str();
        let Some(other) = first.get(name) else {
            first.insert(name, i);
            continue;
        };
        let place = format!("/spec/snapshots/{other}/name");
        let message = format!("snapshot `{}` is declared twice, first at {}", shown(name), entry.place(&place));
        out.push(
            entry
                .fault(Code::DuplicateName, &format!("/spec/snapshots/{i}/name"), message)
                .label("declared again here")
                .related(entry.text, &entry.range(&place), "declared first here")
                .help("a domain has one snapshot of a name"),
        );
    }
}

fn snapshot(entry: &Entry<'_>, at: &str, snapshot: &Snapshot, out: &mut Vec<Diagnostic>) {
    let name = shown(snapshot.name.as_str());
    let absent = snapshot.state == Presence::Absent;
    let captured = !absent && snapshot.create == CreateMode::Auto && snapshot.definition.is_none();
    if captured && snapshot.capture.is_none() {
        let message = format!("snapshot `{name}` has no `capture`");
        let help =
            "give `capture: {content: full, location: internal}` or another; or `create: never` to only adopt it";
        let fault = entry.fault(Code::MissingField, &format!("{at}/name"), message).label("`capture` is required here");
        out.push(fault.help(help));
    }
    if let Some(capture) = &snapshot.capture {
        capture::check(entry, &format!("{at}/capture"), capture, snapshot.when, out);
    }
    let mut contradiction = |field: &str, message: String, help: &str| {
        out.push(entry.fault(Code::Contradiction, &format!("{at}/{field}"), message).help(help));
    };
    if absent && snapshot.protect == Some(true) {
        let help = "write `protect: false` and apply, then `state: absent` and apply: protection is lifted in a step of its own";
        contradiction("protect", format!("snapshot `{name}` is protected and `state: absent` at once"), help);
    }
    if absent && snapshot.adopt {
        let help =
            "adopt and apply first, then write `state: absent`: a snapshot is deleted only after it was taken over";
        contradiction("adopt", format!("snapshot `{name}` is to be adopted and deleted at once"), help);
    }
    if absent && snapshot.recreate {
        contradiction(
            "recreate",
            format!("snapshot `{name}` is to be recreated and deleted at once"),
            "remove one of the two",
        );
    }
    if snapshot.create == CreateMode::Never && snapshot.recreate {
        let help = "`create: never` never captures, `recreate: true` does; remove one of the two";
        contradiction("recreate", format!("snapshot `{name}` is to be recreated and never captured"), help);
    }
    if snapshot.delete_after.is_some() && snapshot.recreate {
        let help = "it would be captured again as soon as its time is over; a snapshot that is renewed is a series";
        contradiction("recreate", format!("snapshot `{name}` has `deleteAfter` and `recreate: true`"), help);
    }
    if snapshot.delete_after.is_some() && snapshot.protect == Some(true) {
        let message = format!("snapshot `{name}` is protected, so `deleteAfter` has no effect");
        let warning = entry.fault(Code::Contradiction, &format!("{at}/deleteAfter"), message).warning();
        out.push(warning.help("remove one of the two"));
    }
    if let Some(description) = &snapshot.description
        && let Some(line) = description.split(['\n', '\r']).find(|line| looks_like_trailer(line))
    {
        let message = format!("the description of `{name}` holds a line snapward writes itself: `{}`", shown(line));
        let help = "remove it; lines that begin with `Snapward-` are how snapward knows its own snapshots";
        // The line itself, where the text is written as a block.
        let mut range = entry.range(&format!("{at}/description"));
        if let Some(offset) = entry.text.text.get(range.clone()).and_then(|written| written.find(line)) {
            range = range.start + offset..range.start + offset + line.len();
        }
        out.push(Diagnostic::at(Code::WrongValue, entry.text, &range, message).help(help));
    }
    if let Some(file) = &snapshot.definition {
        definition(entry, &format!("{at}/definition"), file, out);
    }
}

/// The path as it is written; whether it leads out of the given root is seen when the file is read.
fn definition(entry: &Entry<'_>, at: &str, file: &str, out: &mut Vec<Diagnostic>) {
    let message = match file {
        "" => "`definition` must name a file".to_owned(),
        file if file.starts_with('/') => format!("`definition` must be a relative path, not `{}`", shown(file)),
        _ => return,
    };
    let help = "it is relative to the manifest's own directory, as xml/golden.xml";
    out.push(entry.fault(Code::WrongValue, at, message).help(help));
}

fn parents(entry: &Entry<'_>, set: &SnapshotSet, out: &mut Vec<Diagnostic>) {
    let snapshots = &set.spec.snapshots;
    let index: HashMap<&str, usize> = snapshots.iter().enumerate().map(|(i, s)| (s.name.as_str(), i)).collect();
    let parent = |i: usize| snapshots[i].parent.as_ref().and_then(|parent| index.get(parent.as_str()).copied());
    // 0 unseen, else the walk that saw it first: each snapshot is walked over once.
    let mut seen = vec![0; snapshots.len()];
    for start in 0..snapshots.len() {
        let walk = start + 1;
        let mut at = start;
        while seen[at] == 0 {
            seen[at] = walk;
            match parent(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        if seen[at] == walk && parent(at).is_some() {
            let mut names = vec![shown(snapshots[at].name.as_str())];
            let mut next = parent(at);
            while let Some(i) = next.filter(|&i| i != at) {
                names.push(shown(snapshots[i].name.as_str()));
                next = parent(i);
            }
            let message = match names.as_slice() {
                [only] => format!("snapshot `{only}` is its own parent"),
                names => format!("the parents of {} form a circle", names.join(", ")),
            };
            let pointer = format!("/spec/snapshots/{at}/parent");
            out.push(entry.fault(Code::Contradiction, &pointer, message).help("name the snapshot it was taken after"));
        }
    }
    for (i, snapshot) in snapshots.iter().enumerate().filter(|(_, s)| s.state == Presence::Present) {
        let Some(other) = parent(i).filter(|&other| snapshots[other].state == Presence::Absent) else { continue };
        let name = shown(snapshots[other].name.as_str());
        let message =
            format!("the parent of `{}` is `{name}`, which is `state: absent`", shown(snapshot.name.as_str()));
        out.push(
            entry
                .fault(Code::Contradiction, &format!("/spec/snapshots/{i}/parent"), message)
                .related(entry.text, &entry.range(&format!("/spec/snapshots/{other}/state")), "absent by this line")
                .help("name another parent, or keep the one named"),
        );
    }
}

fn current(entry: &Entry<'_>, set: &SnapshotSet, out: &mut Vec<Diagnostic>) {
    let Some(current) = &set.spec.current else { return };
    let found = set.spec.snapshots.iter().position(|s| s.name == *current && s.state == Presence::Absent);
    if let Some(i) = found {
        let message = format!("`current` names `{current}`, which is `state: absent`");
        out.push(
            entry
                .fault(Code::Contradiction, "/spec/current", message)
                .related(entry.text, &entry.range(&format!("/spec/snapshots/{i}/state")), "absent by this line")
                .help("name a snapshot that shall exist"),
        );
    }
}

/// The places where a set says how its domains are captured: JSON pointer and location, without what is drained.
pub(super) fn locations(set: &SnapshotSet, scope: &Scope<'_>) -> Vec<(String, Location)> {
    let snapshots = set.spec.snapshots.iter().enumerate().filter(|(_, s)| s.state == Presence::Present);
    let declared = snapshots
        .filter_map(|(i, s)| Some((format!("/spec/snapshots/{i}/capture/location"), s.capture.as_ref()?.location)));
    let series = set.spec.series.iter().enumerate().filter(|(_, s)| s.state == Presence::Present);
    let scheduled = series.filter_map(|(i, s)| {
        let template = || series::template_of(set, s, scope)?.spec.capture.as_ref();
        let capture = s.capture.as_ref().or_else(template)?;
        Some((format!("/spec/series/{i}/capture/location"), capture.location))
    });
    declared.chain(scheduled).collect()
}

fn one_location(entry: &Entry<'_>, set: &SnapshotSet, scope: &Scope<'_>, out: &mut Vec<Diagnostic>) {
    let locations = locations(set, scope);
    let Some((first_at, first)) = locations.first() else { return };
    let Some((other_at, _)) = locations.iter().find(|(_, location)| location != first) else { return };
    let message =
        format!("the set mixes internal and external snapshots (the other kind at {})", entry.place(first_at));
    out.push(
        entry
            .fault(Code::MixedKinds, other_at, message)
            .label("the other kind here")
            .related(entry.text, &entry.range(first_at), "one kind here")
            .help("a domain has one kind: in a mixed tree some snapshots can be neither deleted nor reverted to"),
    );
}
