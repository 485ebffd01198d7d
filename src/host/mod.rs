//! The seam to a hypervisor: `trait Host`, the few blocking calls snapward needs. Each method is exactly one libvirt
//! call (file probes are none, `domain` is two, and `survey` and `read_snapshots` are several of the others), so that a decorator counts, limits or forbids
//! calls without knowing more.

mod counting;
mod deadline;
mod error;
mod event;
#[cfg(test)]
mod fake;
mod operation;
mod query;
mod read_only;
mod survey;
mod threads;

pub use counting::Counting;
pub use deadline::{Deadline, Deadlines};
pub use error::{ErrorClass, HostError};
pub use event::{Event, Happened, Listener};
pub use operation::Operation;
pub use query::SnapshotQuery;
pub use read_only::ReadOnly;
pub use survey::{Names, Survey};

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::model::act::Act;
use crate::model::image::{ImageSnapshot, ImageState, Space};
use crate::model::kinds::{Capture, Power};
use crate::model::ledger::Ledger;
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::observed::{Agent, Nvram, ObservedDisk, RunState};
use crate::model::snapshot::ObservedSnapshot;

/// How many domains of one host are read at a time. libvirt serves five requests of one client at once
/// (`max_client_requests`), and four were the fastest in measurement; the fifth stays free for keepalive and writes.
pub const READERS_PER_HOST: usize = 4;

/// The result of every host call.
pub type Result<T> = std::result::Result<T, HostError>;

/// What an implementation needs to find an object again without a lookup call; opaque to everybody else.
pub type Handle = Arc<dyn Any + Send + Sync>;

/// A domain as it was listed.
#[derive(Clone)]
pub struct DomainRef {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: DomainUuid,
    /// The number libvirt gave its run; none while it is off.
    pub id: Option<u32>,
    /// Its run state at the time of the list.
    pub state: RunState,
    /// The implementation's own.
    pub handle: Handle,
}

/// A snapshot as it was listed.
#[derive(Clone)]
pub struct SnapshotRef {
    /// Its name.
    pub name: SnapshotName,
    /// The implementation's own.
    pub handle: Handle,
}

impl fmt::Debug for DomainRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DomainRef").field("name", &self.name).field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

impl fmt::Debug for SnapshotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotRef").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the host's capabilities say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether external snapshots can be reverted to and deleted.
    pub external_snapshots: bool,
}

/// What a domain's XML says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainDefinition {
    /// In the order of the XML.
    pub disks: Vec<ObservedDisk>,
    /// Where its firmware keeps its variables.
    pub nvram: Nvram,
    /// The ledger in its `<metadata>`, whichever domain it names.
    pub ledger: Option<Ledger>,
    /// The memory it is started with, in KiB.
    pub memory_kib: Option<u64>,
    /// Whether the guest's agent answers libvirt.
    pub agent: Agent,
}

/// A snapshot to capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRequest {
    /// Its name.
    pub name: SnapshotName,
    /// Its whole description, stamp included.
    pub description: String,
    /// What is captured and where.
    pub capture: Capture,
    /// The domain's disks, each of which takes part or is named as left out.
    pub disks: Vec<ObservedDisk>,
    /// Whether the overlays exist already, left by an interrupted capture, and are to be used (`REUSE_EXT`).
    pub reuse: bool,
    /// How it is done: `halt`, `live`, `atomic`, `no_metadata`, `validate`.
    pub act: Act,
}

/// What a revert is asked for besides its target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RevertRequest {
    /// The run state afterwards.
    pub power: Power,
    /// Go on where libvirt calls it risky (`VIR_DOMAIN_SNAPSHOT_REVERT_FORCE`).
    pub force: bool,
    /// Take the firmware's variables from their template anew; since libvirt 8.1.
    pub reset_nvram: bool,
}

/// Snapshot XML read with secrets, to be sent back. It never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct SecureXml(pub Arc<str>);

impl fmt::Debug for SecureXml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecureXml({} bytes)", self.0.len())
    }
}

/// A disk that a deletion merged before it failed on another: libvirt's records still have the overlay that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedDisk {
    /// The disk's target.
    pub target: String,
    /// The overlay that is gone.
    pub from: String,
    /// The image that took its data.
    pub into: String,
    /// The format of that image.
    pub format: String,
}

/// What a redefine changes; everything else goes back byte by byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedefineRequest {
    /// The new description, stamp included.
    pub description: Option<String>,
    /// The new parent; `Some(None)` makes it a root.
    pub parent: Option<Option<SnapshotName>>,
    /// The overlays of `<revertDisks>`, by disk target: a repair where libvirt has forgotten them.
    pub revert_overlays: Option<BTreeMap<String, String>>,
    /// The disks that leave the snapshot where it names the overlay that is gone, and are on the image that took the data
    /// where its definition of the domain names that overlay: what libvirt itself does at the end of a deletion.
    pub merged: Vec<MergedDisk>,
    /// Also move the current pointer here. In trees with external snapshots only as a proven repair.
    pub make_current: bool,
    /// Have libvirt check the XML against its schema (`VALIDATE`).
    pub validate: bool,
}

