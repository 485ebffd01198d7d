//! Which hosts a run is about, and the connections to them.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::{self, Opened};
use crate::apply::Target;
use crate::host::{Counting, Deadline, Deadlines, Host, Listener, ReadOnly};
use crate::libvirt::{self, Access};
use crate::model::desired::DesiredState;
use crate::model::observed::{ObservedHost, ObservedState, UnreadableHost};
use crate::observe::{Connection, Endpoint};

/// How long opening a connection may take. ssh gives up on a dead address after about two minutes of TCP retries; a
/// host that needs more than 30 s to answer would not be of use to a run either. The embedded driver's first open
/// takes under one second.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);

/// The URI that libvirt's own tools use for root.
const DEFAULT_URI: &str = "qemu:///system";

/// The hosts of a run, each once: `-c`, else the Inventories, else `$LIBVIRT_DEFAULT_URI`, else `qemu:///system`.
pub(super) fn candidates(connect: &[String], desired: &DesiredState) -> Vec<Endpoint> {
    choose(connect, desired, std::env::var("LIBVIRT_DEFAULT_URI").ok())
}

fn choose(connect: &[String], desired: &DesiredState, default_uri: Option<String>) -> Vec<Endpoint> {
    let mut all: Vec<Endpoint> = connect.iter().map(Endpoint::uri).collect();
    if all.is_empty() {
        let hosts = desired.inventories.iter().flat_map(|inventory| &inventory.value.spec.hosts);
        all.extend(hosts.map(|host| Endpoint {
            name: Some(host.name.clone()),
            labels: host.labels.clone(),
            uri: host.uri.clone(),
        }));
    }
    if all.is_empty() {
        // libvirt takes an empty variable as unset.
        let uri = default_uri.filter(|uri| !uri.is_empty()).unwrap_or_else(|| DEFAULT_URI.to_owned());
        all.push(Endpoint::uri(uri));
    }
    let mut distinct: Vec<Endpoint> = Vec::with_capacity(all.len());
    for candidate in all {
        if !distinct.contains(&candidate) {
            distinct.push(candidate);
        }
    }
    distinct
}

/// The hosts of a run: those that answered, those that did not, and the calls made.
pub(super) struct Hosts {
    /// Open, in the order asked for.
    pub(super) connections: Vec<Connection>,
    /// Not to be reached, in the order asked for.
    pub(super) unreachable: Vec<UnreadableHost>,
    /// What counts the calls of each open connection.
    pub(super) counters: Vec<Arc<Counting>>,
}

impl Hosts {
    /// The hosts that were read, with the connections to write through.
    pub(super) fn targets(&self, observed: &ObservedState) -> Vec<Target> {
        let target = |host: &ObservedHost| {
            let connection = self.connections.iter().find(|connection| {
                connection.uri == host.info.uri
                    && connection.inventory_name.as_ref().is_none_or(|name| *name == host.info.name)
            })?;
            Some(Target { info: host.info.clone(), host: Arc::clone(&connection.host) })
        };
        observed.hosts.iter().filter_map(target).collect()
    }

    /// How many libvirt calls were made so far.
    pub(super) fn calls(&self) -> u64 {
        self.counters.iter().map(|counter| counter.calls()).sum()
    }
}

/// Connects to all of them at once. Each gets a thread that is left behind when its host does not answer in time.
pub(super) fn open(candidates: Vec<Endpoint>, access: Access) -> Hosts {
    open_listening(candidates, access, None)
}

