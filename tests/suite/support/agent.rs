//! An agent as a program: its sockets, what it tells systemd, and what it answers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::cmd::{Ran, Snapward, ended, signal, snapward_by};
use super::fleet::Fleet;

/// Far beyond anything here on a machine under full load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks: short beside the agent's debounce.
const POLL: Duration = Duration::from_millis(20);

/// An agent, its sockets, and the datagrams it sent to systemd.
pub(crate) struct Agent {
    child: Option<Child>,
    dir: TempDir,
    systemd: Receiver<String>,
}

impl Agent {
    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(fleet: &Fleet, args: &[&str]) -> Self {
        Self::start_with(fleet, args, |program| program)
    }

    /// As [`Agent::start`], in an environment of its own.
    pub(crate) fn start_with(fleet: &Fleet, args: &[&str], with: impl FnOnce(Snapward) -> Snapward) -> Self {
        let dir = TempDir::new().expect("a directory");
        let socket = dir.path().join("agent.sock");
        let socket = socket.to_str().expect("UTF-8");
        let program = fleet.snapward(&[&["--log-format", "json", "agent", "--socket", socket], args].concat());
        let agent = Self::supervise(dir, with(program));
        agent.told("READY=1");
        agent
    }

    /// As [`Agent::start`], as the daemon's user on the daemon's machine, where it can see the images.
    pub(crate) fn start_local(fleet: &Fleet, args: &[&str]) -> Self {
        let dir = TempDir::new().expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("a mode");
        let socket = dir.path().join("agent.sock");
        let socket = socket.to_str().expect("UTF-8");
        let args = [&["-c", "qemu:///session", "agent", "--socket", socket], args].concat();
        let program = snapward_by(&fleet.daemon, &args);
        let agent = Self::supervise(dir, program);
        agent.told("READY=1");
        agent
    }

    /// Starts a program in the place of systemd, with its sockets in the directory.
    pub(crate) fn supervise(dir: TempDir, program: Snapward) -> Self {
        let systemd = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
        fs::set_permissions(dir.path().join("notify"), fs::Permissions::from_mode(0o777)).expect("a mode");
        let systemd = listen(systemd);
        let program = program.env("NOTIFY_SOCKET", dir.path().join("notify")).env("WATCHDOG_USEC", "400000");
        Self { child: Some(program.spawn()), dir, systemd }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("agent.sock")
    }

    /// Waits until systemd was told something; returns what else was told with it.
    #[track_caller]
    pub(crate) fn told(&self, state: &str) -> String {
        loop {
            let text = self.systemd.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("never {state}: {error}"));
            if text.lines().any(|line| line.starts_with(state)) {
                return text;
            }
        }
    }

    /// What it answers on its socket: the status line and the body.
    pub(crate) fn ask(&self, method: &str, path: &str) -> (String, String) {
        http(UnixStream::connect(self.socket()).expect("it listens"), method, path, "localhost")
    }

    /// Its status.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ask("GET", "/api/v1/status").1).expect("JSON")
    }

    /// One of its metrics, by name and labels; those that count nothing yet are 0.
    pub(crate) fn metric(&self, sample: &str) -> u64 {
        let page = self.ask("GET", "/metrics").1;
        let value = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// Waits until the status is as it should be.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "never {what}: {status:#}");
            sleep(POLL);
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, which: Signal) {
        signal(self.child.as_ref().expect("it runs"), which);
    }

    /// Its end, which it was told of.
    pub(crate) fn ended(mut self) -> Ran {
        ended(self.child.take().expect("it runs"))
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(self) {
        drop(self.stop_and_tell());
    }

    /// As [`Self::stop`], with what it printed.
    pub(crate) fn stop_and_tell(self) -> Ran {
        let (ran, socket_stays) = self.terminate();
        assert!(!socket_stays, "the socket is gone\n{ran}");
        ran
    }

    /// SIGTERM, and its end; what it said, and whether its socket is still there.
    pub(crate) fn terminate(mut self) -> (Ran, bool) {
        self.signal(Signal::TERM);
        self.told("STOPPING=1");
        let ran = ended(self.child.take().expect("it runs")).exits(0);
        (ran, self.socket().exists())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Takes what systemd is told as it comes, as systemd does: a socket whose queue is full holds up who writes to it.
fn listen(socket: UnixDatagram) -> Receiver<String> {
    let (sender, told) = channel();
    spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                return;
            }
        }
    });
    told
}

/// Asks over HTTP: the status line and the body of the answer.
pub(crate) fn http(
    mut stream: impl std::io::Read + std::io::Write,
    method: &str,
    path: &str,
    host: &str,
) -> (String, String) {
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

/// Whether a status says that all is as declared.
pub(crate) fn ready(status: &Value) -> bool {
    status["conditions"][0]["type"] == "Ready" && status["conditions"][0]["status"] == true
}
