//! Least privilege: which verb asks libvirt for more than to read, an agent that is not root, who may read what
//! snapward writes, and a planted secret that nothing shows.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::docs::verbs_of;
use crate::support::agent::{Agent, PATIENCE, http, ready};
use crate::support::cmd::{Ran, Snapward, ended, signal, snapward, snapward_by};
use crate::support::embed::EmbedRoot;
use crate::support::fleet::Fleet;
use crate::support::gate::wait_until;
use crate::support::lab::{manifest, set, snapshot};
use crate::support::remote::Remote;
use crate::support::tools::text;

/// What a verb may ask libvirt for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nothing,
    Read,
    Write,
}

use Asks::{Nothing, Read, Write};

/// Every verb with arguments that make it do what it does, on a domain `vm` with the snapshots `a` and `b`; `FILE`,
/// `DIR` and `POLICY` stand for paths.
const VERBS: &[(&str, Asks)] = &[
    ("validate FILE", Nothing),
    ("schema SnapshotSet", Nothing),
    ("completions bash", Nothing),
    ("man", Nothing),
    ("retention simulate --policy POLICY --list LIST", Nothing),
    ("retention compare --policy POLICY --list LIST", Nothing),
    ("retention explain FILE", Read),
    ("plan FILE", Read),
    ("plan --out DIR/plan FILE", Read),
    ("status FILE", Read),
    ("snapshot list vm", Read),
    ("snapshot list vm --tree", Read),
    ("snapshot list vm --name", Read),
    ("snapshot list vm -o json", Read),
    ("snapshot info vm a", Read),
    ("snapshot xml vm a", Read),
    // Secrets are for those who may write.
    ("snapshot xml vm a --security-info", Write),
    ("snapshot parent vm b", Read),
    ("snapshot current vm", Read),
    ("snapshot current vm --name", Read),
    ("snapshot current vm a", Write),
    ("snapshot create vm c", Write),
    ("snapshot create vm --print-xml d", Nothing),
    ("snapshot edit vm a", Write),
    ("snapshot hold vm b --reason audit", Write),
    ("snapshot unhold vm b", Write),
    ("snapshot revert vm a --yes", Write),
    ("snapshot delete vm c --yes", Write),
    ("export vm --dir DIR/exported", Read),
    ("detach vm --export DIR/detached --manifests APART --yes", Write),
    ("apply --yes FILE", Write),
    // Continuous: it is at work in the tests of the agent.
    ("agent", Write),
];

fn domain(root: &EmbedRoot) -> String {
    root.guest("vm").vnc_password("s3cret").define();
    let file = root.file("web.yaml", &manifest(&format!("  snapshots:\n{}{}", snapshot("a", &[]), snapshot("b", &[]))));
    drop(snapward(["-c", &root.uri(), "apply", "--yes", &file]).run().exits(0));
    file
}

/// A line of [`VERBS`] as arguments.
fn arguments(root: &EmbedRoot, line: &str, file: &str) -> Vec<String> {
    let policy = "apiVersion: snapward/v1\nkind: RetentionPolicy\nmetadata: {name: p}\nspec: {keep: {last: 1}}\n";
    let policy = root.file("policy.yaml", policy);
    let list = root.file("list.json", r#"[{"name": "a", "time": "2026-11-23T04:00:00Z"}]"#);
    // The set of the snapshots, which the domain has left.
    let apart = root.file("apart.yaml", &set("lab", "  domains: {include: [other]}\n"));
    let with = |word: &str| {
        word.replace("APART", &apart)
            .replace("FILE", file)
            .replace("POLICY", &policy)
            .replace("LIST", &list)
            .replace("DIR", text(root.path()))
    };
    line.split(' ').map(with).collect()
}

#[test]
fn no_verb_asks_for_more_than_it_needs() {
    let root = EmbedRoot::new();
    let file = domain(&root);
    let log = root.path().join("calls.log");
    for (line, asks) in VERBS.iter().filter(|(line, _)| *line != "agent") {
        drop(fs::remove_file(&log));
        // libvirt's own log of the calls that reach its public interface.
        let args = arguments(&root, line, &file);
        let ran = snapward(["-c".to_owned(), root.uri()].into_iter().chain(args))
            .env("EDITOR", "true")
            .env("LIBVIRT_LOG_FILTERS", "1:libvirt")
            .env("LIBVIRT_LOG_OUTPUTS", format!("1:file:{}", log.display()))
            .run();
        let calls = fs::read_to_string(&log).unwrap_or_default();
        let met = match (calls.contains("virConnectOpenReadOnly:"), calls.contains("virConnectOpen:")) {
            (_, true) => Write,
            (true, false) => Read,
            (false, false) => Nothing,
        };
        assert_eq!(met, *asks, "{line}: {ran}");
        assert!(matches!(ran.code, Some(0 | 3)), "{line} does what it does: {ran}");
    }
}

#[test]
fn no_verb_is_left_out() {
    let named: BTreeSet<&str> = VERBS
        .iter()
        .map(|(line, _)| {
            let words: Vec<_> =
                line.split(' ').take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())).collect();
            let nested = matches!(words[0], "snapshot" | "retention");
            let end = if nested { words[0].len() + 1 + words[1].len() } else { words[0].len() };
            &line[..end]
        })
        .collect();
    let mut all: BTreeSet<String> = verbs_of(&[]).into_iter().collect();
    for family in ["snapshot", "retention"] {
        all.remove(family);
        all.extend(verbs_of(&[family]).into_iter().map(|verb| format!("{family} {verb}")));
    }
    assert_eq!(named, all.iter().map(String::as_str).collect());
}

