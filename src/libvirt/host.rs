//! [`Host`] on a libvirt connection: one libvirt call per method; around a revert, also two looks at the disks.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::domain_snapshot::DomainSnapshot;
use virt::error::{Error, ErrorNumber};
use virt::sys;

use super::error::{host_error, is};
use super::events::Subscription;
use super::handle::{
    ListedDomain, NotFrozen, Owned, block_job, domains_with_state, freeze, snapshot_names, snapshot_xml, thaw,
};
use super::image;
use super::xml::create::CreateError;
use super::xml::{self, XmlError};
use crate::host::{
    BlockJob, Capabilities, CreateRequest, DomainDefinition, DomainRef, ErrorClass, Files, Host, HostError,
    LedgerScope, Names, Operation, Probe, ProbedImage, RedefineRequest, Result, RevertRequest, SecureXml,
    SnapshotQuery, SnapshotRef,
};
use crate::model::image::{ImageSnapshot, Space};
use crate::model::kinds::{Content, Location, Power};
use crate::model::ledger::{LEDGER_NAMESPACE, Ledger};
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::observed::{ObservedDisk, RunState};
use crate::model::snapshot::ObservedSnapshot;
use crate::model::text::{first_forbidden, printable};

/// The prefix libvirt gives our namespace in a domain's `<metadata>`.
const LEDGER_KEY: &str = "snapward";

/// What can be said about a host's image files from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Images {
    /// They are files of this machine.
    Local,
    /// They are another machine's.
    Remote,
    /// There are none: libvirt's test driver.
    Imaginary,
}

/// A libvirt connection as a [`Host`].
pub(super) struct LibvirtHost {
    /// Dropped with the host; nothing else is done with it.
    _subscription: Option<Subscription>,
    connection: Owned<Connect>,
    images: Images,
    /// Tells this connection's handles from those of others, which have other rights.
    id: u64,
}

/// What [`DomainRef::handle`] holds.
struct DomainHandle {
    domain: Owned<Domain>,
    connection: u64,
}

/// What [`SnapshotRef::handle`] holds.
struct SnapshotHandle {
    snapshot: Owned<DomainSnapshot>,
    connection: u64,
}

impl LibvirtHost {
    pub(super) fn new(connection: Owned<Connect>, subscription: Option<Subscription>, images: Images) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { _subscription: subscription, connection, images, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Whether the host's files can be read from here; else why not.
    fn local(&self) -> std::result::Result<(), String> {
        match self.images {
            Images::Local => Ok(()),
            Images::Remote => Err("the image is on another machine".to_owned()),
            Images::Imaginary => Err("libvirt's test driver has no images".to_owned()),
        }
    }

    /// Closes new overlays to whoever may not read what they stand on. The capture or revert is done, so that one cannot be
    /// closed is a warning.
    fn restrict<'a>(&self, overlays: impl Iterator<Item = &'a str>) {
        if self.local().is_err() {
            return;
        }
        for overlay in overlays {
            if let Err(error) = image::restrict(overlay) {
                tracing::warn!(overlay, %error, "libvirt may have left this overlay open to all users of the host");
            }
        }
    }

    /// The domain behind a reference; looked up where the handle is not this connection's.
    fn domain(&self, domain: &DomainRef, operation: Operation<'_>) -> Result<Arc<DomainHandle>> {
        match Arc::clone(&domain.handle).downcast::<DomainHandle>() {
            Ok(handle) if handle.connection == self.id => Ok(handle),
            _ => {
                let found = self.connection.lookup_domain_by_uuid(domain.uuid.0).map_err(failed(operation))?;
                Ok(Arc::new(DomainHandle { domain: Owned::new(found), connection: self.id }))
            }
        }
    }

    /// The snapshot behind a reference; looked up where the handle is not this connection's.
    fn snapshot_handle(
        &self,
        domain: &DomainRef,
        snapshot: &SnapshotRef,
        operation: Operation<'_>,
    ) -> Result<Arc<SnapshotHandle>> {
        match Arc::clone(&snapshot.handle).downcast::<SnapshotHandle>() {
            Ok(handle) if handle.connection == self.id => Ok(handle),
            _ => {
                if let Some(c) = first_forbidden(snapshot.name.as_str()) {
                    let text = format!("no snapshot can have {} in its name", c.escape_unicode());
                    return Err(HostError::new(ErrorClass::NotFound, operation.to_string(), text));
                }
                let domain = self.domain(domain, operation)?;
                let found = Domain::lookup_snapshot_by_name(&domain.domain, snapshot.name.as_str(), 0)
                    .map_err(failed(operation))?;
                Ok(Arc::new(SnapshotHandle { snapshot: Owned::new(found), connection: self.id }))
            }
        }
    }

