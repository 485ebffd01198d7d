//! The other kinds: policies and templates that sets refer to, revert requests, and the inventory of hosts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Capture, DateOrInstant, DomainSelector, HostSelector, Metadata, RetentionChoice, Schedule, TimeSpan, When,
};
use crate::model::names::SnapshotName;

/// Refers to a document of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyRef {
    /// The `metadata.name` of the policy.
    pub policy_ref: String,
}

/// Keys that several series share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeriesTemplate {
    /// Always `snapward/v1`.
    #[schemars(extend("const" = "snapward/v1"))]
    pub api_version: String,
    /// Always `SeriesTemplate`.
    #[schemars(extend("const" = "SeriesTemplate"))]
    pub kind: String,
    /// Name and namespace.
    pub metadata: Metadata,
    /// The shared keys.
    pub spec: SeriesTemplateSpec,
}

/// The keys of a series that a template may give; a key given in the series replaces the template's key whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeriesTemplateSpec {
    /// When a snapshot is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What is captured and where it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// The run state in which it is captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// The names of its snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_template: Option<String>,
    /// How long they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionChoice>,
    /// Whether retention may delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<bool>,
}

/// Which snapshots of a series are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetentionPolicy {
    /// Always `snapward/v1`.
    #[schemars(extend("const" = "snapward/v1"))]
    pub api_version: String,
    /// Always `RetentionPolicy`.
    #[schemars(extend("const" = "RetentionPolicy"))]
    pub kind: String,
    /// Name and namespace.
    pub metadata: Metadata,
    /// The rules.
    pub spec: RetentionSpec,
}

/// The rules of a retention policy. A snapshot is kept when any rule keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetentionSpec {
    /// The IANA zone in which hours, days, weeks, months and years begin; without it, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How many of each period, and how far back.
    pub keep: Keep,
    /// Which member of a period survives.
    #[serde(default)]
    pub prefer: Prefer,
    /// Keep the oldest snapshot while the coarsest count is not reached.
    #[serde(default)]
    pub fill_oldest: bool,
    /// Never delete anything younger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_age: Option<TimeSpan>,
    /// Never leave fewer complete snapshots.
    #[serde(default = "one")]
    pub minimum_count: u32,
    /// Delete what only calendar rules kept once it is older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_age: Option<TimeSpan>,
}

/// Counts per period, and spans back from now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Keep {
    /// The newest so many.
    pub last: u32,
    /// One per hour, for so many hours that have one.
    pub hourly: u32,
    /// One per day.
    pub daily: u32,
    /// One per ISO week.
    pub weekly: u32,
    /// One per month.
    pub monthly: u32,
    /// One per quarter.
    pub quarterly: u32,
    /// One per year.
    pub yearly: u32,
    /// Everything of so long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<TimeSpan>,
    /// One per hour, so far back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_hourly: Option<TimeSpan>,
    /// One per day, so far back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_daily: Option<TimeSpan>,
    /// One per ISO week, so far back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_weekly: Option<TimeSpan>,
    /// One per month, so far back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_monthly: Option<TimeSpan>,
    /// One per quarter, so far back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_quarterly: Option<TimeSpan>,
    /// One per year, so far back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_yearly: Option<TimeSpan>,
}

fn one() -> u32 {
    1
}

/// Which member of a period survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Prefer {
    /// The newest.
    #[default]
    Newest,
    /// The oldest.
    Oldest,
}

/// Limits on what one run may do. Where two sets meet on a domain, the strictest value wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SafetyPolicy {
    /// Always `snapward/v1`.
    #[schemars(extend("const" = "snapward/v1"))]
    pub api_version: String,
    /// Always `SafetyPolicy`.
    #[schemars(extend("const" = "SafetyPolicy"))]
    pub kind: String,
    /// Name and namespace.
    pub metadata: Metadata,
    /// The limits.
    pub spec: SafetySpec,
}

/// The limits of a SafetyPolicy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SafetySpec {
    /// How many deletions by age or retention one plan may hold before all of them wait for a person.
    pub max_deletes: MaxDeletes,
    /// Whether retention may delete the last snapshot of a domain.
    pub allow_empty: bool,
    /// The most images a disk's whole backing chain may have.
    #[schemars(range(min = 2, max = 199))]
    pub chain_limit: u32,
    /// Free space that must remain where captures are stored.
    pub free_space: FreeSpace,
    /// What a sane clock is.
    pub clock: Clock,
    /// Whether external snapshots are deleted where image chains cannot be read, as those of a remote host: the snapshots'
    /// metadata is then taken at its word.
    pub trust_unreadable_chains: bool,
    /// When deletions and reverts may happen; empty: always.
    pub windows: Vec<Window>,
    /// The id of the one plan whose deletions over `maxDeletes` are approved; any other plan's still wait for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approve: Option<String>,
}

