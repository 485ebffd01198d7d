//! A merge that is interrupted while its block job is seen to run: nothing is lost, and the next run completes it.

use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;

use rustix::process::Signal;
use snapward::host::{BlockJob, DomainRef, Host};
use snapward::libvirt::{self, Access};
use tempfile::TempDir;

use crate::faults::table::row;
use crate::support::chain::{backing_chain, source};
use crate::support::cmd::{Ran, Snapward, ended, signal, snapward};
use crate::support::daemon::PrivateDaemon;
use crate::support::gate::wait_until;
use crate::support::lab::manifest;
use crate::support::slow::Slowed;
use crate::support::tools;

/// Clusters to merge: seconds for a QEMU at a crawl.
const CLUSTERS: u64 = 800;

/// A guest with the chain `e1-e2-e3` on a daemon of its own, adopted; e2 shall go.
struct Merging {
    daemon: PrivateDaemon,
    files: TempDir,
}

impl Merging {
    fn new() -> Self {
        let this = Self { daemon: PrivateDaemon::start(), files: TempDir::new().expect("a directory") };
        let disk = this.daemon.images().join("vm-vda.qcow2");
        tools::create_image(&disk, "qcow2", "128M");
        this.daemon.hand_over(&disk);
        let xml = format!(
            "<domain type='qemu'><name>vm</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>\
             <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/>\
             <target dev='vda'/></disk><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
            tools::text(&disk)
        );
        this.virsh(&["define", &this.file("domain.xml", &xml)]);
        for name in ["e1", "e2", "e3"] {
            this.virsh(&["snapshot-create-as", "vm", name, "--disk-only"]);
            if name == "e2" {
                tools::scatter(&this.disk(), CLUSTERS);
            }
        }
        let adopted = ["e1", "e2", "e3"].map(|name| {
            format!("    - {{name: {name}, adopt: true, capture: {{content: disks, location: external}}}}\n")
        });
        let all = this.file("all.yaml", &manifest(&format!("  snapshots:\n{}", adopted.concat())));
        this.snapward(&["apply", "--yes", &all]).run().exits(0);
        this
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.files.path().join(name);
        std::fs::write(&path, text).expect("written");
        tools::text(&path).to_owned()
    }

    fn virsh(&self, args: &[&str]) -> String {
        tools::run("virsh", &[&["-q", "-c", self.daemon.uri().as_str()], args].concat())
    }

    fn snapward(&self, args: &[&str]) -> Snapward {
        snapward([&["-c", self.daemon.uri().as_str()], args].concat())
    }

    /// The active image.
    fn disk(&self) -> PathBuf {
        source(&self.virsh(&["dumpxml", "vm"]), "vda")
    }

    fn manifest(&self) -> String {
        // A socket of one's own choice could lead anywhere: snapward reads no images there.
        let yaml = "  safety: {policyRef: trusting}\n  snapshots:\n    - {name: e1, capture: {content: disks, location: external}}\n    \
                    - {name: e2, state: absent}\n    - {name: e3, capture: {content: disks, location: external}}\n";
        let policy = "---\napiVersion: snapward/v1\nkind: SafetyPolicy\nmetadata: {name: trusting}\n\
                      spec: {trustUnreadableChains: true}\n";
        self.file("absent.yaml", &(manifest(yaml) + policy))
    }

    fn apply(&self) -> Snapward {
        self.snapward(&["apply", "--yes", &self.manifest()])
    }

    /// A second client.
    fn client(&self) -> (Arc<dyn Host>, DomainRef) {
        let host = libvirt::connect(&self.daemon.uri(), Access::ReadWrite, None).expect("the daemon answers");
        let domain = host.domains().expect("listed").remove(0);
        (host, domain)
    }

