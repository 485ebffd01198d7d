//! Snapshots that move with their domain: exported, forgotten by libvirt, and restored from the export.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::chain::{backing_chain, source};
use crate::support::cmd::{Ran, snapward, snapward_by};
use crate::support::daemon::PrivateDaemon;
use crate::support::embed::EmbedRoot;
use crate::support::guest::Guest;
use crate::support::lab::{manifest, snapshot};
use crate::support::tools;

fn run(root: &EmbedRoot, args: &[&str]) -> Ran {
    snapward([&["-c", root.uri().as_str()], args].concat()).run()
}

fn dir(root: &EmbedRoot) -> String {
    tools::text(&root.path().join("saved")).to_owned()
}

/// The XML of a snapshot without the lines by which a set owns it.
fn unstamped(xml: &str) -> String {
    let lines = xml.lines().filter(|line| !line.contains("Snapward-") && !line.contains("description>"));
    lines.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The XML of all snapshots.
fn all(guest: &Guest<'_>) -> Vec<String> {
    guest.snapshots().iter().map(|name| unstamped(&guest.snapshot_xml(name))).collect()
}

/// `e1` with a dead branch `e2` and, after a revert, `f` in use.
fn external(root: &EmbedRoot) -> Guest<'_> {
    let guest = root.guest("vm").vnc_password("s3cret").define();
    for name in ["e1", "e2"] {
        run(root, &["snapshot", "create", "vm", name, "--disk-only"]).exits(0);
    }
    guest.revert("e1");
    run(root, &["snapshot", "create", "vm", "f", "--disk-only"]).exits(0);
    guest
}

#[test]
fn a_detached_external_tree_is_restored_as_it_was() {
    let root = EmbedRoot::new();
    let guest = external(&root);
    let (before, current, chain) = (all(&guest), guest.current(), backing_chain(&guest.vda()));
    let saved = dir(&root);
    let ran = run(&root, &["detach", "vm", "--export", &saved, "--yes"]).exits(0);
    assert!(ran.stdout.contains("vm.yaml"), "{ran}");
    assert!(guest.snapshots().is_empty());
    assert_eq!(backing_chain(&guest.vda()), chain, "no image was touched");
    let file = format!("{saved}/vm.yaml");
    for path in [&file, &format!("{saved}/vm/e1.xml")] {
        assert_eq!(fs::metadata(path).expect("written").permissions().mode() & 0o777, 0o600);
    }
    assert!(fs::read_to_string(format!("{saved}/vm/e1.xml")).expect("written").contains("s3cret"));

    run(&root, &["validate", &file]).exits(0);
    run(&root, &["apply", "--yes", &file]).exits(0);
    assert_eq!(all(&guest), before);
    assert_eq!(guest.current(), current);
    run(&root, &["plan", "--detailed-exitcode", &file]).exits(0);
    // What counts: it can be used again.
    run(&root, &["snapshot", "delete", "vm", "e2", "--yes"]).exits(0);
    guest.revert("e1");
}

/// virsh on a host.
fn virsh(host: &PrivateDaemon, args: &[&str]) -> String {
    tools::run("virsh", &[&["-q", "-c", host.uri().as_str()], args].concat())
}

/// snapward on a host, as its user.
fn on(host: &PrivateDaemon, args: &[&str]) {
    snapward_by(host, &[&["-c", "qemu:///session"], args].concat()).run().exits(0);
}

/// What libvirt of a host says of the snapshots of `vm`: the XML of each, with secrets, and the current one.
fn records(host: &PrivateDaemon) -> Vec<String> {
    let listed = virsh(host, &["snapshot-list", "--name", "vm"]);
    let names = listed.lines().filter(|name| !name.is_empty());
    let xml = names.map(|name| unstamped(&virsh(host, &["snapshot-dumpxml", "--security-info", "vm", name])));
    xml.chain([virsh(host, &["snapshot-current", "--name", "vm"])]).collect()
}

