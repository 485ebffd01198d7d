//! The loop on a host in memory and on paused time: what it does when, and what it leaves alone.

mod calendar;
mod clock;
mod events;
mod faults;
mod model;
mod pauses;
mod timing;
mod work;
mod writers;

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::supervisor::Supervisor;
use super::{Agent, Clock, Defect, Handle, Parts, Revision, Settings, Source, SourceError, Verification, View};
use crate::manifest;
use crate::model::agent::AgentCondition;
use crate::model::status::ConditionKind;
use clock::SimClock;
use model::{Model, ModelHosts};

/// What the source of a test says next.
type Said = Arc<Mutex<Result<Revision, SourceError>>>;

/// Where a reading waits until the test drops the other end.
type Hang = Arc<Mutex<Option<Receiver<()>>>>;

/// Waits where the test says so.
fn hang_at(hang: &Mutex<Option<Receiver<()>>>) {
    let until = hang.lock().expect("whole").take();
    if let Some(until) = until {
        assert!(until.recv().is_err(), "nothing is ever sent");
    }
}

struct Script {
    said: Said,
    hang: Hang,
    reads: Arc<Mutex<Vec<jiff::Timestamp>>>,
    clock: Arc<SimClock>,
}

impl Source for Script {
    fn paths(&self) -> Vec<String> {
        vec!["script".to_owned()]
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn read(&mut self) -> Result<Revision, SourceError> {
        self.reads.lock().expect("whole").push(Clock::now(&self.clock));
        hang_at(&self.hang);
        self.said.lock().expect("whole").clone()
    }

    fn verification(&self) -> Verification {
        Verification { verified: false, reason: "NotSigned", message: "a script".to_owned() }
    }
}

/// A manifest as a revision of that name.
fn revision(id: &str, yaml: &str) -> Result<Revision, SourceError> {
    let loaded = manifest::load(&[manifest::Source { name: Arc::from("lab.yaml"), text: yaml.as_bytes().to_vec() }]);
    let errors: Vec<_> = loaded.diagnostics.iter().filter(|d| d.is_error()).map(|d| &d.message).collect();
    assert!(errors.is_empty(), "{errors:?} in\n{yaml}");
    Ok(Revision { id: id.to_owned(), desired: loaded.desired, warnings: Vec::new() })
}

/// A set `default/lab` for all domains, its spec indented by two.
fn set(spec: &str) -> String {
    format!(
        "apiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {{name: lab}}\nspec:\n  domains: {{include: ['vm*']}}\n{spec}\n"
    )
}

/// A declared snapshot.
fn golden() -> String {
    set("  snapshots:\n    - {name: golden, capture: {content: full, location: internal}}")
}

/// An hourly series with more fields, each on a line.
fn hourly(fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("\n      {field}")).collect();
    set(&format!(
        "  series:\n    - name: hourly\n      schedule: {{cron: '0 * * * *', timeZone: UTC}}\n      capture: {{content: full, \
         location: internal}}{fields}"
    ))
}

/// An agent at work.
struct Lab {
    model: Arc<Model>,
    clock: Arc<SimClock>,
    handle: Handle,
    said: Said,
    /// The next reading of the source waits here.
    hang: Hang,
    reads: Arc<Mutex<Vec<jiff::Timestamp>>>,
    changed: Arc<Notify>,
    running: JoinHandle<Result<(), Defect>>,
    _locks: tempfile::TempDir,
}

impl Lab {
    fn start(domains: &[&str], yaml: &str) -> Self {
        Self::start_with(domains, yaml, |_| {})
    }

    fn start_with(domains: &[&str], yaml: &str, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_under(Box::new(()), domains, yaml, change)
    }

    fn start_under(
        supervisor: Box<dyn Supervisor>,
        domains: &[&str],
        yaml: &str,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::assemble(supervisor, &["qemu:///model"], domains, yaml, change, |agent| tokio::spawn(agent.run()))
    }

