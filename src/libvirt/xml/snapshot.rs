//! Reads a snapshot.

use std::collections::BTreeMap;

use roxmltree::Node;
use sha2::{Digest, Sha256};

use super::domain::{memory_kib, read_disk as read_domain_disk, read_source};
use super::{XmlError, child, children, ledger, parse, text};
use crate::model::ledger::Ledger;
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::snapshot::{KeptDefinition, ObservedSnapshot, SnapshotFiles, Storage};
use crate::model::stamp::Description;

/// Reads what `virDomainSnapshotGetXMLDesc` gives. Elements it does not know are passed over.
pub(in crate::libvirt) fn read(xml: &str) -> Result<ObservedSnapshot, XmlError> {
    read_root(xml, root(&parse(xml)?)?)
}

/// As [`read`], with the UUID of the domain that the snapshot was taken of.
pub(in crate::libvirt) fn read_with_domain(xml: &str) -> Result<(ObservedSnapshot, Option<DomainUuid>), XmlError> {
    let document = parse(xml)?;
    let root = root(&document)?;
    let uuid = child(root, "domain").and_then(|domain| child(domain, "uuid")).map(text);
    let uuid = uuid.and_then(|uuid| uuid.trim().parse().ok()).map(DomainUuid);
    Ok((read_root(xml, root)?, uuid))
}

fn read_root(xml: &str, root: Node<'_, '_>) -> Result<ObservedSnapshot, XmlError> {
    let created = child(root, "creationTime")
        .and_then(|time| text(time).trim().parse().ok())
        .ok_or_else(|| XmlError::missing("readable <creationTime>", root))?;
    let parent = child(root, "parent").and_then(|parent| child(parent, "name")).map(text);
    let disks: BTreeMap<_, _> = match child(root, "disks") {
        Some(disks) => children(disks, "disk").map(read_disk).collect::<Result<_, _>>()?,
        None => BTreeMap::new(),
    };
    let mut snapshot = ObservedSnapshot {
        name: name(root)?,
        parent: parent.map(SnapshotName::observed),
        created,
        state: child(root, "state").map(text).unwrap_or_default(),
        description: Description::parse(&child(root, "description").map(text).unwrap_or_default()),
        memory: child(root, "memory").map_or(Storage::No, |memory| storage(memory.attribute("snapshot"))),
        disks,
        files: None,
        definition: child(root, "domain").map(read_definition).transpose()?.map(Box::new),
        ledger: embedded_ledger(root),
        digest: Sha256::digest(xml.as_bytes()).into(),
    };
    if snapshot.is_external() {
        snapshot.files = Some(Box::new(read_files(root, snapshot.definition.as_deref())));
    }
    Ok(snapshot)
}

fn read_definition(domain: Node<'_, '_>) -> Result<KeptDefinition, XmlError> {
    let disks = child(domain, "devices").into_iter().flat_map(|devices| children(devices, "disk"));
    Ok(KeptDefinition { disks: disks.map(read_domain_disk).collect::<Result<_, _>>()?, memory_kib: memory_kib(domain) })
}

/// The files of the external parts.
fn read_files(root: Node<'_, '_>, definition: Option<&KeptDefinition>) -> SnapshotFiles {
    let mut files = SnapshotFiles {
        memory: child(root, "memory").and_then(|memory| memory.attribute("file")).map(str::to_owned),
        ..SnapshotFiles::default()
    };
    files.overlays = read_overlays(root, "disks", &mut files.formats);
    files.revert_overlays = read_overlays(root, "revertDisks", &mut files.formats);
    for disk in child(root, "disks").into_iter().flat_map(|disks| children(disks, "disk")) {
        // Set on the disk of the snapshot that was merged into, and taken away when the merge is through
        // (qemuSnapshotSetInvalid).
        if child(disk, "snapshotDeleteInProgress").is_some() {
            files.unfinished.extend(disk.attribute("name").map(str::to_owned));
        }
    }
    for disk in definition.into_iter().flat_map(|definition| &definition.disks) {
        let on_path = matches!(disk.source_type.as_str(), "file" | "block");
        if let Some(source) = disk.source.as_ref().filter(|_| on_path) {
            files.formats.insert(source.clone(), disk.format.clone());
            files.bases.insert(disk.target.clone(), source.clone());
        }
    }
    files
}

