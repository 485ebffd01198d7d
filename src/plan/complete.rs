//! Which snapshots are complete: what they captured can be read whole, and is of the consistency their series asks for.
//!
//! Only what is seen to be broken counts as that. What cannot be looked at from here is as good as libvirt's word for it.

use std::collections::{BTreeMap, BTreeSet};

use super::capture::moved_disks;
use super::chain;
use super::domain::own_stamp;
use super::series::SeriesClaim;
use crate::model::image::ImageState;
use crate::model::kinds::Consistency;
use crate::model::observed::ObservedDomain;
use crate::model::snapshot::{ObservedSnapshot, Storage};
use crate::model::stamp::ConsistencyReached;

/// What a domain's images say of its snapshots.
pub(super) struct Wholeness<'a> {
    domain: &'a ObservedDomain,
    /// The internal snapshots in each image that was read, by disk target.
    tags: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// The frozen images that an interrupted deletion wrote into, each with its disk target.
    half_merged: Vec<(&'a str, &'a str)>,
}

impl<'a> Wholeness<'a> {
    pub(super) fn of(domain: &'a ObservedDomain) -> Self {
        let of_image = |(target, tags): (&'a String, &'a Vec<String>)| {
            (target.as_str(), tags.iter().map(String::as_str).collect())
        };
        // libvirt marks the parent, whose overlay is what the deleted snapshot froze and is merged into
        // (qemuSnapshotSetInvalid).
        let marked = |files: &'a crate::model::snapshot::SnapshotFiles| {
            files.unfinished.iter().filter_map(|target| Some((target.as_str(), files.overlay(target)?)))
        };
        Self {
            domain,
            tags: domain.image_snapshots.iter().map(of_image).collect(),
            half_merged: domain.tree.iter().filter_map(|s| s.files.as_deref()).flat_map(marked).collect(),
        }
    }

    /// Whether nothing is seen to be missing of what a snapshot captured.
    pub(super) fn is_whole(&self, snapshot: &ObservedSnapshot) -> bool {
        let name = snapshot.name.as_str();
        let lacks_tag = |(target, storage): (&String, &Storage)| {
            *storage == Storage::Internal
                && self.tags.get(target.as_str()).is_some_and(|tags| !tags.contains(name))
                // Of the image of its time, where another was read, nothing is known.
                && !moved_disks(self.domain, snapshot).any(|(moved, ..)| moved == target)
        };
        if snapshot.disks.iter().any(lacks_tag) {
            return false;
        }
        let Some(files) = snapshot.files.as_deref() else { return true };
        let images = &self.domain.files;
        // libvirt reverts to none that carries the mark (qemuSnapshotRevertValidate).
        let begun = !files.unfinished.is_empty();
        let no_memory = files.memory.as_deref().is_some_and(|path| images.image(path) == ImageState::Absent);
        let spoilt = |target: &String| {
            let Some(base) = files.bases.get(target) else { return false };
            let merged = |(disk, path): &(&str, &str)| disk == target && images.same(base, path);
            chain::is_broken(images, base) || self.half_merged.iter().any(merged)
        };
        !begun && !no_memory && !files.overlays.keys().any(spoilt)
    }
}

/// Whether a capture reached the consistency that its series asks for. Of one that was taken over nothing is known: it is
/// as good as a power cut.
pub(super) fn is_consistent(claim: &SeriesClaim<'_>, snapshot: &ObservedSnapshot) -> bool {
    let wanted = claim.series.capture.map(|capture| capture.consistency).unwrap_or_default();
    let reached = own_stamp(snapshot).and_then(|stamp| stamp.consistency).unwrap_or(ConsistencyReached::Crash);
    wanted != Consistency::Filesystem || reached != ConsistencyReached::Crash
}
