//! A model of libvirt's snapshots: what the QEMU driver of libvirt 11.3 accepts, refuses and destroys, in memory.
//!
//! It is made of mechanisms and not of answers: files with images on them, definitions that name files, records that name
//! both. So what libvirt destroys where its records are wrong, the model destroys too. `suite/differential` holds it
//! against the real driver, call by call; `proof` drives snapward on it.

mod create;
mod delete;
mod files;
mod host;
mod power;
mod random;
mod redefine;
mod revert;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher as _};

use snapward::host::{ErrorClass, HostError};
use snapward::model::ledger::Ledger;
use snapward::model::names::{DomainUuid, SnapshotName};
use snapward::model::observed::{ObservedDisk, RunState};
use snapward::model::stamp::Description;

pub(crate) use create::Spec;
pub(crate) use files::{Pages, Storage};
pub(crate) use host::Model;
pub(crate) use random::Random;

/// The domains of a host, and its files.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// The second it is; libvirt's creationTime has no finer one.
    pub(crate) now: i64,
    pub(crate) libvirt_version: u64,
    pub(crate) storage: Storage,
    pub(crate) domains: BTreeMap<String, Domain>,
    /// Files that a process which is no guest has open, as a backup.
    pub(crate) readers: BTreeSet<String>,
    /// Files that somebody removed while a QEMU had them open, by their paths: it goes on with them.
    replaced: BTreeMap<String, files::Image>,
    /// Records that were read with secrets, by the number that stands for them in a [`snapward::host::SecureXml`].
    read: Vec<Record>,
    /// The driver died, and of what.
    pub(crate) crashed: Option<String>,
}

/// A domain as libvirt has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Domain {
    pub(crate) uuid: DomainUuid,
    pub(crate) state: RunState,
    pub(crate) persistent: bool,
    pub(crate) managed_save: bool,
    /// The definition in effect.
    pub(crate) definition: Definition,
    /// The one for the next start, while it runs.
    pub(crate) stored: Option<Definition>,
    /// The images that QEMU has open, by disk target, the active one first; empty while it is off.
    pub(crate) open: BTreeMap<String, Vec<String>>,
    /// It is paused since its memory was written to a file, or read from one: QEMU has given its images up, and takes them
    /// again when it is resumed.
    pub(crate) images_wait: Option<Since>,
    pub(crate) snapshots: BTreeMap<SnapshotName, Record>,
    pub(crate) current: Option<SnapshotName>,
    /// The filesystem of libvirt's metadata is full.
    pub(crate) metadata_full: bool,
    /// Calls that read its definition fail.
    pub(crate) unreadable: bool,
    /// Reading its definition ends in a defect.
    pub(crate) defect: bool,
    /// An agent answers in the guest while that runs.
    pub(crate) agent: bool,
    /// How often its filesystems were frozen.
    pub(crate) freezes: usize,
}

/// A definition, as far as snapshots go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Definition {
    pub(crate) disks: Vec<ObservedDisk>,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) memory_kib: u64,
}

/// libvirt's record of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) name: SnapshotName,
    pub(crate) parent: Option<SnapshotName>,
    pub(crate) created: i64,
    /// `running`, `paused`, `shutoff`, `disk-snapshot`.
    pub(crate) state: String,
    pub(crate) description: String,
    pub(crate) memory: Part,
    /// By target.
    pub(crate) disks: BTreeMap<String, Part>,
    /// The disks that a deletion which failed left marked (`<snapshotDeleteInProgress/>`).
    pub(crate) unfinished: BTreeSet<String>,
    /// The overlays of a revert to it, by target (`<revertDisks>`).
    pub(crate) revert_disks: BTreeMap<String, String>,
    /// The definition of its time; a redefine can leave none.
    pub(crate) definition: Option<Definition>,
    /// The stored one of its time, where the domain ran (`<inactiveDomain>`).
    pub(crate) inactive: Option<Definition>,
}

/// Since when the images of a paused domain wait for it to be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// A capture of its memory.
    Capture,
    /// A revert to captured memory.
    Revert,
}

