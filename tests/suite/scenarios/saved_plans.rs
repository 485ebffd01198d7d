//! What was approved is what is done: plans saved to a file, applied later, and refused where anything is another.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use snapward::model::saved::sha256;

use crate::support::cmd::{Ran, snapward};
use crate::support::embed::EmbedRoot;
use crate::support::fleet::Fleet;
use crate::support::guest::{Guest, between};
use crate::support::lab::{manifest, set, snapshot};
use crate::support::terminal::{QUESTION, Terminal};

fn run(root: &EmbedRoot, args: &[&str]) -> Ran {
    snapward([&["-c", root.uri().as_str()], args].concat()).run()
}

/// Declares `a` in these domains.
fn declares(domains: &str) -> String {
    set("lab", &format!("  domains: {{include: [{domains}]}}\n  snapshots:\n{}", snapshot("a", &[])))
}

/// Saves the plan of a manifest, and returns the file.
fn save(root: &EmbedRoot, manifest: &str) -> String {
    let out = root.path().join("web.plan").to_str().expect("UTF-8").to_owned();
    run(root, &["plan", "--out", &out, manifest]).exits(0);
    out
}

fn apply(plan: &str) -> Ran {
    snapward(["apply", "--yes", "--plan", plan]).run()
}

/// Changes a saved plan and makes its checksum fit, as a program with an interest in it could.
fn forge(plan: &str, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(plan).expect("read")).expect("JSON");
    change(&mut value);
    value.as_object_mut().expect("an object").remove("checksum");
    value["checksum"] = sha256(value.to_string().as_bytes()).into();
    fs::write(plan, value.to_string()).expect("written");
}

#[test]
fn a_saved_plan_is_private_and_carried_out_once() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &declares("vm"));
    let shown = run(&root, &["plan", &file]).exits(0).stdout;
    let out = root.file("web.plan", "an older plan, for all to read");
    let ran = run(&root, &["plan", "--out", &out, &file]).exits(0);
    assert_eq!(ran.stdout, shown, "what is saved is also shown");
    assert!(ran.stderr.contains(&format!("snapward apply --plan {out}")), "{ran}");
    assert_eq!(fs::metadata(&out).expect("written").permissions().mode() & 0o777, 0o600);
    let saved: Value = serde_json::from_slice(&fs::read(&out).expect("read")).expect("JSON");
    assert!(ran.stderr.contains(saved["plan"]["planId"].as_str().expect("an id")), "{ran}");

    fs::remove_file(&file).expect("there");
    let ran = apply(&out).exits(0);
    assert!(ran.stdout.contains(shown.trim_end()) && ran.stdout.ends_with("\nApply: 1 done.\n"), "{ran}");
    assert_eq!(guest.snapshots(), ["a"]);
    let ran = apply(&out).exits(4);
    assert!(ran.stdout.contains("its snapshots or disks changed since the plan was made"), "{ran}");
    assert!(ran.stdout.contains("1 domain changed after the plan was made: make a new plan for the rest."), "{ran}");
    guest.delete_snapshot("a");
    let ran = apply(&out).exits(4);
    assert!(ran.stdout.contains("snapshot a was captured by another run, and deleted,"), "{ran}");
    assert!(guest.snapshots().is_empty(), "all is as it was planned for, and still nothing is captured again");
}

#[test]
fn a_saved_plan_settles_what_the_manifest_asks_for() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    guest.snapshot("b", "<description>by hand</description>");
    run(&root, &["apply", "--yes", &root.file("web.yaml", &declares("vm"))]).exits(0);
    let second = format!(
        "  snapshots:\n    - {{name: a, state: absent}}\n{}{}  current: c\n  holds: [{{snapshot: b, reason: audit, \
         until: 2100-01-01}}]\n",
        snapshot("b", &["adopt: true", "description: 'taken over: <&> \u{1F600}'"]),
        snapshot("c", &["protect: true"])
    );
    let file = root.file("web.yaml", &manifest(&second));
    let out = save(&root, &file);
    apply(&out).exits(0);
    assert_eq!(guest.snapshots(), ["b", "c"]);
    run(&root, &["plan", "--detailed-exitcode", &file]).exits(0);
    run(&root, &["status", &file]).exits(0);
    assert!(guest.xml().contains(r#"made name="b""#), "the ledger was kept as well");
}

#[test]
fn a_lost_snapshot_is_captured_again_once() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let file = root
        .file("web.yaml", &manifest(&format!("  snapshots:\n{}", snapshot("a", &["adopt: true", "recreate: true"]))));
    // Long ago, because libvirt's times of captures are in seconds.
    guest.snapshot("a", "");
    guest.edit_snapshot("a", true, |xml| {
        let created = between(&xml, "<creationTime>", "</creationTime>").to_owned();
        xml.replace(&created, "1600000000")
    });
    run(&root, &["apply", "--yes", &file]).exits(0);
    guest.delete_snapshot("a");
    let out = save(&root, &file);
    apply(&out).exits(0);
    assert_eq!(guest.snapshots(), ["a"]);
    guest.delete_snapshot("a");
    let ran = apply(&out).exits(4);
    assert!(ran.stdout.contains("snapshot a was captured by another run, and deleted,"), "{ran}");
    assert!(guest.snapshots().is_empty());
}

