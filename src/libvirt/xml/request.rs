//! Reads the XML by which a person describes a capture, as `virsh snapshot-create` takes it. What libvirt itself fills in is
//! passed over, as libvirt does; a choice that is not understood is an error, for it would silently be made otherwise.

use roxmltree::Node;

use super::disk::source_of;
use super::{XmlError, child, children, parse, root, text};
use crate::model::act::{CaptureSpec, MemorySpec};
use crate::model::kinds::{CaptureDisk, DiskLocation, SourceType};
use crate::model::text::printable;

/// The elements that libvirt fills in, and ignores in a request.
const IGNORED: [&str; 9] =
    ["state", "parent", "creationTime", "domain", "inactiveDomain", "cookie", "revertDisks", "active", "children"];

/// Reads the description of a capture.
pub(in crate::libvirt) fn read(xml: &str) -> Result<CaptureSpec, XmlError> {
    let document = parse(xml)?;
    let root = root(&document)?;
    let mut spec = CaptureSpec::default();
    for element in root.children().filter(Node::is_element) {
        match element.tag_name().name() {
            "name" => spec.name = Some(text(element)).filter(|name| !name.is_empty()),
            "description" => spec.description = Some(text(element)),
            "memory" => spec.memory = Some(memory(element)?),
            "disks" => spec.disks = children(element, "disk").map(disk).collect::<Result<_, _>>()?,
            name if IGNORED.contains(&name) => {}
            name => return Err(XmlError::new(format!("<{}> is not part of a snapshot's XML", printable(name)))),
        }
    }
    Ok(spec)
}

fn memory(element: Node<'_, '_>) -> Result<MemorySpec, XmlError> {
    only(element, &["snapshot", "file"], &[])?;
    let location = element.attribute("snapshot").map(location).transpose()?;
    Ok(MemorySpec { location, file: element.attribute("file").map(str::to_owned) })
}

fn disk(element: Node<'_, '_>) -> Result<CaptureDisk, XmlError> {
    only(element, &["name", "snapshot", "type"], &["driver", "source"])?;
    let source_type = match element.attribute("type") {
        None => None,
        Some("file") => Some(SourceType::File),
        Some("block") => Some(SourceType::Block),
        Some(other) => {
            return Err(XmlError::new(format!("an overlay of type {} is not supported", printable(other))));
        }
    };
    let driver = child(element, "driver");
    driver.map_or(Ok(()), |driver| only(driver, &["type", "name"], &[]))?;
    let source = child(element, "source");
    source.map_or(Ok(()), |source| only(source, &["file", "dev", "index"], &["seclabel"]))?;
    Ok(CaptureDisk {
        target: element.attribute("name").ok_or_else(|| XmlError::missing("name", "disk"))?.to_owned(),
        location: element.attribute("snapshot").map(location).transpose()?,
        format: driver.and_then(|driver| driver.attribute("type")).map(str::to_owned),
        file: source.and_then(|source| {
            source_of(element.attribute("type").unwrap_or("file"), |name| source.attribute(name).map(str::to_owned))
        }),
        source_type,
    })
}

fn location(word: &str) -> Result<DiskLocation, XmlError> {
    match word {
        "no" => Ok(DiskLocation::No),
        "internal" => Ok(DiskLocation::Internal),
        "external" => Ok(DiskLocation::External),
        "manual" => Ok(DiskLocation::Manual),
        other => {
            Err(XmlError::new(format!("snapshot='{}' is none of no, internal, external, manual", printable(other))))
        }
    }
}

/// Refuses attributes and elements besides these.
fn only(element: Node<'_, '_>, attributes: &[&str], elements: &[&str]) -> Result<(), XmlError> {
    let of = printable(element.tag_name().name());
    if let Some(other) = element.attributes().find(|attribute| !attributes.contains(&attribute.name())) {
        return Err(XmlError::new(format!("{} of <{of}> is not supported", printable(other.name()))));
    }
    let mut inside = element.children().filter(Node::is_element);
    match inside.find(|inside| !elements.contains(&inside.tag_name().name())) {
        Some(other) => {
            Err(XmlError::new(format!("<{}> in <{of}> is not supported", printable(other.tag_name().name()))))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_chooses_is_read_and_what_libvirt_fills_in_is_not() {
        let xml = "<domainsnapshot><name>s</name><description>a &amp; b</description><state>running</state>\
                   <creationTime>7</creationTime><memory snapshot='external' file='/m,1'/><disks>\
                   <disk name='vda' snapshot='external' type='block'><driver type='qcow2'/><source dev='/dev/x'/></disk>\
                   <disk name='vdb' snapshot='no'/></disks><domain><name>web</name></domain></domainsnapshot>";
        let spec = read(xml).expect("valid");
        assert_eq!((spec.name.as_deref(), spec.description.as_deref()), (Some("s"), Some("a & b")));
        let memory = spec.memory.expect("memory");
        assert_eq!((memory.location, memory.file.as_deref()), (Some(DiskLocation::External), Some("/m,1")));
        assert_eq!(
            (spec.disks[0].file.as_deref(), spec.disks[0].source_type),
            (Some("/dev/x"), Some(SourceType::Block))
        );
        assert_eq!(spec.disks[1].location, Some(DiskLocation::No));
        assert_eq!(read("<domainsnapshot/>").expect("valid"), CaptureSpec::default());
    }

    #[test]
    fn a_choice_that_is_not_understood_is_refused() {
        for (disk, what) in [
            ("<disk name='vda' type='network'/>", "type network"),
            ("<disk name='vda'><auth username='x'/></disk>", "<auth>"),
            ("<disk name='vda' snapshot='maybe'/>", "maybe"),
            ("<disk/>", "name"),
        ] {
            let error = read(&format!("<domainsnapshot><disks>{disk}</disks></domainsnapshot>")).expect_err(disk);
            assert!(error.0.contains(what), "{error}");
        }
        assert!(read("<domainsnapshot><quiesce/></domainsnapshot>").is_err());
        assert!(read("<domain/>").is_err());
    }
}
