//! One declared snapshot against what the domain has: the decision table of DESIGN.md, "Declared snapshot".

use std::collections::BTreeMap;

use super::capture::{self, Request};
use super::captures::Wish;
use super::claims::Claim;
use super::domain::{Planner, is_about, own_stamp};
use crate::model::desired::Origin;
use crate::model::kinds::{Content, CreateMode, Presence};
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedDomain;
use crate::model::plan::{
    Action, ActionKind, Address, BlockCode, Kept, Reason, ReasonCode, Risk, RiskLevel, View, Warning,
};
use crate::model::snapshot::ObservedSnapshot;
use crate::model::stamp::{Description, Stamp, StampHold};
use crate::model::text::{count, instant, printable};
use crate::retention::expires_at;

impl<'a> Planner<'a> {
    /// Decides what one declared snapshot needs.
    pub(super) fn declared(&mut self, claim: &Claim<'_>, found: Option<&ObservedSnapshot>) {
        match (claim.snapshot.state, found) {
            (Presence::Absent, None) => self.unchanged += 1,
            (Presence::Absent, Some(snapshot)) => self.absent(claim, snapshot),
            (Presence::Present, None) => self.missing(claim),
            (Presence::Present, Some(snapshot)) => self.present(claim, snapshot),
        }
    }

    fn absent(&mut self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) {
        let name = &snapshot.name;
        match own_stamp(snapshot) {
            Some(stamp) if *stamp.set == *claim.id => {}
            owner => {
                let owner = owner.map(|stamp| stamp.set.to_string());
                let text = format!("{}; it is not deleted", not_ours(owner.as_deref()));
                let way_out = format!(
                    "to let set {} delete it: declare it with adopt: true, apply, then state: absent",
                    claim.id
                );
                return self.block(Some(name), BlockCode::Conflict, text, way_out, vec![claim.origin()]);
            }
        }
        let lifts = claim.snapshot.protect == Some(false);
        if lifts && own_stamp(snapshot).is_some_and(|stamp| stamp.protect) {
            let (before, after) = self.changes(claim, snapshot);
            self.redefine(claim, ReasonCode::FieldsDiffer, "protection is lifted".to_owned(), before, after);
        }
        if let Some((code, reason)) = self.exempt(claim, snapshot) {
            let (code, way_out) = match (code, lifts) {
                (ReasonCode::Protected, true) => (BlockCode::Protected, "apply again after the protection was lifted"),
                (ReasonCode::Protected, false) => {
                    (BlockCode::Protected, "declare protect: false, apply, and apply again")
                }
                (ReasonCode::RevertTarget, _) => {
                    (BlockCode::RevertPending, "take the request away, or wait until it expires")
                }
                (ReasonCode::Held, _) => (BlockCode::Held, "remove the hold (spec.holds), or wait until it ends"),
                _ => (BlockCode::CurrentUnsafe, "declare another `current`, in whichever set names this one"),
            };
            return self.block(Some(name), code, format!("{reason}; it is not deleted"), way_out, vec![claim.origin()]);
        }
        self.delete(claim, snapshot, ReasonCode::Absent, "declared with state: absent".to_owned());
    }

    fn missing(&mut self, claim: &Claim<'_>) {
        let declared = claim.snapshot;
        let name = &declared.name;
        let made = self.domain.ledger.as_ref().and_then(|ledger| ledger.made(name));
        let saved = self.saved(claim).map(|saved| saved.snapshot.created);
        if let (Some(created), Some(span)) = (made.map(|made| made.created).or(saved), &declared.delete_after)
            && expires_at(created, span).is_some_and(|end| end <= self.context.now)
        {
            self.unchanged += 1;
            return;
        }
        if declared.definition.is_some() {
            return self.restore(claim);
        }
        if declared.create == CreateMode::Never {
            let text = "declared with create: never, and the domain has no snapshot of this name".to_owned();
            let way_out = "declare create: auto to capture it, or take it out of the manifest";
            return self.block(Some(name), BlockCode::Missing, text, way_out, vec![claim.field("create")]);
        }
        if let Some(made) = made.filter(|_| !declared.recreate) {
            self.note_drift(Some(name), "existence", "present", "missing", claim.origin());
            let text = format!(
                "captured {} and gone since, by other hands or a former deleteAfter. A new capture would hold today's state under the old \
                 name",
                instant(made.created)
            );
            let way_out = "declare recreate: true to capture it anew, or state: absent to accept that it is gone";
            return self.block(Some(name), BlockCode::Missing, text, way_out, vec![claim.origin()]);
        }
        if self.ledger_lost() && !declared.recreate {
            let text = "the domain has snapshots of snapward's and no ledger (its <metadata> was lost, as by a define \
                        without it), so whether this one was made before is not known. Nothing was captured"
                .to_owned();
            let way_out = "declare recreate: true to capture it now, or state: absent if it shall stay gone";
            return self.block(Some(name), BlockCode::LedgerLost, text, way_out, vec![claim.origin()]);
        }
        self.create(claim, made.map(|made| made.created));
    }

