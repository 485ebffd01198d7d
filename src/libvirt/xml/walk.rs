//! A walk over a document in its order: each element is met once, what nobody asks for is passed over, and nothing is built.
//!
//! For the XML that is read once per domain and snapshot. A tree of it, as roxmltree builds, took four times as long.

use std::borrow::Cow;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::Prefix;
use quick_xml::{Reader, XmlVersion};

use super::XmlError;
use crate::model::text::printable;

/// The place in a document.
pub(super) struct Walk<'x> {
    reader: Reader<&'x [u8]>,
    /// The elements that are open.
    open: Vec<BytesStart<'x>>,
    /// The prefixes that were looked up, each with how many elements are open where it is declared.
    known: Vec<(String, usize)>,
}

/// An element that was met.
pub(super) struct Element<'x> {
    tag: BytesStart<'x>,
    /// Written as one tag: there is nothing in it.
    empty: bool,
}

impl<'x> Walk<'x> {
    /// Begins a document, and calls `read` at its root element. The document must end with it. A document type is refused:
    /// libvirt writes none, and entities of one's own are good for nothing but bombs.
    pub(super) fn document<T>(
        xml: &'x str,
        read: impl FnOnce(&mut Self, &Element<'x>) -> Result<T, XmlError>,
    ) -> Result<T, XmlError> {
        let mut walk = Self { reader: Reader::from_str(xml), open: Vec::new(), known: Vec::new() };
        let root = loop {
            match walk.event()? {
                Event::Start(tag) => break Element { tag, empty: false },
                Event::Empty(tag) => break Element { tag, empty: true },
                Event::Eof => return Err(XmlError::new("the document is empty")),
                Event::Text(text) if !text.trim().is_empty() => {
                    return Err(XmlError::new("the document begins with text"));
                }
                _ => {}
            }
        };
        let read = read(&mut walk, &root)?;
        walk.leave(0)?;
        loop {
            match walk.event()? {
                Event::Eof => return Ok(read),
                Event::Text(text) if text.trim().is_empty() => {}
                Event::Comment(_) | Event::PI(_) => {}
                _ => return Err(XmlError::new("the document goes on behind its root element")),
            }
        }
    }

    /// Calls `each` at each child element of the element that was just met. What it does not read of a child is passed over.
    pub(super) fn children(
        &mut self,
        of: &Element<'x>,
        mut each: impl FnMut(&mut Self, &Element<'x>) -> Result<(), XmlError>,
    ) -> Result<(), XmlError> {
        if of.empty {
            return Ok(());
        }
        let inside = self.open.len();
        loop {
            match self.event()? {
                Event::Start(tag) => {
                    each(self, &Element { tag, empty: false })?;
                    self.leave(inside)?;
                }
                Event::Empty(tag) => each(self, &Element { tag, empty: true })?,
                Event::End(_) => return Ok(()),
                Event::Eof => return Err(ends_early()),
                _ => {}
            }
        }
    }

    /// All text below the element that was just met, CDATA and pieces between comments included: what XPath's `string()`
    /// gives libvirt.
    pub(super) fn text(&mut self, of: &Element<'x>) -> Result<String, XmlError> {
        let mut text = String::new();
        if of.empty {
            return Ok(text);
        }
        let inside = self.open.len();
        while self.open.len() >= inside {
            match self.event()? {
                Event::Text(piece) => text.push_str(&piece.xml10_content()),
                Event::CData(piece) => text.push_str(&piece.xml10_content()),
                Event::GeneralRef(name) => match (name.resolve_char_ref()?, resolve_predefined_entity(&name)) {
                    (Some(c), _) => text.push(c),
                    (None, Some(c)) => text.push_str(c),
                    (None, None) => return Err(XmlError::new(format!("unknown entity &{};", printable(&name)))),
                },
                Event::Eof => return Err(ends_early()),
                _ => {}
            }
        }
        Ok(text)
    }

    /// Every element below the one that was just met, whatever its depth, with how deep it is: 1 for a child. For what may
    /// be nested as deep as its writer likes.
    pub(super) fn descendants(
        &mut self,
        of: &Element<'x>,
        mut each: impl FnMut(usize, &Element<'x>) -> Result<(), XmlError>,
    ) -> Result<(), XmlError> {
        if of.empty {
            return Ok(());
        }
        let inside = self.open.len();
        while self.open.len() >= inside {
            match self.event()? {
                Event::Start(tag) => each(self.open.len() - inside, &Element { tag, empty: false })?,
                Event::Empty(tag) => each(self.open.len() - inside + 1, &Element { tag, empty: true })?,
                Event::Eof => return Err(ends_early()),
                _ => {}
            }
        }
        Ok(())
    }

    /// What is still to be read.
    pub(super) fn rest(&self) -> &'x [u8] {
        self.reader.get_ref()
    }

    /// Passes over whole elements that were read before (see [`Self::inside`]), where what is still to be read begins with
    /// them; true where it does.
    pub(super) fn pass_over(&mut self, known: &[u8]) -> bool {
        let Some(behind) = self.rest().strip_prefix(known).filter(|_| !known.is_empty()) else { return false };
        *self.reader.get_mut() = behind;
        true
    }

    /// The elements of an element that was just read to its end, as they are written; `start` was the rest where they begin.
    pub(super) fn inside(&self, start: &'x [u8]) -> &'x [u8] {
        let read = &start[..start.len() - self.rest().len()];
        let end = read.windows(2).rposition(|pair| pair == b"</").unwrap_or(0);
        let inside = read[..end].trim_ascii_end();
        if inside.ends_with(b">") { inside } else { &[] }
    }

    /// Goes on until no more than so many elements are open.
    fn leave(&mut self, depth: usize) -> Result<(), XmlError> {
        while self.open.len() > depth {
            if matches!(self.event()?, Event::Eof) {
                return Err(ends_early());
            }
        }
        Ok(())
    }

    fn event(&mut self) -> Result<Event<'x>, XmlError> {
        let event = self.reader.read_event()?;
        match &event {
            Event::Start(tag) => {
                self.declared(tag)?;
                // Borrowed from the document: no copy of it.
                self.open.push(tag.clone());
            }
            Event::Empty(tag) => self.declared(tag)?,
            // The reader refuses an end that nothing began.
            Event::End(_) => {
                self.open.pop();
                while self.known.pop_if(|(_, depth)| *depth > self.open.len()).is_some() {}
            }
            Event::DocType(_) => return Err(XmlError::new("a document type is not accepted")),
            _ => {}
        }
        Ok(event)
    }

    /// Makes sure that the prefix of a name is declared: a document with one that is not means nothing to those who read it
    /// by the book.
    fn declared(&mut self, tag: &BytesStart<'x>) -> Result<(), XmlError> {
        let Some(prefix) = tag.name().prefix().map(Prefix::into_inner) else { return Ok(()) };
        if prefix == "xml" || self.known.iter().any(|(known, _)| *known == prefix) {
            return Ok(());
        }
        let declaration = format!("xmlns:{prefix}");
        if attribute(tag, &declaration)?.is_some() {
            return Ok(());
        }
        for (place, around) in self.open.iter().enumerate().rev() {
            if attribute(around, &declaration)?.is_some() {
                self.known.push((prefix.to_owned(), place + 1));
                return Ok(());
            }
        }
        Err(XmlError::new(format!("the prefix of <{}> is not declared", printable(tag.name().into_inner()))))
    }

    /// Whether an element that was just met is the one of that name in a namespace.
    pub(super) fn is_in(&self, element: &Element<'x>, namespace: &str, name: &str) -> Result<bool, XmlError> {
        if element.local_name() != name {
            return Ok(false);
        }
        let declaration = match element.tag.name().prefix() {
            Some(prefix) => Cow::Owned(format!("xmlns:{}", prefix.into_inner())),
            None => Cow::Borrowed("xmlns"),
        };
        // The innermost counts; the element itself is the last that is open, unless it is empty.
        for around in [&element.tag].into_iter().chain(self.open.iter().rev()) {
            if let Some(declared) = attribute(around, &declaration)? {
                return Ok(declared == namespace);
            }
        }
        Ok(false)
    }
}

fn attribute<'t>(tag: &'t BytesStart<'_>, name: &str) -> Result<Option<Cow<'t, str>>, XmlError> {
    let [value] = attributes(tag, [name])?;
    Ok(value)
}

fn attributes<'t, const N: usize>(
    tag: &'t BytesStart<'_>,
    names: [&str; N],
) -> Result<[Option<Cow<'t, str>>; N], XmlError> {
    let mut values = [const { None }; N];
    // The check for duplicates compares each with each; libvirt writes none.
    for attribute in tag.attributes().with_checks(false) {
        let attribute = attribute?;
        if let Some(place) = names.iter().position(|name| *name == attribute.key.into_inner()) {
            values[place] = Some(attribute.normalized_value(XmlVersion::Explicit1_0)?);
        }
    }
    Ok(values)
}

impl Element<'_> {
    /// Its name as it is written, with the prefix.
    pub(super) fn name(&self) -> &str {
        self.tag.name().into_inner()
    }

