//! Runs the system's git so that nothing a repository or a remote says can start a program or ask a person.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::model::text::printable;

/// How long one git command may take. A first fetch of a large repository over a slow line takes minutes; one that hangs
/// must end.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// How much of git's own words a message repeats, in characters.
const SAYS: usize = 600;

/// What a repository is reached with: nothing that starts a program named in the URL (`ext::`, remote helpers).
const TRANSPORTS: &str = "file:git:http:https:ssh";

/// Settings that no configuration of the machine or of the user may change: no hooks, no file-system monitor, no
/// submodules, nothing left running in the background, and everything on the disk before it is relied on.
const SETTINGS: [&str; 8] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "core.fsync=committed,reference",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
];

/// Variables that would have git look somewhere else.
const PLACES: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
];

/// Why a git command gave nothing.
#[derive(Debug)]
pub(super) struct Failure {
    /// The code it ended with; none where it did not start or was ended.
    pub(super) code: Option<i32>,
    /// What it said, on one line; empty where it said nothing.
    pub(super) text: String,
}

/// git on a repository.
pub(super) fn git(repository: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "/bin/false")
        .env("SSH_ASKPASS", "/bin/false")
        // ssh asks that program and never a terminal (ssh(1), since OpenSSH 8.4).
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env("GIT_ALLOW_PROTOCOL", TRANSPORTS)
        .env("GIT_LITERAL_PATHSPECS", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("LC_ALL", "C");
    for place in PLACES {
        command.env_remove(place);
    }
    command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
    command.arg("--git-dir").arg(repository);
    command
}

/// Runs a git command to its end; gives what it printed.
pub(super) fn run(command: &mut Command) -> Result<String, Failure> {
    let failed = |text: String| Failure { code: None, text };
    // A group of its own, so that ssh and git's helpers end with it.
    let started = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = started.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed("git is not installed".to_owned()),
        _ => failed(format!("git could not be started: {error}")),
    })?;
    let group = Pid::from_child(&child);
    let (sender, ended) = channel();
    thread::spawn(move || drop(sender.send(child.wait_with_output())));
    let Ok(output) = ended.recv_timeout(LIMIT) else {
        // It may have ended just now.
        let _ = kill_process_group(group, Signal::KILL);
        return Err(failed(format!("git did not end within {} minutes and was ended", LIMIT.as_secs() / 60)));
    };
    let Output { status, stdout, stderr } =
        output.map_err(|error| failed(format!("git could not be waited for: {error}")))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).trim().to_owned());
    }
    Err(Failure { code: status.code(), text: words(&String::from_utf8_lossy(&stderr)) })
}

/// What git complained of, on one line and not too long.
fn words(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text: String = lines.join("; ").chars().take(SAYS).collect();
    printable(&text)
}
