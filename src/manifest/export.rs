//! The manifest of what a domain has now: every snapshot with `adopt: true` and the XML to restore it from.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::kinds::{Content, CreateMode, Location};
use crate::model::names::{SnapshotName, is_resource_name};
use crate::model::observed::ObservedDomain;
use crate::model::snapshot::ObservedSnapshot;

/// A name in a folder for what has this name in libvirt, which allows no `/`: directories are read without dot-files.
pub fn file_name(name: &str) -> String {
    if name.starts_with('.') { format!("_{name}") } else { name.to_owned() }
}

/// A SnapshotSet with no more fields than an export needs, in the order of the reference.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Set<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: BTreeMap<&'a str, String>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Spec<'a> {
    domains: BTreeMap<&'a str, Vec<String>>,
    snapshots: Vec<Declared<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holds: Vec<Hold<'a>>,
}

#[derive(Serialize)]
struct Declared<'a> {
    name: &'a str,
    capture: Captured,
    /// What is gone from the images is not to be captured anew under an old name.
    create: CreateMode,
    adopt: bool,
    definition: String,
}

#[derive(Serialize)]
struct Captured {
    content: Content,
    location: Location,
}

#[derive(Serialize)]
struct Hold<'a> {
    snapshot: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<&'a str>,
}

/// The manifest of a domain's snapshots, parents first. Their XML is expected in `FOLDER/SNAPSHOT.xml` beside it, the folder
/// named by [`file_name`] of the domain's name.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn manifest(domain: &ObservedDomain, now: jiff::Timestamp) -> Result<String, serde_yaml::Error> {
    let folder = file_name(&domain.name);
    let order = parents_first(domain);
    let spec = Spec {
        domains: BTreeMap::from([("include", vec![format!("uuid:{}", domain.uuid)])]),
        snapshots: order.iter().map(|snapshot| declared(snapshot, &folder)).collect(),
        current: domain.tree.current().map(SnapshotName::as_str),
        holds: order.iter().filter_map(|snapshot| hold(snapshot, now)).collect(),
    };
    let metadata = BTreeMap::from([("name", set_name(domain))]);
    serde_yaml::to_string(&Set { api_version: "snapward/v1", kind: "SnapshotSet", metadata, spec })
}

fn declared<'a>(snapshot: &'a ObservedSnapshot, folder: &str) -> Declared<'a> {
    let location = if snapshot.is_external() { Location::External } else { Location::Internal };
    Declared {
        name: snapshot.name.as_str(),
        capture: Captured { content: snapshot.content().unwrap_or(Content::Full), location },
        create: CreateMode::Never,
        adopt: true,
        definition: format!("{folder}/{}.xml", snapshot.name),
    }
}

/// A manifest's hold goes with the manifest; the one that is exported must say it again.
fn hold(snapshot: &ObservedSnapshot, now: jiff::Timestamp) -> Option<Hold<'_>> {
    let hold = snapshot.own_stamp()?.hold.as_ref().filter(|hold| hold.lasts(now))?;
    Some(Hold { snapshot: snapshot.name.as_str(), reason: &hold.reason, until: hold.until.as_deref() })
}

/// `exported-web-1`, or by the UUID where the domain's name has what a manifest's may not.
fn set_name(domain: &ObservedDomain) -> String {
    let by_name = format!("exported-{}", domain.name);
    if is_resource_name(&by_name) { by_name } else { format!("exported-{}", domain.uuid) }
}

fn parents_first(domain: &ObservedDomain) -> Vec<&ObservedSnapshot> {
    let mut order = domain.tree.children(None);
    let mut at = 0;
    while let Some(snapshot) = order.get(at).copied() {
        order.extend(domain.tree.children(Some(&snapshot.name)));
        at += 1;
    }
    order
}
