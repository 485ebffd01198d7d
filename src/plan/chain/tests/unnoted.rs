//! What libvirt did and did not live to note: the ways out.

use super::*;

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
fn every_disk_of_a_capture_that_was_not_noted_is_named() {
    let domain = World::new(&["vda", "vdb"]).capture("e1").with(|world| {
        for target in ["vda", "vdb"] {
            let overlay = format!("/i/{target}.e2");
            world.image(&overlay, Backing::File(format!("/i/{target}.e1")));
            world.disks.insert(target.into(), overlay);
        }
    });
    let told = delete_of(&domain.domain(), "e1").expect_err("refused").way_out;
    for words in [
        "qemu-img commit '/i/vda.e2'",
        "qemu-img commit '/i/vdb.e2'",
        "only when all are done",
        // A backup of another tool makes such overlays too, and merges them when it is through.
        "If a backup runs, wait for its end",
    ] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
}
