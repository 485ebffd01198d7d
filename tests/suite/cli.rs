//! The command line itself: usage, help, streams, colours, and what happens when no host answers.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::cmd::{Snapward, snapward};

/// A URI that is well formed and never answers: nothing listens on that socket.
const NOWHERE: &str = "qemu+unix:///system?socket=/nonexistent/libvirt-sock";

const SET: &str = "apiVersion: snapward/v1
kind: SnapshotSet
metadata: {name: web}
spec:
  domains: {include: [web-1]}
  snapshots:
    - {name: golden, capture: {content: full, location: internal}}
";

const NODE: &str = "<node><domain type='test'>
  <name>web-1</name><uuid>UUID</uuid>
  <memory>8192</memory><vcpu>1</vcpu><os><type arch='i686'>hvm</type></os>
  <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
    <source file='/guest/web-1.qcow2'/><target dev='vda'/></disk></devices>
</domain></node>
";

/// A directory with one valid manifest, `web.yaml`.
fn manifests() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    fs::write(dir.path().join("web.yaml"), SET).expect("written");
    dir
}

/// The URI of a test driver of its own with one domain, `web-1`, defined in a file of that directory. What happens in
/// it ends with the process.
fn imaginary_host(dir: &TempDir) -> String {
    let node = dir.path().join("node.xml");
    // Locks go by the UUID, and tests run at once.
    let mut hasher = DefaultHasher::new();
    dir.path().hash(&mut hasher);
    let uuid = Uuid::from_u64_pair(hasher.finish(), hasher.finish());
    fs::write(&node, NODE.replace("UUID", &uuid.to_string())).expect("written");
    format!("test://{}", node.display())
}

fn in_dir(dir: &TempDir, args: &[&str]) -> Snapward {
    snapward(args).dir(dir.path())
}

#[rstest]
#[case::no_verb(&[])]
#[case::unknown_verb(&["aply"])]
#[case::unknown_option(&["plan", "--frobnicate", "x.yaml"])]
#[case::validate_no_path(&["validate"])]
#[case::plan_no_path(&["plan"])]
#[case::apply_no_path(&["apply", "--yes"])]
#[case::status_no_path(&["status"])]
#[case::bad_format(&["plan", "-o", "yaml", "x.yaml"])]
#[case::markdown_status(&["status", "-o", "markdown", "x.yaml"])]
#[case::bad_time(&["plan", "--at", "tomorrow", "x.yaml"])]
#[case::bad_span(&["status", "--wait", "--timeout", "soon", "x.yaml"])]
#[case::timeout_without_wait(&["status", "--timeout", "5m", "x.yaml"])]
#[case::bad_shell(&["completions", "tcl"])]
#[case::unknown_kind(&["schema", "SnapshotSat"])]
fn wrong_usage_exits_64_and_prints_no_data(#[case] args: &[&str]) {
    let ran = snapward(args).run().exits(64);
    assert_eq!(ran.stdout, "");
    assert!(!ran.stderr.is_empty());
}

#[test]
fn a_misspelt_verb_or_kind_is_suggested() {
    assert!(snapward(["aply", "x"]).run().exits(64).stderr.contains("'apply'"));
    let ran = snapward(["schema", "SnapshotSat"]).run().exits(64);
    assert_eq!(
        ran.to_string(),
        "--- stderr ---\n\
         error: there is no kind or output `SnapshotSat`\n\
         hint: did you mean SnapshotSet?\n\
         --- exit 64 ---\n"
    );
}

#[rstest]
fn every_help_has_examples_and_exit_codes(
    #[values(
        "validate",
        "plan",
        "apply",
        "status",
        "snapshot",
        "snapshot list",
        "snapshot info",
        "snapshot xml",
        "snapshot parent",
        "snapshot current",
        "schema",
        "completions",
        "man"
    )]
    verb: &str,
    #[values("-h", "--help")] flag: &str,
) {
    let ran = snapward(verb.split(' ').chain([flag])).run().exits(0);
    assert_eq!(ran.stderr, "");
    for part in ["Usage: snapward ", "Examples:\n  snapward ", "Exit codes:\n    0  ", "  64  wrong usage"] {
        assert!(ran.stdout.contains(part), "{part:?} is missing in\n{ran}");
    }
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 120), "{ran}");
}