    /// The tag as it is written, without the angle brackets.
    pub(super) fn written(&self) -> &str {
        &self.tag
    }

    /// Its name without a prefix.
    pub(super) fn local_name(&self) -> &str {
        self.tag.local_name().into_inner()
    }

    /// The value of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Result<Option<Cow<'_, str>>, XmlError> {
        attribute(&self.tag, name)
    }

    /// The values of some attributes, in one go.
    pub(super) fn attributes<const N: usize>(&self, names: [&str; N]) -> Result<[Option<Cow<'_, str>>; N], XmlError> {
        attributes(&self.tag, names)
    }
}

fn ends_early() -> XmlError {
    XmlError::new("the document ends before its root element does")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of each child of the root named `a`.
    fn texts(xml: &str) -> Result<Vec<String>, XmlError> {
        Walk::document(xml, |walk, root| {
            let mut texts = Vec::new();
            walk.children(root, |walk, child| {
                if child.name() == "a" {
                    texts.push(walk.text(child)?);
                }
                Ok(())
            })?;
            Ok(texts)
        })
    }

    #[test]
    fn text_is_what_xpath_gives() {
        let xml = "<?xml version='1.0'?><!-- c --><r> x <b><a>not this</a></b><a>1 &lt;<!-- c -->&#x41;<i>\r\n</i><![CDATA[<&]]></a><a/></r>\n";
        assert_eq!(texts(xml), Ok(vec!["1 <A\n<&".to_owned(), String::new()]));
    }

    #[test]
    fn what_is_not_read_is_passed_over() {
        let xml = "<r><b><a/><a><a></a></a></b><a>x</a><c><d/></c></r>";
        assert_eq!(texts(xml), Ok(vec!["x".to_owned()]));
    }

    #[test]
    fn broken_documents_are_errors() {
        for xml in [
            "",
            " ",
            "text",
            "<r>",
            "<r><a></r>",
            "<r><a></b></r>",
            "</r>",
            "<r/><r/>",
            "<r/>text",
            "<r><a>&x;</a></r>",
            "<!DOCTYPE r><r/>",
            "x<r/>",
            "<r><a",
            "<r></r></r>",
            "<r><![CDATA[</r>",
        ] {
            assert!(texts(xml).is_err(), "{xml}");
        }
    }

    #[test]
    fn attributes_are_unescaped() {
        let value =
            |xml: &str| Walk::document(xml, |_, root| Ok(root.attribute("k")?.map(Cow::into_owned))).expect("valid");
        assert_eq!(value("<r x='1' k=\"a&amp;b&#10;c\td\"/>").as_deref(), Some("a&b\nc d"));
        assert_eq!(value("<r p:k='1'/>"), None);
        assert!(Walk::document("<r k=1/>", |_, root| root.attribute("k").map(|_| ())).is_err());
    }

    #[test]
    fn a_namespace_may_be_declared_further_out() {
        let found = |xml: &str| {
            Walk::document(xml, |walk, root| {
                let mut found = 0;
                walk.children(root, |walk, child| {
                    found += usize::from(walk.is_in(child, "urn:n", "e")?);
                    Ok(())
                })?;
                Ok(found)
            })
            .expect("valid")
        };
        assert_eq!(found("<r><p:e xmlns:p='urn:n'/><e xmlns='urn:n'/></r>"), 2);
        assert_eq!(found("<r xmlns:p='urn:n'><p:e/><p:e xmlns:p='urn:other'/><e/></r>"), 1);
    }

    #[test]
    fn a_prefix_without_a_declaration_is_an_error() {
        for xml in
            ["<r><p:a/></r>", "<p:r/>", "<r><b xmlns:p='u'/><p:a></p:a></r>", "<r><b xmlns:p='u'><p:a/></b><p:a/></r>"]
        {
            assert!(texts(xml).is_err(), "{xml}");
        }
        for xml in ["<r xmlns:p='u'><p:b/><b><p:b/></b><p:b><p:c/></p:b></r>", "<p:r xmlns:p='u'/>", "<r><xml:b/></r>"]
        {
            assert_eq!(texts(xml), Ok(Vec::new()), "{xml}");
        }
    }

    #[test]
    fn elements_that_were_read_before_are_passed_over() {
        let read = |xml: &str, known: &[u8]| {
            Walk::document(xml, |walk, root| {
                let start = walk.rest();
                let passed = walk.pass_over(known);
                let mut names = Vec::new();
                walk.children(root, |_, child| {
                    names.push(child.name().to_owned());
                    Ok(())
                })?;
                Ok((passed, names.join(" "), String::from_utf8_lossy(walk.inside(start)).into_owned()))
            })
            .expect("valid")
        };
        let first = "<r>\n <a><b/></a>\n <c/>\n</r>";
        let (_, names, inside) = read(first, b"");
        assert_eq!((names.as_str(), inside.as_str()), ("a c", "\n <a><b/></a>\n <c/>"));
        let again = |xml: &str| read(xml, inside.as_bytes());
        assert_eq!(again(first), (true, String::new(), inside.clone()));
        let longer = "<r>\n <a><b/></a>\n <c/>\n <d/></r>";
        assert_eq!(again(longer), (true, "d".to_owned(), inside.clone() + "\n <d/>"));
        assert!(!again("<r>\n <a/>\n <c/>\n</r>").0);
        assert_eq!(read("<r/>", b"<a/>"), (false, String::new(), String::new()));
        assert_eq!(read("<r><a/>text</r>", b"").2, "", "what ends in a text is no whole element");
    }

    #[test]
    fn deep_nesting_takes_no_stack() {
        let xml = format!("<r>{}{}<a>x</a></r>", "<b>".repeat(200_000), "</b>".repeat(200_000));
        assert_eq!(texts(&xml), Ok(vec!["x".to_owned()]));
        let deepest = Walk::document(&xml, |walk, root| {
            let mut deepest = 0;
            walk.descendants(root, |depth, _| {
                deepest = deepest.max(depth);
                Ok(())
            })?;
            Ok(deepest)
        });
        assert_eq!(deepest, Ok(200_000));
    }
}
