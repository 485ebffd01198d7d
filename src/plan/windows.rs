//! Windows of the SafetyPolicies: what may be deleted only in certain hours, and when they come.

use std::collections::BTreeMap;

use super::Context;
use crate::model::kinds::{Window, WindowAction};
use crate::model::names::{DomainUuid, SetId};
use crate::model::observed::{HostInfo, ObservedHost};
use crate::model::plan::{Action, ActionKind, BlockCode, Blocked, Kept, Plan, Reason, ReasonCode};
use crate::schedule::closed_until;

/// Takes the deletions out of a host's actions, which begin at `from`, whose domain has no open window now. They are kept:
/// a closed window is no matter for a person.
pub(super) fn close(context: &Context<'_>, host: &ObservedHost, plan: &mut Plan, from: usize) {
    let closed: BTreeMap<&str, Option<jiff::Timestamp>> = host
        .domains
        .iter()
        .filter_map(|domain| {
            let of = (domain.name.as_str(), domain.uuid);
            Some((domain.name.as_str(), closed(context, &host.info, of, WindowAction::Delete)?))
        })
        .collect();
    if closed.is_empty() {
        return;
    }
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

/// When the SafetyPolicies of a domain let the action happen again, where they do not now; `Some(None)`: never all at once.
pub(super) fn closed(
    context: &Context<'_>,
    host: &HostInfo,
    (name, uuid): (&str, DomainUuid),
    action: WindowAction,
) -> Option<Option<jiff::Timestamp>> {
    let policies: Vec<&[Window]> = context
        .sets_of(host, name, uuid)
        .into_iter()
        .filter_map(|set| {
            let name = set.value.spec.safety.as_ref()?.policy_ref.clone();
            let policy = context.desired.safety.get(&SetId { namespace: set.id().namespace, name })?;
            Some(policy.value.spec.windows.as_slice())
        })
        .collect();
    closed_until(&policies, action, context.now)
}

fn waits(action: Action, opens: jiff::Timestamp) -> Kept {
    Kept {
        address: action.address,
        reason: Reason {
            code: ReasonCode::Window,
            text: format!("{}; it goes when the window of its SafetyPolicy opens, {opens}", action.reason.text),
        },
        origin: Some(action.origin),
    }
}
