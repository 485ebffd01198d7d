//! The JSON Schemas of the manifest kinds, and one for editors that covers them all.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::diagnostic::Validation;
use super::kind::{KINDS, Kind};
use super::shape::Shape;
use crate::model::kinds::{
    API_VERSION, Inventory, RetentionPolicy, RevertRequest, SafetyPolicy, SeriesTemplate, SnapshotSet,
};

/// The optional fields where `null` says what leaving the field out says. Elsewhere an empty value is an unfinished
/// line, and an error.
const NULLABLE: [&str; 3] = ["suspend", "deleteAfter", "maximumAge"];

/// The JSON Schema (draft 2020-12) of a kind.
pub fn schema_for(kind: Kind) -> Value {
    match kind {
        Kind::SnapshotSet => root::<SnapshotSet>(),
        Kind::SeriesTemplate => root::<SeriesTemplate>(),
        Kind::RetentionPolicy => root::<RetentionPolicy>(),
        Kind::SafetyPolicy => root::<SafetyPolicy>(),
        Kind::RevertRequest => root::<RevertRequest>(),
        Kind::Inventory => root::<Inventory>(),
    }
}

/// The JSON Schema of any document, for editors: `if`/`then` on `kind`, because faults under a `oneOf` read "not valid
/// under any of the schemas".
pub fn schema_for_any() -> Value {
    let mut generator = generator();
    let branches: Vec<Value> = KINDS
        .into_iter()
        .map(|kind| {
            let schema = match kind {
                Kind::SnapshotSet => generator.subschema_for::<SnapshotSet>(),
                Kind::SeriesTemplate => generator.subschema_for::<SeriesTemplate>(),
                Kind::RetentionPolicy => generator.subschema_for::<RetentionPolicy>(),
                Kind::SafetyPolicy => generator.subschema_for::<SafetyPolicy>(),
                Kind::RevertRequest => generator.subschema_for::<RevertRequest>(),
                Kind::Inventory => generator.subschema_for::<Inventory>(),
            };
            json!({
                "if": { "properties": { "kind": { "const": kind.as_str() } }, "required": ["kind"] },
                "then": schema,
            })
        })
        .collect();
    let mut defs = Value::Object(generator.take_definitions(true));
    tidy(&mut defs);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "snapward manifest",
        "description": "A document of any kind.",
        "type": "object",
        "properties": {
            "apiVersion": { "description": "Always `snapward/v1`.", "type": "string", "const": API_VERSION },
            "kind": { "description": "What the document declares.", "type": "string", "enum": KINDS.map(Kind::as_str) },
        },
        "required": ["apiVersion", "kind"],
        "allOf": branches,
        "$defs": defs,
    })
}

/// The published schemas of manifests and of what is found in them: file name and content.
pub fn published() -> Vec<(String, Value)> {
    let mut files: Vec<_> = KINDS.into_iter().map(|kind| (format!("{kind}.v1.json"), schema_for(kind))).collect();
    files.push(("manifest.v1.json".to_owned(), schema_for_any()));
    let output = SchemaSettings::draft2020_12().for_serialize().into_generator();
    files.push(("validation.v1.json".to_owned(), output.into_root_schema_for::<Validation>().to_value()));
    files
}

/// The schema of a kind, laid out once: the check of a thousand documents needs it a thousand times.
pub(super) fn cached(kind: Kind) -> &'static Shape<'static> {
    static SCHEMAS: LazyLock<Vec<Value>> = LazyLock::new(|| KINDS.into_iter().map(schema_for).collect());
    static SHAPES: LazyLock<Vec<Shape<'static>>> = LazyLock::new(|| SCHEMAS.iter().map(Shape::of).collect());
    &SHAPES[kind as usize]
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

fn root<T: JsonSchema>() -> Value {
    let mut schema = generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    schema
}

/// Makes what schemars derives fit for editors: no `null` but where it is allowed, enumerations as `enum` (a fault under
/// a `oneOf` names no allowed value), descriptions without the line ends of the source.
fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                for (_, property) in properties.iter_mut().filter(|(name, _)| !NULLABLE.contains(&name.as_str())) {
                    if let Value::Object(property) = property {
                        without_null(property);
                    }
                }
            }
            one_enum(object);
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = text.split("\n\n").map(|p| p.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
            }
            object.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

/// `oneOf` constants becomes `enum`; the description of each value moves into the one of the whole.
fn one_enum(object: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = object.get("oneOf") else { return };
    let constants: Vec<Value> = choices.iter().filter_map(|choice| choice.get("const").cloned()).collect();
    if constants.len() != choices.len() {
        return;
    }
    let described = choices.iter().filter_map(|choice| {
        let value = choice.get("const")?.as_str()?;
        Some(format!("- `{value}`: {}", choice.get("description")?.as_str()?.replace('\n', " ")))
    });
    let own = object.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
    let description = std::iter::once(own).chain(described).collect::<Vec<_>>().join("\n\n");
    object.remove("oneOf");
    object.insert("type".to_owned(), "string".into());
    object.insert("enum".to_owned(), Value::Array(constants));
    object.insert("description".to_owned(), description.into());
}

fn without_null(property: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            property.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(mut choices)) = property.remove("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|t| t != "null"));
        match choices.as_slice() {
            [Value::Object(only)] => property.extend(only.clone()),
            _ => {
                property.insert("anyOf".to_owned(), Value::Array(choices));
            }
        }
    }
}
