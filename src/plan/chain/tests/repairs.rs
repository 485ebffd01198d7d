//! Repairs of the pointer and of revert overlays, and files that nothing uses.

use super::*;
use crate::model::observed::ObservedDisk;

fn set_current(domain: &ObservedDomain, text: &str) -> Result<Effect, Fault> {
    prove(domain, &Neighbours::default(), STRICT, Step::SetCurrent(&name(text)))
}

#[test]
fn a_wrong_pointer_is_set_to_where_the_disks_are() {
    let wrong = World::line(&["e1", "e2"]).pointing_at(Some("e1")).domain();
    let repair = find_repair(&wrong, STRICT).expect("one way");
    assert_eq!((repair.target.as_str(), repair.moves_pointer, &repair.overlays), ("e2", true, &None));
    assert!(set_current(&wrong, "e2").is_ok());
    assert!(Layout::whole(&after_repair(&wrong, &repair), Trust::Nothing).is_ok());
    let lost = World::line(&["e1", "e2"]).pointing_at(None).domain();
    assert_eq!(find_repair(&lost, STRICT).expect("one way").target, name("e2"));
    let right = World::line(&["e1", "e2"]).domain();
    refused(set_current(&right, "e1"), BlockCode::CurrentUnsafe, &["not on this snapshot's overlays"]);
    refused(set_current(&right, "e2"), BlockCode::CurrentUnsafe, &["already"]);
}

#[test]
fn forgotten_revert_overlays_are_given_back_before_the_pointer() {
    let reverted = || World::line(&["e1", "e2"]).revert("e1");
    let active = reverted().disks["vda"].clone();
    let forgotten = reverted().with(|world| world.files("e1").revert_overlays.clear());
    let domain = forgotten.clone().domain();
    refused(delete_of(&domain, "e2"), BlockCode::ChainInconsistent, &["the current snapshot is e1"]);
    let repair = find_repair(&domain, STRICT).expect("one way");
    let overlays = BTreeMap::from([("vda".to_owned(), active)]);
    assert_eq!((repair.moves_pointer, repair.overlays.as_ref()), (false, Some(&overlays)));
    let give = |domain: &ObservedDomain, text: &str, overlays: &BTreeMap<String, String>| {
        prove(domain, &Neighbours::default(), STRICT, Step::RestoreOverlays(&name(text), overlays))
    };
    assert!(give(&domain, "e1", &overlays).is_ok());
    let other = BTreeMap::from([("vda".to_owned(), "/i/vda.e1".to_owned())]);
    refused(give(&domain, "e1", &other), BlockCode::ChainInconsistent, &["no longer"]);
    // The pointer was moved as well: overlays first, then the pointer.
    let moved = forgotten.pointing_at(Some("e2")).domain();
    let repair = find_repair(&moved, STRICT).expect("one way");
    assert_eq!((repair.target.as_str(), repair.moves_pointer), ("e1", true));
    refused(set_current(&moved, "e1"), BlockCode::CurrentUnsafe, &["not on this snapshot's overlays"]);
    assert!(set_current(&after_repair(&moved, &Repair { moves_pointer: false, ..repair }).clone(), "e1").is_err());
}

/// With the pointer right, the next start would still lose what was written since.
#[test]
fn no_repair_hides_that_the_next_start_is_elsewhere() {
    let astray = |world: World| {
        let mut domain = world.domain();
        domain.state = RunState::Running;
        domain.next_sources = [("vda".into(), "/i/vda.e1".into())].into();
        domain
    };
    let pointer = astray(World::line(&["e1", "e2"]).pointing_at(Some("e1")));
    assert_eq!(find_repair(&pointer, STRICT), None);
    refused(set_current(&pointer, "e2"), BlockCode::ChainInconsistent, &["the next start"]);
    let capture = prove(&pointer, &Neighbours::default(), STRICT, Step::Create);
    refused(capture, BlockCode::ChainInconsistent, &["the next start"]);
    let forgotten = World::line(&["e1", "e2"]).revert("e2").with(|world| {
        world.files("e2").overlays.insert("vda".into(), "/i/other".into());
    });
    let overlays = BTreeMap::from([("vda".to_owned(), forgotten.disks["vda"].clone())]);
    let e2 = name("e2");
    let give =
        |domain: &ObservedDomain| prove(domain, &Neighbours::default(), STRICT, Step::RestoreOverlays(&e2, &overlays));
    assert!(give(&forgotten.clone().domain()).is_ok());
    refused(give(&astray(forgotten)), BlockCode::ChainInconsistent, &["the next start"]);
}

/// Noted as a revert's overlay, libvirt would remove it at the next revert.
#[test]
fn an_image_that_no_revert_made_is_not_taken_for_one() {
    for (path, revert_made) in [
        ("/i/vda.1732320000", true),
        ("/i/vda.mine", false),
        ("/i/vda.1732320000x", false),
        ("/i/vda.", false),
        ("/j/vda.1732320000", false),
        ("/i/vdb.1732320000", false),
    ] {
        let domain = World::line(&["e1", "e2"]).with(|world| {
            world.image(path, Backing::File("/i/vda.e1".into()));
            world.disks.insert("vda".into(), path.into());
        });
        let repair = find_repair(&domain.domain(), STRICT);
        assert_eq!(repair.map(|repair| repair.target), revert_made.then(|| name("e2")), "{path}");
    }
}

