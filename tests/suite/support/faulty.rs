//! A host on which chosen calls go wrong: they fail with any class of error, hang, are done without an answer, or are
//! the last that the process gets to see.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use rustix::process::{Signal, getpid, kill_process};
use snapward::host::{
    BlockJob, Capabilities, CreateRequest, DomainDefinition, DomainRef, ErrorClass, Files, Host, HostError,
    LedgerScope, Names, Operation, RedefineRequest, Result, RevertRequest, SecureXml, SnapshotQuery, SnapshotRef,
};
use snapward::model::ledger::Ledger;
use snapward::model::names::DomainUuid;
use snapward::model::snapshot::ObservedSnapshot;

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not made, and fails with an error of this class.
    Fails(ErrorClass),
    /// It is made, and its answer does not arrive.
    AnswerLost,
    /// It waits until the test lets go of [`Hung`], and is made then: late, where the caller has given up.
    Hangs,
    /// The process is killed before it.
    KilledBefore,
    /// The process is killed after it, before its answer is of use to anybody.
    KilledAfter,
}

/// Says what goes wrong with a call, by its number from 0 and what it is.
type Rule = Box<dyn Fn(usize, Operation<'_>) -> Option<Fault> + Send + Sync>;

/// Lets hanging calls go on when it is dropped.
pub(crate) struct Hung(#[expect(dead_code, reason = "it is there to be dropped")] Sender<()>);

/// The host with its faults.
pub(crate) struct Faulty {
    inner: Arc<dyn Host>,
    rule: Rule,
    calls: Mutex<Vec<&'static str>>,
    met: AtomicUsize,
    running: AtomicUsize,
    end: Mutex<Receiver<()>>,
}

impl Faulty {
    /// The host on which this rule holds, and what ends its hanging calls.
    pub(crate) fn new(
        inner: Arc<dyn Host>,
        rule: impl Fn(usize, Operation<'_>) -> Option<Fault> + Send + Sync + 'static,
    ) -> (Arc<Self>, Hung) {
        let (sender, end) = channel();
        let zero = || AtomicUsize::new(0);
        let (calls, end) = (Mutex::default(), Mutex::new(end));
        (Arc::new(Self { inner, rule: Box::new(rule), calls, met: zero(), running: zero(), end }), Hung(sender))
    }

    /// One call goes wrong.
    pub(crate) fn at(inner: Arc<dyn Host>, call: usize, fault: Fault) -> (Arc<Self>, Hung) {
        Self::new(inner, move |number, _| (number == call).then_some(fault))
    }

    /// Whether any call went wrong.
    pub(crate) fn was_reached(&self) -> bool {
        self.met.load(Ordering::SeqCst) > 0
    }

    /// The calls so far, by method. Looks at a block job are none: they come by the clock, and change nothing.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().expect("whole").clone()
    }

    /// Whether no call is at work or hangs.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.load(Ordering::SeqCst) == 0
    }

    fn call<T>(&self, operation: Operation<'_>, call: impl FnOnce(&dyn Host) -> Result<T>) -> Result<T> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let result = self.faulted(operation, call);
        self.running.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn faulted<T>(&self, operation: Operation<'_>, call: impl FnOnce(&dyn Host) -> Result<T>) -> Result<T> {
        let number = {
            let mut calls = self.calls.lock().expect("whole");
            calls.push(operation.method());
            calls.len() - 1
        };
        let fault = (self.rule)(number, operation);
        self.met.fetch_add(usize::from(fault.is_some()), Ordering::SeqCst);
        let fails = |class| Err(HostError::new(class, operation.to_string(), "the test wanted it so"));
        match fault {
            None => call(self.inner.as_ref()),
            Some(Fault::Fails(class)) => fails(class),
            Some(Fault::AnswerLost) => {
                let lost = if operation.is_write() { ErrorClass::OutcomeUnknown } else { ErrorClass::Transient };
                call(self.inner.as_ref()).and_then(|_| fails(lost))
            }
            Some(Fault::Hangs) => {
                // An error: the other end is dropped.
                let _ = self.end.lock().expect("whole").recv();
                call(self.inner.as_ref())
            }
            Some(Fault::KilledBefore) => die(),
            Some(Fault::KilledAfter) => {
                drop(call(self.inner.as_ref()));
                die()
            }
        }
    }
}

/// Ends this process as `kill -KILL` does.
fn die() -> ! {
    kill_process(getpid(), Signal::KILL).expect("one's own process");
    unreachable!("SIGKILL cannot be caught");
}

impl Host for Faulty {
    fn hostname(&self) -> Result<String> {
        self.call(Operation::Hostname, |host| host.hostname())
    }

    fn libvirt_version(&self) -> Result<u64> {
        self.call(Operation::LibvirtVersion, |host| host.libvirt_version())
    }

    fn capabilities(&self) -> Result<Capabilities> {
        self.call(Operation::Capabilities, |host| host.capabilities())
    }

    fn domains(&self) -> Result<Vec<DomainRef>> {
        self.call(Operation::Domains, |host| host.domains())
    }

    fn domain(&self, uuid: DomainUuid) -> Result<Option<DomainRef>> {
        self.call(Operation::Domain(uuid), |host| host.domain(uuid))
    }

    fn definition(&self, domain: &DomainRef, stored: bool) -> Result<DomainDefinition> {
        self.call(Operation::Definition(domain), |host| host.definition(domain, stored))
    }

    fn is_persistent(&self, domain: &DomainRef) -> Result<bool> {
        self.call(Operation::IsPersistent(domain), |host| host.is_persistent(domain))
    }

    fn snapshots(&self, domain: &DomainRef) -> Result<Vec<SnapshotRef>> {
        self.call(Operation::Snapshots(domain), |host| host.snapshots(domain))
    }

    fn names(&self, domain: &DomainRef, at_most: usize) -> Result<Names> {
        self.call(Operation::Names(domain), |host| host.names(domain, at_most))
    }

    fn select(&self, domain: &DomainRef, query: &SnapshotQuery) -> Result<Vec<SnapshotRef>> {
        self.call(Operation::Select(domain), |host| host.select(domain, query))
    }

    fn current(&self, domain: &DomainRef) -> Result<Option<SnapshotRef>> {
        self.call(Operation::Current(domain), |host| host.current(domain))
    }

    fn snapshot(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<ObservedSnapshot> {
        self.call(Operation::Snapshot(domain, &snapshot.name), |host| host.snapshot(domain, snapshot))
    }

    fn snapshot_xml(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<String> {
        self.call(Operation::SnapshotXml(domain, &snapshot.name), |host| host.snapshot_xml(domain, snapshot))
    }

    fn snapshot_secure(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<SecureXml> {
        self.call(Operation::SnapshotSecure(domain, &snapshot.name), |host| host.snapshot_secure(domain, snapshot))
    }

    fn create(&self, domain: &DomainRef, request: &CreateRequest) -> Result<SnapshotRef> {
        self.call(Operation::Create(domain, &request.name), |host| host.create(domain, request))
    }

    fn redefine(&self, domain: &DomainRef, xml: &SecureXml, request: &RedefineRequest) -> Result<SnapshotRef> {
        self.call(Operation::Redefine(domain, None), |host| host.redefine(domain, xml, request))
    }

    fn delete(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        self.call(Operation::Delete(domain, &snapshot.name), |host| host.delete(domain, snapshot))
    }

    fn forget(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        self.call(Operation::Forget(domain, &snapshot.name), |host| host.forget(domain, snapshot))
    }

    fn revert(&self, domain: &DomainRef, snapshot: &SnapshotRef, request: RevertRequest) -> Result<()> {
        self.call(Operation::Revert(domain, &snapshot.name), |host| host.revert(domain, snapshot, request))
    }

    fn has_managed_save(&self, domain: &DomainRef) -> Result<bool> {
        self.call(Operation::HasManagedSave(domain), |host| host.has_managed_save(domain))
    }

    fn freeze(&self, domain: &DomainRef) -> Result<u32> {
        self.call(Operation::Freeze(domain), |host| host.freeze(domain))
    }

    fn thaw(&self, domain: &DomainRef) -> Result<u32> {
        self.call(Operation::Thaw(domain), |host| host.thaw(domain))
    }

    fn write_ledger(&self, domain: &DomainRef, ledger: &Ledger, scope: LedgerScope) -> Result<()> {
        self.call(Operation::WriteLedger(domain), |host| host.write_ledger(domain, ledger, scope))
    }

    fn block_job(&self, domain: &DomainRef, target: &str) -> Result<Option<BlockJob>> {
        self.inner.block_job(domain, target)
    }

    fn files(&self) -> &dyn Files {
        self.inner.files()
    }
}
