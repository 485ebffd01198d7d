//! The plan: what would change, what is blocked, what stays, each with its reason. Also its JSON form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::act::Act;
pub use super::codes::{BlockCode, ReasonCode};
use super::desired::{Definition, Origin};
use super::kinds::Capture;
use super::ledger::Ledger;
use super::names::{DomainUuid, SnapshotName};
use super::observed::RunState;
use super::revert::RevertOrder;
use super::shared::Shared;
use super::shared::SharedText;

/// The version of every JSON output; it changes when a reader of the old form would misread the new one.
pub const FORMAT_VERSION: u32 = 1;

/// What one run would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The version of this form.
    pub format_version: u32,
    /// A hash of the declaration-driven actions and the fingerprints of their domains. The same declaration on the same
    /// state has the same id, whenever it is planned.
    pub plan_id: String,
    /// When it was made, RFC 3339, UTC.
    pub created_at: String,
    /// From then on a saved plan is refused, RFC 3339, UTC: the time of a slot that it captures is over then, or a window in
    /// which it deletes or reverts is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_until: Option<String>,
    /// What it was made from.
    pub source: PlanSource,
    /// Counts.
    pub summary: Summary,
    /// The hosts that were read, and what libvirt cannot do on them.
    #[serde(default)]
    pub hosts: Vec<PlannedHost>,
    /// The selected domains that were read.
    pub domains: Vec<PlannedDomain>,
    /// What would be done, in the order in which each domain's actions are done.
    pub actions: Vec<Action>,
    /// What needs a person. It does not stop the rest.
    pub blocked: Vec<Blocked>,
    /// What stays although no set declares it any more, or although its time is over.
    pub kept: Vec<Kept>,
    /// How many declared snapshots and pointers are as declared.
    pub unchanged: usize,
    /// Declared fields that differ from what libvirt reports.
    pub drift: Vec<Drift>,
    /// Snapshots that are not snapward's, or belong to a set that is not part of this run. Never touched.
    pub unmanaged: Vec<Unmanaged>,
    /// Remarks that block nothing.
    pub warnings: Vec<Warning>,
    /// Hosts and domains that could not be read.
    pub unreadable: Vec<Unreadable>,
    /// What the reading cost.
    pub stats: Stats,
    /// The deletions behind the items blocked as `TooManyDeletes`: done where a person approved exactly this plan.
    #[serde(skip)]
    pub held_back: Vec<HeldBack>,
}

impl Plan {
    /// The instant after which it must not be carried out as a whole any more; none where nothing in it ends.
    pub fn ends(&self) -> Option<Timestamp> {
        self.good_until.as_ref()?.parse().ok()
    }

    /// A plan of nothing, made at an instant (RFC 3339, UTC).
    pub fn new(created_at: String, source: PlanSource) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            plan_id: String::new(),
            created_at,
            good_until: None,
            source,
            summary: Summary::default(),
            hosts: Vec::new(),
            domains: Vec::new(),
            actions: Vec::new(),
            blocked: Vec::new(),
            kept: Vec::new(),
            unchanged: 0,
            drift: Vec::new(),
            unmanaged: Vec::new(),
            warnings: Vec::new(),
            unreadable: Vec::new(),
            stats: Stats::default(),
            held_back: Vec::new(),
        }
    }
}

/// An action that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldBack {
    /// Where in the plan's `actions` it belongs: the order of a domain's deletions follows its tree.
    pub before: usize,
    /// What would be done.
    pub action: Action,
}

/// What a plan was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanSource {
    /// The PATHs of the command line.
    pub paths: Vec<String>,
    /// The instant given by `--at`; such a plan cannot be applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// Counts of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Whether there is any action.
    pub has_changes: bool,
    /// Snapshots to capture.
    pub create: usize,
    /// Snapshots whose metadata changes.
    pub redefine: usize,
    /// Pointers to move.
    pub set_current: usize,
    /// Snapshots to delete.
    pub delete: usize,
    /// Domains to revert.
    pub revert: usize,
    /// Items that need a person.
    pub blocked: usize,
    /// Snapshots and pointers as declared.
    pub unchanged: usize,
    /// Snapshots that are not ours.
    pub unmanaged: usize,
    /// Hosts and domains that could not be read.
    pub unreadable: usize,
}

/// A host of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedHost {
    /// Its name.
    pub host: String,
    /// libvirt's version there, as `11.3.0`.
    pub libvirt: String,
    /// What that version cannot do and another can.
    pub limits: Vec<HostLimit>,
}

/// Something that libvirt cannot do on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostLimit {
    /// For programs.
    pub code: String,
    /// What it is, as `cannot delete external snapshots or revert to them`.
    pub text: String,
    /// What could, as `needs libvirt 9.9`.
    pub needs: String,
}

/// A domain of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDomain {
    /// The host's name.
    pub host: String,
    /// The domain's name.
    pub domain: String,
    /// The domain's UUID.
    pub uuid: DomainUuid,
    /// Its run state.
    pub state: RunState,
    /// SHA-256 of what was read; apply refuses the domain where it has changed.
    pub fingerprint: String,
    /// The sets that select it, as namespace/name.
    pub sets: Vec<String>,
    /// Why nothing is done in it, where all of its sets are suspended or any is: reason and end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// When a run has something to do by the clock, RFC 3339: the next scheduled snapshot or revert is due, or the window opens
    /// that deletions or a revert wait for. None without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due: Option<String>,
    /// The first instant after the plan's at which the clock makes something due. `next_due` stays at a slot that is owed and
    /// cannot be taken, behind which another series, a revert or a window comes.
    #[serde(skip)]
    pub wake: Option<Timestamp>,
    /// How long the image chains of its disks are, where it has external snapshots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<ChainLength>,
    /// The ledger as it should be written, where a copy lacks something.
    #[serde(skip)]
    pub ledger: Option<Ledger>,
    /// The snapshots that its sets want to exist: what apply reads the domain again for.
    #[serde(skip)]
    pub declared: Shared<BTreeSet<SnapshotName>>,
    /// Of the snapshots to capture, those that were made before and are gone: libvirt's creationTime of what was lost. With
    /// another capture in the ledger the plan was carried out already.
    #[serde(skip)]
    pub lost: BTreeMap<SnapshotName, i64>,
    /// Whether its SafetyPolicies trust image chains that cannot be read.
    #[serde(skip)]
    pub trust_unreadable_chains: bool,
    /// When the window of its SafetyPolicies closes in which it deletes or reverts; none where no window restricts that.
    #[serde(skip)]
    pub window_closes: Option<Timestamp>,
}

