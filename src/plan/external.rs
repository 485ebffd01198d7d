//! External trees in a domain's pass: what must hold before anything else, repairs, limits, and the order of deletions.

use std::collections::{BTreeMap, BTreeSet};

use super::abilities::{EXTERNAL, LONG_CHAINS, version};
use super::capture::Prepared;
use super::captures::captures_of;
use super::chain::{self, Bystanders, Fault, Layout, Neighbours, Repair, Rules, Trust};
use super::declared::metadata_only;
use super::deletable::deletable;
use super::domain::Planner;
use crate::model::desired::{Document, Origin};
use crate::model::kinds::{SafetySpec, SnapshotSet};
use crate::model::names::SnapshotName;
use crate::model::observed::{HostInfo, ObservedDisk, ObservedDomain};
use crate::model::plan::{
    Action, ActionKind, BlockCode, Blocked, ChainLength, Kept, Plan, Reason, ReasonCode, View, Warning,
};
use crate::model::text::{bytes, count, printable, some};

/// The most images with which a domain was seen to start below libvirt 12.0: one base and 23 overlays are safe, 25
/// overlays are not ("nesting too deep").
pub(super) const HARD_CHAIN_LIMIT: u32 = 24;

/// What planning a domain with external snapshots keeps track of.
#[derive(Clone)]
pub(super) struct External<'a> {
    /// The domain as it was read, with the repair made.
    start: ObservedDomain,
    /// The same after the captures planned so far.
    now: ObservedDomain,
    neighbours: Neighbours<'a>,
    rules: Rules,
    /// Why nothing is done.
    fault: Option<Fault>,
}

impl<'a> Planner<'a> {
    /// Looks at a domain that has external snapshots: whether its tree and images fit each other, and the repair where
    /// there is a safe one.
    pub(super) fn begin_external(&mut self, sets: &[&Document<SnapshotSet>], frozen: bool) {
        if !self.domain.tree.has_external() {
            return;
        }
        let mut external = self.new_external();
        if let Err(fault) = Layout::whole(self.domain, Trust::Metadata) {
            let origins: Vec<_> = sets.iter().map(|set| set.origin("/spec/domains")).collect();
            match chain::find_repair(self.domain, external.rules).filter(|_| !frozen) {
                Some(repair) => {
                    self.plan_repair(&repair, &fault, origins.first());
                    external.start = chain::after_repair(self.domain, &repair);
                    external.now = external.start.clone();
                    self.pointer = Some(repair.target);
                }
                None => {
                    let fault = self.halfway(&external).unwrap_or(fault);
                    self.block(None, fault.code, fault.text.clone(), fault.way_out.clone(), origins);
                    external.fault = Some(fault);
                }
            }
        }
        self.external = Some(external);
    }

    /// What is the matter where a deletion failed when some of its disks were merged: the same deletion is proven, and
    /// nothing else.
    fn halfway(&self, external: &External<'_>) -> Option<Fault> {
        let begun = self.domain.tree.iter().find(|snapshot| self.finishes(external, &snapshot.name).is_some())?;
        Some(Fault {
            code: BlockCode::ChainInconsistent,
            text: format!(
                "a deletion of snapshot {} failed halfway: some of its disks are merged, the others are not",
                begun.name
            ),
            way_out: format!(
                "delete {} again (state: absent): snapward brings libvirt's records up to the images first. What it captured is not \
                 whole any more, do not revert to it",
                begun.name
            ),
        })
    }

    /// What deleting a snapshot does, where that makes a domain whole again that is not.
    fn finishes(&self, external: &External<'_>, name: &SnapshotName) -> Option<chain::Effect> {
        chain::prove(self.domain, &external.neighbours, external.rules, chain::Step::Delete(name)).ok()
    }

