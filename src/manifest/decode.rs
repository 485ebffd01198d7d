//! From a gated document to a value of its kind: the kind first, then the schema's faults, then serde.

use super::check::check;
use super::diagnostic::{Code, Diagnostic};
use super::gate::Gated;
use super::kind::{KINDS, Kind};
use super::schema;
use super::source::Text;
use super::tree::{Tree, Value, shown};
use super::value::{self, Fault};
use crate::model::kinds::{
    API_VERSION, Inventory, RetentionPolicy, RevertRequest, SafetyPolicy, SeriesTemplate, SnapshotSet,
};
use crate::model::text::{printable, suggestion};

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
        match decode_as(kind, &document.tree) {
            Ok(decoded) => value = Some(decoded),
            Err(fault) => diagnostics.push(serde_fault(&document.tree, text, &fault)),
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

fn decode_as(kind: Kind, tree: &Tree) -> Result<AnyDocument, Fault> {
    Ok(match kind {
        Kind::SnapshotSet => AnyDocument::SnapshotSet(Box::new(value::decode(tree)?)),
        Kind::SeriesTemplate => AnyDocument::SeriesTemplate(Box::new(value::decode(tree)?)),
        Kind::RetentionPolicy => AnyDocument::RetentionPolicy(Box::new(value::decode(tree)?)),
        Kind::SafetyPolicy => AnyDocument::SafetyPolicy(Box::new(value::decode(tree)?)),
        Kind::RevertRequest => AnyDocument::RevertRequest(Box::new(value::decode(tree)?)),
        Kind::Inventory => AnyDocument::Inventory(Box::new(value::decode(tree)?)),
    })
}

/// What serde found, at the value that has it.
fn serde_fault(tree: &Tree, text: &Text<'_>, fault: &Fault) -> Diagnostic {
    let id = fault.at.unwrap_or(Tree::ROOT);
    let message = match id {
        Tree::ROOT => fault.message.clone(),
        id => format!("`{}`: {}", tree.path(id), fault.message),
    };
    Diagnostic::at(Code::WrongValue, text, &tree.place(id), printable(&message))
}
