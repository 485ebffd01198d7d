//! The crash matrix: a process of its own is killed by SIGKILL at every point of a run, on the real driver. The next
//! process completes what it finds.
//!
//! - Gaps: between any two calls to libvirt, before the first and after the last one.
//! - Images: before every change of a lock or an image, snapward's own and those of libvirt's driver, which runs in the
//!   process too.
//! - Files: before every change of any file. These two come in the middle of a call, and libvirt is not always whole
//!   afterwards: then a person does what the plan says.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use snapward::apply::{self, Options, Stop};
use snapward::model::outcome::DomainResult;

use super::is_proof;
use super::worlds::{self, Ended, Site, World};
use crate::support::embed::EmbedRoot;
use crate::support::faulty::{Fault, Faulty};
use crate::support::gate::wait_until;
use crate::support::kill_at_write;
use crate::support::lab::{Lab, clock};

/// What a process of the matrix is asked to do, in its environment.
const JOB: &str = "SNAPWARD_CRASH_JOB";

/// One process: it completes what the one before it left, then begins a run of its own and dies in it.
#[derive(Serialize, Deserialize)]
struct Job {
    root: PathBuf,
    start: Timestamp,
    /// The domain in which a process was killed.
    check: Option<String>,
    /// The domain of the run that is to end early.
    next: Option<String>,
    /// Before which call or write it ends; none, and it comes to its end.
    kill: Option<usize>,
    points: Points,
}

/// Where a run can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Points {
    Gaps,
    Images,
    Files,
}

/// Of a stopped domain libvirt's own files too, in `make proof`.
fn writes_of_a_stopped_domain() -> Points {
    if is_proof() { Points::Files } else { Points::Images }
}

impl Job {
    /// The file in which a run that was not disturbed leaves its calls, and a check how it ended.
    fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn run(&self, world: &World) {
        let root = EmbedRoot::lent(&self.root);
        let lab = Lab::new(&root);
        let mends = self.points != Points::Gaps;
        let site = |domain: &String| Site { root: &root, lab: &lab, domain: domain.clone(), start: self.start, mends };
        if let Some(domain) = &self.check {
            let site = site(domain);
            site.settles();
            let ended = (world.check)(&site);
            site.clear();
            fs::write(self.file("ended"), serde_json::to_string(&ended).expect("plain data")).expect("written");
        }
        let Some(domain) = &self.next else { return };
        let site = site(domain);
        (world.prepare)(&site);
        let planned = world.plan(&site);
        let kill = self.kill.filter(|_| self.points == Points::Gaps);
        // After a call is before the next one: nothing of the run happens between them.
        let rule = move |number: usize, _: snapward::host::Operation<'_>| match kill {
            Some(0) if number == 0 => Some(Fault::KilledBefore),
            Some(gap) if gap == number + 1 => Some(Fault::KilledAfter),
            _ => None,
        };
        let (faulty, _hung) = Faulty::new(lab.host(), rule);
        let target = lab.target(faulty.clone());
        let options = Options { lock_dir: lab.lock_dir(), progress: &(), stop: Stop::new(), clock: &clock };
        if self.points != Points::Gaps {
            // Made anew, as by the first run of a machine.
            drop(fs::remove_dir_all(lab.lock_dir()));
            kill_at_write::begin();
        }
        let outcome = apply::apply(&planned.plan, &[target], &options);
        assert!(self.kill.is_none(), "it came to its end: {:?}", faulty.calls());
        assert!(outcome.domains.iter().all(|domain| domain.result == DomainResult::Done), "{outcome:#?}");
        if self.points == Points::Gaps {
            fs::write(self.file("points"), faulty.calls().join("\n")).expect("written");
        }
    }
}

impl Site<'_> {
    /// Waits until libvirt has found the guest again that it ran in another process: before that it answers wrongly.
    fn settles(&self) {
        let pid = self.root.path().join(format!("run/qemu/{}.pid", self.domain));
        if pid.exists() {
            let guest = crate::support::chain::Chain::known(self.root, &self.domain).guest;
            wait_until("libvirt to find its guest", || guest.is_active());
        }
    }
}