/// Where the ledger is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerScope {
    /// The running and the stored definition.
    LiveAndConfig,
    /// The stored definition of a domain that is off.
    Config,
    /// The running definition of a transient domain.
    Live,
}

/// How far a job on a disk is, in bytes (`virDomainBlockJobInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockJob {
    /// Bytes done.
    pub done: u64,
    /// Bytes in all, as far as is known yet.
    pub total: u64,
}

/// What could be read of an image file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe<T> {
    /// Read.
    Known(T),
    /// Not readable from here: a remote host, another user's file.
    Unknown(String),
}

/// What a probe of an image found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbedImage {
    /// The image.
    pub state: ImageState,
    /// The format of the image below it, where its header says.
    pub backing_format: Option<String>,
}

impl ProbedImage {
    /// An image that cannot be read from here, and why.
    pub fn unknown(why: String) -> Self {
        Self { state: ImageState::Unknown(why), backing_format: None }
    }
}

/// A hypervisor. All calls block; a caller runs them on a thread of its own. Errors are [`HostError`]s, which name the
/// object and say whether trying again can help.
pub trait Host: Send + Sync {
    /// The host's own name (`virConnectGetHostname`).
    ///
    /// # Errors
    /// When the connection is gone.
    fn hostname(&self) -> Result<String>;

    /// libvirt's version on the host (`virConnectGetLibVersion`).
    ///
    /// # Errors
    /// When the connection is gone.
    fn libvirt_version(&self) -> Result<u64>;

    /// What the host can do (`virConnectGetCapabilities`).
    ///
    /// # Errors
    /// When the connection is gone or the XML cannot be read.
    fn capabilities(&self) -> Result<Capabilities>;

    /// All domains with their run state (`virConnectGetAllDomainStats` with the state group alone, which takes no
    /// domain job).
    ///
    /// # Errors
    /// When the connection is gone.
    fn domains(&self) -> Result<Vec<DomainRef>>;

    /// One domain with its run state, whatever it is called now; none where it is gone (`virDomainLookupByUUID` and
    /// `virDomainGetState`). A list waits for every domain of the host, also for one whose capture libvirt has at work.
    ///
    /// # Errors
    /// When the connection is gone.
    fn domain(&self, uuid: DomainUuid) -> Result<Option<DomainRef>>;

    /// The definition in effect, or with `stored` the one for the next start (`virDomainGetXMLDesc`).
    ///
    /// # Errors
    /// When the domain is gone, or a job holds it for longer than libvirt waits (30 s).
    fn definition(&self, domain: &DomainRef, stored: bool) -> Result<DomainDefinition>;

    /// Whether the domain outlives its run (`virDomainIsPersistent`).
    ///
    /// # Errors
    /// When the domain is gone.
    fn is_persistent(&self, domain: &DomainRef) -> Result<bool>;

    /// The names of a domain's snapshots, in no order (`virDomainListAllSnapshots`).
    ///
    /// # Errors
    /// When the domain is gone.
    fn snapshots(&self, domain: &DomainRef) -> Result<Vec<SnapshotRef>>;

    /// Names of a domain's snapshots, in no order and so many at most (`virDomainSnapshotListNames`): without the objects that
    /// [`Self::snapshots`] makes on both sides, so nothing to go on with.
    ///
    /// # Errors
    /// When the domain is gone.
    fn names(&self, domain: &DomainRef, at_most: usize) -> Result<Names>;

    /// The snapshots that a query chooses (`virDomainListAllSnapshots`, below another one
    /// `virDomainSnapshotListAllChildren`).
    ///
    /// # Errors
    /// When the domain or the snapshot to look below is gone.
    fn select(&self, domain: &DomainRef, query: &SnapshotQuery) -> Result<Vec<SnapshotRef>>;

    /// The current snapshot (`virDomainSnapshotCurrent`).
    ///
    /// # Errors
    /// When the domain is gone.
    fn current(&self, domain: &DomainRef) -> Result<Option<SnapshotRef>>;

    /// What a poll compares of each of several domains, in their order: [`Self::names`] and [`Self::current`] of each, as far
    /// as the domain answers. Beside each domain stands how many snapshots it had: one name more tells that it has others.
    fn survey(&self, domains: Vec<(DomainRef, usize)>) -> Vec<Result<Survey>> {
        domains.iter().map(|(domain, had)| Survey::of(self, domain, *had)).collect()
    }

