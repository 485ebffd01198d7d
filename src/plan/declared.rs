//! One declared snapshot against what the domain has: the decision table of DESIGN.md, "Declared snapshot".

use super::capture;
use super::claims::Claim;
use super::domain::{Planner, is_about, own_stamp};
use super::series::capture_risk;
use crate::model::desired::{Origin, SavedSnapshot};
use crate::model::kinds::{Content, CreateMode, DateOrInstant, Presence};
use crate::model::names::SnapshotName;
use crate::model::plan::{Action, ActionKind, BlockCode, Kept, Reason, ReasonCode, Risk, RiskLevel, View, Warning};
use crate::model::snapshot::ObservedSnapshot;
use crate::model::stamp::{Description, Stamp, StampHold};
use crate::model::text::{count, instant, printable};
use crate::retention::expires_at;

impl<'a> Planner<'a> {
    /// Decides what one declared snapshot needs.
    pub(super) fn declared(&mut self, claim: &Claim<'_>) {
        let snapshot = self.domain.tree.get(&claim.snapshot.name).cloned();
        match (claim.snapshot.state, snapshot) {
            (Presence::Absent, None) => self.unchanged += 1,
            (Presence::Absent, Some(snapshot)) => self.absent(claim, &snapshot),
            (Presence::Present, None) => self.missing(claim),
            (Presence::Present, Some(snapshot)) => self.present(claim, &snapshot),
        }
    }

