//! The proof, clause by clause, on hand-made trees: what each one refuses, and what stays possible.

mod live;
mod others;
mod repairs;
mod revert;
mod unnoted;
pub(in crate::plan) mod world;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::image::{Backing, ImageState};
use crate::model::names::DomainUuid;
use crate::model::observed::RunState;
use crate::model::snapshot::Storage;
use world::{World, name};

const STRICT: Rules = Rules { trust_unreadable_chains: false };
const TRUSTING: Rules = Rules { trust_unreadable_chains: true };

fn delete_of(domain: &ObservedDomain, text: &str) -> Result<Effect, Fault> {
    prove(domain, &Neighbours::default(), STRICT, Step::Delete(&name(text)))
}

#[track_caller]
fn refused(result: Result<Effect, Fault>, code: BlockCode, words: &[&str]) {
    let fault = result.expect_err("refused");
    assert_eq!(fault.code, code, "{fault:?}");
    assert!(words.iter().all(|word| fault.text.contains(word)), "{words:?} in {fault:?}");
    assert!(!fault.way_out.is_empty());
}

fn merge(target: &str, from: &str, into: &str) -> ImageMerge {
    ImageMerge { target: target.into(), from: from.into(), into: into.into(), bytes: Some(1000) }
}

#[test]
fn in_a_line_each_goes_by_a_merge_into_the_older_file() {
    let domain = World::line(&["e1", "e2", "e3"]).domain();
    assert_eq!(prove(&domain, &Neighbours::default(), STRICT, Step::Create), Ok(Effect::default()));
    for (text, from, into) in [("e1", "/i/vda.e1", "/i/vda"), ("e2", "/i/vda.e2", "/i/vda.e1")] {
        let effect = delete_of(&domain, text).expect(text);
        assert_eq!(effect.merges, [merge("vda", from, into)]);
        assert_eq!((effect.unlinks, effect.disks), (vec![from.to_owned()], BTreeMap::new()));
    }
    let effect = delete_of(&domain, "e3").expect("the current leaf");
    assert_eq!(effect.merges, [merge("vda", "/i/vda.e3", "/i/vda.e2")]);
    assert_eq!(effect.disks, BTreeMap::from([("vda".into(), "/i/vda.e2".into())]));
}

#[test]
fn every_keep_set_of_a_line_has_an_order() {
    let all = ["e1", "e2", "e3", "e4", "e5"];
    let domain = World::line(&all).domain();
    for kept in 0..32_u32 {
        let wanted: BTreeSet<_> =
            all.iter().enumerate().filter(|(bit, _)| kept & (1 << bit) == 0).map(|(_, text)| name(text)).collect();
        let arranged = arrange(&domain, &Neighbours::default(), STRICT, &wanted, &BTreeSet::new());
        assert_eq!((arranged.order.len(), arranged.held), (wanted.len(), vec![]), "{wanted:?}");
        assert_eq!(arranged.left.tree.len(), 5 - wanted.len());
        let order: Vec<_> = arranged.order.iter().map(|(name, _)| name.clone()).collect();
        assert!(order.is_sorted(), "from the root, so that each overlay is moved once: {order:?}");
    }
}

#[test]
fn a_pointer_off_the_disks_is_refused() {
    let domain = World::line(&["e1", "e2"]).pointing_at(Some("e1")).domain();
    for step in [Step::Create, Step::Delete(&name("e2"))] {
        let result = prove(&domain, &Neighbours::default(), STRICT, step);
        refused(result, BlockCode::ChainInconsistent, &["the current snapshot is e1", "/i/vda.e2"]);
    }
    let domain = World::line(&["e1", "e2"]).pointing_at(None).domain();
    refused(delete_of(&domain, "e2"), BlockCode::ChainInconsistent, &["no current one"]);
}

#[test]
fn a_parent_that_is_not_in_the_chain_is_refused() {
    let domain = World::line(&["e0", "e1", "e2", "e3"]).under("e2", "e0").domain();
    for text in ["e1", "e3"] {
        refused(delete_of(&domain, text), BlockCode::ChainInconsistent, &["snapshot e0", "/i/vda.e0"]);
    }
    let fault = prove(&domain, &Neighbours::default(), STRICT, Step::Create).expect_err("refused");
    assert!(fault.way_out.contains("it is snapshot e1's"), "{fault:?}");
    let domain = World::line(&["e0", "e1"]).under("e1", "gone").domain();
    refused(delete_of(&domain, "e1"), BlockCode::ChainInconsistent, &["e1 names gone as its parent"]);
    let domain = World::line(&["e0", "e1"]).under("e0", "e1").domain();
    let circle = prove(&domain, &Neighbours::default(), STRICT, Step::Create);
    refused(circle, BlockCode::ChainInconsistent, &["circle"]);
}

