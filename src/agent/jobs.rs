//! Jobs: the part of a plan that is one domain's, carried out on a connection for writers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::Key;
use super::hosts::Hosts;
use crate::apply::{self, Options, Target};
use crate::host::Host;
use crate::libvirt::Access;
use crate::model::ledger::Ledger;
use crate::model::observed::HostInfo;
use crate::model::outcome::{ActionOutcome, ActionResult, DomainOutcome, DomainResult};
use crate::model::plan::{Action, ActionKind, Plan, PlannedDomain, View};
use crate::observe::Endpoint;

/// An action, its address, and the fields that it sets: of two that redefine one snapshot the second can be another. What is
/// captured, deleted or reverted to is known by its address; the sizes and names of files beside it change by themselves.
type Deed = (ActionKind, String, Option<View>);

/// What a job does: the ledger that it writes before anything else, and its actions.
pub(super) type Deeds = (Option<Ledger>, Vec<Deed>);

/// What is to be done in one domain.
pub(super) struct Job {
    pub(super) key: Key,
    /// The plan without the other domains.
    pub(super) plan: Plan,
    pub(super) info: HostInfo,
    pub(super) endpoint: Endpoint,
    /// Whether it holds deletions that a person approved with the plan as a whole, whose id the first of its jobs changes.
    pub(super) approved: bool,
}

impl Job {
    /// What it does, to be told from the next job of the domain.
    pub(super) fn deeds(&self) -> Deeds {
        let sets = |action: &Action| matches!(action.action, ActionKind::Redefine | ActionKind::SetCurrent);
        let deed = |action: &Action| {
            (action.action, action.address.to_string(), action.after.clone().filter(|_| sets(action)))
        };
        let ledger = self.plan.domains.first().and_then(|domain| domain.ledger.clone());
        (ledger, self.plan.actions.iter().map(deed).collect())
    }

    /// Whether its time is over while it waited: a slot, or a window. What was approved as a whole was begun in time.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        !self.approved && self.plan.ends().is_some_and(|end| end <= now)
    }

    /// The same with a newer plan's time.
    pub(super) fn renewed(mut self, plan: &Plan) -> Self {
        self.plan.good_until.clone_from(&plan.good_until);
        self
    }

    /// Whether a newer plan has the same for its domain, found as it was.
    pub(super) fn stands(&self, plan: &Plan) -> bool {
        let now = plan.domains.iter().find(|of| (&of.host, of.uuid) == (&self.key.0, self.key.1));
        let (Some(now), Some(then)) = (now, self.plan.domains.first()) else { return false };
        (&now.fingerprint, &now.ledger, now.window_closes) == (&then.fingerprint, &then.ledger, then.window_closes)
            && plan.actions.iter().filter(|action| is_in(action, now)).eq(&self.plan.actions)
    }
}

/// Whether anything would be done in a domain: an action, or a ledger that lacks something.
pub(super) fn has_work(plan: &Plan, domain: &PlannedDomain) -> bool {
    domain.ledger.is_some() || plan.actions.iter().any(|action| is_in(action, domain))
}

fn is_in(action: &Action, domain: &PlannedDomain) -> bool {
    action.address.host == domain.host && action.address.domain == domain.domain
}

/// The part of a plan that is one domain's.
pub(super) fn part(plan: &Plan, domain: &PlannedDomain) -> Plan {
    Plan {
        format_version: plan.format_version,
        plan_id: plan.plan_id.clone(),
        created_at: plan.created_at.clone(),
        good_until: plan.good_until.clone(),
        source: plan.source.clone(),
        summary: plan.summary,
        hosts: Vec::new(),
        domains: vec![domain.clone()],
        actions: plan.actions.iter().filter(|action| is_in(action, domain)).cloned().collect(),
        blocked: Vec::new(),
        kept: Vec::new(),
        unchanged: 0,
        drift: Vec::new(),
        unmanaged: Vec::new(),
        warnings: Vec::new(),
        unreadable: Vec::new(),
        stats: plan.stats,
        held_back: Vec::new(),
    }
}

/// A host's name and the URI of its connection: an Inventory can give a name to another machine.
type Machine = (String, String);

/// A connection, locked while it is opened: jobs of one host that begin together share what the first one opens.
type Slot = Arc<Mutex<Option<Arc<dyn Host>>>>;

/// The connections for writers, one for each host: a long capture or merge never stands in the way of reading.
pub(super) struct Writers {
    hosts: Arc<dyn Hosts>,
    /// Locked for as long as it takes to find a slot, so that a host that hangs holds up nobody but its own jobs.
    slots: Mutex<BTreeMap<Machine, Slot>>,
}

impl Writers {
    pub(super) fn new(hosts: Arc<dyn Hosts>) -> Self {
        Self { hosts, slots: Mutex::default() }
    }

    /// Carries a job out. Blocks.
    pub(super) fn run(&self, job: &Job, options: &Options<'_>) -> DomainOutcome {
        let host = match self.host(job) {
            Ok(host) => host,
            Err(error) => {
                return not_begun(job, &format!("no connection to write through ({error}); nothing was done"));
            }
        };
        let target = Target { info: job.info.clone(), host };
        let outcome = apply::apply(&job.plan, &[target], options).domains.into_iter().next();
        let outcome = outcome.unwrap_or_else(|| not_begun(job, "there was nothing to do"));
        if outcome.result == DomainResult::Failed {
            // The connection may be what failed: the next job opens another.
            lock(&self.slots).remove(&machine(job));
        }
        outcome
    }

    /// Keeps the connections to hosts that are reached under that name at that URI. Of one that was lost, the connection to
    /// write through was lost too.
    pub(super) fn retain(&self, is_reached: impl Fn(&str, &str) -> bool) {
        lock(&self.slots).retain(|(name, uri), _| is_reached(name, uri));
    }

    pub(super) fn host(&self, job: &Job) -> Result<Arc<dyn Host>, String> {
        let slot = Arc::clone(lock(&self.slots).entry(machine(job)).or_default());
        let mut open = lock(&slot);
        if let Some(host) = &*open {
            return Ok(Arc::clone(host));
        }
        let host = self.hosts.open(&job.endpoint, Access::ReadWrite, None)?.connection.host;
        *open = Some(Arc::clone(&host));
        Ok(host)
    }
}

fn machine(job: &Job) -> Machine {
    (job.key.0.clone(), job.endpoint.uri.clone())
}

/// Nothing is left half done where a thread panics with one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_begun(job: &Job, text: &str) -> DomainOutcome {
    let skipped = |action: &Action| ActionOutcome {
        address: action.address.clone(),
        action: action.action,
        result: ActionResult::Skipped,
        text: text.to_owned(),
        disks: BTreeMap::new(),
        millis: 0,
    };
    let domain = job.plan.domains.first().map(|domain| domain.domain.clone()).unwrap_or_default();
    DomainOutcome {
        host: job.key.0.clone(),
        domain,
        result: DomainResult::Failed,
        text: text.to_owned(),
        actions: job.plan.actions.iter().map(skipped).collect(),
    }
}
