//! A missing snapshot whose metadata is restored from saved XML.

use super::capture;
use super::claims::Claim;
use super::declared::metadata_only;
use super::domain::{Planner, is_about};
use crate::model::desired::SavedSnapshot;
use crate::model::names::SnapshotName;
use crate::model::plan::{Action, ActionKind, BlockCode, Reason, ReasonCode, View};
use crate::model::text::{instant, printable};

impl<'a> Planner<'a> {
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
                text: format!("missing; its metadata is restored from {file}"),
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
        if saved.snapshot.is_external() {
            let text = "its definition describes an external snapshot".to_owned();
            return Some((text, "this version of snapward restores internal snapshots only"));
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
        let there = |parent: &SnapshotName| {
            self.domain.tree.get(parent).is_some() || self.redefines.iter().any(|action| is_about(action, parent))
        };
        let parent = parent.filter(|parent| !there(parent))?;
        Some((format!("its parent {parent} is not there"), "declare and restore the parent first, above it"))
    }
}
