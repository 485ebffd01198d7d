//! The capture matrix: what libvirt's QEMU driver can never do, whatever the domain. What depends on the domain (its
//! disks' formats, its state, its guest agent) is decided by the plan.

use std::collections::HashMap;

use super::Entry;
use crate::manifest::diagnostic::{Code, Diagnostic};
use crate::manifest::tree::shown;
use crate::model::kinds::{Capture, CaptureDisk, Consistency, Content, DiskLocation, Location, SourceType, When};

/// Checks a capture at a pointer; `when` is the run state it is taken in.
pub(super) fn check(entry: &Entry<'_>, pointer: &str, capture: &Capture, when: When, out: &mut Vec<Diagnostic>) {
    let mut never = |field: &str, message: &str, help: &str| {
        let at = format!("{pointer}{field}");
        out.push(entry.fault(Code::NotPossible, &at, message).help(help));
    };
    let internal = capture.location == Location::Internal;
    match (capture.content, capture.location) {
        // An internal snapshot is one operation of QEMU over memory and all disks (qemuSnapshotPrepare).
        (Content::Memory, Location::Internal) => never(
            "/content",
            "an internal capture cannot hold memory alone",
            "use `content: full`, or `location: external`",
        ),
        (Content::Disks, Location::Internal) if when == When::Running => never(
            "/content",
            "an internal capture of a running domain always holds its memory",
            "use `content: full`, or `location: external`, or `when: stopped`",
        ),
        (Content::Memory, Location::External) if when == When::Stopped => {
            never("/content", "a stopped domain has no memory to capture", "use `content: disks`, or `when: running`");
        }
        _ => {}
    }
    if capture.consistency == Consistency::Filesystem {
        // QUIESCE needs DISK_ONLY (virDomainSnapshotCreateXML), and that excludes internal.
        if internal {
            never(
                "/consistency",
                "an internal capture cannot freeze the guest's filesystems",
                "its memory makes it whole: use `consistency: crash`; or `location: external` with `content: disks`",
            );
        } else if capture.content != Content::Disks {
            never(
                "/consistency",
                "filesystems are frozen only where the disks alone are captured: frozen memory would come back frozen",
                "use `consistency: crash`, the memory makes it whole; or `content: disks`",
            );
        } else if when == When::Stopped {
            never(
                "/consistency",
                "a stopped domain has no guest agent that could freeze its filesystems",
                "use `consistency: crash`; the disks of a stopped domain are consistent",
            );
        }
    }
    if let Some(memory) = &capture.memory {
        if internal {
            never("/memory", "an internal capture keeps memory inside the image, not in a file", "remove `memory`");
        } else if capture.content == Content::Disks {
            never("/memory", "`content: disks` captures no memory", "remove `memory`, or use `content: full`");
        } else if when == When::Stopped {
            never("/memory", "a stopped domain has no memory to capture", "remove `memory`, or use `when: running`");
        } else if !memory.file.starts_with('/') {
            never("/memory/file", "the memory file needs an absolute path on the host", "begin it with /");
        } else if climbs(&memory.file) {
            never("/memory/file", "the path of the memory file holds `..`", CLIMBS);
        }
    }
    disks(entry, pointer, capture, out);
}

/// What to do about a path that climbs. Who reviews a manifest reads where a file goes, and libvirt compares paths as
/// they are.
const CLIMBS: &str = "write the path that it leads to";

