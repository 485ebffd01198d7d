//! The model as a [`Host`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use snapward::host::{
    BlockJob, Capabilities, CreateRequest, DomainDefinition, DomainRef, ErrorClass, Files, Host, HostError,
    LedgerScope, Names, Operation, Probe, ProbedImage, RedefineRequest, Result, RevertRequest, SecureXml,
    SnapshotQuery, SnapshotRef,
};
use snapward::model::image::{ImageSnapshot, ImageState, Space};
use snapward::model::ledger::Ledger;
use snapward::model::names::{DomainUuid, SnapshotName};
use snapward::model::observed::{Agent, Nvram, ObservedDisk, RunState};
use snapward::model::snapshot::{KeptDefinition, ObservedSnapshot, SnapshotFiles, Storage as Place};
use snapward::model::stamp::Description;

use super::create::Spec;
use super::{Answer, Definition, Domain, Part, Record, World, missing};

/// What other hands do in the middle of a run.
pub(crate) type Meddling = Box<dyn FnOnce(&mut World) + Send>;

/// A host whose libvirt is a [`World`].
pub(crate) struct Model {
    world: Mutex<World>,
    /// Before how many further writes somebody meddles, and how.
    meddling: Mutex<Option<(usize, Meddling)>>,
}

impl Model {
    pub(crate) fn new(world: World) -> Self {
        Self { world: Mutex::new(world), meddling: Mutex::new(None) }
    }

    /// Somebody does this before one of the writes to come: the first is 0.
    pub(crate) fn meddle(&self, write: usize, with: Meddling) {
        *lock(&self.meddling) = Some((write, with));
    }

    /// Nobody meddles any more; whether somebody did.
    pub(crate) fn leave_alone(&self) -> bool {
        lock(&self.meddling).take().is_none()
    }

    /// The world, to look at and to change as other hands do.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    fn ask<T>(&self, operation: Operation<'_>, answer: impl FnOnce(&mut World) -> Answer<T>) -> Result<T> {
        let mut world = self.world();
        if operation.is_write() {
            let mut meddling = lock(&self.meddling);
            match meddling.take() {
                Some((0, with)) => with(&mut world),
                other => *meddling = other.map(|(writes, with)| (writes - 1, with)),
            }
        }
        if let Some(crash) = &world.crashed {
            return Err(HostError::new(
                ErrorClass::Transient,
                operation.to_string(),
                format!("the driver died of {crash}"),
            ));
        }
        answer(&mut world).map_err(|refusal| refusal.error(operation.to_string()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listed((name, domain): (&String, &Domain)) -> DomainRef {
    DomainRef { name: name.clone(), uuid: domain.uuid, id: None, state: domain.state, handle: Arc::new(()) }
}

fn reference(name: &SnapshotName) -> SnapshotRef {
    SnapshotRef { name: name.clone(), handle: Arc::new(()) }
}

fn record<'w>(domain: &'w Domain, name: &SnapshotName) -> Answer<&'w Record> {
    domain.snapshots.get(name).ok_or_else(|| missing("such snapshot"))
}

/// A domain whose guest can answer its agent.
fn with_agent<'w>(world: &'w mut World, domain: &DomainRef) -> Answer<&'w mut Domain> {
    let domain = world.domain_mut(&domain.name)?;
    if domain.agent && domain.state == RunState::Running { Ok(domain) } else { super::refused("no agent answers") }
}

impl Host for Model {
    fn hostname(&self) -> Result<String> {
        Ok("model".to_owned())
    }

    fn libvirt_version(&self) -> Result<u64> {
        self.ask(Operation::LibvirtVersion, |world| Ok(world.libvirt_version))
    }

    fn capabilities(&self) -> Result<Capabilities> {
        Ok(Capabilities { external_snapshots: true })
    }

    fn domains(&self) -> Result<Vec<DomainRef>> {
        self.ask(Operation::Domains, |world| Ok(world.domains.iter().map(listed).collect()))
    }

    fn domain(&self, uuid: DomainUuid) -> Result<Option<DomainRef>> {
        self.ask(Operation::Domain(uuid), |world| {
            Ok(world.domains.iter().find(|(_, domain)| domain.uuid == uuid).map(listed))
        })
    }

