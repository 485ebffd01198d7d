//! Metadata restored from saved XML: after it was lost, and in a transient domain, which loses it whenever it stops.

use std::fs;
use std::path::PathBuf;

use snapward::cli::sources;
use snapward::model::ledger::LEDGER_NAMESPACE;

use crate::support::cmd::{Ran, snapward};
use crate::support::embed::EmbedRoot;
use crate::support::guest::{Guest, between};
use crate::support::lab::{Lab, actions, blocks, manifest, snapshot};
use crate::support::tools;

fn run(root: &EmbedRoot, args: &[&str]) -> Ran {
    snapward([&["-c", root.uri().as_str()], args].concat()).run()
}

/// A manifest that restores `a` from a file beside it.
fn restoring(root: &EmbedRoot, more: &[&str]) -> String {
    let fields = [&["definition: a.xml"], more].concat();
    root.file("restore.yaml", &manifest(&format!("  snapshots:\n{}", snapshot("a", &fields))))
}

/// Takes libvirt's knowledge of a snapshot and leaves its content, as a move to another host does.
fn forget(root: &EmbedRoot, name: &str) {
    root.virsh_ok(&["snapshot-delete", "--metadata", "vm", name]);
}

/// Captures `a` and `b` with snapward, saves the XML of `a`, and forgets it.
fn lost<'a>(root: &'a EmbedRoot) -> (Guest<'a>, String) {
    let guest = root.guest("vm").vnc_password("s3cret").define();
    let both = format!("  snapshots:\n{}{}", snapshot("a", &["description: first"]), snapshot("b", &[]));
    run(root, &["apply", "--yes", &root.file("both.yaml", &manifest(&both))]).exits(0);
    let saved = guest.snapshot_xml("a");
    root.file("a.xml", &saved);
    forget(root, "a");
    (guest, saved)
}

#[test]
fn lost_metadata_is_restored_byte_for_byte_and_the_pointer_stays() {
    let root = EmbedRoot::new();
    let (guest, saved) = lost(&root);
    let file = restoring(&root, &["description: first"]);
    let ran = run(&root, &["plan", "--detailed-exitcode", &file]).exits(2);
    assert!(ran.stdout.contains("~ redefine a") && ran.stdout.contains("a.xml"), "{ran}");
    let ran = run(&root, &["apply", "--yes", &file]).exits(0);
    assert_eq!(guest.snapshot_xml("a"), saved);
    assert!(saved.contains("s3cret") && !ran.to_string().contains("s3cret"), "{ran}");
    assert_eq!(guest.current(), "b");
    run(&root, &["plan", "--detailed-exitcode", &file]).exits(0);
    guest.revert("a");
}

#[test]
fn somebody_elses_saved_snapshot_gets_our_stamp_and_no_other_change() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    guest.snapshot("a", "<description>by hand</description>");
    let saved = guest.snapshot_xml("a");
    root.file("a.xml", &saved);
    forget(&root, "a");
    let file = restoring(&root, &[]);
    run(&root, &["apply", "--yes", &file]).exits(0);
    let restored = guest.snapshot_xml("a");
    assert_eq!(restored.replace("\n\nSnapward-Set: default/lab\nSnapward-Snapshot: a", ""), saved);
    run(&root, &["plan", "--detailed-exitcode", &file]).exits(0);
    run(&root, &["status", &file]).exits(0);
}

/// Asserts that the plan is blocked with these words, and that an apply leaves the domain as it is.
#[track_caller]
fn blocked(root: &EmbedRoot, guest: &Guest<'_>, file: &str, words: &str) {
    let before = guest.snapshots();
    let ran = run(root, &["plan", "-o", "json", file]).exits(0);
    let plan = ran.json();
    assert_eq!(plan["blocked"][0]["code"], "NotPossible", "{ran}");
    assert!(plan["blocked"][0]["text"].as_str().is_some_and(|text| text.contains(words)), "{ran}");
    assert_eq!(plan["blocked"][0]["origins"][0]["line"], 9, "{ran}");
    assert_eq!(plan["actions"], serde_json::json!([]), "{ran}");
    run(root, &["apply", "--yes", file]).exits(3);
    assert_eq!(guest.snapshots(), before);
}

