//! RevertRequests of a domain: which of them owes a revert now, and the guard snapshots of earlier ones.

use std::collections::BTreeSet;

use super::super::chain::{Fault, Neighbours};
use super::super::deletable::deletable;
use super::super::domain::{Planner, own_stamp, suspended};
use super::super::windows;
use super::Wanted;
use super::actions::{Asked, Guard, actions};
use crate::model::desired::{Document, Origin, id_of};
use crate::model::kinds::{RevertRequest, SnapshotSet, WindowAction};
use crate::model::names::{DomainUuid, SetId, SnapshotName};
use crate::model::plan::{BlockCode, Kept, Reason, ReasonCode, Warning};
use crate::model::revert::{GUARD_SERIES, RevertNote, RevertToken, add_note};
use crate::model::series::{slot_name, slot_of_name};
use crate::model::snapshot::ObservedSnapshot;
use crate::model::stamp::Stamp;
use crate::model::text::printable;
use crate::schedule::{Due, Tempo, due, jitter};

/// A request that selects the domain.
#[derive(Clone, Copy)]
pub(in crate::plan) struct Claim<'a> {
    pub(in crate::plan) request: &'a Document<RevertRequest>,
}

/// What a request wants of the domain now.
enum Stand {
    /// Nothing: its revert was done, or is not due.
    Rests,
    /// Nothing any more, though its revert was never done.
    Over(String),
    /// A revert was begun and not seen to be done.
    Unknown(RevertNote),
    /// A revert.
    Owes(RevertToken),
}

impl<'a> Claim<'a> {
    fn id(&self) -> SetId {
        id_of(&self.request.value.metadata)
    }

    fn label(&self) -> String {
        format!("RevertRequest {}", self.id())
    }

    pub(in crate::plan) fn origin(&self) -> Origin {
        let field = if self.request.value.spec.token.is_some() { "/spec/token" } else { "/spec/schedule" };
        self.request.origin(field)
    }

    fn target(&self) -> &'a SnapshotName {
        &self.request.value.spec.to
    }

    /// Whether it may yet revert: its target has to stay until then.
    fn is_alive(&self, now: jiff::Timestamp) -> bool {
        self.request.value.spec.expires_at.as_ref().is_none_or(|end| end.timestamp() > now)
    }

    /// Whether the snapshot is the state before one of its reverts.
    pub(in crate::plan) fn guards(&self, snapshot: &ObservedSnapshot) -> bool {
        own_stamp(snapshot)
            .is_some_and(|stamp| *stamp.set == self.id() && stamp.series.as_deref() == Some(GUARD_SERIES))
    }

    /// When a slot of its schedule comes; none while one is owed.
    fn next_slot(&self, notes: &[RevertNote], uuid: DomainUuid, now: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let (spec, id) = (&self.request.value.spec, self.id());
        let (tempo, part) = (Tempo::of(spec.schedule.as_ref()?).ok()?, jitter(uuid, &id.to_string()));
        let next = match due(&tempo, newest_slot(notes, &id).map(|(slot, _)| slot), now, part) {
            Due::Now { .. } => None,
            Due::From { at, .. } => Some(at),
            Due::No | Due::Missed { .. } => tempo.next_due(now, part),
        };
        next.filter(|_| self.is_alive(now))
    }

    fn stand(&self, notes: &[RevertNote], uuid: DomainUuid, now: jiff::Timestamp) -> Stand {
        let spec = &self.request.value.spec;
        let id = self.id();
        let expires = spec.expires_at.as_ref().map(crate::model::kinds::DateOrInstant::timestamp);
        if let Some(token) = &spec.token {
            let note = notes.iter().find(|note| note.is_of(&id, token));
            return match (note, expires) {
                (None, Some(end)) if end <= now => {
                    Stand::Over(format!("it expired {end} without a revert of this domain"))
                }
                (_, Some(end)) if end <= now => Stand::Rests,
                (Some(note), _) if note.done => Stand::Rests,
                (Some(note), _) => Stand::Unknown(note.clone()),
                (None, _) => Stand::Owes(RevertToken {
                    request: id,
                    token: token.clone(),
                    until: expires.map(|end| end.to_string()),
                }),
            };
        }
        let Some(Ok(tempo)) = spec.schedule.as_ref().map(Tempo::of) else { return Stand::Rests };
        if expires.is_some_and(|end| end <= now) {
            return Stand::Rests;
        }
        let newest = newest_slot(notes, &id);
        match due(&tempo, newest.map(|(slot, _)| slot), now, jitter(uuid, &id.to_string())) {
            Due::Now { slot } => Stand::Owes(RevertToken {
                request: id,
                token: slot_name(slot),
                until: Some(tempo.end(slot).min(expires.unwrap_or(jiff::Timestamp::MAX)).to_string()),
            }),
            Due::Missed { slot, end } => {
                Stand::Over(format!("the slot {slot} was not taken before its startingDeadline ended {end}"))
            }
            Due::No | Due::From { .. } => match newest {
                Some((_, note)) if !note.done && note.until.is_none_or(|until| until > now) => {
                    Stand::Unknown(note.clone())
                }
                _ => Stand::Rests,
            },
        }
    }
}

