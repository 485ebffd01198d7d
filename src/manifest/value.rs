//! A gated document's values as serde reads them: the events were parsed once, and are not parsed again to be decoded.
//!
//! By the rules of serde_yaml, the decoder of YAML that a test holds this against: a plain scalar is what it looks like
//! where anything may stand, and its text where a text is wanted.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::tree::{Meaning, NodeId, Scalar, Tree, Value};

/// Why a document cannot be decoded, and at which of its values.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: Option<NodeId>,
    pub(super) message: String,
}

impl Fault {
    /// Places a fault that does not know its place yet.
    fn or_at(self, id: NodeId) -> Self {
        Self { at: self.at.or(Some(id)), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { at: None, message: message.to_string() }
    }
}

/// Decodes the document.
pub(super) fn decode<'t, T: de::Deserialize<'t>>(tree: &'t Tree) -> Result<T, Fault> {
    T::deserialize(Reader { tree, id: Tree::ROOT }).map_err(|fault| fault.or_at(Tree::ROOT))
}

/// One value.
#[derive(Clone, Copy)]
struct Reader<'t> {
    tree: &'t Tree,
    id: NodeId,
}

impl<'t> Reader<'t> {
    fn value(self) -> &'t Value {
        &self.tree.node(self.id).value
    }

    /// For a visitor that wants something else.
    fn unexpected(self) -> Unexpected<'t> {
        match self.value() {
            Value::Scalar(scalar) => Unexpected::Str(&scalar.text),
            Value::Sequence(_) => Unexpected::Seq,
            Value::Mapping(_) => Unexpected::Map,
            Value::Refused => Unexpected::Unit,
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value() {
            Value::Scalar(scalar) => scalar_value(scalar, visitor),
            Value::Sequence(items) => visitor.visit_seq(Children { tree: self.tree, ids: items.iter(), last: self.id }),
            Value::Mapping(values) => {
                visitor.visit_map(Children { tree: self.tree, ids: values.iter(), last: self.id })
            }
            // A refused value makes its document unsound, and such a one is not decoded.
            Value::Refused => visitor.visit_unit(),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value() {
            Value::Scalar(scalar) => visitor.visit_borrowed_str(&scalar.text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value() {
            Value::Scalar(scalar) if scalar.meaning() == Meaning::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value() {
            Value::Scalar(scalar) => visitor.visit_enum(Word(&scalar.text)),
            _ => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map
        struct identifier ignored_any
    }
}

fn scalar_value<'t, V: Visitor<'t>>(scalar: &'t Scalar, visitor: V) -> Result<V::Value, Fault> {
    match scalar.meaning() {
        Meaning::Null => visitor.visit_unit(),
        Meaning::Bool => visitor.visit_bool(scalar.text.eq_ignore_ascii_case("true")),
        Meaning::Integer(number) => match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => visitor.visit_i128(number),
        },
        Meaning::Float => match scalar.text.parse() {
            Ok(number) => visitor.visit_f64(number),
            // .inf and .nan, which no field of ours takes.
            Err(_) => visitor.visit_borrowed_str(&scalar.text),
        },
        Meaning::Text => visitor.visit_borrowed_str(&scalar.text),
    }
}

/// The values of a list or mapping.
struct Children<'t> {
    tree: &'t Tree,
    ids: std::slice::Iter<'t, NodeId>,
    /// The one that was read last.
    last: NodeId,
}

impl<'t> SeqAccess<'t> for Children<'t> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'t>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(&id) = self.ids.next() else { return Ok(None) };
        seed.deserialize(Reader { tree: self.tree, id }).map(Some).map_err(|fault| fault.or_at(id))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.ids.len())
    }
}

impl<'t> MapAccess<'t> for Children<'t> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'t>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(&id) = self.ids.next() else { return Ok(None) };
        self.last = id;
        let key = self.tree.node(id).key.as_ref().map_or("", |key| key.text.as_str());
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'t>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let id = self.last;
        seed.deserialize(Reader { tree: self.tree, id }).map_err(|fault| fault.or_at(id))
    }
}

/// The name of a variant without content; no kind has another.
struct Word<'t>(&'t str);

impl<'t> EnumAccess<'t> for Word<'t> {
    type Error = Fault;
    type Variant = Bare;

    fn variant_seed<V: DeserializeSeed<'t>>(self, seed: V) -> Result<(V::Value, Bare), Fault> {
        let word: StrDeserializer<'t, Fault> = self.0.into_deserializer();
        Ok((seed.deserialize(word)?, Bare))
    }
}

struct Bare;