/// Where a part of a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    No,
    Internal,
    Manual,
    /// The overlay of a disk or the memory image.
    File(String),
}

/// Why libvirt did not do what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// There is no such domain or snapshot.
    NotFound,
    /// The request makes no sense in this state of things.
    Refused,
    /// It was tried, and QEMU or a tool could not.
    Failed,
    /// The system said no to libvirt, which snapward takes for something that may pass.
    System,
    /// The driver died of it.
    Crashed,
}

/// A call that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) why: Why,
    pub(crate) text: String,
}

pub(crate) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    fn error(self, operation: impl Into<String>) -> HostError {
        let class = match self.why {
            Why::NotFound => ErrorClass::NotFound,
            Why::Refused | Why::Failed => ErrorClass::Refused,
            Why::System => ErrorClass::Transient,
            Why::Crashed => ErrorClass::OutcomeUnknown,
        };
        HostError::new(class, operation, self.text)
    }
}

fn refused<T>(text: impl Into<String>) -> Answer<T> {
    Err(Refusal { why: Why::Refused, text: text.into() })
}

fn failed<T>(text: impl Into<String>) -> Answer<T> {
    Err(Refusal { why: Why::Failed, text: text.into() })
}

fn missing(what: &str) -> Refusal {
    Refusal { why: Why::NotFound, text: format!("there is no {what}") }
}

impl World {
    pub(crate) fn new(now: i64) -> Self {
        Self {
            now,
            libvirt_version: 11_003_000,
            storage: Storage::default(),
            domains: BTreeMap::new(),
            readers: BTreeSet::new(),
            replaced: BTreeMap::new(),
            read: Vec::new(),
            crashed: None,
        }
    }

    pub(crate) fn domain(&self, name: &str) -> Answer<&Domain> {
        self.domains.get(name).ok_or_else(|| missing("such domain"))
    }

    fn domain_mut(&mut self, name: &str) -> Answer<&mut Domain> {
        self.domains.get_mut(name).ok_or_else(|| missing("such domain"))
    }

    /// Whether a process has this file open.
    fn is_open(&self, path: &str) -> bool {
        let file = self.storage.real(path);
        if self.replaced.contains_key(file) {
            return false;
        }
        if self.readers.contains(file) {
            return true;
        }
        let open = self.domains.values().flat_map(|domain| domain.open.values().flatten());
        open.into_iter().any(|opened| self.storage.real(opened) == file)
    }

    fn crash<T>(&mut self, of: &str) -> Answer<T> {
        self.crashed = Some(of.to_owned());
        Err(Refusal { why: Why::Crashed, text: of.to_owned() })
    }

    /// Defines a domain with these disks.
    pub(crate) fn define(&mut self, name: &str, uuid: DomainUuid, disks: Vec<ObservedDisk>) {
        let domain = Domain {
            uuid,
            state: RunState::ShutOff,
            persistent: true,
            managed_save: false,
            definition: Definition { disks, ledger: None, memory_kib: 32 * 1024 },
            stored: None,
            open: BTreeMap::new(),
            images_wait: None,
            snapshots: BTreeMap::new(),
            current: None,
            metadata_full: false,
            unreadable: false,
            defect: false,
            agent: false,
            freezes: 0,
        };
        self.domains.insert(name.to_owned(), domain);
    }

    /// Somebody removes a file that a QEMU has open, and puts a copy in its place.
    pub(crate) fn replace(&mut self, path: &str) {
        let Some(old) = self.storage.get(path).cloned() else { return };
        self.storage.make(path, &old.format, old.backing.as_deref());
        if let Some(copy) = self.storage.get_mut(path) {
            (copy.pages, copy.tags) = (old.pages.clone(), old.tags.clone());
        }
        self.replaced.insert(path.to_owned(), old);
    }

