//! A root of the embedded QEMU driver (`qemu:///embed?root=DIR`): libvirt's real driver inside the test's own process.
//!
//! Only one process at a time may have a root open, and libvirt keeps a root that it opened until the process ends, closed
//! connections or not. So a test works in one of two ways:
//!
//! - from outside: the snapward program and virsh, one after the other. This is how a root begins.
//! - inside: from the first [`EmbedRoot::connect`] or [`EmbedRoot::hold`] on, in this process alone.
//!
//! A [`super::guest::Guest`] is driven by virsh in the first case and by a second connection in the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use snapward::host::Host;
use snapward::libvirt::{self, Access};
use tempfile::TempDir;
use virt::connect::Connect;

use super::capabilities;
use super::guest::GuestBuilder;
use super::reaper;
use super::tools;

/// Where the driver keeps what QEMU can do, below its root.
const CAPABILITIES: &str = "cache/qemu/capabilities";

/// How long a killed guest may take to disappear: the kernel frees its memory in milliseconds, a loaded machine needs
/// seconds.
const GUEST_DEATH: Duration = Duration::from_secs(20);

/// One root with its guests. Dropping it, also in a panic, kills the guests and removes the files, if it is this process's.
pub(crate) struct EmbedRoot {
    path: PathBuf,
    /// None where it is another process's.
    dir: Option<TempDir>,
    /// The test's own connection, once this process holds the root.
    side: OnceLock<Connect>,
}

impl EmbedRoot {
    /// A new root with its configuration and the probed QEMU capabilities.
    pub(crate) fn new() -> Self {
        let root = Self::unprobed();
        capabilities::install("embed", &root.path().join(CAPABILITIES), |filled| {
            let probe = Self::unprobed();
            tools::run("virsh", &["-q", "-c", &probe.uri(), "capabilities"]);
            filled(&probe.path().join(CAPABILITIES));
        });
        root
    }

    fn unprobed() -> Self {
        // Directly below /tmp: monitor sockets in it must stay below 108 bytes.
        let dir = tempfile::Builder::new().prefix("snapward-").tempdir_in("/tmp").expect("a directory in /tmp");
        let mut config = "# Nothing here may need root, a daemon or a cgroup.\n\
                          stdio_handler = \"file\"\nnamespaces = []\ncgroup_controllers = []\n\
                          security_driver = \"none\"\ndynamic_ownership = 0\nremember_owner = 0\n"
            .to_owned();
        if rustix::process::geteuid().is_root() {
            // Else the guests run as a user who may open neither /dev/kvm nor the images.
            config.push_str("user = \"root\"\ngroup = \"root\"\n");
        }
        fs::create_dir(dir.path().join("etc")).expect("made");
        fs::create_dir(dir.path().join("images")).expect("made");
        // Before the first open: the driver reads it once.
        fs::write(dir.path().join("etc/qemu.conf"), config).expect("written");
        reaper::bury(dir.path().join("run/qemu"));
        Self { path: dir.path().to_owned(), dir: Some(dir), side: OnceLock::new() }
    }

    /// The root of another process, which waits meanwhile: only one may have it open.
    pub(crate) fn lent(path: &Path) -> Self {
        Self { path: path.to_owned(), dir: None, side: OnceLock::new() }
    }

    /// The root's directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where an image of a guest is.
    pub(crate) fn image(&self, name: &str) -> PathBuf {
        self.path().join("images").join(name)
    }

    /// The names of the images there are, sorted.
    pub(crate) fn images(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().join("images")).expect("readable");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("readable").file_name().into_string()).collect();
        names.sort();
        names.into_iter().collect::<Result<_, _>>().expect("the tests' own names are UTF-8")
    }

    /// The connection URI.
    pub(crate) fn uri(&self) -> String {
        format!("qemu:///embed?root={}", tools::text(self.path()))
    }

    /// Connects as snapward does; this process holds the root from here on.
    pub(crate) fn connect(&self, access: Access) -> Arc<dyn Host> {
        self.hold();
        libvirt::connect(&self.uri(), access, None).expect("the embedded driver opens")
    }

    /// A guest to describe and define.
    pub(crate) fn guest(&self, name: &str) -> GuestBuilder<'_> {
        GuestBuilder::new(self, name)
    }

    /// Opens the root in this process, for good.
    pub(crate) fn hold(&self) -> &Connect {
        self.side.get_or_init(|| {
            libvirt::initialize().expect("libvirt starts");
            Connect::open(Some(&self.uri())).expect("the embedded driver opens")
        })
    }

    /// The test's own connection, if this process holds the root.
    pub(crate) fn held(&self) -> Option<&Connect> {
        self.side.get()
    }

    /// Runs virsh on this root, from another process.
    pub(crate) fn virsh(&self, args: &[&str]) -> Output {
        self.virsh_in(&[], args)
    }

    /// Runs virsh on this root with more in its environment.
    pub(crate) fn virsh_in(&self, environment: &[(&str, &str)], args: &[&str]) -> Output {
        assert!(self.held().is_none(), "virsh cannot open a root that this process holds");
        let uri = self.uri();
        tools::output_in(environment, "prlimit", &[&["--core=0:", "virsh", "-q", "-c", uri.as_str()], args].concat())
    }

    /// Runs a virsh command that must succeed; returns what it printed.
    pub(crate) fn virsh_ok(&self, args: &[&str]) -> String {
        let output = self.virsh(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "virsh {args:?} failed: {stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A file in the root for a program to read; a second one of that name replaces the first.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).expect("written");
        tools::text(&path).to_owned()
    }

    /// The process of a running guest.
    pub(crate) fn guest_pid(&self, guest: &str) -> i32 {
        let file = self.path().join(format!("run/qemu/{guest}.pid"));
        fs::read_to_string(file).expect("it runs").trim().parse().expect("a process id")
    }

    /// Kills a guest, as a machine that runs out of memory does: libvirt's own way takes two seconds.
    pub(crate) fn kill_guest(&self, guest: &str) {
        self.kill(&self.path().join(format!("run/qemu/{guest}.pid")));
    }

    /// Kills what runs in this root.
    fn kill_guests(&self) {
        let Ok(entries) = fs::read_dir(self.path().join("run/qemu")) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|ext| ext == "pid") && !path.ends_with("driver.pid") {
                self.kill(&path);
            }
        }
    }

    /// Kills the guest of a pid file, and waits for its end. A command line that names the root proves that the number was
    /// not given to somebody else since.
    fn kill(&self, pid_file: &Path) {
        let Some(pid) = fs::read_to_string(pid_file).ok().and_then(|pid| pid.trim().parse().ok()) else { return };
        let ours = || {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(tools::text(self.path())))
        };
        let Some(process) = rustix::process::Pid::from_raw(pid).filter(|_| ours()) else { return };
        // It may have ended by itself since.
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        let end = Instant::now() + GUEST_DEATH;
        // A process loses its command line first, and the locks on its images when it is through.
        while super::daemon::alive(process.as_raw_nonzero().get().unsigned_abs()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for EmbedRoot {
    fn drop(&mut self) {
        if self.dir.is_some() {
            self.kill_guests();
        }
    }
}
