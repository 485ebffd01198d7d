//! Turns of the loop: why one is made, the blocking half of it, and what is made of its result.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinError;
use tokio::time::Instant;

use super::hosts::Ask;
use super::queue::Backoff;
use super::round::{Round, World};
use super::{Agent, Key, Revision, Source, SourceError};
use crate::model::plan::{Plan, PlanSource};
use crate::observe::Interests;

/// What a turn of the blocking half is given, and gives back.
pub(super) struct Turn {
    source: Box<dyn Source>,
    world: World,
    read: Option<Result<Revision, SourceError>>,
    round: Option<Round>,
    took: Duration,
}

/// Why a turn is made.
#[derive(Debug, Default)]
struct Reasons {
    read: bool,
    poll: bool,
    sweep: bool,
    timer: bool,
    closed: bool,
    follow_up: bool,
    dirty: BTreeSet<Key>,
}

impl Reasons {
    fn any(&self) -> bool {
        self.read || self.looks()
    }

    /// Whether the hosts are asked, whatever the source says.
    fn looks(&self) -> bool {
        self.poll || self.sweep || self.timer || self.closed || self.follow_up || !self.dirty.is_empty()
    }
}

impl Agent {
    /// What there is to do now.
    fn reasons(&mut self) -> Reasons {
        let now = Instant::now();
        let quiet = self.debounce.is_some_and(|(quiet, latest)| quiet.min(latest) <= now);
        let read = if self.debounce.is_some() { quiet } else { self.next_read <= now };
        if self.revision.is_none() {
            return Reasons { read, ..Reasons::default() };
        }
        Reasons {
            read,
            poll: self.next_poll <= now || self.next_connect.is_some_and(|at| at <= now),
            sweep: self.next_sweep <= now,
            timer: self.due.is_some_and(|due| due <= self.clock.now()),
            closed: std::mem::take(&mut self.closed),
            follow_up: std::mem::take(&mut self.follow_up),
            dirty: self.queue.take_due(now),
        }
    }

    /// Begins a turn where none runs and something is to be done.
    pub(super) fn begin_turn(&mut self) {
        if self.turn.is_some() {
            return;
        }
        let reasons = self.reasons();
        if !reasons.any() {
            return;
        }
        let Some((mut source, mut world)) = self.idle.take() else { return };
        // What the round before read counts in one that follows it up, unless it is read again.
        self.worked_on.retain(|key| reasons.follow_up && !reasons.dirty.contains(key));
        tracing::debug!(?reasons, "round");
        let now = Instant::now();
        if reasons.read {
            self.debounce = None;
            self.answering.append(&mut self.reloads);
        }
        if reasons.poll {
            self.next_poll = now + self.settings.poll;
        }
        if reasons.sweep {
            self.next_sweep = now + self.settings.sweep;
        }
        let (last, planned) = (self.revision.clone(), self.planned.clone());
        let busy: BTreeSet<Key> = self.queue.running().cloned().collect();
        let paused = self.queue.paused(now).cloned();
        let mut waiting: BTreeSet<Key> = self.pending.iter().map(|job| job.key.clone()).chain(paused).collect();
        let (hosts, clock, events) = (Arc::clone(&self.hosts), Arc::clone(&self.clock), self.events.clone());
        let plan_source = PlanSource { paths: self.paths.clone(), at: None };
        self.turn_began = Some(now);
        self.turn = Some(tokio::task::spawn_blocking(move || {
            let read = reasons.read.then(|| source.read());
            let new = match &read {
                Some(Ok(revision)) if last.as_ref().is_none_or(|last| last.id != revision.id) => Some(revision),
                _ => None,
            };
            if new.is_some() {
                // Of another revision they wait no more.
                waiting.clear();
            }
            let current = new.or(last.as_deref());
            let round = current.filter(|_| new.is_some() || reasons.looks()).map(|revision| {
                let ask = Ask {
                    hosts: hosts.as_ref(),
                    desired: &revision.desired,
                    before: planned.as_ref().filter(|last| last.id != revision.id).map(|last| &last.desired),
                    now,
                    poll: reasons.poll,
                    sweep: reasons.sweep,
                    dirty: &reasons.dirty,
                    busy: &busy,
                    waiting: &waiting,
                    follow_up: reasons.follow_up,
                    events: &events,
                };
                world.round(&ask, clock.now(), &plan_source)
            });
            Turn { source, world, read, round, took: now.elapsed() }
        }));
    }

