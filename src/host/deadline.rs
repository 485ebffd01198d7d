//! A decorator that gives up on calls that take too long.

use std::sync::Arc;
use std::time::Duration;

use super::threads::{NoAnswer, Threads};
use super::{
    BlockJob, Capabilities, CreateRequest, DomainDefinition, DomainRef, ErrorClass, Files, Host, HostError,
    LedgerScope, Names, Operation, Probe, ProbedImage, RedefineRequest, Result, RevertRequest, SecureXml,
    SnapshotQuery, SnapshotRef, Survey,
};
use crate::model::image::{ImageSnapshot, Space};
use crate::model::ledger::Ledger;
use crate::model::names::DomainUuid;
use crate::model::observed::ObservedDisk;
use crate::model::snapshot::ObservedSnapshot;

/// How long calls may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For calls that only read.
    pub read: Duration,
    /// For calls that change something.
    pub write: Duration,
    /// For deletions: of an external snapshot, one is a merge of images.
    pub delete: Duration,
    /// For calls that the guest's agent has to answer.
    pub agent: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            // libvirt itself waits 30 s for a domain's job lock before it answers with an error that names the holder
            // (QEMU_JOB_WAIT_TIME); the deadline must let that better answer through.
            read: Duration::from_secs(45),
            // A capture writes the guest's memory into the image: 256 GiB at 100 MB/s are 45 minutes. Past an hour, a
            // person is better served by a message than by silence; libvirt goes on either way.
            write: Duration::from_secs(60 * 60),
            // 8 TiB at 100 MB/s are a day. Its progress is shown all the while, so nobody waits in silence.
            delete: Duration::from_secs(24 * 60 * 60),
            // A freeze writes out what the guest's caches hold, which takes seconds; of a guest that answers nothing for a
            // minute none is to be expected, and it must not stay frozen for long.
            agent: Duration::from_secs(60),
        }
    }
}

/// Gives up on calls that take too long: [`ErrorClass::Transient`] for a read, [`ErrorClass::OutcomeUnknown`] for a
/// write, unless it was never sent. A hung call keeps its thread, and later calls use other threads (`host::threads`).
pub struct Deadline {
    threads: Threads,
    deadlines: Deadlines,
}

impl Deadline {
    /// Limits the calls to `inner`.
    pub fn new(inner: Arc<dyn Host>, deadlines: Deadlines) -> Self {
        Self { threads: Threads::new(inner), deadlines }
    }

    fn call<T: Send + 'static>(
        &self,
        operation: Operation<'_>,
        call: impl FnOnce(&dyn Host) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let limit = match operation {
            Operation::Delete(..) => self.deadlines.delete,
            _ if operation.asks_agent() => self.deadlines.agent,
            _ if operation.is_write() => self.deadlines.write,
            _ => self.deadlines.read,
        };
        self.threads.run(limit, call).unwrap_or_else(|error| Err(unanswered(operation, limit, error)))
    }
}

/// The error of a call that did not answer.
fn unanswered(operation: Operation<'_>, limit: Duration, error: NoAnswer) -> HostError {
    let seconds = limit.as_secs_f32();
    let (class, message) = match error {
        NoAnswer::NotSent(why) => (
            ErrorClass::Transient,
            format!(
                "{why}; nothing was sent to libvirt. The process or its user is at the limit of threads; run again"
            ),
        ),
        NoAnswer::Late if operation.is_write() => (
            ErrorClass::OutcomeUnknown,
            format!(
                "no answer within {seconds} s. The call is still running in libvirt and may yet succeed; look at \
                     `virsh domjobinfo`, wait until it has ended, then run again: what is there will be found"
            ),
        ),
        NoAnswer::Late => (
            ErrorClass::Transient,
            format!(
                "no answer within {seconds} s. The connection or libvirt hangs, or a long job holds the domain; \
                     nothing was changed, try again later"
            ),
        ),
        NoAnswer::Lost(why) if operation.is_write() => (ErrorClass::OutcomeUnknown, why),
        NoAnswer::Lost(why) => (ErrorClass::Bug, why),
    };
    HostError::new(class, operation.to_string(), message)
}

