//! The contract on exit codes, one test per code, through the program itself on a real driver. How codes that apply at
//! once give way to each other is tested where it is decided, in `src/cli/exit.rs`.

use rustix::process::Signal;
use snapward::apply::lock::Lock;
use snapward::model::names::DomainUuid;

use crate::support::cmd::{Ran, Snapward, signal, snapward, until_told};
use crate::support::embed::EmbedRoot;
use crate::support::fleet::{Fleet, lock_dir};
use crate::support::gate::Gate;
use crate::support::guest::between;
use crate::support::lab::{set, snapshot};
use crate::support::terminal::{QUESTION, Terminal};

/// One set over these domains that declares `a`, and what else is given.
fn declares(domains: &str, more: &str) -> String {
    set("web", &format!("  domains: {{include: [{domains}]}}\n  snapshots:\n{}{more}", snapshot("a", &[])))
}

fn on(root: &EmbedRoot, args: &[&str]) -> Snapward {
    snapward([&["-c", root.uri().as_str()], args].concat())
}

fn run(root: &EmbedRoot, args: &[&str]) -> Ran {
    on(root, args).run()
}

#[test]
fn code_0_done_and_nothing_to_do() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &declares("vm", ""));
    let ran = run(&root, &["apply", "--yes", &file]).exits(0);
    assert!(ran.stdout.ends_with("\nApply: 1 done.\n"), "{ran}");
    assert_eq!(guest.snapshots(), ["a"]);
    let ran = run(&root, &["apply", "--yes", &file]).exits(0);
    assert!(!ran.stdout.contains("Apply:"), "nothing to do\n{ran}");
    run(&root, &["plan", "--detailed-exitcode", &file]).exits(0);
    run(&root, &["status", &file]).exits(0);
    run(&root, &["validate", &file]).exits(0);
}

#[test]
fn code_1_failed_and_nothing_done() {
    let (root, gate) = (EmbedRoot::new(), Gate::new());
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &declares("vm", ""));
    gate.refuse("vm-vda.qcow2");
    let ran = on(&root, &["apply", "--yes", &file]).env("PATH", gate.path()).run().exits(1);
    assert!(ran.stdout.contains("refused by the test"), "libvirt's reason is shown\n{ran}");
    assert!(ran.stdout.contains("libvirt lists no snapshot of this name; the others are untouched"), "{ran}");
    assert!(guest.snapshots().is_empty());
    run(&root, &["apply", "--yes", &file]).exits(0);
}

#[test]
fn code_2_pending_only_where_asked_and_before_blocked() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &declares("vm", ""));
    run(&root, &["plan", "--detailed-exitcode", &file]).exits(2);
    run(&root, &["plan", &file]).exits(0);
    guest.snapshot("b", "");
    let both = root.file("both.yaml", &declares("vm", &snapshot("b", &[])));
    let ran = run(&root, &["plan", "--detailed-exitcode", &both]).exits(2);
    assert!(ran.stdout.contains("Conflict"), "{ran}");
}

#[test]
fn code_3_something_needs_a_person() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    guest.snapshot("b", "");
    let file = root.file("web.yaml", &declares("vm", &snapshot("b", &[])));
    let ran = run(&root, &["apply", "--yes", &file]).exits(3);
    assert!(ran.stdout.contains("Apply: 1 done"), "what is not blocked is done\n{ran}");
    assert_eq!(guest.snapshots(), ["a", "b"]);
    run(&root, &["plan", "--detailed-exitcode", &file]).exits(3);
    run(&root, &["plan", &file]).exits(0);
    run(&root, &["status", &file]).exits(3);
    run(&root, &["apply", "--yes", &file]).exits(3);
}

