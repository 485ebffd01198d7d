//! The observed state: what libvirt reported of hosts, domains and snapshots, in the terms the planner compares.

use std::collections::BTreeMap;

use super::image::DomainFiles;
use super::ledger::Ledger;
use super::names::DomainUuid;
use super::tree::SnapshotTree;

/// Everything read in one pass.
#[derive(Debug, Clone, Default)]
pub struct ObservedState {
    /// The hosts that answered, in the order they were asked.
    pub hosts: Vec<ObservedHost>,
    /// The hosts that did not.
    pub unreachable: Vec<UnreadableHost>,
}

/// A host that could not be read.
#[derive(Debug, Clone)]
pub struct UnreadableHost {
    /// Its name in the Inventory, else its URI.
    pub name: String,
    /// What happened, for people.
    pub error: String,
}

/// What a host is and can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInfo {
    /// The name used in plans: the Inventory's, else the one libvirt reports.
    pub name: String,
    /// The connection's URI.
    pub uri: String,
    /// The name libvirt reports, whatever the Inventory calls it: the key of the locks, and what a saved plan knows the host
    /// by. Not libvirt's host UUID, which it makes up per process where the firmware has none.
    pub hostname: String,
    /// Labels of the Inventory.
    pub labels: BTreeMap<String, String>,
    /// libvirt's version on the host, as major * 1,000,000 + minor * 1,000 + release (`virConnectGetLibVersion`).
    pub libvirt_version: u64,
    /// Whether libvirt can revert to and delete external snapshots (`<externalSnapshot/>`, 9.9.0 and later).
    pub external_snapshots: bool,
}

impl HostInfo {
    /// Whether the host is libvirt's test driver, which has no images and so none of QEMU's rules about them.
    pub fn is_test_driver(&self) -> bool {
        self.uri.starts_with("test:") || self.uri.starts_with("test+")
    }
}

/// One host as it was read.
#[derive(Debug, Clone)]
pub struct ObservedHost {
    /// What it is.
    pub info: HostInfo,
    /// Every domain's name and UUID, also of those that no set selects; sorted by name.
    pub domain_names: Vec<(String, DomainUuid)>,
    /// The domains that were read, sorted by name.
    pub domains: Vec<ObservedDomain>,
    /// The selected domains that could not be read.
    pub unreadable: Vec<UnreadableDomain>,
    /// The domains that no set selects, read because a selected one has external snapshots and may share files with them;
    /// sorted by name. Else empty.
    pub others: Vec<ObservedDomain>,
    /// Of those, the ones that could not be read.
    pub others_unreadable: Vec<UnreadableDomain>,
}

impl ObservedHost {
    /// A host of which no domain was read yet.
    pub fn unread(info: HostInfo) -> Self {
        let (domains, others) = (Vec::new(), Vec::new());
        let (unreadable, others_unreadable) = (Vec::new(), Vec::new());
        Self { info, domain_names: Vec::new(), domains, unreadable, others, others_unreadable }
    }
}

/// A domain that could not be read. It does not hide the others.
#[derive(Debug, Clone)]
pub struct UnreadableDomain {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: DomainUuid,
    /// What happened, for people.
    pub error: String,
}

/// A domain's run state, as far as captures care (`virDomainState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RunState {
    /// Running, or blocked on a resource.
    Running,
    /// Paused.
    Paused,
    /// Shut off.
    ShutOff,
    /// The guest panicked, and its process was kept for a look (`on_crash` preserve).
    Crashed,
    /// On its way to shut off.
    ShuttingDown,
    /// Suspended to RAM by the guest; libvirt takes no snapshot then.
    PmSuspended,
    /// Anything newer.
    Unknown,
}

impl RunState {
    /// Whether a QEMU process exists.
    pub fn is_active(self) -> bool {
        // Of a process that died, QEMU's driver says shut off, with the reason crashed.
        self != Self::ShutOff
    }

    /// The word virsh uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::ShutOff => "shut off",
            Self::Crashed => "crashed",
            Self::ShuttingDown => "in shutdown",
            Self::PmSuspended => "pmsuspended",
            Self::Unknown => "in an unknown state",
        }
    }
}

/// Whether the agent in a guest answers libvirt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Agent {
    /// The domain has no channel for one.
    #[default]
    None,
    /// There is a channel, and nobody at its other end.
    Silent,
    /// One is connected.
    Connected,
}

/// Where a domain's firmware keeps its variables, which decides whether an internal snapshot of it can hold them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Nvram {
    /// Nowhere: a BIOS.
    #[default]
    None,
    /// In a qcow2 file.
    Qcow2,
    /// In a file of another format: no internal snapshot of the running domain is possible.
    Other,
}

/// What a revert is refused for and nothing else asks about; read where a revert may come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevertFacts {
    /// Whether the domain outlives its run.
    pub persistent: bool,
    /// Whether libvirt holds a saved memory image that the next start would load.
    pub managed_save: bool,
    /// The disks on which a job runs, by target.
    pub block_jobs: Vec<String>,
}

/// One domain as it was read.
#[derive(Debug, Clone)]
pub struct ObservedDomain {
    /// Its UUID.
    pub uuid: DomainUuid,
    /// Its name.
    pub name: String,
    /// Its run state.
    pub state: RunState,
    /// Its disks in the order of the domain XML.
    pub disks: Vec<ObservedDisk>,
    /// Where its firmware keeps its variables.
    pub nvram: Nvram,
    /// Its snapshots.
    pub tree: SnapshotTree,
    /// The merged copies of the ledger that name this domain's UUID; none: no copy was found.
    pub ledger: Option<Ledger>,
    /// Whether every copy that a later capture embeds holds all of `ledger`.
    pub ledger_is_current: bool,
    /// The internal snapshots that the images of the disks hold, by disk target. Disks whose image could not be read
    /// (remote host, permissions) are missing.
    pub image_snapshots: BTreeMap<String, Vec<String>>,
    /// Its image files; looked at where it has or shall have external snapshots.
    pub files: DomainFiles,
    /// The memory it is started with, in KiB.
    pub memory_kib: Option<u64>,
    /// Whether the guest's agent answers.
    pub agent: Agent,
    /// What stands in the way of a revert; none where none was asked for.
    pub revert: Option<RevertFacts>,
    /// The source of each disk at the next start, by target; of a running domain with external snapshots, else empty.
    pub next_sources: BTreeMap<String, String>,
    /// SHA-256, in hex, over the snapshots' XML without secrets, the current pointer, the run state and the disks.
    pub fingerprint: String,
}

/// A disk of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedDisk {
    /// The target, as `vda`.
    pub target: String,
    /// `file`, `block`, `network`, ...
    pub source_type: String,
    /// The path or device; none for an empty drive and for network sources.
    pub source: Option<String>,
    /// The image format, as `qcow2`.
    pub format: String,
    /// `disk`, `cdrom`, `floppy`, `lun`.
    pub device: String,
    /// Read-only to the guest.
    pub readonly: bool,
    /// The domain's own `<disk snapshot=...>`, if it says.
    pub snapshot: Option<String>,
    /// The images below `source`, from the top down, as the domain's XML has them (`<backingStore>`); none where the XML
    /// does not say: of a domain that is off.
    pub backing: Option<Vec<String>>,
}

impl ObservedDisk {
    /// Whether a drive without a medium.
    pub fn is_empty_drive(&self) -> bool {
        self.source.is_none() && self.source_type != "network"
    }
}
