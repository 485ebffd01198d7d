//! What a pass notes in a domain's ledger, and what it finds there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::claims::Claim;
use super::domain::{Planner, own_stamp, suspended};
use crate::model::kinds::Presence;
use crate::model::ledger::{Ledger, LedgerEntry};
use crate::model::names::SnapshotName;
use crate::model::plan::{BlockCode, ReasonCode};

impl Planner<'_> {
    /// The ledger as every copy of it should read before anything is done, where one does not: with an entry for each
    /// declared snapshot of ours that is there. An empty one is written before the first capture, so that a run killed
    /// between a capture and its entry leaves a domain that has a ledger, not one that lost it.
    pub(super) fn ledger(&self, claims: &[Claim<'_>]) -> Option<Ledger> {
        if self.ledger_lost() && self.blocked.iter().any(|item| item.code == BlockCode::LedgerLost) {
            return None;
        }
        let empty = Ledger::empty(self.domain.uuid);
        // Mostly there is nothing to note, and nothing is copied.
        let mut wanted = Cow::Borrowed(self.domain.ledger.as_ref().unwrap_or(&empty));
        let mut ours = false;
        for (claim, found) in claims.iter().zip(&self.found) {
            let name = &claim.snapshot.name;
            let Some(snapshot) = found else {
                // Gone, and wanted gone: by our own hand in a run that could not note it any more, or by another's.
                let released =
                    claim.snapshot.state == Presence::Absent && suspended(claim.set, self.context.now).is_none();
                if let Some(made) = wanted.made(name).filter(|_| released) {
                    wanted.to_mut().record(name.clone(), LedgerEntry { released: true, ..made });
                }
                continue;
            };
            if own_stamp(snapshot).is_some_and(|stamp| *stamp.set == *claim.id) {
                ours = true;
                let entry = LedgerEntry { created: snapshot.created, released: false };
                if !wanted.knows(name, entry) {
                    wanted.to_mut().record(snapshot.name.clone(), entry);
                }
            }
        }
        // The ledger is about declared snapshots; where it is lost, what a series captures does not begin another.
        let lost = self.ledger_lost();
        let mut writes = self.creates.iter().chain(&self.redefines).chain(&self.reverts);
        let declared = |code| {
            !matches!(
                code,
                ReasonCode::Scheduled | ReasonCode::Guard | ReasonCode::RevertRequested | ReasonCode::RevertScheduled
            )
        };
        let acts = writes.any(|action| !lost || declared(action.reason.code));
        let unchanged = matches!(wanted, Cow::Borrowed(_)) || self.domain.ledger.as_ref() == Some(&*wanted);
        let complete = unchanged && self.domain.ledger.is_some() && self.domain.ledger_is_current;
        ((ours || acts || self.domain.ledger.is_some()) && !complete).then(|| wanted.into_owned())
    }

    /// What is captured again: when it was captured before.
    pub(super) fn lost(&self) -> BTreeMap<SnapshotName, i64> {
        let made = |name: &SnapshotName| self.domain.ledger.as_ref()?.made(name);
        let names = self.creates.iter().filter_map(|action| action.address.snapshot.as_ref());
        names.filter_map(|name| Some((name.clone(), made(name)?.created))).collect()
    }

    /// Whether the domain has snapshots of ours and no copy of the ledger.
    pub(super) fn ledger_lost(&self) -> bool {
        self.domain.ledger.is_none() && self.domain.tree.iter().any(|snapshot| own_stamp(snapshot).is_some())
    }
}
