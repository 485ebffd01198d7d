//! One round, which blocks: bring what is known of the hosts up to date, and plan. Where anything would be done in a domain
//! that was not read just now, another round follows up that reads it, so that a plan to act on never rests on an old reading.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Key;
use super::hosts::{Ask, Link};
use crate::model::agent::AgentHost;
use crate::model::observed::{HostInfo, ObservedState};
use crate::model::plan::{Plan, PlanSource, Stats};
use crate::model::status::Status;
use crate::observe::Interests;
use crate::plan;

/// What is known of all hosts, from one round to the next.
#[derive(Default)]
pub(super) struct World {
    links: Vec<Link>,
}

/// What came of a round.
pub(super) struct Round {
    pub(super) plan: Plan,
    /// When it was planned for: what came due since is still to come for it.
    pub(super) at: Timestamp,
    pub(super) status: Status,
    /// The domains that were read in this round, or in the one that it follows up.
    pub(super) fresh: BTreeSet<Key>,
    /// Those in which something would be done and that are to be read before.
    pub(super) unread: BTreeSet<Key>,
    /// Those that are selected and there.
    pub(super) domains: BTreeSet<Key>,
    pub(super) hosts: Vec<AgentHost>,
    /// To write to.
    pub(super) infos: BTreeMap<String, (HostInfo, crate::observe::Endpoint)>,
    /// All calls since the start.
    pub(super) calls: u64,
    /// When connecting to a host is tried again.
    pub(super) retry: Option<Instant>,
}

impl World {
    /// Reads and plans for `now`.
    pub(super) fn round(&mut self, ask: &Ask<'_>, now: Timestamp, source: &PlanSource) -> Round {
        let calls_before = self.calls();
        let interests = Interests::new(ask.desired);
        self.follow(ask);
        each(&mut self.links, |link| link.connect(ask));
        self.distinct_names();
        each(&mut self.links, |link| link.update(ask, &interests));
        let ended = Instant::now();
        self.links.iter_mut().for_each(|link| link.settle(ended));
        let mut plan = self.plan(ask, now, source);
        let unread = self.to_read(&plan, ask);
        plan.stats = Stats { libvirt_calls: self.calls() - calls_before, ..Stats::default() };
        let observed = self.observed();
        // Without the trees: they are large, and the command line shows them.
        let status = plan::conditions(&observed, &plan);
        self.give_back(observed);
        Round {
            at: now,
            status,
            fresh: self.fresh(),
            unread,
            domains: plan.domains.iter().map(|domain| (domain.host.clone(), domain.uuid)).collect(),
            plan,
            hosts: self.links.iter().map(Link::report).collect(),
            infos: self
                .links
                .iter()
                .filter_map(|link| {
                    let info = link.known.as_ref()?.info.clone();
                    Some((info.name.clone(), (info, link.endpoint.clone())))
                })
                .collect(),
            calls: self.calls(),
            retry: self.links.iter().filter_map(Link::retry).min(),
        }
    }

    /// Keeps the links to the hosts that are still meant.
    fn follow(&mut self, ask: &Ask<'_>) {
        let endpoints = ask.hosts.endpoints(ask.desired);
        let mut before = std::mem::take(&mut self.links);
        for endpoint in endpoints {
            let known = before.iter().position(|link| link.endpoint == endpoint);
            self.links.push(known.map_or_else(|| Link::new(endpoint), |at| before.swap_remove(at)));
        }
    }

    /// Plans and locks go by the hosts' names, so of two hosts of one name the second is left alone.
    fn distinct_names(&mut self) {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for link in &mut self.links {
            let Some(name) = link.known.as_ref().map(|known| known.info.name.clone()) else { continue };
            if !seen.insert(name.clone()) {
                let text = format!(
                    "another host is named {name} too, and they could be confused, so nothing is done here; give each a name \
                     of its own in an Inventory"
                );
                link.give_up(text);
            }
        }
    }

    fn plan(&mut self, ask: &Ask<'_>, now: Timestamp, source: &PlanSource) -> Plan {
        let observed = self.observed();
        let plan = plan::plan(ask.desired, &observed, now, source.clone());
        self.give_back(observed);
        plan
    }

    /// The domains in which something would be done and that were not read just now. One whose job waits or runs is read by
    /// that, and one in a pause at its end.
    fn to_read(&self, plan: &Plan, ask: &Ask<'_>) -> BTreeSet<Key> {
        let fresh = self.fresh();
        let acts = plan.domains.iter().filter(|domain| super::jobs::has_work(plan, domain));
        acts.map(|domain| (domain.host.clone(), domain.uuid))
            .filter(|key| !fresh.contains(key) && !ask.busy.contains(key) && !ask.waiting.contains(key))
            .collect()
    }

    fn fresh(&self) -> BTreeSet<Key> {
        let of_link = |link: &Link| {
            let name = link.known.as_ref().map(|known| known.info.name.clone());
            name.into_iter()
                .flat_map(|name| link.fresh.iter().map(move |uuid| (name.clone(), *uuid)))
                .collect::<Vec<_>>()
        };
        self.links.iter().flat_map(of_link).collect()
    }

    /// What is known, lent to the planner; see [`Self::give_back`].
    fn observed(&mut self) -> ObservedState {
        ObservedState {
            hosts: self.links.iter_mut().filter_map(|link| link.known.take()).collect(),
            unreachable: self.links.iter().filter_map(Link::unreachable).collect(),
        }
    }

    fn give_back(&mut self, observed: ObservedState) {
        for host in observed.hosts {
            let owner = self.links.iter_mut().find(|link| {
                link.known.is_none()
                    && link.endpoint.uri == host.info.uri
                    && link.endpoint.name.as_ref().is_none_or(|name| *name == host.info.name)
            });
            if let Some(link) = owner {
                link.known = Some(host);
            }
        }
    }

    fn calls(&self) -> u64 {
        self.links.iter().map(Link::calls).sum()
    }
}

/// All hosts at once. The slowest decides how long it takes: a host that does not answer has the time that connecting and each
/// call are given, once, and is then left alone for a pause.
fn each(links: &mut [Link], work: impl Fn(&mut Link) + Sync) {
    if let [link] = links {
        return work(link);
    }
    thread::scope(|scope| {
        for link in links {
            scope.spawn(|| work(link));
        }
    });
}
