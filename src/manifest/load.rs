//! All sources to one desired state, with every finding about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decode::{AnyDocument, decode};
use super::diagnostic::{Code, Diagnostic};
use super::gate;
use super::source::{Source, Text};
use super::validate::{Entry, validate};
use crate::model::desired::{DesiredState, Document, id_of};
use crate::model::text::fold_newlines;
use crate::parallel::{by_own_pieces, by_pieces};

/// What the manifests say.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Usable only where there is no error.
    pub desired: DesiredState,
    /// Sorted by file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// The number of documents, also broken ones.
    pub documents: usize,
}

impl Loaded {
    /// Whether the desired state must not be used.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads all sources. Never fails: what is wrong is in the diagnostics.
pub fn load(sources: &[Source]) -> Loaded {
    let texts: Vec<Text<'_>> = by_pieces(sources, WORTH_A_THREAD, |some| some.iter().map(Text::of).collect());
    let mut diagnostics = Vec::new();
    let mut entries = Vec::new();
    let (mut documents, mut complete) = (0, true);
    for mut read in read_all(sources, &texts) {
        complete &= read.complete;
        documents += read.documents;
        entries.append(&mut read.entries);
        diagnostics.append(&mut read.diagnostics);
    }
    if documents == 0 && diagnostics.is_empty() {
        diagnostics.push(nothing(sources));
    }
    validate(&entries, complete, &mut diagnostics);
    sort(&mut diagnostics, sources);
    let mut desired = DesiredState::default();
    for value in by_own_pieces(entries, WORTH_A_THREAD, |some| some.into_iter().filter_map(finished).collect()) {
        put(&mut desired, value);
    }
    Loaded { desired, diagnostics, documents }
}

/// What one source holds.
struct Read<'a> {
    entries: Vec<Entry<'a>>,
    /// The number of documents, also broken ones.
    documents: usize,
    /// False where a reference may be to something that could not be read.
    complete: bool,
    diagnostics: Vec<Diagnostic>,
}

/// Fewer sources are read before a thread has started.
pub(super) const WORTH_A_THREAD: usize = 32;

