//! A revert as actions of a plan: the snapshot of today's state first, where one is wanted, then the revert itself. The
//! same for a RevertRequest and for a person's order.

use super::super::captures::{self, Wish};
use super::super::chain::{self, Fault, Neighbours, Rules};
use super::super::{capture, external, room};
use super::{Prepared, Wanted, prepare};
use crate::model::desired::Origin;
use crate::model::kinds::{Capture, Consistency, Content, Location, SafetySpec, When};
use crate::model::names::SnapshotName;
use crate::model::observed::{HostInfo, ObservedDomain};
use crate::model::plan::{Action, ActionKind, Address, BlockCode, Reason, ReasonCode, Risk, RiskLevel, View};
use crate::model::revert::{RevertOrder, RevertToken};
use crate::model::stamp::Stamp;

/// One revert that somebody wants.
pub(in crate::plan) struct Asked<'a> {
    pub(in crate::plan) host: &'a HostInfo,
    pub(in crate::plan) domain: &'a ObservedDomain,
    pub(in crate::plan) neighbours: &'a Neighbours<'a>,
    pub(in crate::plan) limits: &'a SafetySpec,
    pub(in crate::plan) target: &'a SnapshotName,
    pub(in crate::plan) wanted: Wanted,
    /// The request's token; none for a person's order.
    pub(in crate::plan) token: Option<RevertToken>,
    pub(in crate::plan) guard: Option<Guard>,
    pub(in crate::plan) reason: Reason,
    pub(in crate::plan) origin: Origin,
    /// UTC epoch seconds.
    pub(in crate::plan) now: i64,
}

/// The snapshot of today's state.
pub(in crate::plan) struct Guard {
    pub(in crate::plan) name: SnapshotName,
    /// None: the snapshot is the person's own, and nobody's to prune.
    pub(in crate::plan) stamp: Option<Stamp>,
}

/// The actions of a revert, each checked on the state that the one before it leaves.
///
/// # Errors
/// What is in the way of any of them.
pub(in crate::plan) fn actions(asked: &Asked<'_>) -> Result<Vec<Action>, Fault> {
    let rules = Rules { trust_unreadable_chains: asked.limits.trust_unreadable_chains };
    let checked =
        |domain: &ObservedDomain| prepare(asked.host, domain, asked.neighbours, rules, asked.target, asked.wanted);
    // What is in the way of the revert is said before what is in the way of its guard.
    let without = checked(asked.domain)?;
    let Some(guard) = &asked.guard else { return Ok(vec![revert(asked, &without)]) };
    let (action, guarded) = capture(asked, guard)?;
    let prepared = checked(&guarded)?;
    Ok(vec![action, revert(asked, &prepared)])
}

/// The capture of the guard, of the tree's own kind, and the domain after it.
fn capture(asked: &Asked<'_>, guard: &Guard) -> Result<(Action, ObservedDomain), Fault> {
    let Asked { host, domain, limits, .. } = *asked;
    let refused = |code, text: &str, way_out: &str| {
        let text = format!("the state before the revert cannot be captured: {text}");
        Fault::new(code, text, format!("{way_out}; or revert without a guard snapshot (guard.keep: 0, --no-guard)"))
    };
    if domain.tree.get(&guard.name).is_some() {
        let text = format!("there is a snapshot {} already", guard.name);
        return Err(refused(BlockCode::Conflict, &text, "run again in a moment"));
    }
    let external = domain.tree.get(asked.target).is_some_and(crate::model::snapshot::ObservedSnapshot::is_external);
    let wanted = Capture {
        content: Content::Full,
        location: if external { Location::External } else { Location::Internal },
        memory: None,
        disks: Vec::new(),
        consistency: Consistency::Crash,
    };
    let request = capture::Request { name: &guard.name, capture: &wanted, when: When::Any };
    let prepared = capture::prepare(host, domain, asked.neighbours, request)
        .map_err(|obstacle| refused(obstacle.code, &obstacle.text, &obstacle.way_out))?;
    if external {
        let images = domain.disks.iter().filter_map(|disk| chain::images(domain, disk)).max().unwrap_or(0) + 1;
        let limit = external::chain_limit(host, limits);
        if images > limit as usize {
            let text = format!("a disk's chain would have {images} images, and the limit is {limit}");
            return Err(refused(BlockCode::ChainLimit, &text, "delete snapshots that are no longer needed"));
        }
        if let Some((directory, percent)) = room::full_filesystem(domain, limits, [&prepared.capture]) {
            let text = format!(
                "the filesystem of {} has {percent} % free, and {} % shall remain",
                crate::model::text::printable(&directory),
                limits.free_space.min_percent.0
            );
            return Err(refused(BlockCode::NoSpace, &text, "make room, or lower freeSpace.minPercent"));
        }
    }
    let wish = Wish {
        name: &guard.name,
        description: Some(format!("Before the revert to {}", asked.target)),
        stamp: guard.stamp.clone(),
        reason: Reason {
            code: ReasonCode::Guard,
            text: format!("the state before the revert to {}", asked.target).into(),
        },
        origin: asked.origin.clone(),
    };
    let address = address(asked, &guard.name);
    let action = captures::action(domain, address, wish, &prepared);
    let after = match external {
        true => chain::after_create(domain, &guard.name, &prepared.capture, asked.now),
        // An internal capture changes no file's name, and is in nobody's way.
        false => domain.clone(),
    };
    Ok((action, after))
}

fn address(asked: &Asked<'_>, snapshot: &SnapshotName) -> Address {
    Address {
        host: asked.host.name.clone().into(),
        domain: asked.domain.name.clone(),
        snapshot: Some(snapshot.clone()),
    }
}

fn revert(asked: &Asked<'_>, prepared: &Prepared) -> Action {
    let Prepared { effect, state, remarks } = prepared;
    let lost = match &asked.guard {
        Some(guard) => format!("what the disks hold now is in {} alone", guard.name),
        None => "what was written since the last snapshot is gone for good".to_owned(),
    };
    let risk: Vec<&str> = [lost.as_str()].into_iter().chain(remarks.iter().map(String::as_str)).collect();
    let current = asked.domain.tree.current().map(ToString::to_string).unwrap_or_default();
    Action {
        address: address(asked, asked.target),
        action: ActionKind::Revert,
        reason: asked.reason.clone(),
        origin: asked.origin.clone(),
        before: Some(View {
            current: Some(current),
            state: Some(asked.domain.state.as_str().to_owned()),
            ..View::default()
        }),
        after: Some(View {
            current: Some(asked.target.to_string()),
            state: Some(state.as_str().to_owned()),
            removes: (!effect.unlinks.is_empty()).then(|| effect.unlinks.clone()),
            revert: Some(RevertOrder {
                request: asked.token.clone(),
                power: asked.wanted.power,
                state: *state,
                force: asked.wanted.force,
                reset_nvram: asked.wanted.reset_nvram,
                on: effect.overlays_on.clone(),
            }),
            ..View::default()
        }),
        risk: Risk { level: RiskLevel::Loss, text: risk.join("; ") },
        definition: None,
    }
}