    /// One snapshot, read without secrets (`virDomainSnapshotGetXMLDesc`).
    ///
    /// # Errors
    /// [`ErrorClass::NotFound`] when it is gone.
    fn snapshot(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<ObservedSnapshot>;

    /// Several snapshots, one after the other, as [`Self::snapshot`] reads each: a call for each.
    ///
    /// # Errors
    /// Those of the first call that fails.
    fn read_snapshots(&self, domain: &DomainRef, snapshots: &[SnapshotRef]) -> Result<Vec<ObservedSnapshot>> {
        snapshots.iter().map(|snapshot| self.snapshot(domain, snapshot)).collect()
    }

    /// One snapshot's XML as libvirt writes it, without secrets (`virDomainSnapshotGetXMLDesc`).
    ///
    /// # Errors
    /// [`ErrorClass::NotFound`] when it is gone.
    fn snapshot_xml(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<String>;

    /// One snapshot's XML with secrets, for a redefine (`virDomainSnapshotGetXMLDesc` with `SECURE`).
    ///
    /// # Errors
    /// [`ErrorClass::NotFound`] when it is gone.
    fn snapshot_secure(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<SecureXml>;

    /// Captures a snapshot (`virDomainSnapshotCreateXML`).
    ///
    /// # Errors
    /// A failed call may have changed some of the disks: the caller reads the domain again.
    fn create(&self, domain: &DomainRef, request: &CreateRequest) -> Result<SnapshotRef>;

    /// Sends a snapshot's XML back with what the request changes (`virDomainSnapshotCreateXML` with `REDEFINE`). Where
    /// the name is not there, this restores its metadata.
    ///
    /// # Errors
    /// When libvirt refuses the change. A metadata file that cannot be written removes the entry.
    fn redefine(&self, domain: &DomainRef, xml: &SecureXml, request: &RedefineRequest) -> Result<SnapshotRef>;

    /// Deletes one snapshot and what it captured, never its children (`virDomainSnapshotDelete` without flags).
    ///
    /// # Errors
    /// [`ErrorClass::NotFound`] when it is gone.
    fn delete(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()>;

    /// Drops libvirt's record of one snapshot and leaves its content (`virDomainSnapshotDelete` with `METADATA_ONLY`). Its
    /// children move to its parent.
    ///
    /// # Errors
    /// [`ErrorClass::NotFound`] when it is gone.
    fn forget(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()>;

    /// Reverts the domain (`virDomainRevertToSnapshot`). QEMU is stopped, and started again where the domain shall be
    /// active.
    ///
    /// # Errors
    /// A failed call can have stopped the domain and changed its definition: the caller reads it again.
    fn revert(&self, domain: &DomainRef, snapshot: &SnapshotRef, request: RevertRequest) -> Result<()>;

    /// Whether libvirt holds a saved memory image of the domain, which its next start would load
    /// (`virDomainHasManagedSaveImage`).
    ///
    /// # Errors
    /// When the domain is gone.
    fn has_managed_save(&self, domain: &DomainRef) -> Result<bool>;

    /// Has the guest's agent freeze all filesystems, and says how many (`virDomainFSFreeze`, and what makes sure before that
    /// the agent answers: a freeze sent to one that hangs takes place when nobody expects it).
    ///
    /// # Errors
    /// When there is no agent, or it refuses, as where they are frozen already. With [`ErrorClass::OutcomeUnknown`] they
    /// may be frozen, or become so yet.
    fn freeze(&self, domain: &DomainRef) -> Result<u32>;

    /// Has the guest's agent thaw all filesystems, and says how many (`virDomainFSThaw`).
    ///
    /// # Errors
    /// When the agent does not answer: the guest may still be frozen.
    fn thaw(&self, domain: &DomainRef) -> Result<u32>;

    /// Writes the ledger (`virDomainSetMetadata`).
    ///
    /// # Errors
    /// When the domain is gone, or a job holds it for longer than libvirt waits (30 s).
    fn write_ledger(&self, domain: &DomainRef, ledger: &Ledger, scope: LedgerScope) -> Result<()>;

    /// The job that runs on a disk, as the merge of a deletion does (`virDomainGetBlockJobInfo`).
    ///
    /// # Errors
    /// When the domain is gone or has no such disk.
    fn block_job(&self, domain: &DomainRef, target: &str) -> Result<Option<BlockJob>>;

    /// What can be read of the host's files, without any call to libvirt.
    fn files(&self) -> &dyn Files;
}

/// File probes: what is read beside libvirt, where the files are this machine's. None of them is a libvirt call.
pub trait Files: Send + Sync {
    /// The internal snapshots a disk's image holds.
    fn image_snapshots(&self, disk: &ObservedDisk) -> Probe<Vec<ImageSnapshot>>;

    /// What a path leads to: its identity, the image below it, its size. `format` is what a definition or the header of the
    /// image above declares of it: of a raw image the first bytes are the guest's own, and say nothing. Without one they
    /// decide.
    fn image(&self, path: &str, format: Option<&str>) -> ProbedImage;

    /// The names of the files in a directory.
    fn directory(&self, path: &str) -> Probe<Vec<String>>;

    /// The space of the filesystem a directory is on.
    fn space(&self, directory: &str) -> Probe<Space>;
}