    /// An agent that the test drives by itself, step by step.
    fn by_hand(domains: &[&str], yaml: &str) -> (Agent, Self) {
        let mut kept = None;
        let lab = Self::assemble(
            Box::new(()),
            &["qemu:///model"],
            domains,
            yaml,
            |_| {},
            |agent| {
                kept = Some(agent);
                tokio::spawn(async { Ok(()) })
            },
        );
        (kept.expect("assembled"), lab)
    }

    /// The model stands at each of the URIs.
    fn assemble(
        supervisor: Box<dyn Supervisor>,
        uris: &[&str],
        domains: &[&str],
        yaml: &str,
        change: impl FnOnce(&mut Settings),
        run: impl FnOnce(Agent) -> JoinHandle<Result<(), Defect>>,
    ) -> Self {
        let clock = SimClock::new();
        let model = Model::new(Arc::clone(&clock), domains);
        let said: Said = Arc::new(Mutex::new(revision("first", yaml)));
        let (reads, changed, hang) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()), Hang::default());
        let locks = tempfile::tempdir().expect("a folder");
        let mut settings = Settings {
            poll: Duration::from_secs(60),
            sweep: Duration::from_secs(3600),
            debounce: Duration::from_millis(200),
            observe: false,
            lock_dir: locks.path().join("locks"),
        };
        change(&mut settings);
        let script = Script {
            said: Arc::clone(&said),
            hang: Arc::clone(&hang),
            reads: Arc::clone(&reads),
            clock: Arc::clone(&clock),
        };
        let parts = Parts {
            source: Box::new(script),
            changed: Arc::clone(&changed),
            hosts: Arc::new(ModelHosts::new(&model, uris)),
            clock: Arc::new(Arc::clone(&clock)),
            progress: Arc::new(()),
            supervisor,
        };
        let (agent, handle) = Agent::new(settings, parts);
        let running = run(agent);
        Self { model, clock, handle, said, hang, reads, changed, running, _locks: locks }
    }

    fn now(&self) -> jiff::Timestamp {
        Clock::now(&self.clock)
    }

    /// The source says something else from now on, and tells of it.
    fn say(&self, said: Result<Revision, SourceError>) {
        *self.said.lock().expect("whole") = said;
        self.changed.notify_one();
    }

    /// Waits for a view; a day is enough for anything.
    async fn until(&mut self, what: &str, holds: impl Fn(&View) -> bool) -> View {
        let waited = timeout(Duration::from_secs(86_400), async {
            loop {
                let view = self.handle.view();
                if holds(&view) {
                    return view;
                }
                assert!(self.handle.changed().await, "the agent ended");
            }
        });
        match waited.await {
            Ok(view) => view,
            Err(_) => panic!("never {what}: {:#?}", self.handle.view().status),
        }
    }

    async fn ready(&mut self) -> View {
        self.until("Ready", |view| view.status.is_ready()).await
    }

    /// Waits until it is Ready, and has had its look after the last job.
    async fn settled(&mut self) {
        self.ready().await;
        sleep(Duration::from_secs(1)).await;
    }

    /// The creations and deletions so far.
    fn writes(&self) -> Vec<String> {
        self.model.writes().into_iter().map(|write| write.what).collect()
    }

    async fn stop(self) {
        self.handle.stop();
        self.running.await.expect("no panic").expect("no defect");
    }
}

/// A condition.
#[track_caller]
fn condition(conditions: &[AgentCondition], kind: ConditionKind) -> &AgentCondition {
    conditions.iter().find(|condition| condition.kind == kind).expect("each is there")
}

