//! What retention does with the snapshots of a series: which go, which stay and why, and what draining one leaves.

use std::collections::{BTreeMap, BTreeSet};

use super::claims::Claim;
use super::complete::{Wholeness, is_consistent};
use super::declared::metadata_only;
use super::deletable::deletable;
use super::domain::{Planner, own_stamp};
use super::series::SeriesClaim;
use crate::model::desired::Origin;
use crate::model::kinds::{Hold, RetentionSpec};
use crate::model::names::SnapshotName;
use crate::model::plan::{ActionKind, BlockCode, Kept, Reason, ReasonCode, View};
use crate::model::shared::SharedText;
use crate::model::snapshot::ObservedSnapshot;
use crate::model::stamp::{Stamp, StampHold};
use crate::model::text::printable;
use crate::retention::{self, Candidate, Code, Decision, SetAside, Wording};

/// The deletions of one series in a plan, for the breaker.
pub(super) struct SeriesDeletes {
    /// `series hourly of set default/web`.
    pub(super) label: String,
    /// How many snapshots it has, with the one captured in the same pass where that is sure.
    pub(super) total: usize,
    /// What retention deletes.
    pub(super) names: BTreeSet<SnapshotName>,
}

impl SeriesDeletes {
    /// Whether more than so many percent of the series go at once.
    pub(super) fn share_is_over(&self, percent: u8) -> bool {
        self.names.len() * 100 > usize::from(percent) * self.total
    }
}

/// What retention decided on the snapshots of a series.
pub(super) struct Retained<'a> {
    pub(super) spec: &'a RetentionSpec,
    /// Its snapshots, and last the one captured in this pass.
    pub(super) candidates: Vec<Candidate>,
    pub(super) decisions: Vec<Decision>,
}

impl<'a> Planner<'a> {
    /// Plans the deletions of all series, and says of the rest why it stays.
    pub(super) fn retain(&mut self, claims: &[SeriesClaim<'a>], declared: &[Claim<'_>]) {
        let declared: BTreeSet<&SnapshotName> = declared.iter().map(|claim| &claim.snapshot.name).collect();
        for claim in claims.iter().filter(|claim| claim.is_active()) {
            if !claim.series.is_present() {
                self.drain(claim, &declared);
            } else if claim.series.prune && !claim.adopts() {
                self.prune(claim, &declared);
            }
            self.sync_holds(claim, &declared);
        }
    }

