//! Sets that certainly meet: that name the same domain literally, on hosts they share. What meets by globs is found by
//! the plan, which knows the domains.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    /// The domains it names literally.
    literals: &'a BTreeSet<String>,
    /// Found out where it meets another, which hardly any does.
    location: OnceCell<Option<(String, Location)>>,
}

impl Claims<'_> {
    /// The first place that says how its domains are captured, and how; none where it is not of one kind, which is a fault of
    /// its own already.
    fn location(&self, scope: &Scope<'_>) -> Option<&(String, Location)> {
        let find = || {
            let locations = set::locations(self.set, scope);
            let uniform = locations.windows(2).all(|pair| pair[0].1 == pair[1].1);
            locations.into_iter().next().filter(|_| uniform)
        };
        self.location.get_or_init(find).as_ref()
    }
}

/// Checks every pair of sets that certainly meet, each pair once. `literals` are the domains that the set of each document
/// names literally.
pub(super) fn check(
    entries: &[Entry<'_>],
    literals: &[BTreeSet<String>],
    scope: &Scope<'_>,
    out: &mut Vec<Diagnostic>,
) {
    let before = out.len();
    let claims =
        |(entry, literals)| Some(Claims { entry, set: Entry::set(entry)?, literals, location: OnceCell::new() });
    let sets: Vec<Claims<'_>> = entries.iter().zip(literals).filter_map(claims).collect();
    let mut by_domain: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut budget = MOST_COMPARISONS;
    let mut reported = BTreeSet::new();
    for (i, claims) in sets.iter().enumerate() {
        for domain in claims.literals {
            let others = by_domain.entry(domain).or_default();
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
                    pair(first, claims, domain, scope, out);
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

fn pair(first: &Claims<'_>, second: &Claims<'_>, domain: &str, scope: &Scope<'_>, out: &mut Vec<Diagnostic>) {
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
    if let (Some((a, x)), Some((b, y))) = (first.location(scope), second.location(scope))
        && x != y
    {
        let help = "a domain has one kind: in a mixed tree some snapshots can be neither deleted nor reverted to";
        clash(Code::MixedKinds, (a, b), "want internal and external snapshots", help);
    }
}
