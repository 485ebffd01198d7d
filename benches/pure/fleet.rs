//! Fleets in their steady state, as reading gives them: nothing is to be done.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use snapward::manifest::{Source, load};
use snapward::model::desired::DesiredState;
use snapward::model::image::DomainFiles;
use snapward::model::ledger::{Ledger, LedgerEntry};
use snapward::model::names::{DomainUuid, SnapshotName};
use snapward::model::observed::{
    Agent, HostInfo, Nvram, ObservedDisk, ObservedDomain, ObservedHost, ObservedState, RunState,
};
use snapward::model::snapshot::{KeptDefinition, ObservedSnapshot, Storage};
use snapward::model::stamp::Description;
use snapward::model::tree::SnapshotTree;

/// How the snapshots came to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Each is declared by its name, and in the ledger.
    Declared,
    /// They are of an hourly series with retention.
    Series,
}

pub(crate) const NOW: &str = "2026-11-23T12:00:30Z";

/// Manifests and hosts.
pub(crate) struct Fleet {
    pub(crate) desired: DesiredState,
    pub(crate) observed: ObservedState,
    /// The bytes of the snapshots' names and descriptions.
    pub(crate) text_bytes: usize,
}

impl Fleet {
    pub(crate) fn new(kind: Kind, domains: usize, snapshots: usize) -> Self {
        let mut text_bytes = 0;
        let domains: Vec<_> = (0..domains).map(|number| domain(kind, number, snapshots, &mut text_bytes)).collect();
        let info = HostInfo {
            name: "kvm-017".to_owned(),
            uri: "qemu:///system".to_owned(),
            hostname: "kvm-017".to_owned(),
            labels: BTreeMap::new(),
            libvirt_version: 11_003_000,
            external_snapshots: true,
        };
        let mut host = ObservedHost::unread(info);
        host.domain_names = domains.iter().map(|domain| (domain.name.clone(), domain.uuid)).collect();
        host.domains = domains;
        let observed = ObservedState { hosts: vec![host], unreachable: Vec::new() };
        Self { desired: desired(kind, snapshots), observed, text_bytes }
    }

    pub(crate) fn snapshots(&self) -> impl Iterator<Item = &ObservedSnapshot> {
        self.observed.hosts.iter().flat_map(|host| &host.domains).flat_map(|domain| domain.tree.iter())
    }
}

fn desired(kind: Kind, snapshots: usize) -> DesiredState {
    let spec = match kind {
        Kind::Declared => {
            let declared: String = (0..snapshots)
                .map(|number| {
                    let (name, text) = (declared_name(number), human(number));
                    format!("    - {{name: {name}, description: {text}, capture: {{content: full, location: internal}}}}\n")
                })
                .collect();
            format!("  snapshots:\n{declared}  current: {}\n", declared_name(snapshots - 1))
        }
        Kind::Series => "  series:\n    - name: hourly\n      schedule: {cron: \"0 * * * *\", timeZone: Europe/Prague}\n      \
                         capture: {content: full, location: internal}\n      prune: true\n      retention:\n        spec: \
                         {timeZone: Europe/Prague, keep: {last: 3, hourly: 200, daily: 7, weekly: 4, monthly: 12}}\n"
            .to_owned(),
    };
    let text = format!(
        "apiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {{name: web}}\nspec:\n  domains: {{include: [\"vm-*\"]}}\n{spec}"
    );
    let loaded = load(&[Source { name: "web.yaml".into(), text: text.into_bytes() }]);
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    loaded.desired
}

fn declared_name(number: usize) -> String {
    format!("before-upgrade-{number:04}")
}

fn human(number: usize) -> String {
    format!("State before the upgrade number {number}")
}

fn domain(kind: Kind, number: usize, snapshots: usize, text_bytes: &mut usize) -> ObservedDomain {
    let uuid = DomainUuid(uuid::Uuid::from_u128(0x5b0a_7c1e_0000_4000_8000_0000_0000_0000 + number as u128));
    let now: Timestamp = NOW.parse().unwrap();
    let mut ledger = Ledger::empty(uuid);
    let mut parent: Option<SnapshotName> = None;
    let all: Vec<_> = (0..snapshots)
        .map(|i| {
            // The newest is of the slot at noon.
            let hour = SignedDuration::from_hours((snapshots - 1 - i) as i64);
            let slot = now - SignedDuration::from_secs(30) - hour;
            let created = (slot + SignedDuration::from_secs(3)).as_second();
            let stamp = slot.strftime("%Y%m%dT%H%M%SZ");
            let (name, text) = match kind {
                Kind::Declared => (declared_name(i), human(i) + "\n\n"),
                Kind::Series => (format!("web-hourly-{stamp}"), String::new()),
            };
            let mut text = format!("{text}Snapward-Set: default/web\nSnapward-Snapshot: {name}\n");
            if let Kind::Series = kind {
                text += &format!("Snapward-Series: hourly\nSnapward-Slot: {stamp}\n");
            }
            text += "Snapward-Consistency: memory";
            *text_bytes += name.len() + text.len();
            let name = SnapshotName::observed(name);
            if let Kind::Declared = kind {
                ledger.record(name.clone(), LedgerEntry { created, released: false });
            }
            let snapshot = snapshot(name.clone(), parent.take(), created, &text, number);
            parent = Some(name);
            snapshot
        })
        .collect();
    ObservedDomain {
        uuid,
        name: format!("vm-{number:05}"),
        state: RunState::Running,
        disks: vec![disk(number)],
        nvram: Nvram::None,
        tree: SnapshotTree::new(all, parent),
        ledger: Some(ledger),
        ledger_is_current: true,
        next_sources: BTreeMap::new(),
        image_snapshots: BTreeMap::new(),
        files: DomainFiles::default(),
        memory_kib: Some(2_097_152),
        agent: Agent::Connected,
        revert: None,
        fingerprint: "f".repeat(64),
    }
}

fn snapshot(
    name: SnapshotName,
    parent: Option<SnapshotName>,
    created: i64,
    text: &str,
    number: usize,
) -> ObservedSnapshot {
    ObservedSnapshot {
        name,
        parent,
        created,
        state: "running".to_owned(),
        description: Description::parse(text),
        memory: Storage::Internal,
        disks: BTreeMap::from([("vda".to_owned(), Storage::Internal)]).into(),
        files: None,
        definition: Some(KeptDefinition { disks: vec![disk(number)], memory_kib: Some(2_097_152) }.into()),
        ledger: None,
        digest: [7; 32],
    }
}

fn disk(number: usize) -> ObservedDisk {
    ObservedDisk {
        target: "vda".to_owned(),
        source_type: "file".to_owned(),
        source: Some(format!("/var/lib/libvirt/images/vm-{number:05}.qcow2")),
        format: "qcow2".to_owned(),
        device: "disk".to_owned(),
        readonly: false,
        snapshot: None,
        backing: None,
    }
}
