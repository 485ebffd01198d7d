//! Metrics in Prometheus' text format. The names are a contract: docs/agent.md lists them, and a test compares.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use crate::host::Event;
use crate::model::agent::AgentStatus;
use crate::model::outcome::{ActionResult, DomainOutcome};
use crate::model::plan::{ActionKind, Summary};

/// What is counted from the start on.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Rounds: readings of all hosts.
    pub rounds: u64,
    /// Seconds spent in them.
    pub round_seconds: f64,
    /// Calls to libvirt that read.
    pub libvirt_calls: u64,
    /// Readings of the source that ended in something that cannot be used.
    pub source_errors: u64,
    /// When the last round ended.
    pub last_round: Option<Timestamp>,
    /// When the source was last read with success.
    pub last_read: Option<Timestamp>,
    /// Passes over a domain that run now.
    pub running: usize,
    /// The last plan.
    pub plan: Summary,
    /// How much is kept for domains, for a test of what is not forgotten.
    #[cfg(test)]
    pub(super) kept: usize,
    actions: BTreeMap<(&'static str, &'static str), u64>,
    events: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Counts what a host told.
    pub fn event(&mut self, event: &Event) {
        let word = match event {
            Event::Domain { what, .. } => what.word(),
            Event::Closed => "closed",
        };
        *self.events.entry(word).or_default() += 1;
    }

    /// Counts what a pass did.
    pub fn pass(&mut self, outcome: &DomainOutcome) {
        for action in &outcome.actions {
            let result = match action.result {
                ActionResult::Done => "done",
                ActionResult::Failed => "failed",
                ActionResult::Skipped => "skipped",
            };
            *self.actions.entry((word(action.action), result)).or_default() += 1;
        }
    }
}

fn word(action: ActionKind) -> &'static str {
    match action {
        ActionKind::Create => "create",
        ActionKind::Redefine => "redefine",
        ActionKind::SetCurrent => "set_current",
        ActionKind::Delete => "delete",
        ActionKind::Revert => "revert",
    }
}

/// A page of metrics under construction.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let _ = match labels.as_slice() {
            [] => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// Label values may hold anything but these three unescaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

fn instant(text: &str) -> Option<f64> {
    text.parse().ok().map(seconds)
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// The metrics of a status and the counters.
pub fn render(status: &AgentStatus, counters: &Counters) -> String {
    let mut page = Page(String::new());
    page.family("snapward_build_info", "gauge", "The version that runs, as a label.");
    page.sample("snapward_build_info", &[("version", &status.version)], 1.0);
    if let Some(started) = instant(&status.started_at) {
        page.single("snapward_start_time_seconds", "gauge", "When the agent started.", started);
    }
    page.family("snapward_source_revision_info", "gauge", "The revision in use, as a label.");
    if let Some(revision) = &status.source.revision {
        page.sample("snapward_source_revision_info", &[("revision", revision)], 1.0);
    }
    let failing = truth(status.source.error.is_some());
    page.single("snapward_source_failing", "gauge", "1 while what was read last cannot be used.", failing);
    let errors = counters.source_errors as f64;
    page.single("snapward_source_errors_total", "counter", "Readings of the source that could not be used.", errors);
    page.family(
        "snapward_source_last_success_timestamp_seconds",
        "gauge",
        "When the source was last read with success.",
    );
    if let Some(at) = counters.last_read {
        page.sample("snapward_source_last_success_timestamp_seconds", &[], seconds(at));
    }
    page.family("snapward_condition", "gauge", "1 while a condition of the agent itself holds.");
    for condition in &status.conditions {
        let kind = format!("{:?}", condition.kind);
        page.sample("snapward_condition", &[("condition", &kind)], truth(condition.status));
    }
    page.family("snapward_host_connected", "gauge", "1 while a host answers.");
    for host in &status.hosts {
        page.sample("snapward_host_connected", &[("host", &host.name)], truth(host.connected));
    }
    rounds(&mut page, counters);
    domains(&mut page, status);
    page.0
}

fn rounds(page: &mut Page, counters: &Counters) {
    page.single("snapward_rounds_total", "counter", "Readings of all hosts.", counters.rounds as f64);
    page.single("snapward_round_seconds_total", "counter", "Seconds spent in rounds.", counters.round_seconds);
    page.family("snapward_last_round_timestamp_seconds", "gauge", "When the last round ended.");
    if let Some(at) = counters.last_round {
        page.sample("snapward_last_round_timestamp_seconds", &[], seconds(at));
    }
    let calls = counters.libvirt_calls as f64;
    page.single("snapward_libvirt_calls_total", "counter", "Calls to libvirt made to read.", calls);
    page.family("snapward_events_total", "counter", "What hosts told by themselves, by kind.");
    for (event, n) in &counters.events {
        page.sample("snapward_events_total", &[("event", event)], *n as f64);
    }
    page.single("snapward_passes_running", "gauge", "Domains that are being worked on.", counters.running as f64);
    let plan = &counters.plan;
    page.family("snapward_plan_actions", "gauge", "Actions of the last plan, by kind.");
    for (action, n) in [
        ("create", plan.create),
        ("redefine", plan.redefine),
        ("set_current", plan.set_current),
        ("delete", plan.delete),
        ("revert", plan.revert),
    ] {
        page.sample("snapward_plan_actions", &[("action", action)], n as f64);
    }
    let blocked = plan.blocked as f64;
    page.single("snapward_plan_blocked", "gauge", "Items of the last plan that need a person.", blocked);
    let unreadable = plan.unreadable as f64;
    page.single("snapward_plan_unreadable", "gauge", "Hosts and domains that could not be read.", unreadable);
    page.family("snapward_actions_total", "counter", "Actions by kind and by what became of them.");
    for ((action, result), n) in &counters.actions {
        page.sample("snapward_actions_total", &[("action", action), ("result", result)], *n as f64);
    }
}

fn domains(page: &mut Page, status: &AgentStatus) {
    page.family("snapward_domain_condition", "gauge", "1 while a condition of a domain holds.");
    for domain in &status.domains {
        for condition in &domain.conditions {
            let kind = format!("{:?}", condition.kind);
            let labels = [("host", domain.host.as_str()), ("domain", &domain.domain), ("condition", &kind)];
            page.sample("snapward_domain_condition", &labels, truth(condition.status));
        }
    }
    page.family("snapward_domain_failures", "gauge", "Failed passes of a domain in a row.");
    for domain in &status.domains {
        let labels = [("host", domain.host.as_str()), ("domain", domain.domain.as_str())];
        page.sample("snapward_domain_failures", &labels, f64::from(domain.failures));
    }
    page.family("snapward_domain_next_due_timestamp_seconds", "gauge", "When there is something to do by the clock.");
    for domain in &status.domains {
        if let Some(at) = domain.next_due.as_deref().and_then(instant) {
            let labels = [("host", domain.host.as_str()), ("domain", domain.domain.as_str())];
            page.sample("snapward_domain_next_due_timestamp_seconds", &labels, at);
        }
    }
    page.family(
        "snapward_domain_newest_good_timestamp_seconds",
        "gauge",
        "When the newest complete snapshot was captured.",
    );
    for domain in &status.domains {
        if let Some(at) = domain.newest_good.as_ref().and_then(|newest| instant(&newest.created)) {
            let labels = [("host", domain.host.as_str()), ("domain", domain.domain.as_str())];
            page.sample("snapward_domain_newest_good_timestamp_seconds", &labels, at);
        }
    }
}
