//! The agent: follows the manifests, keeps the schedules, heals drift, and says what it does.
//!
//! One loop decides; everything that blocks runs beside it. It is level-triggered: whatever woke it, a **round** reads what
//! may have changed and plans for all hosts at once, as `plan` does, so the breaker counts what it counts there, and the plan
//! has the same id. Then each domain that has something to do gets a **job**, never two at a time. What woke the loop is
//! forgotten, so a lost event costs time and nothing else.

mod clock;
mod hosts;
mod jobs;
pub mod metrics;
mod queue;
mod round;
pub mod server;
mod source;
mod status;
pub mod supervisor;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

pub use clock::Clock;
pub use hosts::{Hosts, Opened};
pub use source::{Directory, Loader, Revision, Source, SourceError, Verification};

use crate::apply::{Options, Progress, Stop};
use crate::model::agent::{AgentStatus, LastPass, Mode};
use crate::model::names::DomainUuid;
use crate::model::outcome::{DomainOutcome, DomainResult};
use crate::model::plan::{ActionKind, BlockCode, Plan, PlanSource};
use hosts::Ask;
use jobs::{Job, Writers};
use metrics::Counters;
use queue::{Backoff, FIRST_PAUSE, Queue};
use round::{Round, World};
use status::{Board, Work};
use supervisor::Supervisor;

/// A domain: its host's name and its UUID.
pub type Key = (String, DomainUuid);

/// Jobs of one host at a time: apply's own limit for the same reason, five requests of one client at once in libvirt.
const JOBS_PER_HOST: usize = 4;

/// A burst of changes is waited out for at most this many times the debounce.
const LONGEST_DEBOUNCE: u32 = 10;

/// The longest sleep: after a suspend of the machine, or a change of its clock, what became due is found within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How the agent runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often names and current pointers of all domains are compared.
    pub poll: Duration,
    /// How often everything is read again: a redefine changes what a snapshot says without a trace in its name.
    pub sweep: Duration,
    /// How long the source must be quiet after a change before it is read.
    pub debounce: Duration,
    /// Plan, and change nothing.
    pub observe: bool,
    /// Where the locks are.
    pub lock_dir: PathBuf,
}

/// What the agent is made of.
pub struct Parts {
    /// Where manifests come from.
    pub source: Box<dyn Source>,
    /// What the source tells of changes through.
    pub changed: Arc<Notify>,
    /// The hosts.
    pub hosts: Arc<dyn Hosts>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Told of each step of a job.
    pub progress: Arc<dyn Progress + Send + Sync>,
    /// Told how the agent is.
    pub supervisor: Box<dyn Supervisor>,
}

/// What others see of the agent.
#[derive(Debug, Clone)]
pub struct View {
    /// The status.
    pub status: Arc<AgentStatus>,
    /// The last plan; none before the first round has ended.
    pub plan: Option<Arc<Plan>>,
    /// What is counted.
    pub counters: Counters,
}

/// What can be asked of a running agent.
enum Command {
    /// Read the source now, and answer when the round that follows has ended.
    Reload(oneshot::Sender<Result<String, String>>),
    /// Look at a domain: something happened to it.
    Look(Key),
    /// End: finish what runs, begin nothing.
    Stop,
}

/// To talk to a running agent.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    view: watch::Receiver<View>,
    alive: watch::Receiver<Instant>,
}

impl Handle {
    /// Has the source read now, and waits for the round that follows.
    ///
    /// # Errors
    /// Why what was read cannot be used, or that the agent is ending.
    pub async fn reload(&self) -> Result<String, String> {
        let (answer, answered) = oneshot::channel();
        drop(self.commands.send(Command::Reload(answer)));
        answered.await.unwrap_or_else(|_| Err("the agent is ending".to_owned()))
    }

    /// Has a domain looked at soon.
    pub fn look(&self, key: Key) {
        drop(self.commands.send(Command::Look(key)));
    }

    /// Ends the agent: what runs is finished, nothing is begun.
    pub fn stop(&self) {
        drop(self.commands.send(Command::Stop));
    }

    /// The agent as it is now.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Waits for the next change of the view. False: the agent has ended.
    pub async fn changed(&mut self) -> bool {
        self.view.changed().await.is_ok()
    }

    /// How long ago the loop last came round.
    pub fn silent(&self) -> Duration {
        self.alive.borrow().elapsed()
    }
}

/// What a turn of the blocking half is given, and gives back.
struct Turn {
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
    dirty: BTreeSet<Key>,
}

impl Reasons {
    fn any(&self) -> bool {
        self.read || self.poll || self.sweep || self.timer || !self.dirty.is_empty()
    }
}

