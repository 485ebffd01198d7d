//! The agent: follows the manifests, keeps the schedules, heals drift, and says what it does.
//!
//! One loop decides; everything that blocks runs beside it. It is level-triggered: whatever woke it, a **round** reads what
//! may have changed and plans for all hosts at once, as `plan` does, so the breaker counts what it counts there, and the plan
//! has the same id. Then each domain that has something to do gets a **job**, never two at a time. What woke the loop is
//! forgotten, so a lost event costs time and nothing else.

mod clock;
mod events;
mod hosts;
mod jobs;
pub mod metrics;
mod queue;
mod round;
pub mod server;
mod source;
mod status;
pub mod supervisor;
mod turns;
mod work;

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
pub use source::{Directory, Git, Loader, Remote, Revision, Source, SourceError, Verification};

use crate::apply::{Progress, Stop};
use crate::host::Event;
use crate::model::agent::{AgentStatus, Mode};
use crate::model::names::DomainUuid;
use crate::model::observed::HostInfo;
use crate::model::outcome::DomainOutcome;
use crate::model::plan::Plan;
use crate::model::selector::Chooser;
use crate::model::status::ConditionKind;
use events::Events;
use jobs::{Deeds, Job, Writers};
use metrics::Counters;
use queue::{Backoff, Queue};
use round::World;
use status::{Board, Work};
use supervisor::Supervisor;
use turns::Turn;

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
    /// End: finish what runs, begin nothing.
    Stop,
}

/// To talk to a running agent.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    view: watch::Receiver<View>,
    pulse: watch::Receiver<Pulse>,
}

