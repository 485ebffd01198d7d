//! The status: the conditions of every selected domain, from the same plan that apply would carry out.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::complete::Wholeness;
use super::domain::own_stamp;
use crate::model::observed::{ObservedDomain, ObservedState};
use crate::model::plan::{Address, BlockCode, Blocked, FORMAT_VERSION, Plan, PlannedDomain};
use crate::model::snapshot::ObservedSnapshot;
use crate::model::status::{Condition, ConditionKind, DomainStatus, NewestGood, Status, StatusSnapshot, StatusSummary};
use crate::model::text::{count, instant};
use crate::model::tree::SnapshotTree;

/// Derives the status of every selected domain from what was observed and planned.
pub fn status(observed: &ObservedState, plan: &Plan) -> Status {
    derive(observed, plan, snapshots)
}

/// As [`status`], without the lists of snapshots.
pub fn conditions(observed: &ObservedState, plan: &Plan) -> Status {
    derive(observed, plan, |_| Vec::new())
}

fn derive(observed: &ObservedState, plan: &Plan, list: impl Fn(&ObservedDomain) -> Vec<StatusSnapshot>) -> Status {
    let planned: HashMap<_, _> =
        plan.domains.iter().map(|planned| ((planned.host.as_str(), planned.uuid), planned)).collect();
    let mut items = Items::by_domain(plan);
    let mut domains = Vec::new();
    for host in &observed.hosts {
        for domain in &host.domains {
            if let Some(planned) = planned.get(&(host.info.name.as_str(), domain.uuid)) {
                let items = items.remove(&(planned.host.as_str(), planned.domain.as_str())).unwrap_or_default();
                domains.push(DomainStatus { snapshots: list(domain), ..domain_status(domain, planned, &items) });
            }
        }
    }
    // What is about none of these domains.
    let mut blocked: Vec<_> = items.into_values().flat_map(|items| items.blocked).collect();
    blocked.sort_by_key(|(place, _)| *place);
    let blocked: Vec<_> = blocked.into_iter().map(|(_, item)| item.clone()).collect();
    let ready = domains.iter().filter(|domain| is_ready(domain)).count();
    Status {
        format_version: FORMAT_VERSION,
        summary: StatusSummary {
            domains: domains.len(),
            ready,
            all_ready: ready == domains.len() && blocked.is_empty() && plan.unreadable.is_empty(),
        },
        domains,
        blocked,
        warnings: plan.warnings.clone(),
        unreadable: plan.unreadable.clone(),
    }
}

/// What a plan says of one domain.
#[derive(Default)]
struct Items<'a> {
    pending: usize,
    drift: usize,
    /// Each with its place in the plan.
    blocked: Vec<(usize, &'a Blocked)>,
}

impl<'a> Items<'a> {
    /// By host and domain; looked for in each domain, they would cost their number times that of the domains.
    fn by_domain(plan: &'a Plan) -> HashMap<(&'a str, &'a str), Self> {
        fn of(address: &Address) -> (&str, &str) {
            (&address.host, &address.domain)
        }
        let mut all: HashMap<_, Self> = HashMap::new();
        plan.actions.iter().for_each(|action| all.entry(of(&action.address)).or_default().pending += 1);
        plan.drift.iter().for_each(|drift| all.entry(of(&drift.address)).or_default().drift += 1);
        for (place, item) in plan.blocked.iter().enumerate() {
            all.entry(of(&item.address)).or_default().blocked.push((place, item));
        }
        all
    }
}

fn is_ready(domain: &DomainStatus) -> bool {
    domain.conditions.iter().any(|condition| condition.kind == ConditionKind::Ready && condition.status)
}

