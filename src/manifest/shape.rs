//! A schema laid out for the check of many documents: references followed, and the words that are asked of each value at
//! hand. To look these up in the JSON again for each value was a seventh of what `validate` does.

use std::sync::LazyLock;

use serde_json::{Map, Value as Json};

/// What may stand at a place.
pub(super) struct Shape<'s> {
    /// The schema as the field has it, whose description is the field's own.
    written: &'s Json,
    /// The same with its reference followed.
    pub(super) schema: &'s Map<String, Json>,
    /// The name of the definition it was found under.
    pub(super) name: Option<&'s str>,
    pub(super) nullable: bool,
    /// The word for its type; empty where it has none.
    pub(super) wants: &'s str,
    /// The fields it has.
    pub(super) properties: Vec<(&'s str, Shape<'s>)>,
    pub(super) required: Vec<&'s str>,
    /// What every other field holds, where it may have others.
    pub(super) other: Option<Box<Shape<'s>>>,
    /// What each item of a list is.
    pub(super) items: Option<Box<Shape<'s>>>,
    /// The only texts allowed; none where any is.
    pub(super) choices: Option<Vec<&'s str>>,
}

impl<'s> Shape<'s> {
    /// Of a whole schema. Ours have no definition that holds itself.
    pub(super) fn of(root: &'s Json) -> Self {
        Self::at(root, root)
    }

    fn at(root: &'s Json, written: &'s Json) -> Self {
        static NOTHING: LazyLock<Map<String, Json>> = LazyLock::new(Map::new);
        let (mut schema, mut name, mut nullable) = (written, None, false);
        // A schema of ours has a reference inside a choice at most.
        for _ in 0..4 {
            if let Some(target) = schema.get("$ref").and_then(Json::as_str).and_then(|r| r.strip_prefix("#/$defs/")) {
                name = Some(target);
                schema = root.get("$defs").and_then(|defs| defs.get(target)).unwrap_or(&Json::Null);
            } else if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
                nullable = true;
                schema = choices.iter().find(|c| c.get("type").is_none_or(|t| t != "null")).unwrap_or(&Json::Null);
            } else {
                break;
            }
        }
        let schema = schema.as_object().unwrap_or(&NOTHING);
        let inner = |written| Box::new(Self::at(root, written));
        let words = |list: &'s Json| list.as_array().map(|list| list.iter().filter_map(Json::as_str).collect());
        let properties = schema.get("properties").and_then(Json::as_object).into_iter().flatten();
        Self {
            written,
            schema,
            name,
            nullable,
            wants: schema.get("type").and_then(Json::as_str).unwrap_or_default(),
            properties: properties.map(|(key, written)| (key.as_str(), Self::at(root, written))).collect(),
            required: schema.get("required").and_then(words).unwrap_or_default(),
            other: schema.get("additionalProperties").filter(|other| other.is_object()).map(inner),
            items: schema.get("items").map(inner),
            choices: match schema.get("const") {
                Some(only) => Some(only.as_str().into_iter().collect()),
                None => schema.get("enum").and_then(words),
            },
        }
    }

    /// What a field holds.
    pub(super) fn property(&self, field: &str) -> Option<&Self> {
        self.properties.iter().find(|(name, _)| *name == field).map(|(_, shape)| shape)
    }

    /// What the field holds, for the help on a missing one: its allowed values, else its description.
    pub(super) fn describe(&self, field: &str) -> Option<String> {
        let schema = self.schema;
        if let Some(choices) = schema.get("enum").and_then(Json::as_array) {
            let choices: Vec<&str> = choices.iter().filter_map(Json::as_str).collect();
            return Some(format!("`{field}` is one of: {}", choices.join(", ")));
        }
        if let Some(only) = schema.get("const").and_then(Json::as_str) {
            return Some(format!("write `{field}: {only}`"));
        }
        let description = self.written.get("description").or_else(|| schema.get("description"))?.as_str()?;
        let first = description.split("\n\n").next().unwrap_or_default();
        Some(format!("`{field}`: {}", first.trim_end_matches('.')))
    }
}