impl<'t> VariantAccess<'t> for Bare {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'t>>(self, _: T) -> Result<T::Value, Fault> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"a variant with a value"))
    }

    fn tuple_variant<V: Visitor<'t>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &visitor))
    }

    fn struct_variant<V: Visitor<'t>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::manifest::gate;
    use crate::manifest::source::{Source, Text};
    use crate::model::kinds::{RetentionPolicy, SafetyPolicy, SnapshotSet};

    fn tree(yaml: &str) -> Tree {
        let source = Source { name: "f".into(), text: yaml.into() };
        gate::read(&source, &Text::of(&source), &mut Vec::new()).documents.remove(0).tree
    }

    /// What both decoders make of a document, errors without their place.
    fn both<T: for<'a> Deserialize<'a>>(yaml: &str) -> (Result<T, String>, Result<T, String>) {
        let ours = decode(&tree(yaml)).map_err(|fault: Fault| fault.message);
        let theirs = serde_yaml::from_str(yaml).map_err(|error: serde_yaml::Error| {
            let words = error.to_string();
            let words = words.rfind(" at line ").map_or(words.clone(), |at| words[..at].to_owned());
            // Behind the path, which ends in a field's name, a place in a list or a dot.
            words.split_once(": ").filter(|(path, _)| !path.contains(' ')).map_or(words.clone(), |(_, w)| w.to_owned())
        });
        (ours, theirs)
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct All {
        text: Option<String>,
        number: Option<i64>,
        small: Option<u32>,
        truth: Option<bool>,
        list: Option<Vec<String>>,
        map: Option<BTreeMap<String, u8>>,
        word: Option<crate::model::kinds::Presence>,
    }

    #[test]
    fn values_are_what_serde_yaml_makes_of_them() {
        for yaml in [
            "{}",
            "text: 1",
            "text: 0x1F",
            "text: true",
            "text: \"null\"",
            "text: |\n  a\n  b\n",
            "text: >-\n  a\n  b\n",
            "text: 'it''s'",
            "text: \"\\u00e9\\n\"",
            "text: ~",
            "number: -7",
            "number: +7",
            "number: 0x1F",
            "number: 0o17",
            "number: 18446744073709551615",
            "number: \"7\"",
            "number: 1.5",
            "number: x",
            "small: 4294967296",
            "small: -1",
            "truth: True",
            "truth: FALSE",
            "truth: yes",
            "truth: \"true\"",
            "list: [a, \"b\", 1, null]",
            "list: []",
            "list: {a: b}",
            "list: a",
            "map: {a: 1, b: 255}",
            "map: {a: 256}",
            "map: [a]",
            "word: absent",
            "word: gone",
            "word: [absent]",
            "other: 1",
        ] {
            let (ours, theirs) = both::<All>(yaml);
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{yaml}: {ours:?} {theirs:?}");
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                assert_eq!(ours, theirs, "{yaml}");
            }
        }
    }

    #[test]
    fn kinds_are_what_serde_yaml_makes_of_them() {
        let head = |kind: &str| format!("apiVersion: snapward/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: ");
        for spec in [
            "{domains: {include: [a]}, snapshots: [{name: g, description: \"a\\r\\nb\", protect: true, deleteAfter: 14d, capture: \
             {content: full, location: external, memory: {file: /m}, disks: [{target: vda, location: external}]}}]}",
            "{domains: {include: [a]}, series: [{name: s, schedule: {cron: \"0 * * * *\"}, retention: {spec: {keep: {last: 1}}}}], \
             suspend: {reason: r, until: 2027-01-01}, holds: [{snapshot: g, reason: r}], current: g}",
            "{domains: {include: [a]}, snapshots: [{name: a/b}]}",
            "{domains: {include: [a]}, snapshots: [{name: a, when: sometimes}]}",
            "{domains: {}}",
            "{}",
        ] {
            let (ours, theirs) = both::<SnapshotSet>(&(head("SnapshotSet") + spec));
            assert_eq!(ours, theirs, "{spec}");
        }
        let (ours, theirs) =
            both::<RetentionPolicy>(&(head("RetentionPolicy") + "{keep: {last: 3, within: 48h}, maximumAge: null}"));
        assert!(ours.is_ok());
        assert_eq!(ours, theirs);
        for percent in ["50", "101"] {
            let spec = format!("{{maxDeletes: {{percent: {percent}}}, windows: []}}");
            let (ours, theirs) = both::<SafetyPolicy>(&(head("SafetyPolicy") + &spec));
            assert_eq!(ours, theirs, "{percent}");
        }
    }

    #[test]
    fn a_fault_is_at_the_value_that_has_it() {
        let place = |yaml: &str| {
            let tree = tree(yaml);
            let fault = decode::<SnapshotSet>(&tree).expect_err("broken");
            tree.pointer(fault.at.expect("a place"))
        };
        let head = "apiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {name: x}\nspec: ";
        assert_eq!(
            place(&format!("{head}{{domains: {{include: [a]}}, snapshots: [{{name: g}}, {{name: a/b}}]}}")),
            "/spec/snapshots/1/name"
        );
        assert_eq!(place(&format!("{head}{{snapshots: []}}")), "/spec");
        assert_eq!(place("kind: x"), "");
    }
}
