//! A saved plan: the JSON form of a plan with what apply needs beside it, guarded by a checksum. Also its text form, both
//! ways; pure.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::ledger::{Ledger, LedgerEntry};
use super::names::{DomainUuid, SnapshotName};
use super::observed::HostInfo;
use super::plan::{Address, FORMAT_VERSION, HeldBack, Plan};
use super::revert::{RevertNote, add_note};
use super::text::{hex, printable};

/// A plan as a file holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SavedPlan {
    /// The version of this form.
    pub format_version: u32,
    /// SHA-256, in hex, over the rest of the document as compact JSON with sorted keys. It shows a file that was cut short
    /// or edited by hand; it is no signature.
    pub checksum: String,
    /// The plan, in the form that `plan -o json` prints.
    pub plan: Plan,
    /// The hosts it is about.
    pub hosts: Vec<SavedHost>,
    /// What apply needs of each domain of the plan, in the same order.
    pub domains: Vec<SavedDomain>,
    /// The files that snapshots are restored from. They are read again by apply: saved XML can hold secrets.
    pub definitions: Vec<SavedDefinition>,
    /// The deletions that the plan lists as blocked with `TooManyDeletes`.
    pub held_back: Vec<HeldBack>,
}

/// A host of a saved plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedHost {
    /// The name used in the plan.
    pub name: String,
    /// The URI it was read through.
    pub uri: String,
    /// The name libvirt reported; a host of another name is refused.
    pub hostname: String,
}

/// What apply needs of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedDomain {
    /// The domain's UUID.
    pub uuid: DomainUuid,
    /// The snapshots that its sets want to exist.
    pub declared: BTreeSet<SnapshotName>,
    /// Of the snapshots to capture again: libvirt's creationTime of what was lost, UTC epoch seconds.
    pub lost: BTreeMap<SnapshotName, i64>,
    /// Whether its SafetyPolicies trust image chains that cannot be read.
    pub trust_unreadable_chains: bool,
    /// When the window closes in which it deletes or reverts, RFC 3339, UTC; none where no window restricts that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_closes: Option<String>,
    /// The ledger to write first, where a copy of it lacks something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Vec<SavedEntry>>,
    /// The reverts noted in that ledger.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reverts: Vec<String>,
}

/// One entry of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedEntry {
    /// The snapshot's name, as the ledger has it.
    pub snapshot: String,
    /// libvirt's creationTime of the capture, UTC epoch seconds.
    pub created: i64,
    /// Whether snapward itself deleted it because a manifest said `state: absent`.
    pub released: bool,
}

/// A file that a snapshot is restored from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedDefinition {
    /// The snapshot.
    pub address: Address,
    /// The file, as it is reached from the working directory of `plan`.
    pub path: String,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
}

/// Why a text is not a saved plan that can be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedPlanError {
    /// Not even JSON.
    #[error("is not JSON ({})", printable(&.0.to_string()))]
    NotJson(serde_json::Error),
    /// What `plan -o json` prints.
    #[error("is the output of `plan -o json`, which holds less than apply needs")]
    Output,
    /// JSON of another kind.
    #[error("is not a saved plan")]
    Other,
    /// A form that this version does not know.
    #[error("has the format version {}, and this version of snapward reads {FORMAT_VERSION}", printable(.0))]
    Version(String),
    /// Changed after it was written.
    #[error("was changed after it was written: its checksum does not fit")]
    Changed,
    /// Whole, and yet not of this form.
    #[error("was written by a version of snapward that this one does not understand ({})", printable(&.0.to_string()))]
    Foreign(serde_json::Error),
}

