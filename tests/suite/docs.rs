//! The documentation is what the program says: field tables come from the JSON Schemas, help texts from the command line,
//! every block code has its section, and no link leads nowhere. `UPDATE=1 cargo nextest run -E 'test(docs)'` rewrites
//! what stands between the `<!-- begin: ... -->` and `<!-- end -->` marks.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::support::cmd::snapward;

const KINDS: [&str; 6] =
    ["SnapshotSet", "SeriesTemplate", "RetentionPolicy", "SafetyPolicy", "RevertRequest", "Inventory"];

const END: &str = "<!-- end -->";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Replaces what stands between each pair of marks by what `generate` makes of the mark's text.
fn refresh(document: &str, generate: &mut dyn FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(what) = line.strip_prefix("<!-- begin: ").and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        assert!(lines.by_ref().any(|line| line == END), "no end of {what}");
        out.push_str(&format!("\n{}\n\n{END}\n", generate(what).trim_end()));
    }
    out
}

/// Compares a document with its refreshed form, or writes that.
#[track_caller]
pub(crate) fn assert_fresh(name: &str, generate: &mut dyn FnMut(&str) -> String) {
    let path = repository().join(name);
    let committed = fs::read_to_string(&path).expect(name);
    let fresh = refresh(&committed, generate);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &fresh).expect("docs/ can be written");
    } else {
        assert!(committed == fresh, "{name} is stale; run this test with UPDATE=1 and commit the change");
    }
}

#[test]
fn the_field_tables_are_fresh() {
    let published: BTreeMap<String, Value> = snapward::manifest::schema::published().into_iter().collect();
    let mut tables = Tables::default();
    let mut generated = Vec::new();
    assert_fresh("docs/manifest.md", &mut |what| {
        let kind = what.strip_prefix("fields of ").expect("fields of KIND");
        generated.push(kind.to_owned());
        tables.of_kind(kind, &published[&format!("{kind}.v1.json")])
    });
    assert_eq!(generated, KINDS);
}

#[test]
fn the_table_of_versions_is_fresh() {
    assert_fresh("docs/versions.md", &mut |what| {
        assert_eq!(what, "abilities");
        let row = |ability: &snapward::plan::abilities::Ability| {
            format!("| `{}` | {} | {} | {} |\n", ability.code, ability.what, ability.needs(), ability.without)
        };
        let rows: String = snapward::plan::abilities::ALL.iter().map(row).collect();
        format!("| | to ... | | without it snapward |\n|---|---|---|---|\n{rows}")
    });
}

#[test]
fn the_help_texts_are_fresh() {
    assert_fresh("docs/commands.md", &mut |what| {
        let words = what.strip_prefix("snapward").expect("a command").split_whitespace();
        let help = snapward(words.chain(["--help"])).run().exits(0).stdout;
        let lines: Vec<_> = help.lines().map(str::trim_end).collect();
        format!("```text\n{}\n```", lines.join("\n").trim_end())
    });
}

#[test]
fn every_verb_is_documented() {
    let commands = fs::read_to_string(repository().join("docs/commands.md")).expect("docs/commands.md");
    let verbs = verbs_of(&[]);
    assert!(verbs.len() >= 7, "{verbs:?}");
    let nested = verbs_of(&["snapshot"]).into_iter().map(|verb| format!("snapshot {verb}"));
    for verb in verbs.iter().cloned().chain(nested) {
        assert!(commands.contains(&format!("<!-- begin: snapward {verb} -->")), "docs/commands.md lacks {verb}");
    }
}

/// The verbs that a command's help lists.
pub(crate) fn verbs_of(command: &[&str]) -> Vec<String> {
    let help = snapward([command, &["-h"]].concat()).run().exits(0).stdout;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What a verb is for can go on in a line below it.
    let verbs = verbs.filter(|line| !line.starts_with("   "));
    let verbs = verbs.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help");
    verbs.map(str::to_owned).collect()
}

#[test]
fn every_block_code_has_its_section() {
    let schemas: BTreeMap<String, Value> = snapward::report::schemas().into_iter().collect();
    let codes = &schemas["plan.v1.json"]["$defs"]["BlockCode"];
    let listed = codes["oneOf"].as_array().expect("the variants, each with its description");
    let blocked = fs::read_to_string(repository().join("docs/blocked.md")).expect("docs/blocked.md");
    let headings: Vec<_> = blocked.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let expected: Vec<_> = listed.iter().map(|code| code["const"].as_str().expect("a name")).collect();
    let mut sorted = (headings.clone(), expected.clone());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1);
    for section in blocked.split("\n## ").skip(1) {
        assert!(section.contains("**Way out.**") && section.contains("**State.**"), "{section}");
    }
}

#[test]
fn every_libvirt_case_names_its_test() {
    let page = fs::read_to_string(repository().join("docs/libvirt-cases.md")).expect("docs/libvirt-cases.md");
    let named = page.split('`').filter(|words| words.contains("::")).map(str::to_owned).collect::<BTreeSet<_>>();
    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(repository().join("tests/suite/scenarios/external")).expect("the scenarios") {
        let file = entry.expect("readable").path();
        let module = file.file_stem().and_then(OsStr::to_str).expect("UTF-8").to_owned();
        let text = fs::read_to_string(&file).expect("readable");
        let functions = text.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split_once('('));
        tests.extend(functions.map(|(function, _)| format!("{module}::{function}")));
    }
    assert_eq!(named, tests);
}

