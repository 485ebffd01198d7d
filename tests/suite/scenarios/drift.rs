//! Changes by other hands, made with libvirt's own calls: healed or blocked, as the rules say.

use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, actions, blocks, manifest, snapshot};

fn two() -> String {
    format!("  snapshots:\n{}{}", snapshot("a", &["description: first"]), snapshot("b", &[]))
}

#[test]
fn a_deleted_snapshot_is_missing_and_recreated_only_on_request() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let declared = manifest(&two());
    lab.apply(&declared);
    guest.delete_snapshot("a");
    let plan = lab.settled(&declared);
    assert_eq!(blocks(&plan), ["Missing a"]);
    assert_eq!(plan.drift.len(), 1);
    lab.apply(&declared);
    assert_eq!(guest.snapshots(), ["b"], "nothing was captured under the old name");

    let wanted = manifest(&format!(
        "  snapshots:\n{}{}",
        snapshot("a", &["description: first", "recreate: true"]),
        snapshot("b", &[])
    ));
    assert_eq!(actions(&lab.apply(&wanted).plan), ["create a"]);
    lab.settled(&wanted);
    assert!(blocks(&lab.settled(&declared)).is_empty(), "the ledger knows the new capture");
}

#[test]
fn a_changed_description_is_put_right_and_nothing_else_changes() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").vnc_password("s3cret").define();
    guest.start();
    let declared = manifest(&two());
    lab.apply(&declared);
    let before = guest.snapshot_xml("a");
    assert!(before.contains("s3cret"));
    guest.edit_snapshot("a", false, |xml| xml.replace("first", "second"));
    assert_eq!(actions(&lab.plan(&declared).plan), ["redefine a"]);
    let plan = lab.apply(&declared).plan;
    assert_eq!(plan.drift[0].field, "description");
    assert_eq!(guest.snapshot_xml("a"), before, "byte for byte, the secret included");
    assert_eq!(guest.current(), "b", "a redefine leaves the pointer alone");
    lab.settled(&declared);
}

#[test]
fn the_secret_is_in_no_plan() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").vnc_password("s3cret").define();
    let declared = manifest(&two());
    lab.apply(&declared);
    guest.edit_snapshot("a", false, |xml| xml.replace("first", "second"));
    let plan = lab.plan(&declared).plan;
    let told = format!("{plan:?}{}", serde_json::to_string(&plan).unwrap());
    assert!(!told.contains("s3cret"));
}

#[test]
fn a_moved_pointer_is_put_back_and_never_touched_twice() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let declared = manifest(&format!("{}  current: a", two()));
    lab.apply(&declared);
    assert_eq!(guest.current(), "a");
    guest.edit_snapshot("b", true, |xml| xml);
    assert_eq!(guest.current(), "b");
    assert_eq!(actions(&lab.apply(&declared).plan), ["setCurrent a"]);
    assert_eq!(guest.current(), "a");
    lab.settled(&declared);
}

#[test]
fn a_pointer_that_is_not_declared_is_not_managed() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let declared = manifest(&two());
    lab.apply(&declared);
    guest.edit_snapshot("a", true, |xml| xml);
    lab.settled(&declared);
    assert_eq!(guest.current(), "a");
}

#[test]
fn a_moved_child_is_hung_back_under_its_parent() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let declared = manifest(&format!("  snapshots:\n{}{}", snapshot("a", &[]), snapshot("b", &["parent: a"])));
    lab.apply(&declared);
    guest.edit_snapshot("b", false, |xml| {
        let (head, rest) = xml.split_once("<parent>").expect("a parent");
        let (_, tail) = rest.split_once("</parent>").expect("closed");
        format!("{head}{tail}")
    });
    assert_eq!(actions(&lab.apply(&declared).plan), ["redefine b"]);
    assert!(guest.snapshot_xml("b").contains("<name>a</name>"));
    lab.settled(&declared);
}