/// Everything that is shown while a secret is in the domain, in its snapshots and in what is saved of them.
#[test]
fn no_verb_shows_a_secret() {
    let root = EmbedRoot::new();
    let file = domain(&root);
    let asked_for = ["snapshot xml vm a --security-info"];
    for (line, _) in VERBS.iter().filter(|(line, _)| *line != "agent" && !asked_for.contains(line)) {
        let args = arguments(&root, line, &file);
        // An editor that saves what no libvirt takes: the error is about XML with the secret in it.
        for (editor, level) in [("true", "-vv"), ("sed -i s/domainsnapshot/nonsense/", "-vvv")] {
            let ran = snapward(["-c".to_owned(), root.uri(), level.to_owned()].into_iter().chain(args.clone()))
                .env("EDITOR", editor)
                // What an edit that failed leaves for its user.
                .env("TMPDIR", root.path())
                .env("RUST_BACKTRACE", "full")
                .run();
            assert!(!ran.to_string().contains("s3cret"), "{line}: {ran}");
        }
    }
    assert!(!fs::read_to_string(root.path().join("plan")).expect("saved").contains("s3cret"));
    let ran = snapward(["-c", &root.uri(), "snapshot", "xml", "vm", "a", "--security-info"]).run();
    assert!(ran.stdout.contains("s3cret") || ran.code != Some(0), "it was there to be told: {ran}");
}

/// The files below a directory that others than their owner may read or write, and the directories they could reach
/// them by.
fn open_to_others(dir: &Path) -> Vec<PathBuf> {
    let mode = |path: &Path| fs::symlink_metadata(path).expect("there").permissions().mode();
    let mut open = Vec::new();
    for entry in fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_symlink() || mode(&path) & 0o077 == 0 {
            continue;
        }
        if path.is_dir() { open.extend(open_to_others(&path)) } else { open.push(path) }
    }
    open
}

/// With no umask at all.
#[test]
fn nobody_else_can_read_what_is_written() {
    let root = EmbedRoot::new();
    let file = domain(&root);
    let out = root.path().join("out");
    fs::create_dir(&out).expect("made");
    let noted = out.join("modes");
    // An editor that notes who may read the file it is given.
    let editor = format!("stat --format=%a >>{} -- ", text(&noted));
    for line in ["plan --out DIR/out/plan FILE", "export vm --dir DIR/out/exported", "snapshot edit vm a"] {
        let args = arguments(&root, line, &file);
        let words: Vec<String> = ["-c".to_owned(), root.uri()].into_iter().chain(args).collect();
        drop(unmasked(&words).env("EDITOR", &editor).env("TMPDIR", &out).run().exits(0));
    }
    assert_eq!(fs::read_to_string(&noted).expect("edited"), "600\n");
    fs::remove_file(&noted).expect("removed");
    assert_eq!(open_to_others(&out), Vec::<PathBuf>::new());
    assert!(out.join("plan").exists() && out.join("exported").exists());
    let remote = Remote::new();
    remote
        .write("web.yaml", &set("web", &format!("  domains: {{include: [vm]}}\n  snapshots:\n{}", snapshot("a", &[]))));
    remote.commit(None);
    let fleet = Fleet::start(&["vm"]);
    let state = out.join("state");
    let agent = Agent::start_with(&fleet, &["--git", &remote.url(), "--state-dir", text(&state)], Snapward::unmasked);
    agent.until("Ready", ready);
    agent.stop();
    assert!(state.join("git").exists());
    assert_eq!(open_to_others(&out), Vec::<PathBuf>::new(), "the copy of the repository");
}

fn unmasked(words: &[String]) -> Snapward {
    snapward(words).unmasked()
}