    /// The files as the QEMUs have them open, where that is not what is under their paths.
    fn as_opened(&self) -> Cow<'_, Storage> {
        if self.replaced.is_empty() {
            return Cow::Borrowed(&self.storage);
        }
        let mut storage = self.storage.clone();
        storage.files.extend(self.replaced.iter().map(|(path, image)| (path.clone(), image.clone())));
        Cow::Owned(storage)
    }

    /// Whether a domain could go back to an external snapshot, as far as files go: they are there.
    pub(crate) fn is_whole(&self, domain: &str, snapshot: &SnapshotName) -> bool {
        let record = self.domains.get(domain).and_then(|domain| domain.snapshots.get(snapshot));
        let Some((record, definition)) = record.and_then(|record| Some((record, record.definition.as_ref()?))) else {
            return false;
        };
        let memory = !matches!(&record.memory, Part::File(path) if !self.storage.exists(path));
        let mut sources = definition.disks.iter().filter_map(|disk| disk.source.as_deref());
        memory && sources.all(|source| self.storage.chain(source).is_ok())
    }

    /// What a snapshot's files hold of each disk that it captured.
    pub(crate) fn held(&self, domain: &str, snapshot: &SnapshotName) -> BTreeMap<String, Result<Pages, String>> {
        let record = self.domains.get(domain).and_then(|domain| domain.snapshots.get(snapshot));
        let Some((record, definition)) = record.and_then(|record| Some((record, record.definition.as_ref()?))) else {
            return BTreeMap::new();
        };
        let storage = self.as_opened();
        let with_memory = matches!(record.memory, Part::File(_));
        let held = |disk: &ObservedDisk| {
            let source = disk.source.as_deref()?;
            let content = match record.disks.get(&disk.target) {
                Some(Part::File(_)) => storage.content(source),
                Some(Part::Internal) => storage.tagged(source, snapshot.as_str()),
                // The memory fits the disks of its time alone.
                _ if with_memory => storage.content(source),
                _ => return None,
            };
            Some((disk.target.clone(), content))
        };
        definition.disks.iter().filter_map(held).collect()
    }

    /// What the disks of a domain hold, by target: those of one that runs, as its guest sees them.
    pub(crate) fn disks(&self, domain: &str) -> BTreeMap<String, Result<Pages, String>> {
        let Some(domain) = self.domains.get(domain) else { return BTreeMap::new() };
        let storage = self.as_opened();
        let content = |disk: &ObservedDisk| {
            let opened = domain.open.get(&disk.target).and_then(|open| open.first());
            Some((disk.target.clone(), storage.content(opened.or(disk.source.as_ref())?)))
        };
        domain.definition.disks.iter().filter_map(content).collect()
    }
}

impl Domain {
    pub(crate) fn children(&self, of: &SnapshotName) -> Vec<&SnapshotName> {
        let hangs = |record: &&Record| record.parent.as_ref() == Some(of);
        self.snapshots.values().filter(hangs).map(|record| &record.name).collect()
    }

    /// The current snapshot and its ancestors, as far as they are listed.
    pub(crate) fn path(&self) -> Vec<&Record> {
        self.ancestry(self.current.as_ref())
    }

    /// A snapshot and its ancestors, as far as they are listed.
    pub(crate) fn ancestry(&self, from: Option<&SnapshotName>) -> Vec<&Record> {
        let mut path: Vec<&Record> = Vec::new();
        let mut at = from.and_then(|name| self.snapshots.get(name));
        while let Some(record) = at.filter(|_| path.len() <= self.snapshots.len()) {
            path.push(record);
            at = record.parent.as_ref().and_then(|parent| self.snapshots.get(parent));
        }
        path
    }

    fn is_below(&self, name: &SnapshotName, above: &SnapshotName) -> bool {
        name != above && self.ancestry(Some(name)).iter().any(|record| record.name == *above)
    }

    /// Whether the copies of the ledger together say that a snapshot of this name was captured, and not since that it may be
    /// again.
    pub(crate) fn remembers_making(&self, name: &SnapshotName) -> bool {
        let mut all = Ledger::empty(self.uuid);
        self.ledgers().for_each(|ledger| all.merge(ledger));
        all.made(name).is_some()
    }

    fn ledgers(&self) -> impl Iterator<Item = &Ledger> {
        let kept = self.snapshots.values().flat_map(|record| record.definition.iter().chain(&record.inactive));
        kept.chain(&self.stored).chain([&self.definition]).filter_map(|kept| kept.ledger.as_ref())
    }

