//! Which external snapshots libvirt lets go, and in which order: a tree cannot be deleted node by node as one likes.
//!
//! The rules are those of `qemuSnapshotDeleteValidate`: a snapshot in the chain in use goes when it has at most one child,
//! the current one only as a leaf; outside of it a branch shrinks from its tip.

use std::collections::BTreeSet;

use super::{Effect, Fault, Neighbours, Rules, Step, prove, simulate};
use crate::model::names::SnapshotName;
use crate::model::observed::{ObservedDomain, RunState};
use crate::model::plan::BlockCode;
use crate::model::snapshot::{ObservedSnapshot, Storage};
use crate::model::text::some;
use crate::model::tree::SnapshotTree;

/// Why the shape of the tree does not let a snapshot go now; none where it does.
pub(super) fn held(tree: &SnapshotTree, name: &SnapshotName) -> Option<Fault> {
    let children: Vec<_> = tree.children(Some(name)).into_iter().map(|child| &child.name).collect();
    if children.is_empty() {
        return None;
    }
    let is_current = tree.current() == Some(name);
    let in_use = tree.current().is_some_and(|current| tree.is_within(current, name));
    let (text, way_out) = if is_current {
        (
            format!("it is the current snapshot and {} on it", stand(&children)),
            "libvirt deletes a current external snapshot only where nothing stands on it: delete those first, newest first, or \
             capture a new one"
                .to_owned(),
        )
    } else if !in_use {
        let tips = tips(tree, name);
        (
            format!("it lies in a branch that is not in use, and {} on it", stand(&children)),
            format!("libvirt deletes such a branch only from its tip: {} must go first", some(&tips)),
        )
    } else if children.len() > 1 {
        (
            format!("{} on it", stand(&children)),
            "libvirt merges a snapshot only into a single one: delete the branches that are not in use first, the newest of \
             each branch first"
                .to_owned(),
        )
    } else if let Some(dead) = dead_below(tree, name).filter(|dead| !dead.is_empty()) {
        (
            format!("{} further down in branches that are not in use", stand(&dead)),
            "libvirt 11.3 crashes when it merges a snapshot with such a branch anywhere below it \
             (qemuSnapshotDiskHasBackingDisk): delete the branch first, from its tip"
                .to_owned(),
        )
    } else {
        return None;
    };
    Some(Fault::new(BlockCode::TreeHolds, text, way_out))
}

/// Why a snapshot into which a deletion began to merge, and failed before it merged anything, cannot go.
pub(super) fn unfinished(tree: &SnapshotTree, name: &SnapshotName) -> Option<Fault> {
    let files = tree.get(name)?.files.as_deref()?;
    (!files.unfinished.is_empty()).then(|| {
        Fault::new(
            BlockCode::TreeHolds,
            "a deletion that failed was to merge into it, and left libvirt's mark on it (snapshotDeleteInProgress)",
            "delete the snapshot that stands on it first: libvirt takes its mark away then",
        )
    })
}

/// Why nothing can be merged in a domain that may have given its images up; none where it has not. A guest that was paused
/// when its memory was captured, or was reverted to memory and left paused, gets them back when it is resumed. Until then QEMU
/// 10.0 refuses every merge ("Inactive 'libvirt-1-format' can't be a backing child of active"), and libvirt leaves its mark on
/// the snapshot below. Whether the capture was in this pause cannot be seen.
pub(super) fn images_wait(domain: &ObservedDomain) -> Option<Fault> {
    let memory = |snapshot: &&ObservedSnapshot| snapshot.memory == Storage::External;
    let captured = domain.tree.iter().find(memory).filter(|_| domain.state == RunState::Paused)?;
    Some(Fault::new(
        BlockCode::TreeHolds,
        format!(
            "the domain is paused, and the memory of {} was captured: QEMU may have given the images up since, and merges none \
             then",
            captured.name
        ),
        "let it run on (virsh resume), or shut it down after that",
    ))
}

