//! What the asking verbs answer: the snapshots of one domain, or one of them. Also their JSON forms.

use schemars::JsonSchema;
use serde::Serialize;

use super::names::{DomainUuid, SnapshotName};
use super::observed::RunState;
use super::status::StatusSnapshot;

/// The snapshots of a domain that were asked for.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotList {
    /// The version of this form.
    pub format_version: u32,
    /// The domain.
    #[serde(flatten)]
    pub domain: AskedDomain,
    /// Those that were read, in the order of the list.
    pub snapshots: Vec<StatusSnapshot>,
    /// Those that libvirt lists and that could not be read.
    pub unreadable: Vec<UnreadableSnapshot>,
}

/// The domain that was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskedDomain {
    /// The connection to its host.
    pub connection: String,
    /// Its name.
    pub domain: String,
    /// Its UUID.
    pub uuid: DomainUuid,
    /// Its run state.
    pub domain_state: RunState,
}

/// A snapshot that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnreadableSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// What happened, for people.
    pub error: String,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotInfo {
    /// The version of this form.
    pub format_version: u32,
    /// The domain.
    #[serde(flatten)]
    pub domain: AskedDomain,
    /// What it is; its depth and size were not looked at.
    pub snapshot: StatusSnapshot,
    /// The text of its description, without the lines of the stamp.
    pub description: String,
    /// How many snapshots have it as their parent.
    pub children: usize,
    /// How many hang below it at any depth.
    pub descendants: usize,
    /// Whether libvirt keeps metadata of it: then it stands in the way of undefining the domain.
    pub metadata: bool,
}
