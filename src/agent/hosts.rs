//! The hosts: each with a connection to read through, opened again with growing pauses after it broke.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use super::Key;
use super::events::Events;
use super::queue::Backoff;
use crate::host::{Counting, DomainRef, Host, Listener, Survey};
use crate::libvirt::Access;
use crate::model::agent::AgentHost;
use crate::model::desired::DesiredState;
use crate::model::names::DomainUuid;
use crate::model::observed::{ObservedDomain, ObservedHost, UnreadableHost};
use crate::observe::{self, Connection, Endpoint, Interests};

/// An open connection.
pub struct Opened {
    /// To call through.
    pub connection: Connection,
    /// The calls made through it.
    pub calls: Arc<Counting>,
}

/// Opens connections.
pub trait Hosts: Send + Sync {
    /// The hosts that the manifests, or the command line, name.
    fn endpoints(&self, desired: &DesiredState) -> Vec<Endpoint>;

    /// Connects, and has the listener told what happens there. Blocks, not for ever.
    ///
    /// # Errors
    /// Why there is no connection, for people.
    fn open(&self, endpoint: &Endpoint, access: Access, listener: Option<&Listener>) -> Result<Opened, String>;
}

/// What one round asks of the hosts.
pub(super) struct Ask<'a> {
    pub(super) hosts: &'a dyn Hosts,
    pub(super) desired: &'a DesiredState,
    /// What was declared in the round before, where that is not the same.
    pub(super) before: Option<&'a DesiredState>,
    pub(super) now: Instant,
    /// Compare names and current pointers of all selected domains.
    pub(super) poll: bool,
    /// Read everything again.
    pub(super) sweep: bool,
    /// Domains to read again.
    pub(super) dirty: &'a BTreeSet<Key>,
    /// Domains that are being worked on: they change under the reading.
    pub(super) busy: &'a BTreeSet<Key>,
    /// Domains whose jobs wait for a worker, or for the end of a pause after a failure.
    pub(super) waiting: &'a BTreeSet<Key>,
    /// What was read in the round before counts as read in this one.
    pub(super) follow_up: bool,
    /// Where events go.
    pub(super) events: &'a Events,
}

/// One host over time.
pub(super) struct Link {
    pub(super) endpoint: Endpoint,
    opened: Option<Opened>,
    /// What is known of it; none while it cannot be reached.
    pub(super) known: Option<ObservedHost>,
    listed: Vec<DomainRef>,
    /// What the last poll was told of the domains that are as they were read: a domain that tells the same is so still.
    agreed: HashMap<DomainUuid, Survey>,
    /// The domains read in this round.
    pub(super) fresh: BTreeSet<DomainUuid>,
    backoff: Backoff,
    /// Why it was given up last; stays until a round ends with the connection open.
    error: Option<String>,
    /// It was given up in this round.
    given_up: bool,
    /// The name that it told last.
    name: Option<String>,
    /// Calls made through connections that are closed.
    calls_before: u64,
}

