//! The proof, clause by clause, on hand-made trees: what each one refuses, and what stays possible.

mod repairs;
mod revert;
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
fn a_file_that_another_domain_uses_stays() {
    let domain = World::line(&["e1", "e2"]).domain();
    let neighbour =
        |world: World| ObservedDomain { uuid: DomainUuid(uuid::Uuid::max()), name: "clone".into(), ..world.domain() };
    let clone_on = |path: &str| {
        let mut world = World { made: 1000, ..World::new(&[]) };
        world.disks.insert("vdx".into(), "/i/vdx".into());
        world.image("/i/vdx", Backing::File(path.to_owned()));
        world.image(path, Backing::None);
        world
    };
    let with = |other: &ObservedDomain, text: &str| {
        let neighbours = Neighbours { domains: vec![other], unread: Vec::new() };
        prove(&domain, &neighbours, STRICT, Step::Delete(&name(text)))
    };
    let on_base = neighbour(clone_on("/i/vda"));
    refused(with(&on_base, "e1"), BlockCode::SharedBase, &["/i/vda", "domain clone", "disk vdx"]);
    assert!(with(&on_base, "e2").is_ok(), "that merge does not touch the shared image");
    let on_overlay = neighbour(clone_on("/i/vda.e1"));
    refused(with(&on_overlay, "e2"), BlockCode::SharedBase, &["/i/vda.e1"]);
    let frozen = neighbour(clone_on("/i/vda.e1").capture("s").with(|world| {
        world.disks.insert("vdx".into(), "/i/vda".into());
        world.files("s").overlays.clear();
    }));
    refused(with(&frozen, "e2"), BlockCode::SharedBase, &["snapshot s"]);
    // Another name of the same file.
    let linked = neighbour(clone_on("/link").with(|world| {
        let same = domain.files.images["/i/vda"].clone();
        world.images.insert("/link".into(), same);
    }));
    refused(with(&linked, "e1"), BlockCode::SharedBase, &["/link"]);
    let unknown = neighbour(clone_on("/i/x").unreadable("/i/vdx"));
    refused(with(&unknown, "e1"), BlockCode::SharedBase, &["not known"]);
    let unread = Neighbours { domains: Vec::new(), unread: vec!["hung"] };
    let e1 = name("e1");
    let step = Step::Delete(&e1);
    refused(prove(&domain, &unread, STRICT, step), BlockCode::SharedBase, &["domain hung", "could not be read"]);
    assert!(prove(&domain, &unread, TRUSTING, step).is_ok());
}

#[test]
fn what_a_neighbours_snapshot_names_is_its_own() {
    let domain = World::line(&["e1", "e2"]).with(|world| world.files("e2").memory = Some("/i/m".into())).domain();
    let foreign = || {
        World { made: 1000, ..World::new(&[]) }.with(|world| {
            world.image("/i/vdx", Backing::None);
            world.disks.insert("vdx".into(), "/i/vdx".into());
        })
    };
    let with = |change: &dyn Fn(&mut World)| {
        let world = foreign().capture("s").with(change);
        let other = ObservedDomain { uuid: DomainUuid(uuid::Uuid::max()), name: "other".into(), ..world.domain() };
        prove(&domain, &Neighbours { domains: vec![&other], unread: Vec::new() }, STRICT, Step::Delete(&name("e2")))
    };
    assert!(with(&|_| ()).is_ok());
    let memory = with(&|world| world.files("s").memory = Some("/i/m".into()));
    refused(memory, BlockCode::SharedBase, &["/i/m", "snapshot s"]);
    let overlay = with(&|world| world.files("s").revert_overlays = [("vdy".to_owned(), "/i/vda.e1".to_owned())].into());
    refused(overlay, BlockCode::SharedBase, &["/i/vda.e1", "snapshot s"]);
    // Its chain is broken below an image of ours.
    let cut = with(&|world| {
        world.image("/i/vda.e1", Backing::File("/i/gone".into()));
        world.image("/i/vdx.s", Backing::File("/i/vda.e1".into()));
        world.images.insert("/i/gone".into(), ImageState::Absent);
    });
    refused(cut, BlockCode::SharedBase, &["/i/vda.e1", "disk vdx"]);
    // A disk that is no file: which image it is on is not known. One on the network is on none of this machine.
    for (source_type, source, known) in [("volume", Some("pool/volume"), false), ("network", None, true)] {
        let mut other = ObservedDomain { uuid: DomainUuid(uuid::Uuid::max()), ..foreign().domain() };
        (other.disks[0].source, other.disks[0].source_type) = (source.map(str::to_owned), source_type.into());
        let neighbours = Neighbours { domains: vec![&other], unread: Vec::new() };
        match prove(&domain, &neighbours, STRICT, Step::Delete(&name("e2"))) {
            Ok(_) => assert!(known, "{source_type}"),
            result => refused(result, BlockCode::SharedBase, &["not known", "pool/volume"]),
        }
    }
}