#[tokio::test(start_paused = true)]
async fn it_makes_what_is_declared_and_then_makes_exactly_the_calls_of_a_poll() {
    let mut lab = Lab::start(&["vm1", "vm2", "vm3", "other"], &golden());
    let view = lab.ready().await;
    assert_eq!(view.status.domains.len(), 3);
    assert_eq!(view.status.source.revision.as_deref(), Some("first"));
    assert_eq!(lab.model.snapshots("vm2"), ["golden"]);
    assert!(lab.model.snapshots("other").is_empty());
    let ready = condition(&view.status.domains[0].conditions, ConditionKind::Ready);
    assert_eq!((ready.status, ready.revision.as_deref()), (true, Some("first")));

    sleep(Duration::from_secs(1)).await;
    let (before, rounds) = (lab.model.calls(), lab.handle.view().counters.rounds);
    sleep(Duration::from_secs(600)).await;
    let after = lab.model.calls();
    let spent = |method: &str| after.get(method).unwrap_or(&0) - before.get(method).unwrap_or(&0);
    assert_eq!(lab.handle.view().counters.rounds - rounds, 10, "one poll a minute and nothing else");
    assert_eq!((spent("domains"), spent("names"), spent("current")), (10, 30, 30));
    let all = |calls: &std::collections::BTreeMap<&str, u64>| calls.values().sum::<u64>();
    assert_eq!(all(&after) - all(&before), 10 * (1 + 2 * 3), "1 + 2·D");
    assert_eq!(lab.writes().len(), 3, "nothing is done twice");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_domains_at_once_are_read_a_few_times_each_and_not_for_each_other() {
    let names: Vec<String> = (0..40).map(|n| format!("vm{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut lab = Lab::start(&names, &hourly(&[]));
    lab.settled().await;
    let before = lab.model.calls();
    sleep(Duration::from_secs(3600)).await;
    lab.ready().await;
    assert_eq!(lab.writes().len(), 2 * 40);
    let (read, polls) = (lab.model.calls()["definition"] - before["definition"], 60);
    assert!(lab.handle.view().counters.rounds >= polls);
    assert!(read <= 3 * 40, "before its job, and after it: {read}");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_asks_for_no_new_look_is_planned_from_memory() {
    let mut lab = Lab::start(&["vm1", "vm2"], &golden());
    lab.settled().await;
    let before = lab.model.calls();
    lab.say(revision("second", &format!("{}\n    - {{name: golden2, state: absent}}\n", golden().trim_end())));
    lab.until("followed", |view| view.status.source.revision.as_deref() == Some("second")).await;
    let spent: u64 = lab.model.calls().values().sum::<u64>() - before.values().sum::<u64>();
    assert_eq!(spent, 1, "the list of domains");
    // Where there is something to do, the plan is there before the domains are read for it.
    lab.model.hold(Some("vm1"));
    lab.say(revision("third", &golden().replace("name: golden,", "name: golden, description: new,")));
    let view = lab.until("planned", |view| view.plan.as_ref().is_some_and(|plan| plan.summary.redefine == 2)).await;
    assert_eq!(view.status.source.revision.as_deref(), Some("third"));
    lab.model.hold(None);
    lab.ready().await;
    assert_eq!(lab.model.description("vm2", "golden"), "new");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn drift_is_found_by_the_next_poll() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.ready().await;
    // A poll that finds nothing comes first.
    sleep(Duration::from_secs(60)).await;
    let before = lab.model.remove("vm1", "golden");
    let start = lab.now();
    let view = lab.until("blocked", |view| !view.status.domains[0].blocked.is_empty()).await;
    assert!(lab.now().duration_since(start) <= jiff::SignedDuration::from_secs(60));
    assert_eq!(format!("{:?}", view.status.domains[0].blocked[0].code), "Missing");
    assert!(!view.status.is_ready());
    assert_eq!(lab.writes().len(), 1, "what was made once is not made again by itself");
    // What is told then is what was told before the drift.
    lab.model.put_back("vm1", before);
    let start = lab.now();
    lab.ready().await;
    assert!(lab.now().duration_since(start) <= jiff::SignedDuration::from_secs(60));
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_observer_changes_nothing() {
    let mut lab = Lab::start_with(&["vm1"], &golden(), |settings| settings.observe = true);
    let view = lab.until("a plan", |view| view.plan.is_some()).await;
    assert_eq!(view.plan.expect("a plan").summary.create, 1);
    sleep(Duration::from_secs(7200)).await;
    assert!(lab.writes().is_empty());
    assert!(!lab.handle.view().status.is_ready());
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_change_keeps_the_last_good_revision_and_deletes_nothing() {
    let series = hourly(&["prune: true", "retention: {spec: {keep: {last: 2}}}"]);
    let mut lab = Lab::start(&["vm1"], &series);
    lab.ready().await;
    let broken = SourceError { id: Some("broken".to_owned()), text: "1 error: a misspelt key".to_owned() };
    lab.say(Err(broken));
    let view = lab.until("refused", |view| view.status.source.error.is_some()).await;
    assert_eq!(view.status.source.revision.as_deref(), Some("first"));
    assert_eq!(view.status.source.attempted.as_deref(), Some("broken"));
    assert_eq!(condition(&view.status.conditions, ConditionKind::Stalled).reason, "SourceRefused");
    assert_eq!(lab.writes().len(), 1);
    // The last good revision goes on: its slots are taken.
    sleep(Duration::from_secs(3 * 3600)).await;
    assert_eq!(lab.writes().iter().filter(|what| what.starts_with("create")).count(), 4);
    // A set that is gone takes none of its snapshots along.
    let there = lab.model.snapshots("vm1");
    lab.say(revision("second", &golden().replace("name: lab", "name: another")));
    lab.until("the second", |view| view.status.source.revision.as_deref() == Some("second")).await;
    sleep(Duration::from_secs(3600)).await;
    assert!(there.iter().all(|name| lab.model.snapshots("vm1").contains(name)));
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn deletions_over_the_breaker_wait_until_the_manifests_approve_their_plan() {
    let policy = |approve: &str| {
        format!(
            "---\napiVersion: snapward/v1\nkind: SafetyPolicy\nmetadata: {{name: careful}}\nspec:\n  maxDeletes: {{perDomain: 1, \
             percent: 100}}\n{approve}"
        )
    };
    let keep = |n: usize| {
        let fields = ["prune: true", &format!("retention: {{spec: {{keep: {{last: {n}}}}}}}")];
        format!("{}\n  safety: {{policyRef: careful}}\n", hourly(&fields).trim_end())
    };
    let mut lab = Lab::start(&["vm1", "vm2"], &format!("{}{}", keep(9), policy("")));
    sleep(Duration::from_secs(4 * 3600)).await;
    assert_eq!(lab.model.snapshots("vm1").len(), 5);
    lab.say(revision("fewer", &format!("{}{}", keep(2), policy(""))));
    let view = lab.until("held back", |view| view.plan.as_ref().is_some_and(|plan| plan.held_back.len() == 6)).await;
    assert_eq!(lab.model.snapshots("vm1").len(), 5);
    let id = view.plan.expect("a plan").plan_id.clone();
    lab.say(revision("other", &format!("{}{}", keep(2), policy("  approve: 00000000000000000000000000000000\n"))));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(lab.model.snapshots("vm1").len(), 5, "another plan was approved");
    lab.say(revision("approved", &format!("{}{}", keep(2), policy(&format!("  approve: {id}\n")))));
    sleep(Duration::from_secs(30)).await;
    assert_eq!((lab.model.snapshots("vm1").len(), lab.model.snapshots("vm2").len()), (2, 2), "all of it is done");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_the_action_at_hand_and_starts_none() {
    let two = set(
        "  snapshots:\n    - {name: a, capture: {content: full, location: internal}}\n    - {name: b, capture: {content: full, \
         location: internal}}",
    );
    let mut lab = Lab::start_with(&["vm1"], &two, |_| {});
    lab.model.hold(Some("vm1"));
    lab.until("running", |view| view.counters.running == 1).await;
    while lab.model.held() == 0 {
        tokio::task::yield_now().await;
    }
    lab.handle.stop();
    while lab.handle.view().counters.running == 1 && !lab.running.is_finished() && lab.model.held() == 1 {
        tokio::task::yield_now().await;
        lab.model.hold(None);
    }
    let model = Arc::clone(&lab.model);
    lab.stop().await;
    assert_eq!(model.snapshots("vm1"), ["a"]);
}