impl Link {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            opened: None,
            known: None,
            listed: Vec::new(),
            agreed: HashMap::new(),
            fresh: BTreeSet::new(),
            backoff: Backoff::default(),
            error: None,
            given_up: false,
            name: None,
            calls_before: 0,
        }
    }

    /// Brings what is known up to date, where it is connected: lists the domains (one call), compares names and current
    /// pointers (two calls for each selected domain) and reads again what changed.
    pub(super) fn update(&mut self, ask: &Ask<'_>, interests: &Interests<'_>) {
        if !ask.follow_up {
            self.fresh.clear();
        }
        let Some(opened) = &self.opened else { return };
        let host = Arc::clone(&opened.connection.host);
        match host.domains() {
            Ok(listed) => self.listed = listed,
            Err(error) => return self.give_up(error.to_string()),
        }
        let stale = self.stale(ask, interests, host.as_ref());
        self.read(host.as_ref(), interests, stale);
    }

    fn read(&mut self, host: &dyn Host, interests: &Interests<'_>, stale: BTreeSet<DomainUuid>) {
        if let Some(known) = &mut self.known {
            let listed: BTreeSet<_> = self.listed.iter().map(|domain| domain.uuid).collect();
            self.agreed.retain(|uuid, _| listed.contains(uuid) && !stale.contains(uuid));
            observe::refresh(host, known, &self.listed, interests, &|domain| stale.contains(&domain.uuid));
            self.fresh.extend(stale);
        }
    }

    /// Opens the connection where there is none, unless a pause after a failure still holds.
    pub(super) fn connect(&mut self, ask: &Ask<'_>) {
        if self.opened.is_some() || self.backoff.until(ask.now).is_some() {
            return;
        }
        let (listener, name) = ask.events.listener();
        let opened = match ask.hosts.open(&self.endpoint, Access::ReadOnly, Some(&listener)) {
            Ok(opened) => opened,
            Err(error) => return self.give_up(error),
        };
        match observe::identify(&opened.connection) {
            Ok(info) => {
                tracing::info!(host = info.name, uri = info.uri, "connected");
                // Set once, here.
                drop(name.set(info.name.clone()));
                self.name = Some(info.name.clone());
                self.known = Some(ObservedHost::unread(info));
                self.opened = Some(opened);
            }
            Err(error) => self.give_up(error.to_string()),
        }
    }

    /// The connection is no good. What was known is forgotten: anything may have happened until it is back.
    pub(super) fn give_up(&mut self, error: String) {
        let failed_before = self.error.is_some();
        self.given_up = true;
        self.calls_before = self.calls();
        (self.opened, self.known) = (None, None);
        self.fresh.clear();
        self.agreed.clear();
        if !failed_before {
            tracing::warn!(host = self.endpoint.label(), error, "the host cannot be reached; it is tried again");
        }
        self.error = Some(error);
    }

    /// Notes how the round ended for it: a pause begins when the attempt is over, however long that took, and only a connection
    /// that served the round ends the row of failures.
    pub(super) fn settle(&mut self, now: Instant) {
        if std::mem::take(&mut self.given_up) {
            self.backoff.failed(now);
        } else if self.opened.is_some() {
            (self.backoff, self.error) = (Backoff::default(), None);
        }
    }

    /// The selected domains that are to be read again.
    fn stale(&mut self, ask: &Ask<'_>, interests: &Interests<'_>, host: &dyn Host) -> BTreeSet<DomainUuid> {
        let Some(known) = &self.known else { return BTreeSet::new() };
        let before = ask.before.map(Interests::new);
        let by_uuid: HashMap<_, _> = known.domains.iter().map(|read| (read.uuid, read)).collect();
        let (mut stale, mut to_ask) = (BTreeSet::new(), Vec::new());
        for domain in &self.listed {
            let key = (known.info.name.clone(), domain.uuid);
            let Some(wanted) = interests.of(&known.info, domain) else { continue };
            if ask.busy.contains(&key) {
                continue;
            }
            let unreadable = known.unreadable.iter().any(|other| other.uuid == domain.uuid);
            let read = by_uuid.get(&domain.uuid).copied();
            // What it was looked at for before may have been less.
            let other_interest = |read: &ObservedDomain| {
                let before = before.as_ref().map(|before| before.of(&known.info, domain).unwrap_or_default());
                before.is_some_and(|before| !before.looks_as(&wanted, &read.tree))
            };
            let changed = match read {
                None => !unreadable || ask.poll || ask.sweep || ask.dirty.contains(&key),
                Some(read) => {
                    let changed = ask.sweep
                        || ask.dirty.contains(&key)
                        || (&read.name, read.state) != (&domain.name, domain.state)
                        || other_interest(read);
                    if ask.poll && !changed {
                        to_ask.push(((domain.clone(), read.tree.len()), read));
                    }
                    changed
                }
            };
            if changed {
                stale.insert(domain.uuid);
            }
        }
        let (domains, read): (Vec<_>, Vec<_>) = to_ask.into_iter().unzip();
        let answers = host.survey(domains);
        for (answer, read) in answers.into_iter().zip(read) {
            let uuid = read.uuid;
            match answer {
                Ok(survey) if self.agreed.get(&uuid) == Some(&survey) => {}
                Ok(survey) if agrees(&survey, read) => drop(self.agreed.insert(uuid, survey)),
                // One that cannot be asked is read too, which says why.
                Ok(_) | Err(_) => drop(stale.insert(uuid)),
            }
        }
        stale
    }

    /// Calls made so far.
    pub(super) fn calls(&self) -> u64 {
        self.calls_before + self.opened.as_ref().map_or(0, |opened| opened.calls.calls())
    }

    /// When connecting is tried again: at once where the pause ended while the round ran.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.opened.is_none().then(|| self.backoff.end()).flatten()
    }

    /// Why it cannot be reached.
    pub(super) fn unreachable(&self) -> Option<UnreadableHost> {
        let error = self.error.clone().filter(|_| self.opened.is_none())?;
        Some(UnreadableHost { name: self.endpoint.label().to_owned(), error })
    }

    /// For the status.
    pub(super) fn report(&self) -> AgentHost {
        AgentHost {
            name: self.name.as_deref().unwrap_or(self.endpoint.label()).to_owned(),
            uri: self.endpoint.uri.clone(),
            connected: self.opened.is_some(),
            error: self.error.clone().filter(|_| self.opened.is_none()),
        }
    }
}

/// Whether a domain's snapshots and its current pointer are those that were read.
fn agrees(survey: &Survey, read: &ObservedDomain) -> bool {
    let same_names = || {
        let mut names: Vec<_> = survey.names.iter().collect();
        names.sort_unstable();
        names.into_iter().eq(read.tree.iter().map(|snapshot| snapshot.name.as_str()))
    };
    survey.names.len() == read.tree.len() && survey.current.as_ref() == read.tree.current() && same_names()
}
