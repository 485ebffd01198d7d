//! Room for the captures of a pass: whether the filesystems of their images have the free space that must remain.

use std::collections::BTreeSet;

use super::captures::captures_of;
use super::claims::Claim;
use super::domain::{Planner, is_about};
use super::series::SeriesClaim;
use crate::model::image::directory;
use crate::model::kinds::{Capture, Location, SafetySpec};
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedDomain;
use crate::model::plan::BlockCode;
use crate::model::text::printable;

/// The first directory of the captures with too little free space: path and percent.
pub(super) fn full_filesystem<'c>(
    domain: &'c ObservedDomain,
    limits: &SafetySpec,
    captures: impl IntoIterator<Item = &'c Capture>,
) -> Option<(String, u64)> {
    captures.into_iter().flat_map(|capture| written(domain, capture)).find_map(|file| {
        let space = domain.files.space.get(directory(file)).filter(|space| space.total > 0)?;
        let percent = u64::try_from(u128::from(space.free) * 100 / u128::from(space.total)).unwrap_or(100);
        (percent < u64::from(limits.free_space.min_percent.0)).then(|| (directory(file).to_owned(), percent))
    })
}

/// The files that a capture makes; an internal one grows the images that are there.
fn written<'c>(domain: &'c ObservedDomain, capture: &'c Capture) -> Vec<&'c str> {
    if capture.location == Location::Internal {
        let disks = domain.disks.iter().filter(|disk| disk.source_type == "file" && !disk.readonly);
        return disks.filter_map(|disk| disk.source.as_deref()).collect();
    }
    let disks = capture.disks.iter().filter_map(|disk| disk.file.as_deref());
    disks.chain(capture.memory.iter().map(|memory| memory.file.as_str())).collect()
}

impl<'a> Planner<'a> {
    /// The first directory of this pass's captures with too little free space: path and percent.
    pub(super) fn full_filesystem(&self) -> Option<(String, u64)> {
        full_filesystem(self.domain, &self.limits, captures_of(&self.creates))
    }

    /// What is said of captures that wait for space.
    pub(super) fn no_space(&self, (directory, percent): &(String, u64)) -> (String, &'static str) {
        let text = format!(
            "the filesystem of {} has {percent} % free, and the SafetyPolicy wants {} % to remain; nothing was captured",
            printable(directory),
            self.limits.free_space.min_percent.0
        );
        (text, "make room, or lower freeSpace.minPercent")
    }

    /// Holds back internal captures for which there is no space. What is deleted in the same pass frees clusters inside of
    /// the images and may free none on the filesystem, so the next pass sees whether it helped.
    pub(super) fn hold_back_internal(&mut self) {
        let Some(full) = self.full_filesystem().filter(|_| !self.is_external()) else { return };
        let mut held = BTreeSet::new();
        for action in std::mem::take(&mut self.creates) {
            let (text, way_out) = self.no_space(&full);
            self.block(action.address.snapshot.as_ref(), BlockCode::NoSpace, text, way_out, vec![action.origin]);
            held.extend(action.address.snapshot);
        }
        // What is there takes no space to be placed; but one was allowed for what those before it make of the tree.
        for action in std::mem::take(&mut self.placements) {
            let parent = action.after.as_ref().and_then(|after| after.parent.as_deref()).map(SnapshotName::observed);
            let (Some(name), Some(parent)) = (&action.address.snapshot, parent) else { continue };
            if !held.contains(name) && !held.contains(&parent) && !self.will_hang_below(&parent, name) {
                self.placements.push(action);
            }
        }
        self.slot_ends.clear();
        self.pointer = self.domain.tree.current().cloned();
    }

    /// Where there is no room for the captures of this pass, decides whether retention may count on them. What goes without
    /// them may make room. Else what the new ones supersede may, but neither the current snapshot nor the last complete
    /// ones, since a capture may fail. Where that is not enough, nothing goes for the sake of what is not captured.
    pub(super) fn find_room(&mut self, series: &mut [SeriesClaim<'a>], declared: &[Claim<'_>]) {
        let is_planned = |name| self.creates.iter().any(|action| is_about(action, name));
        let mut owed = series.iter().filter_map(|claim| claim.created.as_ref());
        let held_back = !owed.all(|(_, name)| is_planned(name));
        if self.has_room() && !held_back {
            return;
        }
        let created: Vec<_> = series.iter_mut().map(|claim| claim.created.take()).collect();
        self.pointer = self.as_it_was().tree.current().cloned();
        let declared: BTreeSet<&SnapshotName> = declared.iter().map(|claim| &claim.snapshot.name).collect();
        if held_back || self.deletions_make_room(&self.to_go(series, &declared)) {
            return;
        }
        self.captures_are_sure = false;
        series.iter_mut().zip(created).for_each(|(claim, created)| claim.created = created);
        if !self.deletions_make_room(&self.to_go(series, &declared)) {
            series.iter_mut().for_each(|claim| claim.created = None);
        }
    }

    /// What is to be deleted by its declaration, or by retention as things stand.
    fn to_go(&self, series: &[SeriesClaim<'a>], declared: &BTreeSet<&SnapshotName>) -> BTreeSet<SnapshotName> {
        let pruned = series.iter().filter(|claim| claim.is_active() && claim.series.prune && !claim.adopts());
        let losers = pruned.filter_map(|claim| self.decide(claim, declared)).flat_map(|retained| {
            let decided = retained.candidates.into_iter().zip(retained.decisions);
            decided.filter(|(_, decision)| !decision.keep).map(|(candidate, _)| candidate.name).collect::<Vec<_>>()
        });
        losers.chain(self.deletes.iter().filter_map(|action| action.address.snapshot.clone())).collect()
    }
}
