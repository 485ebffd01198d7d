//! From a plan to jobs: which domains get one, when it starts, and what its end means for the next.

use std::sync::Arc;

use tokio::task::{Id, JoinError};
use tokio::time::Instant;

use super::events::SETTLE;
use super::jobs::{self, Job};
use super::round::Round;
use super::{Agent, JOBS_PER_HOST, Key, retry_at};
use crate::apply::{Options, Stop};
use crate::model::agent::LastPass;
use crate::model::outcome::{ActionResult, DomainOutcome, DomainResult};
use crate::model::plan::{BlockCode, Plan};

impl Agent {
    /// Puts what is to be done in the place of what waited; what a person approved as a whole stays, and what is to be done
    /// just the same.
    pub(super) fn queue_jobs(&mut self, round: &Round, now: Instant) {
        for job in std::mem::take(&mut self.pending) {
            match job.approved || job.stands(&round.plan) {
                true => self.pending.push_back(job.renewed(&round.plan)),
                false => self.queue.want(job.key, now),
            }
        }
        for domain in &round.plan.domains {
            let key = (domain.host.clone(), domain.uuid);
            if self.worked_on.contains(&key) {
                // It is looked at again once the events of its job have settled.
                continue;
            }
            if !jobs::has_work(&round.plan, domain) {
                if round.fresh.contains(&key) && !self.queue.is_running(&key) {
                    self.queue.settled(&key);
                    self.deeds.remove(&key);
                }
                continue;
            }
            let waits = self.pending.iter().any(|job| job.key == key);
            let Some((info, endpoint)) = round.infos.get(&domain.host).filter(|_| round.fresh.contains(&key) && !waits)
            else {
                continue;
            };
            if !self.queue.is_free(&key, now) {
                continue;
            }
            let job = Job {
                plan: jobs::part(&round.plan, domain),
                info: info.clone(),
                endpoint: endpoint.clone(),
                approved: self.approves(&round.plan),
                key,
            };
            if self.deeds.get(&job.key) == Some(&job.deeds()) {
                tracing::error!(domain = domain.domain, "what was just done is to be done again; it waits");
                self.deeds.remove(&job.key);
                self.queue.failed(job.key, now);
                continue;
            }
            self.pending.push_back(job);
        }
    }

    /// Whether the manifests approve this plan as a whole.
    pub(super) fn approves(&self, plan: &Plan) -> bool {
        let policies = self.revision.iter().flat_map(|revision| revision.desired.safety.values());
        policies.into_iter().any(|policy| policy.value.spec.approve.as_ref() == Some(&plan.plan_id))
            && plan.blocked.iter().all(|item| item.code != BlockCode::TooManyDeletes)
    }

    /// Starts jobs while there is room for them.
    pub(super) fn start_jobs(&mut self, now: Instant) {
        let mut waiting = std::mem::take(&mut self.pending);
        while let Some(job) = waiting.pop_front() {
            let running = self.queue.running().filter(|(host, _)| *host == job.key.0).count();
            if running >= JOBS_PER_HOST {
                self.pending.push_back(job);
                continue;
            }
            if !self.queue.is_free(&job.key, now) {
                continue;
            }
            if job.is_over(self.clock.now()) {
                self.queue.want(job.key, now);
                continue;
            }
            self.queue.started(job.key.clone());
            self.deeds.insert(job.key.clone(), job.deeds());
            let (writers, progress, stop) = (Arc::clone(&self.writers), Arc::clone(&self.progress), Stop::new());
            let (lock_dir, clock) = (self.settings.lock_dir.clone(), Arc::clone(&self.clock));
            let owner = (job.key.clone(), stop.clone());
            let started = self.jobs.spawn_blocking(move || {
                let now = || clock.now();
                let options = Options { lock_dir, progress: progress.as_ref(), stop, clock: &now };
                let outcome = writers.run(&job, &options);
                (job.key, outcome)
            });
            self.owners.insert(started.id(), owner);
        }
        self.counters.running = self.jobs.len();
    }

    /// Has each job that runs end after the action at hand.
    pub(super) fn interrupt(&self) {
        self.owners.values().for_each(|(_, stop)| stop.request());
    }

    pub(super) fn end_job(&mut self, ended: Result<(Id, (Key, DomainOutcome)), JoinError>) {
        let now = Instant::now();
        match ended {
            Ok((id, (key, outcome))) => {
                self.owners.remove(&id);
                self.worked_on.insert(key.clone());
                self.counters.pass(&outcome);
                let mut text = told(&outcome);
                match outcome.result {
                    // What a closed window holds back waits for the next one, and no pause is owed.
                    DomainResult::Done | DomainResult::WindowClosed => self.queue.ended(key.clone(), now + SETTLE),
                    // It was told to: what is left to do is planned anew.
                    DomainResult::Interrupted => {
                        tracing::info!(host = outcome.host, domain = outcome.domain, "ended early");
                        self.deeds.remove(&key);
                        self.queue.ended(key.clone(), now + SETTLE);
                    }
                    DomainResult::Failed | DomainResult::Stale | DomainResult::Locked => {
                        self.deeds.remove(&key);
                        self.queue.failed(key.clone(), now);
                        if let Some(at) = retry_at(self.queue.backoff(&key), now, self.clock.now()) {
                            text = format!("{text}; the agent plans it again at {at}");
                        }
                        tracing::warn!(host = outcome.host, domain = outcome.domain, result = ?outcome.result, text, "not done");
                    }
                }
                self.board.pass(key, LastPass { at: self.clock.now().to_string(), result: outcome.result, text });
            }
            Err(error) => {
                tracing::error!(%error, "a job ended in a defect of snapward; its domain is read and tried again");
                if let Some((key, _)) = self.owners.remove(&error.id()) {
                    self.deeds.remove(&key);
                    self.queue.failed(key, now);
                }
            }
        }
        self.start_jobs(now);
        self.publish();
    }
}

/// What became of a pass: where an action failed, its own words.
fn told(outcome: &DomainOutcome) -> String {
    let failed = outcome.actions.iter().find(|action| action.result == ActionResult::Failed);
    failed.map_or_else(|| outcome.text.clone(), |action| format!("{} ({})", action.text, outcome.text))
}
