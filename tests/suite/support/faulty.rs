//! A host on which one domain's definition cannot be read, or is never answered.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use snapward::host::{
    BlockJob, Capabilities, CreateRequest, DomainDefinition, DomainRef, ErrorClass, Files, Host, HostError,
    LedgerScope, RedefineRequest, Result, RevertRequest, SecureXml, SnapshotQuery, SnapshotRef,
};
use snapward::model::ledger::Ledger;
use snapward::model::snapshot::ObservedSnapshot;

/// Passes every call on but the definitions of the domains it was told of.
pub(crate) struct Faulty {
    inner: Arc<dyn Host>,
    fails: &'static str,
    hangs: &'static str,
    end: Mutex<Receiver<()>>,
}

impl Faulty {
    /// The host, and what ends the hanging calls when it is dropped.
    pub(crate) fn new(inner: Arc<dyn Host>, fails: &'static str, hangs: &'static str) -> (Self, Sender<()>) {
        let (sender, end) = channel();
        (Self { inner, fails, hangs, end: Mutex::new(end) }, sender)
    }
}

impl Host for Faulty {
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

    fn definition(&self, domain: &DomainRef, stored: bool) -> Result<DomainDefinition> {
        if domain.name == self.fails {
            let operation = format!("read the definition of domain {}", domain.name);
            return Err(HostError::new(ErrorClass::Transient, operation, "the test says so"));
        }
        if domain.name == self.hangs {
            // Answers when the test has dropped the other end.
            let _ = self.end.lock().expect("not poisoned").recv();
        }
        self.inner.definition(domain, stored)
    }

    fn is_persistent(&self, domain: &DomainRef) -> Result<bool> {
        self.inner.is_persistent(domain)
    }

    fn snapshots(&self, domain: &DomainRef) -> Result<Vec<SnapshotRef>> {
        self.inner.snapshots(domain)
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

    fn snapshot_xml(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<String> {
        self.inner.snapshot_xml(domain, snapshot)
    }

    fn snapshot_secure(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<SecureXml> {
        self.inner.snapshot_secure(domain, snapshot)
    }

    fn create(&self, domain: &DomainRef, request: &CreateRequest) -> Result<SnapshotRef> {
        self.inner.create(domain, request)
    }

    fn redefine(&self, domain: &DomainRef, xml: &SecureXml, request: &RedefineRequest) -> Result<SnapshotRef> {
        self.inner.redefine(domain, xml, request)
    }

    fn delete(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        self.inner.delete(domain, snapshot)
    }

    fn forget(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        self.inner.forget(domain, snapshot)
    }

    fn revert(&self, domain: &DomainRef, snapshot: &SnapshotRef, request: RevertRequest) -> Result<()> {
        self.inner.revert(domain, snapshot, request)
    }

    fn has_managed_save(&self, domain: &DomainRef) -> Result<bool> {
        self.inner.has_managed_save(domain)
    }

    fn freeze(&self, domain: &DomainRef) -> Result<u32> {
        self.inner.freeze(domain)
    }

    fn thaw(&self, domain: &DomainRef) -> Result<u32> {
        self.inner.thaw(domain)
    }

    fn write_ledger(&self, domain: &DomainRef, ledger: &Ledger, scope: LedgerScope) -> Result<()> {
        self.inner.write_ledger(domain, ledger, scope)
    }

    fn block_job(&self, domain: &DomainRef, target: &str) -> Result<Option<BlockJob>> {
        self.inner.block_job(domain, target)
    }

    fn files(&self) -> &dyn Files {
        self.inner.files()
    }
}