impl Default for SafetySpec {
    fn default() -> Self {
        Self {
            max_deletes: MaxDeletes::default(),
            allow_empty: false,
            // Below libvirt 12.0, 24 overlays start and 25 do not; 20 leaves room for hand-made ones.
            chain_limit: 20,
            free_space: FreeSpace::default(),
            clock: Clock::default(),
            trust_unreadable_chains: false,
            windows: Vec::new(),
            approve: None,
        }
    }
}

/// Limits on deletions of one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MaxDeletes {
    /// In one domain.
    pub per_domain: u32,
    /// On one host.
    pub per_host: u32,
    /// Of a series' snapshots, in percent.
    pub percent: Percent,
}

impl Default for MaxDeletes {
    fn default() -> Self {
        Self { per_domain: 10, per_host: 50, percent: Percent(50) }
    }
}

/// A whole number from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Percent(#[schemars(range(max = 100))] pub u8);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            value @ 0..=100 => Ok(Self(value as u8)),
            value => Err(serde::de::Error::custom(format!("a percentage is 0 to 100, not {value}"))),
        }
    }
}

/// Free space that must remain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FreeSpace {
    /// Of the filesystem, in percent.
    pub min_percent: Percent,
}

impl Default for FreeSpace {
    fn default() -> Self {
        Self { min_percent: Percent(10) }
    }
}

/// What a sane clock is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Clock {
    /// How far ahead of now a snapshot's time may be.
    pub max_future: TimeSpan,
}

impl Default for Clock {
    fn default() -> Self {
        // "5m" is a valid span; the test below holds it to that.
        Self { max_future: TimeSpan::parse("5m").unwrap_or_else(|_| unreachable!("5m is a span")) }
    }
}

/// A time in which some actions may happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// What may happen only in windows.
    #[schemars(length(min = 1))]
    pub allow: Vec<WindowAction>,
    /// When it opens: five cron fields.
    pub cron: String,
    /// How long it stays open.
    pub duration: TimeSpan,
    /// The IANA zone the cron fields are read in; without it, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// What a window can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WindowAction {
    /// Deletions.
    Delete,
    /// Reverts.
    Revert,
}

/// Asks once for domains to be reverted to a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevertRequest {
    /// Always `snapward/v1`.
    #[schemars(extend("const" = "snapward/v1"))]
    pub api_version: String,
    /// Always `RevertRequest`.
    #[schemars(extend("const" = "RevertRequest"))]
    pub kind: String,
    /// Name and namespace.
    pub metadata: Metadata,
    /// The request.
    pub spec: RevertRequestSpec,
}

/// One revert of some domains; once per token, or once per slot of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevertRequestSpec {
    /// The hosts meant; required, so that a revert never reaches a host by accident.
    pub hosts: HostSelector,
    /// The domains meant.
    pub domains: DomainSelector,
    /// The snapshot to revert to.
    pub to: SnapshotName,
    /// Any text; each new one is one new revert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Reverts at each slot instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// After this the request is void; required with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateOrInstant>,
    /// The run state afterwards.
    #[serde(default)]
    pub power: Power,
    /// A snapshot of today's state first.
    #[serde(default)]
    pub guard: RevertGuard,
    /// Accept what libvirt calls a risky revert.
    #[serde(default)]
    pub force: bool,
}

/// The run state after a revert.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Power {
    /// Running.
    Running,
    /// Paused.
    Paused,
    /// As it was when the snapshot was captured.
    #[default]
    AsCaptured,
}

/// The snapshots taken before a revert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RevertGuard {
    /// How many are kept; 0: none is taken.
    pub keep: u32,
}

impl Default for RevertGuard {
    fn default() -> Self {
        Self { keep: 1 }
    }
}

/// The hosts of runs that reach several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inventory {
    /// Always `snapward/v1`.
    #[schemars(extend("const" = "snapward/v1"))]
    pub api_version: String,
    /// Always `Inventory`.
    #[schemars(extend("const" = "Inventory"))]
    pub kind: String,
    /// Name and namespace.
    pub metadata: Metadata,
    /// The hosts.
    pub spec: InventorySpec,
}

/// The hosts of an Inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventorySpec {
    /// Each reached by its URI.
    #[schemars(length(min = 1))]
    pub hosts: Vec<InventoryHost>,
}

/// One host of an Inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryHost {
    /// The name used in plans and locks.
    pub name: String,
    /// The libvirt connection URI.
    pub uri: String,
    /// Labels that sets choose by.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_contract() {
        let safety = SafetySpec::default();
        assert_eq!(safety.max_deletes, MaxDeletes { per_domain: 10, per_host: 50, percent: Percent(50) });
        assert_eq!(safety.clock.max_future.as_str(), "5m");
        assert_eq!(safety.chain_limit, 20);
    }
}
