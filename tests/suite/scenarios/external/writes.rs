//! Writes that fail or end half-way: cases C, N and X.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use virt::sys;

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;
use crate::support::gate::Gate;
use crate::support::tools::{self, text};

use super::{absent, adopt, assert_chain_is_broken, assert_refused, declared, linear};
use crate::support::cmd::snapward;
use crate::support::daemon::PATH;
use snapward::model::outcome::ActionResult;

/// Case C: e1-e2, current e2, and a capture under a name whose metadata file no file system takes.
fn case_c(root: &EmbedRoot) -> Chain<'_> {
    linear(root, &["e1", "e2"])
}

/// Case C. The capture fails after the overlay was put to use, and leaves no current snapshot; deleting the newest, which
/// nothing calls current any more, unlinks the file under the live chain.
#[test]
fn a_name_too_long_leaves_no_pointer_and_a_delete_breaks_the_live_chain() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_c(&root);
    let name = "n".repeat(250);
    let overlay = root.image("overlay.qcow2");
    let disk = format!("<disk name='vda' snapshot='external'><source file='{}'/></disk>", text(&overlay));
    let error = chain.guest.try_disk_only(&name, &format!("<disks>{disk}</disks>")).expect_err("too long");
    assert!(error.contains("unable to save metadata for snapshot"), "{error}");
    assert_eq!(chain.guest.snapshots(), ["e1", "e2"]);
    assert_eq!(chain.disk("vda"), overlay, "the failed capture is in use");
    let error = chain.guest.try_current().expect_err("lost");
    assert!(error.contains("does not have a current snapshot"), "{error}");

    chain.guest.delete_snapshot("e2");
    assert_eq!(root.images(), ["overlay.qcow2", "vm-vda.e2", "vm-vda.qcow2"]);
    assert_chain_is_broken(&chain, "vm-vda.e1");
}

/// Case N: e1, and a capture of e2 that was killed when its overlay was made and nothing else. From outside, because the
/// process that captures dies.
fn case_n(root: &EmbedRoot) -> Chain<'_> {
    let chain = linear(root, &["e1"]);
    let gate = Gate::new();
    gate.kill_on_overlay();
    let path = gate.path();
    let killed = root.virsh_in(&[("PATH", &path)], &["snapshot-create-as", "vm", "e2", "--disk-only"]);
    assert_eq!(killed.status.signal(), Some(9), "{killed:?}");
    chain
}

/// Case N. The overlay that a killed capture left stands in the way of the next of that name, and is taken where the caller
/// says so.
#[test]
fn a_killed_capture_leaves_an_overlay_that_the_next_can_reuse() {
    let root = EmbedRoot::new();
    let mut chain = case_n(&root);
    assert_eq!(chain.guest.snapshots(), ["e1"]);
    assert_eq!(root.images(), ["vm-vda.e1", "vm-vda.e2", "vm-vda.qcow2"]);
    assert_eq!(chain.disk("vda"), root.image("vm-vda.e1"), "the domain does not use it");
    root.hold();
    let error = chain.guest.try_disk_only("e2", "").expect_err("in the way");
    assert!(error.contains("already exists") && error.contains("vm-vda.e2") && error.contains("(67)"), "{error}");
    chain.assert_intact();

    let flags = sys::VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | sys::VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT;
    let xml = "<domainsnapshot><name>e2</name></domainsnapshot>";
    chain.guest.call(|domain| domain.create_snapshot_xml(xml, flags).map(drop)).expect("reused");
    chain.note_capture("e2");
    chain.write();
    chain.assert_intact();
    chain.assert_no_orphans();
}

/// Where the snapshots of `vm` are noted, a file for each.
fn metadata(root: &EmbedRoot) -> PathBuf {
    root.path().join("lib/qemu/snapshot/vm")
}

