//! The XML codec: what snapward reads out of libvirt's documents, and the few it writes. Pure.

pub(super) mod capabilities;
pub(super) mod create;
mod disk;
pub(super) mod domain;
pub(super) mod ledger;
pub(super) mod request;
pub(super) mod snapshot;
pub(super) mod splice;
mod walk;

use roxmltree::Node;

use crate::model::names::SnapshotName;
use crate::model::text::printable;

/// A document that cannot be read, or text that cannot be written. The text completes "XML that cannot be used: ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct XmlError(pub(super) String);

impl XmlError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn missing(what: &str, parent: &str) -> Self {
        Self(format!("<{}> has no {what}", printable(parent)))
    }
}

impl From<quick_xml::Error> for XmlError {
    fn from(error: quick_xml::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<quick_xml::events::attributes::AttrError> for XmlError {
    fn from(error: quick_xml::events::attributes::AttrError) -> Self {
        Self(error.to_string())
    }
}

impl From<quick_xml::escape::EscapeError> for XmlError {
    fn from(error: quick_xml::escape::EscapeError) -> Self {
        Self(error.to_string())
    }
}

impl From<roxmltree::Error> for XmlError {
    fn from(error: roxmltree::Error) -> Self {
        // It shows characters of the text.
        Self(printable(&error.to_string()))
    }
}

impl From<std::io::Error> for XmlError {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Parses a document. libvirt emits no DTD, and roxmltree refuses one; its tree is flat, so depth cannot overflow it.
fn parse(xml: &str) -> Result<roxmltree::Document<'_>, XmlError> {
    Ok(roxmltree::Document::parse(xml)?)
}

/// The root element of a snapshot's document.
fn root<'a, 'i>(document: &'a roxmltree::Document<'i>) -> Result<Node<'a, 'i>, XmlError> {
    let root = document.root_element();
    if root.has_tag_name(SNAPSHOT) { Ok(root) } else { Err(no_snapshot()) }
}

/// The root element of a snapshot's document.
const SNAPSHOT: &str = "domainsnapshot";

fn no_snapshot() -> XmlError {
    XmlError::new(format!("the document is not a <{SNAPSHOT}>"))
}

/// A snapshot's own name, which libvirt leaves empty nowhere.
fn own_name(name: Option<String>) -> Result<SnapshotName, XmlError> {
    name.filter(|name| !name.is_empty())
        .map(SnapshotName::observed)
        .ok_or_else(|| XmlError::missing("<name>", SNAPSHOT))
}

/// The first child element of that name outside any namespace, as libvirt's own `./name` looks it up.
fn child<'a, 'i>(parent: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    children(parent, name).next()
}

fn children<'a, 'i>(parent: Node<'a, 'i>, name: &str) -> impl Iterator<Item = Node<'a, 'i>> {
    parent.children().filter(move |node| node.is_element() && node.has_tag_name(name))
}

/// All text below a node, CDATA and pieces between comments included: what XPath's `string()` gives libvirt.
fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|piece| piece.text()).collect()
}
