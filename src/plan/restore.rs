//! Missing snapshots whose metadata is restored from saved XML: single internal ones, and whole trees of external ones.

use std::collections::BTreeSet;

use super::capture;
use super::chain::{self, Fault, Layout, Trust};
use super::claims::{Claim, CurrentClaim};
use super::declared::metadata_only;
use super::domain::{Planner, suspended};
use crate::model::desired::SavedSnapshot;
use crate::model::kinds::Presence;
use crate::model::names::SnapshotName;
use crate::model::plan::{Action, ActionKind, BlockCode, Reason, ReasonCode, View};
use crate::model::snapshot::ObservedSnapshot;
use crate::model::text::{instant, printable};

/// What a pass restores.
#[derive(Debug, Default)]
pub(super) struct Restoring {
    names: BTreeSet<SnapshotName>,
    /// Why the external ones stay away: with all of them restored, tree and images would not agree.
    fault: Option<Fault>,
}

impl<'a> Planner<'a> {
    /// The records that will be given back to libvirt.
    pub(super) fn restored(&self, claims: &[Claim<'_>]) -> Vec<&'a ObservedSnapshot> {
        let wanted = |claim: &&Claim<'_>| {
            claim.snapshot.definition.is_some()
                && claim.snapshot.state == Presence::Present
                && self.domain.tree.get(&claim.snapshot.name).is_none()
                && suspended(claim.set, self.context.now).is_none()
        };
        let fits = |saved: &&SavedSnapshot| saved.domain == Some(self.domain.uuid);
        let saved = claims.iter().filter(wanted).filter_map(|claim| self.saved(claim)).filter(fits);
        saved.map(|saved| &saved.snapshot).collect()
    }

    /// Looks at all that will be restored, before the first of it is planned: parents may be among it, and external snapshots
    /// fit the images as a whole tree or not at all.
    pub(super) fn begin_restoring(&mut self, claims: &[Claim<'_>], current: Option<&CurrentClaim<'_>>) {
        let saved = self.restored(claims);
        let names = saved.iter().map(|snapshot| snapshot.name.clone()).collect();
        let fault = saved.iter().any(|snapshot| snapshot.is_external()).then(|| {
            let mut whole = saved
                .iter()
                .fold(self.domain.clone(), |domain, snapshot| chain::after_redefine(&domain, snapshot, false));
            if let Some(current) = current.and_then(|current| whole.tree.get(current.name).cloned()) {
                whole = chain::after_redefine(&whole, &current, true);
            }
            Layout::whole(&whole, Trust::Metadata).err()
        });
        self.restoring = Restoring { names, fault: fault.flatten() };
    }

    /// Parents before their children, whatever the order of the manifests: libvirt takes a parent only where it is there.
    pub(super) fn order_restores(&mut self) {
        let (mut waiting, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.redefines).into_iter().partition(|action| action.definition.is_some());
        let parent = |action: &Action| action.after.as_ref().and_then(|after| after.parent.clone());
        while !waiting.is_empty() {
            let names: BTreeSet<String> = waiting
                .iter()
                .filter_map(|action| Some(action.address.snapshot.as_ref()?.as_str().to_owned()))
                .collect();
            let ready = |action: &Action| parent(action).is_none_or(|parent| !names.contains(&parent));
            let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ready);
            if now.is_empty() {
                // A cycle, which libvirt refuses by itself.
                self.redefines.extend(later);
                break;
            }
            self.redefines.extend(now);
            waiting = later;
        }
        self.redefines.extend(rest);
    }

    /// The saved snapshot that the declaration names as its definition, if it was read.
    pub(super) fn saved(&self, claim: &Claim<'_>) -> Option<&'a SavedSnapshot> {
        let key = (claim.set.file.clone(), claim.snapshot.definition.clone()?);
        self.context.desired.definitions.get(&key)
    }

    pub(super) fn restore(&mut self, claim: &Claim<'_>) {
        let name = &claim.snapshot.name;
        let origin = claim.field("definition");
        let file = printable(claim.snapshot.definition.as_deref().unwrap_or_default());
        let Some(saved) = self.saved(claim) else {
            let text = format!("its definition {file} was not read");
            let way_out = "give the manifest as a file, so that paths in it have a place to start from";
            return self.block(Some(name), BlockCode::NotPossible, text, way_out, vec![origin]);
        };
        let parent = claim.snapshot.parent.as_ref().or(saved.snapshot.parent.as_ref());
        if let Some((text, way_out)) = self.restore_obstacle(name, saved, parent) {
            return self.block(Some(name), BlockCode::NotPossible, text, way_out, vec![origin]);
        }
        self.warn_of_unseen_image(name, &claim.origin(), "holds the snapshot that the definition describes");
        let wanted = self.wanted(claim, &saved.snapshot);
        self.redefines.push(Action {
            address: self.address(Some(name)),
            action: ActionKind::Redefine,
            reason: Reason {
                code: ReasonCode::Definition,
                text: format!("missing; its metadata is restored from {file}").into(),
            },
            origin,
            before: None,
            after: Some(View {
                // With the notes of reverts that the saved XML holds: its tokens stay used.
                stamp: Some(wanted.lines()),
                description: Some(wanted.human),
                parent: parent.map(|parent| parent.as_str().to_owned()),
                created: Some(instant(saved.snapshot.created)),
                ..View::default()
            }),
            risk: metadata_only(),
            definition: Some(saved.xml.clone()),
        });
    }

    /// Why saved XML cannot be given to libvirt, which checks little of it: text and way out.
    fn restore_obstacle(
        &self,
        name: &SnapshotName,
        saved: &SavedSnapshot,
        parent: Option<&SnapshotName>,
    ) -> Option<(String, &'static str)> {
        if saved.snapshot.name != *name {
            let text = format!("its definition describes the snapshot {}", saved.snapshot.name);
            return Some((text, "name the file that was saved from this snapshot"));
        }
        if saved.domain != Some(self.domain.uuid) {
            let of = saved.domain.map_or_else(|| "no domain".to_owned(), |uuid| format!("domain {uuid}"));
            let text = format!("its definition belongs to {of}, and this domain is {}", self.domain.uuid);
            return Some((text, "name the file that was saved from this domain"));
        }
        if let Some(fault) = self.restoring.fault.as_ref().filter(|_| saved.snapshot.is_external()) {
            let text = format!(
                "its definition describes an external snapshot, and with all restored that is declared the tree does not fit the images: \
                 {}",
                fault.text
            );
            return Some((text, "restore the whole tree that was exported: every snapshot of it, and `current`"));
        }
        if saved.snapshot.is_external() && parent != saved.snapshot.parent.as_ref() {
            let text = "its definition describes an external snapshot, and another parent is declared".to_owned();
            return Some((text, "leave `parent` out: the definition has it"));
        }
        if let Some(target) = capture::missing_tag(self.domain, &saved.snapshot) {
            let text = format!(
                "the image of disk {} holds no internal snapshot of this name; restored metadata would point at nothing, and \
                 a revert would fail",
                printable(&target)
            );
            return Some((
                text,
                "bring the image that was saved with the XML, or take `definition` out to capture anew",
            ));
        }
        let there =
            |parent: &SnapshotName| self.domain.tree.get(parent).is_some() || self.restoring.names.contains(parent);
        let parent = parent.filter(|parent| !there(parent))?;
        Some((format!("its parent {parent} is not there"), "declare and restore the parent first, above it"))
    }
}
