//! Runs the built `snapward` in an environment of its own and shows all it did as one text.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A command line of snapward, with nothing of the caller's environment that could change what it does.
pub(crate) struct Snapward {
    command: Command,
    stdin: Vec<u8>,
}

/// What a run printed, and how it ended.
#[must_use = "assert the exit code or the output"]
pub(crate) struct Ran {
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// `snapward` with these arguments.
pub(crate) fn snapward<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Snapward {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snapward"));
    command.args(args);
    for variable in ["LIBVIRT_DEFAULT_URI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(variable);
    }
    command.env("LC_ALL", "C.UTF-8").env("TERM", "dumb");
    Snapward { command, stdin: Vec::new() }
}

impl Snapward {
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

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ran {
        let output = self.spawn().wait_with_output().expect("the run can be waited for");
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
        }
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