/// The agent.
pub struct Agent {
    settings: Settings,
    hosts: Arc<dyn Hosts>,
    clock: Arc<dyn Clock>,
    progress: Arc<dyn Progress + Send + Sync>,
    supervisor: Box<dyn Supervisor>,
    changed: Arc<Notify>,
    commands: mpsc::UnboundedReceiver<Command>,
    view: watch::Sender<View>,
    alive: watch::Sender<Instant>,

    /// The blocking half's, while it does not run.
    idle: Option<(Box<dyn Source>, World)>,
    turn: Option<JoinHandle<Turn>>,
    interval: Duration,
    paths: Vec<String>,
    revision: Option<Arc<Revision>>,
    /// The revision of the last round.
    planned: Option<Arc<Revision>>,

    queue: Queue<Key>,
    pending: VecDeque<Job>,
    jobs: JoinSet<(Key, DomainOutcome)>,
    /// What the last job of a domain did, when it ended well.
    deeds: BTreeMap<Key, Vec<(ActionKind, String)>>,
    writers: Arc<Writers>,
    stop: Stop,

    next_read: Instant,
    next_poll: Instant,
    next_sweep: Instant,
    /// When to connect again.
    next_connect: Option<Instant>,
    /// The end of a burst of changes: as things are, and at the latest.
    debounce: Option<(Instant, Instant)>,
    /// When the clock next makes something due.
    due: Option<Timestamp>,
    source_backoff: Backoff,
    reloads: Vec<oneshot::Sender<Result<String, String>>>,
    /// The requests that the reading under way answers.
    answering: Vec<oneshot::Sender<Result<String, String>>>,

    board: Board,
    counters: Counters,
    plan: Option<Arc<Plan>>,
    ready: bool,
    defect: bool,
}

/// A round ended in a defect of snapward, and with it what the agent knew was lost.
#[derive(Debug, thiserror::Error)]
#[error("a round ended in a defect of snapward; nothing was left half done, start the agent anew")]
pub struct Defect;

impl Agent {
    /// Makes an agent; [`Agent::run`] starts it.
    pub fn new(settings: Settings, parts: Parts) -> (Self, Handle) {
        let (sender, commands) = mpsc::unbounded_channel();
        let now = Instant::now();
        let mode = if settings.observe { Mode::Observe } else { Mode::Apply };
        let paths = parts.source.paths();
        let mut board = Board::new(parts.clock.now(), mode, paths.clone());
        let status = Arc::new(board.status(|_| Work::default(), true, parts.clock.now()));
        let (view, seen) = watch::channel(View { status, plan: None, counters: Counters::default() });
        let (alive, beats) = watch::channel(now);
        let handle = Handle { commands: sender, view: seen, alive: beats };
        let agent = Self {
            writers: Arc::new(Writers::new(Arc::clone(&parts.hosts))),
            hosts: parts.hosts,
            clock: parts.clock,
            progress: parts.progress,
            supervisor: parts.supervisor,
            changed: parts.changed,
            commands,
            view,
            alive,
            interval: parts.source.interval(),
            idle: Some((parts.source, World::default())),
            turn: None,
            paths,
            revision: None,
            planned: None,
            queue: Queue::default(),
            pending: VecDeque::new(),
            jobs: JoinSet::new(),
            deeds: BTreeMap::new(),
            stop: Stop::new(),
            next_read: now,
            next_poll: now,
            next_sweep: now + settings.sweep,
            next_connect: None,
            debounce: None,
            due: None,
            source_backoff: Backoff::default(),
            reloads: Vec::new(),
            answering: Vec::new(),
            board,
            counters: Counters::default(),
            plan: None,
            ready: false,
            defect: false,
            settings,
        };
        (agent, handle)
    }

