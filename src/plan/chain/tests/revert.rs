//! The proof of a revert: what it removes and stands on, and what each clause refuses.

use super::*;
use crate::model::image::{FileId, Image};
use crate::model::observed::ObservedDisk;

fn revert_to(domain: &ObservedDomain, text: &str) -> Result<Effect, Fault> {
    prove(domain, &Neighbours::default(), STRICT, Step::Revert(&name(text)))
}

fn paths(paths: &[(&str, &str)]) -> BTreeMap<String, String> {
    paths.iter().map(|(target, path)| ((*target).to_owned(), (*path).to_owned())).collect()
}

#[test]
fn a_revert_removes_the_current_overlays_and_stands_on_what_was_frozen() {
    let domain = World::line(&["e1", "e2", "e3"]).domain();
    for (text, base) in [("e1", "/i/vda"), ("e2", "/i/vda.e1"), ("e3", "/i/vda.e2")] {
        let effect = revert_to(&domain, text).expect(text);
        let expected =
            Effect { unlinks: vec!["/i/vda.e3".into()], overlays_on: paths(&[("vda", base)]), ..Effect::default() };
        assert_eq!(effect, expected, "{text}");
    }
    // After a revert to one with children its own overlay is under them: the revert's is what goes.
    let domain = World::line(&["e1", "e2"]).revert("e1").domain();
    let effect = revert_to(&domain, "e2").expect("the leaf");
    assert_eq!(effect.overlays_on, paths(&[("vda", "/i/vda.e1")]));
    assert!(matches!(effect.unlinks.as_slice(), [path] if path.starts_with("/i/vda.10000")), "{effect:?}");
}

#[test]
fn the_tree_after_a_revert_is_the_one_that_libvirt_makes() {
    for (to, children) in [("e1", true), ("e2", true), ("e3", false)] {
        let world = World::line(&["e1", "e2", "e3"]);
        let domain = world.clone().domain();
        let effect = revert_to(&domain, to).expect(to);
        let (ours, theirs) = (simulate::after_revert(&domain, &name(to), &effect), world.revert(to).domain());
        assert_eq!(ours.tree.current(), theirs.tree.current());
        for snapshot in theirs.tree.iter() {
            let files = |domain: &ObservedDomain| domain.tree.get(&snapshot.name).expect("there").files.clone();
            let shape = |domain: &ObservedDomain| {
                let files = files(domain).expect("external");
                (files.revert_overlays.len(), files.bases.clone())
            };
            assert_eq!(shape(&ours), shape(&theirs), "{to}: {}", snapshot.name);
        }
        let overlays = |domain: &ObservedDomain| {
            domain.tree.get(&name(to)).and_then(|s| s.files.as_deref()).expect("there").revert_overlays.len()
        };
        assert_eq!(overlays(&ours), usize::from(children), "{to}");
        assert!(Layout::whole(&ours, Trust::Nothing).is_ok(), "{to}");
    }
}

