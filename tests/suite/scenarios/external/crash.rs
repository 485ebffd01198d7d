//! A dead branch below a snapshot that is merged: libvirt's driver process dies.

use std::os::unix::process::ExitStatusExt as _;

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;

/// `e1-e2{e3, e4*}`: e3 was left behind by a revert to e2.
pub(in crate::scenarios) fn with_a_dead_branch(root: &EmbedRoot) -> Chain<'_> {
    let mut chain = Chain::new(root, "vm");
    for name in ["e1", "e2", "e3"] {
        chain.capture(name);
    }
    chain.revert("e2");
    chain.capture("e4");
    chain
}

#[test]
fn merging_above_a_dead_branch_kills_the_driver() {
    let root = EmbedRoot::new();
    let chain = with_a_dead_branch(&root);
    const SIGSEGV: i32 = 11;
    let output = root.virsh(&["snapshot-delete", "vm", "e1"]);
    assert_eq!(output.status.signal(), Some(SIGSEGV), "{output:?}");
    // For the merge libvirt had started the stopped domain, paused; and so it stands now.
    assert_eq!(root.virsh_ok(&["domstate", "vm"]).trim(), "paused");
    assert_eq!(chain.guest.snapshots(), ["e1", "e2", "e3", "e4"]);
    chain.assert_intact();
}
