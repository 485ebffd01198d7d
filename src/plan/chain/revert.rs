//! The proof of a revert: which files libvirt removes and puts new overlays on (`qemuSnapshotRevertExternalPrepare`,
//! `qemuSnapshotRevertExternalFinish`), and that nobody but the state it discards needs them.

use std::collections::BTreeMap;

use super::files::{needed_by_others, no_unknown_overlay_needs, other_domains};
use super::layout::{Chain, Layout, Trust, follow};
use super::{Effect, Fault, Neighbours, Rules, live, simulate};
use crate::model::image::{ImageState, directory, stem};
use crate::model::names::SnapshotName;
use crate::model::observed::{ObservedDisk, ObservedDomain};
use crate::model::plan::BlockCode;
use crate::model::snapshot::{KeptDefinition, ObservedSnapshot, Storage};
use crate::model::text::printable;

/// Proves a revert. What it discards by its nature, the state of the disks since the current snapshot, is not in the way.
pub(super) fn prove(
    domain: &ObservedDomain,
    neighbours: &Neighbours<'_>,
    rules: Rules,
    name: &SnapshotName,
) -> Result<Effect, Fault> {
    let gone = || Fault::new(BlockCode::Missing, "the domain has no snapshot of this name", "name one that it has");
    let target = domain.tree.get(name).ok_or_else(gone)?;
    let external = domain.tree.external().count();
    if external > 0 && external < domain.tree.len() {
        return Err(Fault::new(
            BlockCode::MixedKinds,
            "the domain has internal and external snapshots in one tree; libvirt accepts reverts there that destroy other \
             captures",
            "merge or delete the snapshots of one kind by hand, newest first, after a backup of the images",
        ));
    }
    let Some(definition) = target.definition.as_deref() else {
        return Err(Fault::new(
            BlockCode::NotPossible,
            "libvirt keeps no definition of the domain with it, and reverts to none such",
            "restore the snapshot from XML that has one (definition), or delete it",
        ));
    };
    if external == 0 {
        return internal(domain, neighbours, rules, target, definition);
    }
    let trust = Trust::of(rules);
    Layout::whole(domain, trust)?;
    live::images_are_those_in_use(domain)?;
    let overlays_on = bases(domain, definition, trust)?;
    memory(domain, target, trust)?;
    let unlinks = discarded(domain);
    let effect = Effect { unlinks, overlays_on, ..Effect::default() };
    let removed: Vec<&str> = effect.unlinks.iter().map(String::as_str).collect();
    needed_by_others(domain, &removed, trust)?;
    other_domains(domain, &removed, neighbours, trust)?;
    no_unknown_overlay_needs(domain, &removed)?;
    // A tree that would not be whole afterwards is a trap for the next delete or revert.
    let afterwards = simulate::after_revert(domain, name, &effect);
    match Layout::whole(&afterwards, trust) {
        Ok(_) => Ok(effect),
        Err(fault) => Err(Fault::new(
            BlockCode::TreeHolds,
            format!("libvirt would lose track of the images: afterwards {}", fault.text),
            "delete the snapshots that stand on it first, the newest first",
        )),
    }
}

/// The overlays that libvirt unlinks: those of the current snapshot, a revert's where it has any, else its capture's.
fn discarded(domain: &ObservedDomain) -> Vec<String> {
    let current = domain.tree.current().and_then(|current| domain.tree.get(current));
    let Some(files) = current.and_then(|current| current.files.as_deref()) else { return Vec::new() };
    let overlays = if files.revert_overlays.is_empty() { &files.overlays } else { &files.revert_overlays };
    overlays.values().cloned().collect()
}

