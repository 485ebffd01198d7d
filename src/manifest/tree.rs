//! A document's values with their places, in one flat table, and what a plain scalar means.

use std::fmt::Write as _;
use std::ops::Range;

use super::source::Text;
use crate::model::lines::{Lines, Place};

/// One document: node 0 is its root.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

/// A node's place in its [`Tree`].
pub(super) type NodeId = usize;

/// One value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) parent: Option<NodeId>,
    /// The key, for a value of a mapping.
    pub(super) key: Option<Key>,
    /// The place in its list, for an item.
    pub(super) index: usize,
    pub(super) range: Range<usize>,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) range: Range<usize>,
}

#[derive(Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    Sequence(Vec<NodeId>),
    Mapping(Vec<NodeId>),
    /// A value that was refused already (an alias, for instance): nothing more is said about it.
    Refused,
}

#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes and not as a block: it may mean a number, true, false or null.
    pub(super) plain: bool,
}

/// What a scalar means, by the rules of serde_yaml, which decodes it afterwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Meaning {
    Null,
    Bool,
    Integer(i128),
    Float,
    Text,
}

impl Scalar {
    pub(super) fn meaning(&self) -> Meaning {
        // Whatever is more than text begins with one of these.
        let may_be_more =
            |b: &u8| matches!(b, b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'0'..=b'9' | b'+' | b'-' | b'.');
        if !self.plain || self.text.as_bytes().first().is_some_and(|b| !may_be_more(b)) {
            return Meaning::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Meaning::Bool,
            text => integer(text)
                .map(Meaning::Integer)
                .unwrap_or_else(|| if is_float(text) { Meaning::Float } else { Meaning::Text }),
        }
    }
}

fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let radix = |prefix, radix| {
        let digits = digits.strip_prefix(prefix)?;
        digits.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| i128::from_str_radix(digits, radix).ok())?
    };
    let decimal = || {
        // `010` is text: some readers take it for eight.
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        plain.then(|| digits.parse().ok())?
    };
    radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)).or_else(decimal).map(|n: i128| sign * n)
}

fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let leading_zeros = unsigned.len() > 1 && unsigned.bytes().all(|b| b.is_ascii_digit());
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && !leading_zeros && unsigned.parse::<f64>().is_ok()
}

impl Tree {
    pub(super) const ROOT: NodeId = 0;

