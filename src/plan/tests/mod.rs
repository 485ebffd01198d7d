//! The decision table, rule by rule, on hand-made states.

mod complete;
mod explain;
mod external;
mod guards;
mod hazards;
mod orders;
mod reverts;
mod room;
mod rules;
mod series;
mod versions;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan;
use crate::model::desired::{DesiredState, Document};
use crate::model::image::DomainFiles;
use crate::model::kinds::{SafetyPolicy, SnapshotSet};
use crate::model::ledger::{Ledger, LedgerEntry};
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::observed::{
    Agent, HostInfo, Nvram, ObservedDisk, ObservedDomain, ObservedHost, ObservedState, RunState,
};
use crate::model::plan::{ActionKind, BlockCode, Plan, PlanSource, ReasonCode};
use crate::model::snapshot::{ObservedSnapshot, Storage};
use crate::model::stamp::{Description, Stamp};
use crate::model::tree::SnapshotTree;

/// 2026-11-23T00:00:00Z.
const NOW: i64 = 1_795_392_000;

fn name(text: &str) -> SnapshotName {
    SnapshotName::observed(text)
}

fn uuid_of(domain: &str) -> DomainUuid {
    DomainUuid(uuid::Uuid::from_u128(domain.bytes().map(u128::from).sum()))
}

/// A set `default/web` with this spec, each of whose lines is known as line 1.
fn set(spec: &str) -> Document<SnapshotSet> {
    set_named("web", spec)
}

fn set_named(set_name: &str, spec: &str) -> Document<SnapshotSet> {
    let text = format!("{{apiVersion: snapward/v1, kind: SnapshotSet, metadata: {{name: {set_name}}}, spec: {spec}}}");
    let value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    Document { file: Arc::from(format!("{set_name}.yaml")), lines: Arc::default(), value }
}

/// The spec of a set for domain `vm` with these snapshots.
fn snapshots(list: &str) -> String {
    format!("{{domains: {{include: [vm]}}, snapshots: [{list}]}}")
}

/// A declared internal snapshot with more fields.
fn declared(name: &str, fields: &str) -> String {
    format!("{{name: {name}, capture: {{content: full, location: internal}}, {fields}}}")
}

fn desired(sets: Vec<Document<SnapshotSet>>) -> DesiredState {
    DesiredState { sets, ..DesiredState::default() }
}

fn document<T: serde::de::DeserializeOwned>(text: &str) -> Document<T> {
    let value = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    Document { file: Arc::from("more.yaml"), lines: Arc::default(), value }
}

/// The desired state of one set that refers to a SafetyPolicy `safe` with this spec.
fn with_safety(spec: &str, safety: &str) -> DesiredState {
    let mut state = desired(vec![set(&spec.replacen('{', "{safety: {policyRef: safe}, ", 1))]);
    let text = format!("{{apiVersion: snapward/v1, kind: SafetyPolicy, metadata: {{name: safe}}, spec: {safety}}}");
    state.safety.insert("default/safe".parse().expect("valid"), document::<SafetyPolicy>(&text));
    state
}

/// A shut off domain `vm` with one qcow2 disk and no snapshot.
fn domain() -> ObservedDomain {
    ObservedDomain {
        uuid: uuid_of("vm"),
        name: "vm".into(),
        state: RunState::ShutOff,
        disks: vec![disk("vda", "qcow2")],
        nvram: Nvram::None,
        tree: SnapshotTree::default(),
        ledger: None,
        ledger_is_current: false,
        image_snapshots: BTreeMap::from([("vda".to_owned(), Vec::new())]),
        files: DomainFiles::default(),
        memory_kib: Some(1024),
        agent: Agent::None,
        revert: None,
        next_sources: BTreeMap::new(),
        fingerprint: "f".into(),
    }
}

fn disk(target: &str, format: &str) -> ObservedDisk {
    ObservedDisk {
        target: target.into(),
        source_type: "file".into(),
        source: Some(format!("/images/{target}.{format}")),
        format: format.into(),
        device: "disk".into(),
        readonly: false,
        snapshot: None,
        backing: None,
    }
}

/// An internal snapshot nobody stamped, captured an hour ago while the domain was off.
fn foreign(text: &str) -> ObservedSnapshot {
    ObservedSnapshot {
        name: name(text),
        parent: None,
        created: NOW - 3600,
        state: "shutoff".into(),
        description: Description::default(),
        memory: Storage::No,
        disks: BTreeMap::from([("vda".to_owned(), Storage::Internal)]).into(),
        files: None,
        definition: None,
        ledger: None,
        digest: [0; 32],
    }
}

/// The same, stamped by a set.
fn owned_by(set: &str, text: &str) -> ObservedSnapshot {
    let stamp = Stamp::new(format!("default/{set}").parse().expect("valid"), name(text));
    ObservedSnapshot { description: Description { stamp: Some(stamp), ..Description::default() }, ..foreign(text) }
}

fn ours(text: &str) -> ObservedSnapshot {
    owned_by("web", text)
}

/// The domain with these snapshots, the last one current, and a ledger that names these.
fn domain_with(present: Vec<ObservedSnapshot>, made: &[&str]) -> ObservedDomain {
    let current = present.last().map(|snapshot| snapshot.name.clone());
    let mut ledger = Ledger::empty(uuid_of("vm"));
    for made in made {
        ledger.record(name(made), LedgerEntry { created: NOW - 3600, released: false });
    }
    let tags = present.iter().map(|snapshot| snapshot.name.to_string()).collect();
    ObservedDomain {
        image_snapshots: BTreeMap::from([("vda".to_owned(), tags)]),
        tree: SnapshotTree::new(present, current),
        ledger: Some(ledger),
        ledger_is_current: true,
        ..domain()
    }
}

fn observed(domains: Vec<ObservedDomain>) -> ObservedState {
    let info = HostInfo {
        name: "kvm-1".into(),
        uri: "qemu:///system".into(),
        hostname: "kvm".to_owned(),
        labels: BTreeMap::new(),
        libvirt_version: 11_003_000,
        external_snapshots: true,
    };
    let domain_names = domains.iter().map(|domain| (domain.name.clone(), domain.uuid)).collect();
    ObservedState {
        hosts: vec![ObservedHost {
            info,
            domain_names,
            domains,
            unreadable: Vec::new(),
            others: Vec::new(),
            others_unreadable: Vec::new(),
        }],
        unreachable: Vec::new(),
    }
}

fn plan_at(desired: &DesiredState, observed: &ObservedState, seconds: i64) -> Plan {
    plan(desired, observed, jiff::Timestamp::from_second(seconds).expect("in range"), PlanSource::default())
}

/// Plans one set against one domain.
fn run(spec: &str, domain: ObservedDomain) -> Plan {
    plan_at(&desired(vec![set(spec)]), &observed(vec![domain]), NOW)
}

/// The actions as `kind name reason`.
fn actions(plan: &Plan) -> Vec<(ActionKind, String, ReasonCode)> {
    let of = |action: &crate::model::plan::Action| {
        let name = action.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
        (action.action, name, action.reason.code)
    };
    plan.actions.iter().map(of).collect()
}

fn blocks(plan: &Plan) -> Vec<(BlockCode, String)> {
    let of = |item: &crate::model::plan::Blocked| {
        (item.code, item.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default())
    };
    plan.blocked.iter().map(of).collect()
}

fn action(kind: ActionKind, name: &str, reason: ReasonCode) -> (ActionKind, String, ReasonCode) {
    (kind, name.to_owned(), reason)
}

fn block(code: BlockCode, name: &str) -> (BlockCode, String) {
    (code, name.to_owned())
}
