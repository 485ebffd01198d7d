//! The gate: reads a text as YAML events, with limits, and refuses what two readers could take differently.
//!
//! Anchors, aliases, merge keys, tags, keys that are not text and duplicate keys never reach the decoder. Events are
//! taken from an iterator onto a stack of our own, never by recursion: a file of 40 KB can nest 20,000 lists.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::diagnostic::{Code, Diagnostic};
use super::source::{Source, Text};
use super::tree::{Key, Meaning, Node, NodeId, Scalar, Tree, Value, shown};

/// The largest file. A set of a thousand snapshots is about 100 KB and an object of Kubernetes at most 1.5 MB; beyond
/// this it is not a manifest but a disk image with the wrong name, and two parsers take longer than a second.
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// The deepest nesting of lists and mappings. The deepest value of any kind is 8 deep (a disk of a capture of a series).
pub(super) const MAX_DEPTH: usize = 32;

/// The most values in a file: one for every 20 bytes of the largest file, about what real manifests have. It bounds the
/// memory of a file made of commas.
pub(super) const MAX_NODES: usize = 200_000;

/// The most faults collected from a file before the rest of it is left unread.
pub(super) const MAX_FAULTS: usize = 1000;

/// One document that the gate let through.
#[derive(Debug)]
pub(super) struct Gated {
    pub(super) tree: Tree,
    /// False where something in it was refused: it is checked further, but not decoded.
    pub(super) sound: bool,
}

/// What the gate made of one source.
#[derive(Debug, Default)]
pub(super) struct GatedSource {
    pub(super) documents: Vec<Gated>,
    /// False where the text could not be read to its end, so that documents may be missing.
    pub(super) complete: bool,
}

/// Reads one source.
pub(super) fn read(source: &Source, text: &Text<'_>, diagnostics: &mut Vec<Diagnostic>) -> GatedSource {
    if let Some(fault) = check_text(source, text) {
        diagnostics.push(fault);
        return GatedSource::default();
    }
    let mut gate =
        Gate { text, offsets: Offsets::of(&text.text), out: GatedSource::default(), open: None, nodes: 0, diagnostics };
    gate.out.complete = gate.run().is_ok();
    gate.out
}

/// What is wrong with size, encoding or characters, before any parser sees the text.
fn check_text(source: &Source, text: &Text<'_>) -> Option<Diagnostic> {
    if source.text.len() > MAX_FILE_BYTES {
        return Some(too_large(&source.name, source.text.len() as u64));
    }
    let bytes = source.text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(&source.text);
    if let Err(error) = std::str::from_utf8(bytes) {
        let at = error.valid_up_to();
        let message = format!("the file is not UTF-8: byte {:#04x} stands here", bytes.get(at).copied().unwrap_or(0));
        return Some(
            Diagnostic::at(Code::Character, text, &(at..at + 1), message)
                .help("save the file as UTF-8; UTF-16 and Latin-1 are not read"),
        );
    }
    // The parser keeps what stands in brackets until they close, because it could be a key, at 350 bytes a piece
    // (saphyr-parser 0.3: `stale_simple_keys` lets none of a flow collection go). Each piece has its comma or bracket.
    let mut pieces = text.text.bytes().enumerate().filter(|(_, byte)| matches!(byte, b',' | b'[' | b'{'));
    if let Some((at, _)) = pieces.nth(MAX_NODES) {
        let message = format!("the file has more than {MAX_NODES} commas and opening brackets");
        let found = Diagnostic::at(Code::Limit, text, &(at..at + 1), message);
        return Some(found.help("split it into several files; references work across files"));
    }
    // NEL, LS and PS end a line for YAML 1.1 readers and not for YAML 1.2 ones; DEL, the C1 controls and a byte order
    // mark inside the text are refused by some. In quotes each can be written as an escape.
    let refused = |c: char| {
        !crate::model::text::is_xml_char(c) || matches!(c, '\u{7F}'..='\u{9F}' | '\u{2028}' | '\u{2029}' | '\u{FEFF}')
    };
    let printable = |b: &u8| matches!(b, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    if text.text.as_bytes().iter().all(printable) {
        return None;
    }
    let (at, c) = text.text.char_indices().find(|&(_, c)| refused(c))?;
    let message = format!("the character {} is not allowed in a manifest", c.escape_unicode());
    let help = match crate::model::text::is_xml_char(c) {
        true => format!("in double quotes it can be written \"\\u{:04X}\"", u32::from(c)),
        false => "remove it; libvirt's XML cannot hold it either".to_owned(),
    };
    Some(Diagnostic::at(Code::Character, text, &(at..at + c.len_utf8()), message).help(help))
}

/// The finding about a file that is too large, also for readers that stop before reading it.
pub fn too_large(name: &str, bytes: u64) -> Diagnostic {
    let message = format!("the file has {bytes} bytes, more than the {MAX_FILE_BYTES} a manifest may have");
    Diagnostic::about_file(Code::Limit, name, message).help("split it into several files; references work across files")
}

/// From the parser's character counts to byte offsets.
struct Offsets {
    /// None where the text is ASCII and both agree.
    bytes: Option<Vec<u32>>,
    len: usize,
}

impl Offsets {
    fn of(text: &str) -> Self {
        // The size cap keeps every offset within u32.
        let bytes = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at as u32).collect());
        Self { bytes, len: text.len() }
    }

    fn byte(&self, index: usize) -> usize {
        match &self.bytes {
            None => index.min(self.len),
            Some(bytes) => bytes.get(index).map_or(self.len, |&at| at as usize),
        }
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }
}

