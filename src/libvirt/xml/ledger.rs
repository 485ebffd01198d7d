//! The ledger as an element of a domain's `<metadata>`.

use quick_xml::Writer;
use uuid::Uuid;

use super::XmlError;
use super::walk::{Element, Walk};
use crate::model::ledger::{LEDGER_NAMESPACE, Ledger, LedgerEntry};
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::revert::{RevertNote, add_note};
use crate::model::shared::Shared;
use crate::model::text::first_forbidden;

/// Writes the element in the form `virDomainSetMetadata` wants: without a namespace, which libvirt adds to it and all
/// below it. With one of ours it fails with "failed to create a new XML namespace".
pub(in crate::libvirt) fn write(ledger: &Ledger) -> Result<String, XmlError> {
    if let Some(name) = ledger.made.keys().find(|name| first_forbidden(name.as_str()).is_some()) {
        return Err(XmlError::new(format!("the name {name} holds a character that XML cannot hold")));
    }
    let mut writer = Writer::new(Vec::new());
    let domain = ledger.domain.to_string();
    writer.create_element("ledger").with_attribute(("domain", domain.as_str())).write_inner_content(|writer| {
        for (name, entry) in &ledger.made {
            let created = entry.created.to_string();
            let mut made = writer
                .create_element("made")
                .with_attribute(("name", name.as_str()))
                .with_attribute(("created", created.as_str()));
            if entry.released {
                made = made.with_attribute(("released", "true"));
            }
            made.write_empty()?;
        }
        for note in &ledger.reverts {
            let note = note.to_string();
            writer.create_element("revert").with_attribute(("note", note.as_str())).write_empty()?;
        }
        Ok(())
    })?;
    String::from_utf8(writer.into_inner()).map_err(|error| XmlError::new(error.to_string()))
}

/// The ledger that was read last, and what it was read from. The copies in the snapshots of a domain are mostly the same, or
/// each has some entries more than the one before: reading all entries of all of them took a third of the reading.
#[derive(Debug, Default)]
pub(super) struct Last {
    /// The tag of the element.
    tag: String,
    /// Its entries.
    entries: Vec<u8>,
    ledger: Option<Shared<Ledger>>,
}

/// Reads the ledger in a domain's `<metadata>`. An entry that cannot be read is left out: an older or damaged copy then knows
/// less, and the other copies and the planner's rules make up for it.
pub(super) fn read<'x>(
    walk: &mut Walk<'x>,
    metadata: &Element<'x>,
    last: &mut Last,
) -> Result<Option<Shared<Ledger>>, XmlError> {
    let mut found = None;
    walk.children(metadata, |walk, element| {
        if found.is_none() && walk.is_in(element, LEDGER_NAMESPACE, "ledger")? {
            found = Some(read_entries(walk, element, last)?);
        }
        Ok(())
    })?;
    Ok(found.flatten())
}

