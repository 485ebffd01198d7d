//! Ordered deletions: all of what is named, in an order that libvirt accepts, or nothing.

use std::collections::BTreeSet;

use super::super::abilities::{EXTERNAL, version};
use super::super::capture;
use super::super::chain::{self, Layout, Rules, Trust};
use super::super::declared::{self, metadata_only};
use super::super::external::files_view;
use super::super::kinds;
use super::{Refusal, Scene, ordered, origin};
use crate::model::act::Act;
use crate::model::names::SnapshotName;
use crate::model::plan::{Action, ActionKind, Plan, View};
use crate::model::snapshot::ObservedSnapshot;
use crate::model::text::{instant, printable};

/// What goes besides the named snapshot, or in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The snapshot alone; its children move to its parent.
    One,
    /// The snapshot and all below it.
    Children,
    /// All below it.
    ChildrenOnly,
}

/// Plans an ordered deletion. With `metadata_only`, libvirt forgets the snapshots and their content stays.
///
/// # Errors
/// Everything that cannot go, each with what holds it; then nothing goes.
pub fn delete(scene: &Scene<'_>, name: &SnapshotName, scope: Scope, metadata_only: bool) -> Result<Plan, Vec<Refusal>> {
    let domain = scene.domain;
    scene.existing(name).map_err(|refusal| vec![refusal])?;
    let below = |snapshot: &&ObservedSnapshot| domain.tree.is_within(&snapshot.name, name);
    let goes = |snapshot: &&ObservedSnapshot| match scope {
        Scope::One => snapshot.name == *name,
        Scope::Children => below(snapshot),
        Scope::ChildrenOnly => below(snapshot) && snapshot.name != *name,
    };
    let wanted: BTreeSet<SnapshotName> = domain.tree.iter().filter(goes).map(|found| found.name.clone()).collect();
    let exempt: Vec<_> = domain.tree.iter().filter(goes).filter_map(|snapshot| exempt(scene, snapshot)).collect();
    if !exempt.is_empty() {
        return Err(exempt);
    }
    if metadata_only {
        return forget(scene, &wanted).map_err(|refusal| vec![refusal]);
    }
    if let Some(problem) = kinds::problem(domain, &[], &[]) {
        return Err(vec![Refusal::fault(None, problem)]);
    }
    if scene.is_external() { external(scene, &wanted) } else { internal(scene, &wanted) }
}

/// Plans that libvirt forgets all snapshots of a domain, so that it can be undefined or migrated.
pub fn forget_all(scene: &Scene<'_>) -> Plan {
    let all = scene.domain.tree.iter().map(|snapshot| snapshot.name.clone()).collect();
    scene.plan(leaves_first(scene, &all).iter().filter_map(|name| forgetting(scene, name)).collect())
}

/// Why nobody deletes a snapshot by its name alone.
pub(super) fn exempt(scene: &Scene<'_>, snapshot: &ObservedSnapshot) -> Option<Refusal> {
    let stamp = snapshot.own_stamp()?;
    let (name, domain) = (&snapshot.name, printable(&scene.domain.name));
    if let Some(hold) = stamp.holds().find(|hold| hold.lasts(scene.now)) {
        let text = format!("it is on hold: {}", printable(&hold.to_string()));
        let way_out = if stamp.hold_by_hand.as_ref() == Some(hold) {
            format!("lift the hold first: snapward snapshot unhold {domain} {name}")
        } else {
            format!("the hold is declared in set {} (spec.holds): take it out there and apply", stamp.set)
        };
        return Some(Refusal::new(Some(name), text, way_out));
    }
    stamp.protect.then(|| {
        let way_out = format!("declare protect: false in set {} and apply first", stamp.set);
        Refusal::new(Some(name), "it is protected", way_out)
    })
}

fn internal(scene: &Scene<'_>, wanted: &BTreeSet<SnapshotName>) -> Result<Plan, Vec<Refusal>> {
    let obstacle = |name: &SnapshotName| {
        let obstacle = capture::deletion_obstacle(scene.host, scene.domain, scene.domain.tree.get(name)?)?;
        Some(Refusal::fault(Some(name), obstacle))
    };
    let held: Vec<_> = wanted.iter().filter_map(obstacle).collect();
    if !held.is_empty() {
        return Err(held);
    }
    Ok(scene.plan(leaves_first(scene, wanted).iter().filter_map(|name| deletion(scene, name, None)).collect()))
}