    fn create(&mut self, claim: &Claim<'_>, made_before: Option<i64>) {
        let declared = claim.snapshot;
        let Some(capture) = declared.capture.as_ref() else { return };
        let request = Request { name: &declared.name, capture, when: declared.when };
        let prepared = match self.prepare(request) {
            Ok(prepared) => prepared,
            Err(obstacle) => {
                let (code, origins) = (obstacle.code, vec![claim.origin()]);
                return self.block(Some(&declared.name), code, obstacle.text, obstacle.way_out, origins);
            }
        };
        let mut stamp = Stamp::new(claim.id.as_ref().clone(), declared.name.clone());
        stamp.protect = declared.protect == Some(true);
        stamp.hold = claim.hold(self.context.now).map(StampHold::from);
        let reason = match made_before {
            Some(created) => Reason {
                code: ReasonCode::Recreate,
                text: format!("captured {} and gone since; recreate: true", instant(created)).into(),
            },
            None if self.ledger_lost() => {
                Reason { code: ReasonCode::Recreate, text: "the ledger is lost; recreate: true".into() }
            }
            None => Reason { code: ReasonCode::Declared, text: "declared and never captured".into() },
        };
        let description = Some(declared.description.clone().unwrap_or_default());
        let wish = Wish { name: &declared.name, description, stamp: Some(stamp), reason, origin: claim.origin() };
        let lands_under = self.capture(wish, &prepared);
        if let Some(parent) = declared.parent.as_ref().filter(|parent| lands_under.as_ref() != Some(*parent)) {
            self.place(claim, lands_under.as_ref(), parent);
        }
    }

    /// Hangs a snapshot of this pass, or an existing one, under its declared parent.
    fn place(&mut self, claim: &Claim<'_>, from: Option<&SnapshotName>, parent: &SnapshotName) {
        let name = &claim.snapshot.name;
        let known = self.domain.tree.get(parent).is_some() || self.creates.iter().any(|a| is_about(a, parent));
        let observed = from.map(ToString::to_string).unwrap_or_default();
        let problem = if self.is_external() {
            let under = if observed.is_empty() { "no other".to_owned() } else { observed.clone() };
            Some(format!(
                "it is declared under {parent} and stands on {under}, as its image does; in a tree with external snapshots another \
                 parent makes libvirt delete files that are in use"
            ))
        } else if !known {
            Some(format!("the declared parent {parent} does not exist"))
        } else if self.will_hang_below(parent, name) {
            Some(format!("the declared parent {parent} hangs below the snapshot itself"))
        } else {
            None
        };
        if let Some(text) = problem {
            let way_out = "declare another parent, or leave `parent` out";
            return self.block(Some(name), BlockCode::ParentDiffers, text, way_out, vec![claim.field("parent")]);
        }
        self.placements.push(Action {
            address: self.address(Some(name)),
            action: ActionKind::Redefine,
            reason: Reason { code: ReasonCode::ParentDiffers, text: format!("declared under {parent}").into() },
            origin: claim.field("parent"),
            before: Some(View { parent: Some(observed), ..View::default() }),
            after: Some(View { parent: Some(parent.as_str().to_owned()), ..View::default() }),
            risk: metadata_only(),
            definition: None,
        });
    }

