//! snapward on a terminal of its own, made by script(1): the question that `apply` asks there can be answered late.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use super::cmd::Ran;
use super::daemon::PATH;

/// What `apply` asks.
pub(crate) const QUESTION: &str = "Only 'yes' is accepted: ";

/// A run on a terminal; both of its streams show there.
pub(crate) struct Terminal {
    child: Child,
    shown: Vec<u8>,
}

impl Terminal {
    /// Starts `apply` with these arguments, none of which may hold a single quote.
    pub(crate) fn apply(uri: &str, args: &[&str]) -> Self {
        Self::apply_with_path(PATH, uri, args)
    }

    /// Runs snapward with these arguments to its end, none of which may hold a single quote.
    #[must_use = "assert the exit code or the output"]
    pub(crate) fn run(args: &[&str]) -> Ran {
        Self::start(PATH, &[&[env!("CARGO_BIN_EXE_snapward")], args].concat()).ended()
    }

    /// As [`Self::apply`], with this PATH for the driver inside the process.
    pub(crate) fn apply_with_path(path: &str, uri: &str, args: &[&str]) -> Self {
        Self::start(path, &[&[env!("CARGO_BIN_EXE_snapward"), "-c", uri, "apply"], args].concat())
    }

    fn start(path: &str, words: &[&str]) -> Self {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let child = Command::new("script")
            .args(["-q", "-e", "-c", &words.join(" "), "/dev/null"])
            .env_remove("NO_COLOR")
            // Where it is set, even a dumb terminal counts as one with colours.
            .env_remove("CI")
            .env("TERM", "dumb")
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) of util-linux is installed");
        Self { child, shown: Vec::new() }
    }

    /// All it has shown so far.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown).replace('\r', "")
    }

    /// Reads on until it shows this.
    #[track_caller]
    pub(crate) fn until(mut self, words: &str) -> Self {
        while !self.shown().contains(words) {
            let mut byte = [0];
            let read = self.child.stdout.as_mut().expect("piped").read(&mut byte).expect("readable");
            assert_eq!(read, 1, "it ended:\n{}", self.shown());
            self.shown.extend(byte);
        }
        self
    }

    /// Types a line.
    pub(crate) fn type_line(mut self, line: &str) -> Self {
        writeln!(self.child.stdin.as_mut().expect("piped"), "{line}").expect("typed");
        self
    }

    /// Presses Ctrl-C, which the terminal turns into a signal to the whole foreground group.
    pub(crate) fn press_ctrl_c(mut self) -> Self {
        self.child.stdin.as_mut().expect("piped").write_all(b"\x03").expect("typed");
        self
    }

    /// Waits for its end.
    #[must_use = "assert the exit code or the output"]
    pub(crate) fn ended(mut self) -> Ran {
        // The input stays open until then: script(1) takes its end for the end of the session.
        let mut stdout = self.child.stdout.take().expect("piped");
        stdout.read_to_end(&mut self.shown).expect("readable");
        let code = self.child.wait().expect("it ends").code();
        Ran { code, stdout: self.shown(), stderr: String::new() }
    }
}
