//! Deletions: only what is ours, only with a reason, never what is protected or held.

use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, actions, blocks, manifest, snapshot};
use crate::support::tools::qemu_img_snapshots;

#[test]
fn absent_deletes_metadata_and_content_and_may_come_back() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let present = manifest(&format!("  snapshots:\n{}{}", snapshot("a", &[]), snapshot("b", &[])));
    lab.apply(&present);
    let absent = manifest(&format!("  snapshots:\n    - {{name: a, state: absent}}\n{}", snapshot("b", &[])));
    assert_eq!(actions(&lab.apply(&absent).plan), ["delete a"]);
    assert_eq!((guest.snapshots(), qemu_img_snapshots(&guest.vda())), (vec!["b".into()], vec!["b".into()]));
    lab.settled(&absent);
    assert_eq!(
        actions(&lab.apply(&present).plan),
        ["create a"],
        "released: b's copy of the ledger does not hold it back"
    );
}

#[test]
fn a_running_domains_snapshot_is_deleted_too() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    guest.start();
    lab.apply(&manifest(&format!("  snapshots:\n{}", snapshot("a", &[]))));
    lab.apply(&manifest("  snapshots:\n    - {name: a, state: absent}\n"));
    assert_eq!((guest.snapshots(), qemu_img_snapshots(&guest.vda())), (vec![], vec![]));
}

#[test]
fn protection_outlives_the_manifest_and_is_lifted_in_two_steps() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    lab.apply(&manifest(&format!("  snapshots:\n{}", snapshot("a", &["protect: true"]))));
    assert!(guest.snapshot_xml("a").contains("Snapward-Protect: true"));
    let absent = manifest("  snapshots:\n    - {name: a, state: absent}\n");
    assert_eq!(blocks(&lab.apply(&absent).plan), ["Protected a"]);
    assert_eq!(guest.snapshots(), ["a"]);
    let lifted = manifest("  snapshots:\n    - {name: a, state: absent, protect: false}\n");
    assert_eq!(actions(&lab.apply(&lifted).plan), ["redefine a"], "the first apply lifts");
    assert_eq!(guest.snapshots(), ["a"]);
    assert_eq!(actions(&lab.apply(&lifted).plan), ["delete a"], "the second deletes");
    assert_eq!(guest.snapshots(), Vec::<String>::new());
}

#[test]
fn delete_after_waits_and_the_snapshot_does_not_come_back() {
    let root = EmbedRoot::new();
    let mut lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let declared = manifest(&format!("  snapshots:\n{}", snapshot("a", &["deleteAfter: 14d"])));
    lab.apply(&declared);
    lab.ahead = 13 * 86_400;
    lab.settled(&declared);
    lab.ahead = 15 * 86_400;
    assert_eq!(actions(&lab.apply(&declared).plan), ["delete a"]);
    assert_eq!(guest.snapshots(), Vec::<String>::new());
    let plan = lab.settled(&declared);
    assert!(plan.blocked.is_empty(), "its time is over; that is not drift: {:#?}", plan.blocked);
}

#[test]
fn a_hold_is_written_on_the_snapshot_and_keeps_it() {
    let root = EmbedRoot::new();
    let mut lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let held = manifest(&format!(
        "  snapshots:\n{}  holds: [{{snapshot: a, reason: audit, until: 2100-01-01}}]",
        snapshot("a", &["deleteAfter: 1h"])
    ));
    lab.apply(&held);
    assert!(guest.snapshot_xml("a").contains("Snapward-Hold: audit; 2100-01-01"));
    lab.ahead = 7200;
    let plan = lab.settled(&held);
    assert_eq!(plan.kept.len(), 1, "{plan:#?}");
    let released = manifest(&format!("  snapshots:\n{}", snapshot("a", &["deleteAfter: 1h"])));
    assert_eq!(actions(&lab.apply(&released).plan), ["delete a"]);
}

#[test]
fn a_tree_is_deleted_leaves_first_and_others_keep_their_place() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let list: String = ["a", "b", "c", "d"].iter().map(|name| snapshot(name, &[])).collect();
    lab.apply(&manifest(&format!("  snapshots:\n{list}")));
    let absent = manifest(&format!(
        "  snapshots:\n{}    - {{name: b, state: absent}}\n    - {{name: c, state: absent}}\n{}",
        snapshot("a", &[]),
        snapshot("d", &[])
    ));
    assert_eq!(actions(&lab.apply(&absent).plan), ["delete c", "delete b"]);
    assert_eq!(guest.snapshots(), ["a", "d"]);
    assert!(guest.snapshot_xml("d").contains("<name>a</name>"), "d moved to a");
    lab.settled(&absent);
}
