//! The published JSON Schemas are what the types say. `UPDATE=1 cargo nextest run -E 'test(schemas)'` rewrites them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// Every file of `schemas/`: name and content.
fn published() -> Vec<(String, Value)> {
    snapward::manifest::schema::published().into_iter().chain(snapward::report::schemas()).collect()
}

#[test]
fn the_published_schemas_are_fresh() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let update = std::env::var_os("UPDATE").is_some();
    let mut expected = BTreeSet::new();
    for (name, schema) in published() {
        let path = directory.join(&name);
        let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
        if update {
            std::fs::write(&path, &text).expect("schemas/ can be written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text, "schemas/{name} is stale; run this test with UPDATE=1 and commit the change");
        expected.insert(name);
    }
    let present: BTreeSet<String> = std::fs::read_dir(&directory)
        .expect("schemas/ exists")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(present, expected, "schemas/ holds a file that nothing generates");
}

#[test]
fn every_schema_is_a_valid_schema() {
    for (name, schema) in published() {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_validation_satisfies_its_schema() {
    let source = snapward::manifest::Source { name: "f.yaml".into(), text: b"a: 1\na: 2\n".to_vec() };
    let loaded = snapward::manifest::load(&[source]);
    let validation = snapward::manifest::Validation::new(1, loaded.documents, loaded.diagnostics);
    assert_eq!((validation.summary.errors, validation.diagnostics[1].related.len()), (2, 1));
    let (_, schema) = published().into_iter().find(|(name, _)| name == "validation.v1.json").expect("published");
    let value = serde_json::to_value(&validation).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    assert!(validator.is_valid(&value), "{value}");
}
