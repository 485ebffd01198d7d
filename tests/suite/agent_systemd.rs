//! The agent under systemd: the units that are shipped, how far they are closed, and the socket that systemd passes.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::agent::{Agent, http, ready};
use crate::support::cmd::snapward_through;
use crate::support::fleet::Fleet;
use crate::support::lab::{set, snapshot};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn systemd_accepts_the_units() {
    let dir = TempDir::new().expect("a directory");
    let units = ["snapward-agent.service", "snapward-agent.socket", "snapward.service", "snapward.timer"];
    for unit in units {
        let text = std::fs::read_to_string(repository("packaging/systemd").join(unit)).expect(unit);
        // Where it is installed nowhere, the program would be missing.
        let text = text.replace("/usr/bin/snapward", env!("CARGO_BIN_EXE_snapward"));
        std::fs::write(dir.path().join(unit), text).expect("written");
    }
    let drop_in = dir.path().join("snapward-agent.service.d");
    std::fs::create_dir(&drop_in).expect("made");
    let text = std::fs::read_to_string(repository("examples/git/git.conf")).expect("the example");
    std::fs::write(drop_in.join("git.conf"), text.replace("/usr/bin/snapward", env!("CARGO_BIN_EXE_snapward")))
        .expect("written");
    let checked = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(units.map(|unit| dir.path().join(unit)))
        .output()
        .expect("systemd-analyze (package systemd)");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn the_documentation_says_how_far_the_unit_is_exposed() {
    let rated = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(repository("packaging/systemd/snapward-agent.service"))
        .output()
        .expect("systemd-analyze (package systemd)");
    let said = String::from_utf8_lossy(&rated.stdout);
    let level = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_else(|| panic!("{said}"));
    let exposure: f64 = level.split(' ').find_map(|word| word.parse().ok()).expect("a number");
    let docs = std::fs::read_to_string(repository("docs/agent.md")).expect("docs/agent.md");
    let (_, rest) = docs.split_once("`systemd-analyze security` rates its exposure ").expect("it is said");
    let documented: f64 = rest.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    assert!(exposure <= documented, "{level}");
}

#[test]
fn a_socket_that_systemd_passes_is_served_and_stays() {
    let fleet = Fleet::start(&["vm1"]);
    let golden = set("web", &format!("  domains: {{include: [vm1]}}\n  snapshots:\n{}", snapshot("golden", &[])));
    let file = fleet.file("web.yaml", &golden);
    let dir = TempDir::new().expect("a directory");
    let socket = dir.path().join("agent.sock");
    let socket = socket.to_str().expect("UTF-8");
    // It starts the agent in its own place when the first client comes, as the unit's socket does.
    let passes = ["systemd-socket-activate", "--listen", socket, "-E", "NOTIFY_SOCKET", "-E", "WATCHDOG_USEC"];
    let program = snapward_through(&passes, &["-c", &fleet.uri(), "agent", &file]);
    let agent = Agent::supervise(dir, program);
    let client = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(_) => std::thread::yield_now(),
        }
    };
    // The first client waited for the agent to start, and is answered.
    assert!(http(client, "GET", "/healthz", "localhost").0.contains("200"));
    agent.told("READY=1");
    agent.until("Ready", ready);
    let (ran, stays) = agent.terminate();
    assert!(stays, "it is systemd's\n{ran}");
}