/// Starts a process for a job: this test binary, told to run the test that asks.
fn process(job: &Job) -> Output {
    let test = std::thread::current().name().expect("a test's thread has its name").to_owned();
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", &test, "--nocapture"]).env(JOB, serde_json::to_string(job).expect("plain data"));
    let below = match job.points {
        Points::Gaps => Vec::new(),
        Points::Images => vec![job.file("locks"), job.file("images")],
        Points::Files => vec![job.root.clone()],
    };
    if !below.is_empty() {
        kill_at_write::load(&mut command, job.kill, &below, &job.file("points"));
    }
    command.output().expect("it starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Kills a process at every point of a world's run, and has the next one complete it. Returns how the runs after them
/// ended.
fn every_point(world: &World, points: Points) -> Vec<Ended> {
    if let Ok(job) = std::env::var(JOB) {
        serde_json::from_str::<Job>(&job).expect("as it was written").run(world);
        return Vec::new();
    }
    let root = EmbedRoot::new();
    let start = clock().round(jiff::Unit::Hour).expect("an hour") + jiff::SignedDuration::from_hours(2);
    let job = |check: Option<String>, next: Option<&str>, kill| {
        let (check, next) = (check, next.map(str::to_owned));
        Job { root: root.path().to_owned(), start, check, next, kill, points }
    };
    let undisturbed = job(None, Some("vm"), None);
    let output = process(&undisturbed);
    assert!(output.status.success(), "undisturbed: {}", said(&output));
    let counted = fs::read_to_string(undisturbed.file("points")).expect("it noted its points");
    let counted: Vec<_> = counted.lines().collect();
    // Before each, and after the last call.
    let tries = counted.len() + usize::from(points == Points::Gaps);
    let place = |at: usize| {
        let point = |n: Option<usize>| n.and_then(|n| counted.get(n)).map_or("nothing", |point| point);
        format!("{}: killed at {at}, after {} and before {}", world.name, point(at.checked_sub(1)), point(Some(at)))
    };
    let ended = || {
        let ended = fs::read_to_string(undisturbed.file("ended")).expect("it noted how it ended");
        serde_json::from_str::<Ended>(&ended).expect("as it was written")
    };
    let (mut all, mut before) = (Vec::new(), "vm".to_owned());
    for at in 0..tries {
        let name = format!("vm{at}");
        let output = process(&job(Some(before), Some(&name), Some(at)));
        assert_eq!(output.status.signal(), Some(9), "before {}: {}", place(at), said(&output));
        all.push(ended());
        before = name;
    }
    let output = process(&job(Some(before), None, None));
    assert!(output.status.success(), "after {}: {}", place(tries - 1), said(&output));
    all.push(ended());
    // The first was not killed, and each process told of the one before it.
    assert_eq!(all.remove(0), Ended::Converged, "undisturbed");
    assert_eq!(all.len(), tries, "every point that was counted was tried");
    let converged = all.iter().filter(|ended| **ended == Ended::Converged).count();
    println!("{}: killed at {tries} points, {converged} converged", world.name);
    all
}

/// Kills it in every gap, after which nothing needs a person.
fn every_gap(world: &World) {
    assert!(every_point(world, Points::Gaps).iter().all(|ended| *ended == Ended::Converged));
}

#[test]
fn declared_snapshots_of_a_stopped_domain() {
    every_gap(&worlds::DECLARED);
}

#[test]
fn a_series_of_a_running_domain() {
    every_gap(&worlds::SERIES);
}

#[test]
fn external_snapshots_of_a_running_domain() {
    every_gap(&worlds::EXTERNAL);
}

/// A revert is done once, or is for a person.
#[test]
fn a_revert_with_a_guard() {
    let ended = every_point(&worlds::REVERT, Points::Gaps);
    assert!(ended.is_empty() || ended.contains(&Ended::Blocked(vec!["OutcomeUnknown e1".to_owned()])), "{ended:?}");
}

#[test]
fn declared_snapshots_of_a_stopped_domain_at_every_write() {
    every_point(&worlds::DECLARED, writes_of_a_stopped_domain());
}

#[test]
fn a_series_of_a_running_domain_at_every_write() {
    every_point(&worlds::SERIES, Points::Images);
}

#[test]
fn external_snapshots_of_a_running_domain_at_every_write() {
    every_point(&worlds::EXTERNAL, Points::Images);
}

#[test]
fn a_revert_with_a_guard_at_every_write() {
    every_point(&worlds::REVERT, writes_of_a_stopped_domain());
}
