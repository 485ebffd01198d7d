//! Holds by hand: they outlast the manifest, and nobody deletes past them.

use crate::support::cmd::{Ran, snapward};
use crate::support::embed::EmbedRoot;
use crate::support::lab::{manifest, snapshot};

fn run(root: &EmbedRoot, args: &[&str]) -> Ran {
    snapward([&["-c", root.uri().as_str()], args].concat()).run()
}

#[test]
fn a_hold_by_hand_outlasts_the_manifest_until_it_is_lifted() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let set = |fields: &[&str]| manifest(&format!("  snapshots:\n{}", snapshot("a", fields)));
    let present = root.file("present.yaml", &set(&[]));
    let absent = root.file("absent.yaml", &set(&["state: absent"]));
    run(&root, &["apply", "--yes", &present]).exits(0);
    run(&root, &["snapshot", "hold", "vm", "a", "--reason", "audit 2026", "--until", "2999-01-01"]).exits(0);
    assert!(guest.snapshot_xml("a").contains("Snapward-Hold-By-Hand: audit 2026; 2999-01-01"));
    // The manifest declares no hold; that is no reason to take this one away.
    run(&root, &["plan", "--detailed-exitcode", &present]).exits(0);
    let ran = run(&root, &["snapshot", "info", "vm", "a"]).exits(0);
    assert!(ran.stdout.contains("audit 2026"), "{ran}");
    run(&root, &["apply", "--yes", &absent]).exits(3);
    let ran = run(&root, &["snapshot", "delete", "vm", "a", "--yes"]).exits(1);
    assert!(ran.stderr.contains("on hold") && ran.stderr.contains("snapward snapshot unhold vm a"), "{ran}");
    run(&root, &["snapshot", "delete", "vm", "a", "--metadata-only", "--yes"]).exits(1);
    assert_eq!(guest.snapshots(), ["a"]);
    run(&root, &["snapshot", "unhold", "vm", "a"]).exits(0);
    assert!(!guest.snapshot_xml("a").contains("Hold"));
    run(&root, &["snapshot", "unhold", "vm", "a"]).exits(1);
    run(&root, &["apply", "--yes", &absent]).exits(0);
    assert!(guest.snapshots().is_empty());
}

#[test]
fn what_belongs_to_nobody_cannot_be_held() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    run(&root, &["snapshot", "create", "vm", "mine", "--description", "by hand"]).exits(0);
    let before = guest.snapshot_xml("mine");
    let ran = run(&root, &["snapshot", "hold", "vm", "mine", "--reason", "x"]).exits(1);
    assert!(ran.stderr.contains("belongs to no set") && ran.stderr.contains("adopt"), "{ran}");
    run(&root, &["snapshot", "hold", "vm", "mine", "--reason", "a; b"]).exits(64);
    assert_eq!(guest.snapshot_xml("mine"), before);
}

#[test]
fn what_a_person_captures_is_nobodys_and_no_set_counts_it() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let file = root.file("set.yaml", &manifest(&format!("  snapshots:\n{}", snapshot("a", &[]))));
    run(&root, &["apply", "--yes", &file]).exits(0);
    run(&root, &["snapshot", "create", "vm", "mine"]).exits(0);
    assert!(!guest.xml().contains(r#"made name="mine""#), "the ledger is of what sets declare");
    let plan = run(&root, &["plan", "-o", "json", &file]).exits(0).json();
    assert_eq!(plan["unmanaged"][0]["address"]["snapshot"], "mine");
    let ran = run(&root, &["snapshot", "create", "vm", "b", "--description", "x\nSnapward-Set: default/lab"]).exits(1);
    assert!(ran.stderr.contains("Snapward-Set"), "{ran}");
    assert_eq!(guest.snapshots(), ["a", "mine"]);
}
