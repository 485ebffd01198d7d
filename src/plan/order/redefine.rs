//! Ordered changes of libvirt's records: XML that is given back, edits, holds, the pointer. Refused where a record would say
//! something that the images do not hold.

use super::super::capture;
use super::super::chain::{self, Layout, Rules, Step, Trust};
use super::super::declared::metadata_only;
use super::delete::{exempt, forgetting};
use super::{Refusal, Scene, ordered, origin};
use crate::model::act::Act;
use crate::model::desired::SavedSnapshot;
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedDomain;
use crate::model::plan::{Action, ActionKind, Plan, View};
use crate::model::snapshot::{ObservedSnapshot, SnapshotFiles};
use crate::model::stamp::{Stamp, StampHold};
use crate::model::text::{instant, printable};

/// What an edit may do to a snapshot's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// It stays.
    KeepName,
    /// The record gets another name.
    Rename,
    /// A second record of another name is made.
    Clone,
}

/// Plans that libvirt is given the record of a snapshot: one that it does not list, or a changed one that it does.
///
/// # Errors
/// Where the record does not fit the domain, its images, or what is listed.
pub fn redefine(scene: &Scene<'_>, saved: &SavedSnapshot, act: Act) -> Result<Plan, Refusal> {
    let record = &saved.snapshot;
    SnapshotName::parse(record.name.as_str())
        .map_err(|error| Refusal::new(None, error.to_string(), "choose another name"))?;
    fits(scene, saved)?;
    kept_in_kind(scene, record)?;
    let after = chain::after_redefine(scene.domain, record, act.make_current);
    proven(scene, record, act, &after)?;
    Ok(scene.plan(vec![giving(scene, saved, act, "ordered by `snapshot create --redefine`")]))
}

/// Plans an edit: `saved` is the text that came back from the editor.
///
/// # Errors
/// As [`redefine`], and where the name may not change so.
pub fn edit(
    scene: &Scene<'_>,
    old: &SnapshotName,
    saved: &SavedSnapshot,
    how: Edit,
    act: Act,
) -> Result<Plan, Refusal> {
    let before = scene.existing(old)?;
    let record = &saved.snapshot;
    if record.description.lines() != before.description.lines() {
        let text = "the lines that begin with Snapward- were changed, by which snapward says whose a snapshot is and which reverts \
                    to it were done";
        return Err(Refusal::new(
            Some(old),
            text,
            "leave them as they are; `hold`, `unhold` and manifests change them",
        ));
    }
    if record.name == *old {
        return redefine(scene, saved, act);
    }
    let refuse = |text: &str, way_out: &str| Err(Refusal::new(Some(old), text, way_out));
    if how == Edit::KeepName {
        return refuse("the name was changed", "give --rename or --clone, or leave the name as it is");
    }
    if scene.domain.tree.get(&record.name).is_some() {
        return refuse("the new name is taken by another snapshot", "choose another name");
    }
    if !before.is_external() && how == Edit::Rename {
        return refuse(
            "its content is in the images under its name, where libvirt renames nothing; under another one it could not be reverted to",
            "keep the name, or capture again under the new one",
        );
    }
    if scene.domain.tree.current() == Some(old) && before.is_external() {
        return refuse(
            "it is the current external snapshot: libvirt finds the overlays in use by it",
            "rename it when another one is current",
        );
    }
    if how == Edit::Rename && !scene.domain.tree.children(Some(old)).is_empty() {
        return refuse(
            "other snapshots hang below it, and libvirt would hang them under its parent, whose images they do not stand on",
            "rename only snapshots without children",
        );
    }
    if before.is_external() && files(record) != files(before) || record.parent != before.parent {
        return refuse("more than the name and the texts were changed", "change its name alone");
    }
    fits(scene, saved)?;
    kept_in_kind(scene, record)?;
    let mut actions = vec![giving(scene, saved, act, "ordered by `snapshot edit`")];
    let mut after = chain::after_redefine(scene.domain, record, act.make_current);
    if how == Edit::Rename {
        if let Some(refusal) = exempt(scene, before) {
            return Err(refusal);
        }
        after = chain::after_forget(&after, old);
        actions.extend(forgetting(scene, old));
    }
    proven(scene, record, act, &after)?;
    Ok(scene.plan(actions))
}