    fn absent(&mut self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) {
        let name = &snapshot.name;
        match own_stamp(snapshot) {
            Some(stamp) if stamp.set == claim.id => {}
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
        match capture::obstacle(self.host, self.domain, declared) {
            Some(obstacle) => {
                self.block(Some(name), obstacle.code, obstacle.text, obstacle.way_out, vec![claim.origin()]);
            }
            None => self.create(claim, made.map(|made| made.created)),
        }
    }

    fn create(&mut self, claim: &Claim<'_>, made_before: Option<i64>) {
        let declared = claim.snapshot;
        if !self.domain.state.is_active() {
            // QEMU refuses a second snapshot of one name; offline, libvirt makes it without a word.
            self.warn_of_unseen_image(claim, "already holds a snapshot of this name, which libvirt would double");
        }
        let mut stamp = Stamp::new(claim.id.clone(), declared.name.clone());
        stamp.consistency = Some(capture::consistency(self.domain.state));
        stamp.protect = declared.protect == Some(true);
        stamp.hold = declared_hold(claim, self.context.now);
        let reason = match made_before {
            Some(created) => Reason {
                code: ReasonCode::Recreate,
                text: format!("captured {} and gone since; recreate: true", instant(created)),
            },
            None if self.ledger_lost() => {
                Reason { code: ReasonCode::Recreate, text: "the ledger is lost; recreate: true".to_owned() }
            }
            None => Reason { code: ReasonCode::Declared, text: "declared and never captured".to_owned() },
        };
        self.creates.push(Action {
            address: self.address(Some(&declared.name)),
            action: ActionKind::Create,
            reason,
            origin: claim.origin(),
            before: None,
            after: Some(View {
                description: Some(declared.description.clone().unwrap_or_default()),
                stamp: Some(stamp.lines()),
                capture: declared.capture.clone(),
                ..View::default()
            }),
            risk: capture_risk(self.domain.state),
            definition: None,
        });
        let lands_under = self.pointer.replace(declared.name.clone());
        if let Some(parent) = declared.parent.as_ref().filter(|parent| lands_under.as_ref() != Some(*parent)) {
            self.place(claim, lands_under.as_ref(), parent);
        }
    }

    /// Hangs a snapshot of this pass, or an existing one, under its declared parent.
    fn place(&mut self, claim: &Claim<'_>, from: Option<&SnapshotName>, parent: &SnapshotName) {
        let name = &claim.snapshot.name;
        let known = self.domain.tree.get(parent).is_some() || self.creates.iter().any(|a| is_about(a, parent));
        let problem = if !known {
            Some(format!("the declared parent {parent} does not exist"))
        } else if self.domain.tree.is_within(parent, name) {
            Some(format!("the declared parent {parent} hangs below the snapshot itself"))
        } else {
            None
        };
        let observed = from.map(ToString::to_string).unwrap_or_default();
        if let Some(text) = problem {
            let way_out = "declare another parent, or leave `parent` out";
            return self.block(Some(name), BlockCode::ParentDiffers, text, way_out, vec![claim.field("parent")]);
        }
        self.placements.push(Action {
            address: self.address(Some(name)),
            action: ActionKind::Redefine,
            reason: Reason { code: ReasonCode::ParentDiffers, text: format!("declared under {parent}") },
            origin: claim.field("parent"),
            before: Some(View { parent: Some(observed), ..View::default() }),
            after: Some(View { parent: Some(parent.as_str().to_owned()), ..View::default() }),
            risk: metadata_only(),
            definition: None,
        });
    }

    /// The saved snapshot that the declaration names as its definition, if it was read.
    fn saved(&self, claim: &Claim<'_>) -> Option<&'a SavedSnapshot> {
        let key = (claim.set.file.clone(), claim.snapshot.definition.clone()?);
        self.context.desired.definitions.get(&key)
    }

    fn restore(&mut self, claim: &Claim<'_>) {
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
        self.warn_of_unseen_image(claim, "holds the snapshot that the definition describes");
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
                stamp: wanted.stamp.as_ref().map(Stamp::lines),
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

    fn present(&mut self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) {
        let name = &snapshot.name;
        let stamp = own_stamp(snapshot);
        let ours = stamp.is_some_and(|stamp| stamp.set == claim.id);
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
        let end = hold.until.as_deref().and_then(|until| DateOrInstant::parse(until).ok());
        end.is_none_or(|end| end.timestamp() > self.context.now).then(|| hold.to_string())
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
                    reason: Reason { code, text: format!("{over}; {reason}") },
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

    fn warn_of_unseen_image(&mut self, claim: &Claim<'_>, what: &str) {
        let Some(target) = capture::unseen_image(self.host, self.domain) else { return };
        let address = self.address(Some(&claim.snapshot.name));
        let target = printable(target);
        let text =
            format!("{address}: the image of disk {target} cannot be read from here; whether it {what} is not known");
        self.warnings.push(Warning { text, origin: claim.origin() });
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
        if self.pointed_at.contains(&snapshot.name) {
            return Some((ReasonCode::Current, "it is declared as the current snapshot".to_owned()));
        }
        None
    }

    fn delete(&mut self, claim: &Claim<'_>, snapshot: &ObservedSnapshot, code: ReasonCode, text: String) {
        let origin = if code == ReasonCode::Expired { claim.field("deleteAfter") } else { claim.field("state") };
        if let Some(obstacle) = capture::deletion_obstacle(self.domain, snapshot) {
            return self.block(Some(&snapshot.name), obstacle.code, obstacle.text, obstacle.way_out, vec![origin]);
        }
        let action = self.deletion(snapshot, Reason { code, text }, origin);
        self.deletes.push(action);
    }

    /// The deletion of a snapshot.
    pub(super) fn deletion(&self, snapshot: &ObservedSnapshot, reason: Reason, origin: Origin) -> Action {
        let children = self.domain.tree.children(Some(&snapshot.name)).len();
        let mut risk = "what it captured is gone for good".to_owned();
        if children > 0 {
            let its = count(children, "child keeps its content and moves", "children keep their content and move");
            risk.push_str(&format!("; its {its} to its parent"));
        }
        Action {
            address: self.address(Some(&snapshot.name)),
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

    fn redefine(&mut self, claim: &Claim<'_>, code: ReasonCode, text: String, before: View, after: View) {
        self.redefines.push(Action {
            address: self.address(Some(&claim.snapshot.name)),
            action: ActionKind::Redefine,
            reason: Reason { code, text },
            origin: claim.origin(),
            before: Some(before),
            after: Some(after),
            risk: metadata_only(),
            definition: None,
        });
    }

    /// The description as it is and as it is declared, reduced to the parts that differ.
    fn changes(&self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) -> (View, View) {
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

    /// The description as it is declared. What is not declared stays: the text, and protection, which is sticky.
    fn wanted(&self, claim: &Claim<'_>, snapshot: &ObservedSnapshot) -> Description {
        let is = &snapshot.description;
        let mut stamp = match &is.stamp {
            Some(stamp) => Stamp { set: claim.id.clone(), snapshot: snapshot.name.clone(), ..stamp.clone() },
            None => Stamp::new(claim.id.clone(), snapshot.name.clone()),
        };
        stamp.protect = claim.snapshot.protect.unwrap_or(stamp.protect);
        stamp.hold = declared_hold(claim, self.context.now);
        let human = claim.snapshot.description.clone().unwrap_or_else(|| is.human.clone());
        Description { human, stamp: Some(stamp) }
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

fn declared_hold(claim: &Claim<'_>, now: jiff::Timestamp) -> Option<StampHold> {
    claim.hold(now).map(|hold| StampHold {
        reason: hold.reason.clone(),
        until: hold.until.as_ref().map(|until| until.as_str().to_owned()),
    })
}

fn metadata_only() -> Risk {
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