/// Reads all sources, several at a time: they meet only in what is validated afterwards. In their order.
fn read_all<'a>(sources: &[Source], texts: &'a [Text<'a>]) -> Vec<Read<'a>> {
    let pairs: Vec<_> = sources.iter().zip(texts).collect();
    by_pieces(&pairs, WORTH_A_THREAD, |pairs| pairs.iter().map(|(source, text)| read(source, text)).collect())
}

fn read<'a>(source: &Source, text: &'a Text<'a>) -> Read<'a> {
    let mut diagnostics = Vec::new();
    let gated = gate::read(source, text, &mut diagnostics);
    let (mut entries, documents, mut complete) = (Vec::new(), gated.documents.len(), gated.complete);
    for document in gated.documents {
        match decode(&document, text, &mut diagnostics) {
            Some(decoded) => entries.push(Entry { text, tree: document.tree, decoded }),
            // Of another kind, perhaps by a slip: a reference to it is no second fault.
            None => complete = false,
        }
    }
    Read { entries, documents, complete, diagnostics }
}

fn nothing(sources: &[Source]) -> Diagnostic {
    let file = sources.first().map_or("-", |source| &*source.name);
    let message = match sources {
        [] => "no manifest was given".to_owned(),
        [_] => "the file holds no document".to_owned(),
        all => format!("none of the {} files holds a document", all.len()),
    };
    Diagnostic::about_file(Code::NoManifest, file, message)
        .help("a document begins with `apiVersion: snapward/v1` and `kind: SnapshotSet`")
}

/// By the order of the sources, then by place.
fn sort(diagnostics: &mut [Diagnostic], sources: &[Source]) {
    // Mostly there is none, and thousands of sources.
    if diagnostics.len() < 2 {
        return;
    }
    let order: BTreeMap<&str, usize> = sources.iter().enumerate().rev().map(|(i, source)| (&*source.name, i)).collect();
    diagnostics.sort_by(|a, b| {
        let key =
            |d: &Diagnostic| (order.get(&*d.file).copied().unwrap_or(usize::MAX), d.range.start, d.line, d.severity);
        key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
    });
}

/// What stays of a document: its value, and where its values stand. None where it has errors.
fn finished(entry: Entry<'_>) -> Option<Document<AnyDocument>> {
    let Entry { text, tree, decoded } = entry;
    let mut value = decoded.value?;
    if let AnyDocument::SnapshotSet(set) = &mut value {
        // libvirt's XML parser folds them; a CR kept here would be drift for ever.
        for description in set.spec.snapshots.iter_mut().filter_map(|snapshot| snapshot.description.as_mut()) {
            *description = fold_newlines(description);
        }
    }
    Some(Document { file: Arc::clone(text.name), lines: Arc::new(tree.into_lines(text)), value })
}

fn put(desired: &mut DesiredState, document: Document<AnyDocument>) {
    let Document { file, lines, value } = document;
    match value {
        AnyDocument::SnapshotSet(value) => desired.sets.push(Document { file, lines, value: *value }),
        AnyDocument::SeriesTemplate(value) => {
            desired.templates.insert(id_of(&value.metadata), Document { file, lines, value: *value });
        }
        AnyDocument::RetentionPolicy(value) => {
            desired.retention.insert(id_of(&value.metadata), Document { file, lines, value: *value });
        }
        AnyDocument::SafetyPolicy(value) => {
            desired.safety.insert(id_of(&value.metadata), Document { file, lines, value: *value });
        }
        AnyDocument::RevertRequest(value) => desired.reverts.push(Document { file, lines, value: *value }),
        AnyDocument::Inventory(value) => desired.inventories.push(Document { file, lines, value: *value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source { name: name.into(), text: text.as_bytes().to_vec() }
    }

    fn set(name: &str, spec: &str) -> String {
        format!("apiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {{name: {name}}}\nspec:\n{spec}")
    }

    #[test]
    fn every_value_has_its_line() {
        let text = "---\n".to_owned()
            + &set(
                "web",
                "  domains:\n    include:\n      - web-1\n  snapshots:\n    - name: golden\n      create: never\n",
            );
        let loaded = load(&[source("web.yaml", &text)]);
        assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
        let document = &loaded.desired.sets[0];
        let line = |pointer: &str| document.origin(pointer).line;
        assert_eq!(line(""), 2);
        assert_eq!(line("/spec/domains/include"), 7);
        assert_eq!(line("/spec/domains/include/0"), 8);
        assert_eq!(line("/spec/snapshots/0"), 10);
        assert_eq!(line("/spec/snapshots/0/create"), 11);
        assert_eq!(line("/spec/snapshots/0/protect"), 10);
    }

    #[test]
    fn a_cr_in_a_description_is_folded() {
        let spec =
            "  domains: {include: [a]}\n  snapshots: [{name: g, create: never, description: \"a\\r\\nb\\rc\"}]\n";
        let loaded = load(&[source("web.yaml", &set("web", spec))]);
        assert_eq!(loaded.desired.sets[0].value.spec.snapshots[0].description.as_deref(), Some("a\nb\nc"));
    }

    #[test]
    fn references_resolve_across_files_and_findings_keep_the_order_of_the_files() {
        let policy = "apiVersion: snapward/v1\nkind: SafetyPolicy\nmetadata: {name: strict}\nspec: {chainLimit: x}\n";
        let spec = "  domains: {include: [a]}\n  safety: {policyRef: strict}\n  current: ''\n";
        let loaded = load(&[source("z.yaml", &set("web", spec)), source("a.yaml", policy)]);
        let places: Vec<_> = loaded.diagnostics.iter().map(|d| (&*d.file, d.line)).collect();
        // The broken policy is still the one referred to.
        assert_eq!(places, [("z.yaml", 7), ("a.yaml", 4)]);
    }

    #[test]
    fn a_file_that_ends_early_leaves_references_alone() {
        let loaded = load(&[
            source("web.yaml", &set("web", "  domains: {include: [a]}\n  safety: {policyRef: strict}\n")),
            source("policies.yaml", "a: [\n"),
        ]);
        assert_eq!(loaded.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), [Code::Syntax]);
    }

    #[test]
    fn no_document_at_all_is_an_error_and_an_empty_file_beside_others_is_not() {
        assert_eq!(load(&[]).diagnostics[0].code, Code::NoManifest);
        assert_eq!(load(&[source("a.yaml", "# only\n")]).diagnostics[0].code, Code::NoManifest);
        let text = set("web", "  domains: {include: [a]}\n");
        assert!(load(&[source("a.yaml", ""), source("b.yaml", &text)]).diagnostics.is_empty());
    }
}
