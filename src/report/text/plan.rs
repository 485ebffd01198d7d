//! The plan as text: per domain what is done and what is blocked, then what stays, then one summary line.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::Page;
use super::value::{capture, capture_files, change, quoted};
use super::{origins, warnings};
use crate::model::names::SnapshotName;
use crate::model::plan::{
    Action, ActionKind, Address, Blocked, Drift, Kept, Plan, PlannedDomain, ReasonCode, RiskLevel, View,
};
use crate::model::text::{bytes, count, printable};
use crate::report::style::{Palette, Role};

/// How many unmanaged snapshots of one domain are named; the JSON form names all.
const UNMANAGED_NAMED: usize = 10;

/// What the plan has on one domain.
#[derive(Default)]
struct Group<'a> {
    planned: Option<&'a PlannedDomain>,
    actions: Vec<&'a Action>,
    blocked: Vec<&'a Blocked>,
}

/// The plan for people. It ends with a line feed and has the same text wherever it is shown.
pub fn plan(plan: &Plan, palette: Palette) -> String {
    let mut page = Page::new(palette);
    if let Some(at) = &plan.source.at {
        page.painted(0, Role::Quiet, &format!("Planned as of {}; this plan cannot be applied.", printable(at)));
    }
    for ((host, domain), group) in groups(plan) {
        page.section();
        heading(&mut page, host, domain, group.planned);
        for item in group.actions {
            action(&mut page, item);
        }
        for item in group.blocked {
            blocked(&mut page, item);
        }
    }
    left_alone(&mut page, plan);
    kept(&mut page, plan);
    unmanaged(&mut page, plan);
    warnings(&mut page, &plan.warnings);
    unreadable(&mut page, plan);
    page.section();
    page.painted(0, Role::Heading, &plan_summary(plan));
    if !plan.held_back.is_empty() {
        let text = format!("The id of this plan, for snapward apply --expect-plan: {}", printable(&plan.plan_id));
        page.painted(0, Role::Quiet, &text);
    }
    page.finish()
}

/// The hosts of a plan, each with what its libvirt cannot do. It ends with a line feed.
pub fn hosts(plan: &Plan, palette: Palette) -> String {
    let mut page = Page::new(palette);
    for host in &plan.hosts {
        page.painted(
            0,
            Role::Heading,
            &format!("Host {}: libvirt {}", printable(&host.host), printable(&host.libvirt)),
        );
        for limit in &host.limits {
            page.wrapped(2, "- ", None, &format!("{} ({})", limit.text, limit.needs));
        }
    }
    page.finish()
}

/// The plan in one line, as `Plan: 2 to create, 1 blocked. 4 unchanged.`
pub fn plan_summary(plan: &Plan) -> String {
    let s = &plan.summary;
    let unchanged = format!(" {} unchanged.", s.unchanged);
    let unreadable = match s.unreadable {
        0 => String::new(),
        n => format!(" {} could not be read.", count(n, "host or domain", "hosts or domains")),
    };
    let suspended = match plan.domains.iter().filter(|domain| domain.suspended.is_some()).count() {
        0 => String::new(),
        n => format!(" {} suspended.", count(n, "domain is", "domains are")),
    };
    let head = if s.has_changes {
        let parts: Vec<String> = [
            (s.create, "to create"),
            (s.redefine, "to redefine"),
            (s.set_current, "to set current"),
            (s.revert, "to revert"),
            (s.delete, "to delete"),
            (s.blocked, "blocked"),
        ]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
        format!("Plan: {}.", parts.join(", "))
    } else if s.blocked > 0 {
        format!("Nothing to do; {} a person.", count(s.blocked, "item needs", "items need"))
    } else if s.unreadable > 0 {
        "Nothing to do in what could be read.".to_owned()
    } else if !suspended.is_empty() {
        "No changes.".to_owned()
    } else {
        "No changes. Everything is as declared.".to_owned()
    };
    format!("{head}{unchanged}{suspended}{unreadable}")
}

/// The domains that have something to show, by host and name. What is blocked may name a domain that is not there.
fn groups(plan: &Plan) -> BTreeMap<(&str, &str), Group<'_>> {
    let mut groups: BTreeMap<(&str, &str), Group<'_>> = BTreeMap::new();
    for item in &plan.actions {
        groups.entry(place(&item.address)).or_default().actions.push(item);
    }
    for item in &plan.blocked {
        groups.entry(place(&item.address)).or_default().blocked.push(item);
    }
    for domain in &plan.domains {
        let key = (domain.host.as_str(), domain.domain.as_str());
        if domain.suspended.is_some() {
            groups.entry(key).or_default().planned = Some(domain);
        } else if let Some(group) = groups.get_mut(&key) {
            group.planned = Some(domain);
        }
    }
    groups
}

fn place(address: &Address) -> (&str, &str) {
    (&address.host, &address.domain)
}

