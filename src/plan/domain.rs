//! Planning one domain: its claims, pointer and ledger, put together in the order in which a pass acts.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::Fault;
use super::claims::{Claim, Claims, CurrentClaim};
use super::external::External;
use super::restore::Restoring;
use super::retain::SeriesDeletes;
use super::series::{self, SeriesClaim};
use super::{Context, DomainPass, guards, kinds, revert};
use crate::model::desired::{Document, Origin};
use crate::model::kinds::{Location, Presence, SafetySpec, SnapshotSet};
use crate::model::names::SnapshotName;
use crate::model::observed::{HostInfo, ObservedDomain, ObservedHost};
use crate::model::plan::{
    Action, ActionKind, Address, BlockCode, Blocked, Drift, Kept, PlannedDomain, Reason, ReasonCode, Risk, RiskLevel,
    Unmanaged, View, Warning,
};
use crate::model::snapshot::ObservedSnapshot;
use crate::model::stamp::Stamp;
use crate::model::text::printable;

/// The state of planning one domain. Actions are kept by step, because the order of the steps is fixed.
pub(super) struct Planner<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) host: &'a HostInfo,
    pub(super) observed_host: &'a ObservedHost,
    pub(super) domain: &'a ObservedDomain,
    /// The address of the domain itself.
    address: Address,
    /// Where the first of its sets, or else of its requests, selects the domain.
    pub(super) origin: Option<Origin>,
    /// The snapshot that each claim names, where there is one.
    pub(super) found: Vec<Option<&'a ObservedSnapshot>>,
    /// What is known of its external tree; none where there is none.
    pub(super) external: Option<External<'a>>,
    /// The snapshots that a set of the domain, suspended or not, declares as the current one: none of them is deleted.
    pub(super) pointed_at: BTreeSet<&'a SnapshotName>,
    /// What is restored from saved XML.
    pub(super) restoring: Restoring,
    /// The snapshots that a RevertRequest may yet revert to, with its label: none of them is deleted.
    pub(super) revert_targets: Vec<(&'a SnapshotName, String)>,
    /// A revert with its guard snapshot: then nothing else is done.
    pub(super) reverts: Vec<Action>,
    /// What makes an external tree whole; before everything else.
    pub(super) repairs: Vec<Action>,
    pub(super) redefines: Vec<Action>,
    pub(super) creates: Vec<Action>,
    /// New parents of what this pass creates.
    pub(super) placements: Vec<Action>,
    pub(super) deletes: Vec<Action>,
    pub(super) blocked: Vec<Blocked>,
    pub(super) kept: Vec<Kept>,
    pub(super) drift: Vec<Drift>,
    pub(super) warnings: Vec<Warning>,
    pub(super) unchanged: usize,
    /// Whether nothing has to make room for the captures before they are made.
    pub(super) captures_are_sure: bool,
    /// When the time of each slot captured here is over.
    pub(super) slot_ends: Vec<jiff::Timestamp>,
    /// When the window closes in which it is reverted; none where no window restricts that.
    pub(super) window_closes: Option<jiff::Timestamp>,
    /// When its RevertRequests have a slot, or the window that a revert waits for opens.
    pub(super) reverts_due: Vec<jiff::Timestamp>,
    /// What retention deletes, by series.
    pub(super) series_deletes: Vec<SeriesDeletes>,
    /// The limits of all sets of the domain.
    pub(super) limits: SafetySpec,
    /// The current pointer as it will be after the creates so far: each create hangs under it and moves it.
    pub(super) pointer: Option<SnapshotName>,
}

