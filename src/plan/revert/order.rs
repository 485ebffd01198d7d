//! A revert that a person orders: the plan of one domain, with the same checks, guard and proof as a RevertRequest's.

use super::super::chain::Neighbours;
use super::super::{id, summary};
use super::Wanted;
use super::actions::{Asked, Guard, actions};
use crate::model::desired::Origin;
use crate::model::kinds::SafetySpec;
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::observed::ObservedHost;
use crate::model::plan::{Address, Blocked, Plan, PlanSource, PlannedDomain, Reason, ReasonCode};
use crate::model::series::slot_name;
use crate::model::text::instant;

/// What a person orders.
#[derive(Debug, Clone)]
pub struct Order {
    /// The snapshot to revert to.
    pub target: SnapshotName,
    /// How.
    pub wanted: Wanted,
    /// Whether a snapshot of today's state is taken first. It belongs to nobody, and nothing prunes it.
    pub guard: bool,
}

/// Plans it for a domain of the host; none where the host has no such domain, or could not read it.
pub fn ordered(host: &ObservedHost, uuid: DomainUuid, order: &Order, now: jiff::Timestamp) -> Option<Plan> {
    let domain = host.domains.iter().find(|domain| domain.uuid == uuid)?;
    let origin = Origin { file: "command line".into(), line: 0 };
    let guard = order
        .guard
        .then(|| Guard { name: SnapshotName::observed(format!("before-revert-{}", slot_name(now))), stamp: None });
    let planned = actions(&Asked {
        host: &host.info,
        domain,
        neighbours: &Neighbours::of(host, domain),
        limits: &SafetySpec::default(),
        target: &order.target,
        wanted: order.wanted,
        token: None,
        guard,
        reason: Reason { code: ReasonCode::RevertRequested, text: "ordered on the command line".into() },
        origin: origin.clone(),
        now: now.as_second(),
    });
    let (actions, blocked) = match planned {
        Ok(actions) => (actions, Vec::new()),
        Err(fault) => {
            let address = Address {
                host: host.info.name.clone().into(),
                domain: domain.name.clone(),
                snapshot: Some(order.target.clone()),
            };
            let text = format!("{}; nothing was reverted", fault.text);
            (
                Vec::new(),
                vec![Blocked { address, code: fault.code, text, way_out: fault.way_out, origins: vec![origin] }],
            )
        }
    };
    let mut plan = Plan { actions, blocked, ..Plan::new(instant(now.as_second()), PlanSource::default()) };
    plan.domains = vec![PlannedDomain {
        host: host.info.name.clone(),
        domain: domain.name.clone(),
        uuid,
        state: domain.state,
        fingerprint: domain.fingerprint.clone(),
        sets: Vec::new(),
        suspended: None,
        next_due: None,
        wake: None,
        chains: Vec::new(),
        ledger: None,
        declared: Default::default(),
        lost: Default::default(),
        trust_unreadable_chains: false,
        window_closes: None,
    }];
    plan.summary = summary(&plan);
    plan.plan_id = id::plan_id(&plan);
    Some(plan)
}