/// Case X: e0-e1-e2-e3, current e3, and e2's metadata cannot be written. libvirt writes it as `e2.xml.new` first; a folder
/// of that name stops root and anybody else, as a full disk does.
fn case_x(root: &EmbedRoot) -> Chain<'_> {
    let chain = linear(root, &["e0", "e1", "e2", "e3"]);
    fs::create_dir(metadata(root).join("e2.xml.new")).expect("made");
    chain
}

/// Case X. A redefine that cannot be written removes the entry it was to change: a plain list omits it, a topological one
/// fails, and deleting its parent, a leaf now, breaks the live chain.
#[test]
fn a_redefine_that_cannot_be_written_removes_the_snapshot_from_the_tree() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_x(&root);
    let error = chain.guest.try_edit("e2", false, |xml| xml).expect_err("not written");
    assert!(error.contains("unable to save metadata for snapshot e2"), "{error}");
    assert_eq!(chain.guest.snapshots(), ["e0", "e1", "e3"]);
    let topological = sys::VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL;
    let error =
        chain.guest.call(|domain| domain.list_all_snapshots(topological).map(drop)).expect_err("no such parent");
    assert!(error.contains("name in virGetDomainSnapshot must not be NULL"), "{error}");
    assert!(metadata(&root).join("e2.xml").exists(), "the next start of the driver would read it back");
    chain.assert_intact();

    chain.guest.delete_snapshot("e1");
    assert_eq!(root.images(), ["vm-vda.e1", "vm-vda.e2", "vm-vda.e3", "vm-vda.qcow2"]);
    assert_chain_is_broken(&chain, "vm-vda.e0");
}

/// Case C. snapward does not take such a name, and deletes nothing where the pointer was lost by it.
#[test]
fn snapward_deletes_nothing_where_a_failed_capture_lost_the_pointer() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_c(&root);
    let lab = adopt(&root, &["e1", "e2"]);
    let overlay = root.image("overlay.qcow2");
    let disk = format!("<disk name='vda' snapshot='external'><source file='{}'/></disk>", text(&overlay));
    chain.guest.try_disk_only(&"n".repeat(250), &format!("<disks>{disk}</disks>")).expect_err("too long");
    let asked = declared(&["e1"], &absent("e2"));
    assert_refused(&lab, &root, &chain, &asked, &["ChainInconsistent", "ChainInconsistent e2"], &["no current one"]);
}

/// Case N. snapward killed at the same place takes its own overlay up again.
#[test]
fn snapward_takes_up_the_overlay_of_a_killed_capture() {
    let root = EmbedRoot::new();
    let mut chain = linear(&root, &["e1"]);
    let yaml =
        root.file("lab.yaml", &declared(&["e1"], "    - {name: e2, capture: {content: disks, location: external}}\n"));
    let gate = Gate::new();
    gate.kill_on_overlay();
    let run = |path: &str| snapward(["-c", &root.uri(), "apply", "--yes", &yaml]).env("PATH", path).run();
    assert_ne!(run(&gate.path()).code, Some(0));
    assert_eq!((chain.guest.snapshots(), root.images().len()), (vec!["e1".to_owned()], 3));
    drop(run(PATH).exits(0));
    chain.note_capture("e2");
    assert_eq!(chain.guest.snapshots(), ["e1", "e2"]);
    chain.write();
    chain.assert_intact();
    chain.assert_no_orphans();
}

/// Case X. The failed redefine ends the pass, and the tree with a hole is left alone.
#[test]
fn snapward_deletes_nothing_in_a_tree_with_a_hole() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = linear(&root, &["e0", "e1", "e2", "e3"]);
    let lab = adopt(&root, &["e0", "e1", "e2", "e3"]);
    fs::create_dir(metadata(&root).join("e2.xml.new")).expect("made");
    let other = "    - {name: e2, capture: {content: disks, location: external}, description: other}\n";
    let planned = lab.plan(&declared(&["e0", "e3"], &format!("{other}{}", absent("e1"))));
    let outcome = lab.carry_out(&planned);
    assert_eq!(outcome.domains[0].actions[0].result, ActionResult::Failed, "{outcome:#?}");
    assert_eq!(chain.guest.snapshots(), ["e0", "e1", "e3"], "e1 was not deleted after that");
    let asked = declared(&["e0", "e3"], &absent("e1"));
    assert_refused(
        &lab,
        &root,
        &chain,
        &asked,
        &["ChainInconsistent", "ChainInconsistent e1"],
        &["e2", "restart libvirtd"],
    );
}

