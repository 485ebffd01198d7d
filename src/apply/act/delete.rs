//! Deletions of internal snapshots, and what every deletion ends with.

use super::{Done, Failure, Pass, RUN_AGAIN, ledger_failed, refused};
use crate::host::{ErrorClass, HostError};
use crate::model::ledger::LedgerEntry;
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedDomain;
use crate::model::plan::{Action, ReasonCode};

impl Pass<'_> {
    pub(super) fn delete(
        &mut self,
        action: &Action,
        name: &SnapshotName,
        tree: Option<&ObservedDomain>,
    ) -> Result<Done, Failure> {
        if let Some(domain) = tree.filter(|domain| domain.tree.has_external()) {
            return self.delete_external(action, name, domain);
        }
        let snapshot = self.reference(name)?;
        let fresh = self.recheck(&snapshot)?;
        if fresh.is_external() {
            return Err(Failure::new("the snapshot is external, which the plan did not know; nothing was done"));
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
        self.gone(action, name, fresh.created)?;
        Ok(Done::default())
    }

    /// Drops libvirt's record of a snapshot and nothing else.
    pub(super) fn forget(&mut self, name: &SnapshotName) -> Result<Done, Failure> {
        let snapshot = self.reference(name)?;
        self.recheck(&snapshot)?;
        if let Err(error) = self.host.forget(&self.domain, &snapshot)
            && error.class != ErrorClass::NotFound
        {
            return Err(refused(&error, "It is still listed"));
        }
        let unknown = |error: HostError| {
            Failure::new(format!("was dropped, but the list could not be read afterwards ({error}). {RUN_AGAIN}"))
        };
        if self.host.snapshots(&self.domain).map_err(unknown)?.iter().any(|listed| listed.name == *name) {
            return Err(Failure::new(format!("libvirt accepted it and still lists the snapshot. {RUN_AGAIN}")));
        }
        self.refs.remove(name);
        Ok(Done::default())
    }

    /// Notes a deleted snapshot; in the ledger where it was the declaration that let it go.
    pub(super) fn gone(&mut self, action: &Action, name: &SnapshotName, created: i64) -> Result<(), Failure> {
        self.refs.remove(name);
        let released = action.reason.code == ReasonCode::Absent;
        match &mut self.ledger {
            Some(ledger) if released && ledger.made(name).is_some() => {
                ledger.record(name.clone(), LedgerEntry { created, released: true });
                self.write_ledger().map_err(|error| ledger_failed(&error))
            }
            _ => Ok(()),
        }
    }
}
