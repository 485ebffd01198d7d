//! A decorator that refuses every write.

use std::sync::Arc;

use super::{
    BlockJob, Capabilities, CreateRequest, DomainDefinition, DomainRef, ErrorClass, Files, Host, HostError,
    LedgerScope, Names, Operation, RedefineRequest, Result, RevertRequest, SecureXml, SnapshotQuery, SnapshotRef,
    Survey,
};
use crate::model::ledger::Ledger;
use crate::model::names::DomainUuid;
use crate::model::snapshot::ObservedSnapshot;

/// Refuses every write with [`ErrorClass::Denied`], before it reaches the host.
pub struct ReadOnly {
    inner: Arc<dyn Host>,
}

impl ReadOnly {
    /// Lets reads through to `inner`, and nothing else.
    pub fn new(inner: Arc<dyn Host>) -> Self {
        Self { inner }
    }
}

fn refused<T>(operation: Operation<'_>) -> Result<T> {
    Err(HostError::new(
        ErrorClass::Denied,
        operation.to_string(),
        "this run only reads; nothing was sent to libvirt. Use a command that changes things, as apply",
    ))
}

impl Host for ReadOnly {
    fn hostname(&self) -> Result<String> {
        self.inner.hostname()
    }

    fn libvirt_version(&self) -> Result<u64> {
        self.inner.libvirt_version()
    }

    fn capabilities(&self) -> Result<Capabilities> {
        self.inner.capabilities()
    }

    fn domains(&self) -> Result<Vec<DomainRef>> {
        self.inner.domains()
    }

    fn domain(&self, uuid: DomainUuid) -> Result<Option<DomainRef>> {
        self.inner.domain(uuid)
    }

    fn definition(&self, domain: &DomainRef, stored: bool) -> Result<DomainDefinition> {
        self.inner.definition(domain, stored)
    }

    fn is_persistent(&self, domain: &DomainRef) -> Result<bool> {
        self.inner.is_persistent(domain)
    }

    fn snapshots(&self, domain: &DomainRef) -> Result<Vec<SnapshotRef>> {
        self.inner.snapshots(domain)
    }

    fn names(&self, domain: &DomainRef, at_most: usize) -> Result<Names> {
        self.inner.names(domain, at_most)
    }

    fn select(&self, domain: &DomainRef, query: &SnapshotQuery) -> Result<Vec<SnapshotRef>> {
        self.inner.select(domain, query)
    }

    fn current(&self, domain: &DomainRef) -> Result<Option<SnapshotRef>> {
        self.inner.current(domain)
    }

    fn snapshot(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<ObservedSnapshot> {
        self.inner.snapshot(domain, snapshot)
    }

    fn read_snapshots(&self, domain: &DomainRef, snapshots: &[SnapshotRef]) -> Result<Vec<ObservedSnapshot>> {
        self.inner.read_snapshots(domain, snapshots)
    }

    fn survey(&self, domains: Vec<(DomainRef, usize)>) -> Vec<Result<Survey>> {
        self.inner.survey(domains)
    }

    fn snapshot_xml(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<String> {
        self.inner.snapshot_xml(domain, snapshot)
    }

    fn snapshot_secure(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<SecureXml> {
        self.inner.snapshot_secure(domain, snapshot)
    }

    fn create(&self, domain: &DomainRef, request: &CreateRequest) -> Result<SnapshotRef> {
        refused(Operation::Create(domain, &request.name))
    }

    fn redefine(&self, domain: &DomainRef, _: &SecureXml, _: &RedefineRequest) -> Result<SnapshotRef> {
        refused(Operation::Redefine(domain, None))
    }

    fn delete(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        refused(Operation::Delete(domain, &snapshot.name))
    }

    fn forget(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        refused(Operation::Forget(domain, &snapshot.name))
    }

    fn revert(&self, domain: &DomainRef, snapshot: &SnapshotRef, _: RevertRequest) -> Result<()> {
        refused(Operation::Revert(domain, &snapshot.name))
    }

    fn has_managed_save(&self, domain: &DomainRef) -> Result<bool> {
        self.inner.has_managed_save(domain)
    }

    fn freeze(&self, domain: &DomainRef) -> Result<u32> {
        refused(Operation::Freeze(domain))
    }

    fn thaw(&self, domain: &DomainRef) -> Result<u32> {
        refused(Operation::Thaw(domain))
    }

    fn write_ledger(&self, domain: &DomainRef, _: &Ledger, _: LedgerScope) -> Result<()> {
        refused(Operation::WriteLedger(domain))
    }

    fn block_job(&self, domain: &DomainRef, target: &str) -> Result<Option<BlockJob>> {
        self.inner.block_job(domain, target)
    }

    fn files(&self) -> &dyn Files {
        self.inner.files()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, domain, snapshot};
    use super::*;

    #[test]
    fn reads_pass_and_writes_do_not() {
        let fake = Arc::new(Fake::default());
        let host = ReadOnly::new(Arc::clone(&fake) as Arc<dyn Host>);
        assert!(host.domains().is_ok());
        assert_eq!(fake.seen(), 1);

        let domain = domain();
        let xml = SecureXml("<domainsnapshot/>".into());
        let ledger = Ledger::empty(domain.uuid);
        let errors = [
            host.create(&domain, &super::super::fake::request()).err(),
            host.redefine(&domain, &xml, &RedefineRequest::default()).err(),
            host.delete(&domain, &snapshot()).err(),
            host.forget(&domain, &snapshot()).err(),
            host.write_ledger(&domain, &ledger, LedgerScope::Config).err(),
        ];
        for error in errors {
            let error = error.expect("refused");
            assert_eq!(error.class, ErrorClass::Denied);
            assert!(error.to_string().contains("web-1"), "{error}");
        }
        assert_eq!(fake.seen(), 1, "no write reached the host");
    }
}