#[test]
fn the_main_help_lists_verbs_and_all_exit_codes() {
    let ran = snapward(["--help"]).run().exits(0);
    for verb in ["validate", "plan", "apply", "status", "snapshot", "schema", "completions", "man"] {
        assert!(ran.stdout.contains(&format!("\n  {verb}")), "{verb}\n{ran}");
    }
    for code in ["0", "1", "2", "3", "4", "5", "6", "64", "65", "130"] {
        assert!(ran.stdout.contains(&format!("\n{code:>5}  ")), "{code}\n{ran}");
    }
}

#[test]
fn version_is_the_packages() {
    let ran = snapward(["--version"]).run().exits(0);
    assert_eq!(ran.stdout, format!("snapward {}\n", env!("CARGO_PKG_VERSION")));
}

#[rstest]
fn completions_are_printed(#[values("bash", "zsh", "fish", "elvish", "powershell")] shell: &str) {
    let ran = snapward(["completions", shell]).run().exits(0);
    assert!(ran.stdout.contains("detailed-exitcode"), "{ran}");
    assert_eq!(ran.stderr, "");
}

#[test]
fn the_manual_has_a_page_for_every_verb() {
    let ran = snapward(["man"]).run().exits(0);
    let titles: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with(".TH ")).collect();
    let names: Vec<&str> = titles.iter().filter_map(|title| title.split_whitespace().nth(1)).collect();
    let verbs = [
        "validate",
        "plan",
        "apply",
        "status",
        "agent",
        "retention",
        "snapshot",
        "export",
        "detach",
        "schema",
        "completions",
        "man",
    ];
    let nested = |verb| match verb {
        "retention" => vec!["explain", "simulate", "compare"],
        "snapshot" => {
            vec!["list", "info", "xml", "parent", "current", "create", "edit", "delete", "hold", "unhold", "revert"]
        }
        _ => Vec::new(),
    };
    let mut expected = vec!["snapward".to_owned()];
    for verb in verbs {
        expected.push(format!("snapward-{verb}"));
        expected.extend(nested(verb).into_iter().map(|inner| format!("snapward-{verb}-{inner}")));
    }
    assert_eq!(names, expected, "{ran}");
}

#[test]
fn schema_lists_kinds_and_outputs_and_prints_each() {
    let list = snapward(["schema"]).run().exits(0).stdout;
    for name in ["SnapshotSet", "plan", "outcome", "status"] {
        assert!(list.lines().any(|line| line == name), "{name} in\n{list}");
    }
    for name in list.lines() {
        let schema = snapward(["schema", name]).run().exits(0).json();
        assert_eq!(schema["type"], "object", "{name}");
    }
}

#[test]
fn validate_opens_no_connection() {
    let dir = manifests();
    let ran = in_dir(&dir, &["-c", NOWHERE, "validate", "web.yaml"]).run().exits(0);
    assert_eq!(ran.to_string(), "Valid: 1 document in 1 file, 0 errors, 0 warnings.\n--- exit 0 ---\n");
    let json = in_dir(&dir, &["validate", "-o", "json", "web.yaml"]).run().exits(0).json();
    assert_eq!(json["formatVersion"], 1);
    assert_eq!(json["summary"]["documents"], 1);
}

#[test]
fn apply_without_a_terminal_or_yes_is_refused_before_any_work() {
    let dir = manifests();
    let ran = in_dir(&dir, &["-c", NOWHERE, "apply", "web.yaml"]).run().exits(64);
    assert_eq!(
        ran.to_string(),
        "--- stderr ---\n\
         error: there is no terminal to ask on, and --yes was not given; nothing was done\n\
         hint: read the plan with `snapward plan`, then run `snapward apply --yes`\n\
         --- exit 64 ---\n"
    );
    let ran = in_dir(&dir, &["-c", NOWHERE, "apply", "-"]).stdin(SET).run().exits(64);
    assert!(ran.stderr.contains("--yes"), "{ran}");
}

#[rstest]
fn no_host_at_all_exits_1_and_says_why(#[values("plan", "status", "apply")] verb: &str) {
    let dir = manifests();
    let mut args = vec!["-c", NOWHERE, verb, "web.yaml"];
    if verb == "apply" {
        args.push("--yes");
    }
    let ran = in_dir(&dir, &args).run().exits(1);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.starts_with("error: no host could be read; nothing was changed\n"), "{ran}");
    assert!(ran.stderr.contains(NOWHERE), "{ran}");
}

