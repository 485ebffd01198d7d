//! The desired state: the decoded documents of one run, and where each of their values stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kinds::{Inventory, Metadata, RetentionPolicy, RevertRequest, SafetyPolicy, SeriesTemplate, SnapshotSet};
use super::lines::Lines;
use super::names::{DomainUuid, SetId};
use super::snapshot::ObservedSnapshot;

/// A place in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// The file as it was named on the command line or found below a directory; `-` for standard input.
    pub file: Arc<str>,
    /// 1-based; 0 for what is not in a file, as the command line.
    pub line: usize,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// One decoded document with the lines of its values.
#[derive(Debug, Clone)]
pub struct Document<T> {
    /// The file it stands in.
    pub file: Arc<str>,
    /// The line of each of its values.
    pub lines: Arc<Lines>,
    /// The decoded content.
    pub value: T,
}

impl<T> Document<T> {
    /// Where the value at a JSON pointer stands, or its nearest parent that is written down.
    pub fn origin(&self, pointer: &str) -> Origin {
        Origin { file: Arc::clone(&self.file), line: self.lines.of(pointer) }
    }
}

impl Document<SnapshotSet> {
    /// The owner written in the stamps of this set.
    pub fn id(&self) -> SetId {
        id_of(&self.value.metadata)
    }
}

/// The identity of any document within its kind.
pub fn id_of(metadata: &Metadata) -> SetId {
    SetId { namespace: metadata.namespace.clone(), name: metadata.name.clone() }
}

/// Everything the manifests of one run say, references resolved and values checked.
#[derive(Debug, Clone, Default)]
pub struct DesiredState {
    /// In the order of files and documents.
    pub sets: Vec<Document<SnapshotSet>>,
    /// By identity.
    pub templates: BTreeMap<SetId, Document<SeriesTemplate>>,
    /// By identity.
    pub retention: BTreeMap<SetId, Document<RetentionPolicy>>,
    /// By identity.
    pub safety: BTreeMap<SetId, Document<SafetyPolicy>>,
    /// In the order of files and documents.
    pub reverts: Vec<Document<RevertRequest>>,
    /// In the order of files and documents.
    pub inventories: Vec<Document<Inventory>>,
    /// The saved snapshots that `definition:` fields name: by manifest file and field value.
    pub definitions: BTreeMap<(Arc<str>, String), SavedSnapshot>,
}

/// A snapshot read from a file of saved XML.
#[derive(Debug, Clone)]
pub struct SavedSnapshot {
    /// The XML as it stands in the file.
    pub xml: Definition,
    /// What it says.
    pub snapshot: ObservedSnapshot,
    /// The domain it was taken of, where it says so.
    pub domain: Option<DomainUuid>,
}

/// Saved snapshot XML; may hold secrets, so it never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Definition {
    /// The file it was read from, as it is reached from the working directory.
    pub path: Arc<str>,
    /// What the file holds.
    pub xml: Arc<str>,
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Definition({}, {} bytes)", self.path, self.xml.len())
    }
}