    fn snapshot_ref(&self, snapshot: DomainSnapshot, operation: Operation<'_>) -> Result<SnapshotRef> {
        let snapshot = Owned::new(snapshot);
        // The name is in the object: no call.
        let name = SnapshotName::observed(snapshot.name().map_err(failed(operation))?);
        Ok(SnapshotRef { name, handle: Arc::new(SnapshotHandle { snapshot, connection: self.id }) })
    }

    fn domain_ref(&self, domain: Owned<Domain>, state: RunState) -> Result<DomainRef> {
        // Name, UUID and id are in the object: no calls.
        let name = domain.name().map_err(failed(Operation::Domains))?;
        let uuid = DomainUuid(Uuid::from_bytes(*domain.uuid().map_err(failed(Operation::Domains))?.as_bytes()));
        let id = domain.id();
        Ok(DomainRef { name, uuid, id, state, handle: Arc::new(DomainHandle { domain, connection: self.id }) })
    }
}

/// For `map_err`: gives a libvirt error its operation.
fn failed(operation: Operation<'_>) -> impl FnOnce(Error) -> HostError {
    move |error| host_error(operation, &error)
}

/// For `map_err`: an answer of libvirt's that cannot be read.
fn unreadable(operation: Operation<'_>) -> impl FnOnce(XmlError) -> HostError {
    move |error| {
        let text = format!("libvirt's XML cannot be read: {error}; please report this with the XML");
        HostError::new(ErrorClass::Bug, operation.to_string(), text)
    }
}

/// Something that is not sent.
fn unsent(operation: Operation<'_>, why: impl std::fmt::Display) -> HostError {
    HostError::new(ErrorClass::Refused, operation.to_string(), format!("{why}; nothing was sent to libvirt"))
}

/// A running domain whose memory stays out is captured by disks alone; of one that is off, libvirt sees by the disks that
/// the capture is external.
///
/// Its schema is checked on request alone. The XML is our own, the check costs more than all else that libvirt does with it,
/// and libxml2 sets its types up without a lock (`xmlRelaxNGInitTypes`): two captures at the same time have been seen to do
/// it at once.
fn create_flags(request: &CreateRequest, active: bool) -> u32 {
    let capture = &request.capture;
    let mut flags = 0;
    if capture.location == Location::External && active && capture.content == Content::Disks {
        flags |= sys::VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY;
    }
    let act = request.act;
    let asked = [
        (request.reuse, sys::VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT),
        (act.halt, sys::VIR_DOMAIN_SNAPSHOT_CREATE_HALT),
        (act.live, sys::VIR_DOMAIN_SNAPSHOT_CREATE_LIVE),
        (act.atomic, sys::VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC),
        (act.no_metadata, sys::VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA),
        (act.validate, sys::VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE),
    ];
    asked.iter().filter(|(asked, _)| *asked).for_each(|(_, flag)| flags |= flag);
    flags
}

fn revert_flags(request: RevertRequest) -> u32 {
    let power = match request.power {
        Power::AsCaptured => 0,
        Power::Running => sys::VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING,
        Power::Paused => sys::VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED,
    };
    let flag = |wanted: bool, flag: u32| if wanted { flag } else { 0 };
    power
        | flag(request.force, sys::VIR_DOMAIN_SNAPSHOT_REVERT_FORCE)
        | flag(request.reset_nvram, sys::VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM)
}

fn list_flags(query: &SnapshotQuery) -> u32 {
    [
        (query.roots, sys::VIR_DOMAIN_SNAPSHOT_LIST_ROOTS),
        (query.below.is_some() && query.descendants, sys::VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS),
        (query.leaves, sys::VIR_DOMAIN_SNAPSHOT_LIST_LEAVES),
        (query.no_leaves, sys::VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES),
        (query.metadata, sys::VIR_DOMAIN_SNAPSHOT_LIST_METADATA),
        (query.no_metadata, sys::VIR_DOMAIN_SNAPSHOT_LIST_NO_METADATA),
        (query.inactive, sys::VIR_DOMAIN_SNAPSHOT_LIST_INACTIVE),
        (query.active, sys::VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE),
        (query.disk_only, sys::VIR_DOMAIN_SNAPSHOT_LIST_DISK_ONLY),
        (query.internal, sys::VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL),
        (query.external, sys::VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL),
        (query.topological, sys::VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL),
    ]
    .into_iter()
    .filter(|(asked, _)| *asked)
    .fold(0, |flags, (_, flag)| flags | flag)
}