    /// Whether a snapshot hangs below another one, or is the same, once this pass has captured and placed what it did so far.
    pub(super) fn will_hang_below(&self, name: &SnapshotName, above: &SnapshotName) -> bool {
        let tree = &self.domain.tree;
        let mut parents: BTreeMap<&SnapshotName, Option<SnapshotName>> =
            tree.iter().map(|snapshot| (&snapshot.name, snapshot.parent.clone())).collect();
        let mut pointer = tree.current().cloned();
        for made in self.creates.iter().filter_map(|action| action.address.snapshot.as_ref()) {
            parents.insert(made, pointer.replace(made.clone()));
        }
        for placed in &self.placements {
            let parent = placed.after.as_ref().and_then(|after| after.parent.as_deref());
            if let Some(name) = &placed.address.snapshot {
                parents.insert(name, parent.map(SnapshotName::observed));
            }
        }
        let mut at = Some(name);
        for _ in 0..=parents.len() {
            match at {
                Some(name) if name == above => return true,
                Some(name) => at = parents.get(name).and_then(Option::as_ref),
                None => return false,
            }
        }
        true
    }

    fn present(&mut self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) {
        let name = &snapshot.name;
        let stamp = own_stamp(snapshot);
        let ours = stamp.is_some_and(|stamp| *stamp.set == *claim.id);
        if !ours && !claim.snapshot.adopt {
            let owner = stamp.map(|stamp| stamp.set.to_string());
            let text = format!("{}; it is left as it is", not_ours(owner.as_deref()));
            let way_out = "declare adopt: true to take it over, or choose another name";
            return self.block(Some(name), BlockCode::Conflict, text, way_out, vec![claim.origin()]);
        }
        if let Some(hold) = stamp.filter(|_| !ours).and_then(|stamp| self.foreign_hold(claim, stamp)) {
            let text = format!("it is on hold by its owner ({}); it is left as it is", printable(&hold));
            let way_out = "ask who holds it; or take the hold over (spec.holds), adopt, and release it afterwards";
            return self.block(Some(name), BlockCode::Held, text, way_out, vec![claim.field("adopt")]);
        }
        if let Some((field, text, way_out)) = immutable(claim, snapshot) {
            return self.block(Some(name), BlockCode::Immutable, text, way_out, vec![claim.field(field)]);
        }
        if ours && self.expired(claim, snapshot) {
            return;
        }
        let (before, after) = self.changes(claim, snapshot);
        let placed = self.parent_differs(claim, snapshot);
        if !ours {
            let text = match stamp {
                Some(stamp) => format!("adopt: true; it belonged to set {}", stamp.set),
                None => "adopt: true; it was not snapward's".to_owned(),
            };
            self.redefine(claim, ReasonCode::Adopt, text, before, after);
            self.warn_of_expiry(claim, snapshot);
        } else if before != after {
            self.note_field_drift(claim, snapshot);
            self.redefine(claim, ReasonCode::FieldsDiffer, "declared fields differ".to_owned(), before, after);
        } else if !placed {
            self.unchanged += 1;
        }
    }

    /// The hold in the stamp of another set that adopting would drop. An end that cannot be read has not come.
    fn foreign_hold(&self, claim: &Claim<'_>, stamp: &Stamp) -> Option<String> {
        let hold = stamp.hold.as_ref().filter(|_| claim.hold(self.context.now).is_none())?;
        hold.lasts(self.context.now).then(|| hold.to_string())
    }

    fn parent_differs(&mut self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) -> bool {
        let Some(parent) = claim.snapshot.parent.as_ref() else { return false };
        if snapshot.parent.as_ref() == Some(parent) {
            return false;
        }
        let observed = snapshot.parent.as_ref().map(ToString::to_string).unwrap_or_default();
        self.note_drift(Some(&snapshot.name), "parent", parent.to_string(), observed, claim.field("parent"));
        self.place(claim, snapshot.parent.as_ref(), parent);
        true
    }

    /// The snapshot's time is over: deleted, or kept with the reason.
    fn expired(&mut self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) -> bool {
        let Some(span) = &claim.snapshot.delete_after else { return false };
        let Some(end) = expires_at(snapshot.created, span).filter(|end| *end <= self.context.now) else {
            return false;
        };
        let over = format!("its deleteAfter of {} ended {end}", span.as_str());
        match self.exempt(claim, snapshot) {
            Some((code, reason)) => {
                self.kept.push(Kept {
                    address: self.address(Some(&snapshot.name)),
                    reason: Reason { code, text: format!("{over}; {reason}").into() },
                    origin: Some(claim.field("deleteAfter")),
                });
                false
            }
            None => {
                self.delete(claim, snapshot, ReasonCode::Expired, over);
                true
            }
        }
    }

