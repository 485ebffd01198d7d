//! Internal and external snapshots in one domain: case D and fact 8.

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;
use crate::support::tools::qemu_img_snapshots;

use super::{assert_chain_is_broken, assert_refused};
use crate::support::lab::{Lab, actions, blocks, manifest, snapshot};

/// Case D: golden (internal), then h1-h2-h3 (external) on top of it, current h3.
fn case_d(root: &EmbedRoot) -> Chain<'_> {
    let mut chain = Chain::new(root, "vm");
    chain.write();
    chain.guest.snapshot("golden", "");
    chain.note_capture("golden");
    for name in ["h1", "h2", "h3"] {
        chain.capture(name);
    }
    chain.write();
    chain.assert_intact();
    chain
}

/// Case D. The external one on top of the internal one can never be deleted, and the internal one not while the domain runs.
#[test]
fn the_border_between_the_kinds_cannot_be_deleted() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_d(&root);
    let refused = |name: &str, why: &str| {
        let error = chain.guest.try_delete(name).expect_err(name);
        assert!(error.contains(why) && error.contains("operationunsupported (84)"), "{name}: {error}");
    };
    refused("h1", "that has internal snapshot as parent");
    chain.guest.start_paused();
    refused("h1", "that has internal snapshot as parent");
    refused("golden", "is not the same as disk image currently used");
    chain.assert_intact();
}

/// Case D, stopped. The internal one can be deleted, out of the image that is frozen under the external ones.
#[test]
fn an_internal_one_goes_from_under_external_ones_while_the_domain_is_off() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_d(&root);
    chain.guest.delete_snapshot("golden");
    assert_eq!(qemu_img_snapshots(&chain.guest.vda()), Vec::<String>::new());
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
    assert_eq!(root.images(), ["vm-vda.h1", "vm-vda.h3", "vm-vda.h4", "vm-vda.qcow2"]);
    chain.held("h4").expect_err("it needs the file too");
    assert_chain_is_broken(&chain, "vm-vda.h2");
}

/// Case D. Reverting to the internal one is accepted and rewrites the image that the external ones are backed by.
#[test]
fn a_revert_across_the_border_rewrites_what_the_external_ones_captured() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = case_d(&root);
    chain.revert("golden");
    assert_eq!((chain.state(), chain.held("golden")), (Ok(1), Ok(1)));
    assert_eq!(chain.guest.snapshots(), ["golden", "h1", "h2", "h3"]);
    assert_eq!(chain.held("h1"), Ok(1), "captured in state 2");
    for lost in ["h2", "h3"] {
        let held = chain.held(lost).expect_err("a mixture");
        assert!(held.contains("no state that was written"), "{held}");
    }
}

/// Fact 8. What a revert across the border leaves of the external branch can be deleted, without its last overlay.
#[test]
fn an_overlay_above_an_internal_one_is_left_behind() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = case_d(&root);
    chain.revert("golden");
    for name in ["h3", "h2", "h1", "golden"] {
        chain.guest.delete_snapshot(name);
    }
    assert_eq!((chain.guest.snapshots(), chain.files("vda")), (vec![], vec!["vm-vda.qcow2".to_owned()]));
    assert_eq!(root.images(), ["vm-vda.h3", "vm-vda.qcow2"]);
}

/// Case D. snapward does nothing in a mixed domain that crosses the border.
#[test]
fn snapward_crosses_no_border_between_the_kinds() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = case_d(&root);
    let mut lab = Lab::new(&root);
    let golden = snapshot("golden", &["adopt: true"]);
    let asked = manifest(&format!("  snapshots:\n{golden}  current: golden\n"));
    let plan = lab.plan(&asked).plan;
    assert!(blocks(&plan).contains(&"MixedKinds golden".to_owned()), "{:?}", blocks(&plan));
    chain.assert_intact();

    chain.guest.set_current("golden");
    chain.capture("h4");
    chain.write();
    let images = root.images();
    let asked = manifest(
        "  snapshots:\n    - {name: h3, capture: {content: disks, location: external}, adopt: true, deleteAfter: 1s}\n",
    );
    lab.ahead = 3600;
    let planned = lab.plan(&asked);
    assert!(!actions(&planned.plan).contains(&"delete h3".to_owned()));
    lab.carry_out(&planned);
    assert_eq!(root.images(), images);
    chain.assert_intact();
}

/// Fact 8. The overlay that nothing uses is named with its path, and left.
#[test]
fn snapward_names_the_overlay_that_was_left_behind_and_leaves_it() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = case_d(&root);
    chain.revert("golden");
    for name in ["h3", "h2", "h1", "golden"] {
        chain.guest.delete_snapshot(name);
    }
    let asked = manifest("  snapshots:\n    - {name: new, capture: {content: disks, location: external}}\n");
    let lab = Lab::new(&root);
    let planned = lab.apply(&asked);
    let warnings: Vec<_> = planned.plan.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert!(warnings.iter().any(|text| text.contains("vm-vda.h3")), "{warnings:?}");
    assert!(root.image("vm-vda.h3").exists());
    chain.note_capture("new");
    chain.assert_intact();
}

/// Case D, stopped. The internal one stays where it is, and so does all else in that domain.
#[test]
fn snapward_deletes_no_internal_one_from_under_external_ones() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = case_d(&root);
    let mut lab = Lab::new(&root);
    lab.ahead = 3600;
    let golden = snapshot("golden", &["adopt: true", "deleteAfter: 1s"]);
    let asked = manifest(&format!("  snapshots:\n{golden}"));
    assert_refused(&lab, &root, &chain, &asked, &["MixedKinds golden"], &["external: h1, h2, h3"]);
    assert_eq!(qemu_img_snapshots(&chain.guest.vda()), ["golden"]);
}
