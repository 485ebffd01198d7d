//! JSON: the models as they are, and their schemas.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use crate::model::agent::AgentStatus;
use crate::model::explanation::Explanation;
use crate::model::listing::{SnapshotInfo, SnapshotList};
use crate::model::outcome::Outcome;
use crate::model::plan::Plan;
use crate::model::retention::{Comparison, Forecast, Simulation};
use crate::model::saved::SavedPlan;
use crate::model::status::Status;

/// The published schema of each JSON output of this module: file name and content.
pub fn schemas() -> Vec<(String, Value)> {
    vec![
        ("plan.v1.json".to_owned(), schema::<Plan>()),
        ("saved-plan.v1.json".to_owned(), schema::<SavedPlan>()),
        ("outcome.v1.json".to_owned(), schema::<Outcome>()),
        ("status.v1.json".to_owned(), schema::<Status>()),
        ("agent-status.v1.json".to_owned(), schema::<AgentStatus>()),
        ("retention-simulation.v1.json".to_owned(), schema::<Simulation>()),
        ("retention-comparison.v1.json".to_owned(), schema::<Comparison>()),
        ("retention-forecast.v1.json".to_owned(), schema::<Forecast>()),
        ("retention-explanation.v1.json".to_owned(), schema::<Explanation>()),
        ("snapshot-list.v1.json".to_owned(), schema::<SnapshotList>()),
        ("snapshot-info.v1.json".to_owned(), schema::<SnapshotInfo>()),
    ]
}

fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// Any model as indented JSON with a line feed at the end. Characters a terminal could act on are escaped, also those
/// that JSON allows as they are.
///
/// # Errors
/// Never for the models of this crate: their maps have text keys.
pub fn pretty(model: &impl Serialize) -> serde_json::Result<String> {
    let mut text = defused(&serde_json::to_string_pretty(model)?);
    text.push('\n');
    Ok(text)
}

/// Outside of its strings JSON has ASCII only, so an escape can replace a character wherever it stands.
fn defused(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        let acts = matches!(c, '\u{7F}'..='\u{9F}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        if acts {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn json_is_safe_on_a_terminal_and_says_the_same() {
        let name = "a\u{1b}[31m\u{9b}31m\u{202e}b";
        let text = pretty(&serde_json::json!({ "name": name })).expect("plain values");
        assert_eq!(text, "{\n  \"name\": \"a\\u001b[31m\\u009b31m\\u202eb\"\n}\n");
        let back: Value = serde_json::from_str(&text).expect("still JSON");
        assert_eq!(back["name"], name);
    }

    #[test]
    fn every_sample_fits_its_schema() {
        let validator = |name: &str| {
            let (_, schema) = schemas().into_iter().find(|(file, _)| *file == name).expect(name);
            jsonschema::validator_for(&schema).expect("a schema")
        };
        let plans = validator("plan.v1.json");
        for (name, plan) in samples::plans() {
            let value = serde_json::to_value(&plan).expect("plain values");
            assert!(plans.is_valid(&value), "{name}: {:?}", plans.iter_errors(&value).map(|e| e.to_string()).next());
        }
        let outcome = serde_json::to_value(samples::outcome()).expect("plain values");
        assert!(validator("outcome.v1.json").is_valid(&outcome));
        let status = serde_json::to_value(samples::status()).expect("plain values");
        assert!(validator("status.v1.json").is_valid(&status));
        let list = serde_json::to_value(samples::snapshot_list()).expect("plain values");
        assert!(validator("snapshot-list.v1.json").is_valid(&list));
        let info = serde_json::to_value(samples::snapshot_info()).expect("plain values");
        assert!(validator("snapshot-info.v1.json").is_valid(&info));
    }

    #[test]
    fn json_of_a_redefine() {
        let plan = samples::redefine();
        insta::assert_snapshot!(pretty(&plan.actions[0]).expect("plain values"), @r#"
        {
          "address": {
            "host": "kvm-017",
            "domain": "web-1",
            "snapshot": "base"
          },
          "action": "redefine",
          "reason": {
            "code": "FieldsDiffer",
            "text": "description, parent and protect differ"
          },
          "origin": {
            "file": "sets/web.yaml",
            "line": 9
          },
          "before": {
            "description": "Installed",
            "stamp": [
              "Snapward-Set: default/web"
            ],
            "parent": "root"
          },
          "after": {
            "description": "Installed, \"patched\"\nand signed off",
            "stamp": [
              "Snapward-Set: default/web",
              "Snapward-Protect: true"
            ],
            "parent": ""
          },
          "risk": {
            "level": "metadata",
            "text": "libvirt's metadata only"
          }
        }
        "#);
    }

    #[test]
    fn json_of_names_with_terminal_escapes() {
        let plan = samples::escapes();
        insta::assert_snapshot!(pretty(&plan.actions[0].address).expect("plain values"), @r#"
        {
          "host": "kvm-017",
          "domain": "web\u001b[31m|`<b>@all",
          "snapshot": "go\u202eld\u009ben"
        }
        "#);
    }
}
