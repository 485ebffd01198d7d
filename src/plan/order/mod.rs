//! Orders: what a person asks of one domain by name. Planned with the same checks, proofs and actions as a manifest's wish, and
//! refused as a whole where a part of it cannot be done.

mod create;
mod delete;
mod redefine;
mod resolve;

use std::sync::Arc;

pub use create::{CaptureOrder, create};
pub use delete::{Scope, delete, forget_all};
pub use redefine::{Edit, edit, hold, redefine, set_current, unhold};
pub use resolve::resolve;

use super::chain::{Fault, Layout, Neighbours, Trust};
use crate::model::desired::{DesiredState, Document, Origin};
use crate::model::names::{SetId, SnapshotName};
use crate::model::observed::{HostInfo, ObservedDomain};
use crate::model::plan::{Action, ActionKind, Address, Plan, PlanSource, PlannedDomain, Reason, ReasonCode};
use crate::model::shared::SharedText;
use crate::model::snapshot::ObservedSnapshot;
use crate::model::text::instant;

/// The domain an order is about, as it was read.
#[derive(Clone)]
pub struct Scene<'a> {
    /// Its host.
    pub host: &'a HostInfo,
    /// The domain.
    pub domain: &'a ObservedDomain,
    /// The other domains of the host, where a file of theirs could be touched.
    pub neighbours: Neighbours<'a>,
    /// The present.
    pub now: jiff::Timestamp,
}

/// The sets that are at work on a domain: those that select it and are not suspended.
pub fn sets_at_work(desired: &DesiredState, scene: &Scene<'_>) -> Vec<SetId> {
    let (host, domain) = (scene.host, scene.domain);
    let sets = super::Context::new(desired, scene.now).sets_of(host, &domain.name, domain.uuid);
    sets.into_iter().filter(|set| super::domain::suspended(set, scene.now).is_none()).map(Document::id).collect()
}

/// Why the snapshots of a domain cannot be restored from what would be exported now; none where they can.
pub fn export_obstacle(scene: &Scene<'_>) -> Option<Refusal> {
    if let Some(problem) = super::kinds::problem(scene.domain, &[], &[]) {
        return Some(Refusal::fault(None, problem));
    }
    let external = scene.is_external();
    let fault = Layout::whole(scene.domain, Trust::Metadata).err().filter(|_| external)?;
    Some(Refusal::fault(None, fault))
}

/// Why an order is not carried out. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The snapshot in the way; none where it is the domain.
    pub snapshot: Option<SnapshotName>,
    /// What is the matter.
    pub text: String,
    /// What to do about it.
    pub way_out: String,
}

impl Refusal {
    fn new(snapshot: Option<&SnapshotName>, text: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { snapshot: snapshot.cloned(), text: text.into(), way_out: way_out.into() }
    }

    fn fault(snapshot: Option<&SnapshotName>, fault: Fault) -> Self {
        Self::new(snapshot, fault.text, fault.way_out)
    }
}

impl<'a> Scene<'a> {
    fn address(&self, snapshot: &SnapshotName) -> Address {
        let (host, domain) = (self.host.name.clone(), self.domain.name.clone());
        Address { host: host.into(), domain, snapshot: Some(snapshot.clone()) }
    }

    fn is_external(&self) -> bool {
        self.domain.tree.has_external()
    }

    fn existing(&self, name: &SnapshotName) -> Result<&'a ObservedSnapshot, Refusal> {
        let missing = || Refusal::new(Some(name), "the domain has no snapshot of this name", "list what it has");
        self.domain.tree.get(name).ok_or_else(missing)
    }

    /// A plan of these actions, in this order.
    fn plan(&self, actions: Vec<Action>) -> Plan {
        let captured = || actions.iter().filter(|action| action.action == ActionKind::Create);
        let names = || captured().filter_map(|action| action.address.snapshot.clone());
        let made = |name: &SnapshotName| Some(self.domain.ledger.as_ref()?.made(name)?.created);
        let planned = PlannedDomain {
            host: self.host.name.clone(),
            domain: self.domain.name.clone(),
            uuid: self.domain.uuid,
            state: self.domain.state,
            fingerprint: self.domain.fingerprint.clone(),
            sets: Vec::new(),
            suspended: None,
            next_due: None,
            wake: None,
            chains: Vec::new(),
            ledger: None,
            declared: names().collect(),
            lost: names().filter_map(|name| Some((name.clone(), made(&name)?))).collect(),
            trust_unreadable_chains: false,
            window_closes: None,
        };
        let mut plan = Plan::new(instant(self.now.as_second()), PlanSource::default());
        plan.domains.push(planned);
        plan.actions = actions;
        plan.summary = super::summary(&plan);
        plan
    }
}

/// Why an ordered action is done.
fn ordered(text: impl Into<SharedText>) -> Reason {
    Reason { code: ReasonCode::Ordered, text: text.into() }
}

/// There is no manifest line behind an order.
fn origin() -> Origin {
    Origin { file: Arc::from("command line"), line: 1 }
}
