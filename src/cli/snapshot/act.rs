//! What every acting verb does: read the domain, have its order planned, carry the plan out, and say what became of it.

use jiff::Timestamp;

use super::super::Context;
use super::super::apply::lock_dir;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::{clock, progress};
use super::open::Opened;
use crate::apply::{self, Target};
use crate::model::observed::{HostInfo, ObservedDomain};
use crate::model::outcome::{ActionOutcome, ActionResult, DomainResult};
use crate::model::plan::{Action, ActionKind, Plan};
use crate::model::text::printable;
use crate::observe::{self, Interest, Neighbourhood};
use crate::plan::chain::Neighbours;
use crate::plan::order::{Refusal, Scene};

/// The domain as it was read for an order.
pub(in crate::cli) struct Seen {
    info: HostInfo,
    pub(in crate::cli) domain: ObservedDomain,
    near: Neighbourhood,
    now: Timestamp,
}

impl Opened {
    /// Reads the domain, and where there are or shall be external snapshots its neighbours too.
    ///
    /// # Errors
    /// When a call fails.
    pub(in crate::cli) fn observe(&self, wanted: &Interest<'_>) -> Result<Seen, CliError> {
        let info = observe::identify(&self.connection)?;
        let domain = observe::observe_domain(self.host(), &self.domain, wanted)?;
        let near = if wanted.external || domain.tree.has_external() {
            observe::neighbours(self.host(), self.domain.uuid)?
        } else {
            Neighbourhood::default()
        };
        Ok(Seen { info, domain, near, now: clock::now() })
    }
}

impl Seen {
    /// For the planner.
    pub(in crate::cli) fn scene(&self) -> Scene<'_> {
        let neighbours = Neighbours::read(&self.near.domains, &self.near.unreadable);
        Scene { host: &self.info, domain: &self.domain, neighbours, now: self.now }
    }

    /// An order that is not carried out.
    pub(in crate::cli) fn refused(&self, refusals: &[Refusal]) -> CliError {
        let domain = printable(&self.domain.name);
        let line = |refusal: &Refusal| match &refusal.snapshot {
            Some(snapshot) => format!("snapshot {snapshot} of domain {domain}: {}", refusal.text),
            None => format!("domain {domain}: {}", refusal.text),
        };
        let lines: Vec<_> = refusals.iter().map(line).collect();
        let mut ways_out: Vec<&str> = refusals.iter().map(|refusal| refusal.way_out.as_str()).collect();
        ways_out.dedup();
        let error = CliError::failed(format!("{}; nothing was done", lines.join("\n")));
        ways_out.into_iter().fold(error, CliError::hint)
    }
}

/// One refusal where several could be.
pub(super) fn one(refusal: Refusal) -> Vec<Refusal> {
    vec![refusal]
}

/// Carries a plan out, and prints what was done.
///
/// # Errors
/// When nothing was done.
pub(in crate::cli) fn carry_out(
    context: &Context,
    opened: &Opened,
    seen: &Seen,
    plan: &Plan,
) -> Result<Exit, CliError> {
    let stop = apply::Stop::new();
    opened.interrupt.stops(stop.clone());
    let progress = progress::choose(context, plan.actions.len());
    let options = apply::Options { lock_dir: lock_dir(), progress: &*progress, stop, clock: &clock::now };
    let target = Target { info: seen.info.clone(), host: opened.connection.host.clone() };
    let outcome = apply::apply(plan, &[target], &options);
    drop(progress);
    let exit = Exit::of_outcome(&outcome);
    let Some(done) = outcome.domains.first() else { return Ok(exit) };
    let lines: String =
        plan.actions.iter().zip(&done.actions).filter_map(|(action, done)| told(action, done)).collect();
    let domain = printable(&seen.domain.name);
    let failure = done.actions.iter().find(|action| action.result == ActionResult::Failed);
    let went_wrong = match (failure, done.result) {
        (_, DomainResult::Done) => None,
        (Some(action), _) => {
            let name = action.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
            Some(format!("snapshot {name} of domain {domain}: {}", action.text))
        }
        (None, _) => {
            // Done, and only what belongs to it failed.
            let half = done.actions.iter().find(|action| !action.text.is_empty());
            Some(format!("domain {domain}: {}", half.map_or(&done.text, |action| &action.text)))
        }
    };
    let shown = if lines.is_empty() { Ok(()) } else { context.output.data(&lines) };
    if let Some(text) = went_wrong {
        let rest = done.actions.iter().filter(|action| action.result == ActionResult::Skipped).count();
        let error = CliError { exit, ..CliError::failed(text) };
        let error = if rest > 0 { error.hint(format!("{rest} more were not tried")) } else { error };
        context.output.error(&error);
        return Ok(exit);
    }
    match shown {
        Ok(()) => Ok(exit),
        Err(error) => {
            context.output.error(&error.hint("it was done; `snapward snapshot list` shows how things stand"));
            Ok(Exit::foremost(&[exit, Exit::Partly]))
        }
    }
}

/// `snapshot golden captured`, and where the disks are now.
fn told(action: &Action, done: &ActionOutcome) -> Option<String> {
    let after = action.after.as_ref();
    let word = match action.action {
        ActionKind::Create => "captured",
        ActionKind::Redefine => "redefined",
        ActionKind::SetCurrent => "is the current one",
        ActionKind::Delete if after.is_some_and(|after| after.act.forget) => "forgotten, its content is kept",
        ActionKind::Delete => "deleted",
        ActionKind::Revert => "reverted to",
    };
    let name = action.address.snapshot.as_ref()?;
    if done.result != ActionResult::Done {
        return None;
    }
    let mut lines = format!("snapshot {name} {word}\n");
    for (target, image) in &done.disks {
        lines.push_str(&format!("  disk {} is on {} now\n", printable(target), printable(image)));
    }
    if !done.text.is_empty() {
        lines.push_str(&format!("  {}\n", done.text));
    }
    Some(lines)
}
