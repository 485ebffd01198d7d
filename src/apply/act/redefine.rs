//! Changes of metadata: descriptions, parents, restored snapshots, the pointer.

use super::{Done, Failure, Known, Pass, RUN_AGAIN, differs, refused, text, text_over};
use crate::host::{ErrorClass, HostError, RedefineRequest, SecureXml, SnapshotRef};
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedDomain;
use crate::model::plan::{Action, ReasonCode};
use crate::model::snapshot::{ObservedSnapshot, SnapshotFiles};
use crate::plan::chain::Step;

impl Pass<'_> {
    /// Gives libvirt the record of a snapshot from saved XML: one that is not listed, or another version of one that is.
    pub(super) fn restore(
        &mut self,
        action: &Action,
        name: &SnapshotName,
        tree: Option<&ObservedDomain>,
    ) -> Result<Done, Failure> {
        let Some(definition) = &action.definition else {
            return Err(Failure::new("the plan holds no definition; this is a defect of snapward"));
        };
        if let Some(listed) = self.refs.get(name).cloned() {
            self.recheck(&listed)?;
        }
        let after = action.after.clone().unwrap_or_default();
        let description = text(&after, "");
        let request = RedefineRequest {
            make_current: after.act.make_current,
            validate: after.act.validate,
            description: Some(description.clone()),
            parent: Some(after.parent.as_deref().map(SnapshotName::observed)),
            ..RedefineRequest::default()
        };
        let made = match self.host.redefine(&self.domain, &SecureXml(definition.xml.clone()), &request) {
            Ok(made) => made,
            Err(error) => {
                return Err(match self.refs.get(name) {
                    Some(listed) => self.redefine_failed(listed, &error),
                    None => refused(&error, "Its metadata was not restored"),
                });
            }
        };
        let read = self.read(&made, "was restored, but reading it back failed")?;
        if let Some(wrong) = differs(&read, &description, request.parent.as_ref()) {
            return Err(Failure::new(format!("was restored, but reads back differently: {wrong}. {RUN_AGAIN}")));
        }
        debug_assert_eq!(read.name, *name);
        self.made(made, &read)?;
        if !after.act.make_current {
            return Ok(Done::default());
        }
        self.is_current(name)?;
        let unread =
            |error| Failure::new(format!("was restored, but the domain could not be read afterwards ({error})"));
        match tree.map(|_| self.look_again()).transpose().map_err(unread)?.and_then(|after| self.not_whole(&after)) {
            Some(wrong) => Err(Failure::new(format!("was restored, and {wrong}"))),
            None => Ok(Done::default()),
        }
    }

    pub(super) fn redefine(
        &mut self,
        action: &Action,
        name: &SnapshotName,
        tree: Option<&ObservedDomain>,
    ) -> Result<Done, Failure> {
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
            revert_overlays: after.revert_overlays.clone(),
            ..RedefineRequest::default()
        };
        if let Some(domain) = tree.filter(|domain| domain.tree.has_external()) {
            if request.parent.is_some() {
                return Err(Failure::new(format!(
                    "the domain has external snapshots, and parents stay as they are then; nothing was changed. {RUN_AGAIN}"
                )));
            }
            if let Some(overlays) = &request.revert_overlays {
                self.prove(domain, Step::RestoreOverlays(name, overlays))?;
            }
        }
        let read = self.send_redefine(&snapshot, &fresh, &request, &description)?;
        if action.reason.code == ReasonCode::Adopt {
            self.made(snapshot, &read)?;
        }
        Ok(Done::default())
    }

    /// Sends a snapshot back with what changes, and reads the whole back.
    pub(super) fn send_redefine(
        &mut self,
        snapshot: &SnapshotRef,
        present: &ObservedSnapshot,
        request: &RedefineRequest,
        description: &str,
    ) -> Result<ObservedSnapshot, Failure> {
        let xml = self
            .host
            .snapshot_secure(&self.domain, snapshot)
            .map_err(|error| Failure::new(format!("{error}. Nothing was changed. {RUN_AGAIN}")))?;
        if let Err(error) = self.host.redefine(&self.domain, &xml, request) {
            return Err(self.redefine_failed(snapshot, &error));
        }
        let read = self.read(snapshot, "was redefined, but reading it back failed")?;
        if let Some(wrong) = differs(&read, description, request.parent.as_ref()) {
            return Err(Failure::new(format!("was redefined, but reads back differently: {wrong}. {RUN_AGAIN}")));
        }
        // Everything else goes back as it came; an overlay that libvirt forgot would be lost with the next revert.
        let mut wanted = present.files.clone();
        if let (Some(files), Some(overlays)) = (wanted.as_deref_mut(), &request.revert_overlays) {
            files.revert_overlays.clone_from(overlays);
        }
        let overlays = |files: &Option<Box<SnapshotFiles>>| {
            files.as_deref().map(|files| (files.overlays.clone(), files.revert_overlays.clone()))
        };
        if overlays(&read.files) != overlays(&wanted) {
            return Err(Failure::new(format!(
                "was redefined, but reads back differently: its overlays are others. {RUN_AGAIN}"
            )));
        }
        self.known.insert(read.name.clone(), Known::from(&read));
        Ok(read)
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

    pub(super) fn set_current(&mut self, name: &SnapshotName, tree: Option<&ObservedDomain>) -> Result<Done, Failure> {
        let unchanged = |error: HostError| Failure::new(format!("{error}. The pointer was not moved. {RUN_AGAIN}"));
        // Never sent as a no-op: on a tree that turned external meanwhile even that would drop files libvirt needs.
        if self.host.current(&self.domain).map_err(unchanged)?.is_some_and(|current| current.name == *name) {
            return Ok(Done::default());
        }
        let snapshot = self.reference(name)?;
        let fresh = self.recheck(&snapshot)?;
        match tree.filter(|domain| domain.tree.has_external()) {
            Some(domain) => drop(self.prove(domain, Step::SetCurrent(name))?),
            None if fresh.is_external() => {
                return Err(Failure::new("the snapshot is external; moving the pointer to it could destroy others"));
            }
            None => {}
        }
        let xml = self.host.snapshot_secure(&self.domain, &snapshot).map_err(unchanged)?;
        let request = RedefineRequest { make_current: true, ..RedefineRequest::default() };
        if let Err(error) = self.host.redefine(&self.domain, &xml, &request) {
            return Err(self.redefine_failed(&snapshot, &error));
        }
        self.is_current(name)?;
        let unread = |error| {
            Failure::new(format!("the pointer was moved, but the domain could not be read ({error}). {RUN_AGAIN}"))
        };
        match tree.map(|_| self.look_again()).transpose().map_err(unread)?.and_then(|after| self.not_whole(&after)) {
            Some(wrong) => Err(Failure::new(format!("the pointer was moved, and {wrong}"))),
            None => Ok(Done::default()),
        }
    }

    /// Reads back that a snapshot is the current one.
    fn is_current(&self, name: &SnapshotName) -> Result<(), Failure> {
        let unread =
            |error| Failure::new(format!("was sent, but reading the pointer back failed ({error}). {RUN_AGAIN}"));
        match self.host.current(&self.domain).map_err(unread)?.map(|current| current.name) {
            Some(current) if current == *name => Ok(()),
            Some(other) => {
                Err(Failure::new(format!("libvirt accepted it and reports {other} as current. {RUN_AGAIN}")))
            }
            None => Err(Failure::new(format!("libvirt accepted it and reports no current snapshot. {RUN_AGAIN}"))),
        }
    }
}