/// libvirt drops a snapshot whose metadata it could not write; its children stay and name it.
#[test]
fn a_tree_with_a_hole_is_refused_wherever_the_hole_is() {
    let hole = |world: World, gone: &str| {
        world.with(|world| world.snapshots.retain(|snapshot| snapshot.name != name(gone))).domain()
    };
    let in_use = hole(World::line(&["e0", "e1", "e2"]), "e1");
    let in_a_dead_branch = hole(forked(), "e3");
    for (domain, orphan, gone) in [(in_use, "e2", "e1"), (in_a_dead_branch, "e4", "e3")] {
        let words = format!("{orphan} names {gone} as its parent");
        for step in [Step::Create, Step::Delete(&name(orphan))] {
            let result = prove(&domain, &Neighbours::default(), STRICT, step);
            refused(result, BlockCode::ChainInconsistent, &[&words]);
        }
    }
}

/// A path in the metadata, another in the definition, as by a symbolic link.
#[test]
fn one_file_under_two_names_is_one_file() {
    let linked = |snapshot: &str| {
        World::line(&["e1", "e2"]).with(|world| {
            let same = world.images["/i/vda.e1"].clone();
            world.images.insert("/link".into(), same);
            world.files(snapshot).bases.insert("vda".into(), "/link".into());
        })
    };
    let domain = linked("e2").domain();
    assert_eq!(delete_of(&domain, "e2").map(|effect| effect.merges[0].into.clone()), Ok("/i/vda.e1".to_owned()));
    // What another snapshot froze under another name is in the way all the same.
    let domain = linked("e1").domain();
    refused(delete_of(&domain, "e2"), BlockCode::ChainInconsistent, &["snapshot e1", "/link"]);
}

#[test]
fn a_chain_with_a_missing_image_is_refused() {
    let domain = World::line(&["e1", "e2"]).without_image("/i/vda").domain();
    refused(delete_of(&domain, "e2"), BlockCode::ChainInconsistent, &["/i/vda", "no such file"]);
    let domain = World::line(&["e1"]).with(|world| world.disks.clear()).domain();
    refused(delete_of(&domain, "e1"), BlockCode::ChainInconsistent, &["does not have any more"]);
    let cut = World::line(&["e1", "e2"]).with(|world| world.image("/i/vda.e1", Backing::None)).domain();
    refused(delete_of(&cut, "e2"), BlockCode::ChainInconsistent, &["no such image is in the chain"]);
}

/// e1{e2-e3-e4, f}, current f.
fn forked() -> World {
    World::line(&["e1", "e2", "e3", "e4"]).revert("e1").capture("f")
}

#[test]
fn a_dead_branch_goes_from_its_tip() {
    let domain = forked().domain();
    for (text, words) in [("e1", "e2, f stand on it"), ("e2", "not in use"), ("e3", "not in use")] {
        refused(delete_of(&domain, text), BlockCode::TreeHolds, &[words]);
    }
    assert!(delete_of(&domain, "e2").expect_err("held").way_out.contains("e4 must go first"));
    let effect = delete_of(&domain, "e4").expect("the tip");
    assert_eq!((effect.merges, effect.unlinks), (vec![], vec!["/i/vda.e3".to_owned()]));
    let wanted = ["e1", "e2", "e3", "e4"].map(name).into();
    let arranged = arrange(&domain, &Neighbours::default(), STRICT, &wanted, &BTreeSet::new());
    assert_eq!(arranged.order.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["e4", "e3", "e2", "e1"]);
    let wanted = ["e1", "e2", "e3"].map(name).into();
    let arranged = arrange(&domain, &Neighbours::default(), STRICT, &wanted, &BTreeSet::new());
    assert_eq!((arranged.order.len(), arranged.held.len()), (0, 3), "e4 is kept and holds them");
}

/// libvirt 11.3 dies of it (qemuSnapshotDiskHasBackingDisk).
#[test]
fn nothing_is_merged_above_a_dead_branch() {
    let domain = World::line(&["e1", "e2", "e3"]).revert("e2").capture("e4").domain();
    refused(delete_of(&domain, "e1"), BlockCode::TreeHolds, &["e3 stands further down"]);
    let arranged = arrange(&domain, &Neighbours::default(), STRICT, &["e1", "e3"].map(name).into(), &BTreeSet::new());
    assert_eq!(arranged.order.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["e3", "e1"]);
}

#[test]
fn a_current_snapshot_with_children_stays() {
    let domain = World::line(&["e1", "e2"]).revert("e1").domain();
    refused(delete_of(&domain, "e1"), BlockCode::TreeHolds, &["the current snapshot", "e2 stands on it"]);
    let wanted = ["e1", "e2"].map(name).into();
    let arranged = arrange(&domain, &Neighbours::default(), STRICT, &wanted, &BTreeSet::new());
    assert_eq!(arranged.order.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["e2", "e1"]);
}

