//! Checks a document's tree against the schema of its kind: every unknown, missing or ill-typed field at once, each at
//! its place. serde, which decides afterwards, stops at the first.

use crate::model::text::suggestion;
use std::cell::OnceCell;
use std::collections::HashSet;

use serde_json::{Map, Value as Json};

use super::diagnostic::{Code, Diagnostic};
use super::gate::MAX_FAULTS;
use super::shape::Shape;
use super::source::Text;
use super::tree::{Meaning, NodeId, Scalar, Tree, Value, shown};
use crate::model::kinds::{DateOrInstant, TimeSpan};
use crate::model::names::SnapshotName;

/// Checks the whole document.
pub(super) fn check(tree: &Tree, shape: &Shape<'_>, text: &Text<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let first = diagnostics.len();
    let mut check = Check { tree, text, first, diagnostics };
    check.node(Tree::ROOT, shape);
}

struct Check<'a, 'b> {
    tree: &'a Tree,
    text: &'a Text<'a>,
    first: usize,
    diagnostics: &'b mut Vec<Diagnostic>,
}

impl<'a> Check<'a, '_> {
    /// Checks one value. The gate's depth limit bounds the recursion.
    fn node(&mut self, id: NodeId, shape: &Shape<'_>) {
        let (tree, wants) = (self.tree, shape.wants);
        match (&tree.node(id).value, wants) {
            (Value::Refused, _) => {}
            (Value::Scalar(scalar), _) if scalar.meaning() == Meaning::Null => {
                if !shape.nullable {
                    self.empty(id, wants);
                }
            }
            (Value::Mapping(children), "object") => self.mapping(id, children, shape),
            (Value::Sequence(items), "array") => self.list(id, items, shape),
            (Value::Scalar(scalar), "string") => self.string(id, scalar, shape),
            (Value::Scalar(scalar), "boolean") => {
                if scalar.meaning() != Meaning::Bool {
                    self.not_boolean(id, scalar);
                }
            }
            (Value::Scalar(scalar), "integer") => self.integer(id, scalar, shape.schema),
            (value, _) => {
                let found = match value {
                    Value::Scalar(scalar) => format!("{} `{}`", word(scalar.meaning()), shown(&scalar.text)),
                    Value::Sequence(_) => "a list".to_owned(),
                    Value::Mapping(_) | Value::Refused => "a mapping".to_owned(),
                };
                let message = format!("`{}` must be {}, not {found}", tree.path(id), article(wants));
                let help = shape_help(&tree.path(id), wants, value);
                self.report(Code::WrongType, id, message, format!("expected {}", article(wants)), help);
            }
        }
    }

    fn mapping(&mut self, id: NodeId, children: &[NodeId], shape: &Shape<'_>) {
        let tree = self.tree;
        // Only where a field is unknown: mostly none is, and the table costs more than all else here.
        let given: OnceCell<HashSet<&str>> = OnceCell::new();
        let keys = || children.iter().filter_map(|&child| Some(tree.node(child).key.as_ref()?.text.as_str()));
        // A misspelt required field is one fault, not an unknown and a missing one.
        let mut meant: HashSet<String> = HashSet::new();
        for &child in children {
            let Some(key) = &self.tree.node(child).key else { continue };
            match (shape.property(&key.text), &shape.other) {
                (Some(property), _) => self.node(child, property),
                (None, Some(other)) => self.node(child, other),
                (None, None) => {
                    let given = given.get_or_init(|| keys().collect());
                    meant.extend(self.unknown(id, child, &key.text, shape, given));
                }
            }
        }
        for &field in &shape.required {
            if tree.get(id, field).is_none() && !meant.contains(field) {
                let place = self.tree.path(id);
                let message = match id {
                    Tree::ROOT => format!("missing field `{field}`"),
                    _ => format!("missing field `{field}` in `{place}`"),
                };
                let help = shape.property(field).and_then(|property| property.describe(field));
                self.report(Code::MissingField, id, message, format!("`{field}` is required here"), help);
            }
        }
    }

    /// Reports an unknown field and returns the one that was probably meant.
    fn unknown(
        &mut self,
        id: NodeId,
        child: NodeId,
        key: &str,
        shape: &Shape<'_>,
        given: &HashSet<&str>,
    ) -> Option<String> {
        if self.full() {
            return None;
        }
        let allowed: Vec<&str> = shape.properties.iter().map(|(name, _)| *name).collect();
        let message = match id {
            Tree::ROOT => format!("unknown field `{}`", shown(key)),
            _ => format!("unknown field `{}` in `{}`", shown(key), self.tree.path(id)),
        };
        let near = suggestion(key, allowed.iter().copied().filter(|field| !given.contains(field)));
        let label = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "not a field of this mapping".to_owned(),
        };
        let help = format!("allowed here: {}", allowed.join(", "));
        let place = self.tree.key_place(child);
        let found = Diagnostic::at(Code::UnknownField, self.text, &place, message).label(label).help(help);
        self.diagnostics.push(found);
        near.map(str::to_owned)
    }

    fn list(&mut self, id: NodeId, items: &[NodeId], shape: &Shape<'_>) {
        let least = shape.schema.get("minItems").and_then(Json::as_u64).unwrap_or(0);
        if (items.len() as u64) < least {
            let message = format!("`{}` must not be an empty list", self.tree.path(id));
            self.report(Code::WrongValue, id, message, "at least one is required".to_owned(), None);
        }
        if let Some(item) = &shape.items {
            for &child in items {
                self.node(child, item);
            }
        }
    }

    fn string(&mut self, id: NodeId, scalar: &Scalar, shape: &Shape<'_>) {
        if scalar.meaning() != Meaning::Text {
            let path = self.tree.path(id);
            let message = format!("`{path}` must be text, not {} `{}`", word(scalar.meaning()), shown(&scalar.text));
            let help = format!("write it in quotes: \"{}\"", shown(&scalar.text));
            self.report(Code::WrongType, id, message, "expected text".to_owned(), Some(help));
            return;
        }
        if let Some(choices) = &shape.choices {
            let choices = || choices.iter().copied();
            if !choices().any(|choice| choice == scalar.text) {
                let message = format!("`{}` cannot be `{}`", self.tree.path(id), shown(&scalar.text));
                let label = match suggestion(&scalar.text, choices()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "not one of the allowed values".to_owned(),
                };
                let allowed = choices().collect::<Vec<_>>().join(", ");
                self.report(Code::WrongValue, id, message, label, Some(format!("allowed: {allowed}")));
            }
            return;
        }
        let fault = match shape.name {
            Some("SnapshotName") => SnapshotName::parse(&scalar.text).err().map(|error| error.to_string()),
            Some("TimeSpan") => TimeSpan::parse(&scalar.text).err(),
            Some("DateOrInstant") => DateOrInstant::parse(&scalar.text).err(),
            _ => None,
        };
        if let Some(fault) = fault {
            let message = format!("`{}`: {fault}", self.tree.path(id));
            self.report(Code::WrongValue, id, message, "not allowed here".to_owned(), None);
        }
    }

    fn integer(&mut self, id: NodeId, scalar: &Scalar, schema: &Map<String, Json>) {
        let path = || self.tree.path(id);
        let Meaning::Integer(number) = scalar.meaning() else {
            let found = match scalar.meaning() {
                Meaning::Text if scalar.text.starts_with('0') && scalar.plain => {
                    "a number that begins with 0,".to_owned()
                }
                other => word(other).to_owned(),
            };
            let message = format!("`{}` must be a whole number, not {found} `{}`", path(), shown(&scalar.text));
            self.report(Code::WrongType, id, message, "expected a whole number".to_owned(), None);
            return;
        };
        let least = schema.get("minimum").and_then(Json::as_i64).unwrap_or(0);
        let most = schema.get("maximum").and_then(Json::as_i64).unwrap_or(i64::from(u32::MAX));
        if number < i128::from(least) || number > i128::from(most) {
            let message = format!("`{}` must be {least} to {most}, not {number}", path());
            self.report(Code::WrongValue, id, message, "out of range".to_owned(), None);
        }
    }

    fn not_boolean(&mut self, id: NodeId, scalar: &Scalar) {
        let path = self.tree.path(id);
        let meant = match scalar.text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "1" | "true" => Some("true"),
            "no" | "off" | "n" | "0" | "false" => Some("false"),
            _ => None,
        };
        let message =
            format!("`{path}` must be true or false, not {} `{}`", word(scalar.meaning()), shown(&scalar.text));
        let label = meant.map_or_else(|| "expected true or false".to_owned(), |word| format!("write `{word}`"));
        let help = meant.map(|_| {
            "in YAML 1.2 only true and false are booleans; yes, no, on, off and quoted words are text".to_owned()
        });
        self.report(Code::WrongType, id, message, label, help);
    }

    fn empty(&mut self, id: NodeId, wants: &str) {
        let path = self.tree.path(id);
        let message = match id {
            Tree::ROOT => "the document is empty".to_owned(),
            _ => format!("`{path}` has no value"),
        };
        let help = format!("give {}; a field that is not required can be left out", article(wants));
        self.report(Code::WrongType, id, message, format!("expected {}", article(wants)), Some(help));
    }

    fn report(&mut self, code: Code, id: NodeId, message: String, label: String, help: Option<String>) {
        if self.full() {
            return;
        }
        let found = Diagnostic::at(code, self.text, &self.tree.place(id), message).label(label);
        self.diagnostics.push(Diagnostic { help, ..found });
    }

    fn full(&self) -> bool {
        self.diagnostics.len() - self.first >= MAX_FAULTS
    }
}