#[test]
fn a_definition_that_does_not_fit_is_blocked_and_says_why() {
    let root = EmbedRoot::new();
    let (guest, saved) = lost(&root);
    let file = restoring(&root, &[]);
    let uuid = between(&saved, "<uuid>", "</uuid>");
    root.file("a.xml", &saved.replace(uuid, "11111111-2222-3333-4444-555555555555"));
    blocked(&root, &guest, &file, "belongs to domain 11111111-2222-3333-4444-555555555555, and this domain is");
    root.file("a.xml", &saved.replace("<name>a</name>", "<name>other</name>"));
    blocked(&root, &guest, &file, "describes the snapshot other");
    let (head, tail) = saved.split_once("</name>").expect("a name");
    root.file("a.xml", &format!("{head}</name><parent><name>gone</name></parent>{tail}"));
    blocked(&root, &guest, &file, "its parent gone is not there");
    root.file("a.xml", &saved);
    run(&root, &["apply", "--yes", &file]).exits(0);
}

#[test]
fn a_definition_whose_content_is_gone_is_blocked() {
    let root = EmbedRoot::new();
    let (guest, _) = lost(&root);
    tools::run("qemu-img", &["snapshot", "-d", "a", tools::text(&guest.vda())]);
    blocked(&root, &guest, &restoring(&root, &[]), "the image of disk vda holds no internal snapshot of this name");
}

#[test]
fn a_definition_that_is_no_snapshot_is_a_manifest_error() {
    let root = EmbedRoot::new();
    let file = restoring(&root, &[]);
    for (text, words) in [("<domain/>", "a.xml"), ("<domainsnapshot>", "a.xml"), ("", "a.xml")] {
        root.file("a.xml", text);
        let ran = run(&root, &["plan", &file]).exits(65);
        assert!(ran.stderr.contains(words) && ran.stderr.contains("restore.yaml:9:"), "{ran}");
    }
    fs::remove_file(root.path().join("a.xml")).expect("there");
    run(&root, &["plan", &file]).exits(65);
}

#[test]
fn a_transient_domain_is_captured_and_restored_after_it_came_back() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    guest.start();
    let domain = guest.xml();
    // A running domain without a stored definition is a transient one.
    root.hold().lookup_domain_by_name("vm").and_then(|domain| domain.undefine()).expect("undefined");
    let declared = manifest(&format!("  snapshots:\n{}", snapshot("a", &[])));
    assert_eq!(actions(&lab.apply(&declared).plan), ["create a"]);
    lab.settled(&declared);
    assert!(guest.xml().contains(r#"made name="a""#), "its ledger is in the running definition");
    let saved = guest.snapshot_xml("a");
    root.file("a.xml", &saved);

    guest.destroy();
    root.hold().create_domain_xml(&domain, 0).expect("it comes back");
    assert!(guest.snapshots().is_empty(), "libvirt forgot them with the domain");
    assert!(!guest.xml().contains(LEDGER_NAMESPACE));
    let plan = lab.settled(&declared);
    assert_eq!(blocks(&plan), ["NotPossible a"], "the content is still in the image");
    assert!(plan.blocked[0].way_out.contains("definition: FILE"));

    let path = PathBuf::from(restoring(&root, &[]));
    let restore = || sources::load(std::slice::from_ref(&path), &mut std::io::empty()).1.desired;
    let planned = lab.plan_desired(&restore());
    assert_eq!(actions(&planned.plan), ["redefine a"]);
    let outcome = lab.carry_out(&planned);
    assert_eq!(outcome.summary.done, 1, "{outcome:#?}");
    assert_eq!(guest.snapshot_xml("a"), saved);
    assert!(guest.xml().contains(r#"made name="a""#), "and is in the ledger again");
    assert_eq!(actions(&lab.plan_desired(&restore()).plan), Vec::<String>::new());
}
