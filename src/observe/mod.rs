//! Observation: from hosts to the observed state, in K + 3·D + S calls for D selected domains with S snapshots (K = 4).
//! Where a selected domain has an external snapshot, or may be reverted, D and S are all the host's.
//!
//! Domains are read in parallel, and one that cannot be read does not hide the others.

mod domain;
mod files;
mod interest;
pub mod listing;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

pub use domain::{observe_domain, read_domain};
pub use interest::{Interest, Interests};

use crate::host::{self, DomainRef, Files, Host, READERS_PER_HOST};
use crate::model::desired::DesiredState;
use crate::model::names::DomainUuid;
use crate::model::observed::{HostInfo, ObservedDomain, ObservedHost, ObservedState, UnreadableDomain, UnreadableHost};

/// A host to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The name in the Inventory.
    pub name: Option<String>,
    /// Labels of the Inventory.
    pub labels: BTreeMap<String, String>,
    /// The connection URI.
    pub uri: String,
}

impl Endpoint {
    /// A host under the name that a plan has for it.
    pub fn planned(name: &str, uri: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::uri(uri) }
    }

    /// A host that tells its own name.
    pub fn uri(uri: impl Into<String>) -> Self {
        Self { name: None, labels: BTreeMap::new(), uri: uri.into() }
    }

    /// What the host is called before it was asked for its name.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.uri)
    }

    /// The connection, once there is one.
    pub fn connected(self, host: Arc<dyn Host>) -> Connection {
        Connection {
            label: self.label().to_owned(),
            inventory_name: self.name,
            labels: self.labels,
            uri: self.uri,
            host,
        }
    }
}

/// What is said of a host or domain whose reading panicked.
const DEFECT: &str = "reading it ended in a defect of snapward; nothing was changed";

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
    let interests = Interests::new(desired);
    let results: Vec<_> = thread::scope(|scope| {
        let readers: Vec<_> =
            connections.iter().map(|connection| scope.spawn(|| observe_host(connection, &interests))).collect();
        readers.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut state = ObservedState::default();
    for (connection, result) in connections.iter().zip(results) {
        match result {
            Ok(Ok(host)) => state.hosts.push(host),
            Ok(Err(error)) => {
                state.unreachable.push(UnreadableHost { name: connection.label.clone(), error: error.to_string() });
            }
            Err(_) => {
                state.unreachable.push(UnreadableHost { name: connection.label.clone(), error: DEFECT.to_owned() });
            }
        }
    }
    state
}

/// Reads one domain as for a RevertRequest, with its neighbours.
///
/// # Errors
/// When the host does not answer. A domain that cannot be read is in the answer.
pub fn observe_to_revert(connection: &Connection, domain: DomainUuid) -> host::Result<ObservedHost> {
    observe_host(connection, &Interests::to_revert(domain))
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

fn observe_host(connection: &Connection, interests: &Interests<'_>) -> host::Result<ObservedHost> {
    let host = connection.host.as_ref();
    let mut known = ObservedHost::unread(identify(connection)?);
    refresh(host, &mut known, &host.domains()?, interests, &|_| true);
    Ok(known)
}

/// Brings what is known of a host up to the domains listed just now: reads those selected ones that `stale` names, keeps the
/// rest as they were read before, and forgets those that are gone or no longer selected.
pub fn refresh(
    host: &dyn Host,
    known: &mut ObservedHost,
    listed: &[DomainRef],
    interests: &Interests<'_>,
    stale: &dyn Fn(&DomainRef) -> bool,
) {
    let mut all: Vec<&DomainRef> = listed.iter().collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut selected, mut rest) = (Vec::new(), Vec::new());
    for domain in &all {
        match interests.of(&known.info, domain) {
            Some(wanted) => selected.push((*domain, wanted)),
            None => rest.push((*domain, Cow::default())),
        }
    }
    let may_revert = selected.iter().any(|(_, wanted)| wanted.revert);
    let remain: BTreeSet<_> = selected.iter().map(|(domain, _)| domain.uuid).collect();
    selected.retain(|(domain, _)| stale(domain));
    // A file that lies where a first overlay shall go may be a neighbour's.
    let external = |domain: &ObservedDomain| domain.tree.has_external() || files::has_other_overlays(domain);
    let read_external = exchange(host, &selected, &remain, &mut known.domains, &mut known.unreadable, external);
    // What is deleted in an external tree, or reverted, may be a neighbour's too: then all of them are read, with their
    // files.
    if may_revert || known.domains.iter().any(external) {
        let remain: BTreeSet<_> = rest.iter().map(|(domain, _)| domain.uuid).collect();
        let read: BTreeSet<_> = known.others.iter().map(|domain| domain.uuid).collect();
        rest.retain(|(domain, _)| read_external || !read.contains(&domain.uuid));
        exchange(host, &rest, &remain, &mut known.others, &mut known.others_unreadable, external);
        let without: Vec<&mut ObservedDomain> =
            known.domains.iter_mut().chain(&mut known.others).filter(|domain| domain.files.images.is_empty()).collect();
        add_chains(host.files(), without);
    } else {
        (known.others, known.others_unreadable) = (Vec::new(), Vec::new());
    }
    known.domain_names = all.iter().map(|domain| (domain.name.clone(), domain.uuid)).collect();
}

/// Reads the wanted domains and puts what came of it in the place of what was known; only those that remain stay. Returns
/// whether one that was read is as `asked`.
fn exchange(
    host: &dyn Host,
    wanted: &[(&DomainRef, Cow<'_, Interest<'_>>)],
    remain: &BTreeSet<DomainUuid>,
    domains: &mut Vec<ObservedDomain>,
    unreadable: &mut Vec<UnreadableDomain>,
    asked: impl Fn(&ObservedDomain) -> bool,
) -> bool {
    let (read, failed) = read_all(host, wanted);
    let stays = |uuid| remain.contains(&uuid) && wanted.iter().all(|(domain, _)| domain.uuid != uuid);
    domains.retain(|domain| stays(domain.uuid));
    unreadable.retain(|domain| stays(domain.uuid));
    let found = read.iter().any(asked);
    domains.extend(read);
    unreadable.extend(failed);
    domains.sort_by(|a, b| a.name.cmp(&b.name));
    unreadable.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Asks a host about many things, as many at a time as it is read with, and gathers what comes of it, in no order.
///
/// # Panics
/// Where the work does: a panic goes on to the caller, as it would without the threads.
pub fn several<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Option<R> + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work_some = || {
        let mut results = Vec::new();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            results.extend(work(item));
        }
        results
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..READERS_PER_HOST.min(items.len())).map(|_| scope.spawn(work_some)).collect();
        let own = work_some();
        let join = |other: thread::ScopedJoinHandle<'_, _>| other.join().unwrap_or_else(|panic| resume_unwind(panic));
        others.into_iter().flat_map(join).chain(own).collect()
    })
}

