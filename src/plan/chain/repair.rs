//! Safe repairs of a current pointer that is not where the disks are, or has lost its revert overlays.
//!
//! Both are metadata alone, and both are proven: with the repair made, the whole tree must agree with the chains.

use std::collections::BTreeMap;

use super::layout::{Layout, Trust, chain_of, follow};
use super::{Effect, Fault, Rules, live, simulate};
use crate::model::image::{directory, file_name, stem};
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedDomain;
use crate::model::plan::BlockCode;
use crate::model::snapshot::ObservedSnapshot;
use crate::model::text::printable;

/// A repair that makes a domain whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) struct Repair {
    /// The snapshot on whose overlays the disks are.
    pub(in crate::plan) target: SnapshotName,
    /// Whether the pointer has to move there.
    pub(in crate::plan) moves_pointer: bool,
    /// The revert overlays that have to be written into it first, by disk target.
    pub(in crate::plan) overlays: Option<BTreeMap<String, String>>,
}

/// The repair of a domain that is not whole, where exactly one is proven. A running domain that is elsewhere than libvirt
/// thinks has none: with the pointer right that would not be seen any more.
pub(in crate::plan) fn find(domain: &ObservedDomain, rules: Rules) -> Option<Repair> {
    live::agrees(domain).ok()?;
    let candidates = domain.tree.iter().filter_map(|snapshot| candidate(domain, snapshot));
    let mut proven = candidates.filter(|repair| {
        let old_ones_unused =
            !repair.moves_pointer || unused_overlays(domain, domain.tree.current(), &repair.target).is_ok();
        old_ones_unused && Layout::whole(&simulate::after_repair(domain, repair), Trust::of(rules)).is_ok()
    });
    let repair = proven.next()?;
    proven.next().is_none().then_some(repair)
}

/// What would have to be done for the pointer to be right on this snapshot.
fn candidate(domain: &ObservedDomain, snapshot: &ObservedSnapshot) -> Option<Repair> {
    let files = snapshot.files.as_deref()?;
    let active = |target: &String| domain.disks.iter().find(|disk| disk.target == *target)?.source.clone();
    let moves_pointer = domain.tree.current() != Some(&snapshot.name);
    let on_overlay =
        |target: &String| files.overlay(target).zip(active(target)).is_some_and(|(a, b)| domain.files.same(a, &b));
    if files.overlays.keys().all(on_overlay) {
        return moves_pointer.then(|| Repair { target: snapshot.name.clone(), moves_pointer, overlays: None });
    }
    // A revert made the active images, and its note of them is lost: they stand on what this snapshot froze, have the name
    // that libvirt gives them, and no other snapshot knows them. An image of another name is somebody's own: noted as a
    // revert's, libvirt would remove it at the next one.
    let mut overlays = BTreeMap::new();
    for target in files.overlays.keys() {
        let disk = domain.disks.iter().find(|disk| disk.target == *target)?;
        let chain = chain_of(&domain.files, disk)?;
        let [top, below, ..] = chain.images() else { return None };
        let base = files.bases.get(target)?;
        if !domain.files.same(below, base) || !is_named_by_a_revert(top, base) || is_named(domain, top) {
            return None;
        }
        overlays.insert(target.clone(), top.clone());
    }
    Some(Repair { target: snapshot.name.clone(), moves_pointer, overlays: Some(overlays) })
}

/// Whether a path is what a revert names the overlay of an image: its last suffix replaced by the second of the revert.
pub(super) fn is_named_by_a_revert(overlay: &str, base: &str) -> bool {
    let epoch = file_name(overlay).strip_prefix(stem(base)).and_then(|rest| rest.strip_prefix('.'));
    directory(overlay) == directory(base)
        && epoch.is_some_and(|epoch| !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a snapshot names the file as its overlay or as what it froze.
fn is_named(domain: &ObservedDomain, path: &str) -> bool {
    domain.tree.iter().filter_map(|snapshot| snapshot.files.as_deref()).any(|files| {
        let named = files.overlays.values().chain(files.bases.values()).chain(files.revert_overlays.values());
        named.into_iter().any(|other| domain.files.same(other, path))
    })
}

/// A pointer that moves away makes libvirt forget the revert overlays of the snapshot it was on: nothing may need them.
fn unused_overlays(domain: &ObservedDomain, old: Option<&SnapshotName>, new: &SnapshotName) -> Result<(), Fault> {
    let old = old.filter(|old| *old != new).and_then(|old| domain.tree.get(old));
    let Some(files) = old.and_then(|old| old.files.as_deref()) else { return Ok(()) };
    for overlay in files.revert_overlays.values() {
        let on_disk = domain.disks.iter().filter_map(|disk| chain_of(&domain.files, disk));
        let frozen = domain.tree.iter().filter_map(|s| s.files.as_deref()).flat_map(|files| files.bases.values());
        let chains = on_disk.chain(frozen.map(|base| follow(&domain.files, base)));
        if chains.into_iter().any(|chain| chain.images().iter().any(|image| domain.files.same(image, overlay))) {
            return Err(unsafe_pointer(format!(
                "moving the pointer would make libvirt forget {}, which is in use",
                printable(overlay)
            )));
        }
    }
    Ok(())
}

fn unsafe_pointer(text: String) -> Fault {
    Fault::new(
        BlockCode::CurrentUnsafe,
        text,
        "leave the pointer where it is: in a tree with external snapshots it moves with captures and reverts only",
    )
}

/// Proves that the pointer may go to a snapshot: only as the repair of one that is wrong.
pub(super) fn prove_pointer(domain: &ObservedDomain, rules: Rules, name: &SnapshotName) -> Result<Effect, Fault> {
    if domain.tree.current() == Some(name) {
        return Err(unsafe_pointer(
            "it is the current snapshot already, and setting it again would make libvirt forget its revert overlays"
                .to_owned(),
        ));
    }
    live::agrees(domain)?;
    unused_overlays(domain, domain.tree.current(), name)?;
    let repair = Repair { target: name.clone(), moves_pointer: true, overlays: None };
    match Layout::whole(&simulate::after_repair(domain, &repair), Trust::of(rules)) {
        Ok(_) => Ok(Effect::default()),
        Err(fault) => Err(unsafe_pointer(format!(
            "the disks are not on this snapshot's overlays: with the pointer there, {}",
            fault.text
        ))),
    }
}

/// Proves that a snapshot may be given these revert overlays: they are the active images, stand on what it froze, and
/// no other snapshot knows them.
pub(super) fn prove_overlays(
    domain: &ObservedDomain,
    name: &SnapshotName,
    overlays: &BTreeMap<String, String>,
) -> Result<Effect, Fault> {
    live::agrees(domain)?;
    let found = domain.tree.get(name).and_then(|snapshot| candidate(domain, snapshot));
    match found.and_then(|repair| repair.overlays) {
        Some(wanted) if wanted == *overlays => Ok(Effect::default()),
        _ => Err(Fault::new(
            BlockCode::ChainInconsistent,
            format!("the disks are no longer on overlays that a revert to {name} made"),
            "plan again",
        )),
    }
}