fn external(scene: &Scene<'_>, wanted: &BTreeSet<SnapshotName>) -> Result<Plan, Vec<Refusal>> {
    if !EXTERNAL.of(scene.host) {
        let text = format!(
            "libvirt {} of this host cannot delete external snapshots, which {}",
            version(scene.host.libvirt_version),
            EXTERNAL.needs()
        );
        return Err(vec![Refusal::new(None, text, "update libvirt on the host")]);
    }
    let arranged = chain::arrange(scene.domain, &scene.neighbours, Rules::default(), wanted, &BTreeSet::new());
    if !arranged.held.is_empty() {
        return Err(arranged.held.into_iter().map(|(name, fault)| Refusal::fault(Some(&name), fault)).collect());
    }
    let action = |(name, effect): &(SnapshotName, chain::Effect)| deletion(scene, name, Some(files_view(effect)));
    Ok(scene.plan(arranged.order.iter().filter_map(action).collect()))
}

fn deletion(scene: &Scene<'_>, name: &SnapshotName, after: Option<View>) -> Option<Action> {
    let snapshot = scene.domain.tree.get(name)?;
    let reason = ordered("ordered by `snapshot delete`");
    Some(Action { after, ..declared::deletion(scene.domain, scene.address(name), snapshot, reason, origin()) })
}

/// Plans that libvirt forgets some snapshots. Of an external tree, what is left must still say where the images are.
fn forget(scene: &Scene<'_>, wanted: &BTreeSet<SnapshotName>) -> Result<Plan, Refusal> {
    let order = leaves_first(scene, wanted);
    if scene.is_external() {
        let left = order.iter().fold(scene.domain.clone(), |domain, name| chain::after_forget(&domain, name));
        if left.tree.has_external()
            && Layout::whole(scene.domain, Trust::Metadata).is_ok()
            && let Err(fault) = Layout::whole(&left, Trust::Metadata)
        {
            let text = format!(
                "libvirt would lose track of the images of the snapshots that stay, and remove files in use at the next delete or \
                 revert: {}",
                fault.text
            );
            return Err(Refusal::new(None, text, "forget the whole tree, or delete the snapshot with its content"));
        }
    }
    Ok(scene.plan(order.iter().filter_map(|name| forgetting(scene, name)).collect()))
}

pub(super) fn forgetting(scene: &Scene<'_>, name: &SnapshotName) -> Option<Action> {
    let snapshot = scene.domain.tree.get(name)?;
    Some(Action {
        address: scene.address(name),
        action: ActionKind::Delete,
        reason: ordered("libvirt's record alone"),
        origin: origin(),
        before: Some(View { created: Some(instant(snapshot.created)), ..View::default() }),
        after: Some(View { act: Act { forget: true, ..Act::default() }, ..View::default() }),
        risk: metadata_only(),
        definition: None,
    })
}

/// Children before their parents, the newest first.
fn leaves_first(scene: &Scene<'_>, wanted: &BTreeSet<SnapshotName>) -> Vec<SnapshotName> {
    let mut order = roots_first(scene, wanted);
    order.reverse();
    order
}

/// Parents before their children, the oldest first.
fn roots_first(scene: &Scene<'_>, wanted: &BTreeSet<SnapshotName>) -> Vec<SnapshotName> {
    let tree = &scene.domain.tree;
    let mut queue: Vec<_> = tree.children(None);
    let mut at = 0;
    while let Some(snapshot) = queue.get(at).copied() {
        queue.extend(tree.children(Some(&snapshot.name)));
        at += 1;
    }
    let mut order: Vec<_> = queue.into_iter().map(|found| found.name.clone()).filter(|n| wanted.contains(n)).collect();
    // What a cycle of parents hides from the walk.
    order.extend(wanted.iter().filter(|name| !order.contains(name)).cloned().collect::<Vec<_>>());
    order
}
