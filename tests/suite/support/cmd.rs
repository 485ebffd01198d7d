//! Runs the built `snapward` in an environment of its own and shows all it did as one text.

use std::ffi::OsStr;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::daemon::PrivateDaemon;
use super::tools;

/// A command line of snapward, with nothing of the caller's environment that could change what it does.
pub(crate) struct Snapward {
    command: Command,
    stdin: Vec<u8>,
}

/// What a run printed, and how it ended.
pub(crate) struct Ran {
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Sends a signal to a process that the test started.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("it runs, or was not waited for yet");
}

/// Waits for a run that was spawned.
#[must_use = "assert the exit code or the output"]
pub(crate) fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().expect("the run can be waited for");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
    }
}

/// `snapward` with these arguments.
pub(crate) fn snapward<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Snapward {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snapward"));
    command.args(args);
    alone(command)
}

/// `snapward` with these arguments, as a user of the daemon's own, on whose machine it is.
pub(crate) fn snapward_by(daemon: &PrivateDaemon, args: &[&str]) -> Snapward {
    // The second is found beside the first.
    let [snapward, _] = [env!("CARGO_BIN_EXE_snapward"), env!("CARGO_BIN_EXE_snapward-libvirt")]
        .map(|program| daemon.lend(Path::new(program)));
    let words = daemon.client(tools::text(&snapward));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(args);
    alone(command)
}

/// `snapward` with these arguments, started by another program.
pub(crate) fn snapward_through(words: &[&str], args: &[&str]) -> Snapward {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(env!("CARGO_BIN_EXE_snapward")).args(args);
    alone(command)
}

/// `snapward` with these arguments, which is killed where it takes more memory (address space, in bytes) or time of a processor
/// (in seconds).
pub(crate) fn snapward_within(memory: u64, seconds: u64, args: &[&str]) -> Snapward {
    snapward_through(&["prlimit", &format!("--as={memory}"), &format!("--cpu={seconds}"), "--core=0"], args)
}

fn alone(mut command: Command) -> Snapward {
    for variable in ["LIBVIRT_DEFAULT_URI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(variable);
    }
    command.env("LC_ALL", "C.UTF-8").env("TERM", "dumb");
    Snapward { command, stdin: Vec::new() }
}

impl Snapward {
    /// Without a umask: every right that a file is made with is given.
    pub(crate) fn unmasked(self) -> Self {
        let inner = self.command;
        let mut command = Command::new("sh");
        command.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(inner.get_program()).args(inner.get_args());
        for (key, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        Self { command, ..self }
    }

    /// In this directory.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// With this variable set.
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// With this on standard input.
    pub(crate) fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = text.into();
        self
    }

    /// Starts it with all three streams piped, for a test that signals it or reads along.
    pub(crate) fn spawn(mut self) -> Child {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let mut stdin = child.stdin.take().expect("piped");
        // A run that ends without reading its input closes the pipe; that is no failure of the test.
        drop(stdin.write_all(&self.stdin));
        child
    }

    /// Runs it to its end with what another process writes on its standard input.
    #[must_use = "assert the exit code or the output"]
    pub(crate) fn reading(mut self, stdin: impl Into<Stdio>) -> Ran {
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        ended(self.command.spawn().expect("the binary was built"))
    }

    /// Runs it to its end.
    #[must_use = "assert the exit code or the output"]
    pub(crate) fn run(self) -> Ran {
        ended(self.spawn())
    }
}

impl Ran {
    /// Asserts the exit code, showing everything where it is another.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"))
    }
}

/// A run whose stderr was read up to something it said.
pub(crate) struct Told {
    child: Child,
    stderr: String,
}

/// Reads a run's stderr until it has said something.
pub(crate) fn until_told(mut child: Child, words: &str) -> Told {
    let pipe = child.stderr.as_mut().expect("piped");
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(words) {
        let mut byte = [0];
        assert_eq!(pipe.read(&mut byte).expect("readable"), 1, "{}", String::from_utf8_lossy(&read));
        read.extend(byte);
    }
    Told { child, stderr: String::from_utf8(read).expect("UTF-8") }
}

impl Told {
    /// The process.
    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    /// Waits for its end.
    #[must_use = "assert the exit code or the output"]
    pub(crate) fn ended(self) -> Ran {
        let ran = ended(self.child);
        Ran { stderr: self.stderr + &ran.stderr, ..ran }
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stdout)?;
        if !self.stderr.is_empty() {
            write!(f, "--- stderr ---\n{}", self.stderr)?;
        }
        match self.code {
            Some(code) => writeln!(f, "--- exit {code} ---"),
            None => writeln!(f, "--- ended by a signal ---"),
        }
    }
}
