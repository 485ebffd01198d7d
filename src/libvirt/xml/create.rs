//! Writes the XML that asks libvirt for a capture.

use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::XmlError;
use crate::host::CreateRequest;
use crate::model::kinds::{Content, DiskLocation, Location, SourceType};
use crate::model::observed::ObservedDisk;
use crate::model::text::{first_forbidden, fold_newlines, printable};

/// Why no XML was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::libvirt) enum CreateError {
    /// This version cannot ask for that.
    #[error("{0}")]
    Unsupported(String),
    /// A text cannot be written.
    #[error(transparent)]
    Xml(#[from] XmlError),
}

/// Writes the request for a capture. Memory and every disk are named outright, so that libvirt refuses the call, instead
/// of capturing something else, where the domain is no longer as it was read: `active` says whether it had a process then.
/// An external capture comes with the file of every part.
pub(in crate::libvirt) fn write(request: &CreateRequest, active: bool) -> Result<String, CreateError> {
    let memory = memory(request, active)?;
    let disks =
        request.disks.iter().map(|disk| Ok((disk, part(request, disk)?))).collect::<Result<Vec<_>, CreateError>>()?;
    check(request)?;
    let description = fold_newlines(&request.description);
    let mut writer = Writer::new(Vec::new());
    let written = writer.create_element("domainsnapshot").write_inner_content(|writer| {
        writer.create_element("name").write_text_content(BytesText::new(request.name.as_str()))?;
        if !description.is_empty() {
            writer.create_element("description").write_text_content(BytesText::new(&description))?;
        }
        let element = writer.create_element("memory");
        match memory {
            Part::File { path, .. } => {
                element.with_attribute(("snapshot", "external")).with_attribute(("file", path)).write_empty()?
            }
            Part::Internal => element.with_attribute(("snapshot", "internal")).write_empty()?,
            Part::No | Part::Manual => element.with_attribute(("snapshot", "no")).write_empty()?,
        };
        // The schema wants at least one disk in the list.
        if !disks.is_empty() {
            writer.create_element("disks").write_inner_content(|writer| {
                disks.iter().try_for_each(|(disk, part)| write_disk(writer, &disk.target, part))
            })?;
        }
        Ok(())
    });
    written.map_err(XmlError::from)?;
    String::from_utf8(writer.into_inner()).map_err(|error| XmlError::new(error.to_string()).into())
}

/// Where a disk's state or the memory goes.
enum Part<'a> {
    No,
    Internal,
    Manual,
    File { path: &'a str, format: &'a str, block: bool },
}

fn write_disk(writer: &mut Writer<Vec<u8>>, target: &str, part: &Part<'_>) -> std::io::Result<()> {
    let element = writer.create_element("disk").with_attribute(("name", target));
    match part {
        Part::No => element.with_attribute(("snapshot", "no")).write_empty()?,
        Part::Internal => element.with_attribute(("snapshot", "internal")).write_empty()?,
        Part::Manual => element.with_attribute(("snapshot", "manual")).write_empty()?,
        Part::File { path, format, block } => {
            let (kind, attribute) = if *block { ("block", "dev") } else { ("file", "file") };
            element.with_attribute(("snapshot", "external")).with_attribute(("type", kind)).write_inner_content(
                |writer| {
                    writer.create_element("driver").with_attribute(("type", *format)).write_empty()?;
                    writer.create_element("source").with_attribute((attribute, *path)).write_empty()?;
                    Ok(())
                },
            )?
        }
    };
    Ok(())
}

/// Where the memory goes.
fn memory<'a>(request: &'a CreateRequest, active: bool) -> Result<Part<'a>, CreateError> {
    let capture = &request.capture;
    let wanted = active && capture.content != Content::Disks;
    match (capture.location, &capture.memory) {
        (Location::Internal, None) if capture.content != Content::Memory => {
            Ok(if wanted { Part::Internal } else { Part::No })
        }
        (Location::Internal, _) => unsupported("memory in a file is part of an external capture"),
        (Location::External, Some(memory)) if wanted => {
            Ok(Part::File { path: &memory.file, format: "raw", block: false })
        }
        (Location::External, None) if wanted => unsupported("the capture does not say where the memory goes"),
        (Location::External, _) if capture.content == Content::Memory => {
            unsupported("a domain that is off has no memory to capture")
        }
        (Location::External, _) => Ok(Part::No),
    }
}