#[test]
fn waiting_for_a_host_ends_with_the_timeout() {
    let dir = manifests();
    let ran = in_dir(&dir, &["-c", NOWHERE, "status", "--wait", "--timeout", "1s", "web.yaml"]).run();
    assert!(ran.exits(1).stderr.contains("no host could be read"));
}

#[test]
fn the_environment_names_the_default_host() {
    let dir = manifests();
    let ran = in_dir(&dir, &["plan", "web.yaml"]).env("LIBVIRT_DEFAULT_URI", NOWHERE).run().exits(1);
    assert!(ran.stderr.contains(NOWHERE), "{ran}");
}

#[test]
fn colours_follow_the_option_then_no_color() {
    let dir = manifests();
    let colours = |args: &[&str], no_color: bool| {
        let mut args = args.to_vec();
        args.extend(["-c", NOWHERE, "plan", "web.yaml"]);
        let mut run = in_dir(&dir, &args);
        if no_color {
            run = run.env("NO_COLOR", "1");
        }
        run.run().exits(1).stderr.contains('\u{1b}')
    };
    assert!(!colours(&[], false), "not on a pipe");
    assert!(colours(&["--color", "always"], false));
    assert!(colours(&["--color", "always"], true), "the option is the later word");
    assert!(!colours(&["--color", "never"], false));
    assert!(!colours(&["--color", "auto"], true));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_snapward"))
        .arg("man")
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_full_disk_is_an_error() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has /dev/full");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_snapward"))
        .arg("man")
        .stdout(Stdio::from(full))
        .stderr(Stdio::piped())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: could not write to standard output"));
}

#[test]
fn a_plan_goes_to_stdout_and_says_pending_only_when_asked() {
    let dir = manifests();
    let host = imaginary_host(&dir);
    let ran = in_dir(&dir, &["-c", &host, "plan", "web.yaml"]).run().exits(0);
    assert!(ran.stdout.contains("/web-1 (running)\n  + create golden\n"), "{ran}");
    assert!(ran.stdout.ends_with("\nPlan: 1 to create. 0 unchanged.\n"), "{ran}");
    assert_eq!(ran.stderr, "");
    let json =
        in_dir(&dir, &["-c", &host, "plan", "-o", "json", "--detailed-exitcode", "web.yaml"]).run().exits(2).json();
    assert_eq!(json["summary"]["create"], 1);
    assert_eq!(json["source"]["paths"][0], "web.yaml");
    assert!(json["stats"]["libvirtCalls"].as_u64().is_some_and(|calls| calls > 0));
    let markdown = in_dir(&dir, &["-c", &host, "plan", "-o", "markdown", "web.yaml"]).run().exits(0);
    assert!(markdown.stdout.starts_with("### snapward\n"), "{markdown}");
}

#[test]
fn a_plan_for_another_time_says_so() {
    let dir = manifests();
    let host = imaginary_host(&dir);
    let ran = in_dir(&dir, &["-c", &host, "plan", "--at", "2027-01-01", "web.yaml"]).run().exits(0);
    assert!(ran.stdout.starts_with("Planned as of 2027-01-01T00:00:00Z; this plan cannot be applied.\n\n"), "{ran}");
}

#[test]
fn apply_shows_plan_and_outcome_and_tells_progress_on_stderr() {
    let dir = manifests();
    let host = imaginary_host(&dir);
    let ran = in_dir(&dir, &["-c", &host, "apply", "--yes", "web.yaml"]).run().exits(0);
    assert!(ran.stdout.contains("\nPlan: 1 to create. 0 unchanged.\n\n"), "{ran}");
    assert!(ran.stdout.contains("/web-1: done\n  + created golden ("), "{ran}");
    assert!(ran.stdout.ends_with("\nApply: 1 done.\n"), "{ran}");
    assert!(ran.stderr.contains("/web-1/golden ...\n") && ran.stderr.contains("/web-1/golden: done in "), "{ran}");
}

#[test]
fn apply_in_json_prints_the_outcome_alone_and_log_lines_in_json() {
    let dir = manifests();
    let host = imaginary_host(&dir);
    let args = ["-c", &host, "--log-format", "json", "apply", "--yes", "-o", "json", "web.yaml"];
    let ran = in_dir(&dir, &args).run().exits(0);
    let outcome = ran.json();
    assert_eq!(outcome["summary"]["done"], 1);
    let events: Vec<serde_json::Value> = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let named: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(named, ["domainStarted", "actionStarted", "actionFinished", "domainFinished"], "{ran}");
}