impl Host for Deadline {
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
        self.call(Operation::Domain(uuid), move |host| host.domain(uuid))
    }

    fn definition(&self, domain: &DomainRef, stored: bool) -> Result<DomainDefinition> {
        let owned = domain.clone();
        self.call(Operation::Definition(domain), move |host| host.definition(&owned, stored))
    }

    fn is_persistent(&self, domain: &DomainRef) -> Result<bool> {
        let owned = domain.clone();
        self.call(Operation::IsPersistent(domain), move |host| host.is_persistent(&owned))
    }

    fn snapshots(&self, domain: &DomainRef) -> Result<Vec<SnapshotRef>> {
        let owned = domain.clone();
        self.call(Operation::Snapshots(domain), move |host| host.snapshots(&owned))
    }

    fn names(&self, domain: &DomainRef, at_most: usize) -> Result<Names> {
        let owned = domain.clone();
        self.call(Operation::Names(domain), move |host| host.names(&owned, at_most))
    }

    fn select(&self, domain: &DomainRef, query: &SnapshotQuery) -> Result<Vec<SnapshotRef>> {
        let owned = (domain.clone(), query.clone());
        self.call(Operation::Select(domain), move |host| host.select(&owned.0, &owned.1))
    }

    fn current(&self, domain: &DomainRef) -> Result<Option<SnapshotRef>> {
        let owned = domain.clone();
        self.call(Operation::Current(domain), move |host| host.current(&owned))
    }

    fn snapshot(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<ObservedSnapshot> {
        let owned = (domain.clone(), snapshot.clone());
        self.call(Operation::Snapshot(domain, &snapshot.name), move |host| host.snapshot(&owned.0, &owned.1))
    }

    fn read_snapshots(&self, domain: &DomainRef, snapshots: &[SnapshotRef]) -> Result<Vec<ObservedSnapshot>> {
        if snapshots.is_empty() {
            return Ok(Vec::new());
        }
        let owned = (domain.clone(), snapshots.to_vec());
        let limit = self.deadlines.read;
        let read =
            self.threads.run_each(limit, snapshots.len(), move |host, place| host.snapshot(&owned.0, &owned.1[place]));
        read.unwrap_or_else(|(place, error)| {
            Err(unanswered(Operation::Snapshot(domain, &snapshots[place].name), limit, error))
        })
    }

    fn survey(&self, domains: Vec<(DomainRef, usize)>) -> Vec<Result<Survey>> {
        let limit = self.deadlines.read;
        let domains = Arc::new(domains);
        let asked = Arc::clone(&domains);
        let survey = move |host: &dyn Host, place: usize| Survey::of(host, &asked[place].0, asked[place].1);
        let answers = self.threads.run_all(limit, domains.len(), survey);
        let one = |((domain, _), answer): (&(DomainRef, usize), std::result::Result<Result<Survey>, NoAnswer>)| {
            answer.unwrap_or_else(|error| Err(unanswered(Operation::Names(domain), limit, error)))
        };
        domains.iter().zip(answers).map(one).collect()
    }

    fn snapshot_xml(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<String> {
        let owned = (domain.clone(), snapshot.clone());
        self.call(Operation::SnapshotXml(domain, &snapshot.name), move |host| host.snapshot_xml(&owned.0, &owned.1))
    }

    fn snapshot_secure(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<SecureXml> {
        let owned = (domain.clone(), snapshot.clone());
        self.call(Operation::SnapshotSecure(domain, &snapshot.name), move |host| {
            host.snapshot_secure(&owned.0, &owned.1)
        })
    }

    fn create(&self, domain: &DomainRef, request: &CreateRequest) -> Result<SnapshotRef> {
        let owned = (domain.clone(), request.clone());
        self.call(Operation::Create(domain, &request.name), move |host| host.create(&owned.0, &owned.1))
    }

    fn redefine(&self, domain: &DomainRef, xml: &SecureXml, request: &RedefineRequest) -> Result<SnapshotRef> {
        let owned = (domain.clone(), xml.clone(), request.clone());
        self.call(Operation::Redefine(domain, None), move |host| host.redefine(&owned.0, &owned.1, &owned.2))
    }

    fn delete(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        let owned = (domain.clone(), snapshot.clone());
        self.call(Operation::Delete(domain, &snapshot.name), move |host| host.delete(&owned.0, &owned.1))
    }

    fn forget(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        let owned = (domain.clone(), snapshot.clone());
        self.call(Operation::Forget(domain, &snapshot.name), move |host| host.forget(&owned.0, &owned.1))
    }

    fn revert(&self, domain: &DomainRef, snapshot: &SnapshotRef, request: RevertRequest) -> Result<()> {
        let owned = (domain.clone(), snapshot.clone());
        self.call(Operation::Revert(domain, &snapshot.name), move |host| host.revert(&owned.0, &owned.1, request))
    }

    fn has_managed_save(&self, domain: &DomainRef) -> Result<bool> {
        let owned = domain.clone();
        self.call(Operation::HasManagedSave(domain), move |host| host.has_managed_save(&owned))
    }

    fn freeze(&self, domain: &DomainRef) -> Result<u32> {
        let owned = domain.clone();
        self.call(Operation::Freeze(domain), move |host| host.freeze(&owned))
    }

    fn thaw(&self, domain: &DomainRef) -> Result<u32> {
        let owned = domain.clone();
        self.call(Operation::Thaw(domain), move |host| host.thaw(&owned))
    }

    fn write_ledger(&self, domain: &DomainRef, ledger: &Ledger, scope: LedgerScope) -> Result<()> {
        let owned = (domain.clone(), ledger.clone());
        self.call(Operation::WriteLedger(domain), move |host| host.write_ledger(&owned.0, &owned.1, scope))
    }

    fn block_job(&self, domain: &DomainRef, target: &str) -> Result<Option<BlockJob>> {
        let (owned, disk) = (domain.clone(), target.to_owned());
        self.call(Operation::BlockJob(domain), move |host| host.block_job(&owned, &disk))
    }

    fn files(&self) -> &dyn Files {
        self
    }
}

impl Deadline {
    /// A file probe; in words why it gave nothing.
    fn probe<T: Send + 'static>(
        &self,
        probe: impl FnOnce(&dyn Files) -> T + Send + 'static,
    ) -> std::result::Result<T, String> {
        self.threads.run(self.deadlines.read, move |host| probe(host.files())).map_err(|error| match error {
            NoAnswer::Late => {
                format!("no answer within {} s; its storage hangs", self.deadlines.read.as_secs_f32())
            }
            NoAnswer::NotSent(why) | NoAnswer::Lost(why) => why,
        })
    }
}

impl Files for Deadline {
    fn image_snapshots(&self, disk: &ObservedDisk) -> Probe<Vec<ImageSnapshot>> {
        let owned = disk.clone();
        self.probe(move |files| files.image_snapshots(&owned)).unwrap_or_else(Probe::Unknown)
    }

    fn image(&self, path: &str, format: Option<&str>) -> ProbedImage {
        let owned = (path.to_owned(), format.map(str::to_owned));
        self.probe(move |files| files.image(&owned.0, owned.1.as_deref())).unwrap_or_else(ProbedImage::unknown)
    }

    fn directory(&self, path: &str) -> Probe<Vec<String>> {
        let owned = path.to_owned();
        self.probe(move |files| files.directory(&owned)).unwrap_or_else(Probe::Unknown)
    }

    fn space(&self, directory: &str) -> Probe<Space> {
        let owned = directory.to_owned();
        self.probe(move |files| files.space(&owned)).unwrap_or_else(Probe::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};
    use std::thread;

    use super::super::fake::{Fake, domain, named, snapshot};
    use super::*;

    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(20);

    fn hanging() -> (Arc<Barrier>, Arc<Fake>) {
        let gate = Arc::new(Barrier::new(2));
        (Arc::clone(&gate), Arc::new(Fake { hang: Some(gate), ..Fake::default() }))
    }

    #[test]
    fn a_late_read_is_transient_and_does_not_block_the_next_call() {
        let (gate, fake) = hanging();
        let host = Deadline::new(fake, Deadlines { read: SHORT, write: LONG, delete: LONG, agent: LONG });
        let error = host.current(&domain()).expect_err("hangs");
        assert_eq!(error.class, ErrorClass::Transient);
        assert!(error.to_string().contains("web-1"), "{error}");
        let other = Deadline { deadlines: Deadlines { read: LONG, write: LONG, delete: LONG, agent: LONG }, ..host };
        assert!(other.domains().is_ok(), "another thread answers");
        gate.wait();
    }

    #[test]
    fn a_late_write_has_an_unknown_outcome() {
        let (gate, fake) = hanging();
        let host = Deadline::new(fake, Deadlines { read: LONG, write: SHORT, delete: SHORT, agent: SHORT });
        let error = host.delete(&domain(), &snapshot()).expect_err("hangs");
        assert_eq!(error.class, ErrorClass::OutcomeUnknown);
        assert!(error.message.contains("still running in libvirt"), "{error}");
        gate.wait();
    }

    #[test]
    fn of_calls_that_follow_each_other_a_late_one_is_named_and_none_is_made_after_it() {
        let (gate, fake) = hanging();
        let host = Deadline::new(fake.clone(), Deadlines { read: SHORT, write: LONG, delete: LONG, agent: LONG });
        let list: Vec<_> = ["s0", "s1", "hangs", "s3"].into_iter().map(named).collect();
        let error = host.read_snapshots(&domain(), &list).expect_err("hangs");
        assert_eq!(error.class, ErrorClass::Transient);
        assert!(error.to_string().contains("snapshot hangs of domain web-1"), "{error}");
        gate.wait();
        let other = Deadline { deadlines: Deadlines { read: LONG, ..host.deadlines }, ..host };
        // On the thread that hung, once it is free: what it still had to do is not done.
        while other.threads.idle.lock().expect("whole").is_empty() {
            thread::yield_now();
        }
        assert_eq!(fake.seen(), 3);
        assert_eq!(other.read_snapshots(&domain(), &list[..2]).expect("answers").len(), 2);
    }

    #[test]
    fn calls_that_follow_each_other_have_the_time_limit_each() {
        // Together they are over the limit, and each is below it by more than a busy machine takes to go on.
        let fake = Arc::new(Fake { slow: Some(Duration::from_millis(500)), ..Fake::default() });
        let limit = Duration::from_secs(2);
        let host = Deadline::new(fake, Deadlines { read: limit, write: LONG, delete: LONG, agent: LONG });
        let list: Vec<_> = ["s0", "s1", "s2", "s3", "s4"].into_iter().map(named).collect();
        assert_eq!(host.read_snapshots(&domain(), &list).expect("in time").len(), 5);
    }

    #[test]
    fn one_thread_serves_calls_that_follow_each_other() {
        let host =
            Deadline::new(Arc::new(Fake::default()), Deadlines { read: LONG, write: LONG, delete: LONG, agent: LONG });
        for _ in 0..100 {
            assert!(host.domains().is_ok());
        }
        assert_eq!(host.threads.idle.lock().expect("whole").len(), 1);
    }

    #[test]
    fn what_was_never_sent_is_no_unknown_outcome() {
        let fake = Arc::new(Fake::default());
        let host = Deadline::new(fake.clone(), Deadlines::default());
        // A thread that has ended.
        let end = || host.threads.idle.lock().expect("whole").push(mpsc::channel().0);
        end();
        let error = host.delete(&domain(), &snapshot()).expect_err("no thread");
        assert_eq!(error.class, ErrorClass::Transient);
        assert!(error.message.contains("nothing was sent to libvirt"), "{error}");
        end();
        assert!(host.read_snapshots(&domain(), &[]).expect("nothing to ask").is_empty());
        assert_eq!(fake.seen(), 0);
    }

    #[test]
    fn a_panic_in_a_call_is_an_error_of_that_call_alone() {
        let fake = Fake { panic_on_version: true, ..Fake::default() };
        let host = Deadline::new(Arc::new(fake), Deadlines { read: LONG, write: LONG, delete: LONG, agent: LONG });
        assert_eq!(host.libvirt_version().expect_err("panics").class, ErrorClass::Bug);
        assert!(host.domains().is_ok());
    }
}
