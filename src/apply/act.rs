//! Single actions: each checks that its snapshot is still the one that was planned for, acts, and reads the result back.

use std::collections::BTreeMap;

use crate::host::{
    CreateRequest, DomainRef, ErrorClass, Host, HostError, LedgerScope, Probe, RedefineRequest, SecureXml, SnapshotRef,
};
use crate::model::ledger::{Ledger, LedgerEntry};
use crate::model::names::SnapshotName;
use crate::model::observed::{ObservedDisk, ObservedDomain};
use crate::model::plan::{Action, ActionKind, ReasonCode, View};
use crate::model::snapshot::{ObservedSnapshot, Storage};
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
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        host: &'a dyn Host,
        domain: DomainRef,
        observed: &'a ObservedDomain,
        refs: Vec<SnapshotRef>,
        planned_ledger: Option<&Ledger>,
    ) -> Self {
        let mut ledger = planned_ledger.cloned();
        // Another run may have written to it since the plan was made.
        if let Some(present) = &observed.ledger {
            ledger.get_or_insert_with(|| Ledger::empty(domain.uuid)).merge(present);
        }
        Self {
            host,
            observed,
            refs: refs.into_iter().map(|snapshot| (snapshot.name.clone(), snapshot)).collect(),
            known: observed.tree.iter().map(|snapshot| (snapshot.name.clone(), Known::from(snapshot))).collect(),
            ledger,
            write_first: planned_ledger.is_some(),
            scope: None,
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

    pub(super) fn act(&mut self, action: &Action) -> Result<(), Failure> {
        let Some(name) = action.address.snapshot.clone() else {
            return Err(Failure::new("the plan names no snapshot for this action; this is a defect of snapward"));
        };
        self.nobody_elses()?;
        match action.action {
            ActionKind::Create => self.create(action, &name),
            ActionKind::Redefine if action.definition.is_some() => self.restore(action, &name),
            ActionKind::Redefine => self.redefine(action, &name),
            ActionKind::SetCurrent => self.set_current(&name),
            ActionKind::Delete => self.delete(action, &name),
            ActionKind::Revert => Err(Failure::new("this version of snapward does not revert; nothing was done")),
        }
    }

    /// Makes sure that no snapshot appeared which this pass did not make: the plan does not know it, and an external one
    /// would make a capture, a deletion or a moved pointer unsafe.
    fn nobody_elses(&self) -> Result<(), Failure> {
        let listed = self.host.snapshots(&self.domain);
        let listed = listed.map_err(|error| Failure::new(format!("{error}. Nothing was done. {RUN_AGAIN}")))?;
        match listed.iter().find(|snapshot| !self.refs.contains_key(&snapshot.name)) {
            Some(other) => Err(Failure::new(format!(
                "somebody else made snapshot {} in this domain since it was read; nothing was done. {RUN_AGAIN}",
                other.name
            ))),
            None => Ok(()),
        }
    }

    /// The disk whose image holds an internal snapshot of that name.
    fn tagged(&self, name: &SnapshotName) -> Option<&str> {
        let holds = |disk: &&ObservedDisk| match self.host.image_snapshots(disk) {
            Probe::Known(tags) => tags.iter().any(|tag| tag == name.as_str()),
            Probe::Unknown(_) => false,
        };
        self.observed.disks.iter().find(holds).map(|disk| disk.target.as_str())
    }

    fn create(&mut self, action: &Action, name: &SnapshotName) -> Result<(), Failure> {
        let after = action.after.clone().unwrap_or_default();
        let Some(capture) = after.capture.clone() else {
            return Err(Failure::new("the plan does not say what to capture; this is a defect of snapward"));
        };
        // Offline, libvirt would make a second one of the same name.
        if let Some(target) = self.tagged(name) {
            return Err(Failure::new(format!(
                "the image of disk {target} holds an internal snapshot of this name by now, which libvirt does not list; \
                 nothing was captured. {RUN_AGAIN}"
            )));
        }
        let description = text(&after, "");
        let request = CreateRequest {
            name: name.clone(),
            description: description.clone(),
            capture,
            disks: self.observed.disks.clone(),
        };
        let made = match self.host.create(&self.domain, &request) {
            Ok(made) => made,
            Err(error) => return Err(self.create_failed(name, &error)),
        };
        let read = self.read(&made, "was captured, but reading it back failed")?;
        if let Some(wrong) = differs(&read, &description, None).or_else(|| self.incomplete(&read)) {
            return Err(Failure::new(format!(
                "was captured, but reads back differently: {wrong}. It is kept. {RUN_AGAIN}"
            )));
        }
        self.made(made, &read)
    }

    /// What a failed capture left behind.
    fn create_failed(&self, name: &SnapshotName, error: &HostError) -> Failure {
        if error.class == ErrorClass::OutcomeUnknown {
            return Failure::new(format!("{error}. Whether it will exist is not known yet. {RUN_AGAIN}"));
        }
        let listed = self.host.snapshots(&self.domain);
        let state = match listed {
            Ok(listed) if listed.iter().any(|snapshot| snapshot.name == *name) => {
                "libvirt lists a snapshot of this name now; it was left as it is"
            }
            Ok(_) => "libvirt lists no snapshot of this name; the others are untouched",
            Err(_) => "the domain could not be read afterwards",
        };
        Failure::new(format!("{error}. {state}. {RUN_AGAIN}"))
    }

    /// What an internal capture should hold and does not.
    fn incomplete(&self, read: &ObservedSnapshot) -> Option<String> {
        if self.observed.state.is_active() && read.memory != Storage::Internal {
            return Some("it holds no memory".to_owned());
        }
        let writable = self.observed.disks.iter().filter(|disk| !disk.readonly && !disk.is_empty_drive());
        let lacks = |target: &str| read.disks.get(target).is_none_or(|storage| *storage != Storage::Internal);
        let missing = writable.map(|disk| disk.target.as_str()).find(|target| lacks(target))?;
        Some(format!("it holds no state of disk {missing}"))
    }

    fn restore(&mut self, action: &Action, name: &SnapshotName) -> Result<(), Failure> {
        let Some(definition) = &action.definition else {
            return Err(Failure::new("the plan holds no definition; this is a defect of snapward"));
        };
        let after = action.after.clone().unwrap_or_default();
        let description = text(&after, "");
        let request = RedefineRequest {
            description: Some(description.clone()),
            parent: Some(after.parent.as_deref().map(SnapshotName::observed)),
            make_current: false,
        };
        let made = self
            .host
            .redefine(&self.domain, &SecureXml(definition.xml.clone()), &request)
            .map_err(|error| refused(&error, "Its metadata was not restored"))?;
        let read = self.read(&made, "was restored, but reading it back failed")?;
        if let Some(wrong) = differs(&read, &description, request.parent.as_ref()) {
            return Err(Failure::new(format!("was restored, but reads back differently: {wrong}. {RUN_AGAIN}")));
        }
        debug_assert_eq!(read.name, *name);
        self.made(made, &read)
    }

    fn redefine(&mut self, action: &Action, name: &SnapshotName) -> Result<(), Failure> {
        let snapshot = self.reference(name)?;
        let fresh = self.recheck(&snapshot)?;
        let after = action.after.clone().unwrap_or_default();
        let rewritten = after.description.is_some() || after.stamp.is_some();
        let description = if rewritten { text_over(&after, &fresh.description) } else { fresh.description.render() };
        let request = RedefineRequest {
            description: rewritten.then(|| description.clone()),
            parent: after
                .parent
                .as_deref()
                .map(|parent| Some(parent).filter(|parent| !parent.is_empty()).map(SnapshotName::observed)),
            make_current: false,
        };
        let xml = self
            .host
            .snapshot_secure(&self.domain, &snapshot)
            .map_err(|error| Failure::new(format!("{error}. Nothing was changed. {RUN_AGAIN}")))?;
        if let Err(error) = self.host.redefine(&self.domain, &xml, &request) {
            return Err(self.redefine_failed(&snapshot, &error));
        }
        let read = self.read(&snapshot, "was redefined, but reading it back failed")?;
        if let Some(wrong) = differs(&read, &description, request.parent.as_ref()) {
            return Err(Failure::new(format!("was redefined, but reads back differently: {wrong}. {RUN_AGAIN}")));
        }
        self.known.insert(name.clone(), Known::from(&read));
        match action.reason.code {
            ReasonCode::Adopt => self.made(snapshot, &read),
            _ => Ok(()),
        }
    }

    /// A redefine whose metadata file cannot be written removes libvirt's entry, also an existing one (case X).
    fn redefine_failed(&self, snapshot: &SnapshotRef, error: &HostError) -> Failure {
        match self.host.snapshot(&self.domain, snapshot) {
            Err(lost) if lost.class == ErrorClass::NotFound => Failure::new(format!(
                "{error}. libvirt has dropped the snapshot from its list: it does so when the metadata file cannot be \
                 written (is the disk full?). Its content is still in the images. Make room, delete nothing in this domain, \
                 and restart libvirtd, which reads the file again"
            )),
            Ok(_) => refused(error, "The snapshot is as it was"),
            Err(_) => Failure::new(format!("{error}. Whether it changed could not be read afterwards. {RUN_AGAIN}")),
        }
    }

    fn set_current(&mut self, name: &SnapshotName) -> Result<(), Failure> {
        let unchanged = |error: HostError| Failure::new(format!("{error}. The pointer was not moved. {RUN_AGAIN}"));
        // Never sent as a no-op: on a tree that turned external meanwhile even that would drop files libvirt needs.
        if self.host.current(&self.domain).map_err(unchanged)?.as_ref() == Some(name) {
            return Ok(());
        }
        let snapshot = self.reference(name)?;
        let fresh = self.recheck(&snapshot)?;
        if fresh.is_external() {
            return Err(Failure::new("the snapshot is external; moving the pointer to it could destroy others"));
        }
        let xml = self.host.snapshot_secure(&self.domain, &snapshot).map_err(unchanged)?;
        let request = RedefineRequest { make_current: true, ..RedefineRequest::default() };
        if let Err(error) = self.host.redefine(&self.domain, &xml, &request) {
            return Err(self.redefine_failed(&snapshot, &error));
        }
        let unread =
            |error| Failure::new(format!("was sent, but reading the pointer back failed ({error}). {RUN_AGAIN}"));
        match self.host.current(&self.domain).map_err(unread)? {
            Some(current) if current == *name => Ok(()),
            Some(other) => {
                Err(Failure::new(format!("libvirt accepted it and reports {other} as current. {RUN_AGAIN}")))
            }
            None => Err(Failure::new(format!("libvirt accepted it and reports no current snapshot. {RUN_AGAIN}"))),
        }
    }

    fn delete(&mut self, action: &Action, name: &SnapshotName) -> Result<(), Failure> {
        let snapshot = self.reference(name)?;
        let fresh = self.recheck(&snapshot)?;
        if fresh.is_external() {
            return Err(Failure::new("the snapshot is external; this version of snapward does not delete it"));
        }
        if let Err(error) = self.host.delete(&self.domain, &snapshot)
            && error.class != ErrorClass::NotFound
        {
            return Err(Failure::new(format!("{error}. Whether all of it is still there is not known. {RUN_AGAIN}")));
        }
        let unknown = |error: HostError| {
            Failure::new(format!("was deleted, but the list could not be read afterwards ({error}). {RUN_AGAIN}"))
        };
        if self.host.snapshots(&self.domain).map_err(unknown)?.iter().any(|listed| listed.name == *name) {
            return Err(Failure::new(format!("libvirt accepted the deletion and still lists it. {RUN_AGAIN}")));
        }
        // Offline, libvirt ignores a failing `qemu-img snapshot -d` and drops the metadata all the same.
        if let Some(target) = self.tagged(name) {
            return Err(Failure::new(format!(
                "libvirt no longer lists it, but the image of disk {target} still holds its content. With the domain off, \
                 remove it with qemu-img snapshot -d"
            )));
        }
        self.refs.remove(name);
        let released = action.reason.code == ReasonCode::Absent;
        match &mut self.ledger {
            Some(ledger) if released && ledger.made(name).is_some() => {
                ledger.record(name.clone(), LedgerEntry { created: fresh.created, released: true });
                self.write_ledger().map_err(|error| ledger_failed(&error))
            }
            _ => Ok(()),
        }
    }

    /// Notes a snapshot that is ours from now on.
    fn made(&mut self, snapshot: SnapshotRef, read: &ObservedSnapshot) -> Result<(), Failure> {
        self.refs.insert(read.name.clone(), snapshot);
        self.known.insert(read.name.clone(), Known::from(read));
        // The ledger is of declared snapshots; what a series captures is known by its slot.
        if read.description.stamp.as_ref().is_some_and(|stamp| stamp.series.is_some()) {
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
        let what = match self.known.get(&snapshot.name) {
            Some(known) if *known == Known::from(&fresh) => return Ok(fresh),
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
    let lines = after.stamp.clone().or_else(|| present.stamp.as_ref().map(super::super::model::stamp::Stamp::lines));
    join(after.description.as_deref().unwrap_or(&present.human), &lines.unwrap_or_default())
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
