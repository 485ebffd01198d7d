//! One domain of an apply: lock, read again, compare, act in order, stop at the first failure.

use std::collections::BTreeMap;
use std::time::Instant;

use super::act::{Done, Failure, Guard, Pass, touches_files};
use super::lock::{Lock, LockError};
use super::{Options, Target, Task};
use crate::host::{self, DomainRef, HostError, SnapshotRef};
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedDomain;
use crate::model::outcome::{ActionOutcome, ActionResult, DomainOutcome, DomainResult};
use crate::model::plan::{Action, ActionKind};
use crate::observe::{Interest, read_domain};
use crate::plan::chain::Rules;

/// Works on one domain and says what became of it.
pub(super) fn apply_domain(target: &Target, task: &Task<'_>, options: &Options<'_>) -> DomainOutcome {
    if options.stop.is_requested() {
        return skipped(task, DomainResult::Interrupted, "not begun: the run was interrupted");
    }
    let _lock = match Lock::take(&options.lock_dir, &target.info.hostname, task.planned.uuid) {
        Ok(lock) => lock,
        Err(LockError::Held(holder)) => {
            let holder = if holder.is_empty() { "another writer".to_owned() } else { holder };
            let text =
                format!("{holder} is at work on this domain; nothing was done here. Run again when it is finished");
            return skipped(task, DomainResult::Locked, &text);
        }
        Err(LockError::Io(path, error)) => {
            let text = format!(
                "its lock {} cannot be used ({error}), so nothing was done; run as root or as a member of the group that \
                 owns the directory",
                path.display()
            );
            return skipped(task, DomainResult::Failed, &text);
        }
    };
    let (domain, observed, refs) = match reread(target, task) {
        Ok(Reread::Same(domain, observed, refs)) => (domain, observed, refs),
        Ok(Reread::Changed(text)) => return skipped(task, DomainResult::Stale, &text),
        Err(error) => {
            let text = format!("could not be read again ({error}), so nothing was done; run again");
            return skipped(task, DomainResult::Failed, &text);
        }
    };
    options.progress.domain_started(&task.planned.host, &task.planned.domain, task.actions.len());
    let guard = match guard(target, task, &observed, (options.clock)()) {
        Ok(guard) => guard,
        Err(error) => {
            let text =
                format!("the other domains of its host could not be listed ({error}), so nothing was done; run again");
            return skipped(task, DomainResult::Failed, &text);
        }
    };
    let ledger = task.planned.ledger.as_ref();
    let mut pass = Pass::new(target, domain, &observed, refs, ledger, guard, options);
    if let Err(failure) = pass.write_planned_ledger() {
        return skipped(task, DomainResult::Failed, &failure.text);
    }
    run(task, &mut pass, options)
}

/// What a domain is read again for: what the plan wants to exist in it, and the files it means to make.
pub(super) fn interest<'a>(task: &Task<'a>) -> Interest<'a> {
    let mut wanted = Interest { declared: task.planned.declared.iter().collect(), ..Interest::default() };
    for capture in task.actions.iter().filter_map(|action| action.after.as_ref()?.capture.as_ref()) {
        wanted.capture(capture);
    }
    // A record that is given back can be of an external snapshot, in a domain that lists none.
    wanted.external |= task.actions.iter().any(|action| action.definition.is_some());
    wanted.revert = reverts(task);
    wanted
}

fn reverts(task: &Task<'_>) -> bool {
    task.actions.iter().any(|action| action.action == ActionKind::Revert)
}

/// The watch over a domain that has, or gets, external snapshots, or is reverted.
fn guard<'a>(
    target: &Target,
    task: &Task<'a>,
    observed: &ObservedDomain,
    now: jiff::Timestamp,
) -> host::Result<Option<Guard<'a>>> {
    let wanted = interest(task);
    let external = observed.tree.has_external();
    if !external && !wanted.external && !wanted.revert {
        return Ok(None);
    }
    let rules = Rules { trust_unreadable_chains: task.planned.trust_unreadable_chains };
    let touched = wanted.revert || task.actions.iter().any(|action| touches_files(action, external));
    Guard::new(target.host.as_ref(), observed, wanted, rules, touched.then_some(now)).map(Some)
}

enum Reread {
    Same(DomainRef, Box<ObservedDomain>, Vec<SnapshotRef>),
    /// What is different now.
    Changed(String),
}