fn run_state(state: Option<u32>) -> RunState {
    match state {
        Some(sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED) => RunState::Running,
        Some(sys::VIR_DOMAIN_PAUSED) => RunState::Paused,
        Some(sys::VIR_DOMAIN_SHUTDOWN) => RunState::ShuttingDown,
        Some(sys::VIR_DOMAIN_SHUTOFF) => RunState::ShutOff,
        Some(sys::VIR_DOMAIN_CRASHED) => RunState::Crashed,
        Some(sys::VIR_DOMAIN_PMSUSPENDED) => RunState::PmSuspended,
        _ => RunState::Unknown,
    }
}

impl Host for LibvirtHost {
    fn hostname(&self) -> Result<String> {
        self.connection.hostname().map_err(failed(Operation::Hostname))
    }

    fn libvirt_version(&self) -> Result<u64> {
        self.connection.lib_version().map(u64::from).map_err(failed(Operation::LibvirtVersion))
    }

    fn capabilities(&self) -> Result<Capabilities> {
        let operation = Operation::Capabilities;
        let xml = self.connection.capabilities().map_err(failed(operation))?;
        xml::capabilities::read(&xml).map_err(unreadable(operation))
    }

    fn domains(&self) -> Result<Vec<DomainRef>> {
        let listed = match domains_with_state(&self.connection) {
            Ok(listed) => listed,
            // Some drivers have no statistics; they are asked domain by domain.
            Err(error) if is(&error, ErrorNumber::NoSupport) => {
                let domains = self.connection.list_all_domains(0).map_err(failed(Operation::Domains))?;
                let listed = |domain: Domain| {
                    let state = domain.state().ok().map(|(state, _)| state.to_raw());
                    ListedDomain { domain: Owned::new(domain), state }
                };
                domains.into_iter().map(listed).collect()
            }
            Err(error) => return Err(host_error(Operation::Domains, &error)),
        };
        let mut domains = listed
            .into_iter()
            .map(|listed| self.domain_ref(listed.domain, run_state(listed.state)))
            .collect::<Result<Vec<_>>>()?;
        domains.sort_by(|a, b| (&a.name, a.uuid).cmp(&(&b.name, b.uuid)));
        Ok(domains)
    }

    fn domain(&self, uuid: DomainUuid) -> Result<Option<DomainRef>> {
        let operation = Operation::Domain(uuid);
        let found = self.connection.lookup_domain_by_uuid(uuid.0).and_then(|domain| {
            let domain = Owned::new(domain);
            let state = domain.state()?.0.to_raw();
            Ok((domain, state))
        });
        match found {
            Ok((domain, state)) => self.domain_ref(domain, run_state(Some(state))).map(Some),
            Err(error) if is(&error, ErrorNumber::NoDomain) => Ok(None),
            Err(error) => Err(host_error(operation, &error)),
        }
    }

    fn definition(&self, domain: &DomainRef, stored: bool) -> Result<DomainDefinition> {
        let operation = Operation::Definition(domain);
        let flags = if stored { sys::VIR_DOMAIN_XML_INACTIVE } else { 0 };
        let xml = self.domain(domain, operation)?.domain.xml_desc(flags).map_err(failed(operation))?;
        xml::domain::read(&xml).map_err(unreadable(operation))
    }

    fn is_persistent(&self, domain: &DomainRef) -> Result<bool> {
        let operation = Operation::IsPersistent(domain);
        self.domain(domain, operation)?.domain.is_persistent().map_err(failed(operation))
    }

    fn snapshots(&self, domain: &DomainRef) -> Result<Vec<SnapshotRef>> {
        // Not topological: where libvirt has lost a parent, that list fails outright, and nothing could be said of the domain.
        self.select(domain, &SnapshotQuery::default())
    }

    fn names(&self, domain: &DomainRef, at_most: usize) -> Result<Names> {
        let operation = Operation::Names(domain);
        snapshot_names(&self.domain(domain, operation)?.domain, at_most).map_err(failed(operation))
    }