#[test]
fn no_repair_is_chosen_that_is_not_the_only_safe_one() {
    let none = |world: World, why: &str| assert_eq!(find_repair(&world.domain(), STRICT), None, "{why}");
    let twins = World::line(&["e1", "e2"]).pointing_at(None).with(|world| {
        let mut twin = world.snapshots[1].clone();
        twin.name = name("twin");
        world.snapshots.push(twin);
    });
    none(twins, "two snapshots have the overlay");
    let elsewhere = World::line(&["e0", "e1", "e2", "e3"]).pointing_at(Some("e1")).under("e2", "e0");
    none(elsewhere, "with the pointer right, the parents are still wrong");
    let noted = World::line(&["e1", "e2"]).revert("e1");
    let overlay = noted.disks["vda"].clone();
    let noted = noted.capture("f").pointing_at(Some("e1")).with(|world| {
        world.files("e1").revert_overlays.insert("vda".into(), overlay);
    });
    none(noted, "the pointer would leave e1, and libvirt forget an overlay that f stands on");
    let revert = World::line(&["e1", "e2"]).revert("e2").with(|world| world.files("e2").revert_overlays.clear());
    let known = revert.clone().with(|world| {
        let active = world.disks["vda"].clone();
        world.files("e2").overlays.insert("vda".into(), "/i/other".into());
        world.files("e1").revert_overlays.insert("vda".into(), active);
    });
    none(known, "another snapshot knows the active image");
    let stranger = World::line(&["e1", "e2"]).with(|world| {
        world.image("/i/other", Backing::None);
        world.image("/i/vda.1732320000", Backing::File("/i/other".into()));
        world.disks.insert("vda".into(), "/i/vda.1732320000".into());
    });
    none(stranger.clone(), "it does not stand on what a snapshot froze");
    let overlays = BTreeMap::from([("vda".to_owned(), "/i/vda.1732320000".to_owned())]);
    let (e2, domain) = (name("e2"), stranger.domain());
    let given = prove(&domain, &Neighbours::default(), STRICT, Step::RestoreOverlays(&e2, &overlays));
    refused(given, BlockCode::ChainInconsistent, &["no longer on overlays"]);
}

#[test]
fn a_pointer_stays_where_its_revert_overlays_are_in_use() {
    let domain = World::line(&["e1", "e2"]).revert("e1").domain();
    refused(set_current(&domain, "e2"), BlockCode::CurrentUnsafe, &["forget", "in use"]);
    assert_eq!(find_repair(&World::line(&["e1"]).under("e1", "gone").domain(), STRICT), None);
}

#[test]
fn leftovers_and_orphans_are_told_from_what_is_used() {
    let leftover = World::line(&["e1"]).with(|world| {
        world.image("/i/vm.vda.e2.qcow2", Backing::File("/i/vda.e1".into()));
        world.image("/i/vm.log", Backing::None);
        if let Some(ImageState::Present(image)) = world.images.get_mut("/i/vm.vda.e2.qcow2") {
            image.empty = true;
        }
    });
    let domain = leftover.clone().domain();
    assert!(unused_leftover(&domain, &Neighbours::default(), "vda", "/i/vm.vda.e2.qcow2"));
    assert!(!unused_leftover(&domain, &Neighbours::default(), "vda", "/i/vda.e1"), "it is in use");
    let orphan = |domain: &ObservedDomain, neighbours: &Neighbours<'_>| {
        orphans(domain, &Bystanders::new(neighbours)).into_iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(orphan(&domain, &Neighbours::default()), ["/i/vm.vda.e2.qcow2"]);
    let user = leftover.with(|world| drop(world.disks.insert("vda".into(), "/i/vm.vda.e2.qcow2".into()))).domain();
    let used = Neighbours { domains: vec![&user], unread: Vec::new() };
    assert!(orphan(&domain, &used).is_empty());
    assert!(!unused_leftover(&domain, &used, "vda", "/i/vm.vda.e2.qcow2"), "two domains would write to it");
    let unread = Neighbours { domains: Vec::new(), unread: vec!["hung"] };
    assert!(!unused_leftover(&domain, &unread, "vda", "/i/vm.vda.e2.qcow2"), "it may be that one's");
    let mut other_disk = domain.clone();
    let second =
        ObservedDisk { target: "vdb".into(), source: Some("/i/vm.vda.e2.qcow2".into()), ..domain.disks[0].clone() };
    other_disk.disks.push(second);
    assert!(!unused_leftover(&other_disk, &Neighbours::default(), "vda", "/i/vm.vda.e2.qcow2"), "vdb is on it");
    let written = World::line(&["e1"]).with(|world| world.image("/i/x", Backing::File("/i/vda.e1".into()))).domain();
    assert!(!unused_leftover(&written, &Neighbours::default(), "vda", "/i/x"), "it holds data");
    let elsewhere = World::line(&["e1"]).with(|world| {
        world.image("/i/x", Backing::File("/i/vda".into()));
        if let Some(ImageState::Present(image)) = world.images.get_mut("/i/x") {
            image.empty = true;
        }
    });
    assert!(
        !unused_leftover(&elsewhere.domain(), &Neighbours::default(), "vda", "/i/x"),
        "it does not stand on the active image"
    );
}