    /// Runs until it is told to stop. What goes wrong with manifests, hosts and domains is in the status.
    ///
    /// # Errors
    /// When a defect of snapward ended it: it must be started anew.
    pub async fn run(mut self) -> Result<(), Defect> {
        loop {
            self.alive.send_replace(Instant::now());
            self.begin_turn();
            let wake = self.wake();
            // Each arm is cancel-safe: tokio documents so of `Notify::notified`, `recv`, `join_next`, `sleep_until` and of
            // a `JoinHandle` by reference.
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Reload(answer)) => self.reload(answer),
                    Some(Command::Look(key)) => self.queue.want(key, Instant::now()),
                    Some(Command::Stop) | None => break,
                },
                () = self.changed.notified() => self.source_changed(),
                Some(turn) = ended(&mut self.turn) => self.end_turn(turn),
                Some(job) = self.jobs.join_next() => self.end_job(job),
                () = sleep_until(wake) => {}
            }
            self.supervisor.alive();
        }
        self.wind_down().await;
        if self.defect { Err(Defect) } else { Ok(()) }
    }

    /// Finishes what runs.
    async fn wind_down(&mut self) {
        self.stop.request();
        self.pending.clear();
        self.supervisor.stopping();
        tracing::info!(running = self.jobs.len(), "ending: finishing the actions at hand, starting no more");
        while !self.jobs.is_empty() {
            let beat = Instant::now() + self.supervisor.beat().unwrap_or(LONGEST_SLEEP);
            tokio::select! {
                Some(job) = self.jobs.join_next() => self.end_job(job),
                () = sleep_until(beat) => {}
            }
            self.supervisor.alive();
        }
    }

    /// When there is something to do at the latest.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = now + LONGEST_SLEEP.min(self.supervisor.beat().unwrap_or(LONGEST_SLEEP));
        if self.turn.is_none() {
            let due = self.due.map(|due| now + until(self.clock.now(), due));
            let read = self.debounce.map_or(self.next_read, |(quiet, latest)| quiet.min(latest));
            let times =
                [Some(read), Some(self.next_poll), Some(self.next_sweep), self.next_connect, self.queue.next(), due];
            wake = times.into_iter().flatten().fold(wake, Instant::min);
        }
        wake
    }

    /// The source told of a change: it is read when it has been quiet for a while.
    fn source_changed(&mut self) {
        let now = Instant::now();
        let latest = self.debounce.map_or(now + self.settings.debounce * LONGEST_DEBOUNCE, |(_, latest)| latest);
        self.debounce = Some((now + self.settings.debounce, latest));
    }

    fn reload(&mut self, answer: oneshot::Sender<Result<String, String>>) {
        self.supervisor.reloading();
        self.reloads.push(answer);
        self.debounce = None;
        self.next_read = Instant::now();
    }

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
            dirty: self.queue.take_due(now),
        }
    }

    /// Begins a turn where none runs and something is to be done.
    fn begin_turn(&mut self) {
        if self.turn.is_some() {
            return;
        }
        let reasons = self.reasons();
        if !reasons.any() {
            return;
        }
        let Some((mut source, mut world)) = self.idle.take() else { return };
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
        let (hosts, clock) = (Arc::clone(&self.hosts), Arc::clone(&self.clock));
        let plan_source = PlanSource { paths: self.paths.clone(), at: None };
        self.turn = Some(tokio::task::spawn_blocking(move || {
            let read = reasons.read.then(|| source.read());
            let new = match &read {
                Some(Ok(revision)) if last.as_ref().is_none_or(|last| last.id != revision.id) => Some(revision),
                _ => None,
            };
            let current = new.or(last.as_deref());
            let only_read = !(reasons.poll || reasons.sweep || reasons.timer || !reasons.dirty.is_empty());
            let round = current.filter(|_| new.is_some() || !only_read).map(|revision| {
                let ask = Ask {
                    hosts: hosts.as_ref(),
                    desired: &revision.desired,
                    before: planned.as_ref().map(|revision| &revision.desired),
                    now,
                    poll: reasons.poll,
                    sweep: reasons.sweep,
                    dirty: &reasons.dirty,
                    busy: &busy,
                };
                world.round(&ask, clock.now(), &plan_source)
            });
            Turn { source, world, read, round, took: now.elapsed() }
        }));
    }

    fn end_turn(&mut self, turn: Result<Turn, tokio::task::JoinError>) {
        self.turn = None;
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
            self.end_round(round, now);
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
                self.source_backoff = Backoff::default();
                self.counters.last_read = Some(self.clock.now());
                if self.revision.as_ref().is_none_or(|last| last.id != revision.id) {
                    tracing::info!(revision = revision.id, "following");
                    for warning in &revision.warnings {
                        tracing::warn!(revision = revision.id, warning);
                    }
                    self.revision = Some(Arc::new(revision));
                    // What waits was planned for another revision, and what failed may work under this one.
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
        self.due = next_due(&round.plan, self.clock.now());
        if let Some(revision) = &self.revision {
            self.board.round(&round, &revision.id);
        }
        if !self.settings.observe {
            self.queue_jobs(&round, now);
            self.start_jobs(now);
        }
        self.plan = Some(Arc::new(round.plan));
    }

    /// Puts what is to be done in the place of what waited; what a person approved as a whole stays.
    fn queue_jobs(&mut self, round: &Round, now: Instant) {
        self.pending.retain(|job| job.approved);
        for domain in round.plan.domains.iter().filter(|domain| jobs::has_work(&round.plan, domain)) {
            let key = (domain.host.clone(), domain.uuid);
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
            if !job.plan.actions.is_empty() && self.deeds.get(&job.key) == Some(&job.deeds()) {
                tracing::error!(domain = domain.domain, "what was just done is to be done again; it waits");
                self.queue.failed(job.key, now);
                continue;
            }
            self.pending.push_back(job);
        }
    }

    /// Whether the manifests approve this plan as a whole.
    fn approves(&self, plan: &Plan) -> bool {
        let policies = self.revision.iter().flat_map(|revision| revision.desired.safety.values());
        policies.into_iter().any(|policy| policy.value.spec.approve.as_ref() == Some(&plan.plan_id))
            && plan.blocked.iter().all(|item| item.code != BlockCode::TooManyDeletes)
    }

    /// Starts jobs while there is room for them.
    fn start_jobs(&mut self, now: Instant) {
        let mut waiting = std::mem::take(&mut self.pending);
        while let Some(job) = waiting.pop_front() {
            let running = self.queue.running().filter(|(host, _)| *host == job.key.0).count();
            if running >= JOBS_PER_HOST || self.stop.is_requested() {
                self.pending.push_back(job);
                continue;
            }
            if !self.queue.is_free(&job.key, now) {
                continue;
            }
            self.queue.started(job.key.clone());
            self.deeds.insert(job.key.clone(), job.deeds());
            let (writers, progress, stop) = (Arc::clone(&self.writers), Arc::clone(&self.progress), self.stop.clone());
            let (lock_dir, clock) = (self.settings.lock_dir.clone(), Arc::clone(&self.clock));
            self.jobs.spawn_blocking(move || {
                let now = || clock.now();
                let options = Options { lock_dir, progress: progress.as_ref(), stop, clock: &now };
                let outcome = writers.run(&job, &options);
                (job.key, outcome)
            });
        }
        self.counters.running = self.jobs.len();
    }

    fn end_job(&mut self, ended: Result<(Key, DomainOutcome), tokio::task::JoinError>) {
        let now = Instant::now();
        match ended {
            Ok((key, outcome)) => {
                self.counters.pass(&outcome);
                let done = outcome.result == DomainResult::Done;
                let last =
                    LastPass { at: self.clock.now().to_string(), result: outcome.result, text: outcome.text.clone() };
                self.board.pass(key.clone(), last);
                if done {
                    self.queue.succeeded(key, now);
                } else {
                    tracing::warn!(host = outcome.host, domain = outcome.domain, result = ?outcome.result, text = outcome.text, "not done");
                    self.deeds.remove(&key);
                    self.queue.failed(key, now);
                }
            }
            // Which domain it was is lost with it; its lock is free, and the round reads it again.
            Err(error) => {
                tracing::error!(%error, "a job ended in a defect of snapward");
                self.next_sweep = now + FIRST_PAUSE;
            }
        }
        self.start_jobs(now);
        self.publish();
    }

    fn publish(&mut self) {
        let (instant, now) = (Instant::now(), self.clock.now());
        let (queue, pending) = (&self.queue, &self.pending);
        let work = |key: &Key| {
            let backoff = queue.backoff(key);
            Work {
                running: queue.is_running(key),
                pending: pending.iter().any(|job| job.key == *key),
                failures: backoff.failures(),
                retry_at: backoff.until(instant).and_then(|until| now.checked_add(until - instant).ok()),
            }
        };
        let status = Arc::new(self.board.status(work, !self.jobs.is_empty(), now));
        self.view.send_replace(View { status, plan: self.plan.clone(), counters: self.counters.clone() });
    }

    /// One line for systemd's status.
    fn summary(&self) -> String {
        let view = self.view.borrow();
        let ready = view
            .status
            .conditions
            .iter()
            .find(|condition| condition.kind == crate::model::status::ConditionKind::Ready);
        ready.map(|ready| ready.message.clone()).unwrap_or_default()
    }
}

/// Waits for a turn to end; for ever where none runs.
async fn ended(turn: &mut Option<JoinHandle<Turn>>) -> Option<Result<Turn, tokio::task::JoinError>> {
    match turn {
        Some(turn) => Some(turn.await),
        None => std::future::pending().await,
    }
}

/// How long until an instant; nothing where it is over.
fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

/// When the clock next makes something due: a capture, or the end of a slot or window. What has no instant of its own in
/// the plan, as an age that retention asks for, is found by the poll.
fn next_due(plan: &Plan, now: Timestamp) -> Option<Timestamp> {
    let captures = plan.domains.iter().filter_map(|domain| domain.next_due.as_ref());
    let times = captures.chain(&plan.good_until).filter_map(|text| text.parse().ok());
    times.filter(|at| *at > now).min()
}