/// The document being read.
struct Open {
    tree: Tree,
    sound: bool,
    stack: Vec<Frame>,
    /// How many containers of a refused key are open.
    skipping: usize,
}

/// A list or mapping being read.
struct Frame {
    id: NodeId,
    mapping: bool,
    /// For a mapping with many keys: where each of them is among the nodes.
    index: HashMap<String, NodeId>,
    /// For a mapping: the key whose value comes next.
    key: Option<NextKey>,
    children: Vec<NodeId>,
}

/// A mapping of so many keys is searched faster by an index than one by one.
const MANY_KEYS: usize = 16;

impl Frame {
    /// The value that a key was given before. Each key that fits has one by the time the next key comes.
    fn find(&mut self, tree: &Tree, key: &str) -> Option<NodeId> {
        let named = |id: &NodeId| tree.node(*id).key.as_ref().map(|key| key.text.as_str());
        if self.children.len() < MANY_KEYS {
            return self.children.iter().copied().find(|id| named(id) == Some(key));
        }
        for id in &self.children[self.index.len()..] {
            self.index.insert(named(id).unwrap_or_default().to_owned(), *id);
        }
        self.index.get(key).copied()
    }
}

enum NextKey {
    Fit(Key),
    /// Refused; its value is dropped.
    Refused,
}

struct Gate<'a, 'b> {
    text: &'a Text<'a>,
    offsets: Offsets,
    out: GatedSource,
    open: Option<Open>,
    nodes: usize,
    diagnostics: &'b mut Vec<Diagnostic>,
}

/// The file is not read further; the reason is among the diagnostics.
struct Stop;

