//! A running domain whose process, or whose next start, is elsewhere than libvirt thinks.

use super::*;
use crate::model::image::Image;

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
fn an_image_that_is_gone_under_a_running_domain_breaks_its_chain() {
    let mut domain = World::line(&["e1", "e2"]).without_image("/i/vda").domain();
    domain.state = RunState::Running;
    domain.disks[0].backing = Some(vec!["/i/vda.e1".into(), "/i/vda".into()]);
    refused(delete_of(&domain, "e2"), BlockCode::ChainInconsistent, &["disk vda needs the image /i/vda"]);
    let capture = prove(&domain, &Neighbours::default(), STRICT, Step::Create);
    refused(capture, BlockCode::ChainInconsistent, &["/i/vda"]);
}

/// Two disks after one capture, whose process was left elsewhere than libvirt thinks.
fn running_two(change: impl FnOnce(&mut ObservedDomain)) -> ObservedDomain {
    let world = World::new(&["vda", "vdb"]).capture("e1").with(|world| {
        for target in ["vda", "vdb"] {
            world.image(&format!("/i/{target}.e2"), Backing::File(format!("/i/{target}.e1")));
        }
    });
    let mut domain = ObservedDomain { state: RunState::Running, ..world.domain() };
    change(&mut domain);
    domain
}

/// A capture is of all disks at once: whoever follows a way out that names one of them loses the others.
#[test]
fn the_way_out_names_every_disk() {
    let told = |domain: &ObservedDomain| {
        prove(domain, &Neighbours::default(), STRICT, Step::Create).expect_err("refused").way_out
    };
    let overlays = told(&running_two(|domain| {
        open_by_qemu(domain, "/i/vda.e2");
        open_by_qemu(domain, "/i/vdb.e2");
    }));
    for words in ["qemu-img commit '/i/vda.e2'", "qemu-img commit '/i/vdb.e2'", "only when all are merged"] {
        assert!(overlays.contains(words), "{words} is not in {overlays}");
    }
    let next = told(&running_two(|domain| {
        domain.next_sources = [("vda".into(), "/i/vda".into()), ("vdb".into(), "/i/vdb".into())].into();
    }));
    for words in ["disk vda", "/i/vda.e1", "disk vdb", "/i/vdb.e1"] {
        assert!(next.contains(words), "{words} is not in {next}");
    }
    let both = told(&running_two(|domain| {
        domain.next_sources = [("vda".into(), "/i/vda".into())].into();
        open_by_qemu(domain, "/i/vdb.e2");
    }));
    assert!(both.contains("virsh edit") && both.contains("qemu-img commit '/i/vdb.e2'"), "{both}");
}

/// A running domain whose QEMU has its whole chain open.
fn open_chain() -> ObservedDomain {
    let mut domain = World::line(&["e1", "e2"]).domain();
    domain.state = RunState::Running;
    domain.disks[0].backing = Some(vec!["/i/vda.e1".into(), "/i/vda".into()]);
    for path in ["/i/vda.e2", "/i/vda.e1", "/i/vda"] {
        open_by_qemu(&mut domain, path);
    }
    domain
}

fn change_image(domain: &mut ObservedDomain, path: &str, change: impl FnOnce(&mut Image)) {
    let Some(ImageState::Present(image)) = domain.files.images.get_mut(path) else { panic!("{path} is there") };
    change(image);
}

/// A copy in the place of an image that was removed: QEMU has the removed one open, and would merge into the copy.
#[test]
fn nothing_is_merged_into_a_copy_of_the_image_in_use() {
    assert!(delete_of(&open_chain(), "e1").is_ok());
    let mut copied = open_chain();
    change_image(&mut copied, "/i/vda.e1", |image| image.open = false);
    assert!(prove(&copied, &Neighbours::default(), STRICT, Step::Create).is_ok(), "that opens none of them");
    for step in [Step::Delete(&name("e1")), Step::Revert(&name("e1"))] {
        let result = prove(&copied, &Neighbours::default(), STRICT, step);
        refused(result, BlockCode::ChainInconsistent, &["/i/vda.e1", "is not the file that the guest uses"]);
    }
    // QEMU has merged it, and libvirt did not live to note that.
    let mut merged = copied.clone();
    change_image(&mut merged, "/i/vda.e2", |image| image.backing = Backing::File("/i/vda".into()));
    assert!(delete_of(&merged, "e1").is_ok());
    // On another filesystem locks may not be seen; and a guest that gave its images up holds none.
    change_image(&mut copied, "/i/vda.e1", |image| image.id.device = 2);
    assert!(delete_of(&copied, "e1").is_ok());
    let mut given_up = open_chain();
    for path in ["/i/vda.e2", "/i/vda.e1", "/i/vda"] {
        change_image(&mut given_up, path, |image| image.open = false);
    }
    assert!(delete_of(&given_up, "e1").is_ok());
}

#[test]
fn a_file_that_a_guest_has_open_is_not_brought_back_from_a_backup() {
    let way_out = |state| {
        let mut domain = open_chain();
        domain.state = state;
        domain.files.images.insert("/i/vda".into(), ImageState::Absent);
        delete_of(&domain, "e2").expect_err("refused").way_out
    };
    let running = way_out(RunState::Running);
    assert!(running.contains("mv, not a copy") && running.contains("do not stop the guest"), "{running}");
    assert!(!running.contains("from a backup"), "{running}");
    assert!(way_out(RunState::ShutOff).contains("from a backup"));
}