/// Plans that the pointer moves, without a revert; none where it is there already.
///
/// # Errors
/// In a tree with external snapshots, unless it is a proven repair.
pub fn set_current(scene: &Scene<'_>, name: &SnapshotName) -> Result<Option<Plan>, Refusal> {
    scene.existing(name)?;
    // Never sent as a no-op: in an external tree even that would make libvirt forget overlays.
    if scene.domain.tree.current() == Some(name) {
        return Ok(None);
    }
    if scene.is_external() {
        chain::prove(scene.domain, &scene.neighbours, Rules::default(), Step::SetCurrent(name))
            .map_err(|fault| Refusal::fault(Some(name), fault))?;
    }
    let pointer = scene.domain.tree.current().map(ToString::to_string).unwrap_or_default();
    Ok(Some(scene.plan(vec![Action {
        address: scene.address(name),
        action: ActionKind::SetCurrent,
        reason: ordered("ordered by `snapshot current`"),
        origin: origin(),
        before: Some(View { current: Some(pointer), ..View::default() }),
        after: Some(View { current: Some(name.to_string()), ..View::default() }),
        risk: metadata_only(),
        definition: None,
    }])))
}

/// Plans a hold by hand.
///
/// # Errors
/// Where the snapshot is not there, or nobody's: no rule would delete it.
pub fn hold(scene: &Scene<'_>, name: &SnapshotName, hold: StampHold) -> Result<Plan, Refusal> {
    held(scene, name, Some(hold))
}

/// Plans the end of a hold by hand.
///
/// # Errors
/// Where the snapshot is not there, or has none.
pub fn unhold(scene: &Scene<'_>, name: &SnapshotName) -> Result<Plan, Refusal> {
    held(scene, name, None)
}

fn held(scene: &Scene<'_>, name: &SnapshotName, hold: Option<StampHold>) -> Result<Plan, Refusal> {
    let snapshot = scene.existing(name)?;
    let Some(stamp) = snapshot.own_stamp() else {
        return Err(Refusal::new(
            Some(name),
            "it belongs to no set, so no rule deletes it and a hold would have no effect",
            "adopt it first: declare it with adopt: true and apply",
        ));
    };
    if hold.is_none() && stamp.hold_by_hand.is_none() {
        let (text, way_out) = match &stamp.hold {
            Some(hold) => (
                format!("its hold ({}) is declared in set {}", printable(&hold.to_string()), stamp.set),
                "take it out of spec.holds and apply",
            ),
            None => ("it is not on hold".to_owned(), "nothing has to be done"),
        };
        return Err(Refusal::new(Some(name), text, way_out));
    }
    let wanted = Stamp { hold_by_hand: hold, ..stamp.clone() };
    let view = |stamp: &Stamp| View { stamp: Some(stamp.lines()), ..View::default() };
    Ok(scene.plan(vec![Action {
        address: scene.address(name),
        action: ActionKind::Redefine,
        reason: ordered("ordered by `snapshot hold` or `unhold`"),
        origin: origin(),
        before: Some(view(stamp)),
        after: Some(view(&wanted)),
        risk: metadata_only(),
        definition: None,
    }]))
}

/// Whether a record is of this domain, and its parent there.
fn fits(scene: &Scene<'_>, saved: &SavedSnapshot) -> Result<(), Refusal> {
    let record = &saved.snapshot;
    let name = &record.name;
    let tree = &scene.domain.tree;
    let refuse = |text: String, way_out: &str| Err(Refusal::new(Some(name), text, way_out));
    match saved.domain {
        Some(uuid) if uuid == scene.domain.uuid => {}
        None if tree.get(name).is_some() => {}
        other => {
            let of = other.map_or_else(|| "no domain".to_owned(), |uuid| format!("domain {uuid}"));
            let text = format!("the XML belongs to {of}, and this domain is {}", scene.domain.uuid);
            return refuse(text, "give XML that was saved from this domain");
        }
    }
    let Some(parent) = &record.parent else { return Ok(()) };
    if tree.get(parent).is_none() {
        return refuse(format!("its parent {parent} is not there"), "restore the parent first");
    }
    if parent == name || tree.get(name).is_some() && tree.is_within(parent, name) {
        return refuse(format!("its parent {parent} is the snapshot itself or hangs below it"), "give another parent");
    }
    Ok(())
}

