//! The current snapshot is a pointer that libvirt believes: where it is wrong, libvirt takes the live disk's files for
//! those of a dead branch. Cases A, K and P, the no-op set-current, and the forgotten revert overlay.

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;
use crate::support::guest::between;

use super::{absent, adopt, assert_chain_is_broken, assert_refused, declared, linear};
use crate::support::lab::actions;

/// Case A: e1-e2, current e2, about to be set to e1.
fn case_a(root: &EmbedRoot) -> Chain<'_> {
    linear(root, &["e1", "e2"])
}

/// Case A. `snapshot-current vm e1` moves the pointer off the overlay in use; deleting e2, now a leaf that is not current,
/// then unlinks the file that the live overlay is backed by.
#[test]
fn a_moved_pointer_lets_a_delete_unlink_the_live_backing_file() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_a(&root);
    chain.guest.set_current("e1");
    chain.assert_intact();
    chain.guest.delete_snapshot("e2");
    assert_eq!(root.images(), ["vm-vda.e2", "vm-vda.qcow2"]);
    assert_chain_is_broken(&chain, "vm-vda.e1");
    assert_eq!((chain.guest.current(), chain.held("e1")), ("e1".to_owned(), Ok(1)));
}

/// Case K: the pointer is on e1 while e2's overlay is the active image.
fn case_k(root: &EmbedRoot) -> Chain<'_> {
    let chain = case_a(root);
    chain.guest.set_current("e1");
    chain
}

/// Case K. Setting the pointer to the snapshot whose overlay is active repairs it: deletes merge again.
#[test]
fn a_wrong_pointer_is_repaired_by_setting_it_to_the_active_overlays_snapshot() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_k(&root);
    chain.guest.set_current("e2");
    chain.guest.delete_snapshot("e2");
    assert_eq!(chain.files("vda"), ["vm-vda.e1", "vm-vda.qcow2"]);
    chain.assert_intact();
    chain.assert_no_orphans();
    chain.guest.start_paused();
}

/// Fact 4: e1-e2, reverted to e1, which thereby got `<revertDisks>` and is current.
fn reverted(root: &EmbedRoot) -> Chain<'_> {
    let mut chain = case_a(root);
    chain.revert("e1");
    chain
}

fn revert_disks(xml: &str) -> Option<&str> {
    xml.contains("<revertDisks>").then(|| between(xml, "<revertDisks>", "</revertDisks>"))
}

/// Fact 4. Setting the pointer to what is current already drops `<revertDisks>`. The next revert takes e1's first overlay
/// for the one in use and unlinks it: the file that e2 froze, which the disk was just put on.
#[test]
fn a_no_op_set_current_lets_a_revert_unlink_what_it_reverts_to() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = reverted(&root);
    let in_use = chain.disk("vda");
    assert_eq!(chain.guest.current(), "e1");
    assert!(revert_disks(&chain.guest.snapshot_xml("e1")).is_some());

    chain.guest.set_current("e1");
    assert_eq!(revert_disks(&chain.guest.snapshot_xml("e1")), None);
    chain.assert_intact();

    chain.revert("e2");
    assert!(in_use.exists(), "what the revert should have unlinked is left behind");
    chain.held("e2").expect_err("captured, and gone");
    assert_chain_is_broken(&chain, "vm-vda.e1");
}

/// Case K. A pointer that was moved off a snapshot with `<revertDisks>` and back has lost them; a redefine without CURRENT
/// that carries them brings them back, and the next revert destroys nothing.
#[test]
fn lost_revert_disks_are_brought_back_by_a_redefine() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = reverted(&root);
    let before = chain.guest.snapshot_xml("e1");
    let disks = revert_disks(&before).expect("reverted to").to_owned();
    chain.guest.set_current("e2");
    chain.guest.set_current("e1");
    assert_eq!(revert_disks(&chain.guest.snapshot_xml("e1")), None);

    chain.guest.edit_snapshot("e1", false, |xml| {
        xml.replacen("</disks>", &format!("</disks>\n  <revertDisks>{disks}</revertDisks>"), 1)
    });
    assert_eq!(chain.guest.snapshot_xml("e1"), before);
    chain.revert("e2");
    chain.assert_intact();
    chain.assert_no_orphans();
}

/// Case P: e1-e2, current e2, about to be renamed. From outside, for virsh.
fn case_p(root: &EmbedRoot) -> Chain<'_> {
    linear(root, &["e1", "e2"])
}

/// Case P. Renaming the current external snapshot makes a second entry and drops the first, which moves the pointer to the
/// parent while the disk stays on the overlay; then case A.
#[test]
fn renaming_the_current_snapshot_moves_the_pointer_to_its_parent() {
    let root = EmbedRoot::new();
    let chain = case_p(&root);
    let editor = [("VISUAL", "sed -i 's,<name>e2<,<name>new<,'")];
    let renamed = root.virsh_in(&editor, &["snapshot-edit", "vm", "e2", "--rename"]);
    assert!(renamed.status.success(), "{renamed:?}");
    assert_eq!((chain.guest.snapshots(), chain.guest.current()), (vec!["e1".into(), "new".into()], "e1".into()));
    assert_eq!(chain.disk("vda"), root.image("vm-vda.e2"));

    chain.guest.delete_snapshot("new");
    assert_eq!(root.images(), ["vm-vda.e2", "vm-vda.qcow2"]);
    assert_chain_is_broken(&chain, "vm-vda.e1");
}