    fn definition(&self, domain: &DomainRef, stored: bool) -> Result<DomainDefinition> {
        self.ask(Operation::Definition(domain), |world| {
            let found = world.domain(&domain.name)?;
            assert!(!found.defect, "a defect, as a test asked for");
            if found.unreadable {
                return super::failed("a job holds the domain");
            }
            let definition = found.stored.as_ref().filter(|_| stored).unwrap_or(&found.definition);
            let disk = |disk: &ObservedDisk| {
                let open = found.open.get(&disk.target).filter(|_| !stored);
                // libvirt tells what is below the image that it knows, which need not be the one QEMU writes to.
                let below = |open: &Vec<String>| {
                    let at = open.iter().position(|image| Some(image) == disk.source.as_ref()).unwrap_or_default();
                    open[at + 1..].to_vec()
                };
                ObservedDisk { backing: open.map(below), ..disk.clone() }
            };
            Ok(DomainDefinition {
                disks: definition.disks.iter().map(disk).collect(),
                nvram: Nvram::None,
                ledger: definition.ledger.clone(),
                memory_kib: Some(definition.memory_kib),
                agent: if found.agent { Agent::Connected } else { Agent::None },
            })
        })
    }

    fn is_persistent(&self, domain: &DomainRef) -> Result<bool> {
        self.ask(Operation::IsPersistent(domain), |world| Ok(world.domain(&domain.name)?.persistent))
    }

    fn snapshots(&self, domain: &DomainRef) -> Result<Vec<SnapshotRef>> {
        self.ask(Operation::Snapshots(domain), |world| {
            Ok(world.domain(&domain.name)?.snapshots.keys().map(reference).collect())
        })
    }

    fn names(&self, domain: &DomainRef, at_most: usize) -> Result<Names> {
        self.ask(Operation::Names(domain), |world| {
            Ok(world.domain(&domain.name)?.snapshots.keys().take(at_most).map(SnapshotName::as_str).collect())
        })
    }

    fn select(&self, domain: &DomainRef, _: &SnapshotQuery) -> Result<Vec<SnapshotRef>> {
        Host::snapshots(self, domain)
    }

    fn current(&self, domain: &DomainRef) -> Result<Option<SnapshotRef>> {
        self.ask(Operation::Current(domain), |world| Ok(world.domain(&domain.name)?.current.as_ref().map(reference)))
    }

