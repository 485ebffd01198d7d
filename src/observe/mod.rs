//! Observation: from hosts to the observed state, in K + 3·D + S calls for D selected domains with S snapshots (K = 4).
//!
//! Domains are read in parallel, and one that cannot be read does not hide the others.

mod domain;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub use domain::{observe_domain, read_domain};

use crate::host::{self, DomainRef, Host};
use crate::model::desired::DesiredState;
use crate::model::kinds::Presence;
use crate::model::names::SnapshotName;
use crate::model::observed::{HostInfo, ObservedHost, ObservedState, UnreadableDomain, UnreadableHost};
use crate::model::selector::Selection;

/// How many domains of one host are read at a time. libvirt serves five requests of one client at once
/// (`max_client_requests`), and four were the fastest in measurement; the fifth stays free for keepalive and writes.
const READERS_PER_HOST: usize = 4;

/// A host that can be asked.
#[derive(Clone)]
pub struct Connection {
    /// The Inventory's name, else the URI; for messages before the host has told its own name.
    pub label: String,
    /// The name given by the Inventory.
    pub inventory_name: Option<String>,
    /// Labels of the Inventory.
    pub labels: BTreeMap<String, String>,
    /// The connection URI.
    pub uri: String,
    /// The calls.
    pub host: Arc<dyn Host>,
}

/// Reads every connected host: all domain names, and the domains that a set selects in full.
pub fn observe(connections: &[Connection], desired: &DesiredState) -> ObservedState {
    let interest = Interest::new(desired);
    let results: Vec<_> = thread::scope(|scope| {
        let readers: Vec<_> =
            connections.iter().map(|connection| scope.spawn(|| observe_host(connection, &interest))).collect();
        readers.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut state = ObservedState::default();
    for (connection, result) in connections.iter().zip(results) {
        match result {
            Ok(Ok(host)) => state.hosts.push(host),
            Ok(Err(error)) => {
                state.unreachable.push(UnreadableHost { name: connection.label.clone(), error: error.to_string() });
            }
            Err(_) => state.unreachable.push(UnreadableHost {
                name: connection.label.clone(),
                error: "reading it ended in a defect of snapward; nothing was changed".to_owned(),
            }),
        }
    }
    state
}

/// What the manifests want to know of each domain.
struct Interest<'a> {
    sets: Vec<(Selection, &'a crate::model::kinds::SnapshotSetSpec)>,
}

impl<'a> Interest<'a> {
    /// Reads the selectors of all sets.
    fn new(desired: &'a DesiredState) -> Self {
        Self { sets: desired.sets.iter().map(|set| (Selection::of(&set.value.spec), &set.value.spec)).collect() }
    }

    /// The snapshots that sets want to exist in the domain, and whether any has a series for it; none where no set selects
    /// it.
    fn wanted(&self, host: &HostInfo, domain: &DomainRef) -> Option<(BTreeSet<&'a SnapshotName>, bool)> {
        let mut wanted: Option<(BTreeSet<_>, bool)> = None;
        for (selection, spec) in &self.sets {
            if selection.selects_host(host) && selection.selects_domain(&domain.name, domain.uuid) {
                let present = spec.snapshots.iter().filter(|snapshot| snapshot.state == Presence::Present);
                let (declared, scheduled) = wanted.get_or_insert_default();
                declared.extend(present.map(|snapshot| &snapshot.name));
                *scheduled |= spec.series.iter().any(|series| series.state == Presence::Present);
            }
        }
        wanted
    }
}

/// Asks a host what it is: its name, version and capabilities.
///
/// # Errors
/// When the host does not answer.
pub fn identify(connection: &Connection) -> host::Result<HostInfo> {
    let host = &connection.host;
    let capabilities = host.capabilities()?;
    let hostname = host.hostname()?;
    Ok(HostInfo {
        name: connection.inventory_name.clone().unwrap_or_else(|| hostname.clone()),
        uri: connection.uri.clone(),
        hostname,
        labels: connection.labels.clone(),
        libvirt_version: host.libvirt_version()?,
        external_snapshots: capabilities.external_snapshots,
    })
}

fn observe_host(connection: &Connection, interest: &Interest<'_>) -> host::Result<ObservedHost> {
    let host = connection.host.as_ref();
    let info = identify(connection)?;
    let mut all = host.domains()?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let selected: Vec<_> = all.iter().filter_map(|domain| Some((domain, interest.wanted(&info, domain)?))).collect();

    let next = AtomicUsize::new(0);
    let read_some = || {
        let mut read = Vec::new();
        while let Some((domain, (declared, scheduled))) = selected.get(next.fetch_add(1, Ordering::Relaxed)) {
            read.push((*domain, observe_domain(host, domain, declared, *scheduled)));
        }
        read
    };
    let readers = READERS_PER_HOST.min(selected.len());
    let results: Vec<_> = thread::scope(|scope| {
        let readers: Vec<_> = (0..readers).map(|_| scope.spawn(read_some)).collect();
        readers.into_iter().flat_map(|reader| reader.join().unwrap_or_default()).collect()
    });

    let mut observed = ObservedHost {
        info,
        domain_names: all.iter().map(|domain| (domain.name.clone(), domain.uuid)).collect(),
        domains: Vec::with_capacity(results.len()),
        unreadable: Vec::new(),
    };
    let answered: BTreeSet<_> = results.iter().map(|(domain, _)| domain.uuid).collect();
    for (domain, result) in results {
        match result {
            Ok(read) => observed.domains.push(read),
            Err(error) => observed.unreadable.push(unreadable(domain, error.to_string())),
        }
    }
    for (domain, _) in selected.iter().filter(|(domain, _)| !answered.contains(&domain.uuid)) {
        let defect = "reading it ended in a defect of snapward; nothing was changed".to_owned();
        observed.unreadable.push(unreadable(domain, defect));
    }
    observed.domains.sort_by(|a, b| a.name.cmp(&b.name));
    observed.unreadable.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(observed)
}

fn unreadable(domain: &DomainRef, error: String) -> UnreadableDomain {
    UnreadableDomain { name: domain.name.clone(), uuid: domain.uuid, error }
}
