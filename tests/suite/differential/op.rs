//! The calls of a sequence: the same through [`Host`] on both sides, or by the means of each side.

use std::collections::BTreeMap;

use snapward::host::{CreateRequest, DomainRef, Host, HostError, LedgerScope, RedefineRequest, RevertRequest};
use snapward::model::act::Act;
use snapward::model::kinds::{
    Capture, CaptureDisk, Consistency, Content, DiskLocation, Location, MemoryFile, Power, SourceType,
};
use snapward::model::ledger::{Ledger, LedgerEntry};
use snapward::model::names::SnapshotName;
use snapward::model::observed::ObservedDisk;

/// What a capture holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Internal,
    Disks,
    Memory,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    Write,
    Start,
    Stop,
    /// The first free number gives the name, unless one that is there is asked for.
    Create {
        name: SnapshotName,
        kind: Kind,
        reuse: bool,
    },
    Delete(SnapshotName),
    Forget(SnapshotName),
    Revert(SnapshotName, Power),
    SetCurrent(SnapshotName),
    Describe(SnapshotName, String),
    Reparent(SnapshotName, Option<SnapshotName>),
    GiveOverlays(SnapshotName, BTreeMap<String, String>),
    Ledger(SnapshotName),
    /// Somebody removes the memory image of a snapshot, where it has one.
    LoseMemory(SnapshotName),
}

impl Op {
    /// The word that outcomes are counted under.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Create { kind: Kind::Internal, .. } => "create internal",
            Self::Create { kind: Kind::Disks, .. } => "create disks",
            Self::Create { kind: Kind::Memory, .. } => "create memory",
            Self::Delete(_) => "delete",
            Self::Forget(_) => "forget",
            Self::Revert(..) => "revert",
            Self::SetCurrent(_) => "set-current",
            Self::Describe(..) => "redefine description",
            Self::Reparent(..) => "redefine parent",
            Self::GiveOverlays(..) => "redefine overlays",
            Self::Ledger(_) => "write ledger",
            Self::LoseMemory(_) => "lose memory",
        }
    }

    /// Does it through the host; `None`: it is not the host's to do.
    pub(super) fn call(&self, host: &dyn Host, domain: &DomainRef) -> Option<Result<(), HostError>> {
        let redefine = |name: &SnapshotName, request: RedefineRequest| {
            let snapshot = reference(host, domain, name)?;
            let xml = host.snapshot_secure(domain, &snapshot)?;
            host.redefine(domain, &xml, &request).map(drop)
        };
        Some(match self {
            Self::Write | Self::Start | Self::Stop | Self::LoseMemory(_) => return None,
            Self::Create { name, kind, reuse } => host.definition(domain, false).and_then(|definition| {
                host.create(domain, &request(&domain.name, name, *kind, *reuse, definition.disks)).map(drop)
            }),
            Self::Delete(name) => reference(host, domain, name).and_then(|found| host.delete(domain, &found)),
            Self::Forget(name) => reference(host, domain, name).and_then(|found| host.forget(domain, &found)),
            Self::Revert(name, power) => {
                let request = RevertRequest { power: *power, force: false, reset_nvram: false };
                reference(host, domain, name).and_then(|found| host.revert(domain, &found, request))
            }
            Self::SetCurrent(name) => {
                redefine(name, RedefineRequest { make_current: true, ..RedefineRequest::default() })
            }
            Self::Describe(name, text) => {
                redefine(name, RedefineRequest { description: Some(text.clone()), ..RedefineRequest::default() })
            }
            Self::Reparent(name, parent) => {
                redefine(name, RedefineRequest { parent: Some(parent.clone()), ..RedefineRequest::default() })
            }
            Self::GiveOverlays(name, overlays) => redefine(
                name,
                RedefineRequest { revert_overlays: Some(overlays.clone()), ..RedefineRequest::default() },
            ),
            Self::Ledger(name) => {
                let mut ledger = Ledger::empty(domain.uuid);
                ledger.record(name.clone(), LedgerEntry { created: 1, released: false });
                let scope = if domain.state.is_active() { LedgerScope::LiveAndConfig } else { LedgerScope::Config };
                host.write_ledger(domain, &ledger, scope)
            }
        })
    }
}

/// A snapshot that may be gone: the call fails then, and not the looking for it.
fn reference(
    host: &dyn Host,
    domain: &DomainRef,
    name: &SnapshotName,
) -> Result<snapward::host::SnapshotRef, HostError> {
    let listed = host.snapshots(domain)?.into_iter().find(|listed| listed.name == *name);
    let unlisted = || snapward::host::SnapshotRef { name: name.clone(), handle: std::sync::Arc::new(()) };
    Ok(listed.unwrap_or_else(unlisted))
}

/// The file of a snapshot's part, beside the image.
pub(super) fn file(source: &str, domain: &str, name: &SnapshotName, part: &str) -> String {
    let (directory, _) = source.rsplit_once('/').expect("an absolute path");
    format!("{directory}/{domain}.{part}.{name}")
}

fn request(domain: &str, name: &SnapshotName, kind: Kind, reuse: bool, disks: Vec<ObservedDisk>) -> CreateRequest {
    let overlay = |disk: &ObservedDisk| CaptureDisk {
        target: disk.target.clone(),
        location: Some(DiskLocation::External),
        format: Some("qcow2".to_owned()),
        file: Some(file(disk.source.as_deref().expect("a file"), domain, name, &disk.target)),
        source_type: Some(SourceType::File),
    };
    let external = kind != Kind::Internal;
    let first = disks.first().and_then(|disk| disk.source.as_deref()).expect("a disk");
    let capture = Capture {
        content: if kind == Kind::Disks { Content::Disks } else { Content::Full },
        location: if external { Location::External } else { Location::Internal },
        memory: (kind == Kind::Memory).then(|| MemoryFile { file: file(first, domain, name, "memory") }),
        disks: if external { disks.iter().map(overlay).collect() } else { Vec::new() },
        consistency: Consistency::Crash,
    };
    CreateRequest {
        name: name.clone(),
        description: format!("{name} & <co>"),
        capture,
        disks,
        reuse,
        act: Act::default(),
    }
}