    fn new_external(&self) -> External<'a> {
        External {
            start: self.domain.clone(),
            now: self.domain.clone(),
            neighbours: Neighbours::of(self.observed_host, self.domain),
            rules: Rules { trust_unreadable_chains: self.limits.trust_unreadable_chains },
            fault: None,
        }
    }

    fn plan_repair(&mut self, repair: &Repair, fault: &Fault, origin: Option<&Origin>) {
        let Some(origin) = origin else { return };
        let address = self.address(Some(&repair.target));
        let reason = || Reason { code: ReasonCode::Repair, text: fault.text.clone().into() };
        let observed = self.domain.tree.current().map(ToString::to_string).unwrap_or_default();
        if let Some(overlays) = &repair.overlays {
            self.repairs.push(Action {
                address: address.clone(),
                action: ActionKind::Redefine,
                reason: reason(),
                origin: origin.clone(),
                before: None,
                after: Some(View { revert_overlays: Some(overlays.clone()), ..View::default() }),
                risk: metadata_only(),
                definition: None,
            });
        }
        if repair.moves_pointer {
            self.repairs.push(Action {
                address,
                action: ActionKind::SetCurrent,
                reason: reason(),
                origin: origin.clone(),
                before: Some(View { current: Some(observed), ..View::default() }),
                after: Some(View { current: Some(repair.target.to_string()), ..View::default() }),
                risk: metadata_only(),
                definition: None,
            });
        }
    }

    /// Of the snapshots that retention wants gone, those that libvirt cannot delete as things stand, each with why.
    pub(super) fn held_by_tree(&self, wanted: &BTreeSet<SnapshotName>) -> Vec<(SnapshotName, String)> {
        let Some(external) = &self.external else { return deletable(self.host, self.domain, wanted) };
        if let Some((_, why)) = fault_of(external) {
            return wanted.iter().map(|name| (name.clone(), why.clone())).collect();
        }
        let arranged = chain::arrange(&external.now, &external.neighbours, external.rules, wanted, &BTreeSet::new());
        arranged.held.into_iter().map(|(name, fault)| (name, format!("{}; {}", fault.text, fault.way_out))).collect()
    }

    /// Whether the domain has external snapshots, or this pass captures one.
    pub(super) fn is_external(&self) -> bool {
        self.external.is_some()
    }

    /// Why no capture is made, where the domain is not whole.
    pub(super) fn external_fault(&self) -> Option<(BlockCode, String)> {
        let fault = self.external.as_ref()?.fault.as_ref()?;
        let text =
            "the domain's snapshots and images do not fit each other, as the item about the domain says; nothing is \
                    captured or deleted"
                .to_owned();
        Some((fault.code, text))
    }

    /// The domain as it will be when the next capture of this pass is made.
    pub(super) fn as_it_will_be(&self) -> &ObservedDomain {
        self.external.as_ref().map_or(self.domain, |external| &external.now)
    }

    /// The domain as it was read, with the repair made.
    pub(super) fn as_it_was(&self) -> &ObservedDomain {
        self.external.as_ref().map_or(self.domain, |external| &external.start)
    }

    /// Whether the external captures of this pass keep within the limits before anything is deleted.
    pub(super) fn has_room(&self) -> bool {
        self.external.as_ref().is_none_or(|external| self.within_limits(external, None))
    }

    /// Whether they do after these deletions, as far as the tree lets them go.
    pub(super) fn deletions_make_room(&self, wanted: &BTreeSet<SnapshotName>) -> bool {
        self.external.as_ref().is_none_or(|external| {
            let left = chain::arrange(&external.start, &external.neighbours, external.rules, wanted, &BTreeSet::new());
            self.within_limits(external, Some(&left))
        })
    }

    /// Notes an external capture of this pass.
    pub(super) fn will_capture(&mut self, name: &SnapshotName, prepared: &Prepared) {
        let created = self.context.now.as_second();
        let mut external = self.external.take().unwrap_or_else(|| self.new_external());
        external.now = chain::after_create(&external.now, name, &prepared.capture, created);
        if !EXTERNAL.of(self.host) {
            let text = format!(
                "{}: libvirt {} of this host captures external snapshots, and can neither delete them nor revert to them, which {}",
                self.address(None),
                version(self.host.libvirt_version),
                EXTERNAL.needs()
            );
            if let Some(origin) = self.creates.last().map(|action| action.origin.clone()) {
                self.warnings.push(Warning { text, origin });
            }
        }
        self.external = Some(external);
    }

    /// Puts the deletions of an external tree into an order that libvirt accepts, holds back what cannot go, and keeps
    /// within the limits on chains and space: deletions that make room go before the captures. Says whether they do.
    pub(super) fn arrange_external(&mut self) -> bool {
        let Some(external) = self.external.take() else { return false };
        let deletes = std::mem::take(&mut self.deletes);
        let mut first = false;
        if let Some(fault) = &external.fault {
            for mut action in deletes {
                let Some((code, text)) = fault_of(&external) else { continue };
                let finishing = action.address.snapshot.as_ref().and_then(|name| self.finishes(&external, name));
                if let (Some(effect), true, true) = (finishing, self.deletes.is_empty(), EXTERNAL.of(self.host)) {
                    // With it done the domain is whole, so the item about the domain falls.
                    self.blocked.retain(|item| item.address.snapshot.is_some() || item.text != fault.text);
                    action.after = Some(files_view(&effect));
                    self.deletes.push(action);
                    continue;
                }
                let (name, origin) = (action.address.snapshot, action.origin);
                self.block(name.as_ref(), code, text, "repair the domain first", vec![origin]);
            }
        } else if !EXTERNAL.of(self.host) && !deletes.is_empty() {
            for action in deletes {
                let (name, origin) = (action.address.snapshot, action.origin);
                let text = format!(
                    "libvirt {} of this host cannot delete external snapshots, which {}",
                    version(self.host.libvirt_version),
                    EXTERNAL.needs()
                );
                self.block(name.as_ref(), BlockCode::NotPossible, text, "update libvirt on the host", vec![origin]);
            }
            self.within_limits(&external, None);
        } else {
            first = self.order_external(&external, deletes);
        }
        self.report_shared(&external);
        self.report_files(&external);
        self.external = Some(external);
        first
    }

    fn order_external(&mut self, external: &External<'_>, deletes: Vec<Action>) -> bool {
        let names = deletes.iter().filter_map(|action| action.address.snapshot.clone());
        let wanted: BTreeSet<SnapshotName> = names.collect();
        // What is declared goes before what is old: the breaker can hold back the latter, and all that comes after it.
        let declared = deletes.iter().filter(|action| !action.reason.code.is_by_age());
        let declared: BTreeSet<_> = declared.filter_map(|action| action.address.snapshot.clone()).collect();
        let arrange = |domain| chain::arrange(domain, &external.neighbours, external.rules, &wanted, &declared);
        let first = !self.within_limits(external, None) && {
            let before = arrange(&external.start);
            self.within_limits(external, Some(&before))
        };
        if !self.within_limits(external, None) && !first {
            self.block_captures(external);
        }
        let captures_first = !first && !self.creates.is_empty();
        let arranged = arrange(if captures_first { &external.now } else { &external.start });
        let mut by_name: BTreeMap<_, _> =
            deletes.into_iter().filter_map(|action| Some((action.address.snapshot.clone()?, action))).collect();
        for (name, effect) in &arranged.order {
            let Some(mut action) = by_name.remove(name) else { continue };
            action.after = Some(files_view(effect));
            self.deletes.push(action);
        }
        for (name, fault) in arranged.held {
            let Some(action) = by_name.remove(&name) else { continue };
            let by_age = action.reason.code.is_by_age();
            if fault.code == BlockCode::TreeHolds && by_age {
                let text = format!("{}; {}; {}", action.reason.text, fault.text, fault.way_out);
                let reason = Reason { code: ReasonCode::Tree, text: text.into() };
                self.kept.push(Kept { address: action.address, reason, origin: Some(action.origin) });
            } else {
                let text = format!("{}; it is not deleted", fault.text);
                self.block(Some(&name), fault.code, text, fault.way_out, vec![action.origin]);
            }
        }
        first
    }

    /// Whether the captures of this pass keep every chain and filesystem within the SafetyPolicy, after these deletions.
    fn within_limits(&self, external: &External<'_>, after: Option<&chain::Arranged>) -> bool {
        self.creates.is_empty()
            || (self.images_with_captures(external, after) <= self.chain_limit() as usize
                && (self.full_filesystem().is_none() || after.is_some_and(|deleted| !deleted.order.is_empty())))
    }

    /// How many images the longest chain has after the captures of this pass.
    fn images_with_captures(&self, external: &External<'_>, after: Option<&chain::Arranged>) -> usize {
        let domain = after.map_or(&external.start, |deleted| &deleted.left);
        let longest = domain.disks.iter().filter_map(|disk| chain::images(domain, disk)).max().unwrap_or(0);
        let taking_disks = |action: &&Action| captures_disks(action);
        longest + self.creates.iter().filter(taking_disks).count()
    }

    /// How long the chains of a domain with external snapshots are.
    pub(super) fn chain_lengths(&self) -> Vec<ChainLength> {
        if !self.domain.tree.has_external() {
            return Vec::new();
        }
        let limit = self.chain_limit();
        let length = |disk: &ObservedDisk| {
            let images = chain::images(self.domain, disk).filter(|_| !disk.readonly)?;
            Some(ChainLength { target: disk.target.clone(), images, limit })
        };
        self.domain.disks.iter().filter_map(length).collect()
    }

    fn chain_limit(&self) -> u32 {
        chain_limit(self.host, &self.limits)
    }

    /// Holds back the captures of this pass, which no deletion makes room for.
    fn block_captures(&mut self, external: &External<'_>) {
        let images = self.images_with_captures(external, None);
        let limit = self.chain_limit();
        let full = self.full_filesystem();
        for action in std::mem::take(&mut self.creates) {
            let (name, origins) = (action.address.snapshot, vec![action.origin]);
            match &full {
                Some(full) if images <= limit as usize => {
                    let (text, way_out) = self.no_space(full);
                    self.block(name.as_ref(), BlockCode::NoSpace, text, way_out, origins);
                }
                _ => {
                    let text = format!(
                        "a disk's chain would have {images} images, and the limit is {limit}: with more, libvirt below 12.0 neither \
                         starts the domain nor deletes a snapshot of it"
                    );
                    let way_out = "delete snapshots that are no longer needed (state: absent, retention); chainLimit in the \
                                   SafetyPolicy says how many images are allowed";
                    self.block(name.as_ref(), BlockCode::ChainLimit, text, way_out, origins);
                }
            }
        }
        self.pointer = external.start.tree.current().cloned();
    }

    /// Snapshots that another domain's image stands on: none of them can be merged, which is better known before it is due.
    fn report_shared(&mut self, external: &External<'_>) {
        if external.fault.is_some() {
            return;
        }
        let shared = self.domain.tree.iter().filter_map(|snapshot| {
            let step = chain::Step::Delete(&snapshot.name);
            let fault = chain::prove(&external.start, &external.neighbours, external.rules, step).err()?;
            (fault.code == BlockCode::SharedBase).then_some((&snapshot.name, fault))
        });
        let shared: Vec<_> = shared.collect();
        let (Some((_, fault)), Some(origin)) = (shared.first(), self.origin.clone()) else { return };
        let names: Vec<_> = shared.iter().map(|(name, _)| name).collect();
        let text = format!("{}: {} cannot be deleted: {}", self.address(None), some(&names), fault.text);
        self.warnings.push(Warning { text, origin });
    }

    /// Files that nothing uses: an interrupted capture or a forgotten revert left them.
    fn report_files(&mut self, external: &External<'_>) {
        let bystanders = Bystanders::new(&external.neighbours);
        let unknown = chain::unknown_overlays(self.domain, &bystanders);
        let orphans = chain::orphans(self.domain, &bystanders);
        let planned: BTreeSet<&str> = captures_of(&self.creates)
            .flat_map(|capture| capture.disks.iter().filter_map(|disk| disk.file.as_deref()))
            .collect();
        let told = |path: &str| planned.contains(path) || unknown.iter().any(|(unknown, _)| *unknown == path);
        let orphans: Vec<_> = orphans.into_iter().filter(|(path, _)| !told(path)).collect();
        let Some(origin) = self.origin.clone() else { return };
        if !unknown.is_empty() {
            let files: Vec<_> =
                unknown.iter().map(|(path, below)| format!("{} on {}", printable(path), printable(below))).collect();
            let text = format!(
                "{}: {} that no snapshot and no disk uses, and may hold what the guest wrote after a capture that was not noted: {}. \
                 snapward removes nothing that they stand on; find out what they are, and remove them when nobody needs them",
                self.address(None),
                count(unknown.len(), "overlay holds data", "overlays hold data"),
                some(&files)
            );
            self.warnings.push(Warning { text, origin: origin.clone() });
        }
        if orphans.is_empty() {
            return;
        }
        let paths: Vec<_> = orphans.iter().map(|(path, _)| printable(path)).collect();
        let text = format!(
            "{}: {} that no snapshot and no disk uses ({} in all): {}. snapward leaves files alone that it cannot prove to be its \
             own",
            self.address(None),
            count(orphans.len(), "overlay lies beside its images", "overlays lie beside its images"),
            bytes(orphans.iter().map(|(_, size)| size).sum()),
            some(&paths)
        );
        self.warnings.push(Warning { text, origin });
    }
}

