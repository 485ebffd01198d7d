//! The agent's status as text: what it follows, which hosts it reaches, and which domains are not Ready, and why.

use jiff::Timestamp;

use super::layout::Page;
use super::status::blocked;
use super::value::age;
use crate::model::agent::{AgentCondition, AgentDomain, AgentStatus, Mode};
use crate::model::status::ConditionKind;
use crate::model::text::{count, printable};
use crate::report::style::{Palette, Role};

/// The status for people; ages are relative to `now`.
pub fn agent(status: &AgentStatus, now: Timestamp, palette: Palette) -> String {
    let mut page = Page::new(palette);
    let mode = match status.mode {
        Mode::Apply => "",
        Mode::Observe => ", which only observes",
    };
    page.painted(
        0,
        Role::Heading,
        &format!("Agent {}{mode}, started {}", printable(&status.version), age(&status.started_at, now)),
    );
    for condition in &status.conditions {
        own(&mut page, condition, now);
    }
    source(&mut page, status, now);
    for host in &status.hosts {
        match &host.error {
            None => page.wrapped(2, "host: ", None, &format!("{}, {}", host.name, host.uri)),
            Some(error) => {
                page.wrapped(2, "host: ", Some(Role::Delete), &format!("{} cannot be reached: {error}", host.name));
            }
        }
    }
    for item in &status.domains {
        page.section();
        domain(&mut page, item, now);
    }
    if !status.blocked.is_empty() {
        page.section();
        page.painted(0, Role::Heading, "Blocked:");
        status.blocked.iter().for_each(|item| blocked(&mut page, &item.address.to_string(), item));
    }
    page.section();
    let ready = status.domains.iter().filter(|domain| holds(&domain.conditions, ConditionKind::Ready)).count();
    page.painted(0, Role::Heading, &format!("Ready: {ready} of {}.", count(status.domains.len(), "domain", "domains")));
    page.finish()
}

fn holds(conditions: &[AgentCondition], kind: ConditionKind) -> bool {
    conditions.iter().any(|condition| condition.kind == kind && condition.status)
}

fn own(page: &mut Page, condition: &AgentCondition, now: Timestamp) {
    let wrong =
        matches!((condition.kind, condition.status), (ConditionKind::Ready, false) | (ConditionKind::Stalled, true));
    if wrong || condition.kind == ConditionKind::Ready {
        let not = if condition.kind == ConditionKind::Ready && wrong { "not " } else { "" };
        let role = if wrong { Role::Blocked } else { Role::Create };
        let text = format!("{}, since {}", condition.message, age(&condition.since, now));
        page.wrapped(2, &format!("{not}{:?}: ", condition.kind), Some(role), &text);
    }
}

fn source(page: &mut Page, status: &AgentStatus, now: Timestamp) {
    let source = &status.source;
    page.wrapped(2, "follows: ", None, &source.paths.join(", "));
    if let (Some(revision), Some(since)) = (&source.revision, &source.since) {
        page.wrapped(2, "revision: ", None, &format!("{revision}, since {}", age(since, now)));
    }
    if let Some(error) = &source.error {
        page.painted(2, Role::Delete, "What was read last cannot be used:");
        error.lines().for_each(|line| page.line(4, &printable(line)));
    }
    source.warnings.iter().for_each(|warning| page.wrapped(2, "warning: ", None, warning));
}

fn domain(page: &mut Page, item: &AgentDomain, now: Timestamp) {
    let name = page.palette.paint(Role::Heading, &format!("{}/{}", printable(&item.host), printable(&item.domain)));
    let verdict = match holds(&item.conditions, ConditionKind::Ready) {
        true => page.palette.paint(Role::Create, "Ready"),
        false => page.palette.paint(Role::Blocked, "not Ready"),
    };
    page.line(0, &format!("{name} ({}): {verdict}", item.state.as_str()));
    for condition in &item.conditions {
        let shown = match condition.kind {
            ConditionKind::Ready => !condition.status,
            ConditionKind::Drifted | ConditionKind::Reconciling | ConditionKind::Stalled => condition.status,
            _ => false,
        };
        if shown {
            let title =
                if condition.kind == ConditionKind::Ready { String::new() } else { format!("{:?}: ", condition.kind) };
            page.wrapped(2, &title, None, &format!("{}, since {}", condition.message, age(&condition.since, now)));
        }
    }
    if let Some(last) = item.last.as_ref().filter(|last| !last.text.is_empty()) {
        page.wrapped(2, &format!("last pass, {}: ", age(&last.at, now)), None, &last.text);
    }
    match &item.newest_good {
        Some(good) => page.line(2, &format!("newest good: {}, {}", good.name, age(&good.created, now))),
        None => page.line(2, "newest good: none"),
    }
    if let Some(due) = &item.next_due {
        page.line(2, &format!("next due: {}", printable(due)));
    }
    for problem in &item.blocked {
        let name = problem.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
        blocked(page, &name, problem);
    }
}