    /// Nothing is adopted and deleted in one pass; that the next one will delete it must not come as a surprise.
    fn warn_of_expiry(&mut self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) {
        let Some(span) = &claim.snapshot.delete_after else { return };
        let over = expires_at(snapshot.created, span).is_some_and(|end| end <= self.context.now);
        if over && self.exempt(claim, snapshot).is_none() {
            let address = self.address(Some(&snapshot.name));
            let text = format!("{address}: older than its deleteAfter of {}; the next apply deletes it", span.as_str());
            self.warnings.push(Warning { text, origin: claim.field("deleteAfter") });
        }
    }

    /// Why the snapshot may not be deleted, whoever asks for it.
    fn exempt(&self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) -> Option<(ReasonCode, String)> {
        let stamp = own_stamp(snapshot);
        if stamp.is_some_and(|stamp| stamp.protect) || claim.snapshot.protect == Some(true) {
            return Some((ReasonCode::Protected, "it is protected".to_owned()));
        }
        if let Some(hold) = claim.hold(self.context.now) {
            let until = hold.until.as_ref().map(|until| format!(" until {}", until.as_str())).unwrap_or_default();
            return Some((ReasonCode::Held, format!("it is on hold{until} ({})", printable(&hold.reason))));
        }
        let by_hand = stamp.and_then(|stamp| stamp.hold_by_hand.as_ref());
        if let Some(hold) = by_hand.filter(|hold| hold.lasts(self.context.now)) {
            return Some((ReasonCode::Held, format!("it is on hold by hand: {}", printable(&hold.to_string()))));
        }
        if self.pointed_at.contains(&snapshot.name) {
            return Some((ReasonCode::Current, "it is declared as the current snapshot".to_owned()));
        }
        if let Some((_, label)) = self.revert_targets.iter().find(|(name, _)| **name == snapshot.name) {
            return Some((ReasonCode::RevertTarget, format!("{label} reverts to it")));
        }
        None
    }

    fn delete(&mut self, claim: &Claim<'_>, snapshot: &ObservedSnapshot, code: ReasonCode, text: String) {
        let origin = if code == ReasonCode::Expired { claim.field("deleteAfter") } else { claim.field("state") };
        if let Some(obstacle) = capture::deletion_obstacle(self.host, self.domain, snapshot) {
            return self.block(Some(&snapshot.name), obstacle.code, obstacle.text, obstacle.way_out, vec![origin]);
        }
        let action = self.deletion(snapshot, Reason { code, text: text.into() }, origin);
        self.deletes.push(action);
    }

    /// The deletion of a snapshot.
    pub(super) fn deletion(&self, snapshot: &ObservedSnapshot, reason: Reason, origin: Origin) -> Action {
        deletion(self.domain, self.address(Some(&snapshot.name)), snapshot, reason, origin)
    }

    fn redefine(&mut self, claim: &Claim<'_>, code: ReasonCode, text: String, before: View, after: View) {
        self.redefines.push(Action {
            address: self.address(Some(&claim.snapshot.name)),
            action: ActionKind::Redefine,
            reason: Reason { code, text: text.into() },
            origin: claim.origin(),
            before: Some(before),
            after: Some(after),
            risk: metadata_only(),
            definition: None,
        });
    }

    /// The description as it is and as it is declared, reduced to the parts that differ.
    fn changes(&self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) -> (View, View) {
        if self.is_as_wanted(claim, snapshot) {
            return (View::default(), View::default());
        }
        let is = &snapshot.description;
        let wanted = self.wanted(claim, snapshot);
        let lines = |stamp: &Option<Stamp>| stamp.as_ref().map(Stamp::lines).unwrap_or_default();
        let (mut before, mut after) = (View::default(), View::default());
        if is.human != wanted.human {
            before.description = Some(is.human.clone());
            after.description = Some(wanted.human);
        }
        if is.stamp != wanted.stamp {
            before.stamp = Some(lines(&is.stamp));
            after.stamp = Some(lines(&wanted.stamp));
        }
        (before, after)
    }