    /// Decides on the snapshots of a series as they will be after the captures of this pass.
    pub(super) fn decide(&self, claim: &SeriesClaim<'a>, declared: &BTreeSet<&SnapshotName>) -> Option<Retained<'a>> {
        let spec = claim.series.retention?;
        let wholeness = Wholeness::of(self.domain);
        let candidate = |snapshot: &&ObservedSnapshot| self.candidate(claim, snapshot, declared, &wholeness);
        let mut candidates: Vec<Candidate> = claim.members.iter().map(candidate).collect();
        candidates.extend(claim.created.as_ref().map(|(slot, name)| Candidate {
            name: name.clone(),
            slot: *slot,
            created: self.context.now,
            complete: self.captures_are_sure,
            set_aside: None,
            current: self.is_current(name),
        }));
        let max_future = &self.limits.clock.max_future;
        let context = retention::Context { now: self.context.now, max_future };
        // Fails for an unknown zone only, which the manifest's own check refuses; then nothing is deleted.
        let decisions = retention::decide(&candidates, spec, &context).ok()?;
        Some(Retained { spec, candidates, decisions })
    }

    fn candidate(
        &self,
        claim: &SeriesClaim<'_>,
        snapshot: &ObservedSnapshot,
        declared: &BTreeSet<&SnapshotName>,
        wholeness: &Wholeness<'_>,
    ) -> Candidate {
        let created = jiff::Timestamp::from_second(snapshot.created).unwrap_or(jiff::Timestamp::MAX);
        let slot = own_stamp(snapshot).and_then(|stamp| stamp.slot);
        Candidate {
            name: snapshot.name.clone(),
            slot: slot.unwrap_or(created),
            created,
            complete: is_consistent(claim, snapshot) && wholeness.is_whole(snapshot),
            set_aside: self.set_aside(claim, snapshot, declared),
            current: self.is_current(&snapshot.name),
        }
    }

    /// Whether it will be the current snapshot once this pass has captured what is due, or is declared to be.
    fn is_current(&self, name: &SnapshotName) -> bool {
        self.pointer.as_ref() == Some(name) || self.pointed_at.contains(name)
    }

    /// Why retention has no say in a snapshot.
    fn set_aside(
        &self,
        claim: &SeriesClaim<'_>,
        snapshot: &ObservedSnapshot,
        declared: &BTreeSet<&SnapshotName>,
    ) -> Option<SetAside> {
        let stamp = own_stamp(snapshot)?;
        if stamp.protect {
            return Some(SetAside::Protected);
        }
        if declared.contains(&snapshot.name) {
            return Some(SetAside::Held("it is declared by its name too".to_owned()));
        }
        if stamp.slot.is_none() {
            return Some(SetAside::Held("its stamp names no slot that can be read".to_owned()));
        }
        if let Some(hold) = self.declared_hold(claim, &snapshot.name) {
            let until = hold.until.as_ref().map(|until| format!(" until {}", until.as_str())).unwrap_or_default();
            return Some(SetAside::Held(format!("{}{until}", printable(&hold.reason))));
        }
        if let Some((_, label)) = self.revert_targets.iter().find(|(name, _)| **name == snapshot.name) {
            return Some(SetAside::Held(format!("{label} reverts to it")));
        }
        let hold = stamp.holds().find(|hold| hold.lasts(self.context.now))?;
        Some(SetAside::Held(printable(&hold.to_string())))
    }

    fn declared_hold<'c>(&self, claim: &'c SeriesClaim<'_>, name: &SnapshotName) -> Option<&'c Hold> {
        claim.series.set.value.spec.hold(name, self.context.now)
    }

    fn prune(&mut self, claim: &SeriesClaim<'a>, declared: &BTreeSet<&SnapshotName>) {
        let Some(Retained { spec, candidates, decisions }) = self.decide(claim, declared) else { return };
        let wording = Wording::new(&candidates, spec);
        let mut doomed: BTreeMap<SnapshotName, String> = BTreeMap::new();
        let origin = claim.series.origin("");
        let members = claim.members.len();
        self.kept.reserve_exact(members);
        for (index, decision) in decisions.into_iter().enumerate().take(members) {
            let name = &candidates[index].name;
            if decision.keep {
                let code = kept_code(&decision);
                let words = |reasons: &[_]| wording.reasons(index, reasons);
                let text = claim.said.words(members - 1 - index, decision.reasons, words);
                self.keep(&origin, name, code, text);
                continue;
            }
            let reasons = wording.reasons(index, &decision.reasons);
            let saved = decision.saved_by.map(|change| format!("; {} would keep it", wording.change(change)));
            let text = format!("{}: {reasons}{}", claim.label(), saved.unwrap_or_default());
            doomed.insert(name.clone(), text);
        }
        let names = self.delete_all(claim, ReasonCode::Retention, doomed, "/retention");
        // A capture that waits for these deletions may not come: it makes the share of what goes no smaller.
        let total = if self.captures_are_sure { candidates.len() } else { claim.members.len() };
        self.series_deletes.push(SeriesDeletes { label: claim.label(), total, names });
    }

    /// `state: absent`: all go but what is held, protected, declared by name or as current, and what must stay for the tree.
    fn drain(&mut self, claim: &SeriesClaim<'a>, declared: &BTreeSet<&SnapshotName>) {
        let mut doomed = BTreeMap::new();
        let origin = claim.series.origin("");
        for snapshot in &claim.members {
            let name = &snapshot.name;
            match self.set_aside(claim, snapshot, declared) {
                Some(SetAside::Protected) => {
                    self.keep(&origin, name, ReasonCode::Protected, "it is protected".to_owned());
                }
                Some(SetAside::Held(why)) => {
                    self.keep(&origin, name, ReasonCode::Held, format!("it is on hold: {why}"));
                }
                None if self.pointed_at.contains(name) => {
                    let text = "it is declared as the current snapshot".to_owned();
                    self.keep(&origin, name, ReasonCode::Current, text);
                }
                None => {
                    doomed.insert(name.clone(), format!("{} is declared with state: absent", claim.label()));
                }
            }
        }
        self.spare_last(claim, &mut doomed);
        self.delete_all(claim, ReasonCode::Drained, doomed, "/state");
    }

    /// Leaves a domain its newest snapshot, unless its policies allow it to have none.
    fn spare_last(&mut self, claim: &SeriesClaim<'_>, doomed: &mut BTreeMap<SnapshotName, String>) {
        let left = self.domain.tree.len() + self.creates.len();
        if self.limits.allow_empty || left > self.deletes.len() + doomed.len() {
            return;
        }
        let newest = claim.members.iter().filter(|snapshot| doomed.contains_key(&snapshot.name));
        let Some(newest) = newest.max_by_key(|snapshot| (snapshot.created, &snapshot.name)) else { return };
        doomed.remove(&newest.name);
        let text = format!(
            "{} is declared with state: absent, and this is the last snapshot of the domain; it is not deleted",
            claim.label()
        );
        let way_out = "set allowEmpty: true in the SafetyPolicy of the set, or capture another one first";
        self.block(Some(&newest.name), BlockCode::LastSnapshot, text, way_out, vec![claim.series.origin("/state")]);
    }

    /// Plans the deletion of what can go now; the rest is kept. Returns what goes.
    fn delete_all(
        &mut self,
        claim: &SeriesClaim<'_>,
        code: ReasonCode,
        mut doomed: BTreeMap<SnapshotName, String>,
        field: &str,
    ) -> BTreeSet<SnapshotName> {
        let wanted: BTreeSet<SnapshotName> = doomed.keys().cloned().collect();
        for (name, why) in deletable(self.host, self.domain, &wanted) {
            let text = format!("{}; {why}", doomed.remove(&name).unwrap_or_default());
            self.keep(&claim.series.origin(""), &name, ReasonCode::Tree, text);
        }
        for (name, text) in &doomed {
            if let Some(snapshot) = self.domain.tree.get(name) {
                let action =
                    self.deletion(snapshot, Reason { code, text: text.clone().into() }, claim.series.origin(field));
                self.deletes.push(action);
            }
        }
        doomed.into_keys().collect()
    }

    fn keep(&mut self, origin: &Origin, name: &SnapshotName, code: ReasonCode, text: impl Into<SharedText>) {
        let (address, origin) = (self.address(Some(name)), Some(origin.clone()));
        self.kept.push(Kept { address, reason: Reason { code, text: text.into() }, origin });
    }

    /// Writes the holds of the manifest into the stamps of what stays, and takes those out that it no longer has.
    fn sync_holds(&mut self, claim: &SeriesClaim<'_>, declared: &BTreeSet<&SnapshotName>) {
        let goes: BTreeSet<_> = self.deletes.iter().filter_map(|action| action.address.snapshot.clone()).collect();
        let stays =
            |snapshot: &&&ObservedSnapshot| !goes.contains(&snapshot.name) && !declared.contains(&snapshot.name);
        for snapshot in claim.members.iter().filter(stays) {
            let Some(stamp) = own_stamp(snapshot) else { continue };
            let hold = self.declared_hold(claim, &snapshot.name).map(StampHold::from);
            if stamp.hold == hold {
                continue;
            }
            let text = |hold: &Option<StampHold>| hold.as_ref().map(ToString::to_string).unwrap_or_default();
            let origin = claim.series.set.origin("/spec/holds");
            self.note_drift(Some(&snapshot.name), "hold", text(&hold), text(&stamp.hold), origin.clone());
            let wanted = Stamp { hold, ..stamp.clone() };
            let view = |stamp: &Stamp| View { stamp: Some(stamp.lines()), ..View::default() };
            self.redefines.push(crate::model::plan::Action {
                address: self.address(Some(&snapshot.name)),
                action: ActionKind::Redefine,
                reason: Reason {
                    code: ReasonCode::FieldsDiffer,
                    text: "its hold differs from the declared one".into(),
                },
                origin,
                before: Some(view(stamp)),
                after: Some(view(&wanted)),
                risk: metadata_only(),
                definition: None,
            });
        }
    }
}

/// What keeps a snapshot, where that is not the calendar alone.
fn kept_code(decision: &Decision) -> ReasonCode {
    let has = |code: Code| decision.reasons.iter().any(|reason| reason.code() == code);
    if has(Code::Protected) {
        ReasonCode::Protected
    } else if has(Code::Held) {
        ReasonCode::Held
    } else {
        ReasonCode::Retention
    }
}
