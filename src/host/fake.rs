//! A host for the tests of the decorators: answers with as little as possible, and hangs or panics where it is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use super::{
    BlockJob, Capabilities, CreateRequest, DomainDefinition, DomainRef, ErrorClass, Files, Host, HostError,
    LedgerScope, Names, Probe, ProbedImage, RedefineRequest, Result, RevertRequest, SecureXml, SnapshotQuery,
    SnapshotRef,
};
use crate::model::image::{ImageSnapshot, ImageState, Space};
use crate::model::kinds::{Capture, Consistency, Content, Location};
use crate::model::ledger::Ledger;
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::observed::{ObservedDisk, RunState};
use crate::model::shared::Shared;
use crate::model::snapshot::{ObservedSnapshot, Storage};
use crate::model::stamp::Description;

#[derive(Default)]
pub(super) struct Fake {
    /// `current`, `delete` and the reading of the snapshot `hangs` wait here for the test.
    pub(super) hang: Option<Arc<Barrier>>,
    /// `libvirt_version` panics.
    pub(super) panic_on_version: bool,
    /// How long the reading of any snapshot takes.
    pub(super) slow: Option<Duration>,
    pub(super) calls: AtomicU64,
}

pub(super) fn domain() -> DomainRef {
    DomainRef {
        name: "web-1".into(),
        uuid: DomainUuid(uuid::Uuid::nil()),
        id: Some(1),
        state: RunState::Running,
        handle: Arc::new(()),
    }
}

pub(super) fn snapshot() -> SnapshotRef {
    named("golden")
}

/// A snapshot to read; the one named `golden` cannot be.
pub(super) fn named(name: &str) -> SnapshotRef {
    SnapshotRef { name: SnapshotName::observed(name), handle: Arc::new(()) }
}

pub(super) fn disk() -> ObservedDisk {
    ObservedDisk {
        target: "vda".into(),
        source_type: "file".into(),
        source: None,
        format: "qcow2".into(),
        device: "disk".into(),
        readonly: false,
        snapshot: None,
        backing: None,
    }
}

pub(super) fn request() -> CreateRequest {
    CreateRequest {
        name: SnapshotName::observed("golden"),
        description: String::new(),
        capture: Capture {
            content: Content::Full,
            location: Location::Internal,
            memory: None,
            disks: Vec::new(),
            consistency: Consistency::Crash,
        },
        disks: vec![disk()],
        reuse: false,
        act: crate::model::act::Act::default(),
    }
}

impl Fake {
    /// The calls that reached it.
    pub(super) fn seen(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn called<T>(&self, answer: T) -> Result<T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok(answer)
    }

    fn failing<T>(&self) -> Result<T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Err(HostError::new(ErrorClass::NotFound, "ask the fake", "it has no answer"))
    }

    fn wait(&self) {
        if let Some(gate) = &self.hang {
            gate.wait();
        }
    }
}

impl Host for Fake {
    fn hostname(&self) -> Result<String> {
        self.called("fake".into())
    }

    fn libvirt_version(&self) -> Result<u64> {
        assert!(!self.panic_on_version, "told to panic");
        self.called(11_003_000)
    }

    fn capabilities(&self) -> Result<Capabilities> {
        self.failing()
    }

    fn domains(&self) -> Result<Vec<DomainRef>> {
        self.called(vec![domain()])
    }

    fn domain(&self, _: DomainUuid) -> Result<Option<DomainRef>> {
        self.called(Some(domain()))
    }

    fn definition(&self, _: &DomainRef, _: bool) -> Result<DomainDefinition> {
        self.failing()
    }

    fn is_persistent(&self, _: &DomainRef) -> Result<bool> {
        self.called(true)
    }

    fn snapshots(&self, _: &DomainRef) -> Result<Vec<SnapshotRef>> {
        self.called(vec![snapshot()])
    }

    fn names(&self, _: &DomainRef, _: usize) -> Result<Names> {
        self.called(Names::from_iter([snapshot().name.as_str()]))
    }

    fn select(&self, _: &DomainRef, _: &SnapshotQuery) -> Result<Vec<SnapshotRef>> {
        self.called(vec![snapshot()])
    }

    fn current(&self, _: &DomainRef) -> Result<Option<SnapshotRef>> {
        self.wait();
        self.called(None)
    }

    fn snapshot(&self, _: &DomainRef, snapshot: &SnapshotRef) -> Result<ObservedSnapshot> {
        match snapshot.name.as_str() {
            "golden" => return self.failing(),
            "hangs" => self.wait(),
            _ => {}
        }
        self.slow.into_iter().for_each(std::thread::sleep);
        self.called(ObservedSnapshot {
            name: snapshot.name.clone(),
            parent: None,
            created: 0,
            state: String::new(),
            description: Description::default(),
            memory: Storage::No,
            disks: Shared::default(),
            files: None,
            definition: None,
            ledger: None,
            digest: [0; 32],
        })
    }

    fn snapshot_xml(&self, _: &DomainRef, _: &SnapshotRef) -> Result<String> {
        self.failing()
    }

    fn snapshot_secure(&self, _: &DomainRef, _: &SnapshotRef) -> Result<SecureXml> {
        self.failing()
    }

    fn create(&self, _: &DomainRef, _: &CreateRequest) -> Result<SnapshotRef> {
        self.called(snapshot())
    }

    fn redefine(&self, _: &DomainRef, _: &SecureXml, _: &RedefineRequest) -> Result<SnapshotRef> {
        self.called(snapshot())
    }

    fn delete(&self, _: &DomainRef, _: &SnapshotRef) -> Result<()> {
        self.wait();
        self.called(())
    }

    fn forget(&self, _: &DomainRef, _: &SnapshotRef) -> Result<()> {
        self.called(())
    }

    fn revert(&self, _: &DomainRef, _: &SnapshotRef, _: RevertRequest) -> Result<()> {
        self.called(())
    }

    fn has_managed_save(&self, _: &DomainRef) -> Result<bool> {
        self.called(false)
    }

    fn freeze(&self, _: &DomainRef) -> Result<u32> {
        self.wait();
        self.called(1)
    }

    fn thaw(&self, _: &DomainRef) -> Result<u32> {
        self.called(1)
    }

    fn write_ledger(&self, _: &DomainRef, _: &Ledger, _: LedgerScope) -> Result<()> {
        self.called(())
    }

    fn block_job(&self, _: &DomainRef, _: &str) -> Result<Option<BlockJob>> {
        self.called(None)
    }

    fn files(&self) -> &dyn Files {
        self
    }
}

impl Files for Fake {
    fn image_snapshots(&self, _: &ObservedDisk) -> Probe<Vec<ImageSnapshot>> {
        Probe::Known(Vec::new())
    }

    fn image(&self, _: &str, _: Option<&str>) -> ProbedImage {
        ProbedImage { state: ImageState::Absent, backing_format: None }
    }

    fn directory(&self, _: &str) -> Probe<Vec<String>> {
        Probe::Known(Vec::new())
    }

    fn space(&self, _: &str) -> Probe<Space> {
        Probe::Unknown("the fake has no filesystem".to_owned())
    }
}
