//! What libvirt does for the time of a call: reverts that discard, deletions that start QEMU, jobs that keep others waiting.

use std::fs;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::chain::Chain;
use crate::support::cmd::snapward;
use crate::support::embed::EmbedRoot;
use crate::support::gate::wait_until;
use crate::support::lab::{Lab, manifest, set};
use crate::support::tools;

/// A revert unlinks the overlay in use, and with it everything since the current snapshot.
#[test]
fn a_revert_discards_what_was_written_since() {
    let root = EmbedRoot::new();
    let [mut theirs, mut ours] = ["theirs", "ours"].map(|name| Chain::new(&root, name));
    for chain in [&mut theirs, &mut ours] {
        chain.capture("e1");
        chain.write();
    }
    let (in_use, now) = (theirs.disk("vda"), theirs.state());
    theirs.revert("e1");
    assert_eq!(theirs.state(), Ok(1));
    assert!(!in_use.exists(), "gone for good");

    drop(snapward(["-c", &root.uri(), "snapshot", "revert", "ours", "e1", "--yes"]).run().exits(0));
    assert_eq!((ours.state(), ours.held("e1")), (Ok(1), Ok(1)));
    let guard = ours.guest.snapshots().into_iter().find(|name| name.starts_with("before-revert-")).expect("a guard");
    assert_eq!(ours.held(&guard), now, "what was written since is in it");
}

/// To merge the overlays of a stopped domain libvirt starts QEMU for it, which needs all its devices.
#[test]
fn a_deletion_starts_the_stopped_domain() {
    let root = EmbedRoot::new();
    let [mut theirs, mut ours] = ["theirs", "ours"].map(|name| Chain::new(&root, name));
    let iso = root.path().join("install.iso");
    for (chain, name) in [(&mut theirs, "theirs"), (&mut ours, "ours")] {
        for snapshot in ["e1", "e2"] {
            chain.capture(snapshot);
        }
        chain.write();
        fs::write(&iso, vec![7_u8; 65_536]).expect("written");
        let drive = ["hdc", "--type", "cdrom", "--mode", "readonly", "--config"];
        root.virsh_ok(&[&["attach-disk", name, tools::text(&iso)], &drive[..]].concat());
    }
    let entry =
        |name: &str| format!("    - {{name: {name}, capture: {{content: disks, location: external}}, adopt: true}}\n");
    let manifest = |first: &str| {
        let spec = format!("  domains: {{include: [ours]}}\n  snapshots:\n{first}{}", entry("e2"));
        root.file("pitfall.yaml", &set("lab", &spec))
    };
    let apply = |file: &str| snapward(["-c", &root.uri(), "apply", "--yes", file]).run();
    drop(apply(&manifest(&entry("e1"))).exits(0));
    let absent = manifest("    - {name: e1, state: absent}\n");

    fs::remove_file(&iso).expect("removed");
    let refused = root.virsh(&["snapshot-delete", "theirs", "e1"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("install.iso"), "{said}");
    theirs.assert_intact();
    let ran = apply(&absent).exits(1);
    assert!(ran.stdout.contains("install.iso"), "{ran}");
    assert_eq!(ours.guest.snapshots(), ["e1", "e2"]);
    ours.assert_intact();

    fs::write(&iso, vec![7_u8; 65_536]).expect("written");
    let starts = |name: &str| {
        let log = root.path().join(format!("log/qemu/{name}.log"));
        fs::read_to_string(log).map_or(0, |log| log.matches("starting up libvirt").count())
    };
    let before = starts("theirs");
    root.virsh_ok(&["snapshot-delete", "theirs", "e1"]);
    assert_eq!(starts("theirs"), before + 1, "QEMU ran for a domain that was off");
    theirs.assert_intact();
    drop(apply(&absent).exits(0));
    assert!(!ours.guest.is_active(), "it is off again");
    assert_eq!(ours.guest.snapshots(), ["e2"]);
    ours.assert_intact();
    drop(snapward(["-c", &root.uri(), "plan", "--detailed-exitcode", &absent]).run().exits(0));
}

/// While one job is at work on a domain, libvirt makes every other wait, and gives up after half a minute. QEMU stands still
/// here, so the first capture goes on for as long as the test wants.
#[test]
fn a_domain_at_work_refuses_after_half_a_minute() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let mut chain = Chain::new(&root, "vm");
    chain.write();
    chain.guest.start();
    let yaml = manifest("  snapshots:\n    - {name: mine, capture: {content: disks, location: external}}\n");
    let planned = lab.plan(&yaml);
    let qemu = Pid::from_raw(root.guest_pid("vm")).expect("a process id");
    kill_process(qemu, Signal::STOP).expect("it runs");
    let (outcome, late, long) = thread::scope(|scope| {
        let long = scope.spawn(|| chain.guest.try_disk_only("long", ""));
        let status = root.path().join("run/qemu/vm.xml");
        wait_until("the capture", || fs::read_to_string(&status).is_ok_and(|xml| xml.contains("<job type=")));
        let late = scope.spawn(|| chain.guest.try_disk_only("late", ""));
        let outcome = lab.carry_out(&planned);
        let late = late.join().expect("an answer");
        kill_process(qemu, Signal::CONT).expect("it is there");
        (outcome, late, long.join().expect("an answer"))
    });
    let said = late.expect_err("it waited in vain");
    assert!(said.contains("cannot acquire state change lock"), "{said}");
    long.expect("it goes on");
    let told = format!("{outcome:?}");
    assert!(told.contains("another job"), "{told}");
    assert_eq!(chain.guest.snapshots(), ["long"]);
    chain.note_capture("long");
    lab.apply(&yaml);
    chain.note_capture("mine");
    assert_eq!(chain.guest.snapshots(), ["long", "mine"]);
    chain.assert_intact();
}