fn reread(target: &Target, task: &Task<'_>) -> Result<Reread, HostError> {
    let planned = task.planned;
    let changed = |what: &str| {
        Ok(Reread::Changed(format!("{what} since the plan was made; nothing was done here. Make a new plan")))
    };
    let Some(domain) = target.host.domain(planned.uuid)? else {
        return changed("the domain is gone");
    };
    if domain.name != planned.domain {
        return changed(&format!("the domain was renamed to {}", crate::model::text::printable(&domain.name)));
    }
    let (observed, refs) = read_domain(target.host.as_ref(), &domain, &interest(task))?;
    if observed.fingerprint != planned.fingerprint {
        let what = if observed.state == planned.state {
            "its snapshots or disks changed".to_owned()
        } else {
            format!("it was {} and is {}: it changed", planned.state.as_str(), observed.state.as_str())
        };
        return changed(&what);
    }
    // The tree can look the same after another run captured a snapshot and somebody deleted it.
    let made = |name: &SnapshotName| Some(observed.ledger.as_ref()?.made(name)?.created);
    let captures = task.actions.iter().filter(|action| action.action == ActionKind::Create);
    let done_since = |name: &&SnapshotName| made(name) != planned.lost.get(*name).copied();
    if let Some(name) = captures.filter_map(|action| action.address.snapshot.as_ref()).find(done_since) {
        let what = match made(name) {
            Some(_) => format!("snapshot {name} was captured by another run, and deleted,"),
            None => format!("the ledger's entry of snapshot {name} was lost"),
        };
        return changed(&what);
    }
    Ok(Reread::Same(domain, Box::new(observed), refs))
}

fn run(task: &Task<'_>, pass: &mut Pass<'_>, options: &Options<'_>) -> DomainOutcome {
    let mut actions = Vec::with_capacity(task.actions.len());
    let mut result = DomainResult::Done;
    let mut text = String::new();
    for action in &task.actions {
        if result == DomainResult::Done && options.stop.is_requested() {
            result = DomainResult::Interrupted;
            text = "interrupted; the actions listed as done are done".to_owned();
        }
        if let (DomainResult::Done, Some(end)) = (result, closed_window(task, action, options)) {
            // What comes after it may need the room that it would have made.
            result = DomainResult::WindowClosed;
            text = format!("the window of its SafetyPolicy closed {end}; make a new plan for the rest");
        }
        if result != DomainResult::Done {
            let why = match result {
                DomainResult::Interrupted => "not begun: the run was interrupted",
                DomainResult::WindowClosed => "not begun: the window of the SafetyPolicy is closed",
                _ => "not begun: an earlier action in this domain failed",
            };
            actions.push(outcome(action, ActionResult::Skipped, why, 0));
            continue;
        }
        options.progress.action_started(action);
        let started = Instant::now();
        let done = pass.act(action);
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ended = match done {
            Ok(Done { text, disks }) => ActionOutcome { disks, ..outcome(action, ActionResult::Done, &text, millis) },
            Err(Failure { done, text: why }) => {
                result = DomainResult::Failed;
                text = "a write failed, so nothing more was done in this domain".to_owned();
                let result = if done { ActionResult::Done } else { ActionResult::Failed };
                outcome(action, result, &why, millis)
            }
        };
        options.progress.action_finished(action, &ended);
        actions.push(ended);
    }
    let (host, domain) = (task.planned.host.clone(), task.planned.domain.clone());
    DomainOutcome { host, domain, result, text, actions }
}

/// When the window of a deletion or revert closed, where it did: the actions before it can have taken hours.
fn closed_window(task: &Task<'_>, action: &Action, options: &Options<'_>) -> Option<jiff::Timestamp> {
    let bound = matches!(action.action, ActionKind::Delete | ActionKind::Revert);
    task.planned.window_closes.filter(|end| bound && *end <= (options.clock)())
}

fn outcome(action: &Action, result: ActionResult, text: &str, millis: u64) -> ActionOutcome {
    let (address, action, text) = (action.address.clone(), action.action, text.to_owned());
    ActionOutcome { address, action, result, text, disks: BTreeMap::new(), millis }
}

/// The outcome of a domain in which nothing was done.
pub(super) fn skipped(task: &Task<'_>, result: DomainResult, text: &str) -> DomainOutcome {
    let actions = task.actions.iter().map(|action| outcome(action, ActionResult::Skipped, text, 0)).collect();
    let (host, domain) = (task.planned.host.clone(), task.planned.domain.clone());
    DomainOutcome { host, domain, result, text: text.to_owned(), actions }
}