#[test]
fn no_revert_without_a_whole_tree_or_with_a_file_gone() {
    let no_current = World::line(&["e1"]).pointing_at(None).domain();
    refused(revert_to(&no_current, "e1"), BlockCode::ChainInconsistent, &["no current one", "crashes"]);
    let wrong = World::line(&["e1", "e2"]).pointing_at(Some("e1")).domain();
    refused(revert_to(&wrong, "e2"), BlockCode::ChainInconsistent, &["the current snapshot is e1"]);
    // The trap of fact 4: a pointer sent again has dropped the revert's overlays, and the capture's own would go.
    let dropped = World::line(&["e1", "e2"]).revert("e1").with(World::forget_revert).domain();
    refused(revert_to(&dropped, "e2"), BlockCode::ChainInconsistent, &["e1", "/i/vda.e1"]);
    refused(revert_to(&World::line(&["e1"]).domain(), "e9"), BlockCode::Missing, &["no snapshot"]);

    let memory = |state: Option<ImageState>| {
        let world = World::line(&["e1", "e2"]).with(|world| {
            world.files("e1").memory = Some("/i/memory".into());
            world.images.extend(state.map(|state| ("/i/memory".to_owned(), state)));
        });
        revert_to(&world.domain(), "e1")
    };
    refused(memory(Some(ImageState::Absent)), BlockCode::ChainInconsistent, &["/i/memory is gone", "stopped"]);
    refused(memory(None), BlockCode::ChainUnknown, &["/i/memory"]);
    let there = World::line(&[]).with(|world| world.image("/i/memory", Backing::None)).images.remove("/i/memory");
    assert!(memory(there).is_ok());

    let dead = World::line(&["e1", "e2"]).revert("e1").capture("f").without_image("/i/vda.e1").domain();
    refused(revert_to(&dead, "e2"), BlockCode::ChainInconsistent, &["disk vda needs the image /i/vda.e1"]);
    assert!(revert_to(&dead, "e1").is_ok(), "that one does not need it");
    let hidden = World::line(&["e1", "e2"]).revert("e1").capture("f").unreadable("/i/vda.e1").domain();
    refused(revert_to(&hidden, "e2"), BlockCode::ChainUnknown, &["/i/vda.e1"]);
    let trusting = prove(&hidden, &Neighbours::default(), TRUSTING, Step::Revert(&name("e2")));
    assert!(trusting.is_ok(), "{trusting:?}");
}

#[test]
fn no_revert_removes_what_somebody_else_needs() {
    let domain = World::line(&["e1", "e2"]).domain();
    let mut world = World { made: 1000, ..World::new(&[]) };
    world.disks.insert("vdx".into(), "/i/vdx".into());
    world.image("/i/vdx", Backing::File("/i/vda.e2".into()));
    world.image("/i/vda.e2", Backing::None);
    let clone = ObservedDomain { uuid: DomainUuid(uuid::Uuid::max()), name: "clone".into(), ..world.domain() };
    let neighbours = Neighbours { domains: vec![&clone], unread: Vec::new() };
    let e1 = name("e1");
    let step = Step::Revert(&e1);
    refused(prove(&domain, &neighbours, STRICT, step), BlockCode::SharedBase, &["/i/vda.e2", "domain clone"]);
    let unread = Neighbours { domains: Vec::new(), unread: vec!["hung"] };
    refused(prove(&domain, &unread, STRICT, step), BlockCode::SharedBase, &["hung"]);

    // What e1 froze stands, by hands of others, on the overlay that would go.
    let twisted = World::line(&["e1", "e2"]).with(|world| {
        world.image("/i/other", Backing::File("/i/vda.e2".into()));
        world.files("e1").bases.insert("vdb".into(), "/i/other".into());
    });
    refused(revert_to(&twisted.domain(), "e1"), BlockCode::ChainInconsistent, &["/i/vda.e2", "snapshot e1 needs"]);
}

#[test]
fn disks_on_which_libvirt_cannot_put_its_overlays_are_refused() {
    let with_disk = |change: fn(&mut ObservedDisk)| {
        World::new(&["vda", "vdb"]).capture("e1").with(|world| {
            let definition = world.snapshots[0].definition.as_deref_mut().expect("kept");
            change(&mut definition.disks[1]);
        })
    };
    let block = with_disk(|disk| disk.source_type = "block".into()).domain();
    refused(revert_to(&block, "e1"), BlockCode::NotPossible, &["vdb is of type block"]);
    let alike = with_disk(|disk| disk.source = Some("/i/vda.raw".into()));
    let alike = alike.with(|world| world.image("/i/vda.raw", Backing::None)).domain();
    refused(revert_to(&alike, "e1"), BlockCode::NotPossible, &["vda and vdb", "one name"]);
    let empty = with_disk(|disk| disk.source = None).domain();
    assert_eq!(revert_to(&empty, "e1").expect("an empty drive gets none").overlays_on, paths(&[("vda", "/i/vda")]));
    assert_eq!(overlay_stem("/a.b/vda.qcow2"), "/a.b/vda");
    assert_eq!(overlay_stem("/a.b/vda"), "/a.b/vda");
    let undefined = World::line(&["e1"]).with(|world| world.snapshots[0].definition = None).domain();
    refused(revert_to(&undefined, "e1"), BlockCode::NotPossible, &["keeps no definition"]);
}