    /// Starts the deletion, and waits until its merge is seen to run, neither at its beginning nor at its end.
    fn begin(&self, running: bool) -> (Child, Option<Slowed>) {
        let (host, domain) = self.client();
        let mut slowed = running.then(|| Slowed::down(self.daemon.guest_pid().expect("it runs")));
        let mut run = self.apply().spawn();
        if slowed.is_none() {
            // For a stopped guest libvirt starts a process of its own.
            wait_until("a process for the merge", || self.daemon.guest_pid().is_some() || is_over(&mut run));
            slowed = self.daemon.guest_pid().map(Slowed::down);
        }
        wait_until("the merge", || {
            let job = host.block_job(&domain, "vda").ok().flatten();
            job.is_some_and(|BlockJob { done, total }| done > 0 && done < total) || is_over(&mut run)
        });
        if is_over(&mut run) {
            panic!("it ended before its merge was seen to run: {}", ended(run));
        }
        (run, slowed)
    }

    fn job(&self) -> Option<BlockJob> {
        let (host, domain) = self.client();
        host.block_job(&domain, "vda").ok().flatten()
    }

    /// Runs once more, and expects the deletion to be through with nothing lost.
    fn completes(&self) -> Ran {
        let ran = self.apply().run().exits(0);
        let listed = self.virsh(&["snapshot-list", "vm", "--name"]);
        assert_eq!(listed.split_whitespace().collect::<Vec<_>>(), ["e1", "e3"]);
        assert!(!self.virsh(&["snapshot-dumpxml", "vm", "e1"]).contains("snapshotDeleteInProgress"));
        if !self.virsh(&["domstate", "vm"]).contains("shut off") {
            self.virsh(&["destroy", "vm"]);
        }
        assert_eq!(backing_chain(&self.disk()), ["vm-vda.e3", "vm-vda.e1", "vm-vda.qcow2"]);
        let last = (CLUSTERS - 1) * 2 * 65_536;
        for at in [0, last] {
            assert!(tools::qemu_io_check(&self.disk(), "qcow2", 9, at, 512), "what was written under e3 is there");
        }
        self.apply().run().exits(0);
        ran
    }
}

fn is_over(run: &mut Child) -> bool {
    run.try_wait().expect("a child").is_some()
}

#[test]
fn snapward_is_killed_and_libvirt_finishes_the_merge() {
    let merging = Merging::new();
    merging.virsh(&["start", "vm"]);
    let (run, slowed) = merging.begin(true);
    slowed.iter().for_each(Slowed::further);
    signal(&run, Signal::KILL);
    assert_eq!(ended(run).code, None);
    // The call goes on without its client, and the next run sees what is planned.
    assert!(merging.job().is_some(), "the merge runs on");
    let plan = merging.snapward(&["plan", &merging.manifest()]).run().exits(0);
    assert!(plan.stdout.contains("e2"), "{plan}");
    drop(slowed);
    wait_until("the merge to end", || merging.job().is_none());
    merging.completes();
}

#[test]
fn libvirtd_dies_and_the_next_run_merges_again() {
    let mut merging = Merging::new();
    merging.virsh(&["start", "vm"]);
    let (run, slowed) = merging.begin(true);
    merging.daemon.kill();
    let ran = ended(run).exits(1);
    row("libvirtd killed, running").is_told(&ran.stdout);
    drop(slowed);
    merging.daemon.restart();
    assert_eq!(merging.job(), None, "libvirt broke it off");
    assert!(merging.virsh(&["snapshot-dumpxml", "vm", "e1"]).contains("<snapshotDeleteInProgress/>"));
    merging.completes();
}

#[test]
fn libvirtd_dies_while_it_merges_for_a_stopped_guest() {
    let mut merging = Merging::new();
    let (run, slowed) = merging.begin(false);
    merging.daemon.kill();
    ended(run).exits(1);
    drop(slowed);
    merging.daemon.restart();
    // The process that libvirt had started for the merge is a paused guest now, and its job waits for ever.
    assert_eq!(merging.virsh(&["domstate", "vm"]).trim(), "paused");
    let ran = merging.apply().run().exits(1);
    row("libvirtd killed, stopped").is_told(&ran.stdout);
    merging.virsh(&["destroy", "vm"]);
    merging.completes();
}
