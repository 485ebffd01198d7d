//! Files that another domain, snapshot or disk needs.

use super::*;
use crate::model::image::Image;

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
    refused(delete_of(&memory.clone().domain(), "e2"), BlockCode::ChainInconsistent, &["/i/m", "snapshot e1"]);
    // The disks of the one that stands on it move with the merge, and its memory does not.
    refused(delete_of(&memory.domain(), "e1"), BlockCode::ChainInconsistent, &["/i/m", "snapshot e2"]);
}

/// An overlay on an image, which no snapshot and no disk names: libvirtd ended in a capture, the guest wrote on, and was
/// shut down.
fn with_unknown_overlay(on: &str, change: impl FnOnce(&mut Image)) -> ObservedDomain {
    let mut domain =
        World::line(&["e1", "e2"]).with(|world| world.image("/i/vda.e3", Backing::File(on.into()))).domain();
    let Some(ImageState::Present(image)) = domain.files.images.get_mut("/i/vda.e3") else { panic!("it is there") };
    change(image);
    domain
}

#[test]
fn what_an_unknown_overlay_stands_on_stays() {
    let revert = |domain: &ObservedDomain| prove(domain, &Neighbours::default(), STRICT, Step::Revert(&name("e1")));
    let domain = with_unknown_overlay("/i/vda.e2", |_| ());
    for result in [delete_of(&domain, "e2"), revert(&domain)] {
        refused(result, BlockCode::ChainInconsistent, &["/i/vda.e2", "/i/vda.e3 stands on", "not noted"]);
    }
    assert!(delete_of(&domain, "e1").is_ok(), "that touches nothing below it");
    assert!(prove(&domain, &Neighbours::default(), STRICT, Step::Create).is_ok());
    // The merge would write into what it stands on.
    refused(delete_of(&with_unknown_overlay("/i/vda", |_| ()), "e1"), BlockCode::ChainInconsistent, &["/i/vda.e3"]);
    // Nor in what it stands on further down: beside a revert's overlay the captures that went on from the old one are forgotten.
    let above = World::line(&["e1", "e2"]).revert("e1").with(|world| {
        world.image("/i/vda.e3", Backing::File("/i/vda.e1".into()));
        world.image("/i/vda.e4", Backing::File("/i/vda.e3".into()));
        world.snapshots.retain(|snapshot| snapshot.name.as_str() == "e1");
        let Some(ImageState::Present(image)) = world.images.get_mut("/i/vda.e3") else { panic!("it is there") };
        image.empty = true;
    });
    refused(delete_of(&above.domain(), "e1"), BlockCode::ChainInconsistent, &["/i/vda,", "stands on", "not noted"]);
    // A leftover that nothing was written to, unless a process has it open.
    let empty = with_unknown_overlay("/i/vda.e2", |image| image.empty = true);
    assert!(delete_of(&empty, "e2").is_ok() && revert(&empty).is_ok());
    let open = with_unknown_overlay("/i/vda.e2", |image| (image.empty, image.open) = (true, true));
    refused(delete_of(&open, "e2"), BlockCode::ChainInconsistent, &["/i/vda.e3"]);
    // A neighbour's, which is told by its name.
    let mut clone = World { made: 1000, ..World::new(&[]) };
    clone.disks.insert("vdx".into(), "/i/vda.e3".into());
    clone.image("/i/vda.e3", Backing::File("/i/vda.e2".into()));
    let clone = ObservedDomain { uuid: DomainUuid(uuid::Uuid::max()), name: "clone".into(), ..clone.domain() };
    let neighbours = Neighbours { domains: vec![&clone], unread: Vec::new() };
    let shared = prove(&domain, &neighbours, STRICT, Step::Delete(&name("e2")));
    refused(shared, BlockCode::SharedBase, &["domain clone"]);
}

/// e1 captured vda alone, e2 both: what vdb held then went on being written to.
#[test]
fn a_disk_that_a_snapshot_left_out_is_merged_into() {
    let partial = || World::new(&["vda", "vdb"]).capture_some("e1", &["vda"]).capture("e2");
    let effect = delete_of(&partial().domain(), "e2").expect("nobody captured /i/vdb");
    assert_eq!(effect.merges, [merge("vda", "/i/vda.e2", "/i/vda.e1"), merge("vdb", "/i/vdb.e2", "/i/vdb")]);
    // What its definition names must stay there all the same.
    let unlinked = partial().with(|world| drop(world.files("e1").bases.insert("vdb".into(), "/i/vdb.e2".into())));
    refused(delete_of(&unlinked.domain(), "e2"), BlockCode::ChainInconsistent, &["/i/vdb.e2", "snapshot e1 needs"]);
    // Memory fits the disks of its time alone, an image can hold a snapshot itself, and a revert put an overlay on it.
    let memory = partial().with(|world| world.files("e1").memory = Some("/i/m".into()));
    let internal = partial().with(|world| {
        world.snapshots[0].disks.insert("vdb".into(), Storage::Internal);
    });
    let reverted = partial().with(|world| {
        world.files("e1").revert_overlays.insert("vdb".into(), "/i/vdb.1".into());
    });
    for world in [memory, internal, reverted] {
        refused(delete_of(&world.domain(), "e2"), BlockCode::ChainInconsistent, &["/i/vdb", "snapshot e1 needs"]);
    }
}
