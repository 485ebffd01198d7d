//! Case Z: how long a chain may be.

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, actions};

use super::declared;

/// Case Z: a domain with a chain of 24 overlays.
fn case_z(root: &EmbedRoot) -> Chain<'_> {
    let mut chain = Chain::new(root, "vm");
    chain.write();
    for number in 1..=24 {
        chain.capture_as_is(&format!("s{number:02}"));
    }
    chain
}

/// Case Z. With 24 overlays a domain starts. Running, it takes more; and once stopped with them, it neither starts nor lets
/// a snapshot be deleted, which needs a start too.
#[test]
fn a_chain_of_25_overlays_can_neither_be_started_nor_shortened() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = case_z(&root);
    chain.guest.start_paused();
    chain.capture_as_is("s25");
    chain.guest.destroy();
    assert_eq!(chain.files("vda").len(), 1 + 25);
    for refused in [chain.guest.try_start(), chain.guest.try_delete("s25")] {
        let error = refused.expect_err("too long");
        assert!(error.contains("nesting too deep"), "{error}");
    }
    chain.assert_intact();
}

/// Case Z. While QEMU has it open, the chain can be shortened.
#[test]
fn a_chain_of_25_overlays_can_be_shortened_while_it_is_in_use() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = case_z(&root);
    chain.guest.start_paused();
    chain.capture_as_is("s25");
    chain.guest.delete_snapshot("s12");
    chain.guest.destroy();
    chain.assert_intact();
    chain.guest.start_paused();
}

/// Case Z. snapward captures no 25th.
#[test]
fn snapward_makes_no_chain_that_cannot_be_started() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_z(&root);
    let lab = Lab::new(&root);
    let asked = declared(&[], "    - {name: s25, capture: {content: disks, location: external}}\n");
    let planned = lab.plan(&asked);
    assert_eq!((actions(&planned.plan).len(), planned.plan.blocked.len()), (0, 1), "{:#?}", planned.plan);
    let text = &planned.plan.blocked[0].text;
    assert!(text.contains("26 images") && text.contains("the limit is"), "{text}");
    chain.assert_intact();
}