/// As [`open`], with a listener that is told what happens on all of them.
fn open_listening(candidates: Vec<Endpoint>, access: Access, listener: Option<&Listener>) -> Hosts {
    let deadline = Instant::now() + CONNECT_DEADLINE;
    // Where it fails, each connection that needs the loop fails with that error.
    drop(libvirt::prepare_for(candidates.iter().map(|candidate| candidate.uri.as_str())));
    let waiting: Vec<_> = candidates
        .into_iter()
        .map(|candidate| {
            let (sender, receiver) = mpsc::channel();
            let (uri, listener) = (candidate.uri.clone(), listener.cloned());
            let started = thread::Builder::new().name("connect".to_owned()).spawn(move || {
                // Nobody listens any more when the deadline is over; the connection is closed then.
                drop(sender.send(libvirt::connect(&uri, access, listener.as_ref())));
            });
            (candidate, receiver, started)
        })
        .collect();
    let mut hosts = Hosts { connections: Vec::new(), unreachable: Vec::new(), counters: Vec::new() };
    for (candidate, receiver, started) in waiting {
        let answer = match started {
            Err(error) => Err(format!("could not start a thread to connect to {}: {error}", candidate.uri)),
            Ok(_) => match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(host)) => Ok(host),
                Ok(Err(error)) => Err(error.to_string()),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    Err(format!("{} did not answer within {} s", candidate.uri, CONNECT_DEADLINE.as_secs()))
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    Err(format!("connecting to {} ended without an answer; this is a bug in snapward", candidate.uri))
                }
            },
        };
        match answer {
            Ok(host) => {
                let counting = Arc::new(Counting::new(host));
                hosts.counters.push(Arc::clone(&counting));
                let mut host: Arc<dyn Host> = Arc::new(Deadline::new(counting, Deadlines::default()));
                if matches!(access, Access::ReadOnly) {
                    host = Arc::new(ReadOnly::new(host));
                }
                hosts.connections.push(candidate.connected(host));
            }
            Err(error) => {
                hosts.unreachable.push(UnreadableHost { name: candidate.label().to_owned(), error });
            }
        }
    }
    hosts
}

/// How the agent finds and opens its hosts: as every verb does.
pub(super) struct ForAgent {
    /// The URIs of `-c`.
    pub(super) connect: Vec<String>,
}

impl agent::Hosts for ForAgent {
    fn endpoints(&self, desired: &DesiredState) -> Vec<Endpoint> {
        candidates(&self.connect, desired)
    }

    fn open(&self, endpoint: &Endpoint, access: Access, listener: Option<&Listener>) -> Result<Opened, String> {
        let mut hosts = open_listening(vec![endpoint.clone()], access, listener);
        match (hosts.connections.pop(), hosts.counters.pop(), hosts.unreachable.pop()) {
            (Some(connection), Some(calls), _) => Ok(Opened { connection, calls }),
            (.., Some(down)) => Err(down.error),
            _ => Err("connecting ended without an answer; this is a bug in snapward".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::desired::Document;
    use crate::model::kinds::{Inventory, InventoryHost, InventorySpec, Metadata};

    fn inventory() -> DesiredState {
        let host = InventoryHost {
            name: "kvm-017".to_owned(),
            uri: "qemu+ssh://kvm-017/system".to_owned(),
            labels: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
        };
        let value = Inventory {
            api_version: "snapward/v1".to_owned(),
            kind: "Inventory".to_owned(),
            metadata: Metadata { name: "all".to_owned(), namespace: "default".to_owned() },
            spec: InventorySpec { hosts: vec![host] },
        };
        let document = Document { file: Arc::from("hosts.yaml"), lines: Arc::default(), value };
        DesiredState { inventories: vec![document], ..DesiredState::default() }
    }

    #[test]
    fn the_command_line_goes_before_the_inventory_before_the_environment() {
        let uris = |connect: &[&str], desired: &DesiredState, default: Option<&str>| -> Vec<String> {
            let connect: Vec<String> = connect.iter().map(|uri| (*uri).to_owned()).collect();
            choose(&connect, desired, default.map(str::to_owned)).into_iter().map(|candidate| candidate.uri).collect()
        };
        let none = DesiredState::default();
        assert_eq!(uris(&["test:///a", "test:///b", "test:///a"], &inventory(), Some("x")), ["test:///a", "test:///b"]);
        assert_eq!(uris(&[], &inventory(), Some("x")), ["qemu+ssh://kvm-017/system"]);
        assert_eq!(uris(&[], &none, Some("qemu:///session")), ["qemu:///session"]);
        assert_eq!(uris(&[], &none, Some("")), ["qemu:///system"]);
        assert_eq!(uris(&[], &none, None), ["qemu:///system"]);
        assert_eq!(choose(&[], &inventory(), None)[0].label(), "kvm-017");
        assert_eq!(choose(&[], &inventory(), None)[0].labels["env"], "prod");
    }
}
