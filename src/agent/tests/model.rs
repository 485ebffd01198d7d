//! A host in memory, with faults.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::clock::SimClock;
use super::hang_at;
use crate::agent::{Clock, Hosts, Opened};
use crate::host::{
    BlockJob, Capabilities, Counting, CreateRequest, DomainDefinition, DomainRef, ErrorClass, Event, Files, Happened,
    Host, HostError, LedgerScope, Listener, Names, Probe, ProbedImage, ReadOnly, RedefineRequest, Result,
    RevertRequest, SecureXml, SnapshotQuery, SnapshotRef,
};
use crate::libvirt::Access;
use crate::model::desired::DesiredState;
use crate::model::image::{ImageSnapshot, Space};
use crate::model::ledger::Ledger;
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::observed::{Agent, Nvram, ObservedDisk, RunState};
use crate::model::snapshot::{KeptDefinition, ObservedSnapshot, Storage};
use crate::model::stamp::Description;
use crate::observe::Endpoint;

/// A call to create or delete, as the host saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) at: Timestamp,
    pub(super) what: String,
}

#[derive(Clone, Default)]
pub(super) struct Domain {
    ledger: Option<Ledger>,
    snapshots: BTreeMap<SnapshotName, ObservedSnapshot>,
    current: Option<SnapshotName>,
    at_work: bool,
}

#[derive(Default)]
struct State {
    domains: BTreeMap<String, Domain>,
    writes: Vec<Write>,
    /// Writes that fail, by the name of their domain.
    failing: Vec<String>,
    /// When a ledger was written.
    ledgers: Vec<Timestamp>,
}

/// The host. All of its domains run and have one qcow2 disk.
pub(super) struct Model {
    clock: Arc<SimClock>,
    state: Mutex<State>,
    /// Nobody answers.
    pub(super) down: AtomicBool,
    /// Somebody deletes each new snapshot when it was read back.
    vanish: AtomicBool,
    /// Somebody takes each ledger away when it was written.
    forgetful: AtomicBool,
    /// How many seconds the next list of domains takes.
    takes: AtomicI64,
    /// The next connection waits here.
    hang: Mutex<Option<Receiver<()>>>,
    gate: (Mutex<Gate>, Condvar),
    readers: Mutex<Vec<Arc<Counting>>>,
    opened: Mutex<Vec<Timestamp>>,
    /// Of the connection to read through.
    listener: Mutex<Option<Listener>>,
}

/// Holds writes.
#[derive(Default)]
struct Gate {
    domain: Option<String>,
    held: usize,
}

