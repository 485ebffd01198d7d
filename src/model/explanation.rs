//! The explanation of `retention explain`: every snapshot of every series with its reasons to stay or go. Also its JSON
//! form.

use schemars::JsonSchema;
use serde::Serialize;

use super::names::SnapshotName;
use super::plan::Unreadable;
use super::retention::Because;

/// Why the snapshots of the series stay or go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The version of this form.
    pub format_version: u32,
    /// The time taken for now, RFC 3339.
    pub at: String,
    /// Counts.
    pub summary: ExplanationSummary,
    /// The series of the selected domains, by host, domain and the order of the manifests.
    pub series: Vec<ExplainedSeries>,
    /// Hosts and domains that could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// Counts of an explanation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplanationSummary {
    /// Series, each domain's counted.
    pub series: usize,
    /// Snapshots that stay.
    pub kept: usize,
    /// Snapshots that no rule keeps.
    pub deleted: usize,
}

/// One series in one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedSeries {
    /// The host's name.
    pub host: String,
    /// The domain's name.
    pub domain: String,
    /// The set, as namespace/name.
    pub set: String,
    /// The series' name.
    pub series: String,
    /// What keeps the decisions from being carried out, for people: `prune` is not set, the set is suspended, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_carried_out: Option<String>,
    /// Its snapshots, newest slot first.
    pub snapshots: Vec<Explained>,
}

/// One snapshot of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// Its name.
    pub name: SnapshotName,
    /// Its slot, RFC 3339.
    pub slot: String,
    /// When it was captured, RFC 3339.
    pub created: String,
    /// Whether it stays.
    pub keep: bool,
    /// Every reason to keep it; of a deleted one, why it lost.
    pub reasons: Vec<Because>,
    /// Of a kept one: when it goes, should every slot be taken from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goes: Option<String>,
    /// Of a kept one that does not go within the time looked ahead: it stays at least until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stays_until: Option<String>,
    /// Of a deleted one: the smallest change of the policy with which it would have been kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved_by: Option<String>,
}