/// Where a disk's state goes. In an internal capture an explicit choice holds; else read-only disks and empty drives stay
/// out, as does what the domain itself excludes: libvirt's own defaults (`virDomainSnapshotAlignDisks`) are the same. In an
/// external one only what is listed takes part.
fn part<'a>(request: &'a CreateRequest, disk: &ObservedDisk) -> Result<Part<'a>, CreateError> {
    let capture = &request.capture;
    let chosen = capture.disks.iter().find(|chosen| chosen.target == disk.target);
    let by_default = || !disk.readonly && !disk.is_empty_drive() && disk.snapshot.as_deref() != Some("no");
    match (capture.location, chosen.and_then(|chosen| chosen.location)) {
        (Location::Internal, None) => Ok(if by_default() { Part::Internal } else { Part::No }),
        (Location::Internal, Some(DiskLocation::Internal)) => Ok(Part::Internal),
        (_, Some(DiskLocation::No)) | (Location::External, None) => Ok(Part::No),
        (Location::External, Some(DiskLocation::External)) => {
            let chosen = chosen.filter(|_| capture.content != Content::Memory);
            let Some(path) = chosen.and_then(|chosen| chosen.file.as_deref()) else {
                return unsupported(&format!("the capture does not say where disk {} goes", printable(&disk.target)));
            };
            let format = chosen.and_then(|chosen| chosen.format.as_deref()).unwrap_or("qcow2");
            let block = chosen.and_then(|chosen| chosen.source_type) == Some(SourceType::Block);
            Ok(Part::File { path, format, block })
        }
        (Location::External, Some(DiskLocation::Manual)) => Ok(Part::Manual),
        (_, Some(_)) => unsupported("libvirt mixes no internal and external parts in one capture"),
    }
}

fn unsupported<T>(text: &str) -> Result<T, CreateError> {
    Err(CreateError::Unsupported(text.to_owned()))
}

