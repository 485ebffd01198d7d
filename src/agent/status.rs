//! The agent's status, made from the last round and the queue: conditions with their reasons, and since when they hold.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Key;
use super::round::Round;
use super::source::{Revision, SourceError, Verification};
use crate::model::agent::{AgentCondition, AgentDomain, AgentHost, AgentStatus, LastPass, Mode, SourceStatus};
use crate::model::plan::FORMAT_VERSION;
use crate::model::status::{Condition, ConditionKind, DomainStatus, Status};
use crate::model::text::count;

/// Failures in a row after which a domain counts as stalled: beyond a restart of the daemon or a job that was in the way.
const STALLED_AFTER: u32 = 3;

/// How work on a domain stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Work {
    pub(super) running: bool,
    pub(super) pending: bool,
    pub(super) failures: u32,
    pub(super) retry_at: Option<Timestamp>,
}

/// What the status is made from, and since when each condition holds.
pub(super) struct Board {
    started: Timestamp,
    mode: Mode,
    source: SourceStatus,
    verification: Option<Verification>,
    hosts: Vec<AgentHost>,
    status: Option<Status>,
    /// The revision that the last round was about.
    observed: Option<String>,
    last: BTreeMap<Key, LastPass>,
    since: BTreeMap<(Option<Key>, ConditionKind), (bool, String, Timestamp)>,
}

impl Board {
    pub(super) fn new(started: Timestamp, mode: Mode, paths: Vec<String>) -> Self {
        Self {
            started,
            mode,
            source: SourceStatus { paths, ..SourceStatus::default() },
            verification: None,
            hosts: Vec::new(),
            status: None,
            observed: None,
            last: BTreeMap::new(),
            since: BTreeMap::new(),
        }
    }

    /// The source was read.
    pub(super) fn read(&mut self, read: &Result<Revision, SourceError>, verification: Verification, now: Timestamp) {
        match read {
            Ok(revision) => {
                if self.source.revision.as_ref() != Some(&revision.id) {
                    self.source.since = Some(now.to_string());
                }
                self.source.revision = Some(revision.id.clone());
                self.source.attempted = Some(revision.id.clone());
                self.source.warnings.clone_from(&revision.warnings);
                self.source.error = None;
                self.verification = Some(verification);
            }
            Err(error) => {
                self.source.attempted.clone_from(&error.id);
                self.source.error = Some(error.text.clone());
            }
        }
    }

    /// A round ended.
    pub(super) fn round(&mut self, round: &Round, revision: &str) {
        self.hosts.clone_from(&round.hosts);
        self.status = Some(round.status.clone());
        self.observed = Some(revision.to_owned());
        self.last.retain(|key, _| round.domains.contains(key));
        self.since.retain(|(key, _), _| key.as_ref().is_none_or(|key| round.domains.contains(key)));
    }

    /// A pass over a domain ended.
    pub(super) fn pass(&mut self, key: Key, last: LastPass) {
        self.last.insert(key, last);
    }

    /// The status now.
    pub(super) fn status(&mut self, work: impl Fn(&Key) -> Work, busy: bool, now: Timestamp) -> AgentStatus {
        let shown = self.status.clone();
        let (domains, blocked, unreadable) =
            shown.map_or_else(Default::default, |shown| (shown.domains, shown.blocked, shown.unreadable));
        let domains: Vec<AgentDomain> = domains
            .into_iter()
            .map(|domain| {
                let key = (domain.host.clone(), domain.uuid);
                let work = work(&key);
                self.domain(domain, &key, &work, now)
            })
            .collect();
        let working = domains.iter().any(|domain| holds(&domain.conditions, ConditionKind::Reconciling));
        let not_ready = domains.iter().filter(|domain| !holds(&domain.conditions, ConditionKind::Ready)).count();
        let down = self.hosts.iter().filter(|host| !host.connected).count();
        let conditions = self.own_conditions(&Counts {
            not_ready,
            down,
            others: blocked.len() + unreadable.len(),
            working: busy || working,
        });
        let conditions = conditions.into_iter().map(|condition| self.dated(None, condition, now)).collect();
        AgentStatus {
            format_version: FORMAT_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started.to_string(),
            at: now.to_string(),
            mode: self.mode,
            conditions,
            source: self.source.clone(),
            hosts: self.hosts.clone(),
            domains,
            blocked,
            unreadable,
        }
    }