/// `apply` on a terminal made by script(1), with one line typed in.
fn apply_on_a_terminal(typed: &str) -> std::process::Output {
    let dir = manifests();
    let host = imaginary_host(&dir);
    let line = format!("'{}' -c '{host}' apply web.yaml", env!("CARGO_BIN_EXE_snapward"));
    let mut child = std::process::Command::new("script")
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script(1) of util-linux is installed");
    child.stdin.take().expect("piped").write_all(typed.as_bytes()).expect("typed");
    child.wait_with_output().expect("it ends")
}

#[rstest]
#[case::yes("yes\n", 0, "Apply: 1 done.")]
#[case::no("no\n", 1, "not confirmed; nothing was changed")]
#[case::almost("y\n", 1, "not confirmed; nothing was changed")]
fn on_a_terminal_only_yes_applies(#[case] typed: &str, #[case] code: i32, #[case] said: &str) {
    let output = apply_on_a_terminal(typed);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains("Apply these changes? Only 'yes' is accepted: "), "{text}");
    assert!(text.contains(said), "{text}");
}

#[test]
fn an_unreachable_host_does_not_hide_the_others() {
    let dir = manifests();
    let host = imaginary_host(&dir);
    let ran = in_dir(&dir, &["-c", NOWHERE, "-c", &host, "plan", "--detailed-exitcode", "web.yaml"]).run().exits(5);
    assert!(ran.stdout.contains("+ create golden"), "{ran}");
    assert!(ran.stdout.contains("Could not be read, left as it is:\n  qemu+unix://"), "{ran}");
    let ran = in_dir(&dir, &["-c", NOWHERE, "-c", &host, "apply", "--yes", "web.yaml"]).run().exits(5);
    assert!(ran.stdout.contains("Apply: 1 done.\n1 host or domain could not be read."), "{ran}");
}

#[test]
fn two_hosts_of_one_name_are_refused() {
    let dir = manifests();
    let host = imaginary_host(&dir);
    let ran = in_dir(&dir, &["-c", &host, "-c", "test:///default", "plan", "web.yaml"]).run().exits(1);
    assert!(ran.stderr.contains("are both named") && ran.stderr.contains("hint: "), "{ran}");
}

#[test]
fn status_shows_what_is_missing() {
    let dir = manifests();
    let host = imaginary_host(&dir);
    let ran = in_dir(&dir, &["-c", &host, "status", "web.yaml"]).run().exits(3);
    assert!(ran.stdout.contains("/web-1 (running): not Ready\n"), "{ran}");
    let json = in_dir(&dir, &["-c", &host, "status", "-o", "json", "web.yaml"]).run().exits(3).json();
    assert_eq!(json["summary"]["allReady"], false);
}

#[rstest]
fn an_interrupt_while_reading_exits_130(#[values(Signal::INT, Signal::TERM)] signal: Signal) {
    let dir = manifests();
    // Takes the connection and never says a word.
    let socket = dir.path().join("socket");
    let silent = UnixListener::bind(&socket).expect("bound");
    let uri = format!("qemu+unix:///system?socket={}", socket.display());
    let child = in_dir(&dir, &["-c", &uri, "plan", "web.yaml"]).spawn();
    // It connects only after it watches for signals.
    let connected = silent.accept().expect("snapward connects");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not 0");
    kill_process(pid, signal).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    drop(connected);
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "\nInterrupted.\n");
}

#[test]
fn without_the_program_beside_it_a_host_is_not_reached_and_the_rest_works() {
    let dir = tempfile::tempdir().expect("a directory");
    let alone = dir.path().join("snapward");
    fs::copy(env!("CARGO_BIN_EXE_snapward"), &alone).expect("copied");
    let file = dir.path().join("web.yaml");
    let set = "{apiVersion: snapward/v1, kind: SnapshotSet, metadata: {name: web}, spec: {domains: {include: [test]}}}";
    fs::write(&file, set).expect("written");
    let run = |verb: &str| {
        let output = std::process::Command::new(&alone).args(["-c", "test:///default", verb]).arg(&file).output();
        let output = output.expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, stderr) = run("plan");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("snapward-libvirt cannot be started") && stderr.contains("nothing was done"), "{stderr}");
    assert_eq!(run("validate"), (Some(0), String::new()));
}