/// The snapshots below one in the chain in use that are not in that chain themselves.
fn dead_below<'t>(tree: &'t SnapshotTree, name: &SnapshotName) -> Option<Vec<&'t SnapshotName>> {
    let current = tree.current()?;
    let dead = |snapshot: &SnapshotName| tree.is_within(snapshot, name) && !tree.is_within(current, snapshot);
    Some(tree.iter().map(|snapshot| &snapshot.name).filter(|snapshot| dead(snapshot)).collect())
}

fn stand(children: &[&SnapshotName]) -> String {
    format!("{} {}", some(children), if children.len() == 1 { "stands" } else { "stand" })
}

/// The leaves below a snapshot.
fn tips<'t>(tree: &'t SnapshotTree, name: &SnapshotName) -> Vec<&'t SnapshotName> {
    let mut stack = tree.children(Some(name));
    let mut tips = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some(at) = stack.pop().filter(|at| seen.insert(&at.name)) {
        let children = tree.children(Some(&at.name));
        if children.is_empty() {
            tips.push(&at.name);
        }
        stack.extend(children);
    }
    tips.sort();
    tips
}

/// The deletions of a domain in an order that libvirt accepts, and what stays.
pub(in crate::plan) struct Arranged {
    /// Each with what it does to files at its turn.
    pub(in crate::plan) order: Vec<(SnapshotName, Effect)>,
    /// Those that cannot go, with what holds them after the others went.
    pub(in crate::plan) held: Vec<(SnapshotName, Fault)>,
    /// The domain afterwards.
    pub(in crate::plan) left: ObservedDomain,
}

/// Orders deletions, each proven on the state that the ones before it leave. Of those that may go, one in `first` goes before
/// any other.
pub(in crate::plan) fn arrange(
    domain: &ObservedDomain,
    neighbours: &Neighbours<'_>,
    rules: Rules,
    wanted: &BTreeSet<SnapshotName>,
    first: &BTreeSet<SnapshotName>,
) -> Arranged {
    let mut now = domain.clone();
    let mut rest = by_cost(domain, wanted);
    rest.sort_by_key(|name| !first.contains(name));
    let mut order = Vec::new();
    loop {
        let proven = |name: &SnapshotName| prove(&now, neighbours, rules, Step::Delete(name)).ok();
        let Some((at, effect)) = rest.iter().enumerate().find_map(|(at, name)| Some((at, proven(name)?))) else {
            break;
        };
        let name = rest.remove(at);
        now = simulate::after_delete(&now, &name, &effect);
        order.push((name, effect));
    }
    let fault = |name: SnapshotName| {
        let fault = prove(&now, neighbours, rules, Step::Delete(&name)).err()?;
        Some((name, fault))
    };
    let held = rest.into_iter().filter_map(fault).collect();
    Arranged { order, held, left: now }
}

/// Dead branches first, tip by tip: that only unlinks files. Then the chain in use from its root: each merge then moves
/// one overlay's data, while from the tip down it would move the same data again and again.
fn by_cost(domain: &ObservedDomain, wanted: &BTreeSet<SnapshotName>) -> Vec<SnapshotName> {
    let tree = &domain.tree;
    let depth = |name: &SnapshotName| {
        let mut depth = 0_usize;
        let mut at = tree.get(name);
        while let Some(parent) = at.and_then(|s| s.parent.as_ref()).filter(|_| depth <= tree.len()) {
            depth += 1;
            at = tree.get(parent);
        }
        depth
    };
    let mut names: Vec<_> = wanted.iter().filter(|name| tree.get(name).is_some()).cloned().collect();
    names.sort_by_cached_key(|name| {
        let in_use = tree.current().is_some_and(|current| tree.is_within(current, name));
        let depth = depth(name);
        (in_use, if in_use { depth } else { usize::MAX - depth }, name.clone())
    });
    names
}
