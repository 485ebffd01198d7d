//! The agent beside a real libvirtd: what it learns by events, long before it polls; a daemon that is killed, restarted or
//! hangs; and others that write to the same domains. The interval is an hour here: nothing below waits for a poll.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use snapward::model::ledger::LEDGER_NAMESPACE;

use crate::support::agent::{Agent, PATIENCE, ready};
use crate::support::cmd::{ended, signal};
use crate::support::fleet::Fleet;
use crate::support::gate::wait_until;
use crate::support::lab::{clock, set, snapshot};
use crate::support::tools;

/// Far longer than a test.
const HOUR: [&str; 2] = ["--interval", "1h"];

fn start(fleet: &Fleet, path: &str) -> Agent {
    Agent::start(fleet, &[HOUR[0], HOUR[1], path])
}

fn golden() -> String {
    set("web", &format!("  domains: {{include: ['vm*']}}\n  snapshots:\n{}", snapshot("golden", &[])))
}

/// A series whose one slot of the year is owed until the next.
fn yearly() -> String {
    set(
        "web",
        "  domains: {include: ['vm*']}\n  series:\n    - name: yearly\n      schedule: {cron: '0 0 1 1 *', timeZone: UTC}\n      \
         capture: {content: full, location: internal}",
    )
}

fn domain<'a>(status: &'a Value, name: &str) -> &'a Value {
    let found = status["domains"].as_array().expect("a list").iter().find(|domain| domain["domain"] == name);
    found.unwrap_or(&Value::Null)
}

fn connected(status: &Value) -> bool {
    status["hosts"][0]["connected"] == true
}

/// Waits until no round is made any more: what is done leads to no more rounds.
fn quiet(agent: &Agent) {
    let (start, mut seen, mut since) = (Instant::now(), agent.metric("snapward_rounds_total"), Instant::now());
    // Five times what an event is given to settle.
    while since.elapsed() < Duration::from_secs(1) {
        assert!(start.elapsed() < PATIENCE, "rounds without end");
        sleep(Duration::from_millis(50));
        let rounds = agent.metric("snapward_rounds_total");
        if rounds != seen {
            (seen, since) = (rounds, Instant::now());
        }
    }
}

fn ledger(fleet: &Fleet, guest: &str) -> String {
    fleet.virsh(&["metadata", guest, LEDGER_NAMESPACE])
}

#[test]
fn what_happens_to_a_domain_is_followed_without_a_poll() {
    let fleet = Fleet::start(&["vm1"]);
    let agent = start(&fleet, &fleet.file("web.yaml", &golden()));
    agent.until("Ready", ready);
    quiet(&agent);

    // A revert takes the ledger back to before its entry.
    fleet.virsh(&["snapshot-revert", "vm1", "golden"]);
    wait_until("the ledger after a revert", || ledger(&fleet, "vm1").contains("golden"));
    assert!(agent.metric("snapward_events_total{event=\"from_snapshot\"}") >= 1);
    fleet.virsh(&["metadata", "vm1", LEDGER_NAMESPACE, "--set", "<made/>", "--key", "snapward"]);
    wait_until("the ledger after somebody else wrote it", || ledger(&fleet, "vm1").contains("golden"));

    fleet.virsh(&["start", "vm1"]);
    agent.until("running", |status| domain(status, "vm1")["state"] == "running");
    fleet.virsh(&["suspend", "vm1"]);
    agent.until("paused", |status| domain(status, "vm1")["state"] == "paused");
    fleet.virsh(&["destroy", "vm1"]);
    agent.until("off", |status| domain(status, "vm1")["state"] == "shutOff");

    fleet.define("vm2");
    wait_until("a domain that came to be captured", || fleet.snapshots("vm2") == ["golden"]);
    fleet.virsh(&["undefine", "vm2", "--snapshots-metadata"]);
    agent.until("gone", |status| domain(status, "vm2").is_null());

    // Its own captures and ledgers were told of too, and led to nothing more.
    agent.until("Ready", ready);
    quiet(&agent);
    assert!(agent.metric("snapward_events_total{event=\"ledger\"}") >= 2);
    assert_eq!(agent.metric("snapward_actions_total{action=\"create\",result=\"done\"}"), 2);
    let rounds = agent.metric("snapward_rounds_total");
    fleet.define("other");
    // Of no set: the next event that is of one is the next round.
    fleet.virsh(&["start", "vm1"]);
    agent.until("running", |status| domain(status, "vm1")["state"] == "running");
    quiet(&agent);
    assert!(agent.metric("snapward_rounds_total") - rounds <= 2, "the start, and where the machine is slow its resume");
    fleet.virsh(&["destroy", "vm1"]);
    agent.stop();
}