fn uuid(name: &str) -> DomainUuid {
    let digest = Sha256::digest(name.as_bytes());
    DomainUuid(uuid::Uuid::from_slice(&digest[..16]).expect("16 bytes"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Model {
    pub(super) fn new(clock: Arc<SimClock>, domains: &[&str]) -> Arc<Self> {
        let domains = domains.iter().map(|name| ((*name).to_owned(), Domain::default())).collect();
        Arc::new(Self {
            clock,
            state: Mutex::new(State { domains, ..State::default() }),
            down: AtomicBool::new(false),
            vanish: AtomicBool::new(false),
            forgetful: AtomicBool::new(false),
            takes: AtomicI64::new(0),
            hang: Mutex::default(),
            gate: Default::default(),
            readers: Mutex::default(),
            opened: Mutex::default(),
            listener: Mutex::default(),
        })
    }

    /// An event, as libvirt tells it.
    pub(super) fn tell(&self, domain: &str, what: Happened) {
        self.event(Event::Domain { name: domain.to_owned(), uuid: uuid(domain), what });
    }

    pub(super) fn event(&self, event: Event) {
        if let Some(listener) = &*lock(&self.listener) {
            listener(event);
        }
    }

    /// A domain comes, or goes with all of its snapshots.
    pub(super) fn exists(&self, domain: &str, exists: bool) {
        let domains = &mut lock(&self.state).domains;
        match exists {
            true => drop(domains.insert(domain.to_owned(), Domain::default())),
            false => drop(domains.remove(domain)),
        }
    }

    pub(super) fn snapshots(&self, domain: &str) -> Vec<String> {
        lock(&self.state).domains[domain].snapshots.keys().map(ToString::to_string).collect()
    }

    pub(super) fn writes(&self) -> Vec<Write> {
        lock(&self.state).writes.clone()
    }

    /// From now on writes to this domain fail, or no more.
    pub(super) fn fail(&self, domain: &str, fail: bool) {
        let failing = &mut lock(&self.state).failing;
        failing.retain(|name| name != domain);
        if fail {
            failing.push(domain.to_owned());
        }
    }

    /// Somebody else deletes a snapshot. Returns the domain as it was.
    pub(super) fn remove(&self, domain: &str, snapshot: &str) -> Domain {
        let mut state = lock(&self.state);
        let domain = state.domains.get_mut(domain).expect("a domain");
        let before = domain.clone();
        domain.snapshots.remove(&SnapshotName::observed(snapshot)).expect("a snapshot");
        domain.current = None;
        before
    }

    /// Somebody else makes a domain what it was.
    pub(super) fn put_back(&self, domain: &str, before: Domain) {
        lock(&self.state).domains.insert(domain.to_owned(), before);
    }

    /// From now on each snapshot is deleted again once its ledger entry was written, or no more.
    pub(super) fn vanish(&self, vanish: bool) {
        self.vanish.store(vanish, Ordering::SeqCst);
    }

    /// From now on each ledger is taken away once it was written; the one that is there goes now.
    pub(super) fn forget_ledgers(&self, domain: &str) {
        self.forgetful.store(true, Ordering::SeqCst);
        lock(&self.state).domains.get_mut(domain).expect("a domain").ledger = None;
    }

    /// When ledgers were written.
    pub(super) fn ledgers(&self) -> Vec<Timestamp> {
        lock(&self.state).ledgers.clone()
    }

    /// The next list of domains takes that many seconds of the time of day.
    pub(super) fn list_slowly(&self, seconds: i64) {
        self.takes.store(seconds, Ordering::SeqCst);
    }

    /// The next connection is not answered before the other end is dropped.
    pub(super) fn hang_connecting(&self, until: Receiver<()>) {
        *lock(&self.hang) = Some(until);
    }

    /// Somebody else changes what a snapshot says, under the same name.
    pub(super) fn describe(&self, domain: &str, snapshot: &str, text: &str) {
        let mut state = lock(&self.state);
        let domain = state.domains.get_mut(domain).expect("a domain");
        let snapshot = domain.snapshots.get_mut(&SnapshotName::observed(snapshot)).expect("a snapshot");
        snapshot.description.human = text.to_owned();
        snapshot.digest = digest(text, snapshot.created);
    }

    /// What a snapshot says.
    pub(super) fn description(&self, domain: &str, snapshot: &str) -> String {
        lock(&self.state).domains[domain].snapshots[&SnapshotName::observed(snapshot)].description.human.clone()
    }

    /// When a connection to read was asked for.
    pub(super) fn opened(&self) -> Vec<Timestamp> {
        lock(&self.opened).clone()
    }

    /// Writes to the domains whose names begin so wait from now on; none: those that wait go on.
    pub(super) fn hold(&self, domain: Option<&str>) {
        lock(&self.gate.0).domain = domain.map(str::to_owned);
        self.gate.1.notify_all();
    }

    /// How many writes wait.
    pub(super) fn held(&self) -> usize {
        lock(&self.gate.0).held
    }

    fn wait(&self, domain: &str) {
        let mut gate = lock(&self.gate.0);
        gate.held += 1;
        while gate.domain.as_ref().is_some_and(|held| domain.starts_with(held)) {
            gate = self.gate.1.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
        gate.held -= 1;
    }

    /// The calls that readers made, by method.
    pub(super) fn calls(&self) -> BTreeMap<&'static str, u64> {
        let mut all = BTreeMap::new();
        for reader in lock(&self.readers).iter() {
            for (method, n) in reader.calls_by_method() {
                *all.entry(method).or_default() += n;
            }
        }
        all
    }

    fn answer<T>(&self, answer: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        if self.down.load(Ordering::SeqCst) {
            return Err(HostError::new(ErrorClass::Transient, "ask the model", "the connection is gone"));
        }
        answer(&mut lock(&self.state))
    }

    fn of<T>(&self, domain: &DomainRef, answer: impl FnOnce(&mut Domain) -> Result<T>) -> Result<T> {
        self.answer(|state| match state.domains.get_mut(&domain.name) {
            Some(domain) => answer(domain),
            None => Err(missing()),
        })
    }

    /// A write: noted, alone in its domain, and refused where the test says so.
    fn write<T>(&self, domain: &DomainRef, what: String, act: impl FnOnce(&mut Domain, Timestamp) -> T) -> Result<T> {
        let at = Clock::now(&self.clock);
        self.of(domain, |domain| {
            assert!(!domain.at_work, "two runs of one domain");
            domain.at_work = true;
            Ok(())
        })?;
        self.wait(&domain.name);
        let done = self.answer(|state| {
            state.writes.push(Write { at, what });
            if state.failing.contains(&domain.name) {
                return Err(HostError::new(ErrorClass::Refused, "write", "the test says so"));
            }
            Ok(act(state.domains.get_mut(&domain.name).expect("it was there"), at))
        });
        if let Some(domain) = lock(&self.state).domains.get_mut(&domain.name) {
            domain.at_work = false;
        }
        done
    }
}

fn missing() -> HostError {
    HostError::new(ErrorClass::NotFound, "ask the model", "there is no such thing")
}

fn reference(name: &SnapshotName) -> SnapshotRef {
    SnapshotRef { name: name.clone(), handle: Arc::new(()) }
}

/// The one disk of a domain.
fn disk(domain: &str) -> ObservedDisk {
    ObservedDisk {
        target: "vda".to_owned(),
        source_type: "file".to_owned(),
        source: Some(format!("/images/{domain}.qcow2")),
        format: "qcow2".to_owned(),
        device: "disk".to_owned(),
        readonly: false,
        snapshot: None,
        backing: None,
    }
}

fn listed(name: &str) -> DomainRef {
    DomainRef { name: name.to_owned(), uuid: uuid(name), id: None, state: RunState::Running, handle: Arc::new(()) }
}

fn digest(description: &str, created: i64) -> [u8; 32] {
    Sha256::digest(format!("{created} {description}")).into()
}

impl Host for Model {
    fn hostname(&self) -> Result<String> {
        self.answer(|_| Ok("model".to_owned()))
    }

    fn libvirt_version(&self) -> Result<u64> {
        self.answer(|_| Ok(11_003_000))
    }

    fn capabilities(&self) -> Result<Capabilities> {
        self.answer(|_| Ok(Capabilities { external_snapshots: true }))
    }

    fn domains(&self) -> Result<Vec<DomainRef>> {
        let answer = self.answer(|state| Ok(state.domains.keys().map(|name| listed(name)).collect()));
        self.clock.leap(self.takes.swap(0, Ordering::SeqCst));
        answer
    }

    fn domain(&self, of: DomainUuid) -> Result<Option<DomainRef>> {
        self.answer(|state| Ok(state.domains.keys().find(|name| uuid(name) == of).map(|name| listed(name))))
    }

    fn definition(&self, domain: &DomainRef, _: bool) -> Result<DomainDefinition> {
        let disks = vec![disk(&domain.name)];
        self.of(domain, |domain| {
            Ok(DomainDefinition {
                disks,
                nvram: Nvram::None,
                memory_kib: None,
                agent: Agent::None,
                ledger: domain.ledger.clone(),
            })
        })
    }

    fn is_persistent(&self, _: &DomainRef) -> Result<bool> {
        self.answer(|_| Ok(true))
    }

    fn snapshots(&self, domain: &DomainRef) -> Result<Vec<SnapshotRef>> {
        self.of(domain, |domain| Ok(domain.snapshots.keys().map(reference).collect()))
    }

    fn names(&self, domain: &DomainRef, at_most: usize) -> Result<Names> {
        self.of(domain, |domain| Ok(domain.snapshots.keys().take(at_most).map(SnapshotName::as_str).collect()))
    }

    fn select(&self, domain: &DomainRef, _: &SnapshotQuery) -> Result<Vec<SnapshotRef>> {
        Host::snapshots(self, domain)
    }

    fn current(&self, domain: &DomainRef) -> Result<Option<SnapshotRef>> {
        self.of(domain, |domain| Ok(domain.current.as_ref().map(reference)))
    }

    fn snapshot(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<ObservedSnapshot> {
        self.of(domain, |domain| domain.snapshots.get(&snapshot.name).cloned().ok_or_else(missing))
    }

    fn snapshot_xml(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<String> {
        self.snapshot(domain, snapshot).map(|read| read.name.as_str().to_owned())
    }

    fn snapshot_secure(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<SecureXml> {
        self.snapshot(domain, snapshot).map(|read| SecureXml(read.name.as_str().into()))
    }

    fn create(&self, domain: &DomainRef, request: &CreateRequest) -> Result<SnapshotRef> {
        let (name, disks) = (request.name.clone(), vec![disk(&domain.name)]);
        self.write(domain, format!("create {}/{name}", domain.name), |domain, at| {
            let snapshot = ObservedSnapshot {
                name: name.clone(),
                parent: domain.current.clone(),
                created: at.as_second(),
                state: "running".to_owned(),
                description: Description::parse(&request.description),
                memory: Storage::Internal,
                disks: BTreeMap::from([("vda".to_owned(), Storage::Internal)]).into(),
                files: None,
                definition: Some(KeptDefinition { disks, memory_kib: None }.into()),
                ledger: domain.ledger.clone().map(Into::into),
                digest: digest(&request.description, at.as_second()),
            };
            let before = domain.snapshots.insert(name.clone(), snapshot);
            assert!(before.is_none(), "{name} is there already");
            domain.current = Some(name.clone());
            reference(&name)
        })
    }

    fn redefine(&self, domain: &DomainRef, xml: &SecureXml, request: &RedefineRequest) -> Result<SnapshotRef> {
        let name = SnapshotName::observed(&*xml.0);
        self.of(domain, |domain| {
            let snapshot = domain.snapshots.get_mut(&name).ok_or_else(missing)?;
            if let Some(text) = &request.description {
                snapshot.description = Description::parse(text);
                snapshot.digest = digest(text, snapshot.created);
            }
            if request.make_current {
                domain.current = Some(name.clone());
            }
            Ok(reference(&name))
        })
    }

    fn delete(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        let name = &snapshot.name;
        self.write(domain, format!("delete {}/{name}", domain.name), |domain, _| {
            let gone = domain.snapshots.remove(name);
            let parent = gone.and_then(|gone| gone.parent);
            for child in domain.snapshots.values_mut().filter(|child| child.parent.as_ref() == Some(name)) {
                child.parent.clone_from(&parent);
            }
            if domain.current.as_ref() == Some(name) {
                domain.current = parent;
            }
        })
    }

    fn forget(&self, _: &DomainRef, _: &SnapshotRef) -> Result<()> {
        unreachable!("an agent forgets no record")
    }

    fn revert(&self, domain: &DomainRef, snapshot: &SnapshotRef, _: RevertRequest) -> Result<()> {
        let name = &snapshot.name;
        self.write(domain, format!("revert {}/{name}", domain.name), |domain, _| {
            // libvirt brings the metadata of that time back too.
            domain.ledger = domain.snapshots.get(name).and_then(|target| target.ledger.as_deref().cloned());
            domain.current = Some(name.clone());
        })
    }

    fn has_managed_save(&self, _: &DomainRef) -> Result<bool> {
        Ok(false)
    }

    fn freeze(&self, _: &DomainRef) -> Result<u32> {
        Err(missing())
    }

    fn thaw(&self, _: &DomainRef) -> Result<u32> {
        Err(missing())
    }

    fn write_ledger(&self, domain: &DomainRef, ledger: &Ledger, _: LedgerScope) -> Result<()> {
        lock(&self.state).ledgers.push(Clock::now(&self.clock));
        self.of(domain, |domain| {
            domain.ledger = (!self.forgetful.load(Ordering::SeqCst)).then(|| ledger.clone());
            if self.vanish.load(Ordering::SeqCst) {
                domain.snapshots.clear();
                domain.current = None;
            }
            Ok(())
        })
    }

    fn block_job(&self, _: &DomainRef, _: &str) -> Result<Option<BlockJob>> {
        Ok(None)
    }

    fn files(&self) -> &dyn Files {
        self
    }
}

impl Files for Model {
    fn image_snapshots(&self, disk: &ObservedDisk) -> Probe<Vec<ImageSnapshot>> {
        let state = lock(&self.state);
        let of = state.domains.iter().find(|(name, _)| disk.source == self::disk(name).source);
        let names = of.into_iter().flat_map(|(_, domain)| domain.snapshots.keys());
        Probe::Known(names.map(|name| ImageSnapshot { name: name.to_string(), memory: 1 }).collect())
    }

    fn image(&self, _: &str, _: Option<&str>) -> ProbedImage {
        ProbedImage::unknown("the model has no images".to_owned())
    }

    fn directory(&self, _: &str) -> Probe<Vec<String>> {
        Probe::Known(Vec::new())
    }

    fn space(&self, _: &str) -> Probe<Space> {
        Probe::Unknown("the model has no filesystem".to_owned())
    }
}

/// The one host at each of some URIs, opened as often as the agent likes.
pub(super) struct ModelHosts {
    model: Arc<Model>,
    endpoints: Vec<Endpoint>,
}

impl ModelHosts {
    pub(super) fn new(model: &Arc<Model>, uris: &[&str]) -> Self {
        Self { model: Arc::clone(model), endpoints: uris.iter().map(|uri| Endpoint::uri(*uri)).collect() }
    }
}

impl Hosts for ModelHosts {
    fn endpoints(&self, _: &DesiredState) -> Vec<Endpoint> {
        self.endpoints.clone()
    }

    fn open(
        &self,
        endpoint: &Endpoint,
        access: Access,
        listener: Option<&Listener>,
    ) -> std::result::Result<Opened, String> {
        if access == Access::ReadOnly {
            lock(&self.model.opened).push(Clock::now(&self.model.clock));
        }
        hang_at(&self.model.hang);
        if self.model.down.load(Ordering::SeqCst) {
            return Err("nobody answers".to_owned());
        }
        let calls = Arc::new(Counting::new(Arc::clone(&self.model) as Arc<dyn Host>));
        let host: Arc<dyn Host> = match access {
            Access::ReadOnly => {
                *lock(&self.model.listener) = listener.cloned();
                lock(&self.model.readers).push(Arc::clone(&calls));
                Arc::new(ReadOnly::new(Arc::clone(&calls) as Arc<dyn Host>))
            }
            Access::ReadWrite => Arc::clone(&calls) as Arc<dyn Host>,
        };
        Ok(Opened { connection: endpoint.clone().connected(host), calls })
    }
}