    fn domain(&mut self, domain: DomainStatus, key: &Key, work: &Work, now: Timestamp) -> AgentDomain {
        let mut conditions = domain.conditions;
        let (reconciling, reason, message) = match (work.running, work.pending, work.retry_at) {
            (true, ..) => (true, "Running", "the agent is at work on it".to_owned()),
            (_, true, _) => (true, "Waiting", "it waits for a free worker".to_owned()),
            (_, _, Some(at)) => (true, "Retrying", format!("the last pass failed; it is tried again {at}")),
            _ => (false, "Idle", "nothing is being done".to_owned()),
        };
        conditions.push(condition(ConditionKind::Reconciling, reconciling, reason, message));
        let stalled = work.failures >= STALLED_AFTER;
        let message = count(work.failures as usize, "failure in a row", "failures in a row");
        conditions.push(condition(ConditionKind::Stalled, stalled, if stalled { "Failing" } else { "None" }, message));
        let conditions =
            conditions.into_iter().map(|condition| self.dated(Some(key.clone()), condition, now)).collect();
        AgentDomain {
            host: domain.host,
            domain: domain.domain,
            uuid: domain.uuid,
            state: domain.state,
            sets: domain.sets,
            conditions,
            newest_good: domain.newest_good,
            next_due: domain.next_due,
            blocked: domain.blocked,
            failures: work.failures,
            retry_at: work.retry_at.map(|at| at.to_string()),
            last: self.last.get(key).cloned(),
        }
    }

    fn own_conditions(&self, counts: &Counts) -> Vec<Condition> {
        let ready = match (&self.source.revision, &self.observed, &self.source.error) {
            (None, _, Some(_)) => (false, "NoRevision", "no revision could be used yet".to_owned()),
            (None, ..) | (_, None, _) => (false, "Starting", "the first round has not ended".to_owned()),
            (.., Some(_)) => (false, "SourceRefused", "what was read last cannot be used".to_owned()),
            _ if counts.down > 0 => {
                (false, "HostDown", count(counts.down, "host cannot be reached", "hosts cannot be reached"))
            }
            _ if counts.not_ready > 0 => {
                (false, "DomainsNotReady", count(counts.not_ready, "domain is not Ready", "domains are not Ready"))
            }
            _ if counts.others > 0 => {
                let text = count(
                    counts.others,
                    "item needs a person or cannot be read",
                    "items need a person or cannot be read",
                );
                (false, "NeedsPerson", text)
            }
            _ => (true, "AsDeclared", "everything is as declared".to_owned()),
        };
        let stalled = match &self.source.error {
            Some(_) => {
                (true, "SourceRefused", "the last good revision stays in use until the source is repaired".to_owned())
            }
            None => (false, "None", "the newest revision is in use".to_owned()),
        };
        let verified = match &self.verification {
            Some(found) => (found.verified, found.reason, found.message.clone()),
            None => (false, "Unknown", "no revision was read yet".to_owned()),
        };
        let reconciling = match counts.working {
            true => (true, "Progressing", "a round or a pass runs, or will be tried again".to_owned()),
            false => (false, "Idle", "nothing is being done".to_owned()),
        };
        [
            (ConditionKind::Ready, ready),
            (ConditionKind::Reconciling, reconciling),
            (ConditionKind::Stalled, stalled),
            (ConditionKind::SourceVerified, verified),
        ]
        .into_iter()
        .map(|(kind, (status, reason, message))| condition(kind, status, reason, message))
        .collect()
    }

    /// Says since when a condition is as it is.
    fn dated(&mut self, key: Option<Key>, condition: Condition, now: Timestamp) -> AgentCondition {
        let entry = self
            .since
            .entry((key, condition.kind))
            .or_insert_with(|| (condition.status, condition.reason.clone(), now));
        if (entry.0, &entry.1) != (condition.status, &condition.reason) {
            *entry = (condition.status, condition.reason.clone(), now);
        }
        AgentCondition {
            kind: condition.kind,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            since: entry.2.to_string(),
            revision: self.observed.clone(),
        }
    }
}

/// What the agent's own conditions are decided by.
struct Counts {
    not_ready: usize,
    down: usize,
    others: usize,
    working: bool,
}

fn condition(kind: ConditionKind, status: bool, reason: &str, message: String) -> Condition {
    Condition { kind, status, reason: reason.to_owned(), message }
}

/// Whether a condition holds.
pub(super) fn holds(conditions: &[AgentCondition], kind: ConditionKind) -> bool {
    conditions.iter().any(|condition| condition.kind == kind && condition.status)
}
