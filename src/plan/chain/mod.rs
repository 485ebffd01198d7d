//! The chain proof: what must be seen to hold before anything is done to a domain with external snapshots.
//!
//! libvirt trusts its own metadata. Where the current pointer, a parent or an image is not what the metadata says, an
//! ordinary delete or revert unlinks or overwrites files that other snapshots, the running disk or another domain need.
//! So each step is proven on what was observed, when it is planned and again on a fresh read right before it is sent.
//! Pure: the files were probed before.

mod files;
mod layout;
pub(in crate::plan) mod live;
mod order;
mod repair;
mod revert;
mod simulate;
mod unnoted;

#[cfg(test)]
pub(in crate::plan) mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use files::unused_leftover;
pub(super) use files::{Bystanders, orphans, unknown_overlays};
pub(super) use layout::{Layout, Trust, images, is_broken, parents_are_listed};
pub(super) use order::{Arranged, arrange};
pub(super) use repair::{Repair, find as find_repair};
pub use revert::overlay_stem;
pub(super) use simulate::{after_create, after_forget, after_redefine, after_repair};

use crate::model::names::SnapshotName;
use crate::model::observed::{ObservedDomain, ObservedHost, UnreadableDomain};
use crate::model::plan::{BlockCode, ImageMerge};

/// One step on a domain with external snapshots.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A capture: everything that is written afterwards goes to new overlays.
    Create,
    /// The deletion of one snapshot.
    Delete(&'a SnapshotName),
    /// The domain goes back to this snapshot.
    Revert(&'a SnapshotName),
    /// A redefine that gives a snapshot its revert overlays back, by disk target.
    RestoreOverlays(&'a SnapshotName, &'a BTreeMap<String, String>),
    /// The current pointer goes to this snapshot.
    SetCurrent(&'a SnapshotName),
}

/// What the domain's SafetyPolicies say about proofs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Whether a chain that cannot be read from here counts as what the metadata says.
    pub trust_unreadable_chains: bool,
}

/// The other domains of the host: each may use a file that a step removes or writes to.
#[derive(Debug, Clone, Default)]
pub struct Neighbours<'a> {
    /// Those that were read, selected or not.
    pub domains: Vec<&'a ObservedDomain>,
    /// The names of those that could not be.
    pub unread: Vec<&'a str>,
}

impl<'a> Neighbours<'a> {
    /// Those that were read, and those that could not be.
    pub fn read(domains: &'a [ObservedDomain], unread: &'a [UnreadableDomain]) -> Self {
        Self { domains: domains.iter().collect(), unread: unread.iter().map(|domain| domain.name.as_str()).collect() }
    }

    /// All domains of a host but one.
    pub fn of(host: &'a ObservedHost, domain: &ObservedDomain) -> Self {
        let others = host.domains.iter().chain(&host.others).filter(|other| other.uuid != domain.uuid);
        let unread = host.unreadable.iter().chain(&host.others_unreadable);
        Self { domains: others.collect(), unread: unread.map(|other| other.name.as_str()).collect() }
    }
}

/// What a proven step does to files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// The overlays that are merged into the image below.
    pub merges: Vec<ImageMerge>,
    /// Files that are gone afterwards, the merged ones included.
    pub unlinks: Vec<String>,
    /// The disks whose active image changes: target and path afterwards.
    pub disks: BTreeMap<String, String>,
    /// The disks that get a new overlay, and the image under it; its name is libvirt's choice.
    pub overlays_on: BTreeMap<String, String>,
}

/// Why a step is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// For programs.
    pub code: BlockCode,
    /// What is the matter.
    pub text: String,
    /// What to do about it.
    pub way_out: String,
}

impl Fault {
    pub(in crate::plan) fn new(code: BlockCode, text: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { code, text: text.into(), way_out: way_out.into() }
    }

    /// What libvirt or QEMU cannot do.
    pub(in crate::plan) fn not_possible(text: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self::new(BlockCode::NotPossible, text, way_out)
    }
}

/// Proves that a step on a domain with external snapshots destroys nothing but what it names, and says what it does to
/// files.
///
/// # Errors
/// The first thing that is not as it must be; nothing may be sent to libvirt then.
pub fn prove(
    domain: &ObservedDomain,
    neighbours: &Neighbours<'_>,
    rules: Rules,
    step: Step<'_>,
) -> Result<Effect, Fault> {
    match step {
        // A capture unlinks nothing and writes into no image: where the chain below is not readable, the overlay of the
        // current snapshot being the active image is enough.
        Step::Create => Layout::whole(domain, Trust::Metadata).map(|_| Effect::default()),
        Step::Delete(name) => delete(domain, neighbours, rules, name),
        Step::Revert(name) => revert::prove(domain, neighbours, rules, name),
        Step::RestoreOverlays(name, overlays) => repair::prove_overlays(domain, name, overlays),
        Step::SetCurrent(name) => repair::prove_pointer(domain, rules, name),
    }
}

fn delete(
    domain: &ObservedDomain,
    neighbours: &Neighbours<'_>,
    rules: Rules,
    name: &SnapshotName,
) -> Result<Effect, Fault> {
    let trust = Trust::of(rules);
    if let Some(hold) = order::held(&domain.tree, name) {
        return Err(hold);
    }
    let layout = Layout::whole_but_for(domain, trust, name)?;
    if let Some(hold) = order::unfinished(&domain.tree, name) {
        return Err(hold);
    }
    let effect = files::effect_of_delete(domain, &layout, name)?;
    if !effect.merges.is_empty() {
        if let Some(hold) = order::images_wait(domain) {
            return Err(hold);
        }
        live::images_are_those_in_use(domain)?;
    }
    files::nobody_needs(domain, &layout, name, &effect, neighbours, trust)?;
    // A tree that would not be whole afterwards is a trap for the next delete or revert.
    let afterwards = simulate::after_delete(domain, name, &effect);
    if afterwards.tree.is_empty() {
        return Ok(effect);
    }
    match Layout::whole(&afterwards, trust) {
        Ok(_) => Ok(effect),
        Err(fault) => Err(Fault::new(
            BlockCode::TreeHolds,
            format!("libvirt would lose track of the images: afterwards {}", fault.text),
            "delete the other snapshots under its parent first, the newest of each branch first",
        )),
    }
}