impl Gate<'_, '_> {
    fn run(&mut self) -> Result<(), Stop> {
        let text: &str = &self.text.text;
        let before = self.diagnostics.len();
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    self.diagnostics.push(self.syntax(&error));
                    return Err(Stop);
                }
            };
            let range = self.offsets.range(span);
            self.event(event, range)?;
            if self.diagnostics.len() - before > MAX_FAULTS {
                let message = format!("more than {MAX_FAULTS} faults; the rest of the file was not read");
                let at = self.offsets.range(span);
                self.diagnostics.push(Diagnostic::at(Code::Limit, self.text, &at, message));
                return Err(Stop);
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, range: Range<usize>) -> Result<(), Stop> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
            Event::DocumentStart(_) => {
                self.open = Some(Open { tree: Tree::default(), sound: true, stack: Vec::new(), skipping: 0 });
            }
            Event::DocumentEnd => self.close_document(),
            Event::Alias(_) => {
                self.refuse(
                    &range,
                    "an alias is not allowed in a manifest",
                    "write the value out, or move it to a policy",
                );
                self.value(range, Value::Refused)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.check_features(&range, anchor, tag.is_some());
                let scalar = Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                // What is written was checked with the whole text; only here it can be written as an escape.
                if style == ScalarStyle::DoubleQuoted {
                    self.check_characters(&range, &scalar.text);
                }
                self.value(range, Value::Scalar(scalar))?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_features(&range, anchor, tag.is_some());
                self.container(range, Value::Sequence(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.check_features(&range, anchor, tag.is_some());
                self.container(range, Value::Mapping(Vec::new()))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close_container(range.end),
        }
        Ok(())
    }

    fn close_document(&mut self) {
        let Some(open) = self.open.take() else { return };
        let empty = match open.tree.len() {
            0 => true,
            // Nothing between two `---`, or only a comment.
            _ => matches!(&open.tree.node(Tree::ROOT).value, Value::Scalar(s) if s.plain && s.text.is_empty()),
        };
        if !empty {
            self.out.documents.push(Gated { tree: open.tree, sound: open.sound });
        }
    }

    fn container(&mut self, range: Range<usize>, value: Value) -> Result<(), Stop> {
        let mapping = matches!(value, Value::Mapping(_));
        let depth = self.open.as_ref().map_or(0, |open| open.stack.len() + open.skipping);
        if depth >= MAX_DEPTH {
            let message = format!("lists and mappings are nested more than {MAX_DEPTH} deep");
            self.diagnostics.push(
                Diagnostic::at(Code::Limit, self.text, &range, message).help("no manifest is nested deeper than 8"),
            );
            return Err(Stop);
        }
        let id = self.value(range, value)?;
        let Some(open) = &mut self.open else { return Ok(()) };
        match id {
            Some(id) => {
                open.stack.push(Frame { id, mapping, index: HashMap::new(), key: None, children: Vec::new() });
            }
            None => open.skipping += 1,
        }
        Ok(())
    }

    fn close_container(&mut self, end: usize) {
        let Some(open) = &mut self.open else { return };
        if open.skipping > 0 {
            open.skipping -= 1;
            return;
        }
        let Some(frame) = open.stack.pop() else { return };
        let node = open.tree.node_mut(frame.id);
        node.range.end = end.max(node.range.end);
        match &mut node.value {
            Value::Sequence(children) | Value::Mapping(children) => *children = frame.children,
            Value::Scalar(_) | Value::Refused => {}
        }
    }

    /// Takes a value: as the next key, the value of the last key, an item, or the root. None: it is dropped.
    fn value(&mut self, range: Range<usize>, value: Value) -> Result<Option<NodeId>, Stop> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the file has more than {MAX_NODES} values");
            self.diagnostics
                .push(Diagnostic::at(Code::Limit, self.text, &range, message).help("split it into several files"));
            return Err(Stop);
        }
        let Some(open) = self.open.as_mut().filter(|open| open.skipping == 0) else { return Ok(None) };
        let (parent, index, key) = match open.stack.last_mut() {
            None => (None, 0, None),
            Some(frame) if !frame.mapping => (Some(frame.id), frame.children.len(), None),
            Some(frame) => match frame.key.take() {
                None => {
                    self.key(range, value);
                    return Ok(None);
                }
                Some(NextKey::Refused) => return Ok(None),
                Some(NextKey::Fit(key)) => (Some(frame.id), 0, Some(key)),
            },
        };
        let id = open.tree.push(Node { parent, key, index, range, value });
        if let Some(frame) = open.stack.last_mut() {
            frame.children.push(id);
        }
        Ok(Some(id))
    }

    fn key(&mut self, range: Range<usize>, value: Value) {
        let text = match value {
            Value::Scalar(scalar) if scalar.plain && scalar.text == "<<" => {
                self.refuse(
                    &range,
                    "a merge key is not allowed in a manifest",
                    "write the fields out, or move them to a template",
                );
                None
            }
            Value::Scalar(scalar) if scalar.meaning() == Meaning::Text => Some(scalar.text),
            Value::Scalar(scalar) => {
                let message = format!("a key must be text, and `{}` is not", shown(&scalar.text));
                let help = format!("write it in quotes: \"{}\"", shown(&scalar.text));
                self.refuse(&range, message, &help);
                None
            }
            Value::Sequence(_) | Value::Mapping(_) => {
                self.refuse(
                    &range,
                    "a key must be text, not a list or mapping",
                    "a value with braces of its own needs quotes: \"{x}\"",
                );
                None
            }
            Value::Refused => None,
        };
        let Some(open) = &mut self.open else { return };
        let Some(frame) = open.stack.last_mut() else { return };
        let Some(text) = text else {
            frame.key = Some(NextKey::Refused);
            return;
        };
        match frame.find(&open.tree, &text).and_then(|first| open.tree.node(first).key.as_ref()) {
            Some(Key { range: first, .. }) => {
                let message =
                    format!("duplicate key `{}`, given first on line {}", shown(&text), self.text.line(first.start));
                let duplicate = Diagnostic::at(Code::DuplicateKey, self.text, &range, message)
                    .label("given again here")
                    .related(self.text, first, "given first here")
                    .help("keep one of the two");
                self.diagnostics.push(duplicate);
                open.sound = false;
                frame.key = Some(NextKey::Refused);
            }
            None => frame.key = Some(NextKey::Fit(Key { text, range })),
        }
    }

    fn check_features(&mut self, range: &Range<usize>, anchor: usize, tag: bool) {
        if anchor > 0 {
            self.refuse(
                range,
                "an anchor is not allowed in a manifest",
                "write the value out where it is needed; text that begins with & needs quotes",
            );
        }
        if tag {
            self.refuse(range, "a tag is not allowed in a manifest", "remove it; text that begins with ! needs quotes");
        }
    }

    fn check_characters(&mut self, range: &Range<usize>, text: &str) {
        if let Some(c) = crate::model::text::first_forbidden(text) {
            let message =
                format!("the character {} cannot be stored by libvirt: XML 1.0 does not allow it", c.escape_unicode());
            self.diagnostics.push(Diagnostic::at(Code::Character, self.text, range, message).help("remove it"));
            if let Some(open) = &mut self.open {
                open.sound = false;
            }
        }
    }

    fn refuse(&mut self, range: &Range<usize>, message: impl Into<String>, help: &str) {
        self.diagnostics.push(Diagnostic::at(Code::Feature, self.text, range, message).help(help));
        if let Some(open) = &mut self.open {
            open.sound = false;
        }
    }

    fn syntax(&self, error: &ScanError) -> Diagnostic {
        let marker = error.marker();
        let at = self.offsets.byte(marker.index());
        syntax_fault(self.text, at, error.info())
    }
}