/// Reads domains, several at a time.
fn read_all(
    host: &dyn Host,
    wanted: &[(&DomainRef, Cow<'_, Interest<'_>>)],
) -> (Vec<ObservedDomain>, Vec<UnreadableDomain>) {
    // A defect that one domain brings out says nothing of the others, nor of what was read of them.
    let read_one = |(domain, wanted): &(&DomainRef, Cow<'_, Interest<'_>>)| {
        catch_unwind(AssertUnwindSafe(|| observe_domain(host, domain, wanted)))
            .map(|read| read.map_err(|error| error.to_string()))
            .unwrap_or_else(|_| Err(DEFECT.to_owned()))
            .map_err(|error| unreadable(domain, error))
    };
    let (mut observed, mut failed) = (Vec::with_capacity(wanted.len()), Vec::new());
    for read in several(wanted, |item| Some(read_one(item))) {
        match read {
            Ok(domain) => observed.push(domain),
            Err(domain) => failed.push(domain),
        }
    }
    observed.sort_by(|a, b| a.name.cmp(&b.name));
    failed.sort_by(|a, b| a.name.cmp(&b.name));
    (observed, failed)
}

/// The domains of a host but one, with their files.
#[derive(Debug, Default)]
pub struct Neighbourhood {
    /// Those that were read.
    pub domains: Vec<ObservedDomain>,
    /// Those that could not be.
    pub unreadable: Vec<UnreadableDomain>,
}

/// Reads the other domains of a domain's host.
///
/// # Errors
/// When the domains cannot be listed. One that cannot be read is in the answer.
pub fn neighbours(host: &dyn Host, of: DomainUuid) -> host::Result<Neighbourhood> {
    let mut known = Neighbourhood::default();
    meet(host, of, &mut known)?;
    Ok(known)
}

/// Reads those of the other domains that are not known yet.
///
/// # Errors
/// When the domains cannot be listed. One that cannot be read is in what is known.
pub fn meet(host: &dyn Host, of: DomainUuid, known: &mut Neighbourhood) -> host::Result<()> {
    let listed = host.domains()?;
    let read = known.domains.iter().map(|domain| domain.uuid).chain([of]).collect::<BTreeSet<_>>();
    let new: Vec<_> = listed.iter().filter(|domain| !read.contains(&domain.uuid)).collect();
    let (mut domains, unreadable) =
        read_all(host, &new.into_iter().map(|domain| (domain, Cow::default())).collect::<Vec<_>>());
    add_chains(host.files(), domains.iter_mut().filter(|domain| domain.files.images.is_empty()).collect());
    known.domains.append(&mut domains);
    // All that were unreadable so far were asked again.
    known.unreadable = unreadable;
    Ok(())
}

/// Looks at the files of domains whose own tree did not ask for it. Storage that hangs costs its own domain the time.
fn add_chains(files: &dyn Files, domains: Vec<&mut ObservedDomain>) {
    let readers = READERS_PER_HOST.min(domains.len());
    let queue = Mutex::new(domains);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| {
                while let Some(domain) = next() {
                    domain.files.images = files::chains(files, domain).images;
                }
            });
        }
    });
}

fn unreadable(domain: &DomainRef, error: String) -> UnreadableDomain {
    UnreadableDomain { name: domain.name.clone(), uuid: domain.uuid, error }
}
