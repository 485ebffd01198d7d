//! Host and domain selectors: globs and UUIDs are well-formed; where two of them certainly meet.

use std::collections::BTreeSet;

use globset::{Glob, GlobMatcher};
use uuid::Uuid;

use super::Entry;
use crate::manifest::diagnostic::{Code, Diagnostic};
use crate::manifest::tree::shown;
use crate::model::kinds::{DomainSelector, HostSelector};

const UUID_PREFIX: &str = "uuid:";

/// Whether a pattern is a plain name and no glob.
fn is_literal(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

fn matcher(pattern: &str) -> Option<GlobMatcher> {
    Glob::new(pattern).ok().map(|glob| glob.compile_matcher())
}

/// Checks `domains` at a pointer.
pub(super) fn check_domains(entry: &Entry<'_>, pointer: &str, selector: &DomainSelector, out: &mut Vec<Diagnostic>) {
    for (field, patterns) in [("include", &selector.include), ("exclude", &selector.exclude)] {
        for (i, pattern) in patterns.iter().enumerate() {
            let at = format!("{pointer}/{field}/{i}");
            match pattern.strip_prefix(UUID_PREFIX) {
                Some(uuid) if Uuid::try_parse(uuid).is_err() => {
                    let message = format!("`{}` is not a UUID", shown(uuid));
                    let help = "write uuid: and the UUID as `virsh domuuid` prints it";
                    out.push(entry.fault(Code::WrongValue, &at, message).help(help));
                }
                Some(_) => {}
                None => check_pattern(entry, &at, pattern, "domain", out),
            }
        }
    }
}

/// Checks `hosts` at a pointer.
pub(super) fn check_hosts(entry: &Entry<'_>, pointer: &str, selector: &HostSelector, out: &mut Vec<Diagnostic>) {
    for (i, pattern) in selector.include.iter().enumerate() {
        check_pattern(entry, &format!("{pointer}/include/{i}"), pattern, "host", out);
    }
}

fn check_pattern(entry: &Entry<'_>, at: &str, pattern: &str, what: &str, out: &mut Vec<Diagnostic>) {
    if pattern.trim().is_empty() {
        let message = format!("a {what} name must not be empty");
        out.push(entry.fault(Code::WrongValue, at, message).help(format!("write a {what}'s name or a glob as web-*")));
    } else if !is_literal(pattern)
        && let Err(error) = Glob::new(pattern)
    {
        let message = format!("`{}` is not a glob: {}", shown(pattern), error.kind());
        out.push(
            entry.fault(Code::WrongValue, at, message).help("* any text, ? one character, [ab] one of, {a,b} either"),
        );
    }
}

/// The domains a selector names literally and does not exclude, as written (a UUID in its usual form).
pub(super) fn literals(selector: &DomainSelector) -> BTreeSet<String> {
    // What so many globs leave over is left to the plan: it is not certain without compiling them all.
    const MOST_GLOBS: usize = 100;
    let (excluded, globs): (Vec<_>, Vec<_>) = selector.exclude.iter().partition(|pattern| is_literal(pattern));
    if globs.len() > MOST_GLOBS {
        return BTreeSet::new();
    }
    let excluded: BTreeSet<String> = excluded.into_iter().map(|pattern| normal(pattern)).collect();
    let globs: Vec<GlobMatcher> = globs.into_iter().filter_map(|glob| matcher(glob)).collect();
    let names = selector.include.iter().filter(|pattern| is_literal(pattern)).map(|pattern| normal(pattern));
    names.filter(|name| !excluded.contains(name) && !globs.iter().any(|glob| glob.is_match(name))).collect()
}

fn normal(pattern: &str) -> String {
    match pattern.strip_prefix(UUID_PREFIX) {
        Some(uuid) => Uuid::try_parse(uuid).map_or_else(|_| pattern.to_owned(), |uuid| format!("{UUID_PREFIX}{uuid}")),
        None => pattern.to_owned(),
    }
}

/// Whether two host filters are certain to share a host where both have one: one of them takes every host, or they name
/// the same ones. Names that may never meet (`kvm-1` here, `kvm-2` there) are no fault.
pub(super) fn hosts_meet(a: Option<&HostSelector>, b: Option<&HostSelector>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    if a == b {
        return true;
    }
    let everywhere = |s: &HostSelector| s.include.is_empty() && s.labels.is_empty();
    if everywhere(a) || everywhere(b) {
        return true;
    }
    if !a.labels.is_empty() && !b.labels.is_empty() && a.labels != b.labels {
        return false;
    }
    let covers = |pattern: &str, other: &str| {
        pattern == other
            || (is_literal(other) && !is_literal(pattern) && matcher(pattern).is_some_and(|m| m.is_match(other)))
    };
    a.include.is_empty()
        || b.include.is_empty()
        || a.include.iter().any(|x| b.include.iter().any(|y| covers(x, y) || covers(y, x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(include: &[&str]) -> HostSelector {
        HostSelector { include: include.iter().map(|&s| s.to_owned()).collect(), ..HostSelector::default() }
    }

    #[test]
    fn hosts_meet_only_where_it_is_certain() {
        assert!(hosts_meet(None, Some(&hosts(&["a"]))));
        assert!(hosts_meet(Some(&hosts(&["kvm-*"])), Some(&hosts(&["kvm-1"]))));
        assert!(!hosts_meet(Some(&hosts(&["kvm-2"])), Some(&hosts(&["kvm-1"]))));
        assert!(!hosts_meet(Some(&hosts(&["kvm-*"])), Some(&hosts(&["*-1"]))));
    }

    #[test]
    fn excluded_names_are_not_literal() {
        let selector = DomainSelector {
            include: ["web", "db", "app-*", "uuid:6FA459EA-EE8A-3CA4-894E-DB77E160355E", "web"]
                .map(str::to_owned)
                .into(),
            exclude: vec!["d*".to_owned()],
        };
        let names = ["uuid:6fa459ea-ee8a-3ca4-894e-db77e160355e", "web"].map(str::to_owned);
        assert_eq!(literals(&selector), BTreeSet::from(names));
    }
}
