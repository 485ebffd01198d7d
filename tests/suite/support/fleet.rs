//! Stopped guests on a private daemon behind a gate, for tests in which several processes act at once.

use std::fs;
use std::path::PathBuf;

use snapward::apply::lock::{self, Lock, LockError};
use snapward::model::names::DomainUuid;
use tempfile::TempDir;
use uuid::Uuid;

use super::cmd::{Ran, Snapward, snapward};
use super::daemon::PrivateDaemon;
use super::gate::Gate;
use super::tools;

/// Where the snapward program keeps its locks.
pub(crate) fn lock_dir() -> PathBuf {
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    lock::default_dir(runtime_dir.as_deref())
}

/// Guests of a private daemon, the gate before their images, and a folder for manifests.
pub(crate) struct Fleet {
    /// Before the daemon, so that it opens before the daemon is asked to end.
    pub(crate) gate: Gate,
    /// To be killed and restarted.
    pub(crate) daemon: PrivateDaemon,
    manifests: TempDir,
}

impl Fleet {
    /// Starts a daemon and defines these guests, each with one disk.
    pub(crate) fn start(names: &[&str]) -> Self {
        let gate = Gate::new();
        let daemon = PrivateDaemon::start_with_path(&gate.path());
        let fleet = Self { gate, daemon, manifests: TempDir::new().expect("a directory") };
        names.iter().for_each(|name| fleet.define(name));
        fleet
    }

    /// Defines a guest with one disk.
    pub(crate) fn define(&self, name: &str) {
        let disk = self.daemon.images().join(format!("{name}-vda.qcow2"));
        tools::create_image(&disk, "qcow2", "8M");
        self.daemon.hand_over(&disk);
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>\
             <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/>\
             <target dev='vda'/></disk>\
             <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
            tools::text(&disk)
        );
        self.virsh(&["define", &self.file("domain.xml", &xml)]);
    }

    /// The connection URI.
    pub(crate) fn uri(&self) -> String {
        self.daemon.uri()
    }

    /// A file for a program to read.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.manifests.path().join(name);
        fs::write(&path, text).expect("written");
        tools::text(&path).to_owned()
    }

    /// A virsh command that must succeed; returns what it printed.
    pub(crate) fn virsh(&self, args: &[&str]) -> String {
        tools::run("virsh", &[&["-q", "-c", self.uri().as_str()], args].concat())
    }

    /// snapward on this daemon.
    pub(crate) fn snapward(&self, args: &[&str]) -> Snapward {
        snapward([&["-c", self.uri().as_str()], args].concat())
    }

    /// Runs snapward on this daemon.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.snapward(args).run()
    }

    /// Takes the lock of a guest as snapward does. Asks the daemon now, and not when the lock is taken.
    pub(crate) fn lock_of(&self, guest: &str) -> impl Fn() -> Result<Lock, LockError> + use<> {
        let host = self.virsh(&["hostname"]).trim().to_owned();
        let domain: Uuid = self.virsh(&["domuuid", guest]).trim().parse().expect("a UUID");
        move || Lock::take(&lock_dir(), &host, DomainUuid(domain))
    }

    /// The names of a guest's snapshots, sorted.
    pub(crate) fn snapshots(&self, guest: &str) -> Vec<String> {
        let listed = self.virsh(&["snapshot-list", "--name", guest]);
        let mut names: Vec<_> = listed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The tags in a guest's image, sorted: two of one name would both be there.
    pub(crate) fn tags(&self, guest: &str) -> Vec<String> {
        let mut tags = tools::qemu_img_snapshots(&self.daemon.images().join(format!("{guest}-vda.qcow2")));
        tags.sort();
        tags
    }
}
