//! What the tree of an external chain is taken to be: cases B and F, and the rules of external deletes.

use virt::sys;

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;
use crate::support::guest::find;

use super::{absent, adopt, assert_chain_is_broken, assert_refused, declared, linear};
use crate::support::lab::actions;

/// Case B: e0-e1-e2-e3, current e3, about to get another parent for e2.
fn case_b(root: &EmbedRoot) -> Chain<'_> {
    linear(root, &["e0", "e1", "e2", "e3"])
}

/// Case B. A redefine takes any parent. With e2 under e0, e1 is a leaf that is not current, and deleting it unlinks what
/// it froze: a file in the middle of the live chain.
#[test]
fn a_redefined_parent_lets_a_delete_unlink_a_file_of_the_live_chain() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_b(&root);
    chain.guest.edit_snapshot("e2", false, |xml| {
        assert!(xml.contains("<parent>\n    <name>e1</name>"), "{xml}");
        xml.replace("<parent>\n    <name>e1</name>", "<parent>\n    <name>e0</name>")
    });
    chain.assert_intact();
    chain.guest.delete_snapshot("e1");
    assert_eq!(root.images(), ["vm-vda.e1", "vm-vda.e2", "vm-vda.e3", "vm-vda.qcow2"]);
    assert_chain_is_broken(&chain, "vm-vda.e0");
    for lost in ["e2", "e3"] {
        chain.held(lost).expect_err("it needs the file too");
    }
    assert_eq!(chain.held("e0"), Ok(1));
}

/// Case F: e1{e2-e3-e4, f}, current f: a chain of four, reverted to its first, and captured again.
fn case_f(root: &EmbedRoot) -> Chain<'_> {
    let mut chain = linear(root, &["e1", "e2", "e3", "e4"]);
    chain.revert("e1");
    chain.capture("f");
    chain.write();
    chain
}

/// Case F. On a branch that is not in use only the newest can go, the opposite of retention.
#[test]
fn a_dead_branch_goes_newest_first() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_f(&root);
    chain.assert_intact();
    for (name, why) in [("e1", "with multiple children"), ("e2", "not in active chain"), ("e3", "not in active chain")]
    {
        let error = chain.guest.try_delete(name).expect_err(name);
        assert!(error.contains(why) && error.contains("(67)"), "{name}: {error}");
    }
    chain.assert_intact();
    for name in ["e4", "e3", "e2"] {
        chain.guest.delete_snapshot(name);
        chain.assert_intact();
    }
    // One child is left, so the fork is an ordinary middle now.
    chain.guest.delete_snapshot("e1");
    chain.assert_intact();
    chain.assert_no_orphans();
    chain.guest.start_paused();
}

/// Fact 7. The flags that delete several at once are refused where any is external.
#[test]
fn several_external_ones_are_not_deleted_at_once() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = linear(&root, &["e1", "e2", "e3"]);
    for flag in [sys::VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN, sys::VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY] {
        let error = chain.guest.call(|domain| find(domain, "e1")?.delete(flag)).expect_err("refused");
        assert!(error.contains("deletion of external children disk snapshots not supported"), "{error}");
    }
    chain.assert_intact();
}

/// Fact 7. The current snapshot cannot go before its children, which there are after a revert.
#[test]
fn a_current_snapshot_with_children_is_not_deleted() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = linear(&root, &["e1", "e2"]);
    chain.revert("e1");
    let error = chain.guest.try_delete("e1").expect_err("refused");
    assert!(error.contains("active external snapshot that is not a leaf"), "{error}");
    chain.assert_intact();
    chain.guest.delete_snapshot("e2");
    chain.guest.delete_snapshot("e1");
    chain.assert_intact();
    chain.assert_no_orphans();
}

/// Case B. snapward sets no parent in an external tree, and deletes nothing where another did.
#[test]
fn snapward_sets_no_parent_and_deletes_nothing_where_another_did() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_b(&root);
    let lab = adopt(&root, &["e0", "e1", "e2", "e3"]);
    let other = "    - {name: e2, capture: {content: disks, location: external}, parent: e0}\n";
    let asked = declared(&["e0", "e1", "e3"], other);
    assert_refused(&lab, &root, &chain, &asked, &["ParentDiffers e2"], &["e1"]);

    chain.guest.edit_snapshot("e2", false, |xml| {
        xml.replace("<parent>\n    <name>e1</name>", "<parent>\n    <name>e0</name>")
    });
    let asked = declared(&["e0", "e2", "e3"], &absent("e1"));
    assert_refused(&lab, &root, &chain, &asked, &["ChainInconsistent", "ChainInconsistent e1"], &["vm-vda.e0"]);
}

/// Case F. What can go goes, newest first, and then the fork.
#[test]
fn snapward_deletes_a_dead_branch_newest_first() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_f(&root);
    let lab = adopt(&root, &["e1", "e2", "e3", "e4", "f"]);
    let one = declared(&["e1", "e3", "e4", "f"], &absent("e2"));
    assert_refused(&lab, &root, &chain, &one, &["TreeHolds e2"], &["e4 must go first"]);
    let all = declared(&["f"], &["e1", "e2", "e3", "e4"].map(absent).concat());
    let planned = lab.apply(&all);
    assert_eq!(actions(&planned.plan), ["delete e4", "delete e3", "delete e2", "delete e1"]);
    assert_eq!(chain.guest.snapshots(), ["f"]);
    chain.assert_intact();
    chain.assert_no_orphans();
}

/// Fact 7. A current snapshot goes after its children, and several go one by one.
#[test]
fn snapward_deletes_several_one_by_one_and_the_current_one_last() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = linear(&root, &["e1", "e2", "e3"]);
    chain.revert("e1");
    let lab = adopt(&root, &["e1", "e2", "e3"]);
    let current = declared(&["e2", "e3"], &absent("e1"));
    assert_refused(&lab, &root, &chain, &current, &["TreeHolds e1"], &["the current snapshot", "e2 stands on it"]);
    let all = declared(&[], &["e1", "e2", "e3"].map(absent).concat());
    let planned = lab.apply(&all);
    assert_eq!(actions(&planned.plan), ["delete e3", "delete e2", "delete e1"]);
    assert_eq!(chain.guest.snapshots(), Vec::<String>::new());
    chain.assert_intact();
    chain.assert_no_orphans();
}
