//! Reads a snapshot.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::disk::{read as read_disk, read_source};
use super::domain::read_memory_kib;
use super::walk::{Element, Walk};
use super::{SNAPSHOT, XmlError, ledger, no_snapshot, own_name};
use crate::model::ledger::Ledger;
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::shared::Shared;
use crate::model::snapshot::{KeptDefinition, ObservedSnapshot, SnapshotFiles, Storage};
use crate::model::stamp::Description;

/// Reads what `virDomainSnapshotGetXMLDesc` gives. Elements it does not know are passed over.
pub(in crate::libvirt) fn read(xml: &str) -> Result<ObservedSnapshot, XmlError> {
    thread_local! {
        // The snapshots of a domain follow each other on one thread.
        static LAST: RefCell<Last> = RefCell::default();
    }
    LAST.with_borrow_mut(|last| read_after(xml, last)).map(|(snapshot, _)| snapshot)
}

/// As [`read`], with the UUID of the domain that the snapshot was taken of.
pub(in crate::libvirt) fn read_with_domain(xml: &str) -> Result<(ObservedSnapshot, Option<DomainUuid>), XmlError> {
    read_after(xml, &mut Last::default())
}

/// The parts of the document that was read last which the next one mostly has too. They are compared byte by byte and passed
/// over: of a snapshot of usual size that is two thirds of the text.
#[derive(Default)]
struct Last {
    ledger: ledger::Last,
    /// The devices of the definition, as they were written.
    devices: Vec<u8>,
    definition: Shared<KeptDefinition>,
}

fn read_after(xml: &str, last: &mut Last) -> Result<(ObservedSnapshot, Option<DomainUuid>), XmlError> {
    let mut parts = Parts::default();
    Walk::document(xml, |walk, root| {
        if root.name() != SNAPSHOT {
            return Err(no_snapshot());
        }
        walk.children(root, |walk, child| parts.read(walk, child, last))
    })?;
    let domain = parts.domain.as_ref().and_then(|domain| domain.uuid.as_deref());
    let uuid = domain.and_then(|uuid| uuid.trim().parse().ok()).map(DomainUuid);
    Ok((parts.put_together(xml)?, uuid))
}

/// The children of the root; of several that have one name the first counts, as it does for libvirt.
#[derive(Default)]
struct Parts {
    name: Option<String>,
    parent: Option<Option<String>>,
    created: Option<String>,
    state: Option<String>,
    description: Option<String>,
    /// Its place, and its file.
    memory: Option<(Storage, Option<String>)>,
    disks: Option<Vec<SnapshotDisk>>,
    revert_disks: Option<Vec<SnapshotDisk>>,
    domain: Option<Embedded>,
    /// The definition for the next start, of a running domain.
    inactive: Option<Embedded>,
}

/// A disk of a snapshot.
struct SnapshotDisk {
    target: Option<String>,
    storage: Storage,
    /// The file or device of its own, with the format.
    overlay: Option<(String, String)>,
    /// Set on the disk of the snapshot that was merged into, and taken away when the merge is through
    /// (qemuSnapshotSetInvalid).
    unfinished: bool,
}

/// A definition of the domain in a snapshot.
#[derive(Default)]
struct Embedded {
    uuid: Option<String>,
    ledger: Option<Shared<Ledger>>,
    definition: Shared<KeptDefinition>,
}