/// libvirt moves the pointer to the parent and does not know that the disk is on a revert's overlay: the next revert
/// unlinks the overlay that the other branch stands on.
#[test]
fn a_leaf_whose_parent_went_on_elsewhere_stays() {
    let domain = World::line(&["e1", "e2"]).revert("e1").capture("f").domain();
    refused(delete_of(&domain, "f"), BlockCode::TreeHolds, &["lose track"]);
}

#[test]
fn what_cannot_be_read_is_captured_over_and_not_deleted() {
    let domain = World::line(&["e1", "e2"]).unreadable("/i/vda.e1").domain();
    assert!(prove(&domain, &Neighbours::default(), STRICT, Step::Create).is_ok());
    refused(delete_of(&domain, "e1"), BlockCode::ChainUnknown, &["permission denied"]);
    let trusted = prove(&domain, &Neighbours::default(), TRUSTING, Step::Delete(&name("e1"))).expect("trusted");
    assert_eq!(trusted.merges[0].into, "/i/vda", "by the metadata");
    let above = World::line(&["e1", "e2", "e3"]).unreadable("/i/vda.e2").domain();
    refused(delete_of(&above, "e1"), BlockCode::ChainUnknown, &["disk vda", "permission denied"]);
    // Nor where the last one that is seen cannot be read: what it stands on may be gone, and libvirt finds that out.
    let base = World::line(&["e1", "e2"]).unreadable("/i/vda").domain();
    refused(
        delete_of(&base, "e1"),
        BlockCode::ChainUnknown,
        &["disk vda", "/i/vda cannot be read", "permission denied"],
    );
    assert!(prove(&base, &Neighbours::default(), TRUSTING, Step::Delete(&name("e1"))).is_ok());
    let dead = forked().unreadable("/i/vda.e2").domain();
    refused(delete_of(&dead, "e4"), BlockCode::ChainUnknown, &["snapshot e3", "permission denied"]);
    // The running domain's own XML says what is open, whatever the files let see.
    let mut running = World::line(&["e1", "e2"]).unreadable("/i/vda.e1").domain();
    running.disks[0].backing = Some(vec!["/i/vda.e1".into(), "/i/vda".into()]);
    assert_eq!(delete_of(&running, "e2").map(|effect| effect.merges[0].into.clone()), Ok("/i/vda.e1".to_owned()));
}

#[test]
fn several_disks_merge_each_in_its_own_chain() {
    let domain = World::new(&["vda", "vdb"]).capture("e1").capture_some("e2", &["vdb"]).capture("e3").domain();
    let effect = delete_of(&domain, "e2").expect("a part");
    assert_eq!(effect.merges, [merge("vdb", "/i/vdb.e2", "/i/vdb.e1")]);
    let effect = delete_of(&domain, "e1").expect("both");
    assert_eq!(effect.merges, [merge("vda", "/i/vda.e1", "/i/vda"), merge("vdb", "/i/vdb.e1", "/i/vdb")]);
    let wanted = ["e1", "e2", "e3"].map(name).into();
    let arranged = arrange(&domain, &Neighbours::default(), STRICT, &wanted, &BTreeSet::new());
    assert_eq!(arranged.order.len(), 3, "{:?}", arranged.held);
    assert_eq!(arranged.left.disks[1].source.as_deref(), Some("/i/vdb"));
}

#[test]
fn an_interrupted_deletion_can_be_finished_and_nothing_else_done() {
    // Of e2, vda was merged and vdb not.
    let half = World::new(&["vda", "vdb"]).capture("e1").capture("e2").capture("e3").with(|world| {
        world.image("/i/vda.e3", Backing::File("/i/vda.e1".into()));
        world.images.insert("/i/vda.e2".into(), ImageState::Absent);
    });
    // libvirt marks it; without the mark it is a chain that somebody else changed.
    refused(delete_of(&half.clone().domain(), "e2"), BlockCode::ChainInconsistent, &["disk vda"]);
    let domain = half.with(|world| world.files("e1").unfinished = ["vda".to_owned()].into()).domain();
    let effect = delete_of(&domain, "e2").expect("to be finished");
    assert_eq!(effect.merges, [merge("vdb", "/i/vdb.e2", "/i/vdb.e1")]);
    for text in ["e1", "e3"] {
        refused(delete_of(&domain, text), BlockCode::ChainInconsistent, &["disk vda"]);
    }
}

