//! What plan, apply and status begin with: connect, observe, plan, and count what it cost.

use std::time::Instant;

use jiff::Timestamp;

use super::connections::{self, Hosts};
use super::error::CliError;
use crate::libvirt::Access;
use crate::model::desired::DesiredState;
use crate::model::observed::ObservedState;
use crate::model::plan::{Plan, PlanSource, Stats};
use crate::{observe, plan};

/// The state of the hosts and the plan made from it.
pub(super) struct Read {
    /// The open connections.
    pub(super) hosts: Hosts,
    /// What was read.
    pub(super) observed: ObservedState,
    /// What would be done.
    pub(super) plan: Plan,
}

/// Reads all hosts and plans for `now`.
///
/// # Errors
/// When no host at all could be read. One that could not, beside others, is an entry in the plan.
pub(super) fn read(
    desired: &DesiredState,
    connect: &[String],
    access: Access,
    now: Timestamp,
    source: PlanSource,
) -> Result<Read, CliError> {
    let start = Instant::now();
    let hosts = connections::open(connections::targets(connect, desired), access);
    let mut observed = observe::observe(&hosts.connections, desired);
    observed.unreachable.extend(hosts.unreachable.iter().cloned());
    if observed.hosts.is_empty() {
        return Err(nothing_read(&observed));
    }
    let read_ms = milliseconds(start);
    let start = Instant::now();
    let mut plan = plan::plan(desired, &observed, now, source);
    plan.stats = Stats { libvirt_calls: hosts.calls(), read_ms, plan_ms: milliseconds(start) };
    tracing::info!(libvirt_calls = plan.stats.libvirt_calls, read_ms, plan_ms = plan.stats.plan_ms, "read and planned");
    Ok(Read { hosts, observed, plan })
}

fn nothing_read(observed: &ObservedState) -> CliError {
    let hosts: Vec<String> = observed.unreachable.iter().map(|host| format!("{}: {}", host.name, host.error)).collect();
    CliError::failed(format!("no host could be read; nothing was changed\n{}", hosts.join("\n")))
        .hint("check the URI with `virsh -c URI list --all`; -c URI chooses another one")
}

fn milliseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