    pub(super) fn end_turn(&mut self, turn: Result<Turn, JoinError>) {
        (self.turn, self.turn_began) = (None, None);
        let turn = match turn {
            Ok(turn) => turn,
            Err(error) => {
                // The source and what was known are lost with it; without them nothing can go on. systemd restarts.
                tracing::error!(%error, "a round ended in a defect of snapward; the agent ends");
                self.defect = true;
                self.commands.close();
                return;
            }
        };
        let now = Instant::now();
        let read = turn.read.as_ref().map(|read| match read {
            Ok(revision) => Ok(revision.id.clone()),
            Err(error) => Err(error.text.clone()),
        });
        if let Some(read) = turn.read {
            self.board.read(&read, turn.source.verification(), self.clock.now());
            self.source_read(read, now);
        }
        self.idle = Some((turn.source, turn.world));
        if let Some(round) = turn.round {
            self.counters.round_seconds += turn.took.as_secs_f64();
            let (calls, actions) = (round.plan.stats.libvirt_calls, round.plan.actions.len());
            self.end_round(round, now);
            tracing::debug!(calls, actions, millis = turn.took.as_millis(), "planned");
        }
        self.publish();
        if let Some(read) = read {
            self.supervisor.ready(&self.summary());
            self.answering.drain(..).for_each(|answer| drop(answer.send(read.clone())));
        }
        if !self.ready && self.plan.is_some() {
            self.ready = true;
            self.supervisor.ready(&self.summary());
        }
    }

    /// Takes over what the source gave, or keeps what is in use.
    fn source_read(&mut self, read: Result<Revision, SourceError>, now: Instant) {
        let next = match &read {
            Ok(_) => now + self.interval,
            Err(_) => self.source_backoff.failed(now).min(now + self.interval),
        };
        // A request that came while it was read is about what is there now.
        self.next_read = if self.reloads.is_empty() { next } else { now };
        match read {
            Ok(revision) => {
                if self.source_backoff.failures() > 0 {
                    tracing::info!(revision = revision.id, "what was read can be used again");
                }
                self.source_backoff = Backoff::default();
                self.counters.last_read = Some(self.clock.now());
                if self.revision.as_ref().is_none_or(|last| last.id != revision.id) {
                    tracing::info!(revision = revision.id, "following");
                    for warning in &revision.warnings {
                        tracing::warn!(revision = revision.id, warning);
                    }
                    self.chooser = Interests::new(&revision.desired).chooser();
                    self.revision = Some(Arc::new(revision));
                    // What runs or waits was planned for another revision, and this one may say stop; what failed may work.
                    self.interrupt();
                    self.pending.clear();
                    self.queue.forgive(now);
                }
            }
            Err(error) => {
                self.counters.source_errors += 1;
                let kept = self.revision.as_ref().map(|revision| revision.id.as_str());
                tracing::warn!(
                    error = error.text,
                    refused = error.id,
                    kept,
                    "what was read cannot be used; nothing is deleted for it"
                );
            }
        }
    }

    fn end_round(&mut self, round: Round, now: Instant) {
        self.counters.rounds += 1;
        self.counters.libvirt_calls = round.calls;
        self.counters.last_round = Some(self.clock.now());
        self.counters.plan = round.plan.summary;
        self.next_connect = round.retry;
        if self.planned.is_none() {
            // Everything was read just now.
            self.next_poll = now + self.settings.poll;
        }
        self.planned.clone_from(&self.revision);
        self.queue.retain(|key| round.domains.contains(key));
        self.deeds.retain(|key, _| round.domains.contains(key));
        self.due = next_due(&round.plan, round.at);
        self.follow_up = !round.unread.is_empty();
        round.unread.iter().for_each(|key| self.queue.want(key.clone(), now));
        // What is approved as a whole begins as a whole, once all of it was read.
        let waits = self.follow_up && self.approves(&round.plan);
        if !self.settings.observe && !waits {
            self.queue_jobs(&round, now);
            self.start_jobs(now);
        }
        self.writers.retain(|name, uri| round.infos.get(name).is_some_and(|(_, endpoint)| endpoint.uri == uri));
        let Round { plan, status, domains, hosts, infos, .. } = round;
        if let Some(revision) = &self.revision {
            self.board.round(hosts, status, &domains, &revision.id);
        }
        self.infos = infos.into_iter().map(|(name, (info, _))| (name, info)).collect();
        self.plan = Some(Arc::new(plan));
    }
}

/// When the clock next makes something due after the instant that was planned for: a capture, or the end of a slot or window.
/// What came due while the round ran is among it, and is planned for next. What has no instant of its own in the plan, as an
/// age that retention asks for, is found by the poll.
fn next_due(plan: &Plan, planned_for: Timestamp) -> Option<Timestamp> {
    let wakes = plan.domains.iter().filter_map(|domain| domain.wake);
    wakes.chain(plan.ends()).filter(|at| *at > planned_for).min()
}
