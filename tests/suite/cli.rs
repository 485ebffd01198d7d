//! The command line itself: usage, help, streams, colours, and what happens when no host answers.

use std::fs;
use std::process::Stdio;

use rstest::rstest;
use tempfile::TempDir;

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

/// A directory with one valid manifest, `web.yaml`.
fn manifests() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    fs::write(dir.path().join("web.yaml"), SET).expect("written");
    dir
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
    #[values("validate", "plan", "apply", "status", "schema", "completions", "man")] verb: &str,
    #[values("-h", "--help")] flag: &str,
) {
    let ran = snapward([verb, flag]).run().exits(0);
    assert_eq!(ran.stderr, "");
    for part in ["Usage: snapward ", "Examples:\n  snapward ", "Exit codes:\n    0  ", "  64  wrong usage"] {
        assert!(ran.stdout.contains(part), "{part:?} is missing in\n{ran}");
    }
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 120), "{ran}");
}

#[test]
fn the_main_help_lists_verbs_and_all_exit_codes() {
    let ran = snapward(["--help"]).run().exits(0);
    for verb in ["validate", "plan", "apply", "status", "schema", "completions", "man"] {
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
    assert_eq!(
        names,
        ["snapward", "validate", "plan", "apply", "status", "schema", "completions", "man"]
            .map(|verb| if verb == "snapward" { verb.to_owned() } else { format!("snapward-{verb}") }),
        "{ran}"
    );
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
