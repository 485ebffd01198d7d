//! From a gated document to a value of its kind: the kind first, then the schema's faults, then serde_yaml.

use crate::model::text::suggestion;
use serde::de::DeserializeOwned;

use super::check::check;
use super::diagnostic::{Code, Diagnostic};
use super::gate::Gated;
use super::kind::{KINDS, Kind};
use super::schema;
use super::source::Text;
use super::tree::{NodeId, Tree, Value, shown};
use crate::model::kinds::{
    API_VERSION, Inventory, RetentionPolicy, RevertRequest, SafetyPolicy, SeriesTemplate, SnapshotSet,
};

/// A document of any kind.
#[derive(Debug)]
pub(super) enum AnyDocument {
    SnapshotSet(Box<SnapshotSet>),
    SeriesTemplate(Box<SeriesTemplate>),
    RetentionPolicy(Box<RetentionPolicy>),
    SafetyPolicy(Box<SafetyPolicy>),
    RevertRequest(Box<RevertRequest>),
    Inventory(Box<Inventory>),
}

/// What could be read of a document; a broken one still takes its name.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) kind: Kind,
    /// `metadata.name` and `metadata.namespace`, where they are text.
    pub(super) name: Option<(String, String)>,
    /// None where it has errors.
    pub(super) value: Option<AnyDocument>,
}

