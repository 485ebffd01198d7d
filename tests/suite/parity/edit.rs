//! `snapward snapshot edit` beside `virsh snapshot-edit`.

use rstest::rstest;

use super::twins::{Bed, DOM, State, Twins};

/// An editor that puts a description behind the snapshot's own name.
fn describing(bed: &Bed) -> String {
    let script =
        bed.file("describe.sed", "0,/<\\/name>/s/<\\/name>/&<description>edited \\&amp; seen<\\/description>/\n");
    format!("sed -i -f {script}")
}

/// An editor that renames the snapshot.
fn renaming(bed: &Bed, from: &str, to: &str) -> String {
    let script = bed.file("rename.sed", &format!("0,/<name>/s/<name>{from}</<name>{to}</\n"));
    format!("sed -i -f {script}")
}

fn internal(bed: &Bed) -> Twins<'_> {
    let twins = bed.twins("int", State::Stopped, &["vda"]);
    twins.by_hand(&["snapshot-create-as", DOM, "a"]).by_hand(&["snapshot-create-as", DOM, "b"]);
    twins
}

/// `e1` with `e2` and `f` below it; `f` is the current one.
fn external(bed: &Bed) -> Twins<'_> {
    let twins = bed.twins("ext", State::Stopped, &["vda"]);
    twins.by_hand(&["snapshot-create-as", DOM, "e1", "--disk-only"]);
    twins.by_hand(&["snapshot-create-as", DOM, "e2", "--disk-only"]);
    twins.by_hand(&["snapshot-revert", DOM, "e1"]).by_hand(&["snapshot-create-as", DOM, "f", "--disk-only"]);
    twins
}

#[rstest]
#[case::named(&["a"])]
#[case::the_current(&["--current"])]
#[case::named_and_made_current(&["a", "--current"])]
fn a_description(#[case] which: &[&str]) {
    let bed = Bed::new();
    let twins = internal(&bed);
    bed.editor(&describing(&bed));
    twins.same(&[&["snapshot-edit", DOM], which].concat(), &[&["edit", DOM], which].concat());
}

#[test]
fn a_description_in_an_external_tree() {
    let bed = Bed::new();
    let twins = external(&bed);
    bed.editor(&describing(&bed));
    for name in ["e1", "e2", "f"] {
        twins.same(&["snapshot-edit", DOM, "--snapshotname", name], &["edit", DOM, name]);
    }
}

#[test]
fn an_external_leaf_gets_another_name() {
    let bed = Bed::new();
    let twins = external(&bed);
    bed.editor(&renaming(&bed, "e2", "old"));
    twins.same(&["snapshot-edit", DOM, "e2", "--rename"], &["edit", DOM, "e2", "--rename"]);
}

#[test]
fn a_second_record_of_an_external_leaf() {
    let bed = Bed::new();
    let twins = external(&bed);
    bed.editor(&renaming(&bed, "e2", "copy"));
    twins.same(&["snapshot-edit", DOM, "e2", "--clone"], &["edit", DOM, "e2", "--clone"]);
}

#[rstest]
#[case::internal(false, "a", "--rename", "under its name")]
#[case::internal_clone(false, "a", "--clone", "holds no internal snapshot")]
#[case::current(true, "f", "--rename", "current external snapshot")]
#[case::with_children(true, "e1", "--rename", "hang below")]
fn a_name_that_must_stay(#[case] of_external: bool, #[case] name: &str, #[case] flag: &str, #[case] why: &str) {
    let bed = Bed::new();
    let twins = if of_external { external(&bed) } else { internal(&bed) };
    bed.editor(&renaming(&bed, name, "other"));
    let (theirs, ours) = twins.drive(&["snapshot-edit", DOM, name, flag], &["edit", DOM, name, flag]);
    assert!(theirs.status.success(), "virsh does it");
    let ran = ours.exits(1);
    assert!(ran.stderr.contains(why) && ran.stderr.contains("the text is kept in"), "{ran}");
    assert!(!twins.snapshots(twins.second()).contains(&"other".to_owned()));
}

#[test]
fn a_name_changed_without_being_asked_for() {
    let bed = Bed::new();
    let twins = internal(&bed);
    bed.editor(&renaming(&bed, "a", "other"));
    let (theirs, ours) = twins.drive(&["snapshot-edit", DOM, "a"], &["edit", DOM, "a"]);
    assert!(!theirs.status.success());
    drop(ours.exits(1));
    twins.assert_same();
}

#[test]
fn an_editor_that_fails_and_one_that_changes_nothing() {
    let bed = Bed::new();
    let twins = internal(&bed);
    let (theirs, ours) = twins.drive(&["snapshot-edit", DOM, "a"], &["edit", DOM, "a"]);
    assert!(!theirs.status.success());
    drop(ours.exits(1));
    bed.editor("true");
    twins.same(&["snapshot-edit", DOM, "a"], &["edit", DOM, "a"]);
}
