//! The examples and policies are what they claim: valid, known to an editor's schema, and plannable on real domains.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapward::manifest::{self, Source};
use snapward::model::desired::DesiredState;

use crate::support::cmd::snapward;
use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, actions, blocks};

/// The comment that tells an editor which schema a file follows.
const SCHEMA_COMMENT: &str = "# yaml-language-server: $schema=";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All YAML files of a directory of the repository, below it too.
fn yaml_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|ext| ext == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn load(files: &[PathBuf]) -> DesiredState {
    let source = |path: &PathBuf| Source {
        name: Arc::from(path.display().to_string().as_str()),
        text: fs::read(path).expect("readable"),
    };
    let loaded = manifest::load(&files.iter().map(source).collect::<Vec<_>>());
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    loaded.desired
}

#[test]
fn all_are_valid_without_a_warning() {
    let ran = snapward(["validate", "examples", "policies"]).dir(repository()).run().exits(0);
    assert!(ran.stdout.ends_with("0 errors, 0 warnings.\n"), "{ran}");
}

#[test]
fn each_follows_the_schema_it_names() {
    let text = fs::read_to_string(repository().join("schemas/manifest.v1.json")).expect("the schema");
    let schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let files = [yaml_files(&repository().join("examples")), yaml_files(&repository().join("policies"))].concat();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("readable");
        let named = text.lines().next().and_then(|line| line.strip_prefix(SCHEMA_COMMENT)).unwrap_or_default();
        let named = file.parent().expect("in a directory").join(named);
        let meant = repository().join("schemas/manifest.v1.json");
        assert_eq!(named.canonicalize().ok(), meant.canonicalize().ok(), "the first line of {}", file.display());
        for document in serde_yaml::Deserializer::from_str(&text) {
            let value = <serde_json::Value as serde::Deserialize>::deserialize(document).expect("YAML");
            let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", file.display());
        }
    }
}

#[test]
fn each_is_planned_and_applied_on_domains_of_the_names_it_selects() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guests = [
        "snapward-demo",
        "golden-debian",
        "runner-1",
        "runner-debug",
        "cache-1",
        "legacy-erp",
        "db-1",
        "app-server",
        "web-1",
    ];
    let [demo, _golden, runner, _debug, _cache, legacy, _db, app, _web] = guests.map(|name| root.guest(name).define());
    demo.start();
    runner.start();
    app.start();
    legacy.snapshot("before-upgrade", "");
    legacy.snapshot("quarter-end", "");
    let mut directories: Vec<_> = fs::read_dir(repository().join("examples"))
        .expect("examples/")
        .map(|entry| entry.expect("readable").path())
        // Alert rules and units are no manifests.
        .filter(|path| path.is_dir() && !path.ends_with("monitoring") && !path.ends_with("git"))
        .collect();
    directories.sort();
    // One instant for all, in which hourly slots are due: what the time of day makes of a schedule is not asked here.
    let hour = jiff::TimestampRound::new().smallest(jiff::Unit::Hour).mode(jiff::RoundMode::Ceil);
    let now = lab.now().round(hour).expect("an hour") + jiff::SignedDuration::from_mins(10);
    let mut seen = Vec::new();
    let policies = yaml_files(&repository().join("policies"));
    for directory in &directories {
        let desired = load(&[yaml_files(directory), policies.clone()].concat());
        let planned = lab.plan_at(&desired, now);
        let name = directory.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(blocks(&planned.plan).is_empty(), "{name}: {:#?}", planned.plan.blocked);
        assert!(!planned.plan.actions.is_empty(), "{name} does nothing");
        lab.carry_out(&planned);
        let after = lab.plan_at(&desired, now).plan;
        assert!(after.actions.is_empty() && after.blocked.is_empty(), "{name}: {:?}", actions(&after));
        seen.push(name);
    }
    assert_eq!(seen, ["adopt", "ci-farm", "external", "golden-image", "quickstart", "scheduled", "shared-policies"]);
}

#[test]
fn each_policy_is_used_as_its_comment_says() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let policies = yaml_files(&repository().join("policies"));
    let mut sources: Vec<Source> = Vec::new();
    let mut names = Vec::new();
    for path in &policies {
        let text = fs::read_to_string(path).expect("readable");
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        if let Some(series) = text.lines().find_map(|line| line.strip_prefix("#     series: ")) {
            root.guest(&name).define();
            let set = format!(
                "apiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {{name: {name}}}\nspec:\n  domains: {{include: \
                 [{name}]}}\n  safety: {{policyRef: careful}}\n  series: {series}\n"
            );
            sources.push(Source { name: Arc::from(name.as_str()), text: set.into_bytes() });
            names.push(name);
        }
        sources.push(Source { name: Arc::from(path.display().to_string().as_str()), text: text.into_bytes() });
    }
    assert_eq!(names, ["before-upgrade", "ci-farm", "compliance", "gfs", "homelab"]);
    let loaded = manifest::load(&sources);
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    let captured = |at: &str| {
        let plan = lab.plan_at(&loaded.desired, at.parse().expect("a time")).plan;
        assert!(blocks(&plan).is_empty(), "{:#?}", plan.blocked);
        plan.actions.iter().map(|action| action.address.domain.clone()).collect::<Vec<_>>()
    };
    // A Tuesday: the patch night begins at 21:30 in Prague.
    assert_eq!(captured("2027-03-02T20:25:00Z"), ["ci-farm", "compliance", "gfs", "homelab"]);
    assert!(captured("2027-03-02T20:31:00Z").contains(&"before-upgrade".to_owned()));
}
