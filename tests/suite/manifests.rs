//! Manifests: every valid one loads, every invalid one gives the fault its name states, ten messages are pinned, and a
//! thousand broken ones give located errors.

mod broken;
mod messages;

use std::path::{Path, PathBuf};

use rstest::rstest;
use snapward::manifest::{self, Code, Diagnostic, Source, schema};

fn source(path: &Path) -> Source {
    let name = path.file_name().expect("a file").to_string_lossy();
    Source { name: name.into(), text: std::fs::read(path).expect("readable") }
}

fn rendered(diagnostics: &[Diagnostic], source: &Source) -> String {
    manifest::render(diagnostics, std::slice::from_ref(source), false)
}

#[rstest]
fn valid(#[files("tests/suite/manifests/valid/*.yaml")] path: PathBuf) {
    let source = source(&path);
    let loaded = manifest::load(std::slice::from_ref(&source));
    assert!(loaded.diagnostics.is_empty(), "{}", rendered(&loaded.diagnostics, &source));
    assert!(loaded.documents > 0);
}

#[rstest]
fn valid_ones_satisfy_the_schemas(#[files("tests/suite/manifests/valid/*.yaml")] path: PathBuf) {
    let any = jsonschema::validator_for(&schema::schema_for_any()).expect("a schema");
    let text = String::from_utf8(source(&path).text).expect("UTF-8");
    for document in serde_yaml::Deserializer::from_str(text.trim_start_matches('\u{FEFF}')) {
        let value: serde_json::Value = serde::Deserialize::deserialize(document).expect("YAML");
        if value.is_null() {
            continue;
        }
        let faults: Vec<String> = any.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:?}");
        let kind = manifest::kind::Kind::from_name(value["kind"].as_str().expect("a kind")).expect("one of ours");
        let own = jsonschema::validator_for(&schema::schema_for(kind)).expect("a schema");
        assert!(own.is_valid(&value));
    }
}

/// The file name is `code.what.yaml`.
#[rstest]
fn invalid(#[files("tests/suite/manifests/invalid/*.yaml")] path: PathBuf) {
    let source = source(&path);
    let loaded = manifest::load(std::slice::from_ref(&source));
    let text = rendered(&loaded.diagnostics, &source);
    let code = source.name.split('.').next().unwrap_or_default().replace('_', "");
    let is_named = |d: &Diagnostic| format!("{:?}", d.code).eq_ignore_ascii_case(&code);
    assert!(loaded.has_errors());
    assert!(loaded.diagnostics.iter().any(is_named), "{text}");
    // One slip, one finding: what follows from it is not reported again.
    assert!(loaded.diagnostics.iter().all(|d| is_named(d) || d.code == Code::Feature), "{text}");
    for diagnostic in loaded.diagnostics.iter().filter(|d| d.code != Code::NoManifest) {
        assert!(diagnostic.line > 0 && diagnostic.column > 0, "{diagnostic:?}");
        assert!(text.contains(&format!("{}:{}:{}", source.name, diagnostic.line, diagnostic.column)), "{text}");
    }
}
