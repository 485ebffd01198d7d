//! `snapward retention` through the program: what it prints, and what it says to what it cannot use.

use crate::support::cmd::{Ran, snapward};
use crate::support::tools::text;

const POLICY: &str =
    "apiVersion: snapward/v1\nkind: RetentionPolicy\nmetadata: {name: gfs}\nspec:\n  timeZone: Europe/Prague\n";

const LIST: &str = r#"[
  {"name": "a", "time": "2026-11-23T10:00:00+01:00"},
  {"name": "b", "time": "2026-11-22T10:00:00Z"},
  {"name": "c", "time": "2026-11-22T09:00:00Z"},
  {"name": "d", "time": "2026-11-01T09:00:00Z"}
]"#;

/// Runs a verb with a policy that keeps this, and a list on standard input.
fn run(verb: &str, keep: &str, list: &str, more: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy.yaml");
    std::fs::write(&file, format!("{POLICY}  keep: {keep}\n")).unwrap();
    let args = ["retention", verb, "--policy", text(&file), "--list", "-", "--at", "2026-11-23T12:00:00Z"];
    snapward([&args, more].concat()).stdin(list).run()
}

#[test]
fn a_simulation_has_the_published_form() {
    let json = run("simulate", "{daily: 2}", LIST, &["-o", "json"]).exits(0).json();
    let expected = serde_json::json!({
        "formatVersion": 1,
        "policy": "default/gfs",
        "at": "2026-11-23T12:00:00Z",
        "timeZone": "Europe/Prague",
        "summary": {"engine": "snapward", "kept": 2, "deleted": 2, "leftOut": []},
        "snapshots": [
            {"name": "a", "time": "2026-11-23T10:00:00+01:00", "keep": true, "reasons": [
                {"code": "daily", "text": "daily 1 of 2: 2026-11-23"},
                {"code": "newest", "text": "the newest of its series"},
                {"code": "minimumCount", "text": "complete, and 1 of minimumCount 1"},
            ]},
            {"name": "b", "time": "2026-11-22T10:00:00Z", "keep": true, "reasons": [
                {"code": "daily", "text": "daily 2 of 2: 2026-11-22"},
            ]},
            {"name": "c", "time": "2026-11-22T09:00:00Z", "keep": false, "reasons": [
                {"code": "superseded", "text": "daily 2026-11-22 is kept as b"},
            ], "savedBy": "hourly: 3"},
            {"name": "d", "time": "2026-11-01T09:00:00Z", "keep": false, "reasons": [
                {"code": "beyond", "text": "no rule reaches back to it"},
            ], "savedBy": "weekly: 1"},
        ],
    });
    assert_eq!(json, expected);
    fits("retention-simulation", &json);
}