#[test]
fn a_domain_that_changed_is_left_alone_and_named() {
    let root = EmbedRoot::new();
    let guests = ["one", "two"].map(|name| root.guest(name).define());
    let out = save(&root, &root.file("web.yaml", &declares("one, two")));
    guests[0].snapshot("by-hand", "");
    let ran = apply(&out).exits(5);
    assert!(ran.stdout.contains("/one: changed after the plan was made") && ran.stdout.contains("/two: done"), "{ran}");
    assert_eq!((guests[0].snapshots(), guests[1].snapshots()), (vec!["by-hand".to_owned()], vec!["a".to_owned()]));
    let ran = apply(&out).exits(4);
    assert!(
        ran.stdout.contains("/one: changed after the plan was made")
            && ran.stdout.contains("/two: changed after the plan was made"),
        "{ran}"
    );
}

/// Asserts that the plan is refused as bad input with these words.
#[track_caller]
fn refused(plan: &str, words: &str) {
    let ran = apply(plan).exits(65);
    assert!(ran.stderr.contains(words) && ran.stderr.contains("nothing was done"), "{ran}");
}

#[test]
fn a_file_that_is_no_whole_saved_plan_is_refused() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &declares("vm"));
    let out = save(&root, &file);
    let good = fs::read_to_string(&out).expect("read");
    let with = |text: &str| root.file("bad.plan", text);
    refused(&with(&good.replace("\"a\"", "\"b\"")), "its checksum does not fit");
    refused(&with(&good[..good.len() / 2]), "is not JSON");
    refused(&with(""), "is not JSON");
    refused(&with("{}"), "is not a saved plan");
    refused(&with(&"[".repeat(100_000)), "is not JSON");
    refused(&with(&run(&root, &["plan", "-o", "json", &file]).exits(0).stdout), "is the output of `plan -o json`");
    refused(&with(&good.replacen("\"formatVersion\": 1", "\"formatVersion\": 2", 2)), "has the format version 2");
    refused("/nonexistent/web.plan", "cannot be read");
    refused(root.path().to_str().expect("UTF-8"), "cannot be read");
    let huge = with("");
    fs::OpenOptions::new().write(true).open(&huge).and_then(|file| file.set_len(65 << 20)).expect("a sparse file");
    refused(&huge, "bytes of the largest plan");
    let foreign = with(&good);
    forge(&foreign, |plan| plan["plan"]["actions"][0]["action"] = "levitate".into());
    refused(&foreign, "a version of snapward that this one does not understand");
    assert!(guest.snapshots().is_empty());
    let spaced = with(&good.replace('\n', "\r\n"));
    apply(&spaced).exits(0);
    assert_eq!(guest.snapshots(), ["a"], "line ends do not matter");
}

#[test]
fn a_plan_for_another_time_is_saved_and_not_applied() {
    let root = EmbedRoot::new();
    root.guest("vm").define();
    let file = root.file("web.yaml", &declares("vm"));
    let out = root.file("web.plan", "");
    let ran = run(&root, &["plan", "--at", "2100-01-01", "--out", &out, &file]).exits(0);
    assert!(ran.stderr.contains("it was made with --at, so it cannot be applied"), "{ran}");
    refused(&out, "was made as of 2100-01-01T00:00:00Z");
}

#[test]
fn a_plan_that_cannot_be_saved_leaves_what_was_there() {
    let root = EmbedRoot::new();
    root.guest("vm").define();
    let file = root.file("web.yaml", &declares("vm"));
    for out in ["/dev/null", "/nonexistent/web.plan", root.path().to_str().expect("UTF-8")] {
        let ran = run(&root, &["plan", "--out", out, &file]).exits(1);
        assert!(ran.stderr.contains(out) && ran.stdout.contains("Plan: 1 to create"), "{ran}");
    }
    run(&root, &["plan", "--out", "-", &file]).exits(64);
}

