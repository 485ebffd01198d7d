//! The planner: desired and observed state in, plan out. Pure: no I/O, and `now` is an argument.

pub mod abilities;
mod capture;
mod captures;
pub mod chain;
mod claims;
mod complete;
mod declared;
mod deletable;
mod domain;
mod explain;
mod external;
pub mod forecast;
mod guards;
mod id;
mod kinds;
mod ledger;
pub mod order;
mod restore;
mod retain;
pub mod revert;
mod room;
mod series;
mod status;
mod unmatched;
mod windows;

#[cfg(test)]
mod tests;

pub use explain::explain;
pub use guards::release;
pub use id::ID_DIGITS;
pub use status::{conditions, status};

use crate::model::desired::{DesiredState, Document};
use crate::model::kinds::{RevertRequest, SnapshotSet};
use crate::model::names::DomainUuid;
use crate::model::observed::{HostInfo, ObservedDomain, ObservedHost, ObservedState};
use crate::model::plan::{Action, ActionKind, Blocked, Plan, PlanSource, PlannedDomain, Summary, Unreadable};
use crate::model::selector::{Chooser, Selection};
use crate::model::text::instant;
use crate::parallel::by_pieces;

/// What every domain of a pass is planned with.
struct Context<'a> {
    desired: &'a DesiredState,
    now: jiff::Timestamp,
    /// The selectors of the sets.
    sets: Chooser,
    /// Whether the decisions of retention are to be told, of each snapshot.
    explain: bool,
    /// The selectors of the RevertRequests.
    reverts: Chooser,
}

impl<'a> Context<'a> {
    fn new(desired: &'a DesiredState, now: jiff::Timestamp) -> Self {
        let of_request = |request: &Document<RevertRequest>| {
            let spec = &request.value.spec;
            Selection::new(Some(&spec.hosts), &spec.domains)
        };
        Self {
            desired,
            now,
            sets: Chooser::new(desired.sets.iter().map(|set| Selection::of(&set.value.spec))),
            explain: false,
            reverts: Chooser::new(desired.reverts.iter().map(of_request)),
        }
    }

    /// The RevertRequests that select a domain, in the order of the manifests.
    fn requests_of(&self, host: &HostInfo, name: &str, uuid: DomainUuid) -> Vec<revert::Claim<'a>> {
        let places = self.reverts.choosing(host, name, uuid).into_iter();
        places.map(|place| revert::Claim { request: &self.desired.reverts[place] }).collect()
    }

    /// The sets that select a domain, in the order of the manifests.
    fn sets_of(&self, host: &HostInfo, name: &str, uuid: DomainUuid) -> Vec<&'a Document<SnapshotSet>> {
        let places = self.sets.choosing(host, name, uuid).into_iter();
        places.map(|place| &self.desired.sets[place]).collect()
    }
}

/// Works out what would change. `source` says what the desired state was read from; the statistics are the caller's.
pub fn plan(desired: &DesiredState, observed: &ObservedState, now: jiff::Timestamp, source: PlanSource) -> Plan {
    let context = Context::new(desired, now);
    let mut plan = Plan::new(instant(now.as_second()), source);
    unmatched::report(&context, observed, &mut plan);
    let mut ends: Vec<jiff::Timestamp> = Vec::new();
    for host in &observed.hosts {
        plan.hosts.push(abilities::planned(&host.info));
        let from = plan.actions.len();
        let mut series_deletes = Vec::new();
        let mut needs_room = Vec::new();
        for (domain, pass) in host.domains.iter().zip(plan_domains(&context, host)) {
            plan.domains.push(pass.planned);
            if pass.needs_room {
                let deletes = pass.actions.iter().filter(|action| action.action == ActionKind::Delete).count();
                needs_room.push((domain.name.as_str(), deletes));
            }
            plan.actions.extend(pass.actions);
            plan.blocked.extend(pass.blocked);
            plan.kept.extend(pass.kept);
            plan.drift.extend(pass.drift);
            plan.unmanaged.extend(pass.unmanaged);
            plan.warnings.extend(pass.warnings);
            plan.unchanged += pass.unchanged;
            ends.extend(pass.slot_ends);
            series_deletes.extend(pass.series_deletes.into_iter().map(|deletes| (domain.name.as_str(), deletes)));
        }
        windows::close(&context, host, &mut plan, from);
        guards::limit_deletes(&context, host, &mut plan, from, &series_deletes);
        external::without_room(&mut plan, from, &needs_room);
        plan.unreadable.extend(host.unreadable.iter().map(|domain| Unreadable {
            host: host.info.name.clone(),
            domain: Some(domain.name.clone()),
            error: domain.error.clone(),
        }));
    }
    plan.unreadable.extend(observed.unreachable.iter().map(|host| Unreadable {
        host: host.name.clone(),
        domain: None,
        error: host.error.clone(),
    }));
    plan.warnings.dedup();
    ends.extend(plan.domains.iter().filter_map(|domain| domain.window_closes));
    plan.good_until = ends.into_iter().min().map(|end| end.to_string());
    plan.summary = summary(&plan);
    plan.plan_id = id::plan_id(&plan);
    if !plan.held_back.is_empty() && guards::approved(&context, &plan) {
        release(&mut plan);
    }
    plan
}

/// Fewer domains are planned before a thread has started.
const WORTH_A_THREAD: usize = 64;

/// Plans the domains of a host, several at a time: what one comes to hangs on no other. In their order.
fn plan_domains(context: &Context<'_>, host: &ObservedHost) -> Vec<DomainPass> {
    by_pieces(&host.domains, WORTH_A_THREAD, |domains| {
        let mut claims = None;
        let plan_one = |domain: &ObservedDomain| {
            let sets = context.sets_of(&host.info, &domain.name, domain.uuid);
            let before = claims.take();
            domain::plan_domain(context, host, domain, claims.insert(claims::collect(context, sets, before)))
        };
        domains.iter().map(plan_one).collect()
    })
}

fn summary(plan: &Plan) -> Summary {
    let count = |kind| plan.actions.iter().filter(|action| action.action == kind).count();
    Summary {
        has_changes: !plan.actions.is_empty(),
        create: count(ActionKind::Create),
        redefine: count(ActionKind::Redefine),
        set_current: count(ActionKind::SetCurrent),
        delete: count(ActionKind::Delete),
        revert: count(ActionKind::Revert),
        blocked: plan.blocked.len(),
        unchanged: plan.unchanged,
        unmanaged: plan.unmanaged.len(),
        unreadable: plan.unreadable.len(),
    }
}

/// What planning one domain found.
struct DomainPass {
    planned: PlannedDomain,
    actions: Vec<Action>,
    blocked: Vec<Blocked>,
    kept: Vec<crate::model::plan::Kept>,
    drift: Vec<crate::model::plan::Drift>,
    unmanaged: Vec<crate::model::plan::Unmanaged>,
    warnings: Vec<crate::model::plan::Warning>,
    unchanged: usize,
    series_deletes: Vec<retain::SeriesDeletes>,
    /// Whether the captures come after the deletions, which make room for them.
    needs_room: bool,
    /// When the time of each slot captured here is over.
    slot_ends: Vec<jiff::Timestamp>,
    explained: Vec<crate::model::explanation::ExplainedSeries>,
}
