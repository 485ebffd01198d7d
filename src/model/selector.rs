//! Matching of hosts and domains against the selectors of a manifest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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

/// Many selections, found by the domain they may choose: a farm with a set for each of its domains asks for each domain
/// which of ten thousand sets choose it.
#[derive(Debug, Clone, Default)]
pub struct Chooser {
    selections: Vec<Selection>,
    /// The places of those that choose by plain names alone, under each of the names.
    by_name: HashMap<String, Vec<usize>>,
    /// The places of the others.
    rest: Vec<usize>,
}

impl Chooser {
    /// Puts selections together. They are known by their places.
    pub fn new(selections: impl IntoIterator<Item = Selection>) -> Self {
        let mut all = Self::default();
        for (place, selection) in selections.into_iter().enumerate() {
            let names = selection.include.iter().map(|pattern| match pattern {
                Pattern::Name(name) => Some(name.clone()),
                Pattern::Uuid(_) | Pattern::Glob(_) => None,
            });
            match names.collect::<Option<BTreeSet<_>>>() {
                Some(names) => names.into_iter().for_each(|name| all.by_name.entry(name).or_default().push(place)),
                None => all.rest.push(place),
            }
            all.selections.push(selection);
        }
        all
    }

    /// All of them, in their order.
    pub fn selections(&self) -> &[Selection] {
        &self.selections
    }

    /// The places of those that choose a domain, in their order.
    pub fn choosing(&self, host: &HostInfo, name: &str, uuid: DomainUuid) -> Vec<usize> {
        let named = self.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        let chooses = |place: &usize| {
            let selection = &self.selections[*place];
            selection.selects_host(host) && selection.selects_domain(name, uuid)
        };
        let mut places: Vec<usize> = named.iter().chain(&self.rest).copied().filter(chooses).collect();
        places.sort_unstable();
        places
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
    fn a_chooser_finds_what_each_selection_by_itself_chooses() {
        let uuid = DomainUuid(uuid::Uuid::from_u128(7));
        let by_uuid = format!("uuid:{uuid}");
        let selectors = [
            (vec!["web-1"], vec![]),
            (vec!["web-*"], vec!["web-2"]),
            (vec!["web-2", "web-1", "web-1"], vec![]),
            (vec![by_uuid.as_str(), "db"], vec![]),
            (vec!["web-1"], vec!["*-1"]),
            (vec!["web-["], vec![]),
            (vec![], vec![]),
        ];
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let selections: Vec<_> = selectors
            .iter()
            .map(|(include, exclude)| DomainSelector { include: texts(include), exclude: texts(exclude) })
            .map(|domains| Selection::new(None, &domains))
            .collect();
        let host = HostInfo {
            name: "kvm".to_owned(),
            uri: String::new(),
            hostname: String::new(),
            labels: BTreeMap::new(),
            libvirt_version: 0,
            external_snapshots: false,
        };
        let chooser = Chooser::new(selections.clone());
        for name in ["web-1", "web-2", "web-3", "db", "other", ""] {
            for uuid in [uuid, DomainUuid(uuid::Uuid::nil())] {
                let each = selections.iter().enumerate().filter(|(_, selection)| selection.selects_domain(name, uuid));
                let each: Vec<_> = each.map(|(place, _)| place).collect();
                assert_eq!(chooser.choosing(&host, name, uuid), each, "{name} {uuid}");
            }
        }
    }

    #[test]
    fn malformed_patterns_are_told_apart() {
        for bad in ["", "uuid:7", "web-[", "{a"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
