//! Guards over what one plan may delete: the breaker of the SafetyPolicies.

use std::collections::{BTreeMap, BTreeSet};

use super::Context;
use super::retain::SeriesDeletes;
use crate::model::desired::Document;
use crate::model::kinds::{FreeSpace, MaxDeletes, SafetySpec, SnapshotSet, TimeSpan};
use crate::model::names::{DomainUuid, SetId};
use crate::model::observed::{ObservedDomain, ObservedHost};
use crate::model::plan::{Action, ActionKind, BlockCode, Blocked, HeldBack, Plan};

/// What to do about deletions over the breaker.
const WAY_OUT: &str = "check the clock and the manifests; if all of them shall go, approve exactly this plan: \
                       snapward apply --expect-plan with its id, or approve in a SafetyPolicy";

/// Holds back deletions of one host, whose actions begin at `from`. A limit is a breaker, not a rate: beyond it, all
/// deletions by age in that scope wait for a person.
/// `series` are the retention's deletions of each series, with their domain.
pub(super) fn limit_deletes(
    context: &Context<'_>,
    host: &ObservedHost,
    plan: &mut Plan,
    from: usize,
    series: &[(&str, SeriesDeletes)],
) {
    let is_delete = |action: &Action| action.action == ActionKind::Delete;
    let by_age = |action: &&Action| is_delete(action) && action.reason.code.is_by_age();
    if !plan.actions[from..].iter().any(|action| by_age(&action)) {
        return;
    }
    let limits: BTreeMap<&str, SafetySpec> = host
        .domains
        .iter()
        .map(|domain| (domain.name.as_str(), strictest(context, host, &domain.name, domain.uuid)))
        .collect();
    let per_host = limits.values().map(|limit| limit.max_deletes.per_host).min();
    let actions = plan.actions.split_off(from);
    let mut series_of: BTreeMap<&str, Vec<&SeriesDeletes>> = BTreeMap::new();
    for (domain, deletes) in series {
        series_of.entry(domain).or_default().push(deletes);
    }
    let of_series = |action: &Action| {
        let name = action.address.snapshot.as_ref()?;
        let mut here = series_of.get(action.address.domain.as_str())?.iter().copied();
        here.find(|deletes| deletes.names.contains(name))
    };
    let host_total = actions.iter().filter(by_age).count();
    let mut domain_totals: BTreeMap<String, usize> = BTreeMap::new();
    for action in actions.iter().filter(by_age) {
        *domain_totals.entry(action.address.domain.clone()).or_default() += 1;
    }
    // Each deletion in an external tree is proven on what the ones before it leave: behind one that waits, all wait.
    let has_external = |domain: &&ObservedDomain| domain.tree.has_external();
    let external: BTreeSet<&str> =
        host.domains.iter().filter(has_external).map(|domain| domain.name.as_str()).collect();
    let mut waiting: BTreeSet<String> = BTreeSet::new();
    for action in actions {
        let limit = limits.get(action.address.domain.as_str());
        let domain_total = domain_totals.get(&action.address.domain).copied().unwrap_or_default();
        let per_domain = limit.map(|limit| limit.max_deletes.per_domain);
        let over = |total: usize, limit: Option<u32>| limit.filter(|limit| total > *limit as usize);
        let percent = limit.map(|limit| limit.max_deletes.percent.0);
        let item = if !by_age(&&action) {
            None
        } else if let Some(limit) = over(domain_total, per_domain) {
            Some(too_many(&action, domain_total, &format!("domain {}", action.address.domain), limit))
        } else if let Some(limit) = over(host_total, per_host) {
            Some(too_many(&action, host_total, &format!("host {}", action.address.host), limit))
        } else if let Some((deletes, percent)) = of_series(&action).zip(percent).filter(|(s, p)| s.share_is_over(*p)) {
            Some(too_large_a_share(&action, deletes, percent))
        } else {
            None
        };
        let waits = || (is_delete(&action) && waiting.contains(&action.address.domain)).then(|| in_turn(&action));
        match item.or_else(waits) {
            None => plan.actions.push(action),
            Some(text) => {
                plan.blocked.push(Blocked {
                    address: action.address.clone(),
                    code: BlockCode::TooManyDeletes,
                    text,
                    way_out: WAY_OUT.to_owned(),
                    origins: vec![action.origin.clone()],
                });
                if external.contains(action.address.domain.as_str()) {
                    waiting.insert(action.address.domain.clone());
                }
                plan.held_back.push(HeldBack { before: plan.actions.len(), action });
            }
        }
    }
}

