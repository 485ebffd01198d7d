//! The agent as a program: on a libvirtd that is killed and restarted, watched by what stands in for systemd, asked over HTTP.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::agent::{Agent, http, ready};
use crate::support::cmd::snapward;
use crate::support::fleet::Fleet;
use crate::support::lab::{set, snapshot};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn golden() -> String {
    set("web", &format!("  domains: {{include: ['vm*']}}\n  snapshots:\n{}", snapshot("golden", &[])))
}

#[test]
fn it_follows_the_files_and_says_so_to_systemd_and_to_whoever_asks() {
    let fleet = Fleet::start(&["vm1", "vm2"]);
    let file = fleet.file("web.yaml", &golden());
    let agent = Agent::start(&fleet, &["--listen", "127.0.0.1:0", &file]);
    agent.told("WATCHDOG=1");
    agent.until("Ready", ready);
    assert_eq!(fleet.snapshots("vm2"), ["golden"]);
    assert!(agent.ask("GET", "/healthz").0.contains("200") && agent.ask("GET", "/readyz").0.contains("200"));
    assert!(agent.ask("GET", "/nothing").0.contains("404") && agent.ask("PUT", "/metrics").0.contains("405"));

    // The plan is the command line's.
    let plan: Value = serde_json::from_str(&agent.ask("GET", "/api/v1/plan").1).expect("JSON");
    let planned = fleet.run(&["plan", "-o", "json", &file]).exits(0).json();
    assert_eq!(plan["planId"], planned["planId"]);
    assert_eq!(plan["domains"], planned["domains"]);

    // A change, then a broken one, then its repair.
    fleet.file("web.yaml", &golden().replace("name: golden\n", "name: golden\n      description: patched\n"));
    agent.until("described", |_| fleet.virsh(&["snapshot-dumpxml", "vm1", "golden"]).contains("patched"));
    let good = agent.until("Ready", ready)["source"]["revision"].clone();
    fleet.file("web.yaml", &golden().replace("domains", "domain"));
    let status = agent.until("refused", |status| status["source"]["error"].is_string());
    assert_eq!(status["source"]["revision"], good);
    assert_eq!(fleet.snapshots("vm1"), ["golden"]);
    let (head, body) = agent.ask("POST", "/api/v1/reload");
    assert!(head.contains("422") && body.contains("web.yaml"), "{head}\n{body}");
    fleet.file("web.yaml", &golden());
    let (head, body) = agent.ask("POST", "/api/v1/reload");
    assert!(head.contains("200") && body.contains("revision"), "{head}\n{body}");

    agent.signal(Signal::HUP);
    assert!(agent.told("RELOADING=1").contains("MONOTONIC_USEC="));
    agent.told("READY=1");
    agent.until("Ready", ready);
    let shown = snapward(["status", &format!("--agent={}", agent.socket().display())]).run().exits(0);
    assert!(shown.stdout.contains("Ready: 2 of 2 domains."), "{shown}");
    agent.stop();
}

#[test]
fn the_metrics_are_those_of_the_documentation_and_the_status_fits_its_schema() {
    let fleet = Fleet::start(&["vm1"]);
    let agent = Agent::start(&fleet, &[&fleet.file("web.yaml", &golden())]);
    agent.until("Ready", ready);
    let page = agent.ask("GET", "/metrics").1;
    let families = |line: &str| Some(line.strip_prefix("# TYPE ")?.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let served: BTreeSet<Vec<String>> = page.lines().filter_map(families).collect();
    let docs = std::fs::read_to_string(repository("docs/agent.md")).expect("docs/agent.md");
    let row = |line: &str| {
        let (name, rest) = line.strip_prefix("| `snapward_")?.split_once("` | ")?;
        Some(vec![format!("snapward_{name}"), rest.split(' ').next()?.to_owned()])
    };
    let documented: BTreeSet<Vec<String>> = docs.lines().filter_map(row).collect();
    assert_eq!(served, documented);
    assert!(page.contains("snapward_actions_total{action=\"create\",result=\"done\"} 1"), "{page}");

    let schemas: Vec<(String, Value)> = snapward::report::schemas();
    let (_, schema) = schemas.into_iter().find(|(name, _)| name == "agent-status.v1.json").expect("published");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let status = agent.status();
    let wrong: Vec<_> = validator.iter_errors(&status).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?} in {status:#}");
    agent.stop();
}

#[test]
fn libvirtd_killed_and_restarted_is_found_again() {
    let mut fleet = Fleet::start(&["vm1"]);
    let file = fleet.file("web.yaml", &golden());
    let agent = Agent::start(&fleet, &["--interval", "1s", &file]);
    agent.until("Ready", ready);
    let name = agent.status()["hosts"][0]["name"].clone();
    fleet.daemon.kill();
    let status = agent.until("down", |status| status["hosts"][0]["connected"] == false);
    assert_eq!(status["hosts"][0]["name"], name, "the name it told stays");
    assert!(agent.ask("GET", "/healthz").0.contains("200"), "the agent itself is well");
    assert!(agent.ask("GET", "/readyz").0.contains("503"));
    fleet.daemon.restart();
    fleet.file("web.yaml", &golden().replace("name: golden\n", "name: golden\n      description: patched\n"));
    agent.until("described", |status| {
        status["hosts"][0]["connected"] == true
            && fleet.virsh(&["snapshot-dumpxml", "vm1", "golden"]).contains("patched")
    });
    assert_eq!(fleet.tags("vm1"), ["golden"], "captured once");
    let status = agent.until("Ready", ready);
    assert_eq!(status["hosts"][0]["name"], name);
    // The connection to write through was lost too, and nothing was tried on it.
    assert_eq!(agent.metric("snapward_actions_total{action=\"redefine\",result=\"failed\"}"), 0);
    agent.stop();
}

#[test]
fn loopback_reads_only_and_under_its_own_name() {
    let fleet = Fleet::start(&["vm1"]);
    // A port of the kernel's choice, free again at once.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let address = format!("127.0.0.1:{port}");
    let agent = Agent::start(&fleet, &["--observe", "--listen", &address, &fleet.file("web.yaml", &golden())]);
    let ask = |method: &str, path: &str, host: &str| {
        http(TcpStream::connect(&address).expect("it listens"), method, path, host).0
    };
    assert!(ask("GET", "/metrics", &address).contains("200"));
    assert!(ask("POST", "/api/v1/reload", &address).contains("403"));
    assert!(ask("GET", "/api/v1/status", "evil.example").contains("421"));
    assert!(fleet.snapshots("vm1").is_empty(), "an observer changes nothing");
    snapward(["agent", "--listen", "0.0.0.0:9750", "x"]).run().exits(64);
    agent.stop();
}