#[test]
fn another_host_goes_on_with_an_exported_tree() {
    let (old, new) = (PrivateDaemon::start(), PrivateDaemon::start());
    // Both see the image under the same path, as on shared storage.
    let disk = old.images().join("vm.qcow2");
    tools::create_image(&disk, "qcow2", "8M");
    tools::qemu_io_write(&disk, "qcow2", 0x11, 0, 65_536);
    old.hand_over(&disk);
    let definition = format!(
        "<domain type='qemu'><name>vm</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>\
         <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vda'/></disk>\
         <graphics type='vnc' port='-1' autoport='yes' passwd='s3cret'/></devices></domain>",
        tools::text(&disk)
    );
    virsh(&old, &["define", tools::text(&old.file("vm.xml", &definition))]);
    for name in ["e1", "e2"] {
        on(&old, &["snapshot", "create", "vm", name, "--disk-only"]);
    }
    // A branch that is in use beside a dead one.
    on(&old, &["snapshot", "revert", "vm", "e1", "--yes", "--no-guard"]);
    on(&old, &["snapshot", "create", "vm", "f", "--disk-only"]);
    let before = records(&old);
    assert!(before[0].contains("s3cret"), "{}", before[0]);

    let definition = virsh(&old, &["dumpxml", "--inactive", "--security-info", "vm"]);
    let saved = old.images().join("saved");
    on(&old, &["detach", "vm", "--export", tools::text(&saved), "--yes"]);
    virsh(&old, &["undefine", "vm"]);
    virsh(&new, &["define", tools::text(&new.file("vm.xml", &definition))]);
    on(&new, &["apply", "--yes", tools::text(&saved.join("vm.yaml"))]);
    assert_eq!(records(&new), before);
    // What counts: it can be used there.
    on(&new, &["snapshot", "revert", "vm", "e2", "--yes", "--no-guard"]);
    on(&new, &["snapshot", "delete", "vm", "f", "--yes"]);
    let now = source(&virsh(&new, &["dumpxml", "vm"]), "vda");
    assert!(tools::qemu_io_check(&now, "qcow2", 0x11, 0, 65_536));
}

#[test]
fn half_an_external_tree_is_not_restored() {
    let root = EmbedRoot::new();
    let guest = external(&root);
    let saved = dir(&root);
    run(&root, &["detach", "vm", "--export", &saved, "--yes"]).exits(0);
    let file = format!("{saved}/vm.yaml");
    let text = fs::read_to_string(&file).expect("written");
    let (head, _) = text.split_once("  - name: f\n").expect("it comes last: it is the newest");
    fs::write(&file, format!("{head}  current: e1\n")).expect("written");
    let ran = run(&root, &["plan", &file]).exits(0);
    assert!(ran.stdout.contains("does not fit the images"), "{ran}");
    run(&root, &["apply", "--yes", &file]).exits(3);
    assert!(guest.snapshots().is_empty());
}

#[test]
fn an_internal_tree_is_restored_with_its_parents_and_pointer() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    for name in ["z", "a", "m"] {
        run(&root, &["snapshot", "create", "vm", name]).exits(0);
    }
    guest.set_current("a");
    let before = all(&guest);
    let saved = dir(&root);
    run(&root, &["export", "vm", "--dir", &saved]).exits(0);
    let ran = run(&root, &["export", "vm", "--dir", &saved]).exits(1);
    assert!(ran.stderr.contains("cannot be written"), "nothing is overwritten: {ran}");
    run(&root, &["snapshot", "delete", "vm", "z", "--children", "--metadata-only", "--yes"]).exits(0);
    assert!(guest.snapshots().is_empty());
    run(&root, &["apply", "--yes", &format!("{saved}/vm.yaml")]).exits(0);
    assert_eq!(all(&guest), before);
    assert_eq!(guest.current(), "a");
    guest.revert("z");
}

#[test]
fn a_domain_that_a_set_is_at_work_on_is_not_detached() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let set = |more: &str| manifest(&format!("{more}  snapshots:\n{}", snapshot("a", &[])));
    let active = root.file("set.yaml", &set(""));
    run(&root, &["apply", "--yes", &active]).exits(0);
    let saved = dir(&root);
    let detach = ["detach", "vm", "--yes", "--export", &saved];
    let ran = run(&root, &detach).exits(1);
    assert!(ran.stderr.contains("default/lab") && ran.stderr.contains("--manifests"), "{ran}");
    let ran = run(&root, &[&detach[..], &["--manifests", &active]].concat()).exits(1);
    assert!(ran.stderr.contains("at work"), "{ran}");
    assert_eq!((guest.snapshots().len(), root.path().join("saved").exists()), (1, false));
    let suspended = root.file("suspended.yaml", &set("  suspend: {reason: moving}\n"));
    run(&root, &[&detach[..], &["--manifests", &suspended]].concat()).exits(0);
    assert!(guest.snapshots().is_empty());
    guest.undefine();
}