    pub(super) fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id]
    }

    /// The value of a key of a mapping.
    pub(super) fn get(&self, id: NodeId, key: &str) -> Option<NodeId> {
        let Value::Mapping(children) = &self.nodes[id].value else { return None };
        children.iter().copied().find(|&child| self.nodes[child].key.as_ref().is_some_and(|k| k.text == key))
    }

    /// The text of a scalar.
    pub(super) fn text(&self, id: NodeId) -> Option<&str> {
        match &self.nodes[id].value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The node of a JSON pointer (RFC 6901), or its nearest parent that is written down.
    pub(super) fn resolve(&self, pointer: &str) -> NodeId {
        let mut at = Self::ROOT;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let child = match &self.nodes[at].value {
                Value::Sequence(items) => token.parse::<usize>().ok().and_then(|i| items.get(i).copied()),
                _ => self.get(at, &token),
            };
            match child {
                Some(child) => at = child,
                None => break,
            }
        }
        at
    }

    /// The JSON pointer of a node.
    #[cfg(test)]
    pub(super) fn pointer(&self, id: NodeId) -> String {
        self.steps(id).into_iter().fold(String::new(), |mut out, node| {
            push_token(&mut out, node);
            out
        })
    }

    /// The path of a node as people write it: `spec.snapshots[0].name`; `the document` for the root.
    pub(super) fn path(&self, id: NodeId) -> String {
        if id == Self::ROOT {
            return "the document".to_owned();
        }
        self.steps(id).into_iter().fold(String::new(), |mut out, node| {
            // Writing to a String cannot fail.
            let _ = match &node.key {
                Some(key) if out.is_empty() => write!(out, "{}", shown(&key.text)),
                Some(key) => write!(out, ".{}", shown(&key.text)),
                None => write!(out, "[{}]", node.index),
            };
            out
        })
    }

    /// The nodes from below the root to `id`.
    fn steps(&self, id: NodeId) -> Vec<&Node> {
        let mut steps: Vec<&Node> = std::iter::successors(Some(id), |&at| self.nodes[at].parent)
            .filter(|&at| at != Self::ROOT)
            .map(|at| &self.nodes[at])
            .collect();
        steps.reverse();
        steps
    }

    /// What to underline for a value: a scalar itself; of a list or mapping its key, else its first line.
    pub(super) fn place(&self, id: NodeId) -> Range<usize> {
        let node = &self.nodes[id];
        match (&node.value, &node.key) {
            (Value::Scalar(_), _) if !node.range.is_empty() => node.range.clone(),
            (_, Some(key)) => key.range.clone(),
            _ => node.range.clone(),
        }
    }

    /// What to underline for a key; the value where it has none.
    pub(super) fn key_place(&self, id: NodeId) -> Range<usize> {
        self.nodes[id].key.as_ref().map_or_else(|| self.place(id), |key| key.range.clone())
    }

    /// The line of each value: of its key, or for an item of a list where it begins.
    pub(super) fn into_lines(self, text: &Text<'_>) -> Lines {
        let starts: Vec<usize> = (0..self.nodes.len()).map(|id| self.key_place(id).start).collect();
        let place = |(node, start): (Node, usize)| {
            let (is_list, children) = match node.value {
                Value::Sequence(children) => (true, children),
                Value::Mapping(children) => (false, children),
                Value::Scalar(_) | Value::Refused => (false, Vec::new()),
            };
            Place { line: text.line(start), key: node.key.map(|key| key.text), children, is_list }
        };
        Lines::new(self.nodes.into_iter().zip(starts).map(place).collect())
    }
}

/// Adds a node's own step to a JSON pointer.
#[cfg(test)]
fn push_token(pointer: &mut String, node: &Node) {
    pointer.push('/');
    match &node.key {
        Some(key) if key.text.contains(['~', '/']) => {
            pointer.push_str(&key.text.replace('~', "~0").replace('/', "~1"));
        }
        Some(key) => pointer.push_str(&key.text),
        // Writing to a String cannot fail.
        None => drop(write!(pointer, "{}", node.index)),
    }
}

/// The user's text for a message: printable, and cut where it is long.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let text = crate::model::text::printable(text);
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_serde_yaml_takes_them_for() {
        for text in [
            "0",
            "-1",
            "+7",
            "010",
            "0x1F",
            "0o17",
            "0b11",
            "1.5",
            "1e3",
            ".5",
            "1.",
            "-.inf",
            ".nan",
            "nan",
            "inf",
            "yes",
            "true",
            "True",
            "TRUE",
            "tRUE",
            "null",
            "~",
            "Null",
            "2026-11-23",
            "12:30",
            "1_000",
            "0x",
            "+",
            "-",
            ".",
            "5m",
            "18446744073709551615",
            "00",
            "-0",
            "+0x1",
            "1e",
            "e1",
        ] {
            let meaning = Scalar { text: text.to_owned(), plain: true }.meaning();
            let decoded: serde_yaml::Value = serde_yaml::from_str(text).expect(text);
            let same = match decoded {
                serde_yaml::Value::Null => meaning == Meaning::Null,
                serde_yaml::Value::Bool(_) => meaning == Meaning::Bool,
                serde_yaml::Value::Number(n) if n.is_f64() => meaning == Meaning::Float,
                serde_yaml::Value::Number(_) => matches!(meaning, Meaning::Integer(_)),
                _ => meaning == Meaning::Text,
            };
            assert!(same, "{text}: {meaning:?}");
        }
        assert_eq!(Scalar { text: "true".to_owned(), plain: false }.meaning(), Meaning::Text);
    }
}
