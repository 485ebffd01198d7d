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
    let (ready, others): (Vec<_>, Vec<_>) =
        status.domains.iter().partition(|domain| holds(&domain.conditions, ConditionKind::Ready));
    for item in others {
        page.section();
        domain(&mut page, item, now);
    }
    if !status.blocked.is_empty() {
        page.section();
        page.painted(0, Role::Heading, "Blocked:");
        status.blocked.iter().for_each(|item| blocked(&mut page, &item.address.to_string(), item));
    }
    let unreadable: Vec<_> = status.unreadable.iter().filter_map(|item| Some((item, item.domain.as_ref()?))).collect();
    if !unreadable.is_empty() {
        page.section();
        page.painted(0, Role::Heading, "Could not be read:");
        for (item, domain) in unreadable {
            page.wrapped(2, "", Some(Role::Delete), &format!("{}/{domain}: {}", item.host, item.error));
        }
    }
    if !ready.is_empty() {
        page.section();
        ready.iter().for_each(|item| at_rest(&mut page, item, now));
    }
    page.section();
    let all = count(status.domains.len(), "domain", "domains");
    page.painted(0, Role::Heading, &format!("Ready: {} of {all}.", ready.len()));
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

/// A domain that is Ready, on one line: hundreds of them must not hide the few that are not.
fn at_rest(page: &mut Page, item: &AgentDomain, now: Timestamp) {
    let name = page.palette.paint(Role::Heading, &format!("{}/{}", printable(&item.host), printable(&item.domain)));
    let mut text = format!("{name} ({}): {}", item.state.as_str(), page.palette.paint(Role::Create, "Ready"));
    if let Some(good) = &item.newest_good {
        text.push_str(&format!(", newest good {}, {}", good.name, age(&good.created, now)));
    }
    if let Some(due) = &item.next_due {
        text.push_str(&format!(", next due {}", printable(due)));
    }
    if holds(&item.conditions, ConditionKind::Reconciling) {
        text.push_str(", at work");
    }
    page.line(0, &text);
}

/// A domain that is not Ready, and why.
fn domain(page: &mut Page, item: &AgentDomain, now: Timestamp) {
    let name = page.palette.paint(Role::Heading, &format!("{}/{}", printable(&item.host), printable(&item.domain)));
    let verdict = page.palette.paint(Role::Blocked, "not Ready");
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn condition(kind: &str, status: bool, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": "Sample", "message": message, "since": "2026-11-23T11:50:00Z"})
    }

    fn domain(name: &str, more: &Value) -> Value {
        let mut domain = json!({
            "host": "kvm-017", "domain": name, "uuid": "00000000-0000-0000-0000-000000000017", "state": "running",
            "sets": ["default/web"], "blocked": [], "failures": 0,
            "conditions": [condition("Ready", true, "everything is as declared")],
            "newestGood": {"name": "leaf", "created": "2026-11-23T11:30:00Z"},
        });
        let more = more.as_object().into_iter().flatten();
        domain.as_object_mut().expect("an object").extend(more.map(|(key, value)| (key.clone(), value.clone())));
        domain
    }

    #[test]
    fn what_is_not_ready_comes_first_and_the_rest_takes_a_line_each() {
        let failing = json!({
            "conditions": [
                condition("Ready", false, "1 action pending"),
                condition("Reconciling", true, "the last pass failed; it is tried again 2026-11-23T12:10:00Z"),
                condition("Stalled", true, "3 failures in a row"),
            ],
            "last": {"at": "2026-11-23T11:59:00Z", "result": "failed", "text": "could not capture snapshot a: no space"},
        });
        let status = json!({
            "formatVersion": 1, "version": "0.1.0", "startedAt": "2026-11-23T11:00:00Z", "at": "2026-11-23T12:00:00Z",
            "mode": "observe",
            "conditions": [condition("Ready", false, "1 domain is not Ready")],
            "source": {"paths": ["/etc/snapward"], "revision": "5f76", "since": "2026-11-23T11:00:00Z",
                "error": "1 error:\nsets/web.yaml:5 unknown field", "warnings": []},
            "hosts": [
                {"name": "kvm-017", "uri": "qemu:///system", "connected": true},
                {"name": "kvm-018", "uri": "qemu+ssh://kvm-018/system", "connected": false, "error": "Connection refused"},
            ],
            "domains": [
                domain("web-1", &json!({"nextDue": "2026-11-23T13:00:00Z"})),
                domain("web-2", &failing),
                domain("web-3", &json!({"newestGood": null})),
            ],
            "blocked": [],
            "unreadable": [
                {"host": "kvm-018", "domain": null, "error": "Connection refused"},
                {"host": "kvm-017", "domain": "web-4", "error": "libvirt's XML cannot be read"},
            ],
        });
        let status: AgentStatus = serde_json::from_value(status).expect("a status");
        let now = "2026-11-23T12:00:00Z".parse().expect("valid");
        insta::assert_snapshot!(agent(&status, now, Palette::Plain), @r"
        Agent 0.1.0, which only observes, started 1 h ago
          not Ready: 1 domain is not Ready, since 10 min ago
          follows: /etc/snapward
          revision: 5f76, since 1 h ago
          What was read last cannot be used:
            1 error:
            sets/web.yaml:5 unknown field
          host: kvm-017, qemu:///system
          host: kvm-018 cannot be reached: Connection refused

        kvm-017/web-2 (running): not Ready
          1 action pending, since 10 min ago
          Reconciling: the last pass failed; it is tried again 2026-11-23T12:10:00Z, since 10 min ago
          Stalled: 3 failures in a row, since 10 min ago
          last pass, 1 min ago: could not capture snapshot a: no space
          newest good: leaf, 30 min ago

        Could not be read:
          kvm-017/web-4: libvirt's XML cannot be read

        kvm-017/web-1 (running): Ready, newest good leaf, 30 min ago, next due 2026-11-23T13:00:00Z
        kvm-017/web-3 (running): Ready

        Ready: 2 of 3 domains.
        ");
    }
}
