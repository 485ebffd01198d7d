//! The status: conditions per domain, and its snapshots as they are. Also its JSON form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{DomainUuid, SnapshotName};
use super::observed::RunState;
use super::plan::{Blocked, ChainLength, Unreadable, Warning};
use super::snapshot::ObservedSnapshot;
use super::text::instant;

/// How the selected domains stand.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The version of this form.
    pub format_version: u32,
    /// Counts.
    pub summary: StatusSummary,
    /// The selected domains, by host and name.
    pub domains: Vec<DomainStatus>,
    /// Blocked items that belong to no domain, as a name that matches nothing.
    pub blocked: Vec<Blocked>,
    /// Remarks that block nothing, as files that no snapshot uses.
    pub warnings: Vec<Warning>,
    /// Hosts and domains that could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// Counts of a status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusSummary {
    /// Selected domains that were read.
    pub domains: usize,
    /// Those that are Ready.
    pub ready: usize,
    /// Whether everything that was asked about is Ready and could be read.
    pub all_ready: bool,
}

/// How one domain stands.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainStatus {
    /// The host's name.
    pub host: String,
    /// The domain's name.
    pub domain: String,
    /// The domain's UUID.
    pub uuid: DomainUuid,
    /// Its run state.
    pub state: RunState,
    /// The sets that select it, as namespace/name.
    pub sets: Vec<String>,
    /// Its conditions, each type once.
    pub conditions: Vec<Condition>,
    /// The newest snapshot of ours that is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_good: Option<NewestGood>,
    /// When a run has something to do by the clock, RFC 3339: the next scheduled snapshot or revert is due, or the window opens
    /// that deletions or a revert wait for. None without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_due: Option<String>,
    /// How long the image chains of its disks are, where it has external snapshots.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<ChainLength>,
    /// All of its snapshots, parents before children.
    pub snapshots: Vec<StatusSnapshot>,
    /// What is blocked in it.
    pub blocked: Vec<Blocked>,
}

/// One condition of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Condition {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// Whether it holds.
    pub status: bool,
    /// For programs: one word.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// The conditions a domain can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionKind {
    /// Everything is as declared: nothing to do, nothing blocked, nothing suspended.
    Ready,
    /// A declared field differs from what libvirt reports.
    Drifted,
    /// Something needs a person.
    Blocked,
    /// A set of the domain is suspended.
    Suspended,
    /// A snapshot is claimed by two, or belongs to another.
    Conflict,
    /// The agent is at work on it, or will try again what failed.
    Reconciling,
    /// What the agent does keeps failing, or what it should follow cannot be used.
    Stalled,
    /// The signature of the revision in use was checked and is good.
    SourceVerified,
}

/// The newest complete snapshot of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewestGood {
    /// Its name.
    pub name: SnapshotName,
    /// When it was captured, RFC 3339, UTC.
    pub created: String,
}

/// One snapshot of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// Its parent's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotName>,
    /// How deep it hangs in the tree; a root is 0. None where the tree was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// When it was captured, RFC 3339, UTC.
    pub created: String,
    /// The state it was captured in, as libvirt writes it.
    pub state: String,
    /// Whether any part of it is external.
    pub external: bool,
    /// Whether the current pointer names it.
    pub current: bool,
    /// The set in its stamp, where it is snapward's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The series of that set, where it was captured for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// Whether it is protected.
    pub protected: bool,
    /// The hold on it: reason and end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Bytes that its memory, or the files it added, take on their storage; none where that was not looked at or cannot be
    /// seen from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl StatusSnapshot {
    /// How a snapshot stands at this depth of its tree. Its size is added by who has looked.
    pub fn of(snapshot: &ObservedSnapshot, depth: Option<usize>, current: Option<&SnapshotName>) -> Self {
        let stamp = snapshot.own_stamp();
        Self {
            name: snapshot.name.clone(),
            parent: snapshot.parent.clone(),
            depth,
            created: instant(snapshot.created),
            state: snapshot.state.clone(),
            external: snapshot.is_external(),
            current: current == Some(&snapshot.name),
            owner: stamp.map(|stamp| stamp.set.to_string()),
            series: stamp.and_then(|stamp| stamp.series.clone()),
            protected: stamp.is_some_and(|stamp| stamp.protect),
            hold: stamp.and_then(|stamp| stamp.holds().next()).map(ToString::to_string),
            size: None,
        }
    }
}