/// The domain with internal snapshots in place of external ones.
fn internal(world: World) -> ObservedDomain {
    let world = world.with(|world| {
        world.images.retain(|path, _| path == "/i/vda");
        for snapshot in &mut world.snapshots {
            snapshot.files = None;
            snapshot.disks.values_mut().for_each(|storage| *storage = Storage::Internal);
        }
    });
    world.domain()
}

#[test]
fn an_internal_revert_writes_only_where_it_was_captured_and_nobody_else_reads() {
    let mut domain = internal(World::line(&["s1"]).with(|world| {
        world.disks.insert("vda".into(), "/i/vda".into());
    }));
    domain.image_snapshots = BTreeMap::from([("vda".to_owned(), vec!["s1".to_owned()])]);
    assert_eq!(revert_to(&domain, "s1"), Ok(Effect::default()));
    let phantom = ObservedDomain { image_snapshots: [("vda".to_owned(), Vec::new())].into(), ..domain.clone() };
    refused(revert_to(&phantom, "s1"), BlockCode::NotPossible, &["holds no internal snapshot"]);
    let mut overlaid = domain.clone();
    overlaid.disks[0].source = Some("/i/vda.s1".into());
    refused(revert_to(&overlaid, "s1"), BlockCode::ChainInconsistent, &["is on /i/vda.s1 and was on /i/vda"]);
    let mut clone = World { made: 1000, ..World::new(&[]) };
    clone.disks.insert("vdx".into(), "/i/vdx".into());
    clone.image("/i/vdx", Backing::File("/i/vda".into()));
    clone.image("/i/vda", Backing::None);
    let clone = ObservedDomain { uuid: DomainUuid(uuid::Uuid::max()), name: "clone".into(), ..clone.domain() };
    let neighbours = Neighbours { domains: vec![&clone], unread: Vec::new() };
    let s1 = name("s1");
    refused(prove(&domain, &neighbours, STRICT, Step::Revert(&s1)), BlockCode::SharedBase, &["domain clone"]);
    let mixed = World::line(&["s1", "e2"]).with(|world| {
        world.snapshots[0].files = None;
        world.snapshots[0].disks.values_mut().for_each(|storage| *storage = Storage::Internal);
    });
    for text in ["s1", "e2"] {
        refused(revert_to(&mixed.clone().domain(), text), BlockCode::MixedKinds, &["internal and external"]);
    }
}

#[test]
fn an_internal_revert_needs_every_image() {
    // QEMU goes on with a file that was removed, and is stopped before libvirt looks.
    let mut domain = internal(World::line(&["s1"]).with(|world| {
        world.disks.insert("vda".into(), "/i/vda".into());
        world.images.insert("/i/vda".into(), ImageState::Absent);
    }));
    domain.state = RunState::Running;
    refused(revert_to(&domain, "s1"), BlockCode::ChainInconsistent, &["vda", "/i/vda", "no such file"]);
}

/// A capture by hand that was killed, or a copy of a guest that nobody defined: a revert changes what is below it.
#[test]
fn an_internal_revert_writes_under_no_unknown_overlay() {
    let with = |empty| {
        let mut world = World::line(&["s1"]);
        world.disks.insert("vda".into(), "/i/vda".into());
        let below = Backing::File("/i/vda".into());
        let overlay =
            Image { id: FileId { device: 1, inode: 99 }, backing: below, allocated: 1000, empty, open: false };
        let mut domain = internal(world);
        domain.files.images.insert("/i/vda.left".into(), ImageState::Present(overlay));
        domain
    };
    refused(revert_to(&with(false), "s1"), BlockCode::ChainInconsistent, &["/i/vda.left stands on", "not noted"]);
    assert!(revert_to(&with(true), "s1").is_ok(), "nothing was written to it");
}