/// Plans one domain for the sets that select it.
pub(super) fn plan_domain<'a>(
    context: &'a Context<'a>,
    observed: &'a ObservedHost,
    domain: &'a ObservedDomain,
    claims: &Claims<'a>,
) -> DomainPass {
    let host = &observed.info;
    let Claims { sets, snapshots, current, pointed_at, conflicts, .. } = claims;
    let mut series = series::collect(&claims.series, domain, context.now);
    let requests = context.requests_of(host, &domain.name, domain.uuid);
    let mut planner = Planner {
        context,
        host,
        observed_host: observed,
        domain,
        address: Address { host: host.name.as_str().into(), domain: domain.name.clone(), snapshot: None },
        origin: sets
            .first()
            .map(|set| set.origin("/spec/domains"))
            .or_else(|| requests.first().map(revert::Claim::origin)),
        found: claims.found_in(&domain.tree),
        external: None,
        pointed_at: pointed_at.clone(),
        restoring: Restoring::default(),
        revert_targets: revert::targets(&requests, context.now),
        reverts: Vec::new(),
        repairs: Vec::new(),
        redefines: Vec::new(),
        creates: Vec::new(),
        placements: Vec::new(),
        deletes: Vec::new(),
        blocked: Vec::new(),
        kept: Vec::new(),
        drift: Vec::new(),
        warnings: Vec::new(),
        unchanged: 0,
        captures_are_sure: true,
        slot_ends: Vec::new(),
        window_closes: None,
        reverts_due: Vec::new(),
        series_deletes: Vec::new(),
        limits: guards::strictest(context, observed, &domain.name, domain.uuid),
        pointer: domain.tree.current().cloned(),
    };
    if planner.plan_reverts(&requests, sets) {
        return planner.finish(claims, &series, Vec::new(), Vec::new(), false);
    }
    for contradiction in conflicts {
        let address = planner.address(contradiction.snapshot.as_ref());
        planner.blocked.push(contradiction.clone().block(address));
    }
    let mut set_current = Vec::new();
    let mut current = *current;
    if let Some(suspended) = current.take_if(|current| suspended(current.set, context.now).is_some()) {
        planner.note_pointer_drift(&suspended);
    }
    let mut kinds = series::locations(&series);
    let kind = |record: &ObservedSnapshot| if record.is_external() { Location::External } else { Location::Internal };
    kinds.extend(planner.restored(snapshots).into_iter().map(kind));
    let explained = match kinds::problem(domain, snapshots, &kinds) {
        Some(problem) => {
            planner.block_all(snapshots, current.as_ref(), &problem);
            planner.block_series(&series, &problem);
            planner.explain(&series, snapshots, Some(&problem.text))
        }
        None => {
            let frozen = sets.iter().all(|set| suspended(set, context.now).is_some());
            planner.begin_external(sets, frozen);
            planner.begin_restoring(snapshots, current.as_ref());
            for (place, claim) in snapshots.iter().enumerate() {
                let mark = suspended(claim.set, context.now).map(|_| planner.mark());
                planner.declared(claim, planner.found[place]);
                mark.into_iter().for_each(|mark| planner.take_back(mark));
            }
            planner.order_restores();
            planner.warn_of_twins();
            planner.series(&mut series, snapshots);
            planner.hold_back_internal();
            set_current.extend(current.as_ref().and_then(|current| planner.set_current(current)));
            planner.find_room(&mut series, snapshots);
            planner.retain(&series, snapshots);
            planner.prune_guards(&requests, sets);
            planner.explain(&series, snapshots, None)
        }
    };
    planner.order_deletes();
    let deletes_first = planner.arrange_external();
    planner.leave_paused_alone(deletes_first, &mut set_current);
    planner.warn_of_pointer(set_current.first());
    let unmanaged = planner.report_others(snapshots, &series, &requests);
    DomainPass { explained, ..planner.finish(claims, &series, set_current, unmanaged, deletes_first) }
}

impl<'a> Planner<'a> {
    pub(super) fn address(&self, snapshot: Option<&SnapshotName>) -> Address {
        Address { snapshot: snapshot.cloned(), ..self.address.clone() }
    }

    pub(super) fn block(
        &mut self,
        snapshot: Option<&SnapshotName>,
        code: BlockCode,
        text: String,
        way_out: impl Into<String>,
        origins: Vec<Origin>,
    ) {
        let address = self.address(snapshot);
        self.blocked.push(Blocked { address, code, text, way_out: way_out.into(), origins });
    }

    pub(super) fn note_drift(
        &mut self,
        snapshot: Option<&SnapshotName>,
        field: &str,
        declared: impl Into<String>,
        observed: impl Into<String>,
        origin: Origin,
    ) {
        let (declared, observed) = (declared.into(), observed.into());
        self.drift.push(Drift { address: self.address(snapshot), field: field.to_owned(), declared, observed, origin });
    }