fn domain_status(domain: &ObservedDomain, planned: &PlannedDomain, items: &Items<'_>) -> DomainStatus {
    let Items { pending, drift, ref blocked } = *items;
    let blocked: Vec<_> = blocked.iter().map(|(_, item)| (*item).clone()).collect();
    let conflicts = blocked.iter().filter(|item| item.code == BlockCode::Conflict).count();

    let condition =
        |kind, status, reason: &str, message: String| Condition { kind, status, reason: reason.to_owned(), message };
    let ready = match (&planned.suspended, pending, blocked.len()) {
        (Some(why), _, _) => condition(ConditionKind::Ready, false, "Suspended", format!("suspended: {why}")),
        (None, 0, 0) => condition(ConditionKind::Ready, true, "AsDeclared", "everything is as declared".to_owned()),
        (None, 0, n) => condition(ConditionKind::Ready, false, "Blocked", needs_person(n)),
        (None, n, 0) => condition(ConditionKind::Ready, false, "ActionsPending", pending_text(n)),
        (None, n, m) => {
            let message = format!("{}, {}", pending_text(n), needs_person(m));
            condition(ConditionKind::Ready, false, "ActionsPending", message)
        }
    };
    let counted = |kind, count: usize, reason: &str, message: String| {
        condition(kind, count > 0, if count == 0 { "None" } else { reason }, message)
    };
    let suspended = match &planned.suspended {
        Some(why) => condition(ConditionKind::Suspended, true, "Declared", why.clone()),
        None => condition(ConditionKind::Suspended, false, "None", "not suspended".to_owned()),
    };
    DomainStatus {
        host: planned.host.clone(),
        domain: planned.domain.clone(),
        uuid: planned.uuid,
        state: planned.state,
        sets: planned.sets.clone(),
        conditions: vec![
            ready,
            counted(
                ConditionKind::Drifted,
                drift,
                "FieldsDiffer",
                count(drift, "declared field differs", "declared fields differ"),
            ),
            counted(ConditionKind::Blocked, blocked.len(), "NeedsPerson", needs_person(blocked.len())),
            suspended,
            counted(
                ConditionKind::Conflict,
                conflicts,
                "Claimed",
                count(conflicts, "snapshot is in conflict", "snapshots are in conflict"),
            ),
        ],
        newest_good: newest_good(domain),
        next_due: planned.next_due.clone(),
        chains: planned.chains.clone(),
        snapshots: Vec::new(),
        blocked,
    }
}

fn needs_person(items: usize) -> String {
    count(items, "item needs a person", "items need a person")
}

fn pending_text(actions: usize) -> String {
    count(actions, "action pending", "actions pending")
}

/// The newest snapshot of ours of whose images nothing is seen to be missing. libvirt tells ages in seconds: of two made in
/// one, that below the other is the newer.
fn newest_good(domain: &ObservedDomain) -> Option<NewestGood> {
    let wholeness = Wholeness::of(domain);
    let good = |snapshot: &ObservedSnapshot| own_stamp(snapshot).is_some() && wholeness.is_whole(snapshot);
    let mut by_age: Vec<_> = domain.tree.iter().collect();
    by_age.sort_by_key(|snapshot| Reverse(snapshot.created));
    let mut newest = by_age.iter().find(|snapshot| good(snapshot)).copied()?;
    let of_that_second = |snapshot: &ObservedSnapshot| snapshot.created == newest.created && good(snapshot);
    if by_age.iter().filter(|snapshot| of_that_second(snapshot)).nth(1).is_some() {
        let all = with_depths(&domain.tree).into_iter().filter(|(snapshot, _)| of_that_second(snapshot));
        newest = all.max_by_key(|(_, depth)| *depth)?.0;
    }
    Some(NewestGood { name: newest.name.clone(), created: instant(newest.created) })
}

fn snapshots(domain: &ObservedDomain) -> Vec<StatusSnapshot> {
    let all = with_depths(&domain.tree).into_iter();
    all.map(|(snapshot, depth)| StatusSnapshot::of(snapshot, Some(depth), domain.tree.current())).collect()
}

/// All snapshots and how deep they hang, parents before children, siblings oldest first.
fn with_depths(tree: &SnapshotTree) -> Vec<(&ObservedSnapshot, usize)> {
    let mut out = Vec::with_capacity(tree.len());
    // A stack and not recursion: a chain of snapshots can be as deep as there are snapshots.
    let mut stack: Vec<(&ObservedSnapshot, usize)> = tree.children(None).into_iter().rev().map(|s| (s, 0)).collect();
    while let Some((snapshot, depth)) = stack.pop() {
        out.push((snapshot, depth));
        stack.extend(tree.children(Some(&snapshot.name)).into_iter().rev().map(|child| (child, depth + 1)));
    }
    out
}