/// Decodes one document. None where its kind is not ours.
pub(super) fn decode(document: &Gated, text: &Text<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<Decoded> {
    let before = diagnostics.len();
    let kind = kind_of(&document.tree, text, diagnostics)?;
    check(&document.tree, schema::cached(kind), text, diagnostics);
    let name = name_of(&document.tree);
    let mut value = None;
    if document.sound && diagnostics.len() == before {
        match decode_as(kind, text.text.get(document.range.clone()).unwrap_or_default()) {
            Ok(decoded) => value = Some(decoded),
            Err(error) => diagnostics.push(serde_fault(&document.tree, text, &error)),
        }
    }
    Some(Decoded { kind, name, value })
}

fn kind_of(tree: &Tree, text: &Text<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<Kind> {
    let names = || KINDS.map(Kind::as_str);
    let root = tree.node(Tree::ROOT);
    match &root.value {
        Value::Mapping(_) => {}
        Value::Refused => return None,
        Value::Scalar(_) | Value::Sequence(_) => {
            let found = Diagnostic::at(Code::WrongType, text, &root.range, "a document must be a mapping")
                .label("expected `apiVersion: snapward/v1`")
                .help("see `snapward schema` for the fields of each kind");
            diagnostics.push(found);
            return None;
        }
    }
    let api_version = tree.get(Tree::ROOT, "apiVersion");
    match api_version.map(|id| (id, tree.text(id))) {
        Some((_, Some(version))) if version == API_VERSION => {}
        // Missing, empty or not text: the schema check says so.
        None => {}
        Some((_, None)) => {}
        Some((id, Some(version))) => {
            let message = format!("`apiVersion` cannot be `{}`", shown(version));
            let help = match version.starts_with("snapward/") {
                true => format!("this snapward reads {API_VERSION}; a newer manifest needs a newer snapward"),
                false => "this is not a manifest of snapward; keep other YAML files out of the directory".to_owned(),
            };
            let found = Diagnostic::at(Code::UnknownKind, text, &tree.place(id), message);
            diagnostics.push(found.label(format!("expected `{API_VERSION}`")).help(help));
            return None;
        }
    }
    let Some(id) = tree.get(Tree::ROOT, "kind") else {
        let found = Diagnostic::at(Code::MissingField, text, &root.range, "missing field `kind`")
            .label("`kind` is required here")
            .help(format!("allowed: {}", names().join(", ")));
        diagnostics.push(found);
        return None;
    };
    let name = tree.text(id).unwrap_or_default();
    if let Some(kind) = Kind::from_name(name) {
        return Some(kind);
    }
    if matches!(tree.node(id).value, Value::Refused) {
        return None;
    }
    let message = match name {
        "" => "`kind` must be the name of a kind".to_owned(),
        name => format!("unknown kind `{}`", shown(name)),
    };
    let label = match suggestion(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "not a kind".to_owned(),
    };
    let found = Diagnostic::at(Code::UnknownKind, text, &tree.place(id), message);
    diagnostics.push(found.label(label).help(format!("allowed: {}", names().join(", "))));
    None
}

fn name_of(tree: &Tree) -> Option<(String, String)> {
    let metadata = tree.get(Tree::ROOT, "metadata")?;
    let text = |key| tree.get(metadata, key).and_then(|id| tree.text(id));
    Some((text("name")?.to_owned(), text("namespace").unwrap_or("default").to_owned()))
}

fn decode_as(kind: Kind, yaml: &str) -> Result<AnyDocument, serde_yaml::Error> {
    fn read<T: DeserializeOwned>(yaml: &str) -> Result<T, serde_yaml::Error> {
        serde_yaml::from_str(yaml)
    }
    Ok(match kind {
        Kind::SnapshotSet => AnyDocument::SnapshotSet(Box::new(read(yaml)?)),
        Kind::SeriesTemplate => AnyDocument::SeriesTemplate(Box::new(read(yaml)?)),
        Kind::RetentionPolicy => AnyDocument::RetentionPolicy(Box::new(read(yaml)?)),
        Kind::SafetyPolicy => AnyDocument::SafetyPolicy(Box::new(read(yaml)?)),
        Kind::RevertRequest => AnyDocument::RevertRequest(Box::new(read(yaml)?)),
        Kind::Inventory => AnyDocument::Inventory(Box::new(read(yaml)?)),
    })
}

/// serde_yaml's words at the place its path names: `spec.snapshots[0].name: message at line 3 column 5`.
fn serde_fault(tree: &Tree, text: &Text<'_>, error: &serde_yaml::Error) -> Diagnostic {
    let words = error.to_string();
    // The position is relative to the document, and the path says it better.
    let words = words.rfind(" at line ").map_or(words.as_str(), |at| &words[..at]);
    let (id, rest) = longest_path(tree, words);
    let message = match id {
        Tree::ROOT => rest.to_owned(),
        id => format!("`{}`: {rest}", tree.path(id)),
    };
    Diagnostic::at(Code::WrongValue, text, &tree.place(id), shown_message(&message))
}

/// The deepest node whose path begins the message, and the message behind it.
fn longest_path<'a>(tree: &Tree, words: &'a str) -> (NodeId, &'a str) {
    let (mut at, mut rest) = (Tree::ROOT, words);
    loop {
        let next = tree.children(at).iter().find_map(|&child| {
            let node = tree.node(child);
            let after = match &node.key {
                Some(key) => rest.strip_prefix('.').unwrap_or(rest).strip_prefix(key.text.as_str())?,
                None => rest.strip_prefix(&format!("[{}]", node.index))?,
            };
            after.starts_with(['.', '[', ':']).then_some((child, after))
        });
        match next {
            Some((child, after)) => (at, rest) = (child, after),
            None => return (at, rest.strip_prefix(": ").unwrap_or(rest)),
        }
    }
}

fn shown_message(message: &str) -> String {
    crate::model::text::printable(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::gate;
    use crate::manifest::source::Source;

    #[test]
    fn the_words_of_serde_yaml_find_their_place() {
        let yaml = "spec:\n  a.b: [x, {c: 1}]\n";
        let source = Source { name: "f".into(), text: yaml.into() };
        let text = Text::of(&source);
        let tree = gate::read(&source, &text, &mut Vec::new()).documents.remove(0).tree;
        assert_eq!(longest_path(&tree, "spec.a.b[1].c: bad").1, "bad");
        assert_eq!(tree.pointer(longest_path(&tree, "spec.a.b[1].c: bad").0), "/spec/a.b/1/c");
        assert_eq!(longest_path(&tree, "missing field `x`"), (Tree::ROOT, "missing field `x`"));
        let error = serde_yaml::from_str::<RetentionPolicy>("spec:\n  keep: {last: -1}\n").expect_err("negative");
        assert!(serde_fault(&tree, &text, &error).message.contains("invalid type"), "{error}");
    }
}