#[test]
fn code_4_a_saved_plan_that_was_carried_out_before() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &declares("vm", ""));
    let plan = root.file("web.plan", "");
    run(&root, &["plan", "--out", &plan, &file]).exits(0);
    snapward(["apply", "--yes", "--plan", &plan]).run().exits(0);
    assert_eq!(guest.snapshots(), ["a"]);
    snapward(["apply", "--yes", "--plan", &plan]).run().exits(4);
    assert_eq!(guest.snapshots(), ["a"]);
}

#[test]
fn codes_4_and_5_domains_that_changed_while_the_question_stood() {
    let fleet = Fleet::start(&["one", "two"]);
    let file = fleet.file("web.yaml", &declares("one, two", ""));
    let asked = Terminal::apply(&fleet.uri(), &[&file]).until(QUESTION);
    assert!(asked.shown().contains("Plan: 2 to create"), "{}", asked.shown());
    for guest in ["one", "two"] {
        fleet.virsh(&["snapshot-create-as", guest, "by-hand"]);
    }
    let ran = asked.type_line("yes").ended().exits(4);
    assert!(ran.stdout.contains("since the plan was made; nothing was done here"), "{ran}");
    assert_eq!(fleet.snapshots("one"), ["by-hand"], "nothing was captured on top of what nobody had seen");

    let asked = Terminal::apply(&fleet.uri(), &[&file]).until(QUESTION);
    fleet.virsh(&["snapshot-delete", "one", "by-hand"]);
    asked.type_line("yes").ended().exits(5);
    assert!(fleet.snapshots("one").is_empty());
    assert_eq!(fleet.snapshots("two"), ["a", "by-hand"]);
    fleet.run(&["apply", "--yes", &file]).exits(0);
}

#[test]
fn code_5_one_domain_fails_and_another_is_done() {
    let (root, gate) = (EmbedRoot::new(), Gate::new());
    let guests = ["one", "two"].map(|name| root.guest(name).define());
    let file = root.file("web.yaml", &declares("one, two", ""));
    gate.refuse("one-vda.qcow2");
    let ran = on(&root, &["apply", "--yes", &file]).env("PATH", gate.path()).run().exits(5);
    assert!(ran.stdout.contains("/one: failed") && ran.stdout.contains("/two: done"), "{ran}");
    assert!(guests[0].snapshots().is_empty());
    assert_eq!(guests[1].snapshots(), ["a"]);
}

#[test]
fn code_5_a_host_of_the_inventory_is_down() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let inventory = format!(
        "---\napiVersion: snapward/v1\nkind: Inventory\nmetadata: {{name: all}}\nspec:\n  hosts:\n\
         \x20   - {{name: up, uri: \"{}\"}}\n\
         \x20   - {{name: down, uri: \"qemu+unix:///system?socket=/nonexistent/libvirt-sock\"}}\n",
        root.uri()
    );
    let file = root.file("web.yaml", &(declares("vm", "") + &inventory));
    for args in [&["plan", file.as_str()][..], &["plan", "--detailed-exitcode", &file], &["status", &file]] {
        let ran = snapward(args).run().exits(5);
        assert!(ran.stdout.contains("down") && ran.stdout.contains("up/vm"), "{ran}");
    }
    snapward(["apply", "--yes", &file]).run().exits(5);
    assert_eq!(guest.snapshots(), ["a"], "the host that is up was done");
}

#[test]
fn code_6_locked() {
    let fleet = Fleet::start(&["one", "two"]);
    let file = fleet.file("web.yaml", &declares("one, two", ""));
    let held = fleet.lock_of("one")().unwrap_or_else(|error| panic!("{error:?}"));
    let ran = fleet.run(&["apply", "--yes", &file]).exits(6);
    let holder = format!("snapward, process {}", std::process::id());
    assert!(ran.stdout.contains(&holder), "{ran}");
    assert!(fleet.snapshots("one").is_empty());
    assert_eq!(fleet.snapshots("two"), ["a"]);
    fleet.run(&["plan", &file]).exits(0);
    drop(held);
    fleet.run(&["apply", "--yes", &file]).exits(0);
    assert_eq!(fleet.snapshots("one"), ["a"]);
}