impl Parts {
    fn read<'x>(&mut self, walk: &mut Walk<'x>, child: &Element<'x>, last: &mut Last) -> Result<(), XmlError> {
        match child.name() {
            "name" if self.name.is_none() => self.name = Some(walk.text(child)?),
            "parent" if self.parent.is_none() => self.parent = Some(read_parent(walk, child)?),
            "creationTime" if self.created.is_none() => self.created = Some(walk.text(child)?),
            "state" if self.state.is_none() => self.state = Some(walk.text(child)?),
            "description" if self.description.is_none() => self.description = Some(walk.text(child)?),
            "memory" if self.memory.is_none() => {
                let [place, file] = child.attributes(["snapshot", "file"])?;
                self.memory = Some((storage(place.as_deref()), file.map(Cow::into_owned)));
            }
            "disks" if self.disks.is_none() => self.disks = Some(read_disks(walk, child)?),
            "revertDisks" if self.revert_disks.is_none() => self.revert_disks = Some(read_disks(walk, child)?),
            "domain" if self.domain.is_none() => self.domain = Some(Embedded::read(walk, child, last)?),
            "inactiveDomain" if self.inactive.is_none() => {
                self.inactive = Some(Embedded::read_stored(walk, child, last)?);
            }
            _ => {}
        }
        Ok(())
    }

    fn put_together(self, xml: &str) -> Result<ObservedSnapshot, XmlError> {
        let created = self.created.and_then(|created| created.trim().parse().ok());
        let (memory, memory_file) = self.memory.unwrap_or((Storage::No, None));
        let named = self.disks.as_deref().unwrap_or_default().iter();
        let disks = named.map(|disk| match &disk.target {
            Some(target) => Ok((target.clone(), disk.storage)),
            None => Err(XmlError::missing("name", "disk")),
        });
        let mut snapshot = ObservedSnapshot {
            created: created.ok_or_else(|| XmlError::missing("readable <creationTime>", SNAPSHOT))?,
            disks: disks.collect::<Result<BTreeMap<_, _>, _>>()?.into(),
            name: own_name(self.name)?,
            parent: self.parent.flatten().map(SnapshotName::observed),
            state: self.state.unwrap_or_default(),
            description: Description::parse(&self.description.unwrap_or_default()),
            memory,
            files: None,
            ledger: embedded_ledger(self.domain.as_ref(), self.inactive.as_ref()),
            definition: self.domain.map(|domain| domain.definition),
            digest: Sha256::digest(xml.as_bytes()).into(),
        };
        if snapshot.is_external() {
            let mut files = SnapshotFiles { memory: memory_file, ..SnapshotFiles::default() };
            add_overlays(&mut files, self.disks.unwrap_or_default(), self.revert_disks.unwrap_or_default());
            add_bases(&mut files, snapshot.definition.as_deref());
            snapshot.files = Some(Box::new(files));
        }
        Ok(snapshot)
    }
}

impl Embedded {
    /// Reads the definition of the snapshot's time.
    fn read<'x>(walk: &mut Walk<'x>, domain: &Element<'x>, last: &mut Last) -> Result<Self, XmlError> {
        let (mut read, mut memory_kib, mut disks) = (Self::default(), None, None);
        walk.children(domain, |walk, child| {
            match child.name() {
                "uuid" if read.uuid.is_none() => read.uuid = Some(walk.text(child)?),
                "metadata" if read.ledger.is_none() => read.ledger = ledger::read(walk, child, &mut last.ledger)?,
                "memory" if memory_kib.is_none() => memory_kib = Some(read_memory_kib(walk, child)?),
                "devices" if disks.is_none() => disks = Some(read_devices(walk, child, last)?),
                _ => {}
            }
            Ok(())
        })?;
        if disks.is_none() {
            // The devices before belong to no definition any more.
            last.devices.clear();
        }
        // Mostly the one before, and no copy of it.
        read.definition = disks.unwrap_or_default();
        if read.definition.memory_kib != memory_kib.flatten() {
            read.definition.memory_kib = memory_kib.flatten();
        }
        last.definition = read.definition.clone();
        Ok(read)
    }

    /// Reads of the definition for the next start what is merged.
    fn read_stored<'x>(walk: &mut Walk<'x>, domain: &Element<'x>, last: &mut Last) -> Result<Self, XmlError> {
        let mut read = Self::default();
        walk.children(domain, |walk, child| {
            match child.name() {
                "uuid" if read.uuid.is_none() => read.uuid = Some(walk.text(child)?),
                "metadata" if read.ledger.is_none() => read.ledger = ledger::read(walk, child, &mut last.ledger)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(read)
    }
}

/// The disks among the devices, in a definition whose memory is still that of the document before.
fn read_devices<'x>(
    walk: &mut Walk<'x>,
    devices: &Element<'x>,
    last: &mut Last,
) -> Result<Shared<KeptDefinition>, XmlError> {
    let start = walk.rest();
    let mut definition = if walk.pass_over(&last.devices) { last.definition.clone() } else { Shared::default() };
    walk.children(devices, |walk, device| {
        if device.name() == "disk" {
            definition.disks.push(read_disk(walk, device)?);
        }
        Ok(())
    })?;
    last.devices.clear();
    last.devices.extend_from_slice(walk.inside(start));
    // Together, whatever is wrong with the rest of the document.
    last.definition = definition.clone();
    Ok(definition)
}

fn read_parent<'x>(walk: &mut Walk<'x>, parent: &Element<'x>) -> Result<Option<String>, XmlError> {
    let mut name = None;
    walk.children(parent, |walk, child| {
        if child.name() == "name" && name.is_none() {
            name = Some(walk.text(child)?);
        }
        Ok(())
    })?;
    Ok(name)
}

fn read_disks<'x>(walk: &mut Walk<'x>, disks: &Element<'x>) -> Result<Vec<SnapshotDisk>, XmlError> {
    let mut read = Vec::new();
    walk.children(disks, |walk, disk| {
        if disk.name() == "disk" {
            read.push(read_snapshot_disk(walk, disk)?);
        }
        Ok(())
    })?;
    Ok(read)
}