/// The files of the disks in a list, by target; their formats go to `formats`.
fn read_overlays(root: Node<'_, '_>, list: &str, formats: &mut BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut overlays = BTreeMap::new();
    for disk in child(root, list).into_iter().flat_map(|disks| children(disks, "disk")) {
        let source_type = disk.attribute("type").unwrap_or("file");
        let source = child(disk, "source").and_then(|source| read_source(source, source_type));
        let (Some(target), Some(source), "file" | "block") = (disk.attribute("name"), source, source_type) else {
            continue;
        };
        // libvirt's default for an overlay.
        let format = child(disk, "driver").and_then(|driver| driver.attribute("type")).unwrap_or("qcow2");
        formats.insert(source.clone(), format.to_owned());
        overlays.insert(target.to_owned(), source);
    }
    overlays
}

/// The root element of a snapshot's document.
pub(super) fn root<'a, 'i>(document: &'a roxmltree::Document<'i>) -> Result<Node<'a, 'i>, XmlError> {
    let root = document.root_element();
    if root.has_tag_name("domainsnapshot") {
        Ok(root)
    } else {
        Err(XmlError::new("the document is not a <domainsnapshot>"))
    }
}

/// The snapshot's own name.
pub(super) fn name(root: Node<'_, '_>) -> Result<SnapshotName, XmlError> {
    child(root, "name")
        .map(text)
        .filter(|name| !name.is_empty())
        .map(SnapshotName::observed)
        .ok_or_else(|| XmlError::missing("<name>", root))
}

fn read_disk(disk: Node<'_, '_>) -> Result<(String, Storage), XmlError> {
    let target = disk.attribute("name").ok_or_else(|| XmlError::missing("name", disk))?;
    Ok((target.to_owned(), storage(disk.attribute("snapshot"))))
}

/// What is neither captured nor internal counts as external: the careful reading, under which nothing is deleted or
/// moved.
fn storage(location: Option<&str>) -> Storage {
    match location {
        Some("no") => Storage::No,
        Some("internal") => Storage::Internal,
        Some("manual") => Storage::Manual,
        _ => Storage::External,
    }
}