#[test]
fn code_64_wrong_usage_before_anything_is_read() {
    let root = EmbedRoot::new();
    let file = root.file("web.yaml", &declares("vm", ""));
    run(&root, &["apply", &file]).exits(64);
    run(&root, &["apply", "--yes", "/nonexistent.yaml", "--frobnicate"]).exits(64);
}

#[test]
fn code_65_a_bad_manifest_whatever_else_is_right() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let good = root.file("good.yaml", &declares("vm", ""));
    let bad = root.file("bad.yaml", &declares("vm", "      frobnicate: true\n").replace("name: web", "name: other"));
    for verb in [&["validate"][..], &["plan"], &["status"], &["apply", "--yes"]] {
        let ran = run(&root, &[verb, &[&good, &bad]].concat()).exits(65);
        assert!(ran.stderr.contains("bad.yaml:9:7") && ran.stderr.contains("frobnicate"), "{ran}");
    }
    assert!(guest.snapshots().is_empty());
}

#[test]
fn code_130_the_first_interrupt_finishes_what_runs_and_starts_no_more() {
    let (root, gate) = (EmbedRoot::new(), Gate::new());
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &declares("vm", &snapshot("b", &[])));
    gate.shut();
    let child = on(&root, &["apply", "--yes", "-o", "json", &file]).env("PATH", gate.path()).spawn();
    gate.await_begun(1);
    signal(&child, Signal::INT);
    // What it says on the signal is the sign that it has seen it.
    let child = until_told(child, "A second interrupt ends at once");
    gate.open();
    let ran = child.ended().exits(130);
    let outcome = ran.json();
    assert_eq!(outcome["summary"]["interrupted"], true, "{ran}");
    assert_eq!(outcome["domains"][0]["result"], "interrupted", "{ran}");
    let results: Vec<_> = (0..2).map(|i| outcome["domains"][0]["actions"][i]["result"].clone()).collect();
    assert_eq!(results, ["done", "skipped"], "{ran}");
    assert_eq!(guest.snapshots(), ["a"]);
    run(&root, &["apply", "--yes", &file]).exits(0);
    assert_eq!(guest.snapshots(), ["a", "b"]);
}

#[test]
fn code_130_the_second_interrupt_ends_at_once() {
    let fleet = Fleet::start(&["vm"]);
    let file = fleet.file("web.yaml", &declares("vm", ""));
    fleet.gate.shut();
    let child = fleet.snapward(&["apply", "--yes", &file]).spawn();
    fleet.gate.await_begun(1);
    signal(&child, Signal::INT);
    let told = until_told(child, "A second interrupt ends at once");
    signal(told.child(), Signal::INT);
    // The capture still waits at the gate: had the run waited for it, this would never end.
    told.ended().exits(130);
    fleet.gate.open();
}

#[test]
fn code_130_an_interrupt_at_the_question_changes_nothing() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &declares("vm", ""));
    let before = guest.xml();
    let ran = Terminal::apply(&root.uri(), &[&file]).until(QUESTION).press_ctrl_c().ended().exits(130);
    assert!(ran.stdout.ends_with("\nInterrupted.\n"), "{ran}");
    assert_eq!((guest.snapshots(), guest.xml()), (Vec::new(), before));
}

#[test]
fn code_6_whatever_uuid_libvirt_makes_up_for_its_host() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &declares("vm", ""));
    let hostname = root.virsh_ok(&["hostname"]);
    let domain = between(&guest.xml(), "<uuid>", "</uuid>").parse().expect("a UUID");
    let held = Lock::take(&lock_dir(), hostname.trim(), DomainUuid(domain)).unwrap_or_else(|error| panic!("{error:?}"));
    run(&root, &["apply", "--yes", &file]).exits(6);
    assert!(guest.snapshots().is_empty());
    drop(held);
    run(&root, &["apply", "--yes", &file]).exits(0);
}