/// The agent is a user without rights who may use libvirt's socket: nothing it does needs more.
#[test]
fn an_agent_that_is_not_root_keeps_a_domain_as_declared() {
    let fleet = Fleet::start(&["vm1"]);
    let declared = set("web", &format!("  domains: {{include: [vm1]}}\n  snapshots:\n{}", snapshot("golden", &[])));
    let file = fleet.daemon.file("web.yaml", &declared);
    let socket = fleet.daemon.images().join("agent.sock");
    let args = ["-c", "qemu:///session", "--log-format", "json", "agent", "--socket", text(&socket), text(&file)];
    let agent = snapward_by(&fleet.daemon, &args).spawn();
    let status = || -> Option<Value> {
        let stream = UnixStream::connect(&socket).ok()?;
        serde_json::from_str(&http(stream, "GET", "/api/v1/status", "localhost").1).ok()
    };
    let start = std::time::Instant::now();
    wait_until("the agent to answer", || status().is_some());
    while !status().as_ref().is_some_and(ready) {
        assert!(start.elapsed() < PATIENCE, "{:?}", status());
    }
    let ids = fs::read_to_string(format!("/proc/{}/status", agent.id())).expect("it runs");
    let of = |what: &str| ids.lines().find(|line| line.starts_with(what)).map(str::to_owned).unwrap_or_default();
    assert!(!of("Uid:").split_whitespace().skip(1).any(|id| id == "0"), "{}", of("Uid:"));
    assert_eq!(of("CapEff:").trim_end_matches('0'), "CapEff:\t", "no capability");
    assert_eq!(fleet.snapshots("vm1"), ["golden"]);
    signal(&agent, Signal::TERM);
    drop(ended(agent).exits(0));
}

/// Whatever the agent serves and logs, with secrets in a domain and in the address of its repository.
#[test]
fn an_agent_shows_no_secret() {
    let fleet = Fleet::start(&["vm1"]);
    let socket = fleet.daemon.images().join("vm1.vnc");
    let secret = format!(
        "<graphics type='vnc' socket='{}' passwd='s3cret'/><video><model type='vga'/></video></devices>",
        text(&socket)
    );
    let xml = fleet.virsh(&["dumpxml", "vm1"]).replace("</devices>", &secret);
    fleet.virsh(&["define", &fleet.file("domain.xml", &xml)]);
    let remote = Remote::new();
    let of = |name: &str| set("web", &format!("  domains: {{include: [vm1]}}\n  snapshots:\n{}", snapshot(name, &[])));
    remote.write("web.yaml", &of("golden"));
    remote.commit(None);
    // A helper that serves the local repository, whatever it is asked for.
    let ssh = remote.at("ssh");
    crate::support::remote::script(&ssh, "exec sh -c \"$2\"");
    let url = format!("ssh://me:s3cret@host{}", remote.url());
    let state = remote.at("state");
    let args = ["-vv", "--git", &url, "--state-dir", text(&state), "--interval", "1s"];
    let agent = Agent::start_with(&fleet, &args, |program| {
        program.env("GIT_SSH_COMMAND", &ssh).env("GIT_SSH_VARIANT", "simple").env("RUST_BACKTRACE", "full")
    });
    agent.until("Ready", ready);
    assert!(fleet.virsh(&["snapshot-dumpxml", "vm1", "golden", "--security-info"]).contains("s3cret"), "it is there");
    let serves = |what: &str| {
        for path in ["/api/v1/status", "/api/v1/plan", "/metrics", "/healthz", "/readyz"] {
            let (head, body) = agent.ask("GET", path);
            assert!(!head.contains("s3cret") && !body.contains("s3cret"), "{what}: {path}: {body}");
        }
    };
    serves("all is well");
    // The remote is gone: git's own words name its address.
    fs::rename(remote.url(), remote.at("away")).expect("moved");
    agent.until("refused", |status| status["source"]["error"].is_string());
    serves("the remote is gone");
    let ran = agent.stop_and_tell();
    assert!(!ran.to_string().contains("s3cret"), "{ran}");
    assert!(ran.stderr.contains("could not be fetched"), "the log is there: {ran}");
    assert_eq!(fs::read_dir(&state).expect("there").count(), 1);
    assert!(!holds(&state, "s3cret"), "what the agent keeps has no password");
}

/// Whether any file below a directory holds this.
fn holds(dir: &Path, what: &str) -> bool {
    fs::read_dir(dir).expect("readable").any(|entry| {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            holds(&path, what)
        } else {
            String::from_utf8_lossy(&fs::read(&path).expect("readable")).contains(what)
        }
    })
}

/// A defect that ends in a panic tells where it was, and nothing of what was read.
#[test]
fn an_unreadable_reply_of_libvirt_shows_no_secret() {
    let root = EmbedRoot::new();
    let file = domain(&root);
    // A record that is no snapshot's XML any more: libvirt leaves it out, and says so in its log.
    let record = root.path().join("lib/qemu/snapshot/vm/a.xml");
    let broken = fs::read_to_string(&record).expect("there").replace("<creationTime>", "<creationTime>x");
    fs::write(&record, broken).expect("written");
    let ran: Ran = snapward(["-c", &root.uri(), "-vvv", "plan", &file]).run();
    assert!(!ran.to_string().contains("s3cret"), "{ran}");
}
