//! The SnapshotSet: the snapshots some domains shall have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DateOrInstant, Metadata, PolicyRef, RetentionSpec, TimeSpan};
use crate::model::names::SnapshotName;

/// Declares the snapshots that some domains shall have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotSet {
    /// Always `snapward/v1`.
    #[schemars(extend("const" = "snapward/v1"))]
    pub api_version: String,
    /// Always `SnapshotSet`.
    #[schemars(extend("const" = "SnapshotSet"))]
    pub kind: String,
    /// Name and namespace; together the owner written on every snapshot of the set.
    pub metadata: Metadata,
    /// What is declared.
    pub spec: SnapshotSetSpec,
}

/// What a SnapshotSet declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotSetSpec {
    /// Restricts the set to some of the connected hosts; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<HostSelector>,
    /// The domains the set is for.
    pub domains: DomainSelector,
    /// While set, nothing of the set is created, changed or deleted; drift is still reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<Suspend>,
    /// Snapshots with a name of their own. Their order is the order of creation.
    #[serde(default)]
    pub snapshots: Vec<Snapshot>,
    /// Snapshots taken by a schedule.
    #[serde(default)]
    pub series: Vec<Series>,
    /// The snapshot that libvirt's current pointer shall name. The pointer only: the domain is never reverted. Absent:
    /// not managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<SnapshotName>,
    /// Snapshots of this set that nothing may delete for a while.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// The SafetyPolicy for the set's domains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<PolicyRef>,
}

/// Chooses among the connected hosts; all given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostSelector {
    /// Names or globs (`kvm-*`) of hosts; empty: all.
    #[serde(default)]
    pub include: Vec<String>,
    /// Labels of the Inventory that a host must have.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
}

/// Chooses domains by name, glob (`web-*`) or `uuid:...`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DomainSelector {
    /// Names, globs or `uuid:...`; a domain that matches any is chosen. A plain name that matches nothing is reported as
    /// blocked, a glob that matches nothing as a warning.
    #[schemars(length(min = 1))]
    pub include: Vec<String>,
    /// Names, globs or `uuid:...` to leave out again.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// Freezes a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Suspend {
    /// Why, shown in plan and status.
    pub reason: String,
    /// When it ends by itself; without it, when the field is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateOrInstant>,
}

/// One declared snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    /// The snapshot's name in libvirt.
    pub name: SnapshotName,
    /// The text shown by every libvirt tool. Without it the present text is left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What is captured and where it is stored. Required unless the snapshot shall be absent or only adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// The run state in which it may be captured.
    #[serde(default)]
    pub when: When,
    /// `never`: only adopt and check, never capture.
    #[serde(default)]
    pub create: CreateMode,
    /// `true`: never deleted, also after it was removed from here; written on the snapshot. Lifted only by `false`,
    /// applied once before a deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect: Option<bool>,
    /// Delete it this long after it was captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after: Option<TimeSpan>,
    /// Take over an existing snapshot of this name that snapward did not make.
    #[serde(default)]
    pub adopt: bool,
    /// Capture it again when it was made once and is gone. Without it, that is reported and nothing is done: a new
    /// capture would hold another state under the old name.
    #[serde(default)]
    pub recreate: bool,
    /// `absent`: delete it.
    #[serde(default)]
    pub state: Presence,
    /// The snapshot it hangs under. Repaired where the domain has no external snapshot, reported elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotName>,
    /// A file with the snapshot's XML, relative to this manifest: where the name is missing, it is redefined from there
    /// instead of captured (after a move to another host, or for a transient domain).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
}

/// What is captured and where it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capture {
    /// `full`: disks, and memory where the domain runs. `disks`: disks alone. `memory`: memory alone.
    pub content: Content,
    /// `internal`: inside the qcow2 images. `external`: in new files beside them.
    pub location: Location,
    /// Where an external memory image goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryFile>,
    /// Disks that differ from the rest.
    #[serde(default)]
    pub disks: Vec<CaptureDisk>,
    /// How consistent the captured filesystems must be.
    #[serde(default)]
    pub consistency: Consistency,
}

