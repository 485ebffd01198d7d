//! Captures: a kind that was not asked for, a name used again, a freeze that nobody answers, overlays that anybody may read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::chain::source;
use crate::support::cmd::{Ran, snapward};
use crate::support::embed::EmbedRoot;
use crate::support::lab::{set, snapshot};
use crate::support::tools::{create_image, qemu_img_snapshots, qemu_io_check, qemu_io_write, run, text};

/// Applies a set for one domain.
fn apply(root: &EmbedRoot, domain: &str, snapshots: &str) -> Ran {
    let spec = format!("  domains: {{include: [{domain}]}}\n  snapshots:\n{snapshots}");
    let file = root.file("pitfall.yaml", &set("lab", &spec));
    snapward(["-c", &root.uri(), "apply", "--yes", &file]).run()
}

/// virt-manager 5 captures externally. What virsh captures next without a word about the kind is internal, in the overlay;
/// deleting the first one merges that overlay away, with what the second captured.
#[test]
fn virsh_mixes_its_default_kind_into_what_a_desktop_tool_made() {
    let root = EmbedRoot::new();
    let [theirs, ours] = ["theirs", "ours"].map(|name| root.guest(name).disk("vda", "qcow2", "8M").define());
    for guest in [&theirs, &ours] {
        qemu_io_write(&guest.vda(), "qcow2", 0x11, 0, 65_536);
        guest.snapshot("desktop", "<disks><disk name='vda' snapshot='external'/></disks>");
    }
    root.virsh_ok(&["snapshot-create-as", "theirs", "next"]);
    assert_eq!(qemu_img_snapshots(&root.image("theirs-vda.desktop")), ["next"], "internal, in the overlay");
    root.virsh_ok(&["snapshot-delete", "theirs", "desktop"]);
    assert_eq!(theirs.snapshots(), ["next"], "still listed");
    assert!(!root.image("theirs-vda.desktop").exists() && qemu_img_snapshots(&theirs.vda()).is_empty(), "and lost");
    theirs.try_revert("next").expect_err("there is nothing to go back to");

    let images = root.images();
    let ran = apply(&root, "ours", &snapshot("next", &[])).exits(3);
    assert!(ran.stdout.contains("MixedKinds"), "{ran}");
    assert_eq!(root.images(), images);
    // Nor is anything deleted where virsh mixed them.
    root.virsh_ok(&["snapshot-create-as", "ours", "next"]);
    let adopted = "    - {name: desktop, capture: {content: disks, location: external}, adopt: true}\n";
    drop(apply(&root, "ours", adopted));
    let ran = apply(&root, "ours", "    - {name: desktop, state: absent}\n").exits(3);
    assert!(ran.stdout.contains("MixedKinds"), "{ran}");
    assert_eq!(qemu_img_snapshots(&root.image("ours-vda.desktop")), ["next"]);
    ours.revert("next");
    assert!(qemu_io_check(&source(&ours.xml(), "vda"), "qcow2", 0x11, 0, 65_536));
}

/// `snapshot-delete --metadata` leaves the content in the image. The next capture of that name adds a second one, and a
/// revert silently gives back the first.
#[test]
fn a_name_used_again_gives_back_the_wrong_state() {
    let root = EmbedRoot::new();
    let [theirs, ours] = ["theirs", "ours"].map(|name| root.guest(name).disk("vda", "qcow2", "8M").define());
    let image = theirs.vda();
    qemu_io_write(&image, "qcow2", 0x11, 0, 65_536);
    root.virsh_ok(&["snapshot-create-as", "theirs", "golden"]);
    root.virsh_ok(&["snapshot-delete", "theirs", "golden", "--metadata"]);
    qemu_io_write(&image, "qcow2", 0x22, 0, 65_536);
    root.virsh_ok(&["snapshot-create-as", "theirs", "golden"]);
    assert_eq!(qemu_img_snapshots(&image), ["golden", "golden"]);
    qemu_io_write(&image, "qcow2", 0x33, 0, 65_536);
    root.virsh_ok(&["snapshot-revert", "theirs", "golden"]);
    assert!(qemu_io_check(&image, "qcow2", 0x11, 0, 65_536), "not what golden captured, but the one before");

    let image = ours.vda();
    qemu_io_write(&image, "qcow2", 0x11, 0, 65_536);
    drop(apply(&root, "ours", &snapshot("golden", &[])).exits(0));
    root.virsh_ok(&["snapshot-delete", "ours", "golden", "--metadata"]);
    qemu_io_write(&image, "qcow2", 0x22, 0, 65_536);
    for (fields, code) in [(&[][..], "Missing"), (&["recreate: true"], "NotPossible")] {
        let ran = apply(&root, "ours", &snapshot("golden", fields)).exits(3);
        assert!(ran.stdout.contains(code), "{ran}");
        assert_eq!(qemu_img_snapshots(&image), ["golden"], "{ran}");
    }
    assert!(qemu_io_check(&image, "qcow2", 0x22, 0, 65_536), "and the disk is as it was");
}