fn heading(page: &mut Page, host: &str, domain: &str, planned: Option<&PlannedDomain>) {
    let mut text = format!("{}/{}", printable(host), printable(domain));
    if let Some(planned) = planned {
        text = format!("{text} ({})", planned.state.as_str());
    }
    page.painted(0, Role::Heading, &text);
    if let Some(reason) = planned.and_then(|planned| planned.suspended.as_deref()) {
        page.wrapped(2, "suspended: ", Some(Role::Change), reason);
    }
}

fn action(page: &mut Page, action: &Action) {
    let name = action.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
    let (role, title) = match action.action {
        ActionKind::Create => (Role::Create, format!("+ create {name}")),
        ActionKind::Redefine => (Role::Change, format!("~ redefine {name}")),
        ActionKind::SetCurrent => (Role::Change, format!("~ set current {}", pointer(action))),
        ActionKind::Delete => (Role::Delete, format!("- delete {name}")),
        ActionKind::Revert => (Role::Delete, format!("< revert to {name}")),
    };
    page.painted(2, role, &title);
    page.wrapped(6, "", None, &format!("{} ({})", action.reason.text, action.origin));
    for line in details(action) {
        page.line(6, &line);
    }
    match action.risk.level {
        RiskLevel::Metadata => {}
        RiskLevel::Pause => page.wrapped(6, "risk: ", None, &action.risk.text),
        RiskLevel::Loss => page.wrapped(6, "risk: ", Some(Role::Delete), &action.risk.text),
    }
}

/// `base -> golden`.
fn pointer(action: &Action) -> String {
    let name = |view: Option<&View>| match view.and_then(|view| view.current.as_deref()) {
        None | Some("") => "(none)".to_owned(),
        Some(name) => printable(name),
    };
    format!("{} -> {}", name(action.before.as_ref()), name(action.after.as_ref()))
}

/// The fields that an action brings, changes or takes away.
fn details(action: &Action) -> Vec<String> {
    match (action.action, &action.before, &action.after) {
        (ActionKind::Create, _, Some(view)) | (ActionKind::Delete, Some(view), None) => fields(view),
        (ActionKind::Delete, Some(before), Some(after)) => [fields(before), files(after)].concat(),
        (ActionKind::Redefine, Some(before), Some(after)) => changes(before, after),
        (ActionKind::Redefine, None, Some(after)) => fields(after),
        (ActionKind::Revert, before, Some(after)) => revert(before.as_ref(), after),
        _ => Vec::new(),
    }
}

fn fields(view: &View) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(text) = view.description.as_deref().filter(|text| !text.is_empty()) {
        lines.push(format!("description: {}", quoted(text)));
    }
    if let Some(what) = &view.capture {
        lines.push(format!("capture: {}", capture(what)));
        lines.extend(capture_files(what));
    }
    if view.reuse == Some(true) {
        lines.push("the overlays are there, empty, from an interrupted capture: they are used".to_owned());
    }
    for (target, path) in view.revert_overlays.iter().flatten() {
        lines.push(format!("revert overlay of {}: {}", printable(target), printable(path)));
    }
    if let Some(parent) = view.parent.as_deref().filter(|parent| !parent.is_empty()) {
        lines.push(format!("parent: {}", printable(parent)));
    }
    match (&view.created, &view.state) {
        (Some(created), Some(state)) => {
            lines.push(format!("captured: {}, {}", printable(created), printable(state)));
        }
        (Some(created), None) => lines.push(format!("captured: {}", printable(created))),
        (None, Some(state)) => lines.push(format!("state: {}", printable(state))),
        (None, None) => {}
    }
    lines
}

/// What a deletion does to files.
fn files(view: &View) -> Vec<String> {
    let merges = view.merges.iter().flatten().map(|merge| {
        let size = merge.bytes.map_or_else(|| "an unknown size".to_owned(), bytes);
        format!("merges {size}: {} into {}", printable(&merge.from), printable(&merge.into))
    });
    let removes = view.removes.iter().flatten().map(|path| format!("removes {}", printable(path)));
    let disks = view.disks.iter().flatten();
    let disks = disks.map(|(target, path)| format!("disk {} will be on {}", printable(target), printable(path)));
    merges.chain(removes).chain(disks).collect()
}

/// What a revert does to the domain and to files.
fn revert(before: Option<&View>, after: &View) -> Vec<String> {
    let state = |view: Option<&View>| view.and_then(|view| view.state.as_deref()).map(printable).unwrap_or_default();
    let mut lines = vec![format!("domain: {} -> {}", state(before), state(Some(after)))];
    lines.extend(after.removes.iter().flatten().map(|path| format!("removes {}", printable(path))));
    let on = after.revert.iter().flat_map(|revert| &revert.on);
    lines.extend(
        on.map(|(target, path)| format!("disk {} will be on a new overlay on {}", printable(target), printable(path))),
    );
    lines
}