#[test]
fn a_file_that_another_snapshot_or_disk_needs_stays() {
    // By its metadata, e4 froze what the live chain stands on.
    let twisted = forked().with(|world| {
        world.files("e4").bases.insert("vda".into(), "/i/vda".into());
    });
    refused(delete_of(&twisted.domain(), "e4"), BlockCode::ChainInconsistent, &["/i/vda"]);
    // A dead branch that stands on an image which the merge removes.
    let on_top = forked().with(|world| {
        let removed = world.files("f").bases["vda"].clone();
        world.image("/i/vda.e3", Backing::File(removed));
        let dead: Vec<_> = ["e2", "e3"].map(name).into();
        world.snapshots.retain(|snapshot| !dead.contains(&snapshot.name));
        let e4 = world.snapshots.iter_mut().find(|s| s.name == name("e4")).expect("e4");
        e4.parent = None;
    });
    refused(delete_of(&on_top.domain(), "f"), BlockCode::ChainInconsistent, &["snapshot e4 needs"]);
    let second_disk = World::new(&["vda", "vdb"]).capture_some("e1", &["vda"]).with(|world| {
        world.disks.insert("vdb".into(), "/i/vda".into());
    });
    refused(delete_of(&second_disk.domain(), "e1"), BlockCode::ChainInconsistent, &["disk vdb needs"]);
    let memory = World::line(&["e1", "e2"]).with(|world| {
        world.files("e1").memory = Some("/i/m".into());
        world.files("e2").memory = Some("/i/m".into());
    });
    refused(delete_of(&memory.domain(), "e2"), BlockCode::ChainInconsistent, &["/i/m", "snapshot e1"]);
}