    fn select(&self, domain: &DomainRef, query: &SnapshotQuery) -> Result<Vec<SnapshotRef>> {
        let operation = Operation::Select(domain);
        let flags = list_flags(query);
        let listed = match &query.below {
            Some(start) => self.snapshot_handle(domain, start, operation)?.snapshot.list_all_children(flags),
            None => self.domain(domain, operation)?.domain.list_all_snapshots(flags),
        };
        let listed = listed.map_err(failed(operation))?;
        listed.into_iter().map(|snapshot| self.snapshot_ref(snapshot, operation)).collect()
    }

    fn current(&self, domain: &DomainRef) -> Result<Option<SnapshotRef>> {
        let operation = Operation::Current(domain);
        match self.domain(domain, operation)?.domain.current_snapshot(0) {
            Ok(snapshot) => self.snapshot_ref(snapshot, operation).map(Some),
            Err(error) if is(&error, ErrorNumber::NoDomainSnapshot) => Ok(None),
            Err(error) => Err(host_error(operation, &error)),
        }
    }

    fn snapshot(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<ObservedSnapshot> {
        let operation = Operation::Snapshot(domain, &snapshot.name);
        let handle = self.snapshot_handle(domain, snapshot, operation)?;
        let xml = snapshot_xml(&handle.snapshot).map_err(failed(operation))?;
        xml::snapshot::read(&xml.read()).map_err(unreadable(operation))
    }

    fn snapshot_xml(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<String> {
        let operation = Operation::SnapshotXml(domain, &snapshot.name);
        self.snapshot_handle(domain, snapshot, operation)?.snapshot.xml_desc(0).map_err(failed(operation))
    }

    fn snapshot_secure(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<SecureXml> {
        let operation = Operation::SnapshotSecure(domain, &snapshot.name);
        let handle = self.snapshot_handle(domain, snapshot, operation)?;
        let xml = handle.snapshot.xml_desc(sys::VIR_DOMAIN_SNAPSHOT_XML_SECURE).map_err(failed(operation))?;
        Ok(SecureXml(xml.into()))
    }

    fn create(&self, domain: &DomainRef, request: &CreateRequest) -> Result<SnapshotRef> {
        let operation = Operation::Create(domain, &request.name);
        SnapshotName::parse(request.name.as_str()).map_err(|error| unsent(operation, error))?;
        let xml = xml::create::write(request, domain.state.is_active()).map_err(|error| match error {
            CreateError::Unsupported(_) | CreateError::Xml(_) => unsent(operation, error),
        })?;
        let flags = create_flags(request, domain.state.is_active());
        let made =
            self.domain(domain, operation)?.domain.create_snapshot_xml(&xml, flags).map_err(failed(operation))?;
        self.restrict(request.capture.disks.iter().filter_map(|disk| disk.file.as_deref()));
        self.snapshot_ref(made, operation)
    }

    fn redefine(&self, domain: &DomainRef, xml: &SecureXml, request: &RedefineRequest) -> Result<SnapshotRef> {
        let spliced = xml::splice::splice(&xml.0, request)
            .map_err(|error| unsent(Operation::Redefine(domain, None), format!("the snapshot's XML: {error}")))?;
        let operation = Operation::Redefine(domain, Some(&spliced.name));
        SnapshotName::parse(spliced.name.as_str()).map_err(|error| unsent(operation, error))?;
        if let Some(Some(parent)) = &request.parent {
            SnapshotName::parse(parent.as_str()).map_err(|error| unsent(operation, format!("the parent: {error}")))?;
        }
        let current = if request.make_current { sys::VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT } else { 0 };
        // Only where a person asks for it: libvirt's schema lags behind what it writes itself.
        let validate = if request.validate { sys::VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE } else { 0 };
        let flags = sys::VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | current | validate;
        let domain = self.domain(domain, operation)?;
        let made = domain.domain.create_snapshot_xml(&spliced.xml, flags).map_err(failed(operation))?;
        self.snapshot_ref(made, operation)
    }

    fn delete(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        let operation = Operation::Delete(domain, &snapshot.name);
        self.snapshot_handle(domain, snapshot, operation)?.snapshot.delete(0).map_err(failed(operation))
    }

    fn forget(&self, domain: &DomainRef, snapshot: &SnapshotRef) -> Result<()> {
        let operation = Operation::Forget(domain, &snapshot.name);
        let flags = sys::VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY;
        self.snapshot_handle(domain, snapshot, operation)?.snapshot.delete(flags).map_err(failed(operation))
    }

    fn revert(&self, domain: &DomainRef, snapshot: &SnapshotRef, request: RevertRequest) -> Result<()> {
        let operation = Operation::Revert(domain, &snapshot.name);
        let handle = self.snapshot_handle(domain, snapshot, operation)?;
        // libvirt chooses the names of the new overlays; what a disk was on before is none of them. That a definition cannot be
        // read takes nothing from the revert.
        let sources = || self.local().ok().and_then(|()| Some(sources(self.definition(domain, false).ok()?)));
        let before = sources();
        handle.snapshot.revert(revert_flags(request)).map_err(failed(operation))?;
        if let (Some(before), Some(now)) = (before, sources()) {
            self.restrict(now.difference(&before).map(String::as_str));
        }
        Ok(())
    }

    fn has_managed_save(&self, domain: &DomainRef) -> Result<bool> {
        let operation = Operation::HasManagedSave(domain);
        self.domain(domain, operation)?.domain.has_managed_save(0).map_err(failed(operation))
    }

    fn freeze(&self, domain: &DomainRef) -> Result<u32> {
        let operation = Operation::Freeze(domain);
        freeze(&self.domain(domain, operation)?.domain).map_err(|error| match error {
            NotFrozen::Asked(error) => host_error(operation, &error),
            // Whatever the error says of a command: it was none that freezes.
            NotFrozen::Silent(error) => HostError { class: ErrorClass::Refused, ..host_error(operation, &error) },
        })
    }

    fn thaw(&self, domain: &DomainRef) -> Result<u32> {
        let operation = Operation::Thaw(domain);
        thaw(&self.domain(domain, operation)?.domain).map_err(failed(operation))
    }

    fn write_ledger(&self, domain: &DomainRef, ledger: &Ledger, scope: LedgerScope) -> Result<()> {
        let operation = Operation::WriteLedger(domain);
        let element = xml::ledger::write(ledger).map_err(|error| unsent(operation, error))?;
        let flags = match scope {
            LedgerScope::LiveAndConfig => sys::VIR_DOMAIN_AFFECT_LIVE | sys::VIR_DOMAIN_AFFECT_CONFIG,
            LedgerScope::Config => sys::VIR_DOMAIN_AFFECT_CONFIG,
            LedgerScope::Live => sys::VIR_DOMAIN_AFFECT_LIVE,
        };
        let kind = sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed();
        self.domain(domain, operation)?
            .domain
            .set_metadata(kind, Some(&element), Some(LEDGER_KEY), Some(LEDGER_NAMESPACE), flags)
            .map_err(failed(operation))
    }

    fn block_job(&self, domain: &DomainRef, target: &str) -> Result<Option<BlockJob>> {
        let operation = Operation::BlockJob(domain);
        let target = CString::new(target).map_err(|error| unsent(operation, error))?;
        block_job(&self.domain(domain, operation)?.domain, &target).map_err(failed(operation))
    }

    fn files(&self) -> &dyn Files {
        self
    }
}

/// What the disks that take overlays are on.
fn sources(definition: DomainDefinition) -> BTreeSet<String> {
    let writable = definition.disks.into_iter().filter(|disk| !disk.readonly && disk.format == "qcow2");
    writable.filter_map(|disk| disk.source).collect()
}

impl Files for LibvirtHost {
    fn image_snapshots(&self, disk: &ObservedDisk) -> Probe<Vec<ImageSnapshot>> {
        if let Err(why) = self.local() {
            return Probe::Unknown(why);
        }
        let path = match disk.source.as_deref() {
            Some(path) if matches!(disk.source_type.as_str(), "file" | "block") => path,
            _ => return Probe::Unknown("the disk's source is not a file or block device".to_owned()),
        };
        if disk.format != "qcow2" {
            return Probe::Unknown(format!("images of format {} are not read", printable(&disk.format)));
        }
        match image::snapshots(Path::new(path)) {
            Ok(snapshots) => Probe::Known(snapshots),
            Err(error) => Probe::Unknown(format!("{}: {error}", printable(path))),
        }
    }

    fn image(&self, path: &str, format: Option<&str>) -> ProbedImage {
        self.local().map_or_else(ProbedImage::unknown, |()| image::image(path, format))
    }

    fn directory(&self, path: &str) -> Probe<Vec<String>> {
        self.local().map_or_else(Probe::Unknown, |()| image::directory(path))
    }

    fn space(&self, directory: &str) -> Probe<Space> {
        self.local().map_or_else(Probe::Unknown, |()| image::space(directory))
    }
}
