//! What a domain looks like after a proven step: so that the next one of the same pass is planned on what will be
//! there.

use std::collections::BTreeMap;

use super::{Effect, Repair};
use crate::model::image::{Backing, FileId, Image, ImageState};
use crate::model::kinds::{Capture, DiskLocation};
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedDomain;
use crate::model::snapshot::{KeptDefinition, ObservedSnapshot, SnapshotFiles, Storage};
use crate::model::stamp::Description;
use crate::model::tree::SnapshotTree;

/// The domain after a deletion: children move to the parent, the pointer too, and what was merged has the older name. In the
/// parent's record the overlays of a revert take the place of those of its capture (`qemuSnapshotDeleteUpdateParent`).
pub(super) fn after_delete(domain: &ObservedDomain, name: &SnapshotName, effect: &Effect) -> ObservedDomain {
    let mut after = running_on(domain);
    let parent = domain.tree.get(name).and_then(|gone| gone.parent.clone());
    let gone = domain.tree.get(name).and_then(|gone| gone.files.as_deref());
    // Elsewhere nothing is merged, and no mark of a merge goes.
    let in_use = domain.tree.current().is_some_and(|current| domain.tree.is_within(current, name));
    let mut rest: Vec<_> = domain.tree.iter().filter(|snapshot| snapshot.name != *name).cloned().collect();
    for snapshot in &mut rest {
        if snapshot.parent.as_ref() == Some(name) {
            snapshot.parent.clone_from(&parent);
        }
        if let Some(files) = snapshot.files.as_deref_mut() {
            if parent.as_ref() == Some(&snapshot.name) && !files.revert_overlays.is_empty() {
                files.overlays = std::mem::take(&mut files.revert_overlays);
                files.unfinished.clear();
            }
            for merge in &effect.merges {
                if let Some(base) = files.bases.get_mut(&merge.target).filter(|base| **base == merge.from) {
                    base.clone_from(&merge.into);
                }
            }
            // What an interrupted deletion merged already, and had no time to note.
            for (target, overlay) in gone.iter().flat_map(|gone| &gone.overlays) {
                let below = gone.and_then(|gone| gone.bases.get(target));
                if let Some((base, below)) = files.bases.get_mut(target).filter(|base| *base == overlay).zip(below) {
                    base.clone_from(below);
                }
                if in_use && parent.as_ref() == Some(&snapshot.name) {
                    files.unfinished.remove(target);
                }
            }
        }
    }
    let current = domain.tree.current().filter(|current| *current != name).cloned().or(parent);
    after.tree = SnapshotTree::new(rest, current);
    for merge in &effect.merges {
        for state in after.files.images.values_mut() {
            if let ImageState::Present(image) = state
                && image.backing == Backing::File(merge.from.clone())
            {
                image.backing = Backing::File(merge.into.clone());
            }
        }
        for disk in after.disks.iter_mut().filter(|disk| disk.target == merge.target) {
            if let Some(below) = &mut disk.backing {
                below.retain(|image| *image != merge.from);
            }
            if disk.source.as_ref() == Some(&merge.from) {
                disk.source = Some(merge.into.clone());
                if let Some(below) = &mut disk.backing {
                    below.retain(|image| *image != merge.into);
                }
            }
        }
    }
    for path in &effect.unlinks {
        after.files.images.insert(path.clone(), ImageState::Absent);
    }
    after
}

/// The domain to change. libvirt moves the disks of its next start along where they are those in use: that they are was
/// asked of the domain as it was read.
fn running_on(domain: &ObservedDomain) -> ObservedDomain {
    ObservedDomain { next_sources: BTreeMap::new(), ..domain.clone() }
}

