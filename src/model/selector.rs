//! Matching of hosts and domains against the selectors of a manifest.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobMatcher};

use super::kinds::{DomainSelector, HostSelector, SnapshotSetSpec};
use super::names::DomainUuid;
use super::observed::HostInfo;

/// One entry of an `include` or `exclude` list.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// A plain name.
    Name(String),
    /// `uuid:...`.
    Uuid(DomainUuid),
    /// A name with `*`, `?`, `[...]` or `{...}`.
    Glob(GlobMatcher),
}

impl Pattern {
    /// Reads an entry.
    ///
    /// # Errors
    /// A sentence for the user, for an empty entry, a UUID that is none, or a malformed glob.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty name matches nothing".to_owned());
        }
        if let Some(uuid) = text.strip_prefix("uuid:") {
            return uuid
                .parse()
                .map(|uuid| Self::Uuid(DomainUuid(uuid)))
                .map_err(|_| format!("`{}` is not a UUID", super::text::printable(uuid)));
        }
        if !text.contains(['*', '?', '[', ']', '{', '}', '\\']) {
            return Ok(Self::Name(text.to_owned()));
        }
        GlobBuilder::new(text)
            .build()
            .map(|glob| Self::Glob(glob.compile_matcher()))
            .map_err(|error| format!("`{}` is not a glob: {}", super::text::printable(text), error.kind()))
    }

    /// Whether the pattern names one thing, so that finding nothing is a mistake and not an empty selection.
    pub fn is_literal(&self) -> bool {
        !matches!(self, Self::Glob(_))
    }

    /// Whether it fits the domain.
    pub fn matches(&self, name: &str, uuid: DomainUuid) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Uuid(wanted) => *wanted == uuid,
            Self::Glob(glob) => glob.is_match(name),
        }
    }
}

/// The selectors of one set, read once and asked for every host and domain.
#[derive(Debug, Clone)]
pub struct Selection {
    hosts: Vec<Pattern>,
    labels: BTreeMap<String, String>,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Selection {
    /// Reads the selectors. Malformed patterns match nothing; validation has reported them.
    pub fn new(hosts: Option<&HostSelector>, domains: &DomainSelector) -> Self {
        let read = |texts: &[String]| texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
        Self {
            hosts: hosts.map(|hosts| read(&hosts.include)).unwrap_or_default(),
            labels: hosts.map(|hosts| hosts.labels.clone()).unwrap_or_default(),
            include: read(&domains.include),
            exclude: read(&domains.exclude),
        }
    }

    /// The selection of a set.
    pub fn of(spec: &SnapshotSetSpec) -> Self {
        Self::new(spec.hosts.as_ref(), &spec.domains)
    }

    /// Whether the host is chosen.
    pub fn selects_host(&self, host: &HostInfo) -> bool {
        let nil = DomainUuid(uuid::Uuid::nil());
        (self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(&host.name, nil)))
            && self.labels.iter().all(|(key, value)| host.labels.get(key) == Some(value))
    }

    /// Whether the domain is chosen.
    pub fn selects_domain(&self, name: &str, uuid: DomainUuid) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name, uuid));
        any(&self.include) && !any(&self.exclude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_chosen_by_name_glob_and_uuid_less_the_excluded() {
        let uuid = DomainUuid(uuid::Uuid::from_u128(7));
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let selection = |include: &[&str], exclude: &[&str]| {
            Selection::new(None, &DomainSelector { include: texts(include), exclude: texts(exclude) })
        };
        assert!(selection(&["web-1"], &[]).selects_domain("web-1", uuid));
        assert!(!selection(&["web"], &[]).selects_domain("web-1", uuid));
        assert!(selection(&["web-*"], &[]).selects_domain("web-1", uuid));
        assert!(!selection(&["web-*"], &["*-1"]).selects_domain("web-1", uuid));
        let by_uuid = format!("uuid:{uuid}");
        assert!(selection(&[&by_uuid], &[]).selects_domain("renamed", uuid));
        assert!(!selection(&["*"], &[&by_uuid]).selects_domain("web-1", uuid));
    }

    #[test]
    fn malformed_patterns_are_told_apart() {
        for bad in ["", "uuid:7", "web-[", "{a"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