impl SavedPlan {
    /// The form in which a plan is saved.
    ///
    /// # Errors
    /// Never for the models of this crate: their maps have text keys.
    pub fn new<'a>(plan: Plan, hosts: impl Iterator<Item = &'a HostInfo>) -> serde_json::Result<Self> {
        let definition = |action: &super::plan::Action| {
            let definition = action.definition.as_ref()?;
            let (address, path) = (action.address.clone(), definition.path.to_string());
            Some(SavedDefinition { address, path, sha256: sha256(definition.xml.as_bytes()) })
        };
        let mut saved = Self {
            format_version: FORMAT_VERSION,
            checksum: String::new(),
            hosts: hosts
                .map(|host| SavedHost {
                    name: host.name.clone(),
                    uri: host.uri.clone(),
                    hostname: host.hostname.clone(),
                })
                .collect(),
            domains: plan
                .domains
                .iter()
                .map(|domain| SavedDomain {
                    uuid: domain.uuid,
                    declared: (*domain.declared).clone(),
                    lost: domain.lost.clone(),
                    trust_unreadable_chains: domain.trust_unreadable_chains,
                    window_closes: domain.window_closes.map(|end| end.to_string()),
                    ledger: domain.ledger.as_ref().map(entries),
                    reverts: domain.ledger.iter().flat_map(|l| &l.reverts).map(ToString::to_string).collect(),
                })
                .collect(),
            definitions: plan.actions.iter().filter_map(definition).collect(),
            held_back: plan.held_back.clone(),
            plan,
        };
        let mut value = serde_json::to_value(&saved)?;
        saved.checksum = checksum(&mut value);
        Ok(saved)
    }

    /// Reads a saved plan. The definitions are not part of its actions yet.
    ///
    /// # Errors
    /// When it is something else, was changed since, or has a form this version does not know.
    pub fn parse(text: &[u8]) -> Result<Self, SavedPlanError> {
        let mut value: Value = serde_json::from_slice(text).map_err(SavedPlanError::NotJson)?;
        let Some(version) = value.get("formatVersion").cloned() else { return Err(SavedPlanError::Other) };
        if value.get("planId").is_some() {
            return Err(SavedPlanError::Output);
        }
        let Some(Value::String(noted)) = value.get("checksum").cloned() else { return Err(SavedPlanError::Other) };
        if version != FORMAT_VERSION {
            return Err(SavedPlanError::Version(version.to_string()));
        }
        if checksum(&mut value) != noted {
            return Err(SavedPlanError::Changed);
        }
        if let Some(document) = value.as_object_mut() {
            document.insert("checksum".to_owned(), Value::String(noted));
        }
        let mut saved: Self = serde_json::from_value(value).map_err(SavedPlanError::Foreign)?;
        saved.plan.held_back.clone_from(&saved.held_back);
        if saved.domains.len() != saved.plan.domains.len() {
            return Err(SavedPlanError::Other);
        }
        for (planned, domain) in saved.plan.domains.iter_mut().zip(&saved.domains) {
            if domain.uuid != planned.uuid {
                return Err(SavedPlanError::Other);
            }
            planned.declared = domain.declared.clone().into();
            planned.lost.clone_from(&domain.lost);
            planned.trust_unreadable_chains = domain.trust_unreadable_chains;
            let closes = domain.window_closes.as_ref().map(|end| end.parse().map_err(|_| SavedPlanError::Other));
            planned.window_closes = closes.transpose()?;
            planned.ledger = domain.ledger.as_deref().map(|entries| ledger(domain, entries));
        }
        Ok(saved)
    }
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The checksum over all but itself, which is taken out of the value. Parsing and printing again makes it independent of
/// spaces and line ends, which a tool on the way may have changed.
fn checksum(value: &mut Value) -> String {
    if let Some(document) = value.as_object_mut() {
        document.remove("checksum");
    }
    sha256(value.to_string().as_bytes())
}

fn entries(ledger: &Ledger) -> Vec<SavedEntry> {
    let entry = |(name, entry): (&SnapshotName, &LedgerEntry)| SavedEntry {
        snapshot: name.as_str().to_owned(),
        created: entry.created,
        released: entry.released,
    };
    ledger.made.iter().map(entry).collect()
}

