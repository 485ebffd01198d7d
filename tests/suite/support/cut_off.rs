//! A host that stops working at one chosen call: what a kill, a lost connection or a lost answer leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use snapward::host::{
    BlockJob, Capabilities, CreateRequest, DomainDefinition, DomainRef, ErrorClass, Files, Host, HostError,
    LedgerScope, RedefineRequest, Result, RevertRequest, SecureXml, SnapshotQuery, SnapshotRef,
};
use snapward::model::ledger::Ledger;
use snapward::model::snapshot::ObservedSnapshot;

/// What happens at the chosen call, which is counted from 0.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// This call and all later ones are not made: the run was killed before it.
    Killed(usize),
    /// This call is made and its answer does not arrive.
    AnswerLost(usize),
}

/// The host with the fault.
pub(crate) struct CutOff {
    inner: Arc<dyn Host>,
    fault: Fault,
    calls: AtomicUsize,
}

impl CutOff {
    pub(crate) fn new(inner: Arc<dyn Host>, fault: Fault) -> Self {
        Self { inner, fault, calls: AtomicUsize::new(0) }
    }

    /// Whether the run came as far as the fault.
    pub(crate) fn was_reached(&self) -> bool {
        let (Fault::Killed(at) | Fault::AnswerLost(at)) = self.fault;
        self.calls.load(Ordering::SeqCst) > at
    }

    fn call<T>(&self, call: impl FnOnce(&dyn Host) -> Result<T>) -> Result<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let lost = || Err(HostError::new(ErrorClass::OutcomeUnknown, "do this", "the test wanted it so"));
        match self.fault {
            Fault::Killed(at) if number >= at => lost(),
            Fault::AnswerLost(at) if number == at => call(self.inner.as_ref()).and_then(|_| lost()),
            _ => call(self.inner.as_ref()),
        }
    }
}

impl Host for CutOff {
    fn hostname(&self) -> Result<String> {
        self.call(|host| host.hostname())
    }

    fn libvirt_version(&self) -> Result<u64> {
        self.call(|host| host.libvirt_version())
    }

    fn capabilities(&self) -> Result<Capabilities> {
        self.call(|host| host.capabilities())
    }

    fn domains(&self) -> Result<Vec<DomainRef>> {
        self.call(|host| host.domains())
    }

    fn definition(&self, domain: &DomainRef, stored: bool) -> Result<DomainDefinition> {
        self.call(|host| host.definition(domain, stored))
    }

    fn is_persistent(&self, domain: &DomainRef) -> Result<bool> {
        self.call(|host| host.is_persistent(domain))
    }

    fn snapshots(&self, domain: &DomainRef) -> Result<Vec<SnapshotRef>> {
        self.call(|host| host.snapshots(domain))
    }

    fn select(&self, domain: &DomainRef, query: &SnapshotQuery) -> Result<Vec<SnapshotRef>> {
        self.call(|host| host.select(domain, query))
    }

    fn current(&self, domain: &DomainRef) -> Result<Option<SnapshotRef>> {
        self.call(|host| host.current(domain))
    }

    fn snapshot(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<ObservedSnapshot> {
        self.call(|host| host.snapshot(domain, snapshot))
    }

    fn snapshot_xml(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<String> {
        self.call(|host| host.snapshot_xml(domain, snapshot))
    }

    fn snapshot_secure(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<SecureXml> {
        self.call(|host| host.snapshot_secure(domain, snapshot))
    }

    fn create(&self, domain: &DomainRef, request: &CreateRequest) -> Result<SnapshotRef> {
        self.call(|host| host.create(domain, request))
    }

    fn redefine(&self, domain: &DomainRef, xml: &SecureXml, request: &RedefineRequest) -> Result<SnapshotRef> {
        self.call(|host| host.redefine(domain, xml, request))
    }

    fn delete(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        self.call(|host| host.delete(domain, snapshot))
    }

    fn forget(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        self.call(|host| host.forget(domain, snapshot))
    }

    fn revert(&self, domain: &DomainRef, snapshot: &SnapshotRef, request: RevertRequest) -> Result<()> {
        self.call(|host| host.revert(domain, snapshot, request))
    }

    fn has_managed_save(&self, domain: &DomainRef) -> Result<bool> {
        self.call(|host| host.has_managed_save(domain))
    }

    fn freeze(&self, domain: &DomainRef) -> Result<u32> {
        self.call(|host| host.freeze(domain))
    }

    fn thaw(&self, domain: &DomainRef) -> Result<u32> {
        self.call(|host| host.thaw(domain))
    }

    fn write_ledger(&self, domain: &DomainRef, ledger: &Ledger, scope: LedgerScope) -> Result<()> {
        self.call(|host| host.write_ledger(domain, ledger, scope))
    }

    fn block_job(&self, domain: &DomainRef, target: &str) -> Result<Option<BlockJob>> {
        self.call(|host| host.block_job(domain, target))
    }

    fn files(&self) -> &dyn Files {
        self.inner.files()
    }
}