/// What no part can see for itself.
fn check(request: &CreateRequest) -> Result<(), CreateError> {
    let capture = &request.capture;
    if let Some(disk) = capture.disks.iter().find(|disk| !request.disks.iter().any(|d| d.target == disk.target)) {
        let target = printable(&disk.target);
        return unsupported(&format!("the capture names disk {target}, which the domain does not have"));
    }
    let paths = capture.disks.iter().filter_map(|disk| disk.file.as_deref());
    let paths = paths.chain(capture.memory.iter().map(|memory| memory.file.as_str()));
    let texts = paths.map(|path| ("a path", path)).chain([("the description", request.description.as_str())]);
    for (what, text) in texts {
        if let Some(c) = first_forbidden(text) {
            return Err(XmlError::new(format!("{what} holds {}, which XML cannot hold", c.escape_unicode())).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kinds::{Capture, CaptureDisk, Consistency, MemoryFile};
    use crate::model::names::SnapshotName;

    fn disk(target: &str) -> ObservedDisk {
        ObservedDisk {
            target: target.into(),
            source_type: "file".into(),
            source: Some(format!("/{target}")),
            format: "qcow2".into(),
            device: "disk".into(),
            readonly: false,
            snapshot: None,
            backing: None,
        }
    }

    fn request(content: Content) -> CreateRequest {
        CreateRequest {
            name: SnapshotName::observed("a & b"),
            description: "x ]]> <y>\r\n".into(),
            capture: Capture {
                content,
                location: Location::Internal,
                memory: None,
                disks: Vec::new(),
                consistency: Consistency::Crash,
            },
            disks: vec![
                disk("vda"),
                ObservedDisk { readonly: true, ..disk("vdb") },
                ObservedDisk { source: None, device: "cdrom".into(), ..disk("hda") },
                ObservedDisk { snapshot: Some("no".into()), ..disk("vdc") },
            ],
            reuse: false,
            act: crate::model::act::Act::default(),
        }
    }

    #[test]
    fn everything_is_named_outright() {
        assert_eq!(
            write(&request(Content::Full), true).expect("valid"),
            "<domainsnapshot><name>a &amp; b</name><description>x ]]&gt; &lt;y&gt;\n</description>\
             <memory snapshot=\"internal\"/><disks><disk name=\"vda\" snapshot=\"internal\"/>\
             <disk name=\"vdb\" snapshot=\"no\"/><disk name=\"hda\" snapshot=\"no\"/><disk name=\"vdc\" snapshot=\"no\"/>\
             </disks></domainsnapshot>"
        );
        assert!(write(&request(Content::Full), false).expect("valid").contains("<memory snapshot=\"no\"/>"));
        assert!(write(&request(Content::Disks), true).expect("valid").contains("<memory snapshot=\"no\"/>"));
    }

    #[test]
    fn an_explicit_choice_for_a_disk_holds() {
        let mut asked = request(Content::Full);
        let choice = |target: &str, location| CaptureDisk {
            target: target.into(),
            location: Some(location),
            format: None,
            file: None,
            source_type: None,
        };
        asked.capture.disks = vec![choice("vda", DiskLocation::No), choice("vdb", DiskLocation::Internal)];
        let xml = write(&asked, false).expect("valid");
        assert!(
            xml.contains("name=\"vda\" snapshot=\"no\"") && xml.contains("name=\"vdb\" snapshot=\"internal\""),
            "{xml}"
        );
        asked.capture.disks = vec![choice("vda", DiskLocation::External)];
        assert!(matches!(write(&asked, false), Err(CreateError::Unsupported(_))));
        asked.capture.disks = vec![choice("vdz", DiskLocation::Internal)];
        assert!(matches!(write(&asked, false), Err(CreateError::Unsupported(_))));
    }

    /// A resolved external capture of `vda`, and of memory where `memory` says so.
    fn external(content: Content, memory: bool) -> CreateRequest {
        let mut asked = request(content);
        asked.description = String::new();
        asked.capture.location = Location::External;
        asked.capture.memory = memory.then(|| MemoryFile { file: "/m & m".into() });
        if content != Content::Memory {
            asked.capture.disks = vec![CaptureDisk {
                target: "vda".into(),
                location: Some(DiskLocation::External),
                format: Some("qcow2".into()),
                file: Some("/vda.a & b".into()),
                source_type: None,
            }];
        }
        asked
    }

    #[test]
    fn an_external_capture_names_every_file() {
        assert_eq!(
            write(&external(Content::Full, true), true).expect("valid"),
            "<domainsnapshot><name>a &amp; b</name><memory snapshot=\"external\" file=\"/m &amp; m\"/><disks>\
             <disk name=\"vda\" snapshot=\"external\" type=\"file\"><driver type=\"qcow2\"/>\
             <source file=\"/vda.a &amp; b\"/></disk><disk name=\"vdb\" snapshot=\"no\"/>\
             <disk name=\"hda\" snapshot=\"no\"/><disk name=\"vdc\" snapshot=\"no\"/></disks></domainsnapshot>"
        );
        let mut block = external(Content::Disks, false);
        block.capture.disks[0].source_type = Some(SourceType::Block);
        let xml = write(&block, true).expect("valid");
        assert!(xml.contains("type=\"block\"><driver type=\"qcow2\"/><source dev=\"/vda.a"), "{xml}");
        assert!(xml.contains("<memory snapshot=\"no\"/>"), "{xml}");
        let xml = write(&external(Content::Memory, true), true).expect("valid");
        assert!(xml.contains("file=\"/m &amp; m\"") && !xml.contains("<source"), "{xml}");
        // Off, the disks are all there is, also where a memory file is declared for when it runs.
        let xml = write(&external(Content::Full, true), false).expect("valid");
        assert!(xml.contains("<memory snapshot=\"no\"/>") && xml.contains("<source"), "{xml}");
    }

    #[test]
    fn what_is_not_resolved_is_refused() {
        let refused = |asked: &CreateRequest, active| matches!(write(asked, active), Err(CreateError::Unsupported(_)));
        assert!(refused(&external(Content::Full, false), true), "no memory file");
        assert!(refused(&external(Content::Memory, true), false), "off");
        let mut asked = external(Content::Disks, false);
        asked.capture.disks[0].file = None;
        assert!(refused(&asked, true), "no overlay");
        asked.capture.disks[0].location = Some(DiskLocation::Internal);
        assert!(refused(&asked, true), "mixed");
        assert!(refused(&request(Content::Memory), true), "memory is never internal alone");
    }

    #[test]
    fn what_xml_cannot_hold_is_refused() {
        let mut asked = request(Content::Full);
        asked.description = "a\0".into();
        assert!(matches!(write(&asked, true), Err(CreateError::Xml(_))));
        asked = external(Content::Disks, false);
        asked.capture.disks[0].file = Some("/a\u{1}".into());
        assert!(matches!(write(&asked, true), Err(CreateError::Xml(_))));
    }
}