impl Capture {
    /// Whether a disk is left to other means. libvirt then pauses a running guest, and leaves it paused.
    pub fn has_manual_disk(&self) -> bool {
        self.disks.iter().any(|disk| disk.location == Some(DiskLocation::Manual))
    }
}

/// Where an external memory image goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemoryFile {
    /// An absolute path on the host.
    pub file: String,
}

/// How one disk is captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaptureDisk {
    /// The disk's target, as `vda`.
    pub target: String,
    /// Where this disk's state goes; without it, where the capture says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<DiskLocation>,
    /// The overlay's format, `qcow2` or `qed`; external only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The overlay's absolute path on the host; external only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Whether `file` is a file or a block device; external only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_type: Option<SourceType>,
}

/// What is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// Disks, and memory where the domain runs.
    Full,
    /// Disks alone.
    Disks,
    /// Memory alone.
    Memory,
}

/// Where captured state is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Location {
    /// Inside the qcow2 images.
    Internal,
    /// In new files.
    External,
}

/// Where one disk's state is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DiskLocation {
    /// Inside the qcow2 image.
    Internal,
    /// In a new file.
    External,
    /// Not captured.
    No,
    /// Captured by somebody else while libvirt holds the domain still.
    Manual,
}

/// What an external disk's state is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SourceType {
    /// A regular file.
    File,
    /// A block device.
    Block,
}

/// How consistent captured filesystems must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Consistency {
    /// As after a power cut; memory, where captured, makes it whole.
    #[default]
    Crash,
    /// Frozen by the guest agent, else no capture.
    Filesystem,
    /// Frozen where an agent answers, else as `crash`.
    FilesystemIfAgent,
}

/// The run state in which a snapshot may be captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// Running or paused.
    Running,
    /// Shut off.
    Stopped,
    /// In any state.
    #[default]
    Any,
}

/// Whether snapward may capture a declared snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CreateMode {
    /// Captured where it is missing.
    #[default]
    Auto,
    /// Only adopted and checked.
    Never,
}

/// Whether something shall exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Presence {
    /// It shall exist.
    #[default]
    Present,
    /// It shall not exist.
    Absent,
}

/// Keeps a snapshot from deletion for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    /// The snapshot's name.
    pub snapshot: SnapshotName,
    /// Why, shown wherever the hold matters; one line.
    pub reason: String,
    /// When it ends; without it, when it is removed from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateOrInstant>,
}

impl SnapshotSetSpec {
    /// The hold that is declared on a snapshot, unless that is over.
    pub fn hold(&self, snapshot: &SnapshotName, now: jiff::Timestamp) -> Option<&Hold> {
        let over = |hold: &Hold| hold.until.as_ref().is_some_and(|until| until.timestamp() <= now);
        self.holds.iter().find(|hold| hold.snapshot == *snapshot && !over(hold))
    }
}

/// Snapshots taken by a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Series {
    /// Unique per domain across all sets.
    pub name: String,
    /// A SeriesTemplate whose keys hold where none is given here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// When a snapshot is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What is captured and where it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// The run state in which it is captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// The names of its snapshots: `{set}`, `{series}` and `{slot}` (UTC, as 20261123T040000Z) are filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_template: Option<String>,
    /// How long they are kept; required when `prune` is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionChoice>,
    /// Whether retention may delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<bool>,
    /// Takes over existing snapshots whose names fit the pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<AdoptPattern>,
    /// `absent`: delete its snapshots, as far as holds, protection and guards allow.
    #[serde(default)]
    pub state: Presence,
}

/// When a snapshot of a series is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// Five cron fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    pub cron: String,
    /// The IANA zone the cron fields are read in; without it, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How late a slot may still be taken; without it, until the next slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_deadline: Option<TimeSpan>,
    /// Spreads the domains over this long after the slot, each always by the same delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<TimeSpan>,
}

/// A retention policy: by name, or written out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetentionChoice {
    /// The name of a RetentionPolicy in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_ref: Option<String>,
    /// The policy itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<RetentionSpec>,
}

/// Which existing snapshots a series takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdoptPattern {
    /// A `strftime` pattern the whole name must fit; the time in it becomes the slot.
    pub pattern: String,
    /// The IANA zone the pattern's time is in; without it, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}
