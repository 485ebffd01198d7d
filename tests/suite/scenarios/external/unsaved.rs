//! libvirtd that ends in the middle of a capture of a running domain: QEMU is on the new overlay, and libvirt, or what
//! it stored for the next start, is on the image below.

use serde_json::json;

use super::{absent, adopt, declared, linear};
use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;
use crate::support::gate::wait_until;
use crate::support::lab::{Lab, actions, blocks};
use crate::support::monitor::{self, Monitor};
use crate::support::tools::{self, text};

const EXTERNAL: &str = "    - {name: new, capture: {content: disks, location: external}}\n";

/// The disk of a running domain with these snapshots goes on to an overlay that libvirt does not know: what a capture
/// does first, and notes then. The overlay is where snapward would put that of a snapshot `new`.
fn on_an_overlay_of_its_own<'a>(root: &'a EmbedRoot, names: &[&str]) -> (Chain<'a>, Lab<'a>, Monitor) {
    let socket = root.path().join("second.sock");
    let guest = root.guest("vm").head(&monitor::xml(&socket)).disk("vda", "qcow2", "8M").define();
    drop(guest);
    let mut chain = Chain::known(root, "vm");
    for name in names {
        chain.capture(name);
    }
    let lab = if names.is_empty() { Lab::new(root) } else { adopt(root, names) };
    chain.guest.start_paused();
    let overlay = root.image("vm.vda.new.qcow2");
    let base = chain.disk("vda");
    tools::run(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", text(&base), "-u", text(&overlay), "8M"],
    );
    let mut monitor = Monitor::open(&socket);
    let blocks = monitor.run(&json!({"execute": "query-block"}));
    let node = blocks["return"][0]["inserted"]["node-name"].as_str().expect("a disk").to_owned();
    monitor.run(&json!({"execute": "blockdev-add", "arguments": {
        "driver": "qcow2", "node-name": "unsaved", "backing": null, "file": {"driver": "file", "filename": text(&overlay)}
    }}));
    monitor.run(&json!({"execute": "blockdev-snapshot", "arguments": {"node": node, "overlay": "unsaved"}}));
    (chain, lab, monitor)
}

/// As a guest does that is shut down: QEMU writes out what it holds, and ends.
fn shut_down(chain: &Chain<'_>, monitor: &mut Monitor) {
    monitor.run(&json!({"execute": "quit"}));
    wait_until("libvirt to see it", || !chain.guest.is_active());
}

/// What libvirt makes of it: as far as it knows all is well, and with the domain stopped what was written since is
/// gone.
#[test]
fn libvirt_starts_the_domain_without_what_was_written_since() {
    let root = EmbedRoot::new();
    root.hold();
    let (chain, _, mut monitor) = on_an_overlay_of_its_own(&root, &["e1"]);
    monitor.write(7, 0, 65_536);
    let error = chain.guest.try_disk_only("e2", "").expect_err("QEMU is elsewhere");
    assert!(error.contains("is busy"), "{error}");
    shut_down(&chain, &mut monitor);
    assert_eq!(chain.disk("vda"), root.image("vm-vda.e1"));
    assert_eq!(chain.state(), Ok(1), "the next start is on the image below");
    assert!(
        tools::qemu_io_check(&root.image("vm.vda.new.qcow2"), "qcow2", 7, 0, 65_536),
        "what was written is in the overlay"
    );
}

#[test]
fn snapward_sees_the_overlay_that_the_guest_writes_to() {
    sees_the_overlay(false);
}

#[test]
fn snapward_sees_the_overlay_of_a_first_capture() {
    sees_the_overlay(true);
}

