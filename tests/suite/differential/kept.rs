//! Sequences in which model and driver once differed: what libvirt and QEMU were found to do that nobody had thought of.

use std::collections::BTreeMap;

use snapward::libvirt::Access;
use snapward::model::kinds::Power;
use snapward::model::names::SnapshotName;

use super::generate::Outcome::{self, Done, Halfway, Refused};
use super::op::{Kind, Op};
use super::{Both, EmbedRoot};

fn name(text: &str) -> SnapshotName {
    SnapshotName::observed(text)
}

fn create(text: &str, kind: Kind) -> Op {
    Op::Create { name: name(text), kind, reuse: false }
}

/// Makes these calls, and expects each to end so on both sides.
#[track_caller]
fn expect(calls: &[(Op, Outcome)]) {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let mut both = Both::define(Some((&root, &host)), "vm", &[("vda", "qcow2")]);
    for ((op, outcome), number) in calls.iter().zip(1..) {
        assert_eq!(both.call(op, number), *outcome, "{op:?}");
    }
}

/// QEMU gives the images of a paused guest up when its memory was written to a file, and takes them again when it is resumed.
/// The refused merge leaves a mark on the snapshot that it was to merge into, which then cannot be deleted either.
#[test]
fn after_a_capture_of_its_memory_a_paused_domain_merges_nothing() {
    expect(&[
        (create("s0", Kind::Disks), Done),
        (create("s1", Kind::Disks), Done),
        (Op::Start, Done),
        (create("s2", Kind::Memory), Done),
        (Op::Delete(name("s1")), Halfway),
        (Op::Delete(name("s0")), Refused),
        (create("s3", Kind::Memory), Refused),
        (create("s4", Kind::Internal), Refused),
        (Op::Stop, Done),
        (Op::Start, Done),
        (Op::Delete(name("s1")), Done),
        (Op::Delete(name("s0")), Done),
    ]);
}

#[test]
fn after_a_revert_to_memory_a_paused_domain_merges_nothing_and_is_captured() {
    expect(&[
        (create("s0", Kind::Disks), Done),
        (Op::Start, Done),
        (create("s1", Kind::Memory), Done),
        (Op::Revert(name("s1"), Power::AsCaptured), Done),
        (create("s2", Kind::Disks), Done),
        (Op::Delete(name("s0")), Refused),
        (create("s3", Kind::Memory), Done),
        (create("s4", Kind::Memory), Refused),
    ]);
}

/// Where a snapshot goes, its parent's revert overlays take the place of those of its capture, whatever stands on those.
#[test]
fn a_deleted_child_makes_its_parents_revert_overlays_the_ones_of_the_capture() {
    expect(&[
        (create("s0", Kind::Disks), Done),
        (create("s1", Kind::Disks), Done),
        (create("s2", Kind::Disks), Done),
        (Op::Revert(name("s1"), Power::AsCaptured), Done),
        (create("s3", Kind::Disks), Done),
        (Op::GiveOverlays(name("s0"), BTreeMap::from([("vda".to_owned(), "/nowhere".to_owned())])), Done),
        (Op::Forget(name("s1")), Done),
    ]);
}

/// A merge renames the images in the records of external snapshots above it, and not in those of internal ones.
#[test]
fn an_internal_snapshot_keeps_the_name_of_an_image_that_was_merged() {
    expect(&[
        (create("s0", Kind::Disks), Done),
        (create("s1", Kind::Disks), Done),
        (Op::Start, Done),
        (create("s2", Kind::Internal), Done),
        (Op::Delete(name("s1")), Outcome::Harm),
    ]);
}

/// libvirt looks for the overlay of the current snapshot at the top of the chain, wherever the pointer is.
#[test]
fn a_current_snapshot_whose_overlay_is_further_down_is_not_deleted() {
    expect(&[
        (create("s0", Kind::Disks), Done),
        (create("s1", Kind::Disks), Done),
        (Op::Start, Done),
        (Op::Forget(name("s1")), Done),
        (Op::Delete(name("s0")), Refused),
    ]);
}

/// A revert to a snapshot on which nothing stands gives it new overlays, and with the old ones goes the mark on them.
#[test]
fn a_revert_to_a_leaf_takes_the_mark_of_a_deletion_that_failed_away() {
    expect(&[
        (Op::Start, Done),
        (create("s0", Kind::Memory), Done),
        (create("s1", Kind::Disks), Done),
        (create("s2", Kind::Disks), Done),
        (Op::Delete(name("s2")), Halfway),
        (Op::Forget(name("s2")), Done),
        (Op::Revert(name("s1"), Power::Paused), Done),
    ]);
}

/// A revert to an internal snapshot leaves the record of the one that was current as it is.
#[test]
fn a_revert_to_an_internal_snapshot_leaves_the_overlays_of_another_revert() {
    expect(&[
        (create("s0", Kind::Internal), Done),
        (create("s1", Kind::Disks), Done),
        (Op::GiveOverlays(name("s1"), BTreeMap::from([("vda".to_owned(), "/nowhere".to_owned())])), Done),
        (Op::Revert(name("s0"), Power::AsCaptured), Done),
    ]);
}