/// A sign of life of the loop.
#[derive(Debug, Clone, Copy)]
struct Pulse {
    at: Instant,
    /// When the round that runs began.
    round: Option<Instant>,
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
        self.pulse.borrow().at.elapsed()
    }

    /// How long the round that runs has been running.
    pub fn round(&self) -> Option<Duration> {
        self.pulse.borrow().round.map(|began| began.elapsed())
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
    /// What hosts tell: the way in and the way out.
    events: Events,
    told: mpsc::UnboundedReceiver<(String, Event)>,
    view: watch::Sender<View>,
    pulse: watch::Sender<Pulse>,

    /// The blocking half's, while it does not run.
    idle: Option<(Box<dyn Source>, World)>,
    turn: Option<JoinHandle<Turn>>,
    /// When the turn that runs began.
    turn_began: Option<Instant>,
    interval: Duration,
    paths: Vec<String>,
    revision: Option<Arc<Revision>>,
    /// The revision of the last round.
    planned: Option<Arc<Revision>>,
    /// What the revision selects, and the hosts of the last round: an event about anything else is nobody's business.
    chooser: Chooser,
    infos: BTreeMap<String, HostInfo>,

    queue: Queue<Key>,
    pending: VecDeque<Job>,
    jobs: JoinSet<(Key, DomainOutcome)>,
    /// Whose each job is, as one that ends in a defect cannot say, and what ends it early.
    owners: BTreeMap<tokio::task::Id, (Key, Stop)>,
    /// What the last job of a domain did, when it ended well.
    deeds: BTreeMap<Key, Deeds>,
    /// Whose jobs ended since the round that runs began to read: what it read of them can be older than what they did.
    worked_on: BTreeSet<Key>,
    writers: Arc<Writers>,

    next_read: Instant,
    next_poll: Instant,
    next_sweep: Instant,
    /// A connection was lost since the last round.
    closed: bool,
    /// The last round left domains to be read before anything is done in them.
    follow_up: bool,
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
        let (pulse, beats) = watch::channel(Pulse { at: now, round: None });
        let (events, told) = Events::new();
        let handle = Handle { commands: sender, view: seen, pulse: beats };
        let agent = Self {
            writers: Arc::new(Writers::new(Arc::clone(&parts.hosts))),
            hosts: parts.hosts,
            clock: parts.clock,
            progress: parts.progress,
            supervisor: parts.supervisor,
            changed: parts.changed,
            commands,
            events,
            told,
            view,
            pulse,
            interval: parts.source.interval(),
            idle: Some((parts.source, World::default())),
            turn: None,
            turn_began: None,
            paths,
            revision: None,
            planned: None,
            chooser: Chooser::default(),
            infos: BTreeMap::new(),
            queue: Queue::default(),
            pending: VecDeque::new(),
            jobs: JoinSet::new(),
            owners: BTreeMap::new(),
            deeds: BTreeMap::new(),
            worked_on: BTreeSet::new(),
            next_read: now,
            next_poll: now,
            next_sweep: now + settings.sweep,
            closed: false,
            follow_up: false,
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
            self.begin_turn();
            self.beat();
            let wake = self.wake();
            // Each arm is cancel-safe: tokio documents so of `Notify::notified`, `recv`, `join_next`, `sleep_until` and of
            // a `JoinHandle` by reference.
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Reload(answer)) => self.reload(answer),
                    Some(Command::Stop) | None => break,
                },
                () = self.changed.notified() => self.source_changed(),
                Some((host, event)) = self.told.recv() => self.event(host, event),
                Some(turn) = ended(&mut self.turn) => self.end_turn(turn),
                Some(job) = self.jobs.join_next_with_id() => self.end_job(job),
                () = sleep_until(wake) => {}
            }
            self.supervisor.alive();
        }
        self.wind_down().await;
        if self.defect { Err(Defect) } else { Ok(()) }
    }

    /// Finishes what runs.
    async fn wind_down(&mut self) {
        self.interrupt();
        self.pending.clear();
        // Nobody listens from here on: who asked, or asks now, is told so at once, and what hosts tell does not pile up.
        self.commands.close();
        self.told.close();
        while self.commands.try_recv().is_ok() {}
        while self.told.try_recv().is_ok() {}
        self.reloads.clear();
        self.answering.clear();
        // Nor does anybody wait for the round that may run.
        self.turn_began = None;
        self.supervisor.stopping();
        tracing::info!(running = self.jobs.len(), "ending: finishing the actions at hand, starting no more");
        // Its last sign of life may be almost as old as it may be.
        self.supervisor.alive();
        while !self.jobs.is_empty() {
            let beat = Instant::now() + self.supervisor.beat().unwrap_or(LONGEST_SLEEP);
            tokio::select! {
                Some(job) = self.jobs.join_next_with_id() => self.end_job(job),
                () = sleep_until(beat) => {}
            }
            self.beat();
            self.supervisor.alive();
        }
    }

    fn beat(&self) {
        self.pulse.send_replace(Pulse { at: Instant::now(), round: self.turn_began });
    }

    /// When there is something to do at the latest.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = now + LONGEST_SLEEP.min(self.supervisor.beat().unwrap_or(LONGEST_SLEEP));
        if self.turn.is_none() {
            let due = self.due.map(|due| now + until(self.clock.now(), due));
            let read = self.debounce.map_or(self.next_read, |(quiet, latest)| quiet.min(latest));
            if self.revision.is_none() {
                // Nothing else is a reason yet, so nothing else may wake it.
                return wake.min(read);
            }
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

    fn publish(&mut self) {
        #[cfg(test)]
        {
            self.counters.kept =
                self.queue.len() + self.pending.len() + self.deeds.len() + self.owners.len() + self.board.len();
        }
        let (instant, now) = (Instant::now(), self.clock.now());
        let (queue, pending) = (&self.queue, &self.pending);
        let work = |key: &Key| Work {
            running: queue.is_running(key),
            pending: pending.iter().any(|job| job.key == *key),
            failures: queue.backoff(key).failures(),
            retry_at: retry_at(queue.backoff(key), instant, now),
        };
        let status = Arc::new(self.board.status(work, !self.jobs.is_empty(), now));
        self.view.send_replace(View { status, plan: self.plan.clone(), counters: self.counters.clone() });
    }

    /// One line for systemd's status.
    fn summary(&self) -> String {
        let view = self.view.borrow();
        let ready = view.status.conditions.iter().find(|condition| condition.kind == ConditionKind::Ready);
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

/// The end of a pause as the time of day, in whole seconds, as people read it.
fn retry_at(backoff: Backoff, instant: Instant, now: Timestamp) -> Option<Timestamp> {
    let pause = backoff.until(instant)? - instant;
    now.checked_add(pause).ok()?.round(jiff::Unit::Second).ok()
}

/// How long until an instant; nothing where it is over.
fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}