/// The domain after a capture whose files the plan has chosen.
pub(in crate::plan) fn after_create(
    domain: &ObservedDomain,
    name: &SnapshotName,
    capture: &Capture,
    created: i64,
) -> ObservedDomain {
    let mut after = running_on(domain);
    let mut files = SnapshotFiles { memory: capture.memory.as_ref().map(|m| m.file.clone()), ..Default::default() };
    let mut disks = BTreeMap::new();
    for disk in &mut after.disks {
        let Some(source) = disk.source.clone() else { continue };
        files.bases.insert(disk.target.clone(), source.clone());
        let chosen = capture.disks.iter().find(|chosen| chosen.target == disk.target);
        let overlay = chosen.filter(|chosen| chosen.location == Some(DiskLocation::External));
        let Some(overlay) = overlay.and_then(|chosen| chosen.file.clone()) else { continue };
        disks.insert(disk.target.clone(), Storage::External);
        files.overlays.insert(disk.target.clone(), overlay.clone());
        // No file of this machine has this identity yet.
        let id = FileId { device: u64::MAX, inode: after.files.images.len() as u64 };
        let image = Image { id, backing: Backing::File(source.clone()), allocated: 0, empty: true, open: false };
        after.files.images.insert(overlay.clone(), ImageState::Present(image));
        if let Some(below) = &mut disk.backing {
            below.insert(0, source);
        }
        disk.source = Some(overlay);
    }
    let memory = if files.memory.is_some() { Storage::External } else { Storage::No };
    let made = ObservedSnapshot {
        name: name.clone(),
        parent: domain.tree.current().cloned(),
        created,
        state: String::new(),
        description: Description::default(),
        memory,
        disks: disks.into(),
        files: Some(Box::new(files)),
        definition: Some(KeptDefinition { disks: domain.disks.clone(), memory_kib: domain.memory_kib }.into()),
        ledger: None,
        digest: [0; 32],
    };
    after.tree = SnapshotTree::new(domain.tree.iter().cloned().chain([made]), Some(name.clone()));
    after
}

/// The domain after libvirt dropped its record of a snapshot: children move to the parent, the pointer too; no file
/// changes.
pub(in crate::plan) fn after_forget(domain: &ObservedDomain, name: &SnapshotName) -> ObservedDomain {
    after_delete(domain, name, &Effect::default())
}

/// The domain after the record of a snapshot was given to libvirt, a new one or another version of one that is listed.
pub(in crate::plan) fn after_redefine(
    domain: &ObservedDomain,
    record: &ObservedSnapshot,
    current: bool,
) -> ObservedDomain {
    let others = domain.tree.iter().filter(|snapshot| snapshot.name != record.name).cloned();
    let pointer = if current { Some(record.name.clone()) } else { domain.tree.current().cloned() };
    let tree = SnapshotTree::new(others.chain([record.clone()]), pointer);
    ObservedDomain { tree, ..running_on(domain) }
}

/// The domain after a revert: the disks are on new overlays on what the snapshot froze, and the pointer is on it.
pub(super) fn after_revert(domain: &ObservedDomain, name: &SnapshotName, effect: &Effect) -> ObservedDomain {
    let mut after = running_on(domain);
    let target = domain.tree.get(name);
    if let Some(definition) = target.and_then(|target| target.definition.as_deref()) {
        after.disks.clone_from(&definition.disks);
    }
    let mut overlays = BTreeMap::new();
    for disk in &mut after.disks {
        let Some(base) = effect.overlays_on.get(&disk.target) else { continue };
        // libvirt puts the second of the revert in the place of this word.
        let overlay = format!("{}.reverted", super::revert::overlay_stem(base));
        let id = FileId { device: u64::MAX, inode: after.files.images.len() as u64 };
        let image = Image { id, backing: Backing::File(base.clone()), allocated: 0, empty: true, open: false };
        after.files.images.insert(overlay.clone(), ImageState::Present(image));
        overlays.insert(disk.target.clone(), overlay.clone());
        disk.source = Some(overlay);
        disk.backing = None;
    }
    let has_children = !domain.tree.children(Some(name)).is_empty();
    let old = domain.tree.current();
    let snapshots = domain.tree.iter().cloned().map(|mut snapshot| {
        if let Some(files) = snapshot.files.as_deref_mut() {
            if old == Some(&snapshot.name) {
                files.revert_overlays.clear();
            }
            if snapshot.name == *name {
                let place = if has_children { &mut files.revert_overlays } else { &mut files.overlays };
                place.clone_from(&overlays);
            }
        }
        snapshot
    });
    after.tree = SnapshotTree::new(snapshots.collect::<Vec<_>>(), Some(name.clone()));
    for path in &effect.unlinks {
        after.files.images.insert(path.clone(), ImageState::Absent);
    }
    after
}

/// The domain after a repair of its pointer.
pub(in crate::plan) fn after_repair(domain: &ObservedDomain, repair: &Repair) -> ObservedDomain {
    let mut after = running_on(domain);
    let old = domain.tree.current().filter(|old| **old != repair.target);
    let snapshots = domain.tree.iter().cloned().map(|mut snapshot| {
        let moved_off = old == Some(&snapshot.name);
        if let Some(files) = snapshot.files.as_deref_mut() {
            if snapshot.name == repair.target
                && let Some(overlays) = &repair.overlays
            {
                files.revert_overlays.clone_from(overlays);
            }
            if moved_off {
                files.revert_overlays.clear();
            }
        }
        snapshot
    });
    after.tree = SnapshotTree::new(snapshots.collect::<Vec<_>>(), Some(repair.target.clone()));
    after
}
