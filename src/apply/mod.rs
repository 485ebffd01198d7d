//! Apply: carries out a plan, domain by domain in parallel. Each domain is locked, read again, compared with the plan,
//! acted on, and every action is read back.

mod act;
mod domain;
pub mod lock;
mod progress;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

pub use progress::Progress;

use crate::host::Host;
use crate::model::observed::HostInfo;
use crate::model::outcome::{ActionResult, DomainOutcome, DomainResult, Outcome, OutcomeSummary};
use crate::model::plan::{Action, FORMAT_VERSION, Plan, PlannedDomain};

/// How many domains of one host are worked on at a time. A capture or delete holds one of libvirt's 20 workers and one of
/// the five requests of this client for as long as it runs; more writers than that only wait in libvirt's queue.
const WRITERS_PER_HOST: usize = 4;

/// A host that can be written to.
#[derive(Clone)]
pub struct Target {
    /// What it is, as it was observed.
    pub info: HostInfo,
    /// The calls, on a connection that may write.
    pub host: Arc<dyn Host>,
}

/// A request to end early: the running action of each domain is finished, none is started.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was raised.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What applying needs to know besides the plan.
pub struct Options<'a> {
    /// Where the locks are kept; see [`lock`].
    pub lock_dir: std::path::PathBuf,
    /// Told of every step.
    pub progress: &'a dyn Progress,
    /// Ends the run early.
    pub stop: Stop,
    /// Tells the time, for the notes of reverts and what expires.
    pub clock: &'a (dyn Fn() -> jiff::Timestamp + Sync),
}

/// One domain with what is to be done in it.
struct Task<'a> {
    planned: &'a PlannedDomain,
    actions: Vec<&'a Action>,
}

/// Carries out a plan. Never fails as a whole: what went wrong is in the outcome.
pub fn apply(plan: &Plan, targets: &[Target], options: &Options<'_>) -> Outcome {
    let mut domains: Vec<DomainOutcome> = thread::scope(|scope| {
        let hosts: Vec<_> = targets
            .iter()
            .map(|target| {
                let tasks = tasks(plan, |host| host == target.info.name);
                scope.spawn(move || apply_host(target, &tasks, options))
            })
            .collect();
        hosts.into_iter().flat_map(|host| host.join().unwrap_or_default()).collect()
    });
    let done: HashSet<_> = domains.iter().map(|outcome| (outcome.host.clone(), outcome.domain.clone())).collect();
    for task in tasks(plan, |_| true) {
        let planned = task.planned;
        if !task.actions.is_empty() && !done.contains(&(planned.host.clone(), planned.domain.clone())) {
            let down = plan.unreadable.iter().find(|item| item.host == planned.host && item.domain.is_none());
            let text = match down {
                Some(down) => format!("its host could not be reached ({}), so nothing was done here", down.error),
                None => "working on it ended in a defect of snapward; run plan to see what stands".to_owned(),
            };
            domains.push(domain::skipped(&task, DomainResult::Failed, &text));
        }
    }
    domains.sort_by(|a, b| (&a.host, &a.domain).cmp(&(&b.host, &b.domain)));
    let summary = summary(&domains, plan, options.stop.is_requested());
    Outcome {
        format_version: FORMAT_VERSION,
        plan_id: plan.plan_id.clone(),
        summary,
        domains,
        blocked: plan.blocked.clone(),
        unreadable: plan.unreadable.clone(),
    }
}

/// The domains of the chosen hosts that have anything to do. A ledger that lacks something is written even where nothing
/// else is to be done: the next capture embeds it.
fn tasks(plan: &Plan, of_host: impl Fn(&str) -> bool) -> Vec<Task<'_>> {
    // By host and domain; looked for in each domain, they would cost their number times that of the domains.
    let mut actions: HashMap<(&str, &str), Vec<&Action>> = HashMap::new();
    for action in &plan.actions {
        actions.entry((&action.address.host, &action.address.domain)).or_default().push(action);
    }
    let here = plan.domains.iter().filter(|planned| of_host(&planned.host));
    here.map(|planned| Task {
        planned,
        actions: actions.remove(&(&*planned.host, &*planned.domain)).unwrap_or_default(),
    })
    .filter(|task| !task.actions.is_empty() || task.planned.ledger.is_some())
    .collect()
}

fn apply_host(target: &Target, tasks: &[Task<'_>], options: &Options<'_>) -> Vec<DomainOutcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::with_capacity(tasks.len()));
    thread::scope(|scope| {
        for _ in 0..WRITERS_PER_HOST.min(tasks.len()) {
            scope.spawn(|| {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = domain::apply_domain(target, task, options);
                    options.progress.domain_finished(&outcome);
                    // A poisoned lock means another worker panicked between push and unlock, which cannot happen.
                    outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn summary(domains: &[DomainOutcome], plan: &Plan, interrupted: bool) -> OutcomeSummary {
    let actions = |result| domains.iter().flat_map(|d| &d.actions).filter(|action| action.result == result).count();
    let ended = |result| domains.iter().filter(|domain| domain.result == result).count();
    OutcomeSummary {
        done: actions(ActionResult::Done),
        failed: actions(ActionResult::Failed),
        skipped: actions(ActionResult::Skipped),
        failed_domains: ended(DomainResult::Failed),
        stale_domains: ended(DomainResult::Stale),
        locked_domains: ended(DomainResult::Locked),
        blocked: plan.blocked.len(),
        // A failure counts: the interrupt of a terminal reaches qemu-img too where the driver runs in this process.
        interrupted: interrupted && ended(DomainResult::Interrupted) + ended(DomainResult::Failed) > 0,
    }
}
