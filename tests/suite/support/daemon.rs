//! A private libvirtd, for tests in which two processes talk to one QEMU driver, or in which the daemon restarts. An
//! embedded root can be opened by one process only; everything else is cheaper there.
//!
//! It is a session daemon with all of its folders in a temporary one. libvirtd run by root is always the system daemon
//! (fixed paths in /etc, /run and /var), so under root it runs as `nobody`, who usually may not open /dev/kvm: guests
//! are `<domain type='qemu'>`. Needs `libvirtd` (Debian: libvirt-daemon, libvirt-daemon-driver-qemu) and `setpriv`.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::{capabilities, tools};

/// The user and group `nobody` on every Linux.
const NOBODY: u32 = 65_534;
/// libvirtd answers within 0.1 s here; a machine under full load has been seen to take 50 times as long.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// libvirtd and killed guests are gone within some 0.1 s.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// Between two looks at something awaited: short beside 0.1 s, long beside the look itself.
const POLL: Duration = Duration::from_millis(10);

/// `sun_path` holds 108 bytes with its NUL; the longest socket under the folder is QEMU's monitor,
/// `/config/libvirt/qemu/lib/domain-1-NAME/monitor.sock`, with 20 bytes of the name.
const LONGEST_DIR: usize = 40;

/// Where distributions keep the tools of libvirt and QEMU.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the daemon keeps what QEMU can do, below its folder.
const CAPABILITIES: &str = "cache/libvirt/qemu/cache/capabilities";

/// libvirt's own settings: no virtlogd, and nothing that only root could do.
const QEMU_CONF: &str = "\
stdio_handler = \"file\"
namespaces = []
cgroup_controllers = []
security_driver = \"none\"
";

/// A libvirtd of its own; dropped, it is gone with its guests and files.
pub(crate) struct PrivateDaemon {
    dir: tempfile::TempDir,
    child: Option<Child>,
    /// Where it finds its tools.
    path: String,
}