/// A snapshot of a running domain embeds two definitions, the live one and the stored one; each has its copy. Copies
/// that name another domain than the embedded one come from a clone: they count only where there is no better.
fn embedded_ledger(root: Node<'_, '_>) -> Option<Ledger> {
    let embedded: Vec<_> = ["domain", "inactiveDomain"].iter().filter_map(|name| child(root, name)).collect();
    let uuid = embedded.iter().find_map(|domain| child(*domain, "uuid")).map(text);
    let mut copies: Vec<_> = embedded.iter().filter_map(|domain| ledger::read(*domain)).collect();
    copies.sort_by_key(|copy| uuid.as_deref() != Some(copy.domain.to_string().as_str()));
    let mut copies = copies.into_iter();
    let mut first = copies.next()?;
    copies.filter(|copy| copy.domain == first.domain).collect::<Vec<_>>().iter().for_each(|copy| first.merge(copy));
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ledger::LEDGER_NAMESPACE;

    const XML: &str = "<domainsnapshot>\n  <name>s &amp; 1</name>\n  <description>a<!-- c --> b<![CDATA[<x>&]]>\n tail </description>\n\
        <state>running</state><parent><name>root</name></parent><creationTime>1700000000</creationTime>\
        <memory snapshot='internal'/><disks><disk name='vda' snapshot='internal'/><disk name='hda' snapshot='no'/></disks>\
        <newer/><domain><name>web</name><description>not this</description></domain></domainsnapshot>";

    #[test]
    fn every_field_is_read() {
        let read = read(XML).expect("valid");
        assert_eq!(read.name.as_str(), "s & 1");
        assert_eq!(read.parent.as_ref().map(SnapshotName::as_str), Some("root"));
        assert_eq!(read.created, 1_700_000_000);
        assert_eq!(read.state, "running");
        assert_eq!(read.description.human, "a b<x>&\n tail ");
        assert_eq!(read.memory, Storage::Internal);
        assert_eq!(read.disks, BTreeMap::from([("vda".into(), Storage::Internal), ("hda".into(), Storage::No)]));
        assert!(!read.is_external());
        assert_eq!(read.ledger, None);
    }

    #[test]
    fn a_bare_snapshot_is_read() {
        let read =
            read("<domainsnapshot><name>s</name><creationTime>1</creationTime></domainsnapshot>").expect("valid");
        assert_eq!((read.parent, read.memory, read.description.human.as_str()), (None, Storage::No, ""));
    }

    #[test]
    fn what_is_not_known_to_be_internal_is_external() {
        for attribute in ["snapshot='external'", "snapshot='newer'", "", "snapshot='manual'"] {
            let xml = format!(
                "<domainsnapshot><name>s</name><creationTime>1</creationTime><disks><disk name='a' {attribute}/></disks></domainsnapshot>"
            );
            assert!(read(&xml).expect("valid").is_external(), "{attribute}");
        }
    }

    #[test]
    fn the_files_of_an_external_snapshot_are_read() {
        // As libvirt 11.3 writes it after a revert to it and an interrupted deletion of its child.
        let xml = "<domainsnapshot><name>e1</name><state>running</state><creationTime>1</creationTime>
            <memory snapshot='external' file='/m'/><disks>
            <disk name='vda' snapshot='external' type='file'><driver type='qcow2'/><source file='/a.e1'/><snapshotDeleteInProgress/></disk>
            <disk name='vdb' snapshot='external' type='block'><driver type='qcow2'/><source dev='/dev/b.e1'/></disk>
            <disk name='vdc' snapshot='no'/></disks>
            <revertDisks><disk name='vda' snapshot='external' type='file'><driver type='qcow2'/><source file='/a.17'/></disk></revertDisks>
            <domain><devices><disk type='file'><driver type='raw'/><source file='/a'/><target dev='vda'/></disk>
            <disk type='file'><driver type='qcow2'/><source file='/c'/><target dev='vdc'/></disk>
            <disk type='network'><source protocol='rbd' name='p/i'/><target dev='vdd'/></disk></devices></domain></domainsnapshot>";
        let files = *read(xml).expect("valid").files.expect("external");
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(files.overlays, map(&[("vda", "/a.e1"), ("vdb", "/dev/b.e1")]));
        assert_eq!(files.revert_overlays, map(&[("vda", "/a.17")]));
        assert_eq!(files.bases, map(&[("vda", "/a"), ("vdc", "/c")]));
        assert_eq!(files.memory.as_deref(), Some("/m"));
        assert_eq!(files.unfinished, ["vda".to_owned()].into());
        let formats = [("/a", "raw"), ("/a.17", "qcow2"), ("/a.e1", "qcow2"), ("/c", "qcow2"), ("/dev/b.e1", "qcow2")];
        assert_eq!(files.formats, map(&formats));
    }

    #[test]
    fn an_internal_snapshot_names_no_files() {
        assert_eq!(read(XML).expect("valid").files, None);
    }

    #[test]
    fn broken_documents_are_errors() {
        for xml in [
            "",
            "<domain/>",
            "<domainsnapshot/>",
            "<domainsnapshot><name>s</name></domainsnapshot>",
            "<domainsnapshot><name>s</name><creationTime>soon</creationTime></domainsnapshot>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><domainsnapshot><name>&b;</name></domainsnapshot>",
        ] {
            assert!(read(xml).is_err(), "{xml}");
        }
    }

    #[test]
    fn both_embedded_copies_of_the_ledger_count_and_a_clones_does_not() {
        let ledger = |domain: u128, name: &str| {
            let domain = uuid::Uuid::from_u128(domain);
            format!(
                "<metadata><s:ledger xmlns:s='{LEDGER_NAMESPACE}' domain='{domain}'><s:made name='{name}' created='1'/></s:ledger></metadata>"
            )
        };
        let read = |live: String, stored: String| {
            let uuid = uuid::Uuid::from_u128(1);
            let xml = format!(
                "<domainsnapshot><name>s</name><creationTime>1</creationTime><domain><uuid>{uuid}</uuid>{live}</domain>\
                 <inactiveDomain><uuid>{uuid}</uuid>{stored}</inactiveDomain></domainsnapshot>"
            );
            let ledger = read(&xml).expect("valid").ledger.expect("a copy");
            (ledger.domain.0.as_u128(), ledger.made.keys().map(|n| n.as_str().to_owned()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(read(ledger(1, "a"), ledger(1, "b")), (1, "a b".into()));
        assert_eq!(read(ledger(2, "a"), ledger(1, "b")), (1, "b".into()));
        assert_eq!(read(ledger(2, "a"), String::new()), (2, "a".into()));
    }
}