    /// Whether the description is as [`Self::wanted`] makes it, without making it: of a fleet in its steady state every
    /// snapshot is asked this.
    fn is_as_wanted(&self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) -> bool {
        let Description { human, stamp: Some(stamp), .. } = &snapshot.description else { return false };
        *stamp.set == *claim.id
            && stamp.snapshot == snapshot.name
            && claim.snapshot.protect.is_none_or(|protect| stamp.protect == protect)
            && claim.snapshot.description.as_ref().is_none_or(|declared| declared == human)
            && stamp.hold == claim.hold(self.context.now).map(StampHold::from)
    }

    /// The description as it is declared. What is not declared stays: the text, and protection, which is sticky.
    pub(super) fn wanted(&self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) -> Description {
        let is = &snapshot.description;
        let mut stamp = match &is.stamp {
            Some(stamp) => {
                Stamp { set: claim.id.as_ref().clone().into(), snapshot: snapshot.name.clone(), ..stamp.clone() }
            }
            None => Stamp::new(claim.id.as_ref().clone(), snapshot.name.clone()),
        };
        stamp.protect = claim.snapshot.protect.unwrap_or(stamp.protect);
        stamp.hold = claim.hold(self.context.now).map(StampHold::from);
        let human = claim.snapshot.description.clone().unwrap_or_else(|| is.human.clone());
        Description { human, stamp: Some(stamp), reverts: is.reverts.clone() }
    }

    fn note_field_drift(&mut self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) {
        let name = &snapshot.name;
        let wanted = self.wanted(claim, snapshot);
        let is = snapshot.description.clone();
        if is.human != wanted.human {
            self.note_drift(Some(name), "description", wanted.human, is.human, claim.field("description"));
        }
        let (Some(wanted), Some(is)) = (wanted.stamp, is.stamp) else { return };
        if is.protect != wanted.protect {
            let origin = claim.field("protect");
            self.note_drift(Some(name), "protect", wanted.protect.to_string(), is.protect.to_string(), origin);
        }
        if is.hold != wanted.hold {
            let text = |hold: Option<StampHold>| hold.map(|hold| hold.to_string()).unwrap_or_default();
            self.note_drift(Some(name), "hold", text(wanted.hold), text(is.hold), claim.origin());
        }
    }
}

/// The action of a deletion.
pub(super) fn deletion(
    domain: &ObservedDomain,
    address: Address,
    snapshot: &ObservedSnapshot,
    reason: Reason,
    origin: Origin,
) -> Action {
    let children = domain.tree.children(Some(&snapshot.name)).len();
    let mut risk = "what it captured is gone for good".to_owned();
    if children > 0 {
        let its = count(children, "child keeps its content and moves", "children keep their content and move");
        risk.push_str(&format!("; its {its} to its parent"));
    }
    Action {
        address,
        action: ActionKind::Delete,
        reason,
        origin,
        before: Some(View {
            description: Some(snapshot.description.human.clone()),
            state: Some(snapshot.state.clone()),
            created: Some(instant(snapshot.created)),
            ..View::default()
        }),
        after: None,
        risk: Risk { level: RiskLevel::Loss, text: risk },
        definition: None,
    }
}

/// The risk of what changes libvirt's records alone.
pub(super) fn metadata_only() -> Risk {
    Risk { level: RiskLevel::Metadata, text: "metadata only; no image is touched".to_owned() }
}

fn not_ours(owner: Option<&str>) -> String {
    match owner {
        Some(owner) => format!("a snapshot of this name exists and belongs to set {owner}"),
        None => "a snapshot of this name exists and snapward did not make it".to_owned(),
    }
}

/// A declared field that differs and that no redefine can change: field, text, way out.
fn immutable(claim: &Claim<'_>, snapshot: &ObservedSnapshot) -> Option<(&'static str, String, &'static str)> {
    let capture = claim.snapshot.capture.as_ref()?;
    let content = snapshot.content().filter(|content| *content != capture.content)?;
    let word = |content| match content {
        Content::Full => "disks and memory",
        Content::Disks => "disks alone",
        Content::Memory => "memory alone",
    };
    Some((
        "capture/content",
        format!(
            "it holds {} and is declared with {}; what was captured cannot be changed afterwards",
            word(content),
            word(capture.content)
        ),
        "declare the content it has, or delete it (state: absent) and declare a new name",
    ))
}
