//! The alert rules for Prometheus: promtool accepts them, each fires where it should and is silent where it should not, and they
//! ask for metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

use crate::support::tools;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(repository(path)).expect(path);
    serde_yaml::from_str(&text).expect("YAML")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_sequence().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn each_alert_fires_in_its_case_alone() {
    let tests = repository("examples/monitoring/snapward.rules.test");
    tools::run("promtool", &["check", "rules", tools::text(&repository("examples/monitoring/snapward.rules"))]);
    tools::run("promtool", &["test", "rules", tools::text(&tests)]);

    let rules = yaml("examples/monitoring/snapward.rules");
    let rules = list(&rules, "groups").iter().flat_map(|group| list(group, "rules"));
    let alerts: BTreeSet<&str> = rules.filter_map(|rule| rule["alert"].as_str()).collect();
    let cases = yaml("examples/monitoring/snapward.rules.test");
    let asserted = |fires: bool| -> BTreeSet<&str> {
        let of = list(&cases, "tests").iter().flat_map(|case| list(case, "alert_rule_test"));
        of.filter(|at| list(at, "exp_alerts").is_empty() != fires).filter_map(|at| at["alertname"].as_str()).collect()
    };
    assert!(alerts.len() >= 7, "{alerts:?}");
    assert_eq!(asserted(true), alerts, "tested where they fire");
    assert_eq!(asserted(false), alerts, "tested where they are silent");
}

#[test]
fn the_rules_ask_for_metrics_that_there_are() {
    let rules = fs::read_to_string(repository("examples/monitoring/snapward.rules")).expect("the rules");
    let docs = fs::read_to_string(repository("docs/agent.md")).expect("docs/agent.md");
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let asked: BTreeSet<&str> = rules.split(word).filter(|word| word.starts_with("snapward_")).collect();
    assert!(asked.len() >= 5, "{asked:?}");
    for metric in asked {
        assert!(docs.contains(&format!("| `{metric}` |")), "{metric} is none of the documented metrics");
    }
}