/// The parser's words, with help for the mistakes people make most.
fn syntax_fault(text: &Text<'_>, at: usize, info: &str) -> Diagnostic {
    let line = text.line_range(text.line(at));
    let written = text.text.get(line.clone()).unwrap_or_default();
    let indent = &written[..written.len() - written.trim_start().len()];
    if let Some(tab) = indent.find('\t') {
        let tab = line.start + tab;
        return Diagnostic::at(Code::Syntax, text, &(tab..tab + 1), "a tab cannot be used as indentation")
            .label("a tab")
            .help("indent with spaces");
    }
    let fault = |range: Range<usize>| Diagnostic::at(Code::Syntax, text, &range, format!("not valid YAML: {info}"));
    if info.contains("unknown anchor") || info.contains("scanning an anchor or alias") {
        return fault(at..line.end).help("a glob that begins with * needs quotes: \"*-web\"");
    }
    if info.contains("mapping values are not allowed") || info.contains("illegal placement of ':'") {
        return fault(at..at + 1)
            .help("check the indentation of this line and the one above; text that holds `: ` needs quotes");
    }
    // The parser often notices at the end of the text or on an empty line: the fault is before it.
    let end = at.max(line.start) + 1;
    fault(at..end).help("check the indentation, and that brackets, braces and quotes before this place are closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gated(text: &str) -> (GatedSource, Vec<Diagnostic>) {
        let source = Source { name: "f.yaml".into(), text: text.as_bytes().to_vec() };
        let mut diagnostics = Vec::new();
        let out = read(&source, &Text::of(&source), &mut diagnostics);
        (out, diagnostics)
    }

    #[test]
    fn ranges_are_bytes_also_after_wide_characters_and_crlf() {
        for newline in ["\n", "\r\n"] {
            let text = ["ключ: \"é\"", "list:", "  - 😀 x", "  - {k: v}", ""].join(newline);
            let (out, diagnostics) = gated(&text);
            assert!(diagnostics.is_empty() && out.complete);
            let tree = &out.documents[0].tree;
            let written = |pointer: &str| text.get(tree.place(tree.resolve(pointer))).expect("a boundary").trim_end();
            assert_eq!(written("/ключ"), "\"é\"");
            assert_eq!(written("/list"), "list");
            assert_eq!(written("/list/0"), "😀 x");
            assert_eq!(written("/list/1/k"), "v");
            assert_eq!(tree.path(tree.resolve("/list/1/k")), "list[1].k");
        }
    }

    #[test]
    fn documents_are_cut_where_they_begin_and_end() {
        let (out, diagnostics) = gated("---\na: |\n  x\n---\n# none\n---\nb: 1\n...\n---\nc: 1");
        assert!(diagnostics.is_empty());
        let values = |document: &Gated| ["a", "b", "c"].map(|key| document.tree.get(Tree::ROOT, key).is_some());
        let found: Vec<_> = out.documents.iter().map(values).collect();
        assert_eq!(found, [[true, false, false], [false, true, false], [false, false, true]]);
        assert!(out.documents.iter().all(|document| document.tree.len() == 2));
    }

    #[test]
    fn a_duplicate_key_is_found_at_any_depth_and_names_the_first() {
        let (out, diagnostics) = gated("a:\n  b: 1\n  \"b\": 2\n");
        assert_eq!((diagnostics[0].code, diagnostics[0].line), (Code::DuplicateKey, 3));
        assert_eq!(diagnostics[0].related[0].line, 2);
        assert!(!out.documents[0].sound && out.complete);
    }

    #[test]
    fn a_duplicate_among_many_keys_is_found() {
        let keys: String = (0..3 * MANY_KEYS).map(|n| format!("k{n}: 1\n")).collect();
        for (again, line) in [("k0", 1), ("k40", 41), ("k47", 48)] {
            let (_, diagnostics) = gated(&format!("{keys}{again}: 2\n"));
            assert_eq!(diagnostics.len(), 1, "{again}");
            assert_eq!((diagnostics[0].code, diagnostics[0].related[0].line), (Code::DuplicateKey, line), "{again}");
        }
        assert!(gated(&keys).1.is_empty());
    }

    #[test]
    fn what_readers_take_differently_is_refused_once_each() {
        for (text, faults) in [
            ("a: &x 1\nb: *x\n", 2),
            ("<<: {a: 1}\n", 1),
            ("a: !!str 1\n", 1),
            ("{[a]: {deep: [1]}, b: 1}\n", 1),
            ("? {a: b}\n: c\n", 1),
            ("1: a\nnull: b\n", 2),
        ] {
            let (out, diagnostics) = gated(text);
            assert_eq!(diagnostics.len(), faults, "{text}: {diagnostics:?}");
            assert!(diagnostics.iter().all(|d| d.code == Code::Feature), "{text}");
            assert!(out.complete && !out.documents[0].sound, "{text}");
        }
    }

    #[test]
    fn the_limits_stop_the_reading() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(gated(&nested(MAX_DEPTH)).1.is_empty());
        let (out, diagnostics) = gated(&nested(MAX_DEPTH + 1));
        assert_eq!((diagnostics[0].code, out.complete), (Code::Limit, false));
        let (_, diagnostics) = gated(&format!("[{}]", "1,".repeat(MAX_NODES)));
        assert_eq!(diagnostics[0].code, Code::Limit);
    }
}