/// How many images a chain may have.
pub(super) fn chain_limit(host: &HostInfo, limits: &SafetySpec) -> u32 {
    if LONG_CHAINS.of(host) { limits.chain_limit } else { limits.chain_limit.min(HARD_CHAIN_LIMIT) }
}

fn captures_disks(action: &Action) -> bool {
    action.after.as_ref().and_then(|after| after.capture.as_ref()).is_some_and(|capture| !capture.disks.is_empty())
}

fn fault_of(external: &External<'_>) -> Option<(BlockCode, String)> {
    let fault = external.fault.as_ref()?;
    Some((
        fault.code,
        "the domain's snapshots and images do not fit each other, as the item about the domain says; it is not deleted"
            .to_owned(),
    ))
}

/// What a deletion does to files.
pub(super) fn files_view(effect: &chain::Effect) -> View {
    let merged = |path: &&String| effect.merges.iter().any(|merge| merge.from == **path);
    let removes: Vec<String> = effect.unlinks.iter().filter(|path| !merged(path)).cloned().collect();
    View {
        merges: (!effect.merges.is_empty()).then(|| effect.merges.clone()),
        removes: (!removes.is_empty()).then_some(removes),
        disks: (!effect.disks.is_empty()).then(|| effect.disks.clone()),
        ..View::default()
    }
}

/// Holds back the captures of domains whose deletions were to make room for them, and were held back themselves.
pub(super) fn without_room(plan: &mut Plan, from: usize, needs_room: &[(&str, usize)]) {
    for &(domain, deletes) in needs_room {
        let here = |action: &Action, kind| action.address.domain == domain && action.action == kind;
        if plan.actions[from..].iter().filter(|action| here(action, ActionKind::Delete)).count() == deletes {
            continue;
        }
        let mut taken = Vec::new();
        for (place, action) in (from..).zip(plan.actions.split_off(from)) {
            if !here(&action, ActionKind::Create) {
                plan.actions.push(action);
                continue;
            }
            taken.push(place);
            plan.blocked.push(Blocked {
                address: action.address,
                code: BlockCode::ChainLimit,
                text: "the deletions that were to make room for it wait themselves; nothing was captured".to_owned(),
                way_out: "see why they wait, in this plan".to_owned(),
                origins: vec![action.origin],
            });
        }
        // The places of what waits are counted in the actions that are left.
        for held in &mut plan.held_back {
            held.before -= taken.iter().filter(|place| **place < held.before).count();
        }
    }
}
