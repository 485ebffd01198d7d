//! Claims: which set declares which snapshot of a domain, and what two sets may not declare together.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use super::Context;
use super::series::Scheduled;
use crate::model::desired::{Document, Origin};
use crate::model::kinds::{Hold, Presence, Snapshot, SnapshotSet};
use crate::model::names::{SetId, SnapshotName};
use crate::model::plan::{BlockCode, Blocked};
use crate::model::series::EffectiveSeries;
use crate::model::shared::Shared;
use crate::model::snapshot::ObservedSnapshot;
use crate::model::tree::SnapshotTree;
use crate::schedule::Tempo;

/// One declared snapshot, as one set declares it for one domain.
#[derive(Clone)]
pub(super) struct Claim<'a> {
    pub(super) set: &'a Document<SnapshotSet>,
    pub(super) id: Arc<SetId>,
    pub(super) snapshot: &'a Snapshot,
    /// Where in the set's list.
    index: usize,
}

impl<'a> Claim<'a> {
    /// Where the snapshot is declared.
    pub(super) fn origin(&self) -> Origin {
        self.set.origin(&format!("/spec/snapshots/{}", self.index))
    }

    /// Where one of its fields is, else the snapshot itself.
    pub(super) fn field(&self, field: &str) -> Origin {
        self.set.origin(&format!("/spec/snapshots/{}/{field}", self.index))
    }

    /// The hold its set declares on it, unless that is over.
    pub(super) fn hold(&self, now: jiff::Timestamp) -> Option<&'a Hold> {
        self.set.value.spec.hold(&self.snapshot.name, now)
    }
}

/// The declared current snapshot of a domain.
#[derive(Clone, Copy)]
pub(super) struct CurrentClaim<'a> {
    pub(super) set: &'a Document<SnapshotSet>,
    pub(super) name: &'a SnapshotName,
}

impl CurrentClaim<'_> {
    pub(super) fn origin(&self) -> Origin {
        self.set.origin("/spec/current")
    }
}

/// What the sets of a domain declare, less what they contradict each other in. The same for every domain that they select.
pub(super) struct Claims<'a> {
    /// The sets.
    pub(super) sets: Vec<&'a Document<SnapshotSet>>,
    pub(super) snapshots: Vec<Claim<'a>>,
    /// Their places, by the snapshot's name.
    by_name: Vec<usize>,
    pub(super) series: Vec<Scheduled<'a>>,
    /// The names of all snapshots that the sets want to exist, suspended or not.
    pub(super) wanted: Shared<BTreeSet<SnapshotName>>,
    pub(super) current: Option<CurrentClaim<'a>>,
    /// Every snapshot that any set declares as the current one, also where they contradict each other.
    pub(super) pointed_at: BTreeSet<&'a SnapshotName>,
    /// The contradictions, with the address left to the caller: snapshot name, and the item's code, text, way out and
    /// lines.
    pub(super) conflicts: Vec<Contradiction>,
}

impl Claims<'_> {
    /// The snapshot that each claim names, where there is one. Both are gone through by name: to look each up, and again for
    /// the ledger, took a third of the planning.
    pub(super) fn found_in<'t>(&self, tree: &'t SnapshotTree) -> Vec<Option<&'t ObservedSnapshot>> {
        let mut found = vec![None; self.snapshots.len()];
        let mut there = tree.iter().peekable();
        for &place in &self.by_name {
            let name = &self.snapshots[place].snapshot.name;
            while there.next_if(|snapshot| snapshot.name < *name).is_some() {}
            found[place] = there.next_if(|snapshot| snapshot.name == *name);
        }
        found
    }
}

/// Two sets that cannot both be right.
#[derive(Clone)]
pub(super) struct Contradiction {
    pub(super) snapshot: Option<SnapshotName>,
    text: String,
    way_out: String,
    origins: Vec<Origin>,
}

impl Contradiction {
    pub(super) fn block(self, address: crate::model::plan::Address) -> Blocked {
        let Self { text, way_out, origins, .. } = self;
        Blocked { address, code: BlockCode::Conflict, text, way_out, origins }
    }
}

/// Collects what the sets of one domain declare; what was collected for the domain before, where these are its sets too.
pub(super) fn collect<'a>(
    context: &Context<'a>,
    sets: Vec<&'a Document<SnapshotSet>>,
    before: Option<Claims<'a>>,
) -> Claims<'a> {
    if let Some(before) = before {
        let same = |(a, b): (&&Document<SnapshotSet>, &&Document<SnapshotSet>)| std::ptr::eq(*a, *b);
        if before.sets.len() == sets.len() && before.sets.iter().zip(&sets).all(same) {
            return before;
        }
    }
    let present = sets.iter().flat_map(|set| &set.value.spec.snapshots).filter(|s| s.state == Presence::Present);
    let wanted = present.map(|snapshot| snapshot.name.clone()).collect();
    let series = sets.iter().flat_map(|set| EffectiveSeries::all(context.desired, set));
    let paced = |series: EffectiveSeries<'a>| {
        let tempo = series.schedule.and_then(|schedule| Tempo::of(schedule).ok());
        let pace = tempo.map(|tempo| Arc::new(tempo.at(context.now)));
        Scheduled { series, pace, said: Rc::default() }
    };
    let series = series.map(paced).collect();
    let mut snapshots = Vec::new();
    let mut claimants: BTreeMap<&SnapshotName, Vec<Claim<'a>>> = BTreeMap::new();
    for set in &sets {
        let id = Arc::new(set.id());
        for (index, snapshot) in set.value.spec.snapshots.iter().enumerate() {
            let claim = Claim { set, id: Arc::clone(&id), snapshot, index };
            claimants.entry(&snapshot.name).or_default().push(claim.clone());
            snapshots.push(claim);
        }
    }
    let mut conflicts = Vec::new();
    for (name, rivals) in claimants.iter().filter(|(_, rivals)| rivals.len() > 1) {
        let owners: Vec<_> = rivals.iter().map(|claim| claim.id.to_string()).collect();
        conflicts.push(Contradiction {
            snapshot: Some((*name).clone()),
            text: format!("sets {} both declare this snapshot of the domain", owners.join(" and ")),
            way_out: "declare it in one set, or exclude the domain from the other (spec.domains.exclude)".to_owned(),
            origins: rivals.iter().map(Claim::origin).collect(),
        });
    }
    snapshots.retain(|claim| claimants.get(&claim.snapshot.name).is_some_and(|rivals| rivals.len() == 1));

    let mut pointers: Vec<_> =
        sets.iter().filter_map(|set| Some(CurrentClaim { set, name: set.value.spec.current.as_ref()? })).collect();
    let pointed_at = pointers.iter().map(|claim| claim.name).collect();
    if pointers.len() > 1 {
        let owners: Vec<_> = pointers.iter().map(|claim| format!("{} ({})", claim.set.id(), claim.name)).collect();
        conflicts.push(Contradiction {
            snapshot: None,
            text: format!("sets {} both declare the current snapshot of the domain", owners.join(" and ")),
            way_out: "keep `current` in one of the sets".to_owned(),
            origins: pointers.iter().map(CurrentClaim::origin).collect(),
        });
        pointers.clear();
    }
    let mut by_name: Vec<usize> = (0..snapshots.len()).collect();
    by_name.sort_by_key(|place| &snapshots[*place].snapshot.name);
    Claims { sets, snapshots, by_name, series, wanted, current: pointers.pop(), pointed_at, conflicts }
}