#[test]
fn another_host_is_refused_and_another_way_to_the_host_is_not() {
    let fleet = Fleet::start(&["vm"]);
    let out = fleet.file("web.plan", "");
    fleet.run(&["plan", "--out", &out, &fleet.file("web.yaml", &declares("vm"))]).exits(0);
    let via = |uri: &str| snapward(["-c", uri, "apply", "--yes", "--plan", &out]).run();
    let ran = via("test:///default").exits(1);
    assert!(ran.stderr.contains("and the plan is about"), "{ran}");
    let ran = via("qemu+unix:///system?socket=/nonexistent/libvirt-sock").exits(1);
    assert!(ran.stderr.contains("could not be reached"), "{ran}");

    let good = fs::read_to_string(&out).expect("read");
    forge(&out, |plan| plan["hosts"][0]["hostname"] = "another".into());
    let ran = apply(&out).exits(1);
    assert!(ran.stderr.contains("leads to another host now") && ran.stderr.contains("nothing was done"), "{ran}");
    assert!(fleet.snapshots("vm").is_empty());

    fs::write(&out, good).expect("written");
    forge(&out, |plan| plan["hosts"][0]["uri"] = "qemu+unix:///system?socket=/nonexistent/libvirt-sock".into());
    let ran = apply(&out).exits(1);
    assert!(ran.stderr.contains("no host of the plan was to be had; nothing was done"), "{ran}");
    let two_ways = format!("{}&x=1", fleet.uri());
    let ran = snapward(["-c", &fleet.uri(), "-c", &two_ways, "apply", "--yes", "--plan", &out]).run().exits(1);
    assert!(ran.stderr.contains("which another -c leads to"), "{ran}");
    assert!(fleet.snapshots("vm").is_empty());
    via(&fleet.uri()).exits(0);
    assert_eq!(fleet.snapshots("vm"), ["a"], "-c is another way to the host of the plan");
}

#[test]
fn a_host_that_went_down_does_not_hold_up_the_others() {
    let (root, fleet) = (EmbedRoot::new(), Fleet::start(&["vm"]));
    let guest = root.guest("vm").define();
    let inventory = format!(
        "---\napiVersion: snapward/v1\nkind: Inventory\nmetadata: {{name: all}}\nspec:\n  hosts:\n\
         \x20   - {{name: up, uri: \"{}\"}}\n    - {{name: down, uri: \"{}\"}}\n",
        root.uri(),
        fleet.uri()
    );
    let file = root.file("web.yaml", &(declares("vm") + &inventory));
    let out = root.path().join("web.plan").to_str().expect("UTF-8").to_owned();
    snapward(["plan", "--out", &out, &file]).run().exits(0);
    drop(fleet);
    let ran = apply(&out).exits(5);
    assert!(ran.stdout.contains("up/vm: done") && ran.stdout.contains("down/vm: failed"), "{ran}");
    assert!(ran.stdout.contains("its host could not be reached"), "{ran}");
    assert_eq!(guest.snapshots(), ["a"]);
}

#[test]
fn the_id_of_a_reviewed_plan_is_expected_on_another_checkout() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let reviewed = run(&root, &["plan", "-o", "json", &root.file("web.yaml", &declares("vm"))]).exits(0).json();
    let id = reviewed["planId"].as_str().expect("an id").to_owned();
    fs::create_dir(root.path().join("main")).expect("made");
    let merged = root.file("main/web.yaml", &format!("# a comment above\n\n{}", declares("vm")));
    let other = root.file("other.yaml", &declares("vm").replace("name: a", "name: b"));

    let ran = run(&root, &["apply", "--yes", "--expect-plan", &id, &other]).exits(4);
    assert!(ran.stderr.contains(&format!("and not {id}")) && ran.stderr.contains("nothing was done"), "{ran}");
    guest.snapshot("by-hand", "");
    run(&root, &["apply", "--yes", "--expect-plan", &id, &merged]).exits(4);
    assert_eq!(guest.snapshots(), ["by-hand"]);
    guest.delete_snapshot("by-hand");
    run(&root, &["apply", "--yes", "--expect-plan", &id, &merged]).exits(0);
    assert_eq!(guest.snapshots(), ["a"]);

    let out = save(&root, &other);
    snapward(["apply", "--yes", "--expect-plan", &id, "--plan", &out]).run().exits(4);
    assert_eq!(guest.snapshots(), ["a"]);
    for args in [&["--expect-plan", "5f2c9a", &other][..], &["--plan", &out, &other], &[]] {
        snapward([&["apply", "--yes"], args].concat()).run().exits(64);
    }
}

