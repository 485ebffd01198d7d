//! One observed snapshot: what its XML says, in the terms the planner compares.

use std::collections::{BTreeMap, BTreeSet};

use super::kinds::Content;
use super::ledger::Ledger;
use super::names::SnapshotName;
use super::observed::ObservedDisk;
use super::shared::Shared;
use super::stamp::{Description, Stamp};

/// One snapshot as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Its parent's name.
    pub parent: Option<SnapshotName>,
    /// libvirt's creationTime, UTC epoch seconds.
    pub created: i64,
    /// The run state it was captured in, as libvirt writes it: `running`, `paused`, `shutoff`, `disk-snapshot`.
    pub state: String,
    /// The user's text and our stamp.
    pub description: Description,
    /// Where its memory is: none, or internal or external.
    pub memory: Storage,
    /// Where each disk's state is, by target.
    pub disks: Shared<BTreeMap<String, Storage>>,
    /// The files of its external parts; none where it has no external part.
    pub files: Option<Box<SnapshotFiles>>,
    /// The domain's definition of its time, which a revert brings back; none where libvirt keeps none.
    pub definition: Option<Shared<KeptDefinition>>,
    /// The ledger embedded in the domain XML of its time; once the copies are merged, none.
    pub ledger: Option<Shared<Ledger>>,
    /// SHA-256 over its XML without secrets.
    pub digest: [u8; 32],
}

/// What a snapshot keeps of the domain's definition, as far as a revert hangs on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptDefinition {
    /// The disks, in their order.
    pub disks: Vec<ObservedDisk>,
    /// The memory, in KiB.
    pub memory_kib: Option<u64>,
}

/// The files that an external snapshot names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotFiles {
    /// The overlays that were made by the capture, by disk target: what was written after it.
    pub overlays: BTreeMap<String, String>,
    /// The overlays that a revert to it made, while it has children: they stand in for `overlays` (`<revertDisks>`).
    pub revert_overlays: BTreeMap<String, String>,
    /// The images that the capture froze, by disk target: the disks of the embedded domain definition.
    pub bases: BTreeMap<String, String>,
    /// The memory image.
    pub memory: Option<String>,
    /// The declared format of each of these images, by path.
    pub formats: BTreeMap<String, String>,
    /// The disks that an interrupted deletion left marked (`<snapshotDeleteInProgress/>`).
    pub unfinished: BTreeSet<String>,
}

impl SnapshotFiles {
    /// The overlay above a disk's frozen image: a revert's where there is one, else the capture's.
    pub fn overlay(&self, target: &str) -> Option<&str> {
        self.revert_overlays.get(target).or_else(|| self.overlays.get(target)).map(String::as_str)
    }
}

/// Where a part of a snapshot is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Not captured.
    No,
    /// Inside the qcow2 image.
    Internal,
    /// In a file of its own.
    External,
    /// Captured by somebody else.
    Manual,
}

impl ObservedSnapshot {
    /// Its stamp, where that names this snapshot: the copy that a clone or a rename made is not ours.
    pub fn own_stamp(&self) -> Option<&Stamp> {
        self.description.stamp.as_ref().filter(|stamp| stamp.snapshot == self.name)
    }

    /// Whether any part of it is external. As virsh: by memory and disks; an offline or disk-only external snapshot has
    /// external disks.
    pub fn is_external(&self) -> bool {
        let external = |storage: &Storage| matches!(storage, Storage::External | Storage::Manual);
        external(&self.memory) || self.disks.values().any(external) || self.state == "disk-snapshot"
    }

    /// What it holds; none where its XML cannot tell (shut off: disks alone are everything there was).
    pub fn content(&self) -> Option<Content> {
        let disks = self.disks.values().any(|storage| *storage != Storage::No);
        match (self.memory != Storage::No, disks) {
            (true, false) => Some(Content::Memory),
            (true, true) => Some(Content::Full),
            (false, _) if self.state == "disk-snapshot" => Some(Content::Disks),
            (false, _) => None,
        }
    }
}