/// Whether a path leads up on its way.
fn climbs(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

fn disks(entry: &Entry<'_>, pointer: &str, capture: &Capture, out: &mut Vec<Diagnostic>) {
    let mut targets: HashMap<&str, usize> = HashMap::new();
    let mut files: HashMap<&str, String> = HashMap::new();
    if let Some(memory) = &capture.memory {
        files.insert(&memory.file, "/memory/file".to_owned());
    }
    for (i, disk) in capture.disks.iter().enumerate() {
        let at = format!("{pointer}/disks/{i}");
        one_disk(entry, &at, capture, disk, out);
        if let Some(first) = targets.insert(&disk.target, i) {
            let message = format!("the disk `{}` is listed twice", shown(&disk.target));
            out.push(
                entry.fault(Code::DuplicateName, &format!("{at}/target"), message).label("listed again here").related(
                    entry.text,
                    &entry.range(&format!("{pointer}/disks/{first}/target")),
                    "listed first here",
                ),
            );
        }
        if let Some(file) = &disk.file
            && let Some(first) = files.insert(file, format!("/disks/{i}/file"))
        {
            let message = format!("the file `{}` is given twice", shown(file));
            out.push(
                entry
                    .fault(Code::NotPossible, &format!("{at}/file"), message)
                    .label("given again here")
                    .related(entry.text, &entry.range(&format!("{pointer}{first}")), "given first here")
                    .help("each part of a capture needs a file of its own"),
            );
        }
    }
}

/// What nobody can be there for: libvirt leaves the guest paused until its manual disks were captured by other means.
pub(super) fn check_unattended(entry: &Entry<'_>, pointer: &str, capture: &Capture, out: &mut Vec<Diagnostic>) {
    let manual = |disk: &CaptureDisk| disk.location == Some(DiskLocation::Manual);
    for (at, disk) in capture.disks.iter().enumerate().filter(|(_, disk)| manual(disk)) {
        let message = format!(
            "a series cannot leave disk `{}` to other means: libvirt pauses the guest at each capture, until a person lets it run on",
            shown(&disk.target)
        );
        let fault = entry.fault(Code::NotPossible, &format!("{pointer}/disks/{at}/location"), message);
        out.push(fault.help(
            "use `external` or `no`; or declare the snapshot by name (spec.snapshots), which pauses the guest once: the agent captures it \
             unattended too",
        ));
    }
}

fn one_disk(entry: &Entry<'_>, at: &str, capture: &Capture, disk: &CaptureDisk, out: &mut Vec<Diagnostic>) {
    let mut never = |field: &str, message: String, help: &str| {
        out.push(entry.fault(Code::NotPossible, &format!("{at}{field}"), message).help(help));
    };
    let target = shown(&disk.target);
    if disk.target.trim().is_empty() {
        never(
            "/target",
            "a disk's target must not be empty".to_owned(),
            "write it as `virsh domblklist` prints it, as vda",
        );
    }
    let location = disk.location.unwrap_or(match (capture.content, capture.location) {
        (Content::Memory, _) => DiskLocation::No,
        (_, Location::Internal) => DiskLocation::Internal,
        (_, Location::External) => DiskLocation::External,
    });
    match (capture.content, capture.location, location) {
        (Content::Memory, _, DiskLocation::Internal | DiskLocation::External | DiskLocation::Manual) => {
            never(
                "/location",
                format!("`content: memory` captures no disk, so not `{target}`"),
                "use `content: full`, or remove the disk",
            );
            return;
        }
        // "mixing internal and external targets for a snapshot is not yet supported"
        (_, Location::Internal, DiskLocation::External | DiskLocation::Manual) => {
            never(
                "/location",
                format!("an internal capture needs every disk internal, `{target}` too"),
                "use `location: external` for the whole capture",
            );
            return;
        }
        (_, Location::External, DiskLocation::Internal) => {
            never(
                "/location",
                format!("libvirt cannot mix internal and external in one snapshot, so `{target}` cannot be internal"),
                "use `no` to leave the disk out, or `location: internal` for the whole capture",
            );
            return;
        }
        _ => {}
    }
    if location != DiskLocation::External {
        let given = [
            ("/file", disk.file.is_some()),
            ("/format", disk.format.is_some()),
            ("/sourceType", disk.source_type.is_some()),
        ];
        for (field, _) in given.into_iter().filter(|(_, given)| *given) {
            let message =
                format!("`{}` is for external disks, and `{target}` is not captured to a new file", &field[1..]);
            never(field, message, "remove it, or use `location: external`");
        }
        return;
    }
    if let Some(format) = disk.format.as_deref().filter(|format| !matches!(*format, "qcow2" | "qed")) {
        never("/format", format!("an overlay cannot have the format `{}`", shown(format)), "allowed: qcow2, qed");
    }
    match &disk.file {
        Some(file) if !file.starts_with('/') => {
            never("/file", "an overlay needs an absolute path on the host".to_owned(), "begin it with /");
        }
        Some(file) if climbs(file) => never("/file", "the path of an overlay holds `..`".to_owned(), CLIMBS),
        // libvirt makes up a name for regular files only (virDomainSnapshotDefAssignExternalNames).
        None if disk.source_type == Some(SourceType::Block) => {
            never(
                "/sourceType",
                format!("libvirt cannot make up a block device for `{target}`"),
                "give its path as `file`",
            );
        }
        _ => {}
    }
}