    /// Whether a note of a revert for this token is on a snapshot, or in any copy of the ledger.
    pub(crate) fn remembers(&self, token: &str) -> bool {
        let notes = |record: &Record| Description::parse(&record.description).reverts;
        let mut noted =
            self.ledgers().flat_map(|ledger| ledger.reverts.clone()).chain(self.snapshots.values().flat_map(notes));
        noted.any(|note| note.token == token)
    }

    fn disk(&self, target: &str) -> Option<&ObservedDisk> {
        self.definition.disk(target)
    }

    /// Both definitions, where there are two.
    fn definitions(&mut self) -> impl Iterator<Item = &mut Definition> {
        std::iter::once(&mut self.definition).chain(&mut self.stored)
    }

    /// Moves the pointer; libvirt drops the revert overlays of the one it leaves (`qemuSnapshotSetCurrent`), but for a revert
    /// to an internal one.
    fn set_current(&mut self, name: &SnapshotName) {
        if let Some(old) = self.current.take().filter(|old| old != name)
            && let Some(record) = self.snapshots.get_mut(&old)
        {
            record.revert_disks.clear();
        }
        self.current = Some(name.clone());
    }

    /// Removes a record: children and pointer move to the parent. There, what a revert made takes the place of what the
    /// capture made, other children or not (`qemuSnapshotDeleteUpdateParent`).
    fn remove(&mut self, name: &SnapshotName) {
        let parent = self.snapshots.remove(name).and_then(|record| record.parent);
        let parent = parent.filter(|parent| self.snapshots.contains_key(parent));
        for child in self.snapshots.values_mut().filter(|child| child.parent.as_ref() == Some(name)) {
            child.parent.clone_from(&parent);
        }
        let record = parent.as_ref().and_then(|parent| self.snapshots.get_mut(parent));
        if let Some(record) = record.filter(|record| !record.revert_disks.is_empty()) {
            let overlays = std::mem::take(&mut record.revert_disks);
            record.disks = overlays.into_iter().map(|(target, overlay)| (target, Part::File(overlay))).collect();
            record.unfinished.clear();
        }
        if self.current.as_ref() == Some(name) {
            self.current = parent;
        }
    }
}

impl Definition {
    pub(crate) fn disk(&self, target: &str) -> Option<&ObservedDisk> {
        self.disks.iter().find(|disk| disk.target == target)
    }

    pub(crate) fn disk_mut(&mut self, target: &str) -> Option<&mut ObservedDisk> {
        self.disks.iter_mut().find(|disk| disk.target == target)
    }

    fn source(&self, target: &str) -> Option<&str> {
        self.disk(target)?.source.as_deref()
    }
}

impl Record {
    /// As `virDomainSnapshotIsExternal`.
    pub(crate) fn is_external(&self) -> bool {
        self.overlays().next().is_some() || matches!(self.memory, Part::File(_))
    }

    /// The overlays that the capture made, by target.
    pub(crate) fn overlays(&self) -> impl Iterator<Item = (&String, &String)> {
        self.disks.iter().filter_map(|(target, part)| match part {
            Part::File(path) => Some((target, path)),
            _ => None,
        })
    }

    fn definitions(&mut self) -> impl Iterator<Item = &mut Definition> {
        self.definition.iter_mut().chain(&mut self.inactive)
    }

    /// Stands for the XML's hash.
    fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        let mut hasher = std::hash::DefaultHasher::new();
        (&self.name, &self.parent, self.created, &self.state, &self.description).hash(&mut hasher);
        (&self.memory, &self.disks, &self.revert_disks, &self.unfinished).hash(&mut hasher);
        for definition in self.definition.iter().chain(&self.inactive) {
            for disk in &definition.disks {
                (&disk.target, &disk.source, &disk.format).hash(&mut hasher);
            }
            definition.ledger.as_ref().map(|ledger| format!("{ledger:?}")).hash(&mut hasher);
        }
        digest[..8].copy_from_slice(&hasher.finish().to_le_bytes());
        digest
    }
}