fn sees_the_overlay(first: bool) {
    let root = EmbedRoot::new();
    root.hold();
    let (chain, lab, mut monitor) = on_an_overlay_of_its_own(&root, if first { &[] } else { &["e1", "e2"] });
    monitor.write(7, 0, 65_536);
    let asked = if first { declared(&[], EXTERNAL) } else { declared(&["e2"], &format!("{}{EXTERNAL}", absent("e1"))) };
    let plan = lab.plan(&asked).plan;
    assert_eq!(actions(&plan), Vec::<String>::new(), "{:#?}", plan.blocked);
    let found = plan.blocked.iter().find(|item| item.text.contains("vm.vda.new.qcow2")).expect("told");
    assert!(found.text.contains("the guest writes to it") && found.text.contains("vda"), "{found:?}");
    assert!(found.way_out.contains("do not remove it") && found.way_out.contains("qemu-img commit"), "{found:?}");
    // The way out: shut down, merge, remove, start. Until it is merged, what it stands on stays.
    shut_down(&chain, &mut monitor);
    if !first {
        let plan = lab.plan(&declared(&["e1"], &absent("e2"))).plan;
        assert_eq!(actions(&plan), Vec::<String>::new(), "{:#?}", plan.blocked);
        assert!(
            plan.blocked.iter().any(|item| item.text.contains("vm.vda.new.qcow2 stands on")),
            "{:#?}",
            plan.blocked
        );
        let warned = plan.warnings.iter().any(|warning| warning.text.contains("may hold what the guest wrote"));
        assert!(warned, "{:#?}", plan.warnings);
    }
    let overlay = root.image("vm.vda.new.qcow2");
    tools::run("qemu-img", &["commit", "-q", text(&overlay)]);
    std::fs::remove_file(&overlay).expect("removed");
    lab.apply(&asked);
    assert_eq!(blocks(&lab.settled(&asked)), Vec::<String>::new());
    assert!(tools::qemu_io_check(&chain.disk("vda"), "qcow2", 7, 0, 65_536), "nothing that was written is lost");
}

/// The running definition is saved first, the stored one after it: libvirtd that ends between the two leaves the next
/// start on an image that a snapshot froze.
#[test]
fn the_next_start_would_write_into_what_was_captured() {
    let root = EmbedRoot::new();
    root.hold();
    let (chain, _) = stored_is_below(&root);
    root.kill_guest("vm");
    wait_until("libvirt to see it", || !chain.guest.is_active());
    assert_eq!(chain.disk("vda"), root.image("vm-vda.e1"), "the image that e2 froze is the disk now");
}

/// e1, e2 on a running domain whose stored definition has the image that e2 froze.
fn stored_is_below(root: &EmbedRoot) -> (Chain<'_>, Lab<'_>) {
    let chain = linear(root, &["e1", "e2"]);
    let lab = adopt(root, &["e1", "e2"]);
    let (active, frozen) = (chain.disk("vda"), root.image("vm-vda.e1"));
    chain.guest.start_paused();
    chain.guest.redefine_with(text(&active), text(&frozen));
    (chain, lab)
}

#[test]
fn snapward_sees_that_the_next_start_is_on_an_image_that_was_captured() {
    let root = EmbedRoot::new();
    root.hold();
    let (chain, lab) = stored_is_below(&root);
    let asked = declared(&["e2"], &format!("{}{EXTERNAL}", absent("e1")));
    let plan = lab.plan(&asked).plan;
    assert_eq!(actions(&plan), Vec::<String>::new(), "{:#?}", plan.blocked);
    let found = plan.blocked.iter().find(|item| item.text.contains("the next start")).expect("told");
    assert!(found.text.contains("disk vda") && found.text.contains("vm-vda.e1"), "{found:?}");
    assert!(found.way_out.contains("virsh edit"), "{found:?}");
    // The way out.
    chain.guest.redefine_with(text(&root.image("vm-vda.e1")), text(&chain.disk("vda")));
    let planned = lab.apply(&asked);
    assert_eq!(actions(&planned.plan), ["create new", "delete e1"], "{:#?}", planned.plan.blocked);
    assert_eq!(blocks(&lab.settled(&asked)), Vec::<String>::new());
}