#[test]
fn a_disk_that_was_captured_by_other_means_is_left_alone() {
    let manual = World::line(&["e1"]).with(|world| {
        world.snapshots[0].disks.insert("vdb".into(), Storage::Manual);
    });
    let effect = delete_of(&manual.domain(), "e1").expect("libvirt merges its own");
    assert_eq!(effect.merges, [merge("vda", "/i/vda.e1", "/i/vda")]);
    assert_eq!(effect.disks.keys().collect::<Vec<_>>(), ["vda"]);
}

#[test]
fn nothing_is_merged_in_a_paused_domain_whose_memory_was_captured() {
    let with_memory = |state| {
        let mut domain =
            World::line(&["e1", "e2"]).with(|world| world.snapshots[0].memory = Storage::External).domain();
        domain.state = state;
        domain
    };
    refused(delete_of(&with_memory(RunState::Paused), "e1"), BlockCode::TreeHolds, &["paused", "memory of e1"]);
    // Switched off as it is, it would lose its memory.
    let way_out = delete_of(&with_memory(RunState::Paused), "e1").expect_err("held").way_out;
    assert!(way_out.contains("virsh resume") && !way_out.contains("switch it off"), "{way_out}");
    for state in [RunState::Running, RunState::ShutOff] {
        assert!(delete_of(&with_memory(state), "e1").is_ok(), "{state:?}");
    }
    let mut without = World::line(&["e1", "e2"]).domain();
    without.state = RunState::Paused;
    assert!(delete_of(&without, "e1").is_ok());
    let dead = World::line(&["e1", "e2"]).revert("e1").capture("f");
    let mut dead = dead.with(|world| world.snapshots[0].memory = Storage::External).domain();
    dead.state = RunState::Paused;
    assert!(delete_of(&dead, "e2").is_ok(), "a branch that is not in use is only unlinked");
}

#[test]
fn what_an_unfinished_deletion_merges_into_stays_until_that_is_done() {
    let domain = World::line(&["e1", "e2", "e3"]).with(|world| {
        world.files("e1").unfinished.insert("vda".into());
    });
    let domain = domain.domain();
    refused(delete_of(&domain, "e1"), BlockCode::TreeHolds, &["failed", "snapshotDeleteInProgress"]);
    assert!(delete_of(&domain, "e2").is_ok(), "that finishes it");
}

#[test]
fn a_chain_that_cannot_be_read_is_as_long_as_the_tree_says() {
    let all = World::line(&["e1", "e2", "e3", "e4"]);
    for (domain, length) in [(all.clone().domain(), 5), (all.unreadable("/i/vda.e3").domain(), 5)] {
        assert_eq!(images(&domain, &domain.disks[0]), Some(length));
    }
    // One more than the tree knows is seen above the one that cannot be read.
    let mut longer = World::line(&["e1", "e2", "e3", "e4"]).unreadable("/i/vda.e1");
    longer.image("/i/vda.e4", Backing::File("/i/more".into()));
    longer.image("/i/more", Backing::File("/i/vda.e3".into()));
    let longer = longer.domain();
    assert_eq!(images(&longer, &longer.disks[0]), Some(6));
}

/// libvirt does so when it removes the record of a child, whatever else stands on the parent.
#[test]
fn behind_a_deletion_the_parent_has_the_overlays_of_its_revert() {
    let domain = World::line(&["e1", "e2", "e3"]).revert("e1").domain();
    let overlay = domain.disks[0].source.clone().expect("on an overlay");
    let wanted = ["e2", "e3"].map(name).into();
    let arranged = arrange(&domain, &Neighbours::default(), STRICT, &wanted, &BTreeSet::new());
    let files = arranged.left.tree.get(&name("e1")).and_then(|e1| e1.files.as_deref()).expect("external");
    assert_eq!((files.overlays.get("vda"), files.revert_overlays.len()), (Some(&overlay), 0));
}

#[test]
fn a_deletion_takes_no_mark_away_but_its_own() {
    let marked = |on: &str| {
        let domain = World::line(&["e0", "e1", "e2", "e3"]).with(|world| {
            world.files(on).unfinished.insert("vda".into());
        });
        let wanted = ["e0", "e2"].map(name).into();
        arrange(&domain.domain(), &Neighbours::default(), STRICT, &wanted, &BTreeSet::new()).order.len()
    };
    assert_eq!(marked("e1"), 2, "the deletion of e2 is the one that left it");
    assert_eq!(marked("e0"), 1, "that of e1 left it, and e2 has nothing to do with it");
    let forked = World::line(&["e0", "e1", "dead"]).revert("e1").capture("e2").with(|world| {
        world.files("e1").unfinished.insert("vda".into());
    });
    let wanted = ["dead", "e1"].map(name).into();
    let arranged = arrange(&forked.domain(), &Neighbours::default(), STRICT, &wanted, &BTreeSet::new());
    assert_eq!(arranged.order.len(), 1, "a branch that is not in use is not merged");
}