/// Case A. snapward does not move the pointer off the overlay in use.
#[test]
fn snapward_moves_no_pointer_off_the_overlay_in_use() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_a(&root);
    let lab = adopt(&root, &["e1", "e2"]);
    let asked = declared(&["e1", "e2"], "  current: e1\n");
    assert_refused(&lab, &root, &chain, &asked, &["CurrentUnsafe e1"], &["the pointer is on e2"]);
}

/// Cases A and K. Where another moved it, it goes back before anything is deleted.
#[test]
fn snapward_repairs_a_moved_pointer_before_anything_is_deleted() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_a(&root);
    let lab = adopt(&root, &["e1", "e2"]);
    chain.guest.set_current("e1");
    let planned = lab.apply(&declared(&["e1"], &absent("e2")));
    assert_eq!(actions(&planned.plan), ["setCurrent e2", "delete e2"]);
    assert_eq!(chain.guest.snapshots(), ["e1"]);
    chain.assert_intact();
    chain.assert_no_orphans();
}

/// Fact 4. What is current already is not set again.
#[test]
fn snapward_sends_no_set_current_that_changes_nothing() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = reverted(&root);
    let lab = adopt(&root, &["e1", "e2"]);
    lab.settled(&declared(&["e1", "e2"], "  current: e1\n"));
    assert!(revert_disks(&chain.guest.snapshot_xml("e1")).is_some());
    chain.revert("e2");
    chain.assert_intact();
}

/// Case K. Lost revert overlays are written back before anything else is done.
#[test]
fn snapward_brings_lost_revert_disks_back() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = reverted(&root);
    let lab = adopt(&root, &["e1", "e2"]);
    chain.guest.set_current("e1");
    let planned = lab.apply(&declared(&["e1", "e2"], "  current: e1\n"));
    assert_eq!(actions(&planned.plan), ["redefine e1"]);
    assert!(revert_disks(&chain.guest.snapshot_xml("e1")).is_some(), "done is not said of what was not done");
    chain.revert("e2");
    chain.assert_intact();
    chain.assert_no_orphans();
}

/// Case P. After a rename by another the pointer is repaired, and a delete merges.
#[test]
fn snapward_repairs_the_pointer_after_a_rename() {
    let root = EmbedRoot::new();
    let mut chain = case_p(&root);
    let editor = [("VISUAL", "sed -i 's,<name>e2<,<name>new<,'")];
    assert!(root.virsh_in(&editor, &["snapshot-edit", "vm", "e2", "--rename"]).status.success());
    chain.note_capture("new");
    let lab = adopt(&root, &["e1", "new"]);
    assert_eq!(chain.guest.current(), "new");
    lab.apply(&declared(&["e1"], &absent("new")));
    assert_eq!(chain.guest.snapshots(), ["e1"]);
    chain.assert_intact();
    chain.assert_no_orphans();
}

/// The forgotten revert overlay: e1{e2, f*}. The revert to e1 put the disk on an overlay of its own, on which f stands; the
/// capture of f took the note of it (`<revertDisks>`) from e1.
fn forgotten(root: &EmbedRoot) -> Chain<'_> {
    let mut chain = reverted(root);
    chain.write();
    chain.capture("f");
    chain.write();
    assert_eq!(revert_disks(&chain.guest.snapshot_xml("e1")), None);
    chain
}

/// The forgotten revert overlay, by ordinary calls alone. Deleting f merges it into the revert's overlay and makes e1
/// current, which by its metadata is on its first overlay. The next revert unlinks that: the file that e2 froze, on which
/// the disk was just put.
#[test]
fn deleting_the_only_capture_after_a_revert_lets_the_next_revert_unlink_the_other_branch() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = forgotten(&root);
    chain.guest.delete_snapshot("f");
    chain.assert_intact();
    let in_use = chain.disk("vda");
    assert_eq!(chain.guest.current(), "e1");
    assert_ne!(in_use, root.image("vm-vda.e1"), "the overlay of the revert");

    chain.revert("e2");
    assert!(in_use.exists(), "what the revert should have unlinked is left behind");
    chain.held("e2").expect_err("captured, and gone");
    assert_chain_is_broken(&chain, "vm-vda.e1");
}

/// The forgotten revert overlay. f stays as long as e2 hangs beside it; with e2 gone it goes too.
#[test]
fn snapward_keeps_the_only_capture_after_a_revert_while_another_branch_needs_its_parent() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = forgotten(&root);
    let lab = adopt(&root, &["e1", "e2", "f"]);
    let one = declared(&["e1", "e2"], &absent("f"));
    assert_refused(&lab, &root, &chain, &one, &["TreeHolds f"], &["lose track", "the current snapshot is e1"]);
    let both = declared(&["e1"], &(absent("f") + &absent("e2")));
    let planned = lab.apply(&both);
    assert_eq!(actions(&planned.plan)[0], "delete e2");
    chain.assert_intact();
}

/// The forgotten revert overlay. Where another deleted f, e1 gets the note of it back before anything else, and a revert
/// to e2 keeps what e2 froze.
#[test]
fn snapward_gives_back_a_revert_overlay_that_a_delete_made_libvirt_forget() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = forgotten(&root);
    let lab = adopt(&root, &["e1", "e2"]);
    chain.guest.delete_snapshot("f");
    let planned = lab.apply(&declared(&["e1", "e2"], ""));
    assert_eq!(actions(&planned.plan), ["redefine e1"]);
    assert!(revert_disks(&chain.guest.snapshot_xml("e1")).is_some_and(|disks| disks.contains("vm-vda")));
    chain.revert("e2");
    chain.assert_intact();
    chain.assert_no_orphans();
}