    fn block_all(&mut self, snapshots: &[Claim<'_>], current: Option<&CurrentClaim<'_>>, problem: &Fault) {
        let active = |claim: &&Claim<'_>| suspended(claim.set, self.context.now).is_none();
        for claim in snapshots.iter().filter(active) {
            let absent = claim.snapshot.state == Presence::Absent;
            if absent && self.domain.tree.get(&claim.snapshot.name).is_none() {
                self.unchanged += 1;
                continue;
            }
            let origins = vec![claim.origin()];
            let (text, way_out) = (problem.text.clone(), problem.way_out.clone());
            self.block(Some(&claim.snapshot.name), problem.code, text, way_out, origins);
        }
        if let Some(current) = current {
            if self.domain.tree.current() == Some(current.name) {
                self.unchanged += 1;
            } else {
                let origins = vec![current.origin()];
                let (text, way_out) = (problem.text.clone(), problem.way_out.clone());
                self.block(Some(current.name), problem.code, text, way_out, origins);
            }
        }
    }

    /// The pointer names another snapshot than declared, and the declared one is there to be named.
    fn note_pointer_drift(&mut self, current: &CurrentClaim<'_>) {
        let tree = &self.domain.tree;
        if tree.current() != Some(current.name) && tree.get(current.name).is_some() {
            let observed = tree.current().map(ToString::to_string).unwrap_or_default();
            self.note_drift(None, "current", current.name.to_string(), observed, current.origin());
        }
    }

    fn set_current(&mut self, current: &CurrentClaim<'_>) -> Option<Action> {
        let (name, origin) = (current.name, current.origin());
        let exists = self.domain.tree.get(name).is_some() || self.creates.iter().any(|a| is_about(a, name));
        let restored = self.redefines.iter().any(|a| is_about(a, name));
        self.note_pointer_drift(current);
        if !exists && !restored {
            // What blocks the snapshot blocks the pointer to it; one item says so, with both lines.
            let blocks_it = |item: &&mut Blocked| item.address.snapshot.as_ref() == Some(name);
            if let Some(item) = self.blocked.iter_mut().find(blocks_it) {
                item.origins.push(origin);
                return None;
            }
            self.block(
                Some(name),
                BlockCode::Missing,
                "declared as the current snapshot, and the domain has no snapshot of this name".to_owned(),
                "declare the snapshot too, or another `current`",
                vec![origin],
            );
            return None;
        }
        if self.pointer.as_ref() == Some(name) {
            self.unchanged += usize::from(self.domain.tree.current() == Some(name));
            return None;
        }
        if self.is_external() {
            let at = self.pointer.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            let text = format!(
                "the pointer is on {at}, where the disks are; moved elsewhere, libvirt would delete files that other snapshots need"
            );
            let way_out = "take `current` out of the set: in a tree with external snapshots the pointer moves with captures \
                           and reverts only";
            self.block(Some(name), BlockCode::CurrentUnsafe, text, way_out, vec![origin]);
            return None;
        }
        // As it will be by then: each capture before it moves the pointer.
        let before = self.pointer.as_ref().map(ToString::to_string).unwrap_or_default();
        let scheduled = self.creates.last().is_some_and(|action| action.reason.code == ReasonCode::Scheduled);
        let (code, text) = if scheduled && self.domain.tree.current() == Some(name) {
            (
                ReasonCode::CurrentMoved,
                format!("set {} declares it as the current snapshot; captures move the pointer", current.set.id()),
            )
        } else {
            (ReasonCode::CurrentDiffers, format!("set {} declares it as the current snapshot", current.set.id()))
        };
        Some(Action {
            address: self.address(Some(name)),
            action: ActionKind::SetCurrent,
            reason: Reason { code, text: text.into() },
            origin,
            before: Some(View { current: Some(before), ..View::default() }),
            after: Some(View { current: Some(name.to_string()), ..View::default() }),
            risk: Risk { level: RiskLevel::Metadata, text: "the pointer only; the domain is not reverted".to_owned() },
            definition: None,
        })
    }

    /// Captures of one pass follow each other within a second or so: two of them hold the same state.
    fn warn_of_twins(&mut self) {
        let [_, .., last] = self.creates.as_slice() else { return };
        let names: Vec<_> = self.creates.iter().filter_map(|a| a.address.snapshot.as_ref()).collect();
        let text = format!(
            "{}: {} snapshots are captured in one pass and will hold the same state ({})",
            self.address(None),
            names.len(),
            names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        );
        let origin = last.origin.clone();
        self.warnings.push(Warning { text, origin });
    }

    /// How much was planned so far.
    fn mark(&self) -> Mark<'a> {
        Mark {
            redefines: self.redefines.len(),
            creates: self.creates.len(),
            placements: self.placements.len(),
            deletes: self.deletes.len(),
            blocked: self.blocked.len(),
            warnings: self.warnings.len(),
            pointer: self.pointer.clone(),
            external: self.external.clone(),
        }
    }

