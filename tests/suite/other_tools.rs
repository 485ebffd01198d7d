//! `retention simulate --engine` beside the tools themselves: real repositories with snapshots at chosen times, and what
//! the tool's own dry run keeps of them under random policies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::support::cmd::snapward;
use crate::support::tools;

/// Where the tools run, and the zone of the policies.
const ZONE: &str = "Europe/Prague";

/// How many snapshots one repository gets. A tool takes half a second for each.
const SNAPSHOTS: usize = 36;

/// How many policies each repository answers.
const POLICIES: usize = 24;

/// Subsets of the snapshots that policies are tried on, by a letter each; all of them have the first.
const SUBSETS: [&str; 4] = ["a", "b", "c", "d"];

/// A snapshot to be taken: its time, and the subsets it belongs to.
#[derive(Debug, Clone)]
struct Chosen {
    at: Timestamp,
    subsets: Vec<&'static str>,
}

/// Times that calendars stumble over, and random ones.
fn chosen(runner: &mut TestRunner) -> Vec<Chosen> {
    // Ends of a year and an ISO year, of a month inside a week, both hours of a clock set back, around one set forward.
    let edges = [
        "2024-12-29T23:30:00Z",
        "2024-12-31T22:59:59Z",
        "2024-12-31T23:00:00Z",
        "2025-12-31T12:00:00Z",
        "2026-01-01T00:30:00Z",
        "2026-10-24T21:59:59Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-31T12:00:00Z",
        "2026-11-01T12:00:00Z",
        "2026-03-29T00:30:00Z",
        "2026-03-29T01:30:00Z",
    ];
    let mut times: BTreeSet<Timestamp> = edges.iter().map(|time| time.parse().unwrap()).collect();
    let newest: Timestamp = "2026-11-10T08:15:30Z".parse().unwrap();
    let minutes = prop_oneof![2 => 0..3_000_i64, 2 => 0..60_000_i64, 1 => 0..1_500_000_i64];
    while times.len() < SNAPSHOTS {
        times.insert(newest - SignedDuration::from_mins(sample(runner, &minutes)));
    }
    let others = vec(any::<bool>(), SUBSETS.len() - 1);
    let subsets = |runner: &mut TestRunner| {
        let others = sample(runner, &others);
        let chosen = SUBSETS[1..].iter().zip(others).filter(|(_, is_in)| *is_in).map(|(subset, _)| *subset);
        std::iter::once(SUBSETS[0]).chain(chosen).collect()
    };
    times.into_iter().map(|at| Chosen { at, subsets: subsets(runner) }).collect()
}

fn sample<S: Strategy>(runner: &mut TestRunner, strategy: &S) -> S::Value {
    strategy.new_tree(runner).unwrap().current()
}

/// Counts by their names in `keep`, for every rule that all the tools have.
fn counts(runner: &mut TestRunner) -> BTreeMap<&'static str, u32> {
    let count = prop_oneof![3 => Just(0), 3 => 1..5_u32, 1 => 5..40_u32];
    let names = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];
    loop {
        let counts = sample(runner, &vec(count.clone(), names.len()));
        let counts: BTreeMap<_, _> = names.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
        if !counts.is_empty() {
            return counts;
        }
    }
}

/// A policy as a manifest.
fn manifest(keep: &BTreeMap<&str, String>) -> String {
    let rules: Vec<_> = keep.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!(
        "apiVersion: snapward/v1\nkind: RetentionPolicy\nmetadata: {{name: p}}\nspec:\n  timeZone: {ZONE}\n  keep: {{{}}}\n",
        rules.join(", ")
    )
}