fn read_snapshot_disk<'x>(walk: &mut Walk<'x>, disk: &Element<'x>) -> Result<SnapshotDisk, XmlError> {
    let [target, place, source_type] = disk.attributes(["name", "snapshot", "type"])?;
    let source_type = source_type.unwrap_or(Cow::Borrowed("file"));
    let (mut source, mut format, mut unfinished) = (None, None, false);
    walk.children(disk, |_, child| {
        match child.name() {
            "source" if source.is_none() => source = Some(read_source(child, &source_type)?),
            "driver" if format.is_none() => format = Some(child.attribute("type")?.map(Cow::into_owned)),
            "snapshotDeleteInProgress" => unfinished = true,
            _ => {}
        }
        Ok(())
    })?;
    let on_path = matches!(&*source_type, "file" | "block");
    // libvirt's default for an overlay.
    let format = || format.flatten().unwrap_or_else(|| "qcow2".to_owned());
    let overlay = source.flatten().filter(|_| on_path).map(|source| (source, format()));
    Ok(SnapshotDisk { target: target.map(Cow::into_owned), storage: storage(place.as_deref()), overlay, unfinished })
}

/// The overlays of the capture and of a revert, and what an interrupted deletion left marked.
fn add_overlays(files: &mut SnapshotFiles, disks: Vec<SnapshotDisk>, revert_disks: Vec<SnapshotDisk>) {
    files.unfinished.extend(disks.iter().filter(|disk| disk.unfinished).filter_map(|disk| disk.target.clone()));
    for (disks, overlays) in [(disks, &mut files.overlays), (revert_disks, &mut files.revert_overlays)] {
        for disk in disks {
            if let (Some(target), Some((source, format))) = (disk.target, disk.overlay) {
                files.formats.insert(source.clone(), format);
                overlays.insert(target, source);
            }
        }
    }
}

/// The images that the capture froze.
fn add_bases(files: &mut SnapshotFiles, definition: Option<&KeptDefinition>) {
    for disk in definition.into_iter().flat_map(|definition| &definition.disks) {
        let on_path = matches!(disk.source_type.as_str(), "file" | "block");
        if let Some(source) = disk.source.as_ref().filter(|_| on_path) {
            files.formats.insert(source.clone(), disk.format.clone());
            files.bases.insert(disk.target.clone(), source.clone());
        }
    }
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
fn embedded_ledger(domain: Option<&Embedded>, inactive: Option<&Embedded>) -> Option<Shared<Ledger>> {
    let embedded = || domain.into_iter().chain(inactive);
    let uuid = embedded().find_map(|domain| domain.uuid.as_deref());
    let mut copies: Vec<_> = embedded().filter_map(|domain| domain.ledger.as_ref()).collect();
    copies.sort_by_key(|copy| uuid != Some(copy.domain.to_string().as_str()));
    let mut copies = copies.into_iter();
    let mut first = copies.next()?.clone();
    for copy in copies.filter(|copy| copy.domain == first.domain).collect::<Vec<_>>() {
        if *copy != first {
            first.merge(copy);
        }
    }
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
        assert_eq!(*read.disks, BTreeMap::from([("vda".into(), Storage::Internal), ("hda".into(), Storage::No)]));
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
    fn a_snapshot_reads_the_same_after_any_other() {
        let disk =
            |target: &str| format!("<disk type='file'><source file='/{target}'/><target dev='{target}'/></disk>");
        let of = |memory: &str, devices: &str| {
            format!(
                "<domainsnapshot><name>s</name><creationTime>1</creationTime><domain>{memory}<devices>{devices}</devices></domain>\
                 </domainsnapshot>"
            )
        };
        let (a, b) = (disk("vda"), disk("vdb"));
        let all = [
            of("<memory>1</memory>", &a),
            of("<memory>2</memory>", &a),
            of("", &a),
            of("<memory>1</memory>", &format!("{a}{b}")),
            of("<memory>1</memory>", &format!("{a} {b} ")),
            of("<memory>1</memory>", &b),
            of("<memory>1</memory>", ""),
            of("<memory>1</memory>", &format!("{a}text")),
            "<domainsnapshot><name>s</name><creationTime>1</creationTime></domainsnapshot>".to_owned(),
            XML.to_owned(),
        ];
        let broken =
            [of("<memory>1</memory>", &b).replace("</devices>", "</devices><memory>"), of("<memory>&x;</memory>", &b)];
        for first in all.iter().chain(&broken) {
            for second in &all {
                let mut last = Last::default();
                // What the first one leaves of the devices must not outlive it.
                read_after(&all[0], &mut last).expect("valid");
                assert_eq!(read_after(first, &mut last).is_err(), broken.contains(first));
                let after = read_after(second, &mut last).expect("valid");
                assert_eq!(after, read_with_domain(second).expect("valid"), "{first} {second}");
            }
        }
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