fn word(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Null => "the empty value",
        Meaning::Bool => "the boolean",
        Meaning::Integer(_) | Meaning::Float => "the number",
        Meaning::Text => "the text",
    }
}

fn article(wants: &str) -> &'static str {
    match wants {
        "object" => "a mapping",
        "array" => "a list",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "text",
    }
}

/// How to write the shape that was wanted, where something else was written.
fn shape_help(path: &str, wants: &str, found: &Value) -> Option<String> {
    let field = path.rsplit(['.', ']']).next().filter(|field| !field.is_empty())?;
    match (wants, found) {
        ("array", Value::Scalar(scalar)) => Some(format!("for one value write `{field}: [{}]`", shown(&scalar.text))),
        ("array", Value::Mapping(_)) => Some("each item of a list begins with `- `".to_owned()),
        ("object", Value::Sequence(_)) => Some("remove the `- ` in front of its fields".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::gate;
    use crate::manifest::kind::Kind;
    use crate::manifest::schema;
    use crate::manifest::source::Source;

    /// The messages about the `spec` of a document.
    fn messages(kind: Kind, spec: &str) -> Vec<String> {
        let yaml = format!("apiVersion: snapward/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n");
        let source = Source { name: "f".into(), text: yaml.into() };
        let text = Text::of(&source);
        let mut found = Vec::new();
        let tree = gate::read(&source, &text, &mut found).documents.remove(0).tree;
        check(&tree, schema::cached(kind), &text, &mut found);
        found.into_iter().map(|d| d.message).collect()
    }

    #[test]
    fn everything_is_reported_at_once() {
        let spec = "{domains: {include: [1]}, currnet: a, snapshots: [{when: never, deleteAfter: 0s}]}";
        assert_eq!(
            messages(Kind::SnapshotSet, spec),
            [
                "`spec.domains.include[0]` must be text, not the number `1`",
                "unknown field `currnet` in `spec`",
                "`spec.snapshots[0].when` cannot be `never`",
                "`spec.snapshots[0].deleteAfter`: a span of time must be longer than zero",
                "missing field `name` in `spec.snapshots[0]`",
            ]
        );
    }

    #[test]
    fn a_misspelt_required_field_is_one_fault() {
        assert_eq!(messages(Kind::SnapshotSet, "{domain: {include: [a]}}"), ["unknown field `domain` in `spec`"]);
    }

    #[test]
    fn null_is_for_the_three_fields_that_say_so() {
        let spec = "{domains: {include: [a]}, suspend: ~, snapshots: [{name: a, deleteAfter: null}]}";
        assert!(messages(Kind::SnapshotSet, spec).is_empty());
        assert!(messages(Kind::RetentionPolicy, "{keep: {last: 1}, maximumAge: null}").is_empty());
        assert_eq!(
            messages(Kind::SnapshotSet, "{domains: {include: [a]}, current: }"),
            ["`spec.current` has no value"]
        );
    }

    #[test]
    fn numbers_keep_their_range() {
        for (value, wants) in [
            ("4294967296", "must be 0 to 4294967295, not 4294967296"),
            ("-1", "must be 0 to 4294967295, not -1"),
            ("1.5", "must be a whole number, not the number `1.5`"),
            ("010", "must be a whole number, not a number that begins with 0, `010`"),
            ("\"1\"", "must be a whole number, not the text `1`"),
        ] {
            let found = messages(Kind::RetentionPolicy, &format!("{{keep: {{last: {value}}}}}"));
            assert_eq!(found, [format!("`spec.keep.last` {wants}")]);
        }
        assert!(messages(Kind::RetentionPolicy, "{keep: {last: 0x10}}").is_empty());
    }
}