#[test]
fn a_merge_by_others_is_read_at_its_end() {
    let fleet = Fleet::start(&["vm1"]);
    let disk = fleet.daemon.images().join("vm1-vda.qcow2");
    let external = "    - {name: golden, capture: {content: disks, location: external}}";
    let agent = start(
        &fleet,
        &fleet.file("web.yaml", &set("web", &format!("  domains: {{include: [vm1]}}\n  snapshots:\n{external}"))),
    );
    wait_until("the capture", || fleet.snapshots("vm1") == ["golden"]);
    fleet.virsh(&["start", "vm1"]);
    quiet(&agent);
    fleet.virsh(&["blockcommit", "vm1", "vda", "--active", "--pivot", "--base", tools::text(&disk)]);
    wait_until("the event", || agent.metric("snapward_events_total{event=\"block_job\"}") >= 1);
    // What the snapshot stands on is no more in use.
    agent.until("blocked", |status| domain(status, "vm1")["blocked"].as_array().is_some_and(|all| !all.is_empty()));
    fleet.virsh(&["destroy", "vm1"]);
    agent.stop();
}

#[test]
fn a_transient_domain_that_comes_back_gets_its_hierarchy_back() {
    let fleet = Fleet::start(&["vm1"]);
    let xml = fleet.file("vm1.xml", &fleet.virsh(&["dumpxml", "--inactive", "vm1"]));
    fleet.virsh(&["undefine", "vm1"]);
    fleet.virsh(&["create", &xml]);
    for name in ["a", "b"] {
        fleet.virsh(&["snapshot-create-as", "vm1", name]);
    }
    let saved = Path::new(&xml).with_file_name("saved");
    fleet.run(&["export", "vm1", "--dir", tools::text(&saved)]).exits(0);
    let agent = start(&fleet, tools::text(&saved));
    agent.until("Ready", ready);
    for _ in 0..2 {
        fleet.virsh(&["destroy", "vm1"]);
        agent.until("gone", |status| domain(status, "vm1").is_null());
        fleet.virsh(&["create", &xml]);
        wait_until("the hierarchy", || fleet.snapshots("vm1") == ["a", "b"]);
        agent.until("Ready", ready);
        let tree = fleet.virsh(&["snapshot-list", "vm1", "--tree"]);
        assert!(tree.find("a").expect("a") < tree.find("b").expect("b") && tree.contains("+- b"), "{tree}");
        assert_eq!(fleet.virsh(&["snapshot-current", "vm1", "--name"]).trim(), "b");
    }
    // What counts: it can be reverted to.
    fleet.virsh(&["snapshot-revert", "vm1", "a"]);
    fleet.virsh(&["destroy", "vm1"]);
    assert_eq!(fleet.tags("vm1"), ["a", "b"]);
    agent.stop();
}

#[test]
fn a_slot_that_comes_due_without_a_daemon_is_taken_once_when_it_is_back() {
    let mut fleet = Fleet::start(&["vm1"]);
    let agent = start(&fleet, &fleet.file("web.yaml", &set("web", "  domains: {include: ['vm*']}")));
    agent.until("Ready", ready);
    fleet.daemon.kill();
    agent.until("down", |status| !connected(status));
    fleet.file("web.yaml", &yearly());
    fleet.daemon.restart();
    agent.until("Ready", |status| connected(status) && ready(status));
    let tags = fleet.tags("vm1");
    assert_eq!(tags.len(), 1, "{tags:?}");

    // The callbacks of the lost connection are gone: an event is told once.
    let started = "snapward_events_total{event=\"started\"}";
    let before = agent.metric(started);
    fleet.virsh(&["start", "vm1"]);
    agent.until("running", |status| domain(status, "vm1")["state"] == "running");
    quiet(&agent);
    assert_eq!(agent.metric(started) - before, 1);
    fleet.virsh(&["destroy", "vm1"]);
    fleet.daemon.kill();
    agent.until("down", |status| !connected(status));
    fleet.daemon.restart();
    agent.until("Ready", |status| connected(status) && ready(status));
    assert_eq!(fleet.tags("vm1"), tags, "no second one of the slot");
    agent.stop();
}