/// How long a disk's image chain is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChainLength {
    /// The disk's target.
    pub target: String,
    /// How many images it has, as far as they can be read.
    pub images: usize,
    /// The most it may have: the SafetyPolicies' `chainLimit`, or what libvirt still starts.
    pub limit: u32,
}

/// What an action or item is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// The host's name.
    pub host: SharedText,
    /// The domain's name.
    pub domain: String,
    /// The snapshot's name; none where the item is about the domain.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "SnapshotName::deserialize_observed")]
    pub snapshot: Option<SnapshotName>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", super::text::printable(&self.host), super::text::printable(&self.domain))?;
        if let Some(snapshot) = &self.snapshot {
            write!(f, "/{snapshot}")?;
        }
        Ok(())
    }
}

/// The kinds of action, in the order in which one pass of a domain does them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ActionKind {
    /// Revert the domain; never together with another action.
    Revert,
    /// Change a snapshot's metadata.
    Redefine,
    /// Capture a snapshot.
    Create,
    /// Move the current pointer.
    SetCurrent,
    /// Delete a snapshot and what it captured.
    Delete,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// What it is done to.
    pub address: Address,
    /// What is done.
    pub action: ActionKind,
    /// Why.
    pub reason: Reason,
    /// The manifest line behind it.
    pub origin: Origin,
    /// The fields as they are; for a capture, none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<View>,
    /// The fields as they will be; for a delete, none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<View>,
    /// What it may cost.
    pub risk: Risk,
    /// The XML of a snapshot to redefine from a file. Kept out of every output: it may hold secrets.
    #[serde(skip)]
    pub definition: Option<Definition>,
}

/// The fields of a snapshot, or the pointer, that an action changes or sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// The user's text in the description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Our lines in the description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Vec<String>>,
    /// The parent's name; an empty one stands for a root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What is captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// The state it was captured in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// When it was captured, RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The current pointer; an empty one stands for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// The overlays that a deletion merges into the images below them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merges: Option<Vec<ImageMerge>>,
    /// The files that a deletion removes besides, or a revert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removes: Option<Vec<String>>,
    /// The active image of each disk whose image changes, by target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disks: Option<BTreeMap<String, String>>,
    /// The overlays that a revert made and libvirt has forgotten, by disk target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert_overlays: Option<BTreeMap<String, String>>,
    /// What a revert does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert: Option<RevertOrder>,
    /// Whether the overlays of a capture are there already, left by an interrupted one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse: Option<bool>,
    /// How the act is done, where a person asked for that; no plan that is saved has it.
    #[serde(skip)]
    pub act: Act,
}

/// One overlay that is merged into the image below it, on one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageMerge {
    /// The disk's target.
    pub target: String,
    /// The overlay, which is gone afterwards.
    pub from: String,
    /// The image that takes its data.
    pub into: String,
    /// Bytes the overlay takes on its filesystem; none where it cannot be read from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Why something is done or stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// For programs.
    pub code: ReasonCode,
    /// For people.
    pub text: SharedText,
}

/// What an action may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Risk {
    /// For programs.
    pub level: RiskLevel,
    /// For people.
    pub text: String,
}

/// How much an action may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RiskLevel {
    /// libvirt's metadata only.
    Metadata,
    /// The guest stands still for a moment.
    Pause,
    /// Captured state is gone for good.
    Loss,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blocked {
    /// What it is about. Host and domain may be patterns where nothing matched.
    pub address: Address,
    /// For programs.
    pub code: BlockCode,
    /// What is the matter, and what state things are in.
    pub text: String,
    /// What to do about it.
    pub way_out: String,
    /// The manifest lines behind it.
    pub origins: Vec<Origin>,
}

/// Something that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// The snapshot.
    pub address: Address,
    /// Why it stays.
    pub reason: Reason,
    /// The manifest line behind it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// A declared field that differs from what libvirt reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// The snapshot.
    pub address: Address,
    /// `description`, `protect`, `hold`, `parent`, `current`, `existence`.
    pub field: String,
    /// As declared.
    pub declared: String,
    /// As it is.
    pub observed: String,
    /// The manifest line.
    pub origin: Origin,
}

/// A snapshot that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unmanaged {
    /// The snapshot.
    pub address: Address,
    /// The set in its stamp, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A remark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// For people.
    pub text: String,
    /// The manifest line behind it.
    pub origin: Origin,
}

/// A host or domain that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unreadable {
    /// The host's name.
    pub host: String,
    /// The domain's name; none where the whole host did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// What happened.
    pub error: String,
}

/// What the reading cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Calls to libvirt.
    pub libvirt_calls: u64,
    /// Milliseconds spent reading the hosts, once connected.
    pub read_ms: u64,
    /// Milliseconds spent planning.
    pub plan_ms: u64,
}