/// Whether a SafetyPolicy approves exactly this plan.
pub(super) fn approved(context: &Context<'_>, plan: &Plan) -> bool {
    context.desired.safety.values().any(|policy| policy.value.spec.approve.as_ref() == Some(&plan.plan_id))
}

/// Puts the deletions over the breaker back in their places. For a plan that a person approved as it is: the id stays, as
/// it counts them either way.
pub fn release(plan: &mut Plan) {
    // From the last to the first, so that the places of the others stay true.
    for held in std::mem::take(&mut plan.held_back).into_iter().rev() {
        plan.actions.insert(held.before.min(plan.actions.len()), held.action);
    }
    plan.blocked.retain(|item| item.code != BlockCode::TooManyDeletes);
    plan.summary = super::summary(plan);
}

fn too_many(action: &Action, total: usize, scope: &str, limit: u32) -> String {
    format!(
        "{}; {total} deletions by age are due on {scope} and its SafetyPolicy allows {limit} at a time, so none is done",
        action.reason.text
    )
}

fn in_turn(action: &Action) -> String {
    format!("{}; deletions that were to go before it wait, so it does", action.reason.text)
}

fn too_large_a_share(action: &Action, deletes: &SeriesDeletes, percent: u8) -> String {
    format!(
        "{}; {} of the {} snapshots of {} are to go and its SafetyPolicy allows {percent} percent at a time, so none is \
         deleted",
        action.reason.text,
        deletes.names.len(),
        deletes.total,
        deletes.label
    )
}

/// The limits of all sets of a domain, the strictest of each.
pub(super) fn strictest(context: &Context<'_>, host: &ObservedHost, name: &str, uuid: DomainUuid) -> SafetySpec {
    let policy = |set: &Document<SnapshotSet>| {
        let name = set.value.spec.safety.as_ref()?.policy_ref.clone();
        context.desired.safety.get(&SetId { namespace: set.id().namespace, name })
    };
    // A set without a policy stands for the defaults: another set's leniency is not about its snapshots.
    let limits = context
        .sets_of(&host.info, name, uuid)
        .into_iter()
        .map(|set| policy(set).map(|policy| policy.value.spec.clone()).unwrap_or_default());
    limits.reduce(stricter).unwrap_or_default()
}

fn stricter(a: SafetySpec, b: SafetySpec) -> SafetySpec {
    SafetySpec {
        max_deletes: MaxDeletes {
            per_domain: a.max_deletes.per_domain.min(b.max_deletes.per_domain),
            per_host: a.max_deletes.per_host.min(b.max_deletes.per_host),
            percent: a.max_deletes.percent.min(b.max_deletes.percent),
        },
        allow_empty: a.allow_empty && b.allow_empty,
        chain_limit: a.chain_limit.min(b.chain_limit),
        free_space: FreeSpace { min_percent: a.free_space.min_percent.max(b.free_space.min_percent) },
        trust_unreadable_chains: a.trust_unreadable_chains && b.trust_unreadable_chains,
        clock: if shorter(&b.clock.max_future, &a.clock.max_future) { b.clock } else { a.clock },
        // Not merged: each policy's must be open (see `windows`).
        windows: Vec::new(),
        // An approval is of a whole plan, whichever policy holds it (see `approved`).
        approve: None,
    }
}

/// Spans hold calendar units; from the beginning of time, which is a January, they compare as they mostly are.
fn shorter(a: &TimeSpan, b: &TimeSpan) -> bool {
    let length = |span: &TimeSpan| span.after(jiff::Timestamp::UNIX_EPOCH).unwrap_or(jiff::Timestamp::MAX);
    length(a) < length(b)
}