/// What `retention simulate` keeps of the chosen ones: by name, the texts of the reasons.
fn simulated(
    engine: &str,
    policy: &str,
    list: &[(String, Timestamp)],
    dir: &Path,
) -> BTreeMap<String, BTreeSet<String>> {
    let file = dir.join("policy.yaml");
    std::fs::write(&file, policy).unwrap();
    let list: Vec<_> =
        list.iter().map(|(name, at)| serde_json::json!({"name": name, "time": at.to_string()})).collect();
    let args = ["retention", "simulate", "--engine", engine, "-o", "json", "--list", "-", "--policy"];
    let args = [&args[..], &[tools::text(&file)]].concat();
    let json = snapward(args).stdin(serde_json::to_string(&list).unwrap()).run().exits(0).json();
    assert_eq!(json["summary"]["leftOut"], serde_json::json!([]), "{policy}");
    let kept = json["snapshots"].as_array().unwrap().iter().filter(|snapshot| snapshot["keep"] == true);
    kept.map(|snapshot| {
        let texts = snapshot["reasons"].as_array().unwrap().iter().map(|reason| text(&reason["text"]));
        (text(&snapshot["name"]), texts.collect())
    })
    .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Runs a tool that must succeed.
fn tool(program: &str, args: &[&str], env: &[(&str, &str)]) -> Output {
    let output = match Command::new(program).args(args).envs(env.iter().copied()).output() {
        Ok(output) => output,
        Err(error) => panic!("this test needs {program}, which does not start: {error}. Run scripts/install-deps test"),
    };
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {out}{err}");
    output
}

/// The tool's version: two numbers.
fn version(program: &str, args: &[&str]) -> (u32, u32) {
    let said = String::from_utf8(tool(program, args, &[]).stdout).unwrap();
    let number = said.split_whitespace().nth(1).unwrap();
    let mut parts = number.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

#[test]
fn restic_keeps_what_its_engine_says() {
    let version = version("restic", &["version"]);
    assert!(version >= (0, 16), "restic {version:?} does not keep the oldest yet; run scripts/install-deps test");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (repository, cache, file) = (path("repository"), path("cache"), path("file"));
    std::fs::write(&file, "x").unwrap();
    let env = |zone: &'static str| {
        let env = [("RESTIC_REPOSITORY", &*repository), ("RESTIC_CACHE_DIR", &*cache), ("RESTIC_PASSWORD", "x")];
        env.into_iter().chain([("TZ", zone)]).map(|(key, value)| (key, value.to_owned())).collect::<Vec<_>>()
    };
    let restic = |zone, args: &[&str]| {
        let env = env(zone);
        let env: Vec<_> = env.iter().map(|(key, value)| (*key, value.as_str())).collect();
        tool("restic", args, &env)
    };
    restic("UTC", &["init", "-q"]);
    let mut runner = TestRunner::deterministic();
    let chosen = chosen(&mut runner);
    // Two at a time: half of each run is the derivation of a key from the password.
    let (restic, file) = (&restic, &file);
    let (one, other) = chosen.split_at(chosen.len() / 2);
    std::thread::scope(|scope| {
        for half in [one, other] {
            scope.spawn(move || {
                for Chosen { at, subsets } in half {
                    // As taken in Prague, also in the hour that its clocks show twice.
                    let offset = TimeZone::get(ZONE).unwrap().to_offset(*at);
                    let zone = if offset.seconds() == 3_600 { "Etc/GMT-1" } else { "Etc/GMT-2" };
                    let time = offset.to_datetime(*at).strftime("%F %T").to_string();
                    let tags = subsets.join(",");
                    let args = ["backup", "-q", "--no-scan", "--force", "--host", "h", "--time", &time, "--tag", &tags];
                    restic(zone, &[&args[..], &[file]].concat());
                }
            });
        }
    });
    for _ in 0..POLICIES {
        let counts = counts(&mut runner);
        let mut keep: BTreeMap<&str, String> = counts.iter().map(|(name, count)| (*name, count.to_string())).collect();
        let mut options: Vec<String> = counts.iter().map(|(name, count)| format!("--keep-{name}={count}")).collect();
        if sample(&mut runner, &any::<bool>()) {
            let rules = [("within", "within"), ("withinDaily", "within-daily"), ("withinMonthly", "within-monthly")];
            let (name, option) = sample(&mut runner, &select(rules.to_vec()));
            let spans = [("36h", "36h"), ("40d", "40d"), ("1mo", "1m"), ("8mo", "8m"), ("1y2mo3d4h", "1y2m3d4h")];
            let (ours, theirs) = sample(&mut runner, &select(spans.to_vec()));
            keep.insert(name, ours.to_owned());
            options.push(format!("--keep-{option}={theirs}"));
        }
        let subset = sample(&mut runner, &select(&SUBSETS[..]));
        let args = ["forget", "--dry-run", "--json", "--group-by", "", "--tag", subset];
        let options: Vec<&str> = args.into_iter().chain(options.iter().map(String::as_str)).collect();
        let groups: Value = serde_json::from_slice(&restic(ZONE, &options).stdout).unwrap();
        let kept: BTreeMap<String, BTreeSet<String>> = groups[0]["reasons"]
            .as_array()
            .unwrap()
            .iter()
            .map(|reason| {
                let at: Timestamp = text(&reason["snapshot"]["time"]).parse().unwrap();
                (at.to_string(), reason["matches"].as_array().unwrap().iter().map(text).collect())
            })
            .collect();
        let list = in_subset(&chosen, subset).map(|(_, at)| (at.to_string(), at)).collect::<Vec<_>>();
        assert_eq!(simulated("restic", &manifest(&keep), &list, dir.path()), kept, "{options:?}");
    }
}

fn in_subset<'a>(chosen: &'a [Chosen], subset: &'a str) -> impl Iterator<Item = (usize, Timestamp)> + 'a {
    let members = chosen.iter().enumerate().filter(move |(_, item)| item.subsets.contains(&subset));
    members.map(|(i, item)| (i, item.at))
}

#[test]
fn borg_keeps_what_its_engine_says() {
    let version = version("borg", &["--version"]);
    assert!(((1, 2)..(2, 0)).contains(&version), "borg {version:?} is another one; run scripts/install-deps test");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (repository, base, file) = (path("repository"), path("base"), path("file"));
    std::fs::write(&file, "x").unwrap();
    let env = [
        ("BORG_REPO", repository.as_str()),
        ("BORG_BASE_DIR", &base),
        ("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes"),
        ("TZ", ZONE),
    ];
    tool("borg", &["init", "-e", "none"], &env);
    let mut runner = TestRunner::deterministic();
    let chosen = chosen(&mut runner);
    let name = |i: usize| format!("{}.{i}", chosen[i].subsets.concat());
    for (i, item) in chosen.iter().enumerate() {
        // Without an offset borg takes it for UTC.
        let time = item.at.strftime("%FT%T").to_string();
        let archive = format!("::{}", name(i));
        tool("borg", &["create", "--files-cache=disabled", "--timestamp", &time, &archive, &file], &env);
    }
    for _ in 0..POLICIES {
        let counts = counts(&mut runner);
        let mut keep: BTreeMap<&str, String> = counts.iter().map(|(name, count)| (*name, count.to_string())).collect();
        let mut options: Vec<String> = counts.iter().map(|(name, count)| format!("--keep-{name}={count}")).collect();
        if sample(&mut runner, &any::<bool>()) {
            // Both go by the clock of this moment: the span ends far from any snapshot.
            let place = sample(&mut runner, &(1..chosen.len()));
            let (before, after) = (chosen[place - 1].at, chosen[place].at);
            if after.duration_since(before) > SignedDuration::from_hours(6) {
                let middle = before + after.duration_since(before) / 2;
                let hours = now().duration_since(middle).as_hours();
                if hours > 0 {
                    keep.insert("within", format!("{hours}h"));
                    options.push(format!("--keep-within={hours}H"));
                }
            }
        }
        let subset = sample(&mut runner, &select(&SUBSETS[..]));
        let glob = format!("*{subset}*");
        let args = ["prune", "--dry-run", "--list", "--glob-archives", &glob];
        let options: Vec<&str> = args.into_iter().chain(options.iter().map(String::as_str)).collect();
        let said = String::from_utf8(tool("borg", &options, &env).stderr).unwrap();
        // Keeping archive (rule: daily #1):    NAME    DATE [ID]
        let kept: BTreeMap<String, BTreeSet<String>> = said
            .lines()
            .filter_map(|line| line.strip_prefix("Keeping archive (rule: ")?.split_once("):"))
            .map(|(rule, rest)| (rest.split_whitespace().next().unwrap().to_owned(), BTreeSet::from([rule.to_owned()])))
            .collect();
        assert!(!kept.is_empty(), "{said}");
        let list = in_subset(&chosen, subset).map(|(i, at)| (name(i), at)).collect::<Vec<_>>();
        assert_eq!(simulated("borg", &manifest(&keep), &list, dir.path()), kept, "{options:?}");
    }
}

#[allow(clippy::disallowed_methods, reason = "borg has no other clock")]
fn now() -> Timestamp {
    Timestamp::now()
}
