//! Reverts that end badly: facts 5 and 6.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;
use crate::support::tools::text;

use super::{declared, linear};
use crate::support::lab::{Lab, actions};

/// Fact 5: an external snapshot and no current one, as after a move to another host where it was redefined without CURRENT.
/// From outside, for a process that may die.
fn without_current(root: &EmbedRoot) -> Chain<'_> {
    let chain = linear(root, &["e1"]);
    let file = root.file("e1.xml", &chain.guest.snapshot_xml("e1"));
    root.virsh_ok(&["snapshot-delete", "vm", "e1", "--metadata"]);
    root.virsh_ok(&["snapshot-create", "vm", &file, "--redefine"]);
    chain.guest.try_current().expect_err("none is current");
    chain
}

/// Fact 5. A revert to an external snapshot while none is current crashes the process that holds the driver.
#[test]
fn a_revert_without_a_current_snapshot_crashes_the_driver() {
    let root = EmbedRoot::new();
    let chain = without_current(&root);
    let no_core_file = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, no_core_file).expect("a limit can be lowered");
    let crashed = root.virsh(&["snapshot-revert", "vm", "e1"]);
    assert_eq!(crashed.status.signal(), Some(11), "{crashed:?}");
    assert_eq!(root.images().len(), 3, "an overlay that nothing uses");
    chain.assert_intact();
}

/// Fact 5. snapward sets the lost pointer to where the disks are, before anything else; then a revert works.
#[test]
fn snapward_gives_a_domain_without_a_current_snapshot_its_pointer_back() {
    let root = EmbedRoot::new();
    let mut chain = without_current(&root);
    root.hold();
    let lab = Lab::new(&root);
    let planned = lab.apply(&declared(&["e1"], ""));
    assert_eq!(actions(&planned.plan), ["setCurrent e1", "redefine e1"]);
    assert!(
        planned.plan.actions[0].reason.text.contains("crashes on a revert"),
        "{:?}",
        planned.plan.actions[0].reason
    );
    assert_eq!(chain.guest.current(), "e1");
    chain.revert("e1");
    chain.assert_intact();
}

/// Fact 6: a running domain with a full external snapshot whose memory file is gone.
fn without_memory(root: &EmbedRoot) -> Chain<'_> {
    let mut chain = Chain::new(root, "vm");
    chain.write();
    chain.guest.start();
    let memory = root.image("vm.memory");
    chain.guest.snapshot("full", &format!("<memory snapshot='external' file='{}'/>", text(&memory)));
    chain.note_capture("full");
    fs::remove_file(memory).expect("it was captured");
    chain
}

/// Fact 6. The domain is stopped before the memory file is looked for.
#[test]
fn a_revert_that_fails_leaves_a_running_domain_shut_off() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = without_memory(&root);
    assert!(chain.guest.is_active());
    let error = chain.guest.try_revert("full").expect_err("the memory is gone");
    assert!(error.contains("Failed to open file") && error.contains("vm.memory"), "{error}");
    assert!(!chain.guest.is_active());
    chain.assert_intact();
}
