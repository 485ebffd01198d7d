//! Sets that certainly meet: that name the same domain literally, on hosts they share. What meets by globs is found by
//! the plan, which knows the domains.

use std::collections::BTreeMap;

use super::{Entry, Scope, selectors, set};
use crate::manifest::diagnostic::{Code, Diagnostic};
use crate::manifest::gate::MAX_FAULTS;
use crate::manifest::tree::shown;
use crate::model::kinds::{Location, Presence, Series, SnapshotSet};

/// The most host patterns compared. A farm of a thousand hosts, each with its own set for a domain of one name, needs
/// a quarter of it; beyond it only a hostile repository is checked no further here, and the plan still blocks what really meets.
const MOST_COMPARISONS: usize = 4_000_000;

fn patterns(claims: &Claims<'_>) -> usize {
    claims.set.spec.hosts.as_ref().map_or(0, |hosts| hosts.include.len())
}

/// A set and what it says of its domains.
struct Claims<'a> {
    entry: &'a Entry<'a>,
    set: &'a SnapshotSet,
    /// The first place that says so, and how its domains are captured.
    location: Option<(String, Location)>,
    /// Whether it is of one kind; a mixed one is a fault of its own already.
    uniform: bool,
}

/// Checks every pair of sets that certainly meet, each pair once.
pub(super) fn check(entries: &[Entry<'_>], scope: &Scope<'_>, out: &mut Vec<Diagnostic>) {
    let before = out.len();
    let sets: Vec<Claims<'_>> = entries
        .iter()
        .filter_map(|entry| {
            let set = entry.set()?;
            let locations = set::locations(set, scope);
            let uniform = locations.windows(2).all(|pair| pair[0].1 == pair[1].1);
            Some(Claims { entry, set, location: locations.into_iter().next(), uniform })
        })
        .collect();
    let mut by_domain: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut budget = MOST_COMPARISONS;
    let mut reported = std::collections::BTreeSet::new();
    for (i, claims) in sets.iter().enumerate() {
        for domain in selectors::literals(&claims.set.spec.domains) {
            let others = by_domain.entry(domain.clone()).or_default();
            for &other in others.iter() {
                let first = &sets[other];
                budget = budget.saturating_sub(1 + patterns(first) * patterns(claims));
                if budget == 0 {
                    return;
                }
                if !selectors::hosts_meet(first.set.spec.hosts.as_ref(), claims.set.spec.hosts.as_ref()) {
                    continue;
                }
                if reported.insert((other, i)) {
                    pair(first, claims, &domain, out);
                }
                if out.len() - before > MAX_FAULTS {
                    return;
                }
            }
            others.push(i);
        }
    }
}

/// The series that shall exist; one that is drained may be on its way from one set to another.
fn present(set: &SnapshotSet) -> impl Iterator<Item = (usize, &Series)> {
    set.spec.series.iter().enumerate().filter(|(_, series)| series.state == Presence::Present)
}

fn pair(first: &Claims<'_>, second: &Claims<'_>, domain: &str, out: &mut Vec<Diagnostic>) {
    let domain = shown(domain);
    let mut clash = |code, pointers: (&str, &str), what: &str, help: &str| {
        let message =
            format!("two sets {what} for the domain `{domain}`, the first at {}", first.entry.place(pointers.0));
        out.push(
            second
                .entry
                .fault(code, pointers.1, message)
                .label(format!("set `{}` here", shown(&second.set.metadata.name)))
                .related(
                    first.entry.text,
                    &first.entry.range(pointers.0),
                    format!("set `{}` here", shown(&first.set.metadata.name)),
                )
                .help(help),
        );
    };
    let index: BTreeMap<&str, usize> =
        first.set.spec.snapshots.iter().enumerate().map(|(i, snapshot)| (snapshot.name.as_str(), i)).collect();
    for (j, snapshot) in second.set.spec.snapshots.iter().enumerate() {
        if let Some(i) = index.get(snapshot.name.as_str()) {
            let what = format!("declare the snapshot `{}`", shown(snapshot.name.as_str()));
            let pointers = (format!("/spec/snapshots/{i}/name"), format!("/spec/snapshots/{j}/name"));
            let help = "a snapshot has one owner: remove it from one set, or exclude the domain there";
            clash(Code::Conflict, (&pointers.0, &pointers.1), &what, help);
        }
    }
    let series: BTreeMap<&str, usize> = present(first.set).map(|(i, series)| (series.name.as_str(), i)).collect();
    for (j, named) in present(second.set) {
        if let Some(i) = series.get(named.name.as_str()) {
            let what = format!("declare the series `{}`", shown(&named.name));
            let pointers = (format!("/spec/series/{i}/name"), format!("/spec/series/{j}/name"));
            let help = "a series has one owner in a domain: rename it in one set, or exclude the domain there";
            clash(Code::Conflict, (&pointers.0, &pointers.1), &what, help);
        }
    }
    if first.set.spec.current.is_some() && second.set.spec.current.is_some() {
        let help = "a domain has one current snapshot: remove `current` from one set, or exclude the domain there";
        clash(Code::Conflict, ("/spec/current", "/spec/current"), "set `current`", help);
    }
    if let (Some((a, x)), Some((b, y)), true) = (&first.location, &second.location, first.uniform && second.uniform)
        && x != y
    {
        let help = "a domain has one kind: in a mixed tree some snapshots can be neither deleted nor reverted to";
        clash(Code::MixedKinds, (a, b), "want internal and external snapshots", help);
    }
}