/// Without an agent `--quiesce` fails, and nothing in a snapshot says whether it was taken with it.
#[test]
fn a_snapshot_of_virsh_does_not_say_how_consistent_it_is() {
    let root = EmbedRoot::new();
    let [theirs, ours] = ["theirs", "ours"].map(|name| root.guest(name).define());
    theirs.start();
    let quiesced = root.virsh(&["snapshot-create-as", "theirs", "s", "--disk-only", "--quiesce"]);
    let said = String::from_utf8_lossy(&quiesced.stderr);
    assert!(!quiesced.status.success() && said.contains("guest agent is not configured"), "{said}");
    root.virsh_ok(&["snapshot-create-as", "theirs", "s", "--disk-only"]);
    assert!(!theirs.snapshot_xml("s").contains("onsisten"));

    ours.start();
    let wants = |consistency: &str| {
        format!("    - {{name: s, capture: {{content: disks, location: external, consistency: {consistency}}}}}\n")
    };
    let ran = apply(&root, "ours", &wants("filesystem")).exits(3);
    assert!(ran.stdout.contains("NotPossible") && ran.stdout.contains("agent"), "{ran}");
    assert!(ours.snapshots().is_empty());
    drop(apply(&root, "ours", &wants("filesystemIfAgent")).exits(0));
    assert!(ours.snapshot_xml("s").contains("Snapward-Consistency: crash"));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

/// libvirt's overlays of a stopped domain may be read by everybody, whoever may read the image below. Those of snapward's
/// captures, guards and reverts may not; their owner may write them, also on a read-only template.
#[test]
fn overlays_of_a_stopped_domain_are_open_to_all() {
    let root = EmbedRoot::new();
    let [theirs, ours, template] = ["theirs", "ours", "template"].map(|name| root.guest(name).define());
    for (guest, mode) in [(&theirs, 0o600), (&ours, 0o600), (&template, 0o440)] {
        fs::set_permissions(guest.vda(), fs::Permissions::from_mode(mode)).expect("a mode");
    }
    root.virsh_ok(&["snapshot-create-as", "theirs", "s", "--disk-only"]);
    assert_eq!(mode(&source(&theirs.xml(), "vda")), 0o644);
    for (guest, name, expected) in [(&ours, "ours", 0o600), (&template, "template", 0o640)] {
        drop(apply(&root, name, "    - {name: s, capture: {content: disks, location: external}}\n").exits(0));
        assert_eq!(mode(&source(&guest.xml(), "vda")), expected, "{name}");
    }
    drop(snapward(["-c", &root.uri(), "snapshot", "revert", "ours", "s", "--yes"]).run().exits(0));
    let guard = ours.snapshots().into_iter().find(|name| name.starts_with("before-revert-")).expect("a guard");
    for xml in [ours.xml(), ours.snapshot_xml(&guard), ours.snapshot_xml("s")] {
        assert_eq!(mode(&source(&xml, "vda")), 0o600);
    }

    // A linked clone that its user opened is no overlay of ours: an internal revert leaves it as it is.
    let clone = root.guest("clone").define();
    let base = root.image("base.qcow2");
    create_image(&base, "qcow2", "8M");
    fs::set_permissions(&base, fs::Permissions::from_mode(0o600)).expect("a mode");
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", text(&base), text(&clone.vda())]);
    fs::set_permissions(clone.vda(), fs::Permissions::from_mode(0o644)).expect("a mode");
    root.virsh_ok(&["snapshot-create-as", "clone", "s"]);
    drop(snapward(["-c", &root.uri(), "snapshot", "revert", "clone", "s", "--yes"]).run().exits(0));
    assert_eq!(mode(&clone.vda()), 0o644);
}
