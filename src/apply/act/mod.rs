//! Single actions: each checks that its snapshot is still the one that was planned for, acts, and reads the result back.

mod create;
mod delete;
mod external;
mod guard;
mod merge;
mod quiesce;
mod redefine;
mod revert;

use std::collections::BTreeMap;

pub(super) use guard::{Guard, touches_files};

use super::{Options, Progress, Target};
use crate::host::{DomainRef, ErrorClass, Host, HostError, LedgerScope, Probe, SnapshotRef};
use crate::model::ledger::{Ledger, LedgerEntry};
use crate::model::names::SnapshotName;
use crate::model::observed::{HostInfo, ObservedDisk, ObservedDomain};
use crate::model::plan::{Action, ActionKind, View};
use crate::model::snapshot::ObservedSnapshot;
use crate::model::stamp::{Description, join};

/// An action that did not end well.
pub(super) struct Failure {
    /// Whether the action itself was done, and only what belongs to it failed.
    pub(super) done: bool,
    /// What happened, what state things are in, and what to do.
    pub(super) text: String,
}

impl Failure {
    fn new(text: impl Into<String>) -> Self {
        Self { done: false, text: text.into() }
    }
}

/// What a successful action leaves to be told.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// A remark; mostly none.
    pub(super) text: String,
    /// The active image of each disk whose image changed, by target.
    pub(super) disks: BTreeMap<String, String>,
}

/// What every failure ends with: the next run plans from what is there.
const RUN_AGAIN: &str = "Run plan to see what stands";

/// What decides whether a snapshot is still the one that was planned for: creationTime is part of its identity, and the
/// description says whose it is and whether it is protected.
#[derive(PartialEq, Eq)]
struct Known {
    created: i64,
    description: Description,
}

impl From<&ObservedSnapshot> for Known {
    fn from(read: &ObservedSnapshot) -> Self {
        Self { created: read.created, description: read.description.clone() }
    }
}

