//! Writes the XML that asks libvirt for a capture.

use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::XmlError;
use crate::host::CreateRequest;
use crate::model::kinds::{Content, DiskLocation, Location};
use crate::model::observed::ObservedDisk;
use crate::model::text::{first_forbidden, fold_newlines};

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

/// Writes the request for an internal capture. Memory and every disk are named outright, so that libvirt refuses the
/// call, instead of capturing something else, where the domain is no longer as it was read: `active` says whether it had
/// a process then.
pub(in crate::libvirt) fn write(request: &CreateRequest, active: bool) -> Result<String, CreateError> {
    check_internal(request)?;
    if let Some(c) = first_forbidden(&request.description) {
        let text = format!("the description holds {}, which XML cannot hold", c.escape_unicode());
        return Err(XmlError::new(text).into());
    }
    let memory = if active && request.capture.content == Content::Full { "internal" } else { "no" };
    let description = fold_newlines(&request.description);
    let mut writer = Writer::new(Vec::new());
    let written = writer.create_element("domainsnapshot").write_inner_content(|writer| {
        writer.create_element("name").write_text_content(BytesText::new(request.name.as_str()))?;
        if !description.is_empty() {
            writer.create_element("description").write_text_content(BytesText::new(&description))?;
        }
        writer.create_element("memory").with_attribute(("snapshot", memory)).write_empty()?;
        // The schema wants at least one disk in the list.
        if !request.disks.is_empty() {
            writer.create_element("disks").write_inner_content(|writer| {
                for disk in &request.disks {
                    let location = if takes_part(request, disk) { "internal" } else { "no" };
                    writer
                        .create_element("disk")
                        .with_attribute(("name", disk.target.as_str()))
                        .with_attribute(("snapshot", location))
                        .write_empty()?;
                }
                Ok(())
            })?;
        }
        Ok(())
    });
    written.map_err(XmlError::from)?;
    String::from_utf8(writer.into_inner()).map_err(|error| XmlError::new(error.to_string()).into())
}

fn check_internal(request: &CreateRequest) -> Result<(), CreateError> {
    let capture = &request.capture;
    let elsewhere =
        |location: Option<DiskLocation>| matches!(location, Some(DiskLocation::External | DiskLocation::Manual));
    if capture.location == Location::External
        || capture.memory.is_some()
        || capture.content == Content::Memory
        || capture.disks.iter().any(|disk| elsewhere(disk.location))
    {
        return Err(CreateError::Unsupported("external captures are not supported by this version".to_owned()));
    }
    if let Some(disk) = capture.disks.iter().find(|disk| !request.disks.iter().any(|d| d.target == disk.target)) {
        let target = crate::model::text::printable(&disk.target);
        return Err(CreateError::Unsupported(format!(
            "the capture names disk {target}, which the domain does not have"
        )));
    }
    Ok(())
}

/// An explicit choice holds; else read-only disks and empty drives stay out, as does what the domain itself excludes.
/// libvirt's own defaults (`virDomainSnapshotAlignDisks`) are the same.
fn takes_part(request: &CreateRequest, disk: &ObservedDisk) -> bool {
    let chosen = request.capture.disks.iter().find(|chosen| chosen.target == disk.target);
    match chosen.and_then(|chosen| chosen.location) {
        Some(location) => location == DiskLocation::Internal,
        None => !disk.readonly && !disk.is_empty_drive() && disk.snapshot.as_deref() != Some("no"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kinds::{Capture, CaptureDisk, Consistency};
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

    #[test]
    fn external_captures_and_bad_text_are_refused() {
        let mut asked = request(Content::Memory);
        assert!(matches!(write(&asked, true), Err(CreateError::Unsupported(_))));
        asked = request(Content::Full);
        asked.capture.location = Location::External;
        assert!(matches!(write(&asked, true), Err(CreateError::Unsupported(_))));
        asked = request(Content::Full);
        asked.description = "a\0".into();
        assert!(matches!(write(&asked, true), Err(CreateError::Xml(_))));
    }
}