/// e1-e2 on a paused guest, whose first image somebody removed while QEMU has it open.
fn with_a_removed_image(root: &EmbedRoot) -> Chain<'_> {
    let chain = linear(root, &["e1", "e2"]);
    chain.guest.start_paused();
    fs::remove_file(chain.guest.vda()).expect("removed");
    chain
}

/// QEMU goes on with a file that was removed, but cannot open it to write: the merge is refused, and nothing shows before the
/// domain is stopped.
#[test]
fn a_merge_into_a_removed_image_is_refused_and_the_domain_does_not_start_again() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = with_a_removed_image(&root);
    let error = chain.guest.try_delete("e1").expect_err("refused");
    assert!(error.contains("'block-commit': Could not open"), "{error}");
    assert_eq!((chain.guest.snapshots(), root.images().len()), (vec!["e1".to_owned(), "e2".to_owned()], 2));
    chain.guest.destroy();
    assert_chain_is_broken(&chain, "vm-vda.qcow2");
}

/// A file under the path of an image that QEMU has open is taken for that image: QEMU opens what it merges into by its path.
/// What the guest reads is the file's content from then on.
#[test]
fn a_merge_takes_another_file_for_the_image_in_use() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = linear(&root, &["e1", "e2"]);
    chain.guest.start_paused();
    const PAGE: u64 = 65_536;
    let (image, moved) = (chain.guest.vda(), root.path().join("moved"));
    fs::rename(&image, &moved).expect("moved");
    fs::copy(&moved, &image).expect("copied");
    tools::qemu_io_write(&image, "qcow2", 99, PAGE, PAGE);
    chain.guest.delete_snapshot("e1");
    chain.guest.destroy();
    assert!(tools::qemu_io_check(&image, "qcow2", 2, 2 * PAGE, PAGE), "e1's overlay was merged into that file");
    assert!(tools::qemu_io_check(&chain.disk("vda"), "qcow2", 99, PAGE, PAGE), "the disk is what the file holds");
}

#[test]
fn snapward_merges_nothing_into_a_removed_image() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = linear(&root, &["e1", "e2"]);
    chain.guest.start_paused();
    let lab = adopt(&root, &["e1", "e2"]);
    let (image, moved) = (chain.guest.vda(), root.path().join("moved"));
    fs::rename(&image, &moved).expect("moved");
    let asked = declared(&["e2"], &absent("e1"));
    let refuses = |words: &str| {
        let planned = lab.plan(&asked);
        assert_eq!(crate::support::lab::actions(&planned.plan), Vec::<String>::new());
        let told = planned.plan.blocked.iter().find(|item| item.text.contains(words));
        let told = told.unwrap_or_else(|| panic!("{words} is not in {:#?}", planned.plan.blocked));
        assert!(told.way_out.contains("mv, not a copy"), "{told:?}");
        lab.carry_out(&planned);
    };
    refuses("vm-vda.qcow2, and there is no such file");
    assert_eq!(root.images(), ["vm-vda.e1", "vm-vda.e2"]);
    // A copy is another file: QEMU has the one that was there open.
    fs::copy(&moved, &image).expect("copied");
    refuses("vm-vda.qcow2 is not the file that the guest uses");
    fs::rename(&moved, &image).expect("moved back");
    lab.apply(&asked);
    assert_eq!(chain.guest.snapshots(), ["e2"]);
}