/// The work on one domain.
pub(super) struct Pass<'a> {
    host: &'a dyn Host,
    info: &'a HostInfo,
    clock: &'a (dyn Fn() -> jiff::Timestamp + Sync),
    domain: DomainRef,
    observed: &'a ObservedDomain,
    refs: BTreeMap<SnapshotName, SnapshotRef>,
    /// What is known of each snapshot: as the plan saw it, or as this pass left it.
    known: BTreeMap<SnapshotName, Known>,
    /// None while the ledger is lost and the plan left it so: one written now would name what this pass makes, and pass
    /// for a whole one.
    ledger: Option<Ledger>,
    write_first: bool,
    scope: Option<LedgerScope>,
    /// What is watched over where the domain has, or gets, external snapshots.
    guard: Option<Guard<'a>>,
    progress: &'a dyn Progress,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        target: &'a Target,
        domain: DomainRef,
        observed: &'a ObservedDomain,
        refs: Vec<SnapshotRef>,
        planned_ledger: Option<&Ledger>,
        guard: Option<Guard<'a>>,
        options: &Options<'a>,
    ) -> Self {
        let mut ledger = planned_ledger.cloned();
        // Another run may have written to it since the plan was made.
        if let Some(present) = &observed.ledger {
            ledger.get_or_insert_with(|| Ledger::empty(domain.uuid)).merge(present);
        }
        Self {
            host: target.host.as_ref(),
            info: &target.info,
            clock: options.clock,
            observed,
            refs: refs.into_iter().map(|snapshot| (snapshot.name.clone(), snapshot)).collect(),
            known: observed.tree.iter().map(|snapshot| (snapshot.name.clone(), Known::from(snapshot))).collect(),
            ledger,
            write_first: planned_ledger.is_some(),
            scope: None,
            guard,
            progress: options.progress,
            domain,
        }
    }

    /// Writes the ledger where the plan found a copy of it that lacks something.
    pub(super) fn write_planned_ledger(&mut self) -> Result<(), Failure> {
        if !self.write_first {
            return Ok(());
        }
        self.write_ledger().map_err(|error| {
            Failure::new(format!(
                "the ledger in the domain's metadata could not be written ({error}), so nothing else was done. {RUN_AGAIN}"
            ))
        })
    }

    pub(super) fn act(&mut self, action: &Action) -> Result<Done, Failure> {
        let Some(name) = action.address.snapshot.clone() else {
            return Err(Failure::new("the plan names no snapshot for this action; this is a defect of snapward"));
        };
        let fresh = match self.guard {
            Some(_) => Some(self.fresh(action)?),
            None => {
                self.nobody_elses()?;
                None
            }
        };
        let fresh = fresh.as_ref();
        match action.action {
            ActionKind::Create => self.create(action, &name, fresh),
            ActionKind::Redefine if action.definition.is_some() => self.restore(action, &name, fresh),
            ActionKind::Redefine => self.redefine(action, &name, fresh),
            ActionKind::SetCurrent => self.set_current(&name, fresh),
            ActionKind::Delete if action.after.as_ref().is_some_and(|after| after.act.forget) => self.forget(&name),
            ActionKind::Delete => self.delete(action, &name, fresh),
            ActionKind::Revert => self.revert(action, &name, fresh),
        }
    }

    /// Makes sure that no snapshot appeared which this pass did not make: the plan does not know it, and an external one
    /// would make a capture, a deletion or a moved pointer unsafe.
    fn nobody_elses(&self) -> Result<(), Failure> {
        let listed = self.host.snapshots(&self.domain);
        let listed = listed.map_err(|error| Failure::new(format!("{error}. Nothing was done. {RUN_AGAIN}")))?;
        self.none_is_new(listed.iter().map(|snapshot| &snapshot.name))
    }

    fn none_is_new<'n>(&self, mut listed: impl Iterator<Item = &'n SnapshotName>) -> Result<(), Failure> {
        match listed.find(|name| !self.refs.contains_key(*name)) {
            Some(other) => Err(Failure::new(format!(
                "somebody else made snapshot {other} in this domain since it was read; nothing was done. {RUN_AGAIN}"
            ))),
            None => Ok(()),
        }
    }

    /// The disk whose image holds an internal snapshot of that name.
    fn tagged(&self, name: &SnapshotName) -> Option<&str> {
        let holds = |disk: &&ObservedDisk| match self.host.files().image_snapshots(disk) {
            Probe::Known(tags) => tags.iter().any(|tag| tag.name == name.as_str()),
            Probe::Unknown(_) => false,
        };
        self.observed.disks.iter().find(holds).map(|disk| disk.target.as_str())
    }

    /// Notes a snapshot that is ours from now on.
    fn made(&mut self, snapshot: SnapshotRef, read: &ObservedSnapshot) -> Result<(), Failure> {
        self.refs.insert(read.name.clone(), snapshot);
        self.known.insert(read.name.clone(), Known::from(read));
        // The ledger is of declared snapshots; what a series captures is known by its slot, and what a person captures is
        // nobody's.
        if read.own_stamp().is_none_or(|stamp| stamp.series.is_some()) {
            return Ok(());
        }
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        let before = ledger.clone();
        ledger.record(read.name.clone(), LedgerEntry { created: read.created, released: false });
        if *ledger == before {
            return Ok(());
        }
        self.write_ledger().map_err(|error| ledger_failed(&error))
    }

    fn write_ledger(&mut self) -> Result<(), HostError> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let scope = match self.scope {
            Some(scope) => scope,
            None => match (self.host.is_persistent(&self.domain)?, self.domain.state.is_active()) {
                (true, true) => LedgerScope::LiveAndConfig,
                (true, false) => LedgerScope::Config,
                (false, _) => LedgerScope::Live,
            },
        };
        self.scope = Some(scope);
        self.host.write_ledger(&self.domain, ledger, scope)
    }

    fn reference(&self, name: &SnapshotName) -> Result<SnapshotRef, Failure> {
        let known = self.refs.get(name).cloned();
        known.ok_or_else(|| Failure::new(format!("it is not there any more; nothing was done. {RUN_AGAIN}")))
    }

    /// Reads the snapshot once more and makes sure that it is the one that was planned for: a name can be taken again.
    fn recheck(&self, snapshot: &SnapshotRef) -> Result<ObservedSnapshot, Failure> {
        let fresh = self.read(snapshot, "could not be read")?;
        self.is_known(&fresh).map(|()| fresh)
    }

    fn is_known(&self, fresh: &ObservedSnapshot) -> Result<(), Failure> {
        let what = match self.known.get(&fresh.name) {
            Some(known) if *known == Known::from(fresh) => return Ok(()),
            Some(known) if known.created == fresh.created => "somebody else changed its description since it was read",
            _ => "another snapshot has this name now",
        };
        Err(Failure::new(format!("{what}; nothing was done to it. {RUN_AGAIN}")))
    }

    fn read(&self, snapshot: &SnapshotRef, otherwise: &str) -> Result<ObservedSnapshot, Failure> {
        self.host
            .snapshot(&self.domain, snapshot)
            .map_err(|error| Failure::new(format!("{otherwise} ({error}). {RUN_AGAIN}")))
    }
}

/// A write that failed: what was not done, where that is known.
fn refused(error: &HostError, not_done: &str) -> Failure {
    match error.class {
        ErrorClass::OutcomeUnknown => {
            Failure::new(format!("{error}. Whether it was done is not known yet. {RUN_AGAIN}"))
        }
        _ => Failure::new(format!("{error}. {not_done}. {RUN_AGAIN}")),
    }
}

fn ledger_failed(error: &HostError) -> Failure {
    let text = format!(
        "done, but its entry in the ledger could not be written ({error}). The next apply writes it; do not delete the \
         snapshot by hand before"
    );
    Failure { done: true, text }
}

/// The whole description an action asks for, over an empty one.
fn text(after: &View, otherwise: &str) -> String {
    join(after.description.as_deref().unwrap_or(otherwise), after.stamp.as_deref().unwrap_or_default())
}

/// The whole description an action asks for; what it does not name stays.
fn text_over(after: &View, present: &Description) -> String {
    let kept = Description { stamp: present.stamp.clone().filter(|_| after.stamp.is_none()), ..present.clone() };
    let mut lines = after.stamp.clone().unwrap_or_default();
    lines.extend(kept.lines());
    join(after.description.as_deref().unwrap_or(&present.human), &lines)
}

/// What reads back differently from what was asked for.
fn differs(read: &ObservedSnapshot, description: &str, parent: Option<&Option<SnapshotName>>) -> Option<String> {
    if read.description != Description::parse(description) {
        return Some("its description is another".to_owned());
    }
    let wanted = parent.filter(|parent| **parent != read.parent)?;
    let word = |name: &Option<SnapshotName>| name.as_ref().map_or_else(|| "no parent".to_owned(), ToString::to_string);
    Some(format!("its parent is {} and not {}", word(&read.parent), word(wanted)))
}