    fn snapshot(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<ObservedSnapshot> {
        self.ask(Operation::Snapshot(domain, &snapshot.name), |world| {
            let domain = world.domain(&domain.name)?;
            record(domain, &snapshot.name).map(observed)
        })
    }

    fn snapshot_xml(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<String> {
        self.snapshot(domain, snapshot).map(|read| format!("{read:?}"))
    }

    fn snapshot_secure(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<SecureXml> {
        self.ask(Operation::SnapshotSecure(domain, &snapshot.name), |world| {
            let read = record(world.domain(&domain.name)?, &snapshot.name)?.clone();
            world.read.push(read);
            Ok(SecureXml((world.read.len() - 1).to_string().into()))
        })
    }

    fn create(&self, domain: &DomainRef, request: &CreateRequest) -> Result<SnapshotRef> {
        let spec = Spec::of(request, domain.state.is_active());
        self.ask(Operation::Create(domain, &request.name), |world| {
            world.create(&domain.name, &spec)?;
            Ok(reference(&request.name))
        })
    }

    fn redefine(&self, domain: &DomainRef, xml: &SecureXml, request: &RedefineRequest) -> Result<SnapshotRef> {
        self.ask(Operation::Redefine(domain, None), |world| {
            let read = xml.0.parse().ok().and_then(|at: usize| world.read.get(at)).cloned();
            let read = read.ok_or_else(|| missing("such XML"))?;
            world.redefine(&domain.name, &read, request)?;
            Ok(reference(&read.name))
        })
    }

    fn delete(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        self.ask(Operation::Delete(domain, &snapshot.name), |world| world.delete(&domain.name, &snapshot.name))
    }

    fn forget(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        self.ask(Operation::Forget(domain, &snapshot.name), |world| world.forget(&domain.name, &snapshot.name))
    }

    fn revert(&self, domain: &DomainRef, snapshot: &SnapshotRef, request: RevertRequest) -> Result<()> {
        self.ask(Operation::Revert(domain, &snapshot.name), |world| world.revert(&domain.name, &snapshot.name, request))
    }

    fn has_managed_save(&self, domain: &DomainRef) -> Result<bool> {
        self.ask(Operation::HasManagedSave(domain), |world| Ok(world.domain(&domain.name)?.managed_save))
    }

    fn freeze(&self, domain: &DomainRef) -> Result<u32> {
        self.ask(Operation::Freeze(domain), |world| {
            let domain = with_agent(world, domain)?;
            domain.freezes += 1;
            Ok(1)
        })
    }

    fn thaw(&self, domain: &DomainRef) -> Result<u32> {
        self.ask(Operation::Thaw(domain), |world| with_agent(world, domain).map(|_| 1))
    }

    fn write_ledger(&self, domain: &DomainRef, ledger: &Ledger, scope: LedgerScope) -> Result<()> {
        self.ask(Operation::WriteLedger(domain), |world| {
            let domain = world.domain_mut(&domain.name)?;
            let live = domain.state.is_active();
            match scope {
                LedgerScope::Live | LedgerScope::LiveAndConfig if !live => {
                    return super::refused("the domain is not running");
                }
                LedgerScope::Config | LedgerScope::LiveAndConfig if !domain.persistent => {
                    return super::refused("transient domains do not have any persistent config");
                }
                LedgerScope::Config if live => {
                    let stored = domain.stored.get_or_insert_with(|| domain.definition.clone());
                    stored.ledger = Some(ledger.clone());
                }
                LedgerScope::Live => domain.definition.ledger = Some(ledger.clone()),
                LedgerScope::Config | LedgerScope::LiveAndConfig => {
                    domain.definitions().for_each(|definition| definition.ledger = Some(ledger.clone()));
                }
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
        match &disk.source {
            Some(source) => self.world().storage.probe_tags(source, &disk.format),
            None => Probe::Unknown("an empty drive".to_owned()),
        }
    }

    fn image(&self, path: &str, format: Option<&str>) -> ProbedImage {
        let world = self.world();
        let mut probed = world.storage.probe(path, format);
        if let ImageState::Present(image) = &mut probed.state {
            image.open = world.is_open(path);
        }
        probed
    }

    fn directory(&self, path: &str) -> Probe<Vec<String>> {
        Probe::Known(self.world().storage.list(path))
    }

    fn space(&self, _: &str) -> Probe<Space> {
        Probe::Known(self.world().storage.space)
    }
}

/// What libvirt's XML of a record says.
fn observed(record: &Record) -> ObservedSnapshot {
    let place = |part: &Part| match part {
        Part::No => Place::No,
        Part::Internal => Place::Internal,
        Part::Manual => Place::Manual,
        Part::File(_) => Place::External,
    };
    let definition = |definition: &Definition| {
        KeptDefinition { disks: definition.disks.clone(), memory_kib: Some(definition.memory_kib) }.into()
    };
    let mut read = ObservedSnapshot {
        name: record.name.clone(),
        parent: record.parent.clone(),
        created: record.created,
        state: record.state.clone(),
        description: Description::parse(&record.description),
        memory: place(&record.memory),
        disks: record.disks.iter().map(|(target, part)| (target.clone(), place(part))).collect(),
        files: None,
        definition: record.definition.as_ref().map(definition),
        ledger: embedded_ledger(record).map(Into::into),
        digest: record.digest(),
    };
    if read.is_external() {
        read.files = Some(Box::new(named_files(record)));
    }
    read
}

fn named_files(record: &Record) -> SnapshotFiles {
    let mut files = SnapshotFiles {
        overlays: record.overlays().map(|(target, path)| (target.clone(), path.clone())).collect(),
        revert_overlays: record.revert_disks.clone(),
        unfinished: record.unfinished.clone(),
        memory: match &record.memory {
            Part::File(path) => Some(path.clone()),
            _ => None,
        },
        ..SnapshotFiles::default()
    };
    let overlays = files.overlays.values().chain(files.revert_overlays.values());
    files.formats = overlays.map(|path| (path.clone(), "qcow2".to_owned())).collect::<BTreeMap<_, _>>();
    for disk in record.definition.iter().flat_map(|definition| &definition.disks) {
        let Some(source) = disk.source.as_ref().filter(|_| disk.source_type == "file") else { continue };
        files.formats.insert(source.clone(), disk.format.clone());
        files.bases.insert(disk.target.clone(), source.clone());
    }
    files
}

fn embedded_ledger(record: &Record) -> Option<Ledger> {
    let mut copies =
        record.definition.iter().chain(&record.inactive).filter_map(|definition| definition.ledger.clone());
    let mut first = copies.next()?;
    copies.filter(|copy| copy.domain == first.domain).collect::<Vec<_>>().iter().for_each(|copy| first.merge(copy));
    Some(first)
}
