//! Internal and external snapshots in one domain: case D and fact 8.

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;

/// Case D: golden (internal), then h1-h2-h3 (external) on top of it, current h3.
fn case_d(root: &EmbedRoot) -> Chain<'_> {
    let mut chain = Chain::new(root, "vm");
    chain.write();
    chain.guest.snapshot("golden", "");
    chain.captured("golden");
    for name in ["h1", "h2", "h3"] {
        chain.capture(name);
    }
    chain.write();
    chain.assert_intact();
    chain
}

/// Fact 8. Neither the internal one nor the external one on top of it can be deleted.
#[test]
fn neither_side_of_the_border_can_be_deleted() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_d(&root);
    for name in ["h1", "h2","golden"] {
        println!("{name} {:?} {:?} {:?}", chain.guest.try_delete(name), chain.guest.snapshots(), crate::support::tools::qemu_img_snapshots(&chain.guest.vda()));
    }
    for name in ["h3", "h2"] {
        chain.guest.delete_snapshot(name);
        chain.assert_intact();
    }
    println!("{:?}", chain.guest.try_delete("h1"));
    println!("{:?}", chain.guest.try_delete("golden"));
    chain.assert_intact();
}

/// Case D. With the pointer on golden, the next capture hangs under golden in the tree while its chain runs through h3;
/// deleting h3, a leaf that is not current, unlinks a file of the new capture's chain.
#[test]
fn a_pointer_moved_across_the_border_lets_a_delete_break_the_live_chain() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = case_d(&root);
    chain.guest.set_current("golden");
    chain.capture("h4");
    chain.write();
    chain.assert_intact();
    chain.guest.delete_snapshot("h3");
    println!("{:?}", root.images());
    println!("{:?}", chain.held("h4"));
    super::assert_chain_is_broken(&chain, "vm-vda.h2");
}

/// Case D. Reverting to the internal one is accepted and rewrites the image that the external ones are backed by.
#[test]
fn a_revert_across_the_border_rewrites_what_the_external_ones_captured() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_d(&root);
    chain.guest.revert("golden");
    assert_eq!(chain.state(), Ok(1));
    println!("{:?}", root.images());
    assert_eq!(chain.held("h1"), Ok(1), "captured as 2");
    println!("{:?} {:?}", chain.held("h2"), chain.held("h3"));
}

/// Fact 8. What a revert across the border leaves of the external branch is deleted without its overlay.
#[test]
fn an_overlay_above_an_internal_one_is_left_behind() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = Chain::new(&root, "vm");
    chain.write();
    chain.guest.snapshot("golden", "");
    chain.captured("golden");
    chain.capture("h1");
    chain.capture("h2");
    chain.guest.revert("golden");
    println!("{:?} {:?}", root.images(), chain.files("vda"));
    println!("{:?} {:?}", chain.guest.try_delete("h2"), root.images());
    println!("{:?} {:?}", chain.guest.try_delete("h1"), root.images());
    println!("{:?} {:?}", chain.guest.try_delete("golden"), root.images());
}

#[test]
fn probe_live() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_d(&root);
    chain.guest.start();
    for name in ["h1", "golden"] {
        println!("{name} {:?} {:?} {:?}", chain.guest.try_delete(name), chain.guest.snapshots(), crate::support::tools::qemu_img_snapshots(&chain.guest.vda()));
    }
}
