//! The agent's status: what it follows, which hosts it reaches, and how each domain stands. Also its JSON form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::DomainUuid;
use super::observed::RunState;
use super::outcome::DomainResult;
use super::plan::{Blocked, Unreadable};
use super::status::{ConditionKind, NewestGood};

/// How the agent and everything it looks after stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// The version of this form.
    pub format_version: u32,
    /// snapward's version.
    pub version: String,
    /// When the agent started, RFC 3339, UTC.
    pub started_at: String,
    /// When this status was made, RFC 3339, UTC.
    pub at: String,
    /// What the agent does with its plans.
    pub mode: Mode,
    /// The conditions of the agent itself: Ready, Reconciling, Stalled, SourceVerified.
    pub conditions: Vec<AgentCondition>,
    /// What it follows.
    pub source: SourceStatus,
    /// The hosts it reaches, or tries to.
    pub hosts: Vec<AgentHost>,
    /// The selected domains, by host and name.
    pub domains: Vec<AgentDomain>,
    /// Blocked items that belong to no domain, as a name that matches nothing.
    pub blocked: Vec<Blocked>,
    /// Hosts and domains that could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// What the agent does with its plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// It carries them out.
    Apply,
    /// It shows them (`--observe`).
    Observe,
}

/// What the agent follows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// The paths, or the repository.
    pub paths: Vec<String>,
    /// The revision in use; none before the first good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Since when it is in use, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The revision that was read last, where it has a name; another than the one in use was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempted: Option<String>,
    /// Why what was read last cannot be used; the revision in use stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Findings in the revision in use that are no errors.
    pub warnings: Vec<String>,
}

/// A host as the agent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentHost {
    /// Its name, or the URI while it has told none.
    pub name: String,
    /// The connection URI.
    pub uri: String,
    /// Whether it answers.
    pub connected: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A condition with its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCondition {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// Whether it holds.
    pub status: bool,
    /// For programs: one word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Since when `status` and `reason` are as they are, RFC 3339, UTC.
    pub since: String,
    /// The revision it was found under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// How one domain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentDomain {
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
    pub conditions: Vec<AgentCondition>,
    /// The newest snapshot of ours that is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_good: Option<NewestGood>,
    /// When there is something to do by the clock, RFC 3339: a scheduled snapshot or revert, or a window that opens for what
    /// waits. None without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due: Option<String>,
    /// What is blocked in it.
    pub blocked: Vec<Blocked>,
    /// Failures in a row.
    pub failures: u32,
    /// When what failed is tried again, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<String>,
    /// What became of the last pass that had something to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastPass>,
}

/// A finished pass over a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastPass {
    /// When it ended, RFC 3339, UTC.
    pub at: String,
    /// What became of it.
    pub result: DomainResult,
    /// More about it, for people; empty where all went well.
    pub text: String,
}

impl AgentStatus {
    /// Whether everything that the agent looks after is as declared.
    pub fn is_ready(&self) -> bool {
        self.conditions.iter().any(|condition| condition.kind == ConditionKind::Ready && condition.status)
    }
}