    /// Takes back what was planned since the mark, for a suspended set: it neither creates, changes nor deletes. What it
    /// would have captured stays visible as drift.
    fn take_back(&mut self, mark: Mark<'a>) {
        for create in self.creates.split_off(mark.creates) {
            self.note_drift(create.address.snapshot.as_ref(), "existence", "present", "missing", create.origin);
        }
        self.redefines.truncate(mark.redefines);
        self.placements.truncate(mark.placements);
        self.deletes.truncate(mark.deletes);
        self.blocked.truncate(mark.blocked);
        self.warnings.truncate(mark.warnings);
        self.pointer = mark.pointer;
        self.external = mark.external;
    }

    /// Deletes go one by one, deepest first, so that no child is moved just before it is deleted itself.
    fn order_deletes(&mut self) {
        let tree = &self.domain.tree;
        // One walk over the tree: a walk up from each snapshot takes minutes on a chain of 10,000.
        let mut depths: BTreeMap<&SnapshotName, usize> = BTreeMap::new();
        let mut stack: Vec<_> = tree.children(None).into_iter().map(|root| (root, 0)).collect();
        while let Some((snapshot, depth)) = stack.pop().filter(|_| !self.deletes.is_empty()) {
            depths.insert(&snapshot.name, depth);
            stack.extend(tree.children(Some(&snapshot.name)).into_iter().map(|child| (child, depth + 1)));
        }
        let depth = |action: &Action| action.address.snapshot.as_ref().and_then(|name| depths.get(name).copied());
        self.deletes.sort_by_key(|action| std::cmp::Reverse(depth(action)));
    }

    /// Says where the pointer goes when the snapshot it is on is deleted: libvirt moves it to the parent, or to none.
    fn warn_of_pointer(&mut self, set_current: Option<&Action>) {
        let pointer = set_current.map_or(self.pointer.as_ref(), |action| action.address.snapshot.as_ref());
        let Some(mut at) = pointer.and_then(|name| self.domain.tree.get(name)) else { return };
        let doomed: BTreeSet<_> = self.deletes.iter().filter_map(|action| action.address.snapshot.clone()).collect();
        let mut passed = BTreeSet::new();
        let heir = loop {
            if !doomed.contains(&at.name) {
                break Some(&at.name);
            }
            // A circle of parents is no tree that libvirt keeps, and not a reason to hang.
            if !passed.insert(&at.name) {
                break None;
            }
            match at.parent.as_ref().and_then(|parent| self.domain.tree.get(parent)) {
                Some(parent) => at = parent,
                None => break None,
            }
        };
        let text = match heir {
            Some(heir) => format!("; the current pointer moves to {heir}"),
            None => "; the domain has no current snapshot afterwards".to_owned(),
        };
        for action in &mut self.deletes {
            if action.address.snapshot.as_ref().is_some_and(|name| passed.contains(name)) {
                action.risk.text.push_str(&text);
            }
        }
    }