fn changes(before: &View, after: &View) -> Vec<String> {
    let mut lines = Vec::new();
    if before.description != after.description {
        lines.extend(change("description", before.description.as_deref(), after.description.as_deref()));
    }
    if before.parent != after.parent {
        let root = |parent: &Option<String>| parent.clone().filter(|parent| !parent.is_empty());
        lines.extend(change("parent", root(&before.parent).as_deref(), root(&after.parent).as_deref()));
    }
    let (old, new) = (before.stamp.as_deref().unwrap_or_default(), after.stamp.as_deref().unwrap_or_default());
    lines.extend(old.iter().filter(|line| !new.contains(line)).map(|line| format!("stamp: - {}", printable(line))));
    lines.extend(new.iter().filter(|line| !old.contains(line)).map(|line| format!("stamp: + {}", printable(line))));
    lines
}

fn blocked(page: &mut Page, item: &Blocked) {
    let title = match &item.address.snapshot {
        Some(name) => format!("! blocked {name}: {:?}", item.code),
        None => format!("! blocked: {:?}", item.code),
    };
    page.painted(2, Role::Blocked, &title);
    page.wrapped(6, "", None, &item.text);
    page.wrapped(6, "=> ", Some(Role::WayOut), &item.way_out);
    if !item.origins.is_empty() {
        page.wrapped(6, "", Some(Role::Quiet), &origins(&item.origins));
    }
}

/// Drift that no action and no blocked item of this plan speaks of, as in a suspended domain.
fn left_alone(page: &mut Page, plan: &Plan) {
    let addresses = plan.actions.iter().map(|item| &item.address).chain(plan.blocked.iter().map(|item| &item.address));
    let spoken_of: BTreeSet<_> =
        addresses.map(|address| (place(address), address.snapshot.as_ref().map(SnapshotName::as_str))).collect();
    let suspended: BTreeSet<(&str, &str)> = plan
        .domains
        .iter()
        .filter(|domain| domain.suspended.is_some())
        .map(|domain| (domain.host.as_str(), domain.domain.as_str()))
        .collect();
    let drift: Vec<_> = plan
        .drift
        .iter()
        .filter(|drift| suspended.contains(&place(&drift.address)) || !spoken_of.contains(&subject(drift)))
        .collect();
    if drift.is_empty() {
        return;
    }
    page.section();
    page.painted(0, Role::Heading, "Differs from the manifests, left as it is:");
    for drift in drift {
        page.wrapped(2, "", None, &format!("{} ({})", drift.address, drift.origin));
        for line in change(&printable(&drift.field), Some(&drift.observed), Some(&drift.declared)) {
            page.line(6, &line);
        }
    }
}

/// What repairs a difference, or is blocked in its place, is about this. The pointer belongs to the domain, and the item
/// about it names the declared snapshot.
fn subject(drift: &Drift) -> ((&str, &str), Option<&str>) {
    let snapshot = match &drift.address.snapshot {
        None if drift.field == "current" => Some(drift.declared.as_str()),
        snapshot => snapshot.as_ref().map(SnapshotName::as_str),
    };
    (place(&drift.address), snapshot)
}

fn kept(page: &mut Page, plan: &Plan) {
    if plan.kept.is_empty() {
        return;
    }
    page.section();
    page.painted(0, Role::Heading, "Kept:");
    // What the policies keep is the normal case, and long; `retention explain` tells of each.
    let by_policy = |item: &&Kept| item.reason.code == ReasonCode::Retention;
    let mut scheduled: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for item in plan.kept.iter().filter(by_policy) {
        *scheduled.entry(place(&item.address)).or_default() += 1;
    }
    for ((host, domain), n) in scheduled {
        let text = format!(
            "{}/{}: {} by retention (snapward retention explain says why)",
            printable(host),
            printable(domain),
            count(n, "scheduled snapshot", "scheduled snapshots")
        );
        page.wrapped(2, "", None, &text);
    }
    for item in plan.kept.iter().filter(|item| !by_policy(item)) {
        let origin = item.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        page.wrapped(2, "", None, &format!("{}: {}{origin}", item.address, item.reason.text));
    }
}

fn unmanaged(page: &mut Page, plan: &Plan) {
    if plan.unmanaged.is_empty() {
        return;
    }
    let mut domains: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for item in &plan.unmanaged {
        let name = item.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
        let owner = item.owner.as_ref().map(|owner| format!(" (of {})", printable(owner))).unwrap_or_default();
        domains.entry(place(&item.address)).or_default().push(format!("{name}{owner}"));
    }
    page.section();
    page.painted(0, Role::Heading, "Not managed by these manifests, never touched:");
    for ((host, domain), names) in domains {
        let more = match names.len().saturating_sub(UNMANAGED_NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let names = names[..names.len().min(UNMANAGED_NAMED)].join(", ");
        page.wrapped(2, "", None, &format!("{host}/{domain}: {names}{more}"));
    }
}

fn unreadable(page: &mut Page, plan: &Plan) {
    if plan.unreadable.is_empty() {
        return;
    }
    page.section();
    page.painted(0, Role::Heading, "Could not be read, left as it is:");
    for item in &plan.unreadable {
        let domain = item.domain.as_ref().map(|domain| format!("/{domain}")).unwrap_or_default();
        page.wrapped(2, "", Some(Role::Delete), &format!("{}{domain}: {}", item.host, item.error));
    }
}

#[cfg(test)]
mod tests;
