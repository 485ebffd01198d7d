//! Two hands at once for many rounds, on a daemon that all of them see: two snapward processes, one that is killed, and
//! virsh. No update is lost, nothing is done twice, no content is lost, and no lock outlives its holder.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use super::is_proof;
use crate::support::cmd::{Ran, ended, signal, snapward_by};
use crate::support::daemon::PrivateDaemon;
use crate::support::gate::wait_until;
use crate::support::lab::{set, snapshot};
use crate::support::tools::{self, qemu_img_snapshots, text};

/// How many rounds each test makes.
fn rounds() -> u32 {
    if is_proof() { 2000 } else { 40 }
}

/// Numbers that look like chance and are the same in each run (a linear congruential generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A stopped guest `vm` on a daemon, and what its disk held when each of its snapshots was captured.
struct Ring {
    daemon: PrivateDaemon,
    /// What the first page of the disk is filled with.
    pattern: u8,
    captured: BTreeMap<String, u8>,
}

impl Ring {
    fn new() -> Self {
        let daemon = PrivateDaemon::start();
        let disk = daemon.images().join("vm-vda.qcow2");
        tools::create_image(&disk, "qcow2", "8M");
        daemon.hand_over(&disk);
        let ring = Self { daemon, pattern: 0, captured: BTreeMap::new() };
        let xml = format!(
            "<domain type='qemu'><name>vm</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>\
             <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vda'/></disk>\
             <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
            text(&disk)
        );
        ring.virsh(&["define", text(&ring.daemon.file("domain.xml", &xml))]);
        ring
    }

    fn virsh(&self, args: &[&str]) -> String {
        tools::run("virsh", &[&["-q", "-c", self.daemon.uri().as_str()], args].concat())
    }

    fn image(&self) -> std::path::PathBuf {
        self.daemon.images().join("vm-vda.qcow2")
    }

    /// Fills the first page of the disk with another pattern.
    fn write(&mut self) {
        self.pattern = self.pattern % 250 + 1;
        tools::qemu_io_write(&self.image(), "qcow2", self.pattern, 0, 65_536);
    }

    /// An apply of this manifest, begun.
    fn begin(&self, name: &str, yaml: &str) -> Child {
        let file = self.daemon.file(name, yaml);
        snapward_by(&self.daemon, &["-c", "qemu:///session", "apply", "--yes", "-o", "json", text(&file)]).spawn()
    }

    fn apply(&self, name: &str, yaml: &str) -> Ran {
        ended(self.begin(name, yaml))
    }

