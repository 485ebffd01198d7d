//! Whole days at the command line: files, directories and standard input, on each kind of host, with virsh between.

use std::fs;
use std::path::Path;

use crate::support::cmd::{Ran, Snapward, ended, snapward};
use crate::support::embed::EmbedRoot;
use crate::support::fleet::Fleet;
use crate::support::lab::{Lab, actions, blocks, manifest, set, snapshot};

/// How the manifests of a day are given.
struct Given<'a> {
    uri: &'a str,
    path: &'a str,
    stdin: &'a str,
}

impl Given<'_> {
    fn snapward(&self, args: &[&str]) -> Snapward {
        snapward([&["-c", self.uri], args, &[self.path]].concat()).stdin(self.stdin)
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.snapward(args).run()
    }
}

fn declared(domain: &str) -> String {
    let snapshots = snapshot("a", &["description: first"]) + &snapshot("b", &["protect: true"]);
    set("web", &format!("  domains: {{include: [{domain}]}}\n  snapshots:\n{snapshots}  current: a"))
}

/// From nothing to as declared, through drift made by other hands, and back. `virsh` acts on domain `vm`.
fn a_day(given: &Given<'_>, virsh: &dyn Fn(&[&str]) -> String) {
    given.run(&["validate"]).exits(0);
    let ran = given.run(&["plan", "--detailed-exitcode"]).exits(2);
    assert!(ran.stdout.contains("/vm (shut off)\n  + create a\n") && ran.stdout.contains("  + create b\n"), "{ran}");
    let ran = given.run(&["status"]).exits(3);
    assert!(ran.stdout.contains("/vm (shut off): not Ready\n"), "{ran}");
    let ran = given.run(&["apply", "--yes"]).exits(0);
    assert!(ran.stdout.contains("+ created a") && ran.stdout.ends_with("\nApply: 3 done.\n"), "{ran}");
    let ran = given.run(&["plan", "--detailed-exitcode"]).exits(0);
    assert!(ran.stdout.contains("No changes"), "{ran}");
    let ran = given.run(&["status"]).exits(0);
    assert!(ran.stdout.contains("/vm (shut off): Ready\n"), "{ran}");

    // Other hands: the pointer moves, a description changes, a snapshot goes, one comes.
    assert_eq!(virsh(&["snapshot-current", "--name", "vm"]).trim(), "a");
    virsh(&["snapshot-create-as", "vm", "by-hand"]);
    let ran = given.run(&["status"]).exits(3);
    assert!(ran.stdout.contains("by-hand"), "{ran}");
    let ran = given.run(&["apply", "--yes"]).exits(0);
    assert!(ran.stdout.contains("Apply: 1 done."), "the pointer is put back\n{ran}");
    assert_eq!(virsh(&["snapshot-current", "--name", "vm"]).trim(), "a");
    virsh(&["snapshot-delete", "vm", "b"]);
    let ran = given.run(&["plan", "--detailed-exitcode"]).exits(3);
    assert!(ran.stdout.contains("Missing") && ran.stdout.contains("recreate: true"), "{ran}");
    let ran = given.run(&["apply", "--yes"]).exits(3);
    assert!(!ran.stdout.contains("created"), "{ran}");
    let ran = given.run(&["status"]).exits(3);
    assert!(ran.stdout.contains("Missing"), "{ran}");
    assert!(virsh(&["snapshot-list", "--name", "vm"]).contains("by-hand"), "what is not ours stays");
}

#[test]
fn on_the_embedded_driver_from_a_file() {
    let root = EmbedRoot::new();
    root.guest("vm").define();
    let file = root.file("web.yaml", &declared("vm"));
    a_day(&Given { uri: &root.uri(), path: &file, stdin: "" }, &|args| root.virsh_ok(args));
}

#[test]
fn on_the_embedded_driver_from_a_directory() {
    let root = EmbedRoot::new();
    root.guest("vm").define();
    let dir = root.path().join("sets/prod");
    fs::create_dir_all(&dir).expect("made");
    fs::write(dir.join("web.yml"), declared("vm")).expect("written");
    fs::write(dir.join(".draft.yaml"), "not: a manifest").expect("written");
    let path = root.path().join("sets").display().to_string();
    a_day(&Given { uri: &root.uri(), path: &path, stdin: "" }, &|args| root.virsh_ok(args));
}

#[test]
fn on_a_session_daemon_from_standard_input() {
    let fleet = Fleet::start(&["vm"]);
    let yaml = declared("vm");
    a_day(&Given { uri: &fleet.uri(), path: "-", stdin: &yaml }, &|args| fleet.virsh(args));
}

#[test]
fn on_libvirts_test_driver() {
    // Its one domain has a raw disk, but no image behind it: QEMU's rules do not hold there. It forgets at the end of a
    // process.
    let yaml = declared("test");
    let given = Given { uri: "test:///default", path: "-", stdin: &yaml };
    given.run(&["validate"]).exits(0);
    for (args, code) in [(&["plan", "--detailed-exitcode"][..], 2), (&["status"], 3), (&["apply", "--yes"], 0)] {
        let ran = given.run(args).exits(code);
        assert!(ran.stdout.contains("/test (running)"), "{ran}");
        assert_eq!(ran.stdout.contains("created a"), args[0] == "apply", "{ran}");
    }
}

