//! Windows of the SafetyPolicies: what may be deleted only in certain hours, and when they come.

use std::collections::{BTreeMap, HashSet};

use super::Context;
use crate::model::desired::Document;
use crate::model::kinds::{SnapshotSet, Window, WindowAction};
use crate::model::names::{DomainUuid, SetId};
use crate::model::observed::{HostInfo, ObservedDomain, ObservedHost};
use crate::model::plan::{Action, ActionKind, BlockCode, Blocked, Kept, Plan, Reason, ReasonCode};
use crate::schedule::{closed_until, open_until};

/// Takes the deletions out of a host's actions, which begin at `from`, whose domain has no open window now. They are kept:
/// a closed window is no matter for a person. Of an open one it is noted when it closes.
pub(super) fn close(context: &Context<'_>, host: &ObservedHost, plan: &mut Plan, from: usize) {
    let mut closed: BTreeMap<&str, Option<jiff::Timestamp>> = BTreeMap::new();
    let mut open: BTreeMap<&str, jiff::Timestamp> = BTreeMap::new();
    let deletes = plan.actions[from..].iter().filter(|action| action.action == ActionKind::Delete);
    let deletes: HashSet<&str> = deletes.map(|action| action.address.domain.as_str()).collect();
    for domain in host.domains.iter().filter(|domain| deletes.contains(domain.name.as_str())) {
        let policies = windows(context, &host.info, (&domain.name, domain.uuid));
        match closed_until(&policies, WindowAction::Delete, context.now) {
            Some(opens) => drop(closed.insert(&domain.name, opens)),
            None => open.extend(
                open_until(&policies, WindowAction::Delete, context.now).map(|closes| (domain.name.as_str(), closes)),
            ),
        }
    }
    for planned in plan.domains.iter_mut().filter(|planned| planned.host == host.info.name) {
        planned.window_closes = open.get(planned.domain.as_str()).copied().or(planned.window_closes);
    }
    if closed.is_empty() {
        return;
    }
    note_openings(plan, &host.info.name, &closed);
    for action in plan.actions.split_off(from) {
        let opens = closed.get(action.address.domain.as_str()).filter(|_| action.action == ActionKind::Delete);
        match opens {
            None => plan.actions.push(action),
            Some(Some(opens)) => plan.kept.push(waits(action, *opens)),
            Some(None) => plan.blocked.push(Blocked {
                address: action.address,
                code: BlockCode::WindowClosed,
                text: format!(
                    "{}; its SafetyPolicies allow deletions only in windows, and none that all of them share comes",
                    action.reason.text
                ),
                way_out: "give the policies of the domain's sets windows that meet".to_owned(),
                origins: vec![action.origin],
            }),
        }
    }
}

/// What the deletions of a domain wait for now; none where they may happen.
pub(super) fn waits_for(context: &Context<'_>, host: &ObservedHost, domain: &ObservedDomain) -> Option<String> {
    let opens = closed(context, &host.info, (&domain.name, domain.uuid), WindowAction::Delete)?;
    Some(match opens {
        Some(opens) => format!("deletions wait until the window of its SafetyPolicy opens, {opens}"),
        None => "its SafetyPolicies have no window in common, so nothing is deleted".to_owned(),
    })
}

/// An opening window is a reason to run, as a due slot is.
fn note_openings(plan: &mut Plan, host: &str, closed: &BTreeMap<&str, Option<jiff::Timestamp>>) {
    for planned in plan.domains.iter_mut().filter(|planned| planned.host == host) {
        let Some(Some(opens)) = closed.get(planned.domain.as_str()) else { continue };
        let due = planned.next_due.as_ref().and_then(|due| due.parse::<jiff::Timestamp>().ok());
        planned.next_due = due.into_iter().chain([*opens]).min().map(|due| due.to_string());
        planned.wake = planned.wake.into_iter().chain([*opens]).min();
    }
}

/// The windows of each policy that a domain's sets refer to.
fn windows<'a>(context: &Context<'a>, host: &HostInfo, (name, uuid): (&str, DomainUuid)) -> Vec<&'a [Window]> {
    let sets = context.sets_of(host, name, uuid);
    let of_set = |set: &Document<SnapshotSet>| {
        let name = set.value.spec.safety.as_ref()?.policy_ref.clone();
        let policy = context.desired.safety.get(&SetId { namespace: set.id().namespace, name })?;
        Some(policy.value.spec.windows.as_slice())
    };
    sets.into_iter().filter_map(of_set).collect()
}

/// When the SafetyPolicies of a domain let the action happen again, where they do not now; `Some(None)`: never all at once.
pub(super) fn closed(
    context: &Context<'_>,
    host: &HostInfo,
    domain: (&str, DomainUuid),
    action: WindowAction,
) -> Option<Option<jiff::Timestamp>> {
    closed_until(&windows(context, host, domain), action, context.now)
}

/// When the windows close in which the SafetyPolicies of a domain let the action happen now.
pub(super) fn closes(
    context: &Context<'_>,
    host: &HostInfo,
    domain: (&str, DomainUuid),
    action: WindowAction,
) -> Option<jiff::Timestamp> {
    open_until(&windows(context, host, domain), action, context.now)
}

fn waits(action: Action, opens: jiff::Timestamp) -> Kept {
    Kept {
        address: action.address,
        reason: Reason {
            code: ReasonCode::Window,
            text: format!("{}; it goes when the window of its SafetyPolicy opens, {opens}", action.reason.text).into(),
        },
        origin: Some(action.origin),
    }
}