#[test]
fn a_capture_that_the_daemon_did_not_survive_is_blocked_with_the_way_out_and_then_taken_once() {
    let mut fleet = Fleet::start(&["vm1"]);
    let file = fleet.daemon.file("web.yaml", &set("web", "  domains: {include: ['vm*']}"));
    // On its own machine: it sees what is in the images.
    let agent = Agent::start_local(&fleet, &[HOUR[0], HOUR[1], tools::text(&file)]);
    agent.until("Ready", ready);
    fleet.gate.shut();
    fleet.daemon.file("web.yaml", &yearly());
    fleet.gate.await_begun(1);
    fleet.daemon.kill();
    agent.until("down", |status| !connected(status));
    fleet.gate.open();
    // qemu-img outlives the daemon: the image has the snapshot, and libvirt knows nothing of it.
    wait_until("qemu-img to end", || fleet.tags("vm1").len() == 1);
    fleet.daemon.restart();
    agent.until("blocked with the way out", |status| {
        let blocked = domain(status, "vm1")["blocked"].to_string();
        blocked.contains("NotPossible") && blocked.contains("qemu-img snapshot -d")
    });
    let tags = fleet.tags("vm1");
    assert_eq!((tags.len(), fleet.snapshots("vm1").len()), (1, 0), "{tags:?}");
    // What it says helps.
    let disk = fleet.daemon.images().join("vm1-vda.qcow2");
    tools::run("qemu-img", &["snapshot", "-d", &tags[0], tools::text(&disk)]);
    assert!(agent.ask("POST", "/api/v1/reload").0.contains("200"));
    fleet.virsh(&["start", "vm1"]);
    agent.until("Ready", ready);
    fleet.virsh(&["destroy", "vm1"]);
    assert_eq!(fleet.tags("vm1"), tags, "taken, once");
    agent.stop();
}

#[test]
fn a_daemon_that_hangs_is_given_up_and_found_again() {
    let fleet = Fleet::start(&["vm1"]);
    let agent = start(&fleet, &fleet.file("web.yaml", &golden()));
    agent.until("Ready", ready);
    let daemon = Pid::from_raw(fleet.daemon.pid()).expect("it runs");
    kill_process(daemon, Signal::STOP).expect("stopped");
    // Keepalive: four questions in twenty seconds.
    let status = agent.until("down", |status| !connected(status));
    assert_eq!(status["conditions"][0]["reason"], "HostDown");
    assert!(agent.ask("GET", "/healthz").0.contains("200"), "the loop goes round all the while");
    kill_process(daemon, Signal::CONT).expect("it goes on");
    agent.until("up", |status| connected(status) && ready(status));
    assert_eq!(fleet.tags("vm1"), ["golden"]);
    agent.stop();
}