/// Whether a record says nothing else of what was captured than the one that is listed, and the images.
fn kept_in_kind(scene: &Scene<'_>, record: &ObservedSnapshot) -> Result<(), Refusal> {
    let refuse = |text: String, way_out: &str| Err(Refusal::new(Some(&record.name), text, way_out));
    let tree = &scene.domain.tree;
    let external = tree.external().count();
    let Some(listed) = tree.get(&record.name) else {
        let mixes = if record.is_external() { tree.len() > external } else { external > 0 };
        if mixes {
            let text = "the domain has snapshots of the other kind; with both in one tree libvirt destroys captures";
            return refuse(text.to_owned(), "delete those first");
        }
        return match capture::missing_tag(scene.domain, record) {
            Some(target) => refuse(
                format!("the image of disk {} holds no internal snapshot of this name", printable(&target)),
                "bring the image that was saved with the XML",
            ),
            None => Ok(()),
        };
    };
    if listed.created != record.created {
        let text = "its creationTime would change, by which snapward knows the snapshot again and reckons its age";
        return refuse(text.to_owned(), "leave <creationTime> as it is");
    }
    if class(&listed.state) != class(&record.state) {
        let text = format!("its state would become {} from {}", printable(&record.state), printable(&listed.state));
        return refuse(text, "leave <state> as it is: libvirt reverts by it");
    }
    if listed.memory != record.memory || listed.disks != record.disks || files(listed) != files(record) {
        let text =
            "the record would say that memory or disks are elsewhere than where they were captured to".to_owned();
        return refuse(text, "leave <memory>, <disks>, <revertDisks> and the domain's disks as they are");
    }
    if listed.parent != record.parent && external > 0 {
        let text =
            "its parent would be another; in a tree with external snapshots libvirt then deletes files that are in use";
        return refuse(text.to_owned(), "leave <parent> as it is");
    }
    Ok(())
}

/// libvirt lets a state change within these.
fn class(state: &str) -> u8 {
    match state {
        "disk-snapshot" => 2,
        "shutoff" | "crashed" => 1,
        _ => 0,
    }
}

/// The files a record names, formats aside: libvirt writes those out where the XML leaves them to it.
fn files(snapshot: &ObservedSnapshot) -> Option<SnapshotFiles> {
    snapshot.files.as_deref().map(|files| SnapshotFiles { formats: Default::default(), ..files.clone() })
}

/// In a tree with external snapshots: tree and images must agree afterwards.
fn proven(scene: &Scene<'_>, record: &ObservedSnapshot, act: Act, after: &ObservedDomain) -> Result<(), Refusal> {
    if !after.tree.has_external() {
        return Ok(());
    }
    let name = &record.name;
    let current = scene.domain.tree.current();
    if act.make_current {
        if current == Some(name) {
            let text = "it is the current snapshot already, and setting it again would make libvirt forget overlays of a revert";
            return Err(Refusal::new(Some(name), text, "leave --current out"));
        }
        let listed = chain::after_redefine(scene.domain, record, false);
        return chain::prove(&listed, &scene.neighbours, Rules::default(), Step::SetCurrent(name))
            .map(drop)
            .map_err(|fault| Refusal::fault(Some(name), fault));
    }
    // Without a pointer nothing is whole: a tree that is restored record by record gets it with the last.
    if current.is_none() {
        return chain::parents_are_listed(after).map_err(|fault| Refusal::fault(Some(name), fault));
    }
    // What was not whole before may still have its texts changed.
    if Layout::whole(scene.domain, Trust::Metadata).is_err() && scene.domain.tree.get(name).is_some() {
        return Ok(());
    }
    Layout::whole(after, Trust::Metadata).map(drop).map_err(|fault| Refusal::fault(Some(name), fault))
}

fn giving(scene: &Scene<'_>, saved: &SavedSnapshot, act: Act, text: &str) -> Action {
    let record = &saved.snapshot;
    Action {
        address: scene.address(&record.name),
        action: ActionKind::Redefine,
        reason: ordered(text),
        origin: origin(),
        before: None,
        after: Some(View {
            description: Some(record.description.human.clone()),
            // With the notes of reverts: their tokens stay used.
            stamp: Some(record.description.lines()).filter(|lines| !lines.is_empty()),
            parent: record.parent.as_ref().map(|parent| parent.as_str().to_owned()),
            created: Some(instant(record.created)),
            act,
            ..View::default()
        }),
        risk: metadata_only(),
        definition: Some(saved.xml.clone()),
    }
}
