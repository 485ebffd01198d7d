//! More than one hand at once, and runs that die in the middle: on a private daemon, whose guests several processes see.

use rustix::process::Signal;

use crate::support::cmd::{ended, signal, snapward, until_told};
use crate::support::embed::EmbedRoot;
use crate::support::fleet::Fleet;
use crate::support::gate::{Gate, wait_until};
use crate::support::lab::{set, snapshot};
use crate::support::terminal::{QUESTION, Terminal};
use crate::support::tools;

fn two(domains: &str) -> String {
    let snapshots = snapshot("a", &["description: first"]) + &snapshot("b", &[]);
    set("web", &format!("  domains: {{include: [{domains}]}}\n  snapshots:\n{snapshots}  current: a"))
}

/// Asserts that a guest has both snapshots once, everywhere: in libvirt, in the image, in the ledger.
#[track_caller]
fn has_both_once(fleet: &Fleet, guest: &str) {
    assert_eq!(fleet.snapshots(guest), ["a", "b"], "{guest}");
    assert_eq!(fleet.tags(guest), ["a", "b"], "{guest}");
    let xml = fleet.virsh(&["dumpxml", guest]);
    for name in ["a", "b"] {
        assert_eq!(xml.matches(&format!(r#"made name="{name}""#)).count(), 1, "the ledger of {guest}:\n{xml}");
    }
    assert_eq!(fleet.virsh(&["snapshot-current", "--name", guest]).trim(), "a", "{guest}");
}

#[track_caller]
fn nothing_is_left(fleet: &Fleet, file: &str) {
    let ran = fleet.run(&["plan", "--detailed-exitcode", "-o", "json", file]).exits(0);
    assert_eq!(ran.json()["drift"], serde_json::json!([]), "{ran}");
    let ran = fleet.run(&["apply", "--yes", file]).exits(0);
    assert!(!ran.stdout.contains("Apply:") && ran.stderr.is_empty(), "nothing to do\n{ran}");
}

#[test]
fn two_runs_at_once_capture_everything_once() {
    let guests = ["g1", "g2", "g3", "g4", "g5", "g6"];
    let fleet = Fleet::start(&guests);
    let file = fleet.file("web.yaml", &two("\"g*\""));
    let runs = [0, 1].map(|_| fleet.snapward(&["apply", "--yes", &file]).spawn());
    let runs = runs.map(ended);
    let told = runs.each_ref().map(ToString::to_string).join("\n");
    for ran in runs {
        assert!(matches!(ran.code, Some(0 | 4 | 5 | 6)), "{told}");
        assert!(!ran.stdout.contains(": failed"), "{told}");
    }
    for guest in guests {
        has_both_once(&fleet, guest);
    }
    nothing_is_left(&fleet, &file);
}

#[test]
fn a_second_run_leaves_a_domain_at_work_alone_and_does_the_others() {
    let fleet = Fleet::start(&["one", "two"]);
    let (first_file, both) = (fleet.file("one.yaml", &two("one")), fleet.file("both.yaml", &two("one, two")));
    // libvirt lets nobody look at a domain whose capture waits at the gate, so the second run makes its plan before.
    let second = Terminal::apply(&fleet.uri(), &["--log-format", "json", &both]).until(QUESTION);
    fleet.gate.shut();
    let first = fleet.snapward(&["apply", "--yes", &first_file]).spawn();
    fleet.gate.await_begun(1);
    let second = second.type_line("yes").until(r#""result":"Locked""#);
    fleet.gate.open();
    let pid = first.id();
    let second = second.ended().exits(6);
    assert!(second.stdout.contains(&format!("snapward, process {pid} is at work on this domain")), "{second}");
    assert!(second.stdout.contains("/two: done"), "{second}");
    ended(first).exits(0);
    has_both_once(&fleet, "one");
    has_both_once(&fleet, "two");
    nothing_is_left(&fleet, &both);
}

#[test]
fn a_capture_at_work_keeps_no_other_domain_waiting() {
    let fleet = Fleet::start(&["one", "two"]);
    let (one, other) = (fleet.file("one.yaml", &two("one")), fleet.file("two.yaml", &two("two")));
    let second = Terminal::apply(&fleet.uri(), &[&other]).until(QUESTION);
    fleet.gate.shut();
    let first = fleet.snapward(&["apply", "--yes", &one]).spawn();
    fleet.gate.await_begun(1);
    let second = second.type_line("yes");
    fleet.gate.await_begun(2);
    fleet.gate.open();
    second.ended().exits(0);
    ended(first).exits(0);
    has_both_once(&fleet, "one");
    has_both_once(&fleet, "two");
}

#[test]
fn a_killed_run_leaves_no_lock_and_its_capture_is_found_not_repeated() {
    let fleet = Fleet::start(&["vm"]);
    let file = fleet.file("web.yaml", &two("vm"));
    let take_lock = fleet.lock_of("vm");
    fleet.gate.shut();
    let child = fleet.snapward(&["apply", "--yes", &file]).spawn();
    fleet.gate.await_begun(1);
    assert!(take_lock().is_err(), "the run holds it");
    signal(&child, Signal::KILL);
    assert_eq!(ended(child).code, None);
    assert!(take_lock().is_ok(), "it went with its holder");
    fleet.gate.open();
    // The daemon finishes what it was asked for; until then it answers nothing about this domain.
    wait_until("the capture to end", || fleet.tags("vm") == ["a"]);
    assert_eq!(fleet.snapshots("vm"), ["a"]);
    assert!(!fleet.virsh(&["dumpxml", "vm"]).contains("made name"), "killed before the entry in the ledger");

    let ran = fleet.run(&["apply", "--yes", &file]).exits(0);
    assert!(ran.stdout.contains("+ created b") && !ran.stdout.contains("created a"), "{ran}");
    has_both_once(&fleet, "vm");
    nothing_is_left(&fleet, &file);
    fleet.virsh(&["snapshot-delete", "vm", "a"]);
    let ran = fleet.run(&["apply", "--yes", &file]).exits(3);
    assert!(ran.stdout.contains("Missing"), "the entry that the killed run owed was written\n{ran}");
}

#[test]
fn a_run_beside_the_capture_of_a_killed_one_does_no_harm() {
    let fleet = Fleet::start(&["vm"]);
    let file = fleet.file("web.yaml", &two("vm"));
    fleet.gate.shut();
    let child = fleet.snapward(&["apply", "--yes", &file]).spawn();
    fleet.gate.await_begun(1);
    signal(&child, Signal::KILL);
    assert_eq!(ended(child).code, None);
    // The lock is free, and the daemon still captures: this run waits until libvirt lets it look.
    let next = fleet.snapward(&["apply", "--yes", &file]).spawn();
    fleet.gate.open();
    let ran = ended(next);
    assert!(matches!(ran.code, Some(0 | 1 | 4 | 5)), "{ran}");
    fleet.run(&["apply", "--yes", &file]).exits(0);
    has_both_once(&fleet, "vm");
    nothing_is_left(&fleet, &file);
}

#[test]
fn a_run_killed_with_the_driver_inside_it_is_blocked_with_the_repair() {
    let (root, gate) = (EmbedRoot::new(), Gate::new());
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &two("vm"));
    let uri = root.uri();
    gate.shut();
    let child = snapward(["-c", &uri, "apply", "--yes", &file]).env("PATH", gate.path()).spawn();
    gate.await_begun(1);
    signal(&child, Signal::KILL);
    assert_eq!(ended(child).code, None);
    gate.open();
    // qemu-img outlives the driver that started it, and nobody is left to write libvirt's metadata.
    let tags = || tools::qemu_img_snapshots(&guest.vda());
    wait_until("qemu-img to end", || tags() == ["a"]);
    assert!(guest.snapshots().is_empty());
    let ran = snapward(["-c", &uri, "apply", "--yes", &file]).run().exits(3);
    assert!(ran.stdout.contains("NotPossible") && ran.stdout.contains("qemu-img snapshot -d"), "{ran}");
    assert_eq!(tags().iter().filter(|tag| *tag == "a").count(), 1, "no second one of the name");
    tools::run("qemu-img", &["snapshot", "-d", "a", tools::text(&guest.vda())]);
    snapward(["-c", &uri, "apply", "--yes", &file]).run().exits(0);
    assert_eq!(guest.snapshots(), ["a", "b"]);
}

#[test]
fn an_interrupt_ends_every_domain_whole_and_the_next_run_goes_on() {
    let guests = ["g1", "g2", "g3", "g4", "g5", "g6"];
    let fleet = Fleet::start(&guests);
    let file = fleet.file("web.yaml", &two("\"g*\""));
    fleet.gate.shut();
    let child = fleet.snapward(&["apply", "--yes", "-o", "json", &file]).spawn();
    // Four domains are worked on at a time.
    fleet.gate.await_begun(4);
    signal(&child, Signal::INT);
    let told = until_told(child, "starting no more");
    fleet.gate.open();
    let ran = told.ended().exits(130);
    let outcome = ran.json();
    assert_eq!((&outcome["summary"]["done"], &outcome["summary"]["skipped"]), (&4.into(), &14.into()), "{ran}");
    assert_eq!(fleet.gate.begun(), 4, "no capture was begun after the interrupt");
    let captured: Vec<_> = guests.iter().filter(|guest| fleet.snapshots(guest) == ["a"]).collect();
    assert_eq!(captured.len(), 4);
    for guest in captured {
        assert!(fleet.virsh(&["dumpxml", guest]).contains(r#"made name="a""#), "{guest} has its entry in the ledger");
    }
    fleet.run(&["apply", "--yes", &file]).exits(0);
    for guest in guests {
        has_both_once(&fleet, guest);
    }
    nothing_is_left(&fleet, &file);
}

#[test]
fn an_interrupt_from_the_keyboard_leaves_nothing_half_done() {
    let (root, gate) = (EmbedRoot::new(), Gate::new());
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &two("vm"));
    let uri = root.uri();
    gate.shut();
    // With the driver inside the process qemu-img is interrupted too.
    let asked = Terminal::apply_with_path(&gate.path(), &uri, &[&file]).until(QUESTION).type_line("yes");
    gate.await_begun(1);
    let ran = asked.press_ctrl_c().ended();
    gate.open();
    assert_eq!(ran.code, Some(130), "{ran}");
    assert!(ran.stdout.contains("finishing the actions at hand"), "{ran}");
    assert!(guest.snapshots().is_empty() && tools::qemu_img_snapshots(&guest.vda()).is_empty(), "{ran}");
    snapward(["-c", &uri, "apply", "--yes", &file]).run().exits(0);
    assert_eq!(guest.snapshots(), ["a", "b"]);
    snapward(["-c", &uri, "plan", "--detailed-exitcode", &file]).run().exits(0);
}
