//! A decorator that counts calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{
    BlockJob, Capabilities, CreateRequest, DomainDefinition, DomainRef, Files, Host, LedgerScope, Names, Operation,
    RedefineRequest, Result, RevertRequest, SecureXml, SnapshotQuery, SnapshotRef,
};
use crate::model::ledger::Ledger;
use crate::model::names::DomainUuid;
use crate::model::snapshot::ObservedSnapshot;

/// Counts the libvirt calls made through it, failed ones too. File probes are none.
pub struct Counting {
    inner: Arc<dyn Host>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counting {
    /// Starts at zero.
    pub fn new(inner: Arc<dyn Host>) -> Self {
        Self { inner, counts: Mutex::default() }
    }

    /// The calls so far.
    pub fn calls(&self) -> u64 {
        self.calls_by_method().values().sum()
    }

    /// The calls so far, by the name of the [`Host`] method.
    pub fn calls_by_method(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, operation: Operation<'_>) -> &dyn Host {
        // The map is whole between any two statements: a poisoned lock still holds true counts.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(operation.method()).or_default() += 1;
        self.inner.as_ref()
    }
}

impl Host for Counting {
    fn hostname(&self) -> Result<String> {
        self.count(Operation::Hostname).hostname()
    }

    fn libvirt_version(&self) -> Result<u64> {
        self.count(Operation::LibvirtVersion).libvirt_version()
    }

    fn capabilities(&self) -> Result<Capabilities> {
        self.count(Operation::Capabilities).capabilities()
    }

    fn domains(&self) -> Result<Vec<DomainRef>> {
        self.count(Operation::Domains).domains()
    }

    fn domain(&self, uuid: DomainUuid) -> Result<Option<DomainRef>> {
        self.count(Operation::Domain(uuid)).domain(uuid)
    }

    fn definition(&self, domain: &DomainRef, stored: bool) -> Result<DomainDefinition> {
        self.count(Operation::Definition(domain)).definition(domain, stored)
    }

    fn is_persistent(&self, domain: &DomainRef) -> Result<bool> {
        self.count(Operation::IsPersistent(domain)).is_persistent(domain)
    }

    fn snapshots(&self, domain: &DomainRef) -> Result<Vec<SnapshotRef>> {
        self.count(Operation::Snapshots(domain)).snapshots(domain)
    }

    fn names(&self, domain: &DomainRef, at_most: usize) -> Result<Names> {
        self.count(Operation::Names(domain)).names(domain, at_most)
    }

    fn select(&self, domain: &DomainRef, query: &SnapshotQuery) -> Result<Vec<SnapshotRef>> {
        self.count(Operation::Select(domain)).select(domain, query)
    }

    fn current(&self, domain: &DomainRef) -> Result<Option<SnapshotRef>> {
        self.count(Operation::Current(domain)).current(domain)
    }

    fn snapshot(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<ObservedSnapshot> {
        self.count(Operation::Snapshot(domain, &snapshot.name)).snapshot(domain, snapshot)
    }

    fn snapshot_xml(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<String> {
        self.count(Operation::SnapshotXml(domain, &snapshot.name)).snapshot_xml(domain, snapshot)
    }

    fn snapshot_secure(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<SecureXml> {
        self.count(Operation::SnapshotSecure(domain, &snapshot.name)).snapshot_secure(domain, snapshot)
    }

    fn create(&self, domain: &DomainRef, request: &CreateRequest) -> Result<SnapshotRef> {
        self.count(Operation::Create(domain, &request.name)).create(domain, request)
    }

    fn redefine(&self, domain: &DomainRef, xml: &SecureXml, request: &RedefineRequest) -> Result<SnapshotRef> {
        self.count(Operation::Redefine(domain, None)).redefine(domain, xml, request)
    }

    fn delete(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        self.count(Operation::Delete(domain, &snapshot.name)).delete(domain, snapshot)
    }

    fn forget(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        self.count(Operation::Forget(domain, &snapshot.name)).forget(domain, snapshot)
    }

    fn revert(&self, domain: &DomainRef, snapshot: &SnapshotRef, request: RevertRequest) -> Result<()> {
        self.count(Operation::Revert(domain, &snapshot.name)).revert(domain, snapshot, request)
    }

    fn has_managed_save(&self, domain: &DomainRef) -> Result<bool> {
        self.count(Operation::HasManagedSave(domain)).has_managed_save(domain)
    }

    fn freeze(&self, domain: &DomainRef) -> Result<u32> {
        self.count(Operation::Freeze(domain)).freeze(domain)
    }

    fn thaw(&self, domain: &DomainRef) -> Result<u32> {
        self.count(Operation::Thaw(domain)).thaw(domain)
    }

    fn write_ledger(&self, domain: &DomainRef, ledger: &Ledger, scope: LedgerScope) -> Result<()> {
        self.count(Operation::WriteLedger(domain)).write_ledger(domain, ledger, scope)
    }

    fn block_job(&self, domain: &DomainRef, target: &str) -> Result<Option<BlockJob>> {
        self.count(Operation::BlockJob(domain)).block_job(domain, target)
    }

    fn files(&self) -> &dyn Files {
        self.inner.files()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Probe;
    use super::super::fake::{Fake, domain};
    use super::*;

    #[test]
    fn every_call_counts_once_and_probes_do_not() {
        let host = Counting::new(Arc::new(Fake::default()));
        assert_eq!(host.calls(), 0);
        assert!(host.domains().is_ok());
        assert!(host.current(&domain()).is_ok());
        assert!(host.current(&domain()).is_ok());
        assert!(host.capabilities().is_err());
        assert_eq!(host.files().image_snapshots(&super::super::fake::disk()), Probe::Known(Vec::new()));
        assert_eq!(host.calls(), 4);
        assert_eq!(host.calls_by_method(), BTreeMap::from([("domains", 1), ("current", 2), ("capabilities", 1)]));
    }
}