#[test]
fn the_agent_and_the_command_line_never_write_to_one_domain_at_once() {
    let fleet = Fleet::start(&["vm1"]);
    let (file, take_lock) = (fleet.file("web.yaml", &golden()), fleet.lock_of("vm1"));
    // The command line is at work, and has the agent wait.
    fleet.gate.shut();
    let apply = fleet.snapward(&["apply", "--yes", &file]).spawn();
    fleet.gate.await_begun(1);
    assert!(take_lock().is_err());
    signal(&apply, Signal::KILL);
    assert_eq!(ended(apply).code, None);
    assert!(take_lock().is_ok(), "the lock went with its process");
    fleet.gate.open();
    wait_until("the capture to end", || fleet.snapshots("vm1") == ["golden"]);

    let held = take_lock().unwrap_or_else(|_| panic!("free"));
    let agent = start(&fleet, &file);
    // The ledger lacks the entry that the killed run owed: the agent would write it.
    let status = agent.until("waiting", |status| domain(status, "vm1")["failures"].as_u64().is_some_and(|n| n > 0));
    let holder = format!("snapward, process {} is at work on this domain", std::process::id());
    assert!(domain(&status, "vm1")["last"]["text"].as_str().is_some_and(|text| text.contains(&holder)), "{status:#}");
    assert!(!fleet.virsh(&["dumpxml", "vm1"]).contains("made name"));
    drop(held);
    agent.until("Ready", ready);
    wait_until("the entry", || ledger(&fleet, "vm1").contains("golden"));

    // And the other way round.
    let (second, plan) =
        (fleet.file("second.yaml", &golden().replace("name: golden", "name: second")), fleet.file("plan", ""));
    fs::remove_file(&plan).expect("made by the command");
    fleet.run(&["plan", "--out", &plan, &second]).exits(0);
    fleet.gate.shut();
    fs::copy(&second, &file).expect("copied");
    fleet.gate.await_begun(1);
    wait_until("the agent's lock", || take_lock().is_err());
    let ran = fleet.run(&["apply", "--yes", "--plan", &plan]).exits(6);
    assert!(ran.stdout.contains(&format!("snapward, process {} is at work on this domain", agent.pid())), "{ran}");
    fleet.gate.open();
    agent.until("Ready", ready);
    assert_eq!(fleet.tags("vm1"), ["golden", "second"]);
    agent.stop();
}

#[test]
fn a_requested_revert_is_done_once_and_its_own_events_lead_to_nothing() {
    let fleet = Fleet::start(&["vm1"]);
    let file = fleet.file("web.yaml", &golden());
    let agent = start(&fleet, &file);
    agent.until("Ready", ready);
    let tomorrow = clock() + jiff::SignedDuration::from_hours(24);
    let request = format!(
        "---\napiVersion: snapward/v1\nkind: RevertRequest\nmetadata: {{name: reset}}\nspec:\n  hosts: {{include: ['*']}}\n  \
         domains: {{include: [vm1]}}\n  to: golden\n  token: today\n  expiresAt: {tomorrow}\n"
    );
    fleet.file("web.yaml", &format!("{}{request}", golden()));
    let reverted = "snapward_actions_total{action=\"revert\",result=\"done\"}";
    wait_until("the revert", || agent.metric(reverted) == 1);
    agent.until("Ready", ready);
    quiet(&agent);
    assert!(agent.metric("snapward_events_total{event=\"from_snapshot\"}") >= 1);
    assert_eq!(agent.metric(reverted), 1);
    assert!(ledger(&fleet, "vm1").contains("golden"), "what the revert took back is there again");
    let log = agent.terminate().0.stderr;
    assert!(!log.contains("by another client"), "{log}");

    let agent = start(&fleet, &file);
    agent.until("Ready", ready);
    quiet(&agent);
    assert_eq!(agent.metric(reverted), 0, "not by the next agent either");
    agent.stop();
}

#[test]
fn a_termination_lets_the_action_at_hand_end_and_a_second_one_does_not_wait() {
    let fleet = Fleet::start(&["vm1"]);
    let two = set(
        "web",
        &format!("  domains: {{include: [vm1]}}\n  snapshots:\n{}{}", snapshot("a", &[]), snapshot("b", &[])),
    );
    let file = fleet.file("web.yaml", "");
    let begin = || {
        fleet.file("web.yaml", &set("web", "  domains: {include: [vm1]}"));
        let agent = start(&fleet, &file);
        agent.until("Ready", ready);
        fleet.gate.shut();
        fleet.file("web.yaml", &two);
        agent
    };
    let agent = begin();
    fleet.gate.await_begun(1);
    agent.signal(Signal::TERM);
    agent.told("STOPPING=1");
    agent.told("WATCHDOG=1");
    fleet.gate.open();
    let ran = agent.ended();
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!((fleet.snapshots("vm1"), fleet.tags("vm1")), (vec!["a".to_owned()], vec!["a".to_owned()]));

    let (agent, take_lock) = (begin(), fleet.lock_of("vm1"));
    wait_until("the agent's lock", || take_lock().is_err());
    agent.signal(Signal::TERM);
    agent.told("STOPPING=1");
    agent.signal(Signal::TERM);
    let ran = agent.ended();
    assert_eq!(ran.code, Some(130), "{ran}");
    assert!(take_lock().is_ok());
    fleet.gate.open();
}