/// The newest slot for which a scheduled request has begun a revert.
fn newest_slot<'n>(notes: &'n [RevertNote], request: &SetId) -> Option<(jiff::Timestamp, &'n RevertNote)> {
    let own = notes.iter().filter(|note| note.request == *request);
    own.filter_map(|note| Some((slot_of_name(&note.token)?, note))).max_by_key(|(slot, _)| *slot)
}

/// The snapshots that requests may yet revert to, each with the request.
pub(in crate::plan) fn targets<'a>(claims: &[Claim<'a>], now: jiff::Timestamp) -> Vec<(&'a SnapshotName, String)> {
    claims.iter().filter(|claim| claim.is_alive(now)).map(|claim| (claim.target(), claim.label())).collect()
}

impl Planner<'_> {
    /// Every note of a revert, on whichever snapshot, or in the ledger.
    fn notes(&self) -> Vec<RevertNote> {
        let mut notes = Vec::new();
        let on_snapshots = self.domain.tree.iter().flat_map(|snapshot| &snapshot.description.reverts);
        let in_ledger = self.domain.ledger.iter().flat_map(|ledger| &ledger.reverts);
        on_snapshots.chain(in_ledger).for_each(|note| add_note(&mut notes, note.clone()));
        notes
    }

    /// Plans the revert that the domain's requests owe. True: there is one, and it is the whole of this pass.
    pub(in crate::plan) fn plan_reverts(&mut self, claims: &[Claim<'_>], sets: &[&Document<SnapshotSet>]) -> bool {
        let notes = self.notes();
        let mut owed = Vec::new();
        for claim in claims {
            self.reverts_due.extend(claim.next_slot(&notes, self.domain.uuid, self.context.now));
            match claim.stand(&notes, self.domain.uuid, self.context.now) {
                Stand::Rests => self.unchanged += 1,
                Stand::Over(why) => {
                    let text = format!("{}: {}: {why}", self.address(None), claim.label());
                    self.warnings.push(Warning { text, origin: claim.origin() });
                }
                Stand::Unknown(note) => self.block_unknown(claim, &note),
                Stand::Owes(token) => owed.push((claim, token)),
            }
        }
        let [(claim, token)] = owed.as_slice() else {
            for (claim, _) in &owed {
                let others: Vec<_> = owed.iter().map(|(claim, _)| claim.id().to_string()).collect();
                let text = format!("the RevertRequests {} all want to revert this domain now", others.join(" and "));
                let way_out = "let one of them expire, or exclude the domain there (spec.domains.exclude)";
                self.block(Some(claim.target()), BlockCode::Conflict, text, way_out, vec![claim.origin()]);
            }
            return false;
        };
        if self.waits(claim, sets) {
            return false;
        }
        match self.revert_for(claim, token) {
            Ok(actions) => {
                self.reverts = actions;
                let domain = (self.domain.name.as_str(), self.domain.uuid);
                self.window_closes = windows::closes(self.context, self.host, domain, WindowAction::Revert);
                let text = format!(
                    "{}: the revert is done by itself; what else is declared for the domain is planned by the run after it",
                    self.address(None)
                );
                self.warnings.push(Warning { text, origin: claim.origin() });
                true
            }
            Err(Fault { code, text, way_out }) => {
                let text = format!("{}: {text}; nothing was reverted", claim.label());
                self.block(Some(claim.target()), code, text, way_out, vec![claim.origin()]);
                false
            }
        }
    }

    fn block_unknown(&mut self, claim: &Claim<'_>, note: &RevertNote) {
        let text = format!(
            "the revert for {} (token {}) was begun {} and not seen to be done: the run was killed, or the revert failed. It \
             is not tried again",
            claim.label(),
            printable(&note.token),
            note.time
        );
        let way_out = "look at the domain: whether it runs, what its disks hold, and at the guard snapshot. To revert it (again), \
                       give the request a new token; a schedule goes on with its next slot";
        self.block(Some(claim.target()), BlockCode::OutcomeUnknown, text, way_out, vec![claim.origin()]);
    }

    /// Whether an owed revert has to wait, and says for what.
    fn waits(&mut self, claim: &Claim<'_>, sets: &[&Document<SnapshotSet>]) -> bool {
        let label = claim.label();
        if let Some(why) = sets.iter().find_map(|set| suspended(set, self.context.now)) {
            let text = format!("{}: {label} waits: the domain is suspended ({why})", self.address(None));
            self.warnings.push(Warning { text, origin: claim.origin() });
            return true;
        }
        let closed =
            windows::closed(self.context, self.host, (&self.domain.name, self.domain.uuid), WindowAction::Revert);
        match closed {
            None => false,
            Some(Some(opens)) => {
                self.reverts_due.push(opens);
                let text = format!("{label} reverts to it when the window of the SafetyPolicy opens, {opens}");
                self.kept.push(Kept {
                    address: self.address(Some(claim.target())),
                    reason: Reason { code: ReasonCode::Window, text: text.into() },
                    origin: Some(claim.origin()),
                });
                true
            }
            Some(None) => {
                let text = format!(
                    "{label}: the SafetyPolicies of the domain allow reverts only in windows, and none that all share comes"
                );
                let way_out = "give the policies of the domain's sets windows that meet";
                self.block(Some(claim.target()), BlockCode::WindowClosed, text, way_out, vec![claim.origin()]);
                true
            }
        }
    }

    fn revert_for(&self, claim: &Claim<'_>, token: &RevertToken) -> Result<Vec<crate::model::plan::Action>, Fault> {
        let spec = &claim.request.value.spec;
        let now = self.context.now;
        let guard = (spec.guard.keep > 0).then(|| {
            let name = SnapshotName::observed(format!("{}-guard-{}", claim.id().name, slot_name(now)));
            let mut stamp = Stamp::new(claim.id(), name.clone());
            stamp.series = Some(GUARD_SERIES.to_owned());
            stamp.slot = Some(now);
            Guard { name, stamp: Some(stamp) }
        });
        let (code, what) = match &spec.token {
            Some(_) => (ReasonCode::RevertRequested, format!("token {}", printable(&token.token))),
            None => (ReasonCode::RevertScheduled, format!("slot {}", token.token)),
        };
        actions(&Asked {
            host: self.host,
            domain: self.domain,
            neighbours: &Neighbours::of(self.observed_host, self.domain),
            limits: &self.limits,
            target: claim.target(),
            wanted: Wanted { power: spec.power, force: spec.force, reset_nvram: false },
            token: Some(token.clone()),
            guard,
            reason: Reason { code, text: format!("{}, {what}", claim.label()).into() },
            origin: claim.origin(),
            now: now.as_second(),
        })
    }

    /// Deletes the guard snapshots beyond what each request keeps.
    pub(in crate::plan) fn prune_guards(&mut self, claims: &[Claim<'_>], sets: &[&Document<SnapshotSet>]) {
        if sets.iter().any(|set| suspended(set, self.context.now).is_some()) {
            return;
        }
        let notes = self.notes();
        for claim in claims {
            let id = claim.id();
            let mut guards: Vec<&ObservedSnapshot> =
                self.domain.tree.iter().filter(|snapshot| claim.guards(snapshot)).collect();
            guards.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.created, &snapshot.name)));
            // Of a revert that may have gone wrong the guard is what is left.
            if notes.iter().any(|note| note.request == id && !note.done) {
                continue;
            }
            let keep = claim.request.value.spec.guard.keep;
            let beyond = guards.into_iter().skip(keep as usize);
            let wanted: BTreeSet<SnapshotName> = beyond.map(|snapshot| snapshot.name.clone()).collect();
            let held = deletable(self.host, self.domain, &wanted);
            for name in wanted {
                let why = held.iter().find(|(other, _)| *other == name).map(|(_, why)| why.clone());
                let Some(snapshot) = self.domain.tree.get(&name).cloned() else { continue };
                let origin = claim.request.origin("/spec/guard");
                let why = why.or_else(|| self.guard_stays(&snapshot));
                let text = format!("the state before a revert of {}, which keeps {keep}", claim.label());
                let reason = Reason { code: ReasonCode::Guard, text: text.into() };
                match why {
                    Some(why) => self.kept.push(Kept {
                        address: self.address(Some(&name)),
                        reason: Reason { text: format!("{}; {why}", reason.text).into(), ..reason },
                        origin: Some(origin),
                    }),
                    None => {
                        let action = self.deletion(&snapshot, reason, origin);
                        self.deletes.push(action);
                    }
                }
            }
        }
    }

    /// Why a guard is not deleted, whatever `keep` says.
    fn guard_stays(&self, snapshot: &ObservedSnapshot) -> Option<String> {
        let stamp = own_stamp(snapshot)?;
        if stamp.protect {
            return Some("it is protected".to_owned());
        }
        if let Some(hold) = stamp.holds().find(|hold| hold.lasts(self.context.now)) {
            return Some(format!("it is on hold: {}", printable(&hold.to_string())));
        }
        if self.pointer.as_ref() == Some(&snapshot.name) || self.pointed_at.contains(&snapshot.name) {
            return Some("it is the current snapshot".to_owned());
        }
        let (_, label) = self.revert_targets.iter().find(|(name, _)| **name == snapshot.name)?;
        Some(format!("{label} reverts to it"))
    }
}