#[test]
fn a_suspended_set_does_nothing_and_says_so() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    let file = root.file("web.yaml", &declared("vm"));
    let uri = root.uri();
    let given = Given { uri: &uri, path: &file, stdin: "" };
    given.run(&["apply", "--yes"]).exits(0);
    guest.edit_snapshot("a", false, |xml| xml.replace("first", "second"));
    guest.edit_snapshot("b", true, |xml| xml);
    guest.delete_snapshot("b");
    let (before, xml) = (guest.snapshot_xml("a"), guest.xml());

    root.file("web.yaml", &(declared("vm") + "  suspend: {reason: \"audit, ask Eve\"}\n"));
    let ran = given.run(&["plan", "--detailed-exitcode"]).exits(0);
    assert!(ran.stdout.contains("audit, ask Eve"), "{ran}");
    given.run(&["apply", "--yes"]).exits(0);
    assert_eq!((guest.snapshot_xml("a"), guest.xml()), (before, xml));
    let ran = given.run(&["status"]).exits(3);
    assert!(ran.stdout.contains("uspended") && ran.stdout.contains("audit, ask Eve"), "{ran}");
    let status = given.run(&["status", "-o", "json"]).exits(3).json();
    let condition = |name: &str| {
        let all = status["domains"][0]["conditions"].as_array().expect("conditions").clone();
        all.into_iter().find(|condition| condition["type"] == name).expect("there")
    };
    assert_eq!((&condition("Ready")["reason"], &condition("Suspended")["status"]), (&"Suspended".into(), &true.into()));
    assert_eq!(condition("Drifted")["status"], true, "drift is still reported");

    root.file("web.yaml", &(declared("vm") + "  suspend: {reason: audit, until: 2020-01-01}\n"));
    let ran = given.run(&["apply", "--yes"]).exits(3);
    assert!(ran.stdout.contains("redefined a"), "its time is over\n{ran}");
}

#[test]
fn without_a_terminal_each_action_is_told_when_it_begins_and_ends() {
    let root = EmbedRoot::new();
    for name in ["one", "two"] {
        root.guest(name).define();
    }
    let file = root.file("web.yaml", &declared("\"*\""));
    let ran = snapward(["-c", &root.uri(), "apply", "--yes", &file]).run().exits(0);
    for domain in ["one", "two"] {
        let marker = format!("/{domain}/");
        let lines: Vec<String> = ran
            .stderr
            .lines()
            .filter(|line| line.contains(&marker))
            .map(|line| {
                let (verb, rest) = line.rsplit_once(' ').filter(|_| line.ends_with("...")).unwrap_or_else(|| {
                    let (what, took) = line.split_once(": done in ").expect("an end with its time");
                    assert!(took.ends_with("ms") || took.ends_with('s'), "{line}");
                    (what, "done")
                });
                let host = verb.split_once(&marker).expect("the address").0.rsplit_once(' ').expect("a verb").1;
                format!("{} {rest}", verb.replace(&format!("{host}{marker}"), ""))
            })
            .collect();
        let order = ["create a ...", "create a done", "create b ...", "create b done"];
        let last = ["set current a ...", "set current a done"];
        assert_eq!(lines, [&order[..], &last].concat(), "{ran}");
    }
    assert_eq!(ran.stderr.lines().count(), 12, "and nothing else\n{ran}");
}

#[test]
fn a_reverted_domain_keeps_its_protections() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let snapshots = snapshot("a", &[]) + &snapshot("b", &["protect: true"]) + &snapshot("c", &[]);
    let holds = "  holds: [{snapshot: c, reason: audit}]";
    let all = manifest(&format!("  snapshots:\n{snapshots}{holds}"));
    lab.apply(&all);
    let (b, c) = (guest.snapshot_xml("b"), guest.snapshot_xml("c"));
    guest.revert("a");
    assert_eq!((guest.snapshot_xml("b"), guest.snapshot_xml("c")), (b, c), "a revert changes no snapshot");
    // The ledger went back to the time of `a`, and nothing is captured again for that.
    assert!(actions(&lab.apply(&all).plan).is_empty());
    let gone = manifest(&format!(
        "  snapshots:\n{}    - {{name: b, state: absent}}\n    - {{name: c, state: absent}}\n{holds}",
        snapshot("a", &[])
    ));
    assert_eq!(blocks(&lab.apply(&gone).plan), ["Protected b", "Held c"]);
    assert_eq!(guest.snapshots(), ["a", "b", "c"]);
    guest.delete_snapshot("b");
    assert_eq!(blocks(&lab.settled(&all)), ["Missing b"], "the ledger was made whole after the revert");
}

#[test]
fn paths_in_a_plan_are_those_that_were_given() {
    let root = EmbedRoot::new();
    root.guest("vm").define();
    root.file("web.yaml", &declared("vm"));
    let uri = root.uri();
    let run =
        |dir: &Path, path: &str| snapward(["-c", &uri, "plan", "-o", "json", path]).dir(dir).run().exits(0).json();
    assert_eq!(run(root.path(), "web.yaml")["actions"][0]["origin"]["file"], "web.yaml");
    let from_stdin = snapward(["-c", &uri, "plan", "-o", "json", "-"]).stdin(declared("vm")).run().exits(0).json();
    assert_eq!(from_stdin["actions"][0]["origin"]["file"], "-");
    assert_eq!(from_stdin["planId"].as_str().map(str::len), Some(32));
}

#[test]
fn waiting_for_ready_ends_when_another_run_has_made_it_so() {
    let fleet = Fleet::start(&["vm"]);
    let file = fleet.file("web.yaml", &declared("vm"));
    let ran = fleet.run(&["status", "--wait", "--timeout", "1s", &file]).exits(3);
    assert!(
        ran.stdout.contains("/vm (shut off): not Ready\n"),
        "the time is over, and it says how things stand\n{ran}"
    );
    let waiting = fleet.snapward(&["status", "--wait", &file]).spawn();
    fleet.run(&["apply", "--yes", &file]).exits(0);
    let ran = ended(waiting).exits(0);
    assert!(ran.stdout.contains("/vm (shut off): Ready\n"), "{ran}");
}
