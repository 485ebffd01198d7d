//! A `qemu-img` in front of the real one that holds, refuses or kills captures of stopped domains: a test then knows that a
//! run is in the middle of an action, however fast or slow the machine is.
//!
//! libvirt finds `qemu-img` by PATH, so a gate works wherever the driver runs with [`Gate::path`]: in the snapward process
//! on an embedded root, in the daemon of a [`super::fleet::Fleet`].

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::daemon::PATH;
use super::tools;

/// How long an awaited step may take on a loaded machine; it takes well below a second.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks: short beside any step.
const POLL: Duration = Duration::from_millis(10);

/// Open at first. Dropped, it lets everything through.
pub(crate) struct Gate {
    dir: TempDir,
}

impl Gate {
    /// A gate that is open.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("swg").tempdir_in("/tmp").expect("a directory in /tmp");
        // A daemon of another user leaves its marks here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("a mode");
        let script = format!(
            r#"#!/bin/sh
gate='{}'
if [ "$1 $2" = 'snapshot -c' ]; then
    for image; do :; done
    image=${{image##*/}}
    if [ -e "$gate/refuse-$image" ]; then echo 'refused by the test' >&2; exit 1; fi
    : >"$gate/begun-$image"
    while [ -e "$gate/shut" ]; do sleep 0.02; done
fi
if [ "$1" = create ] && [ -e "$gate/kill" ]; then
    PATH={PATH} qemu-img "$@"
    kill -KILL $PPID
fi
PATH={PATH} exec qemu-img "$@"
"#,
            tools::text(dir.path())
        );
        let tool = dir.path().join("qemu-img");
        fs::write(&tool, script).expect("written");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("a mode");
        Self { dir }
    }

    /// The PATH with which the driver must run.
    pub(crate) fn path(&self) -> String {
        format!("{}:{PATH}", tools::text(self.dir.path()))
    }

    /// From now on captures wait.
    pub(crate) fn shut(&self) {
        self.mark("shut");
    }

    /// Lets captures go on.
    pub(crate) fn open(&self) {
        fs::remove_file(self.dir.path().join("shut")).expect("it was shut");
    }

    /// Makes captures of an image fail.
    pub(crate) fn refuse(&self, image: &str) {
        self.mark(&format!("refuse-{image}"));
    }

    /// From now on the driver's process is killed as soon as it has made an overlay.
    pub(crate) fn kill_on_overlay(&self) {
        self.mark("kill");
    }

    /// Waits until this many images have had a capture begun.
    pub(crate) fn await_begun(&self, images: usize) {
        wait_until("captures to begin", || self.begun() >= images);
    }

    /// How many images have had a capture begun.
    pub(crate) fn begun(&self) -> usize {
        let names = fs::read_dir(self.dir.path()).expect("readable").flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().starts_with("begun-")).count()
    }

    fn mark(&self, name: &str) {
        fs::write(self.dir.path().join(name), "").expect("written");
    }
}

/// Waits for something that another process brings about.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        sleep(POLL);
    }
}