#[test]
fn what_cannot_be_read_is_captured_over_and_not_deleted() {
    let domain = World::line(&["e1", "e2"]).unreadable("/i/vda.e1").domain();
    assert!(prove(&domain, &Neighbours::default(), STRICT, Step::Create).is_ok());
    refused(delete_of(&domain, "e1"), BlockCode::ChainUnknown, &["permission denied"]);
    let trusted = prove(&domain, &Neighbours::default(), TRUSTING, Step::Delete(&name("e1"))).expect("trusted");
    assert_eq!(trusted.merges[0].into, "/i/vda", "by the metadata");
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

/// A running domain of two captures whose process was left elsewhere than libvirt thinks.
fn running(change: impl FnOnce(&mut ObservedDomain)) -> ObservedDomain {
    let mut domain =
        World::line(&["e1", "e2"]).with(|world| world.image("/i/vda.e3", Backing::File("/i/vda.e2".into()))).domain();
    domain.state = RunState::Running;
    change(&mut domain);
    domain
}

fn open_by_qemu(domain: &mut ObservedDomain, path: &str) {
    let Some(ImageState::Present(image)) = domain.files.images.get_mut(path) else { panic!("{path} is there") };
    image.open = true;
}

#[test]
fn an_overlay_that_a_guest_uses_and_libvirt_does_not_know_holds_everything() {
    let domain = running(|domain| open_by_qemu(domain, "/i/vda.e3"));
    for step in [Step::Create, Step::Delete(&name("e1")), Step::Delete(&name("e2")), Step::Revert(&name("e1"))] {
        let result = prove(&domain, &Neighbours::default(), STRICT, step);
        refused(result, BlockCode::ChainInconsistent, &["/i/vda.e3", "the guest writes to it"]);
    }
    for whole in [
        // A leftover that nobody has open, what the guest uses as libvirt knows, and a domain that is off.
        running(|_| ()),
        running(|domain| open_by_qemu(domain, "/i/vda.e2")),
        running(|domain| {
            open_by_qemu(domain, "/i/vda.e3");
            domain.state = RunState::ShutOff;
        }),
    ] {
        assert!(prove(&whole, &Neighbours::default(), STRICT, Step::Create).is_ok());
    }
}

#[test]
fn a_next_start_on_an_image_below_holds_everything() {
    let next = |path: &str| running(|domain| drop(domain.next_sources.insert("vda".into(), path.into())));
    for below in ["/i/vda", "/i/vda.e1"] {
        for step in [Step::Create, Step::Delete(&name("e1")), Step::Revert(&name("e1"))] {
            let result = prove(&next(below), &Neighbours::default(), STRICT, step);
            refused(result, BlockCode::ChainInconsistent, &["the next start has disk vda on", below]);
        }
    }
    // The same image, and another one that its user means to have then.
    for path in ["/i/vda.e2", "/i/other"] {
        assert!(delete_of(&next(path), "e1").is_ok(), "{path}");
    }
}

#[test]
fn a_capture_that_was_not_noted_says_how_its_overlay_is_merged() {
    let mut world = World::line(&["e1"]);
    world.image("/i/vda.e2", Backing::File("/i/vda.e1".into()));
    world.disks.insert("vda".into(), "/i/vda.e2".into());
    let way_out = |world: World| delete_of(&world.domain(), "e1").expect_err("refused").way_out;
    assert!(way_out(world.clone()).contains("qemu-img commit '/i/vda.e2'"), "{}", way_out(world));
    // The overlay of e2 under another name: what is below is what e2 captured.
    let mut moved = World::line(&["e1", "e2"]).without_image("/i/vda.e2");
    moved.image("/i/moved", Backing::File("/i/vda.e1".into()));
    moved.disks.insert("vda".into(), "/i/moved".into());
    let told = way_out(moved);
    assert!(!told.contains("commit") && told.contains("whose overlay /i/moved is"), "{told}");
    // A snapshot has it, and the pointer is elsewhere.
    let moved = World::line(&["e1", "e2", "e3"]).pointing_at(Some("e1")).domain();
    let fault = prove(&moved, &Neighbours::default(), STRICT, Step::Create).expect_err("refused");
    assert!(fault.way_out.contains("find the snapshot whose overlay /i/vda.e3 is"), "{fault:?}");
}

#[test]
fn a_revert_that_was_not_noted_says_which_image_it_made() {
    let mut world = World::line(&["e1", "guard"]).without_image("/i/vda.guard");
    world.image("/i/vda.1795802371", Backing::File("/i/vda".into()));
    let way_out = |world: World| delete_of(&world.domain(), "e1").expect_err("refused").way_out;
    let told = way_out(world.clone());
    assert!(told.contains("/i/vda.1795802371") && told.contains("virsh edit 'vm'"), "{told}");
    // Two of them, and none.
    world.image("/i/vda.1795802372", Backing::File("/i/vda".into()));
    assert!(way_out(world).contains("from a backup"));
    assert!(way_out(World::line(&["e1", "guard"]).without_image("/i/vda.guard")).contains("from a backup"));
}

#[test]
fn an_image_that_is_gone_under_a_running_domain_breaks_its_chain() {
    let mut domain = World::line(&["e1", "e2"]).without_image("/i/vda").domain();
    domain.state = RunState::Running;
    domain.disks[0].backing = Some(vec!["/i/vda.e1".into(), "/i/vda".into()]);
    refused(delete_of(&domain, "e2"), BlockCode::ChainInconsistent, &["disk vda needs the image /i/vda"]);
    let capture = prove(&domain, &Neighbours::default(), STRICT, Step::Create);
    refused(capture, BlockCode::ChainInconsistent, &["/i/vda"]);
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
}
