//! From a capture as a person describes it to one that says of every part where it goes, by the rules of libvirt's own defaults
//! (`virDomainSnapshotAlignDisks`).

use super::Refusal;
use crate::model::act::CaptureSpec;
use crate::model::kinds::{Capture, CaptureDisk, Consistency, Content, DiskLocation, Location, MemoryFile};
use crate::model::observed::ObservedDomain;
use crate::model::text::printable;

/// The formats that QEMU makes overlays in.
const OVERLAY_FORMATS: [&str; 2] = ["qcow2", "qed"];

/// What `spec` means for this domain. With `disk_only`, the memory of a running domain stays out.
///
/// # Errors
/// What libvirt would refuse, whatever the state of the images.
pub fn resolve(spec: &CaptureSpec, disk_only: bool, domain: &ObservedDomain) -> Result<Capture, Refusal> {
    let active = domain.state.is_active();
    let disks = spec.disks.iter().map(|disk| one_disk(domain, disk)).collect::<Result<Vec<_>, _>>()?;
    for (at, disk) in disks.iter().enumerate() {
        if disks[..at].iter().any(|other| other.target == disk.target) {
            let text = format!("disk {} is named twice", printable(&disk.target));
            return Err(refuse(text, "name each disk once"));
        }
    }
    let memory = spec.memory.clone().unwrap_or_default();
    let memory_file = match (memory.location, memory.file) {
        (None | Some(DiskLocation::External), Some(file)) => Some(MemoryFile { file: absolute(file)? }),
        (Some(DiskLocation::External), None) => {
            return Err(refuse("an external memory image needs a file", "give --memspec file=/PATH"));
        }
        (Some(DiskLocation::Manual), _) => {
            return Err(refuse("libvirt takes no manual part in memory", "choose internal, external or no"));
        }
        (Some(DiskLocation::Internal | DiskLocation::No), Some(_)) => {
            return Err(refuse("a memory file belongs to an external memory image", "leave snapshot= or file= out"));
        }
        (None | Some(DiskLocation::Internal | DiskLocation::No), None) => None,
    };
    if memory_file.is_some() && (disk_only || !active) {
        let text =
            if active { "--disk-only leaves the memory out" } else { "the domain is shut off, and has no memory" };
        return Err(refuse(text, "leave the memory image out"));
    }
    let takes = |location| disks.iter().any(|disk| disk.location == Some(location));
    let external_disks = takes(DiskLocation::External);
    if takes(DiskLocation::Internal) && (external_disks || memory_file.is_some()) {
        return Err(refuse(
            "internal and external parts are asked for, and libvirt mixes none in one snapshot",
            "choose one kind for the memory and all disks",
        ));
    }
    let without_memory = disk_only || memory.location == Some(DiskLocation::No);
    if active && external_disks && memory_file.is_none() && !without_memory {
        return Err(refuse(
            "the disks would be external and the memory internal, and libvirt mixes none in one snapshot",
            "give --memspec file=/PATH to capture the memory into a file, or --disk-only to leave it out",
        ));
    }
    if takes(DiskLocation::Manual) && !external_disks && memory_file.is_none() {
        return Err(refuse(
            "a disk is manual, and libvirt wants to capture at least one disk, or the memory, in a file itself",
            "capture another disk with snapshot=external, or give --memspec file=/PATH",
        ));
    }
    let external = external_disks || memory_file.is_some() || (disk_only && !takes(DiskLocation::Internal));
    let none_of_the_disks = |disk: &crate::model::observed::ObservedDisk| {
        let chosen = disks.iter().find(|chosen| chosen.target == disk.target);
        disk.is_empty_drive() || disk.readonly || chosen.is_some_and(|chosen| chosen.location == Some(DiskLocation::No))
    };
    let content = match (&memory_file, without_memory) {
        (Some(_), _) if domain.disks.iter().all(none_of_the_disks) => Content::Memory,
        (None, true) if active || external => Content::Disks,
        _ => Content::Full,
    };
    let location = if external { Location::External } else { Location::Internal };
    Ok(Capture { content, location, memory: memory_file, disks, consistency: Consistency::Crash })
}

/// A disk by its target, and its location where a file or format says it.
fn one_disk(domain: &ObservedDomain, disk: &CaptureDisk) -> Result<CaptureDisk, Refusal> {
    let by_path = domain.disks.iter().find(|known| known.source.as_deref() == Some(disk.target.as_str()));
    let target = by_path.map_or_else(|| disk.target.clone(), |known| known.target.clone());
    let shown = printable(&target);
    let named = disk.file.is_some() || disk.format.is_some();
    let location = match disk.location {
        None if named => Some(DiskLocation::External),
        Some(DiskLocation::Internal | DiskLocation::No | DiskLocation::Manual) if named => {
            let text = format!("disk {shown} has a file or format, which belong to an external capture");
            return Err(refuse(text, "leave them out, or say snapshot=external"));
        }
        location => location,
    };
    if let Some(format) = disk.format.as_deref().filter(|format| !OVERLAY_FORMATS.contains(format)) {
        let text = format!("disk {shown}: QEMU makes no overlay of format {}", printable(format));
        return Err(refuse(text, format!("choose {}", OVERLAY_FORMATS.join(" or "))));
    }
    let file = disk.file.clone().map(absolute).transpose()?;
    Ok(CaptureDisk { target, location, file, ..disk.clone() })
}

fn absolute(path: String) -> Result<String, Refusal> {
    if path.starts_with('/') {
        return Ok(path);
    }
    Err(refuse(format!("the path {} does not start from /", printable(&path)), "give an absolute path on the host"))
}

fn refuse(text: impl Into<String>, way_out: impl Into<String>) -> Refusal {
    Refusal::new(None, text, way_out)
}