fn read_entries<'x>(
    walk: &mut Walk<'x>,
    element: &Element<'x>,
    last: &mut Last,
) -> Result<Option<Shared<Ledger>>, XmlError> {
    let domain = element.attribute("domain")?;
    let Some(domain) = domain.and_then(|domain| Uuid::try_parse(&domain).ok()) else { return Ok(None) };
    let start = walk.rest();
    let known = last.ledger.take().filter(|_| last.tag == element.written() && walk.pass_over(&last.entries));
    let mut ledger = known.unwrap_or_else(|| Ledger::empty(DomainUuid(domain)).into());
    walk.children(element, |_, entry| {
        match entry.local_name() {
            "revert" => {
                let note = entry.attribute("note")?.and_then(|note| RevertNote::parse(&note));
                note.into_iter().for_each(|note| add_note(&mut ledger.reverts, note));
            }
            "made" => {
                let [name, created, released] = entry.attributes(["name", "created", "released"])?;
                if let (Some(name), Some(Ok(created))) = (name, created.map(|created| created.parse())) {
                    let released = released.as_deref() == Some("true");
                    ledger.record(SnapshotName::observed(name), LedgerEntry { created, released });
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    element.written().clone_into(&mut last.tag);
    last.entries.clear();
    last.entries.extend_from_slice(walk.inside(start));
    last.ledger = Some(ledger.clone());
    Ok(Some(ledger))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_domain(xml: &str) -> Option<Ledger> {
        super::super::domain::read(xml).expect("valid").ledger
    }

    #[test]
    fn what_libvirt_returns_reads_back_equal() {
        let mut ledger = Ledger::empty(DomainUuid(Uuid::from_u128(7)));
        ledger.record(SnapshotName::observed("a \"b\" <c> & 'd'"), LedgerEntry { created: 17, released: false });
        ledger.record(SnapshotName::observed("gone"), LedgerEntry { created: -1, released: true });
        let note = "ci/reset/a \"b\" & <c>; done; 2026-11-23T04:00:00Z; until 2026-11-23T20:00:00Z";
        ledger.reverts.extend(RevertNote::parse(note));
        assert_eq!(ledger.reverts.len(), 1);
        let written = write(&ledger).expect("valid");
        assert!(!written.contains("xmlns"), "{written}");
        // libvirt prefixes the element and everything in it.
        let stored = written
            .replace("<ledger ", &format!("<snapward:ledger xmlns:snapward='{LEDGER_NAMESPACE}' "))
            .replace("</ledger>", "</snapward:ledger>")
            .replace("<revert ", "<snapward:revert ")
            .replace("<made ", "<snapward:made ");
        let xml = format!("<domain><metadata><x/>{stored}</metadata></domain>");
        assert_eq!(read_domain(&xml), Some(ledger));
    }

    #[test]
    fn an_empty_ledger_and_broken_entries_are_read() {
        let read = |inner: &str, attributes: &str| {
            let xml = format!(
                "<domain><metadata><l:ledger xmlns:l='{LEDGER_NAMESPACE}' {attributes}>{inner}</l:ledger></metadata></domain>"
            );
            read_domain(&xml)
        };
        let domain = "domain='00000000-0000-0000-0000-000000000007'";
        let empty = Ledger::empty(DomainUuid(Uuid::from_u128(7)));
        assert_eq!(read("", domain), Some(empty.clone()));
        assert_eq!(read("<l:made name='a'/><l:made name='b' created='x'/><l:new/>", domain), Some(empty));
        assert_eq!(read("", "domain='nonsense'"), None);
    }

    #[test]
    fn a_ledger_reads_the_same_after_any_other() {
        let element = |prefix: &str, domain: u128, entries: &str| {
            let domain = Uuid::from_u128(domain);
            format!(
                "<metadata><{prefix}:ledger xmlns:{prefix}='{LEDGER_NAMESPACE}' domain='{domain}'>{entries}</{prefix}:ledger></metadata>"
            )
        };
        let (a, b, c) = ("<l:made name='a' created='1'/>", " <l:made name='b' created='2'/>", "<l:revert note='?'/>");
        let all = [
            element("l", 7, ""),
            element("l", 7, a),
            element("l", 7, &format!("{a}{b}")),
            element("l", 7, &format!("{a}{b} ")),
            element("l", 7, &format!("{a}{b}{c}")),
            element("l", 7, &format!("{b}{a}")),
            element("l", 7, "<l:made name='a' created='1' released='true'/>"),
            element("l", 7, &format!("{a}text")),
            element("l", 8, &format!("{a}{b}")),
            element("m", 7, "<m:made name='a' created='1'/>"),
            "<metadata><x/></metadata>".to_owned(),
        ];
        let read_after = |last: &mut Last, xml: &str| {
            let read = Walk::document(xml, |walk, metadata| read(walk, metadata, last)).expect("valid");
            read.map(|ledger| (*ledger).clone())
        };
        for first in &all {
            for second in &all {
                let mut last = Last::default();
                read_after(&mut last, first);
                assert_eq!(read_after(&mut last, second), read_after(&mut Last::default(), second), "{first} {second}");
            }
        }
    }

    #[test]
    fn names_xml_cannot_hold_are_refused() {
        let mut ledger = Ledger::empty(DomainUuid(Uuid::nil()));
        ledger.record(SnapshotName::observed("a\0b"), LedgerEntry { created: 1, released: false });
        assert!(write(&ledger).is_err());
    }
}