/// The image under the new overlay of each disk. libvirt makes one for every drive that is not empty, read-only ones and
/// CD-ROMs included, and only beside files.
fn bases(
    domain: &ObservedDomain,
    definition: &KeptDefinition,
    trust: Trust,
) -> Result<BTreeMap<String, String>, Fault> {
    let mut bases = BTreeMap::new();
    let mut stems: BTreeMap<String, &str> = BTreeMap::new();
    for disk in definition.disks.iter().filter(|disk| !disk.is_empty_drive()) {
        let shown = printable(&disk.target);
        let Some(base) = disk.source.as_ref().filter(|_| disk.source_type == "file") else {
            return Err(Fault::new(
                BlockCode::NotPossible,
                format!(
                    "its disk {shown} is of type {}, and libvirt reverts to an external snapshot where every disk is a file",
                    printable(&disk.source_type)
                ),
                "copy what it froze to another domain's disk (qemu-img convert), or keep the domain as it is",
            ));
        };
        match follow(&domain.files, base) {
            Chain::Known(_) => {}
            Chain::Broken(_, path) => {
                return Err(Fault::new(
                    BlockCode::ChainInconsistent,
                    format!("its disk {shown} needs the image {}, and there is no such file", printable(&path)),
                    "bring the file back from where it was moved, or from a backup",
                ));
            }
            Chain::Cut(_, why) if trust == Trust::Nothing => {
                return Err(Fault::new(
                    BlockCode::ChainUnknown,
                    format!("the image chain of its disk {shown} cannot be read from here: {why}"),
                    "run snapward on the host itself, as a user who may read the images; or, where the metadata is known to be \
                     right, set trustUnreadableChains in the SafetyPolicy",
                ));
            }
            Chain::Cut(..) => {}
        }
        if let Some(other) = stems.insert(overlay_stem(base), &disk.target) {
            return Err(Fault::new(
                BlockCode::NotPossible,
                format!(
                    "libvirt would give its disks {} and {shown} new overlays of one name: their images differ in the last \
                     suffix alone",
                    printable(other)
                ),
                "give one of the images another name, in a domain without snapshots",
            ));
        }
        bases.insert(disk.target.clone(), base.clone());
    }
    Ok(bases)
}

/// What libvirt's path for the overlay on an image begins with; a dot and the second of the revert follow.
pub fn overlay_stem(base: &str) -> String {
    format!("{}/{}", directory(base).trim_end_matches('/'), stem(base))
}

fn memory(domain: &ObservedDomain, target: &ObservedSnapshot, trust: Trust) -> Result<(), Fault> {
    let Some(path) = target.files.as_deref().and_then(|files| files.memory.as_deref()) else { return Ok(()) };
    match domain.files.image(path) {
        ImageState::Present(_) => Ok(()),
        ImageState::Absent => Err(Fault::new(
            BlockCode::ChainInconsistent,
            format!(
                "its memory image {} is gone; libvirt finds out only after it has stopped the domain",
                printable(path)
            ),
            "bring the file back from a backup. Its disks can still be read: qemu-img convert copies what they froze",
        )),
        ImageState::Unknown(why) if trust == Trust::Nothing => Err(Fault::new(
            BlockCode::ChainUnknown,
            format!("its memory image {} cannot be read from here ({why})", printable(path)),
            "run snapward on the host itself, as a user who may read the images; or set trustUnreadableChains in the \
             SafetyPolicy",
        )),
        ImageState::Unknown(_) => Ok(()),
    }
}

/// An internal revert writes into the images the snapshot was taken of. They must hold it, be what the disks are on, and
/// be under nobody else's, nor under an overlay that nobody knows.
fn internal(
    domain: &ObservedDomain,
    neighbours: &Neighbours<'_>,
    rules: Rules,
    target: &ObservedSnapshot,
    definition: &KeptDefinition,
) -> Result<Effect, Fault> {
    let held = |disk: &&ObservedDisk| target.disks.get(&disk.target) == Some(&Storage::Internal);
    let mut written = Vec::new();
    for then in definition.disks.iter().filter(held) {
        let shown = printable(&then.target);
        let now = domain.disks.iter().find(|disk| disk.target == then.target);
        let here = now.and_then(|disk| disk.source.as_deref()).zip(then.source.as_deref());
        // Where the disk is gone from the domain its image is what it was.
        if let Some((now, then)) = here
            && !domain.files.same(now, then)
        {
            return Err(Fault::new(
                BlockCode::ChainInconsistent,
                format!(
                    "disk {shown} is on {} and was on {} when it was captured; a revert writes into the older image, whatever \
                     stands on it",
                    printable(now),
                    printable(then)
                ),
                "bring the disk back to the image it had (virsh blockcommit merges an overlay), or keep the domain as it is",
            ));
        }
        // With the domain running QEMU may have it open all the same; it is stopped before libvirt finds out.
        if let Some(Chain::Broken(_, path)) = then.source.as_deref().map(|source| follow(&domain.files, source)) {
            return Err(Fault::new(
                BlockCode::ChainInconsistent,
                format!("its disk {shown} needs the image {}, and there is no such file", printable(&path)),
                live::bring_back(domain),
            ));
        }
        let tags = domain.image_snapshots.get(&then.target);
        if tags.is_some_and(|tags| !tags.iter().any(|tag| tag == target.name.as_str())) {
            return Err(Fault::new(
                BlockCode::NotPossible,
                format!("the image of disk {shown} holds no internal snapshot of this name; only libvirt's list does"),
                "bring the image that holds it back from a backup, or delete the snapshot",
            ));
        }
        written.extend(then.source.as_deref());
    }
    other_domains(domain, &written, neighbours, Trust::of(rules))?;
    no_unknown_overlay_needs(domain, &written)?;
    Ok(Effect::default())
}