impl PrivateDaemon {
    /// Starts a daemon without domains and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with_path(PATH)
    }

    /// As [`Self::start`], with another PATH to find its tools by.
    pub(crate) fn start_with_path(path: &str) -> Self {
        Self::start_probed(path, true)
    }

    fn start_probed(path: &str, probed: bool) -> Self {
        // Directly under /tmp: TMPDIR may be too deep for a socket's path, or closed to `nobody`.
        let dir = tempfile::Builder::new().prefix("swd").tempdir_in("/tmp").expect("a folder in /tmp");
        assert!(dir.path().as_os_str().len() <= LONGEST_DIR, "{} is too long for sockets", dir.path().display());
        let mut daemon = Self { dir, child: None, path: path.to_owned() };
        let config = daemon.dir.path().join("config/libvirt");
        for folder in ["home", "config/libvirt", "cache", "data", "run", "images"] {
            fs::create_dir_all(daemon.dir.path().join(folder)).expect("a folder of the daemon");
        }
        fs::write(config.join("qemu.conf"), QEMU_CONF).expect("qemu.conf");
        fs::write(
            daemon.dir.path().join("libvirtd.conf"),
            format!("unix_sock_dir = \"{}\"\nauth_unix_rw = \"none\"\n", daemon.dir.path().join("run").display()),
        )
        .expect("libvirtd.conf");
        fs::set_permissions(daemon.dir.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        if probed {
            capabilities::install("daemon", &daemon.dir.path().join(CAPABILITIES), |filled| {
                let probe = Self::start_probed(PATH, false);
                tools::run("virsh", &["-q", "-c", &probe.uri(), "capabilities"]);
                filled(&probe.dir.path().join(CAPABILITIES));
            });
        }
        if geteuid().is_root() {
            give_to_nobody(daemon.dir.path()).expect("the daemon's folder to change hands");
        }
        daemon.spawn();
        daemon
    }

    /// The connection URI.
    pub(crate) fn uri(&self) -> String {
        format!("qemu+unix:///session?socket={}", self.socket().display())
    }

    /// The words before a program's arguments that make it a client on this machine of its daemon's user, for whom
    /// `qemu:///session` is this daemon. At a socket of one's own choice ([`Self::uri`]) could be anything, so snapward looks at
    /// no files there.
    pub(crate) fn client(&self, program: &str) -> Vec<String> {
        let run = self.dir.path().join("run");
        let usual = run.join("libvirt/libvirt-sock");
        if !usual.exists() {
            fs::create_dir_all(run.join("libvirt")).expect("a folder");
            symlink("../libvirt-sock", usual).expect("a link");
        }
        let mut words = vec!["env".to_owned(), format!("XDG_RUNTIME_DIR={}", run.display())];
        if geteuid().is_root() {
            // libvirt takes root's session for the system's daemon.
            let nobody = NOBODY.to_string();
            words.extend(["setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups"].map(str::to_owned));
        }
        words.push(program.to_owned());
        words
    }

    /// Puts a program where the daemon's user can run it, who may not see the folder it was built in.
    pub(crate) fn lend(&self, program: &Path) -> PathBuf {
        let folder = self.dir.path().join("bin");
        fs::create_dir_all(&folder).expect("a folder");
        let lent = folder.join(program.file_name().expect("a program"));
        if !lent.exists() && fs::hard_link(program, &lent).is_err() {
            // Another filesystem.
            fs::copy(program, &lent).expect("copied");
        }
        lent
    }

    /// A file for a client to read; a second one of that name replaces the first.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let folder = self.dir.path().join("files");
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(name);
        fs::write(&path, text).expect("written");
        self.hand_over(&path);
        path
    }

    /// The folder for images. Under root, call [`Self::hand_over`] after putting a file there.
    pub(crate) fn images(&self) -> PathBuf {
        self.dir.path().join("images")
    }

    /// Makes a file of the test the daemon's.
    pub(crate) fn hand_over(&self, file: &Path) {
        if geteuid().is_root() {
            chown(file, Some(NOBODY), Some(NOBODY)).expect("the image to change hands");
        }
    }

    /// Ends the daemon and starts it anew; guests run on.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.spawn();
    }

    /// Ends the daemon; guests run on. Clients see a broken connection.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        drop(signal(child.id(), Signal::TERM));
        let deadline = Instant::now() + STOP_DEADLINE;
        while Instant::now() < deadline {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(POLL);
        }
        drop(child.kill());
        drop(child.wait());
    }

    /// Kills the daemon at once; guests run on.
    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        drop(child.kill());
        drop(child.wait());
    }

    /// The daemon's process.
    pub(crate) fn pid(&self) -> i32 {
        // setpriv has become libvirtd.
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).expect("it runs")
    }

    /// The process of the guest that runs, once there is one.
    pub(crate) fn guest_pid(&self) -> Option<i32> {
        self.guests().first().and_then(|pid| i32::try_from(*pid).ok())
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("run/libvirt-sock")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("libvirtd.log")
    }

    /// Starts the daemon and waits until its socket takes a connection.
    fn spawn(&mut self) {
        // Left over by a daemon that was killed; a connect to it fails, but its presence would hide a failing bind.
        drop(fs::remove_file(self.socket()));
        let path = |name: &str| self.dir.path().join(name);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("libvirtd.log");
        let mut command = Command::new("setpriv");
        if geteuid().is_root() {
            command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]);
        }
        // The daemon goes when the test's thread goes, also when the test is killed.
        command.args(["--pdeathsig", "TERM", "libvirtd", "--config"]).arg(path("libvirtd.conf"));
        command.arg("--pid-file").arg(path("run/libvirtd.pid"));
        command
            .env("HOME", path("home"))
            .env("XDG_CONFIG_HOME", path("config"))
            .env("XDG_CACHE_HOME", path("cache"))
            .env("XDG_DATA_HOME", path("data"))
            .env("XDG_RUNTIME_DIR", path("run"))
            .env("PATH", &self.path)
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_PID")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle on the log"))
            .stderr(log);
        let mut child = command.spawn().expect("setpriv (package util-linux)");
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if UnixStream::connect(self.socket()).is_ok() {
                break;
            }
            if let Ok(Some(status)) = child.try_wait() {
                panic!("libvirtd (package libvirt-daemon) ended with {status}:\n{}", self.log_text());
            }
            assert!(Instant::now() < deadline, "libvirtd did not answer in time:\n{}", self.log_text());
            sleep(POLL);
        }
        self.child = Some(child);
    }

    fn log_text(&self) -> String {
        let mut text = String::new();
        match fs::File::open(self.log()).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => text,
            Err(error) => format!("(no log: {error})"),
        }
    }

    /// The process ids of the guests, by the pid files that libvirt keeps.
    fn guests(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(self.dir.path().join("run/libvirt/qemu/run")) else { return Vec::new() };
        entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "pid") && !path.ends_with("driver.pid"))
            .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
            .collect()
    }
}

impl Drop for PrivateDaemon {
    fn drop(&mut self) {
        // The daemon first: it would report each guest's end, and remove its pid file under our eyes.
        self.stop();
        let guests = self.guests();
        for guest in &guests {
            drop(signal(*guest, Signal::KILL));
        }
        // Their files must not change while the folder is removed.
        let deadline = Instant::now() + STOP_DEADLINE;
        while guests.iter().any(|guest| alive(*guest)) && Instant::now() < deadline {
            sleep(POLL);
        }
    }
}

/// Whether a process runs; a dead one that nobody has waited for does not.
pub(super) fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, signal)?)
}

/// Gives a folder and all in it to `nobody`.
fn give_to_nobody(path: &Path) -> io::Result<()> {
    chown(path, Some(NOBODY), Some(NOBODY))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give_to_nobody(&entry?.path())?;
        }
    }
    debug_assert_eq!(fs::symlink_metadata(path)?.uid(), NOBODY);
    Ok(())
}