#[test]
fn saved_xml_is_read_again_and_its_secrets_are_not_in_the_plan() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").vnc_password("s3cret").define();
    run(&root, &["apply", "--yes", &root.file("web.yaml", &declares("vm"))]).exits(0);
    let saved = guest.snapshot_xml("a");
    assert!(saved.contains("s3cret"));
    root.virsh_ok(&["snapshot-delete", "--metadata", "vm", "a"]);
    let xml = root.file("a.xml", &saved);
    let fields = snapshot("a", &["definition: a.xml"]);
    let out = save(&root, &root.file("restore.yaml", &manifest(&format!("  snapshots:\n{fields}"))));
    let text = fs::read_to_string(&out).expect("read");
    assert!(text.contains("a.xml") && !text.contains("s3cret") && !text.contains("<domainsnapshot>"), "{text}");

    fs::write(&xml, saved.replace("s3cret", "s4cret")).expect("written");
    refused(&out, "changed after the plan was made");
    fs::remove_file(&xml).expect("there");
    refused(&out, "cannot be read");
    assert!(guest.snapshots().is_empty());
    fs::write(&xml, &saved).expect("written");
    apply(&out).exits(0);
    assert_eq!(guest.snapshot_xml("a"), saved);
}

/// A domain in which two deletions by age are due and its policy allows one.
fn over_the_breaker(root: &EmbedRoot) -> (Guest<'_>, String) {
    let guest = root.guest("vm").define();
    let aged = |name| snapshot(name, &["deleteAfter: 14d"]);
    let file = root.file(
        "web.yaml",
        &(manifest(&format!("  snapshots:\n{}{}  safety: {{policyRef: careful}}\n", aged("a"), aged("b")))
            + "---\napiVersion: snapward/v1\nkind: SafetyPolicy\nmetadata: {name: careful}\n\
               spec: {maxDeletes: {perDomain: 1}}\n"),
    );
    run(root, &["apply", "--yes", &file]).exits(0);
    for name in ["a", "b"] {
        guest.edit_snapshot(name, false, |xml| {
            let created = between(&xml, "<creationTime>", "</creationTime>").to_owned();
            xml.replace(&created, "1600000000")
        });
    }
    let ran = run(root, &["apply", "--yes", &file]).exits(3);
    assert!(ran.stdout.contains("TooManyDeletes") && ran.stdout.contains("--expect-plan"), "{ran}");
    assert_eq!(guest.snapshots(), ["a", "b"]);
    (guest, file)
}

/// The id that the text of a plan names.
fn shown_id(ran: &Ran) -> String {
    between(&ran.stdout, "The id of this plan, for snapward apply --expect-plan: ", "\n").to_owned()
}

#[test]
fn deletions_over_the_breaker_wait_for_who_names_their_plan() {
    let root = EmbedRoot::new();
    let (guest, file) = over_the_breaker(&root);
    let id = shown_id(&run(&root, &["plan", &file]).exits(0));
    let out = save(&root, &file);
    let ran = apply(&out).exits(3);
    assert_eq!(shown_id(&ran), id);
    assert_eq!(guest.snapshots(), ["a", "b"], "a job that saves and applies by itself approves nothing");
    let other = id.replace(|c: char| c.is_ascii_digit(), "a");
    run(&root, &["apply", "--yes", "--expect-plan", &other, &file]).exits(4);
    assert_eq!(guest.snapshots(), ["a", "b"]);
    let ran = run(&root, &["apply", "--yes", "--expect-plan", &id, &file]).exits(0);
    assert!(ran.stdout.contains("Plan: 2 to delete") && ran.stdout.ends_with("\nApply: 2 done.\n"), "{ran}");
    assert!(guest.snapshots().is_empty());
    // The saved one is about snapshots that are gone.
    snapward(["apply", "--yes", "--expect-plan", &id, "--plan", &out]).run().exits(4);
}

#[test]
fn deletions_over_the_breaker_are_part_of_a_saved_plan_that_is_confirmed_or_named() {
    let root = EmbedRoot::new();
    let (guest, file) = over_the_breaker(&root);
    let out = save(&root, &file);
    let asked = Terminal::apply(&root.uri(), &["--plan", &out]).until(QUESTION);
    assert!(asked.shown().contains("Plan: 2 to delete"), "{}", asked.shown());
    asked.type_line("no").ended().exits(1);
    assert_eq!(guest.snapshots(), ["a", "b"]);
    let id = shown_id(&run(&root, &["plan", &file]).exits(0));
    snapward(["apply", "--yes", "--expect-plan", &id, "--plan", &out]).run().exits(0);
    assert!(guest.snapshots().is_empty());
    assert!(Path::new(&out).exists());
}