    /// Snapshots that no claim of this pass is about: orphans of a loaded set, and what is not ours.
    fn report_others(
        &mut self,
        claims: &[Claim<'_>],
        series: &[SeriesClaim<'_>],
        requests: &[revert::Claim<'_>],
    ) -> Vec<Unmanaged> {
        let mut claimed: Vec<_> =
            claims.iter().map(|claim| &claim.snapshot.name).chain(series::names(series)).collect();
        claimed.sort_unstable();
        let mut claimed = claimed.into_iter().peekable();
        let mut unmanaged = Vec::new();
        // Both by name, so one walk over both finds what is in the tree alone.
        let others = self.domain.tree.iter().filter(|snapshot| {
            while claimed.next_if(|name| **name < snapshot.name).is_some() {}
            claimed.peek() != Some(&&snapshot.name)
        });
        for snapshot in others.filter(|snapshot| !requests.iter().any(|request| request.guards(snapshot))) {
            let address = self.address(Some(&snapshot.name));
            let owner = own_stamp(snapshot).map(|stamp| &stamp.set);
            let is_owner = |set: &&Document<SnapshotSet>| {
                let metadata = &set.value.metadata;
                owner.is_some_and(|owner| owner.name == metadata.name && owner.namespace == metadata.namespace)
            };
            let loaded = self.context.desired.sets.iter().find(is_owner);
            match loaded {
                Some(set) => {
                    let series = own_stamp(snapshot).and_then(|stamp| stamp.series.as_deref());
                    let (it, pointer) = match series {
                        Some(series) => (format!("series {}", printable(series)), "/spec/series"),
                        None => ("it".to_owned(), "/spec/snapshots"),
                    };
                    let text = format!(
                        "made for set {}, which no longer declares {it} for this domain; to delete it, declare {it} with \
                         state: absent",
                        set.id()
                    );
                    let reason = Reason { code: ReasonCode::Orphaned, text: text.into() };
                    self.kept.push(Kept { address, reason, origin: Some(set.origin(pointer)) });
                }
                None => unmanaged.push(Unmanaged { address, owner: owner.map(ToString::to_string) }),
            }
        }
        unmanaged
    }

    fn finish(
        self,
        claims: &Claims<'_>,
        series: &[SeriesClaim<'_>],
        set_current: Vec<Action>,
        unmanaged: Vec<Unmanaged>,
        deletes_first: bool,
    ) -> DomainPass {
        let sets = &claims.sets;
        let reasons: Vec<_> = sets.iter().filter_map(|set| suspended(set, self.context.now)).collect();
        let ledger = self.ledger(&claims.snapshots).filter(|_| reasons.len() < sets.len().max(1));
        let lost = self.lost();
        let chains = self.chain_lengths();
        let mut actions = self.repairs;
        actions.extend(self.redefines);
        let dues = series::dues(series, self.domain);
        let wake = self.reverts_due.iter().copied().chain(dues.to_come).min();
        let next_due = self.reverts_due.into_iter().chain(dues.next).min();
        let (room, deletes) = if deletes_first { (self.deletes, Vec::new()) } else { (Vec::new(), self.deletes) };
        actions.extend(room);
        actions.extend(self.creates);
        actions.extend(self.placements);
        actions.extend(set_current);
        actions.extend(deletes);
        actions.extend(self.reverts);
        DomainPass {
            planned: PlannedDomain {
                host: self.host.name.clone(),
                domain: self.domain.name.clone(),
                uuid: self.domain.uuid,
                state: self.domain.state,
                fingerprint: self.domain.fingerprint.clone(),
                sets: sets.iter().map(|set| set.id().to_string()).collect(),
                suspended: (!reasons.is_empty()).then(|| reasons.join("; ")),
                ledger,
                next_due: next_due.map(|due| due.to_string()),
                wake,
                chains,
                declared: claims.wanted.clone(),
                lost,
                trust_unreadable_chains: self.limits.trust_unreadable_chains,
                window_closes: self.window_closes,
            },
            actions,
            blocked: self.blocked,
            kept: self.kept,
            drift: self.drift,
            unmanaged,
            warnings: self.warnings,
            unchanged: self.unchanged,
            series_deletes: self.series_deletes,
            needs_room: deletes_first,
            slot_ends: self.slot_ends,
            explained: Vec::new(),
        }
    }
}

/// How much of a domain was planned at some point.
struct Mark<'a> {
    redefines: usize,
    creates: usize,
    placements: usize,
    deletes: usize,
    blocked: usize,
    warnings: usize,
    pointer: Option<SnapshotName>,
    external: Option<External<'a>>,
}

/// The stamp of a snapshot that is ours: one that names the snapshot it stands on.
pub(super) fn own_stamp(snapshot: &ObservedSnapshot) -> Option<&Stamp> {
    snapshot.own_stamp()
}

/// Whether an action is about the snapshot.
pub(super) fn is_about(action: &Action, name: &SnapshotName) -> bool {
    action.address.snapshot.as_ref() == Some(name)
}

/// Why a set is suspended, if it is.
pub(super) fn suspended(set: &Document<SnapshotSet>, now: jiff::Timestamp) -> Option<String> {
    let suspend = set.value.spec.suspend.as_ref()?;
    let reason = printable(&suspend.reason);
    match &suspend.until {
        Some(until) if until.timestamp() <= now => None,
        Some(until) => Some(format!("{}: {reason} (until {})", set.id(), until.as_str())),
        None => Some(format!("{}: {reason}", set.id())),
    }
}
