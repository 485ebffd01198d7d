//! What plan, apply and status begin with: connect, observe, plan, and count what it cost.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::Timestamp;

use super::connections::{self, Hosts};
use super::error::CliError;
use super::interrupt::{self, Interrupt};
use super::output::Output;
use crate::libvirt::{self, Access};
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

/// Prepares libvirt, then starts to watch for interrupts; in this order, because libvirt wants to be prepared before
/// there are threads.
///
/// # Errors
/// When interrupts cannot be watched for.
pub(super) fn prepare(output: Output) -> Result<Interrupt, CliError> {
    libvirt::prepare();
    interrupt::watch(output)
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
    let hosts = connections::open(connections::candidates(connect, desired), access);
    let start = Instant::now();
    let mut observed = observe::observe(&hosts.connections, desired);
    observed.unreachable.extend(hosts.unreachable.iter().cloned());
    if observed.hosts.is_empty() {
        return Err(nothing_read(&observed));
    }
    distinct_names(&observed)?;
    let read_ms = milliseconds(start);
    let start = Instant::now();
    let mut plan = plan::plan(desired, &observed, now, source);
    plan.stats = Stats { libvirt_calls: hosts.calls(), read_ms, plan_ms: milliseconds(start) };
    tracing::info!(libvirt_calls = plan.stats.libvirt_calls, read_ms, plan_ms = plan.stats.plan_ms, "read and planned");
    Ok(Read { hosts, observed, plan })
}

/// Plans and locks go by the hosts' names, so two hosts of one name could be taken for each other.
fn distinct_names(observed: &ObservedState) -> Result<(), CliError> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for host in &observed.hosts {
        if let Some(other) = seen.insert(&host.info.name, &host.info.uri) {
            let (name, uri) = (&host.info.name, &host.info.uri);
            let text = format!("{other} and {uri} are both named {name}; they could be confused, so nothing was done");
            return Err(CliError::failed(text)
                .hint("connect to one of them at a time, or give each a name of its own in an Inventory"));
        }
    }
    Ok(())
}

fn nothing_read(observed: &ObservedState) -> CliError {
    let hosts: Vec<String> = observed.unreachable.iter().map(|host| format!("{}: {}", host.name, host.error)).collect();
    CliError::failed(format!("no host could be read; nothing was changed\n{}", hosts.join("\n")))
        .hint("check the URI with `virsh -c URI list --all`; -c URI chooses another one")
}

fn milliseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