/// Asserts that an output is what its schema says.
fn fits(name: &str, json: &serde_json::Value) {
    let schema = snapward(["schema", name]).run().exits(0).json();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(json), "{:?}", validator.iter_errors(json).map(|e| e.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_simulation_and_a_comparison_as_text() {
    let ran = run("simulate", "{last: 1, monthly: 2}", LIST, &["--engine", "borg"]).exits(0);
    insta::assert_snapshot!(ran.stdout, @r"
    keep    a  2026-11-23T10:00:00+01:00  secondly #1
    delete  b  2026-11-22T10:00:00Z       no rule of borg keeps it
    delete  c  2026-11-22T09:00:00Z       no rule of borg keeps it
    keep    d  2026-11-01T09:00:00Z       monthly[oldest] #1

    2 of 4 snapshots kept, as borg does it, under default/gfs in Europe/Prague as of 2026-11-23T12:00:00Z.
    ");
    let ran = run("compare", "{daily: 1, monthly: 2, quarterly: 1}", LIST, &[]).exits(0);
    insta::assert_snapshot!(ran.stdout, @r"
    d  2026-11-01T09:00:00Z
      snapward  delete  monthly 2026-11 is kept as a
      restic    keep    oldest monthly snapshot
      borg      keep    monthly[oldest] #1
      pbs       delete  no rule of pbs keeps it

    snapward  keeps 1 of 4
    restic    keeps 2 of 4
    borg      keeps 2 of 4
    pbs       keeps 1 of 4
    restic has nothing like quarterly: left out for it.
    borg has nothing like quarterly: left out for it.
    pbs has nothing like quarterly: left out for it.
    They differ on 1 of 4 snapshots, under default/gfs in Europe/Prague as of 2026-11-23T12:00:00Z.
    ");
    let ran = run("compare", "{daily: 1}", LIST, &["-o", "json", "--engine", "pbs"]).exits(0);
    let json = ran.json();
    fits("retention-comparison", &json);
    assert_eq!(json["summary"]["engines"][0]["engine"], "snapward");
    assert_eq!(
        json["summary"]["engines"].as_array().unwrap().len(),
        2,
        "what one tool keeps is compared with snapward"
    );
}

#[test]
fn a_list_that_cannot_be_used_is_explained() {
    let fault = |list: &str| {
        let ran = run("simulate", "{last: 1}", list, &[]).exits(65);
        assert_eq!(ran.stdout, "");
        ran.stderr.lines().next().unwrap_or_default().to_owned()
    };
    let shown = [
        fault("[{]"),
        fault(r#"[{"name": "a"}]"#),
        fault(r#"[{"name": "a", "time": "2026-11-22T10:00:00Z", "held": true}]"#),
        fault(r#"[{"name": "a", "time": "2026-11-22 10:00"}]"#),
        fault(
            r#"[{"name": "a\u001b", "time": "2026-11-22T10:00:00Z"}, {"name": "a\u001b", "time": "2026-11-22T10:00:00Z"}]"#,
        ),
    ];
    insta::assert_snapshot!(shown.join("\n"), @r"
    error: the list in standard input is not a list of snapshots: key must be a string at line 1 column 3
    error: the list in standard input is not a list of snapshots: missing field `time` at line 1 column 14
    error: the list in standard input is not a list of snapshots: unknown field `held`, expected `name` or `time` at line 1 column 53
    error: the list in standard input gives `a` the time `2026-11-22 10:00`; write it with its offset, as 2026-11-20T04:00:00Z
    error: the list in standard input has two snapshots named `a\u{1b}`
    ");
    assert_eq!(run("simulate", "{last: 1}", "[]", &["-o", "json"]).exits(0).json()["snapshots"], serde_json::json!([]));
}

#[test]
fn wrong_usage_and_wrong_policies_are_told_apart() {
    run("simulate", "{last: 1}", "[]", &["-o", "svg"]).exits(64);
    run("simulate", "{last: 0}", "[]", &[]).exits(65);
    snapward(["retention", "simulate"]).run().exits(64);
    snapward(["retention", "simulate", "--policy", "-", "--list", "-"]).run().exits(64);
    snapward(["retention", "compare", "--policy", "p.yaml"]).run().exits(64);
    snapward(["retention", "simulate", "--from", "2027-01-01", "."]).run().exits(64);
    let (dir, two) =
        (tempfile::tempdir().unwrap(), format!("{POLICY}  keep: {{last: 1}}\n---\n{POLICY}  keep: {{last: 2}}\n"));
    let file = dir.path().join("two.yaml");
    std::fs::write(&file, two.replacen("name: gfs", "name: other", 1)).unwrap();
    let ran = snapward(["retention", "simulate", "--list", "-", "--policy", text(&file)]).run().exits(65);
    assert!(ran.stderr.contains("more than one RetentionPolicy: default/gfs, default/other"), "{ran}");
}

#[test]
fn series_run_ahead_as_text_json_and_picture() {
    let policy = "policies/homelab.yaml";
    let run = |more: &[&str]| {
        let args = ["retention", "simulate", "--from", "2027-01-01", "--to", "2027-03-01", policy];
        snapward([&args, more].concat()).dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))).run().exits(0)
    };
    let json = run(&["-o", "json"]).json();
    fits("retention-forecast", &json);
    assert_eq!((&json["series"][0]["taken"], &json["series"][0]["owner"]), (&59.into(), &"default/homelab".into()));
    assert!(run(&[]).stdout.starts_with("default/homelab: 30 4 * * *\n  steady      "));
    let picture = run(&["-o", "svg"]).stdout;
    assert!(picture.starts_with("<svg ") && picture.contains("default/homelab: 59 taken"), "{picture}");
    let backwards = ["retention", "simulate", "--from", "2027-01-01", "--to", "2026-01-01", policy];
    snapward(backwards).run().exits(64);
}
