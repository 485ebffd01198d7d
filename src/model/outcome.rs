//! The outcome: what became of each action of an applied plan. Also its JSON form.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{ActionKind, Address, Blocked};

/// What one apply did.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The version of this form.
    pub format_version: u32,
    /// The plan it carried out.
    pub plan_id: String,
    /// Counts.
    pub summary: OutcomeSummary,
    /// One entry for each domain that had something to do.
    pub domains: Vec<DomainOutcome>,
    /// What the plan held back for a person.
    pub blocked: Vec<Blocked>,
    /// Hosts and domains that could not be read.
    pub unreadable: Vec<super::plan::Unreadable>,
}

/// Counts of an outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeSummary {
    /// Actions done and verified.
    pub done: usize,
    /// Actions that failed.
    pub failed: usize,
    /// Domains in which an action failed, or that could not be read again.
    pub failed_domains: usize,
    /// Actions not tried: after a failure, in a stale or locked domain, after an interrupt, or after a window closed.
    pub skipped: usize,
    /// Domains that changed between plan and apply.
    pub stale_domains: usize,
    /// Domains that another writer holds.
    pub locked_domains: usize,
    /// Blocked items.
    pub blocked: usize,
    /// Whether an interrupt ended the run early, or came to a run in which an action failed.
    pub interrupted: bool,
}

/// What became of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainOutcome {
    /// The host's name.
    pub host: String,
    /// The domain's name.
    pub domain: String,
    /// What became of it as a whole.
    pub result: DomainResult,
    /// More about it, for people; empty where all went well.
    pub text: String,
    /// Its actions in order.
    pub actions: Vec<ActionOutcome>,
}

/// What became of a domain as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DomainResult {
    /// Every action was done and verified.
    Done,
    /// An action failed; the rest of the domain was left alone.
    Failed,
    /// It changed between plan and apply; nothing was done.
    Stale,
    /// Another writer holds it; nothing was done.
    Locked,
    /// An interrupt came first; the actions listed as done are done.
    Interrupted,
    /// The window closed in which the rest may be deleted, or the domain reverted; the actions listed as done are done.
    WindowClosed,
}

/// What became of one action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionOutcome {
    /// What it was done to.
    pub address: Address,
    /// What was done.
    pub action: ActionKind,
    /// What became of it.
    pub result: ActionResult,
    /// Why it failed or was skipped, what state things are in, and what to do; where it was done, a remark
    /// or nothing.
    pub text: String,
    /// The active image of each disk whose image changed, by target.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub disks: BTreeMap<String, String>,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// What became of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ActionResult {
    /// Done, and found so on reading it back.
    Done,
    /// Not done, or not verified; the text says which.
    Failed,
    /// Not tried.
    Skipped,
}