fn ledger(domain: &SavedDomain, entries: &[SavedEntry]) -> Ledger {
    let mut ledger = Ledger::empty(domain.uuid);
    for note in domain.reverts.iter().filter_map(|note| RevertNote::parse(note)) {
        add_note(&mut ledger.reverts, note);
    }
    for entry in entries {
        let noted = LedgerEntry { created: entry.created, released: entry.released };
        ledger.record(SnapshotName::observed(&entry.snapshot), noted);
    }
    ledger
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::desired::Definition;
    use crate::report::{json, samples};

    fn host(name: &str, uri: &str) -> HostInfo {
        HostInfo {
            name: name.to_owned(),
            uri: uri.to_owned(),
            hostname: "kvm-017.example".to_owned(),
            labels: BTreeMap::new(),
            libvirt_version: 11_003_000,
            external_snapshots: true,
        }
    }

    #[test]
    fn every_plan_comes_back_as_it_was_saved() {
        for (name, mut plan) in samples::plans() {
            for domain in &mut plan.domains {
                domain.declared.insert(SnapshotName::observed("a"));
                domain.lost.insert(SnapshotName::observed("b"), 1_600_000_000);
                domain.window_closes = Some(jiff::Timestamp::UNIX_EPOCH);
                let mut ledger = Ledger::empty(domain.uuid);
                ledger.record(SnapshotName::observed("a"), LedgerEntry { created: 7, released: false });
                ledger.record(SnapshotName::observed("\u{1b}odd/.."), LedgerEntry { created: -1, released: true });
                ledger.reverts.extend(RevertNote::parse("ci/r/t; done; 2026-11-23T04:00:00Z"));
                domain.ledger = Some(ledger);
            }
            let held = plan.actions.first().cloned();
            plan.held_back.extend(held.map(|action| HeldBack { before: 3, action }));
            let saved = SavedPlan::new(plan.clone(), [host("kvm-017", "qemu:///system")].iter()).expect("plain values");
            let text = json::pretty(&saved).expect("plain values");
            let read = SavedPlan::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(read.plan, plan, "{name}");
            assert_eq!((read.hosts, read.checksum), (saved.hosts, saved.checksum), "{name}");
        }
    }

    #[test]
    fn saved_xml_is_named_by_its_path_and_hash_and_not_kept() {
        let mut plan = samples::create();
        plan.actions[0].definition =
            Some(Definition { path: "xml/a.xml".into(), xml: "<passwd>s3cret</passwd>".into() });
        let saved = SavedPlan::new(plan.clone(), std::iter::empty()).expect("plain values");
        let text = json::pretty(&saved).expect("plain values");
        assert!(!text.contains("s3cret"), "{text}");
        let read = SavedPlan::parse(text.as_bytes()).expect("whole");
        assert_eq!(read.plan.actions[0].definition, None, "read again by whoever applies it");
        assert_eq!(
            (read.definitions[0].path.as_str(), &read.definitions[0].address),
            ("xml/a.xml", &plan.actions[0].address)
        );
        assert_eq!(read.definitions[0].sha256, sha256(b"<passwd>s3cret</passwd>"));
    }

    #[test]
    fn any_change_of_any_value_is_seen() {
        let saved = SavedPlan::new(samples::delete(), std::iter::empty()).expect("plain values");
        let text = json::pretty(&saved).expect("plain values");
        for (from, to) in
            [("web-1", "web-2"), ("\"line\": ", "\"line\": 1"), ("\"heldBack\": []", "\"heldBack\": null")]
        {
            let edited = text.replacen(from, to, 1);
            assert_ne!(edited, text, "{from}");
            assert!(matches!(SavedPlan::parse(edited.as_bytes()), Err(SavedPlanError::Changed)), "{from}");
        }
        let compact = serde_json::to_string(&saved).expect("plain values");
        assert!(SavedPlan::parse(compact.as_bytes()).is_ok(), "spaces are not values");
    }
}