    /// The names that libvirt lists, sorted.
    fn listed(&self) -> Vec<String> {
        let listed = self.virsh(&["snapshot-list", "--name", "vm"]);
        let mut names: Vec<_> = listed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Asserts that libvirt lists these, that the image holds each of them once, and nothing else.
    #[track_caller]
    fn holds(&self, wanted: &[String], round: u32) {
        let mut wanted = wanted.to_vec();
        wanted.sort();
        assert_eq!(self.listed(), wanted, "round {round}");
        let mut tags = qemu_img_snapshots(&self.image());
        tags.sort();
        assert_eq!(tags, wanted, "round {round}: the snapshots in the image");
    }

    /// Asserts that each snapshot holds what the disk held when it was captured.
    #[track_caller]
    fn is_intact(&self, round: u32) {
        for name in self.listed() {
            let copy = self.daemon.images().join("copy.raw");
            let tag = format!("snapshot.name={name}");
            tools::run("qemu-img", &["convert", "-l", &tag, "-O", "raw", text(&self.image()), text(&copy)]);
            let wanted = self.captured[&name];
            assert!(
                tools::qemu_io_check(&copy, "raw", wanted, 0, 65_536),
                "round {round}: {name} holds something else"
            );
        }
    }

    /// The names that the ledger has as made, and not as released.
    fn made(&self) -> Vec<String> {
        let xml = self.virsh(&["dumpxml", "vm"]);
        let entries =
            xml.split("made name=\"").skip(1).filter_map(|rest| rest.split_once("/>")).map(|(entry, _)| entry);
        let mut made: Vec<_> = entries
            .filter(|entry| !entry.contains("released"))
            .filter_map(|entry| entry.split_once('"').map(|(name, _)| name.to_owned()))
            .collect();
        made.sort();
        made
    }
}

/// One owner's manifest of a round: the snapshot of this round is there, the one of the round before is not.
fn turn(owner: &str, round: u32) -> String {
    let (now, before) = (name(owner, round), name(owner, round + NAMES - 1));
    set(
        owner,
        &format!(
            "  domains: {{include: [vm]}}\n  snapshots:\n{}    - {{name: {before}, state: absent}}\n",
            snapshot(&now, &[])
        ),
    )
}

/// More names than there are rounds in a second: the ledger tells the captures of one name by their second.
const NAMES: u32 = 16;

/// These names in turn: `a-0`, `a-1` and so on.
fn name(owner: &str, round: u32) -> String {
    format!("{owner}-{}", round % NAMES)
}

/// The actions of one kind that a run did, by snapshot.
fn done(ran: &Ran, kind: &str) -> Vec<String> {
    if ran.stdout.is_empty() {
        return Vec::new();
    }
    let outcome = ran.json();
    let domains = outcome["domains"].as_array().cloned().unwrap_or_default();
    let actions = domains.iter().flat_map(|domain| domain["actions"].as_array().cloned().unwrap_or_default());
    actions
        .filter(|action| action["action"] == kind && action["result"] == "done")
        .map(|action| action["address"]["snapshot"].as_str().expect("a name").to_owned())
        .collect()
}

/// A run beside another: done, or stale, locked or partly, and then the next run does the rest.
#[track_caller]
fn is_fair(ran: &Ran, round: u32) {
    assert!(matches!(ran.code, Some(0 | 1 | 4 | 5 | 6)), "round {round}: {ran}");
    assert!(!ran.stderr.contains("panicked"), "round {round}: {ran}");
}

/// In even rounds two owners, in odd ones two runs of one.
#[test]
fn two_runs_at_once_lose_no_update_and_do_nothing_twice() {
    let mut ring = Ring::new();
    let mut met = BTreeMap::<i32, u32>::new();
    for round in 0..rounds() {
        ring.write();
        let owners = if round % 2 == 0 { ["a", "b"] } else { ["a", "a"] };
        let runs = [("1.yaml", owners[0]), ("2.yaml", owners[1])];
        let children = runs.map(|(file, owner)| ring.begin(file, &turn(owner, round)));
        let ran = children.map(ended);
        ran.iter().for_each(|ran| is_fair(ran, round));
        ran.iter().for_each(|ran| *met.entry(ran.code.unwrap_or(-1)).or_default() += 1);
        // The next runs, one after the other, do what was left.
        let next = ["a", "b"].map(|owner| ring.apply("next.yaml", &turn(owner, round)).exits(0));
        let all: Vec<_> = ran.iter().chain(&next).collect();
        for owner in ["a", "b"] {
            let (now, before) = (name(owner, round), name(owner, round + NAMES - 1));
            let times =
                |kind: &str, what: &str| all.iter().flat_map(|ran| done(ran, kind)).filter(|name| name == what).count();
            assert_eq!(times("create", &now), 1, "round {round}: {now} is captured once\n{}\n{}", ran[0], ran[1]);
            let gone = usize::from(round > 0);
            assert_eq!(times("delete", &before), gone, "round {round}: {before} goes once\n{}\n{}", ran[0], ran[1]);
            ring.captured.insert(now, ring.pattern);
        }
        let wanted = ["a", "b"].map(|owner| name(owner, round));
        ring.holds(&wanted, round);
        let ledger = || ring.virsh(&["dumpxml", "vm"]);
        assert_eq!(ring.made(), wanted, "round {round}: the ledger has both\n{}", ledger());
        if round % 10 == 9 {
            ring.is_intact(round);
        }
    }
    println!("exit codes met: {met:?}");
    assert!(met.keys().any(|code| *code != 0), "the runs met: {met:?}");
}

/// A run is killed at some instant, another is at work beside it.
#[test]
fn a_killed_run_leaves_no_lock_and_the_other_goes_on() {
    let mut ring = Ring::new();
    let mut dice = Dice(7);
    let mut killed = 0;
    for round in 0..rounds() / 2 {
        ring.write();
        let (one, mut other) = (ring.begin("1.yaml", &turn("a", round)), ring.begin("2.yaml", &turn("b", round)));
        // Wherever it is by then: no instant of a run may matter.
        let end = std::time::Instant::now() + std::time::Duration::from_millis(dice.below(160));
        wait_until("the instant", || std::time::Instant::now() >= end);
        if other.try_wait().expect("a child").is_none() {
            signal(&other, Signal::KILL);
            killed += 1;
        }
        drop(ended(other));
        is_fair(&ended(one), round);
        for owner in ["a", "b"] {
            let mut ran = ring.apply("next.yaml", &turn(owner, round));
            if ran.code != Some(0) {
                // What the killed run had asked for was still at work in libvirt.
                is_fair(&ran, round);
                assert_ne!(ran.code, Some(6), "round {round}: the lock went with its holder: {ran}");
                ran = ring.apply("next.yaml", &turn(owner, round)).exits(0);
            }
            drop(ran);
            ring.captured.insert(name(owner, round), ring.pattern);
        }
        let wanted = ["a", "b"].map(|owner| name(owner, round));
        ring.holds(&wanted, round);
        assert_eq!(ring.made(), wanted, "round {round}: the ledger has both");
    }
    ring.is_intact(rounds());
    assert!(killed > rounds() / 8, "{killed} were killed before their end");
}

/// An administrator with virsh beside snapward: what was captured by hand stays, and is reported.
#[test]
fn beside_virsh_no_content_is_lost_and_what_happened_is_reported() {
    let mut ring = Ring::new();
    let mut dice = Dice(11);
    let mut by_hand: Vec<String> = Vec::new();
    for round in 0..rounds() / 2 {
        ring.write();
        let uri = ring.daemon.uri();
        let hand = |args: &[&str]| {
            let mut virsh = Command::new("virsh");
            virsh.args(["-q", "-c", &uri]).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
            virsh.spawn().expect("it starts")
        };
        let new = format!("hand-{round}");
        let gone = (by_hand.len() > 3).then(|| by_hand.remove(dice.below(by_hand.len() as u64) as usize));
        let run = ring.begin("1.yaml", &turn("a", round));
        let end = std::time::Instant::now() + std::time::Duration::from_millis(dice.below(120));
        wait_until("the instant", || std::time::Instant::now() >= end);
        let made = hand(&["snapshot-create-as", "vm", &new]).wait_with_output().expect("waited for");
        assert!(made.status.success(), "round {round}: {made:?}");
        by_hand.push(new.clone());
        ring.captured.insert(new, ring.pattern);
        if let Some(gone) = gone {
            let went = hand(&["snapshot-delete", "vm", &gone]).wait_with_output().expect("waited for");
            assert!(went.status.success(), "round {round}: {went:?}");
        }
        let ran = ended(run);
        is_fair(&ran, round);
        drop(ring.apply("next.yaml", &turn("a", round)).exits(0));
        ring.captured.insert(name("a", round), ring.pattern);
        let mut wanted = by_hand.clone();
        wanted.push(name("a", round));
        ring.holds(&wanted, round);
        // What is nobody's is told.
        if round % 10 == 9 {
            ring.is_intact(round);
            let file = ring.daemon.file("plan.yaml", &turn("a", round));
            let plan = snapward_by(&ring.daemon, &["-c", "qemu:///session", "plan", "-o", "json", text(&file)])
                .run()
                .exits(0)
                .json();
            let unmanaged = plan["unmanaged"].as_array().expect("a list").iter();
            let mut told: Vec<_> = unmanaged.filter_map(|item| item["address"]["snapshot"].as_str()).collect();
            told.sort_unstable();
            let mut hands: Vec<_> = by_hand.iter().map(String::as_str).collect();
            hands.sort_unstable();
            assert_eq!(told, hands, "round {round}: {plan}");
        }
    }
}
