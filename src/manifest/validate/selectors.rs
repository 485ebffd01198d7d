//! Host and domain selectors: globs and UUIDs are well-formed; where two of them certainly meet.

use std::collections::BTreeSet;

use super::Entry;
use crate::manifest::diagnostic::{Code, Diagnostic};
use crate::model::kinds::{DomainSelector, HostSelector};
use crate::model::names::DomainUuid;
use crate::model::selector::Pattern;

/// Checks `domains` at a pointer.
pub(super) fn check_domains(entry: &Entry<'_>, pointer: &str, selector: &DomainSelector, out: &mut Vec<Diagnostic>) {
    for (field, patterns) in [("include", &selector.include), ("exclude", &selector.exclude)] {
        for (i, pattern) in patterns.iter().enumerate() {
            check_pattern(entry, &format!("{pointer}/{field}/{i}"), pattern, "domain", out);
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
    let fault = |message: String, help: String| entry.fault(Code::WrongValue, at, message).help(help);
    if pattern.trim().is_empty() {
        let help = format!("write a {what}'s name or a glob as web-*");
        out.push(fault(format!("a {what} name must not be empty"), help));
    } else if let Err(message) = Pattern::parse(pattern) {
        let help = if pattern.starts_with("uuid:") {
            "write uuid: and the UUID as `virsh domuuid` prints it"
        } else {
            "* any text, ? one character, [ab] one of, {a,b} either"
        };
        out.push(fault(message, help.to_owned()));
    }
}

/// The domains a selector names literally and does not exclude: names as written, UUIDs in their usual form.
pub(super) fn literals(selector: &DomainSelector) -> BTreeSet<String> {
    // What so many patterns leave over is left to the plan: it is not certain without compiling them all.
    const MOST_EXCLUDED: usize = 100;
    if selector.exclude.len() > MOST_EXCLUDED {
        return BTreeSet::new();
    }
    let excluded: Vec<_> = selector.exclude.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
    let nil = DomainUuid(uuid::Uuid::nil());
    let literal = |text: &String| match Pattern::parse(text).ok()? {
        Pattern::Name(name) => (!excluded.iter().any(|pattern| pattern.matches(&name, nil))).then_some(name),
        Pattern::Uuid(uuid) => {
            (!excluded.iter().any(|pattern| pattern.matches("", uuid))).then(|| format!("uuid:{uuid}"))
        }
        Pattern::Glob(_) => None,
    };
    selector.include.iter().filter_map(literal).collect()
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
    let nil = DomainUuid(uuid::Uuid::nil());
    let covers = |pattern: &str, other: &str| {
        let name = Pattern::parse(other).is_ok_and(|other| matches!(other, Pattern::Name(_)));
        pattern == other || (name && Pattern::parse(pattern).is_ok_and(|pattern| pattern.matches(other, nil)))
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