#[test]
fn no_link_leads_nowhere() {
    let mut pages: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"]
            .iter()
            .map(|page| repository().join(page))
            .collect();
    let docs = fs::read_dir(repository().join("docs")).expect("docs/");
    pages.extend(docs.map(|entry| entry.expect("readable").path()).filter(|path| path.is_file()));
    let mut seen = 0;
    for page in pages {
        let text = fs::read_to_string(&page).expect("readable");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            if file.starts_with("http") {
                continue;
            }
            let target = if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            assert!(target.exists(), "{} links to {link}", page.display());
            if !anchor.is_empty() {
                let target = fs::read_to_string(&target).expect("readable");
                let there = target.lines().any(|line| line.starts_with('#') && self::anchor(line) == anchor);
                assert!(there, "{} links to {link}, and there is no such heading", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 10);
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Tables of fields, each object explained where it is met first.
struct Tables {
    /// Where an object's fields are, by its name in the schema.
    explained: BTreeMap<String, String>,
}

impl Default for Tables {
    fn default() -> Self {
        // Its home is its own kind, though a series may hold one.
        Self { explained: BTreeMap::from([("RetentionSpec".to_owned(), "`spec` of RetentionPolicy".to_owned())]) }
    }
}

impl Tables {
    fn of_kind(&mut self, kind: &str, schema: &Value) -> String {
        let defs = schema["$defs"].as_object().expect("definitions");
        let (_, spec) = resolve(&schema["properties"]["spec"], defs);
        let mut rows =
            vec!["| field | type | default | unit | meaning |".to_owned(), "|---|---|---|---|---|".to_owned()];
        self.object(kind, "spec", spec, defs, &mut rows);
        rows.join("\n")
    }

    fn object(&mut self, kind: &str, at: &str, object: &Value, defs: &Map<String, Value>, rows: &mut Vec<String>) {
        let required: Vec<_> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = object["properties"].as_object().expect("properties");
        // What must be given comes first, and series, which are not carried out yet, last.
        let mut properties: Vec<_> = properties.iter().collect();
        properties.sort_by_key(|(name, _)| (!required.contains(&name.as_str()), *name == "series"));
        for (name, property) in properties {
            let path = format!("{at}.{name}");
            let (def, value) = resolve(property, defs);
            let default =
                if required.contains(&name.as_str()) { "**required**".to_owned() } else { default_of(property) };
            let (inner_def, inner, suffix) = match value.get("items") {
                Some(items) => {
                    let (def, value) = resolve(items, defs);
                    (def, value, "[]")
                }
                None => (def, value, ""),
            };
            let mut meaning = text_of(property);
            meaning.push_str(&variants(inner, &meaning));
            let explained = inner_def.and_then(|def| self.explained.get(def).cloned());
            let is_object = inner.get("properties").is_some();
            if let (true, Some(place)) = (is_object, &explained) {
                meaning.push_str(&format!(" Fields: as in {place}."));
            }
            let type_name = type_of(value, def, inner, inner_def);
            let unit = unit_of(inner, inner_def);
            rows.push(format!("| `{path}` | {type_name} | {default} | {unit} | {} |", meaning.replace('|', "\\|")));
            if is_object && explained.is_none() {
                let place = format!("{path}{suffix}");
                if let Some(def) = inner_def {
                    self.explained.insert(def.to_owned(), format!("`{place}` of {kind}"));
                }
                self.object(kind, &place, inner, defs, rows);
            }
        }
    }
}

/// What a reference, or one that may also be null, stands for: its name and the schema.
fn resolve<'a>(schema: &'a Value, defs: &'a Map<String, Value>) -> (Option<&'a str>, &'a Value) {
    let schema = schema["anyOf"].as_array().and_then(|choices| choices.first()).unwrap_or(schema);
    match schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        Some(name) => (Some(name), &defs[name]),
        None => (None, schema),
    }
}

fn type_of(value: &Value, def: Option<&str>, inner: &Value, inner_def: Option<&str>) -> String {
    if value.get("items").is_some() {
        return format!("list of {}", plural(&type_of(inner, inner_def, inner, inner_def)));
    }
    match def {
        Some("TimeSpan") => return "span of time".to_owned(),
        Some("DateOrInstant") => return "day or instant".to_owned(),
        Some("SnapshotName") => return "snapshot name".to_owned(),
        _ => {}
    }
    if let Some(words) = value["enum"].as_array() {
        let words: Vec<_> = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        return words.join(" or ");
    }
    match value["type"].as_str() {
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("object") if value.get("properties").is_none() => "map of strings".to_owned(),
        Some(name) => name.to_owned(),
        None => panic!("a type without a name: {value}"),
    }
}

fn plural(name: &str) -> String {
    if name.ends_with('`') { name.to_owned() } else { format!("{name}s") }
}

fn unit_of(value: &Value, def: Option<&str>) -> &'static str {
    match (def, value["type"].as_str()) {
        (Some("TimeSpan"), _) => "`s m h d w mo y`",
        (Some("DateOrInstant"), _) => "UTC, or with its offset",
        (Some("Percent"), _) => "percent",
        (_, Some("integer")) => "count",
        _ => "",
    }
}

fn default_of(property: &Value) -> String {
    match &property["default"] {
        Value::Null => "not set".to_owned(),
        Value::Array(list) if list.is_empty() => "empty".to_owned(),
        Value::Object(map) if map.is_empty() => "empty".to_owned(),
        Value::Object(_) => "as below".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// A field's description in one line.
fn text_of(property: &Value) -> String {
    let text = property["description"].as_str().expect("every field is described");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The meaning of each word of an enumeration, from the list in its description, unless the field's own text has said it.
fn variants(value: &Value, said: &str) -> String {
    if value.get("enum").is_none() || said.contains("`: ") {
        return String::new();
    }
    let text = value["description"].as_str().unwrap_or_default();
    text.split("\n\n- ")
        .skip(1)
        .map(|item| format!(" {}", item.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect()
}
