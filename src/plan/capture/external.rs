//! External captures: which files they go to, and what libvirt or QEMU would refuse
//! (qemuSnapshotPrepareDiskExternal, virDomainSnapshotAlignDisks).

use std::collections::BTreeMap;

use super::super::chain::{Fault, Neighbours, live, unused_leftover};
use super::{Prepared, Request, missing_image, takes_part, unknown_disk};
use crate::model::image::{directory, file_name};
use crate::model::kinds::{Capture, CaptureDisk, Consistency, Content, DiskLocation, MemoryFile, SourceType};
use crate::model::names::SnapshotName;
use crate::model::observed::{Agent, HostInfo, ObservedDisk, ObservedDomain, RunState};
use crate::model::plan::BlockCode;
use crate::model::stamp::ConsistencyReached;
use crate::model::text::printable;

/// Linux's limit on one component of a path, in bytes (`NAME_MAX`).
const NAME_MAX: usize = 255;

/// Checks an external capture, and names a file for each part of it.
pub(super) fn prepare(
    host: &HostInfo,
    domain: &ObservedDomain,
    neighbours: &Neighbours<'_>,
    request: Request<'_>,
) -> Result<Prepared, Fault> {
    let wanted = request.capture;
    if host.is_test_driver() {
        let text = "libvirt's test driver takes no external snapshot".to_owned();
        return Err(Fault::not_possible(text, "use a QEMU host, or location: internal"));
    }
    if let Some(obstacle) = unknown_disk(domain, wanted) {
        return Err(obstacle);
    }
    // Where there are external snapshots already, the proof has asked.
    live::agrees(domain)?;
    let active = domain.state.is_active();
    if wanted.content == Content::Memory && !active {
        let text = "the domain is shut off, and has no memory to capture".to_owned();
        return Err(Fault::not_possible(text, "start the domain, or declare content: disks"));
    }
    let disks = domain.disks.iter().map(|disk| one_disk(domain, disk, request)).collect::<Result<Vec<_>, _>>()?;
    let with_memory = active && wanted.content != Content::Disks;
    let mut capture = Capture {
        memory: with_memory.then(|| memory_file(domain, request)).transpose()?,
        disks: disks.into_iter().flatten().collect(),
        ..wanted.clone()
    };
    if capture.memory.is_none() && !capture.disks.iter().any(|disk| disk.file.is_some()) {
        return Err(match capture.disks.first() {
            None => Fault::not_possible(
                "the domain has no writable disk to capture",
                "take this snapshot out of the manifest, or exclude the domain",
            ),
            Some(_) => Fault::not_possible(
                "every disk is manual, and libvirt wants to capture at least one disk, or the memory, itself",
                "capture one disk with location: external",
            ),
        });
    }
    let reuse = collisions(domain, neighbours, &capture)?;
    let consistency = match (active, with_memory) {
        (_, true) => ConsistencyReached::Memory,
        (true, false) if capture.has_manual_disk() => {
            let reached = unfrozen(wanted.consistency)?;
            // Apply goes by the capture alone.
            capture.consistency = Consistency::Crash;
            reached
        }
        (true, false) => frozen(domain, wanted.consistency)?,
        (false, _) => ConsistencyReached::Offline,
    };
    Ok(Prepared { capture, reuse, consistency })
}

/// The level that the disks reach where libvirt leaves the guest paused for the manual ones: frozen before, it could not be
/// thawed then.
fn unfrozen(wanted: Consistency) -> Result<ConsistencyReached, Fault> {
    match wanted {
        Consistency::Crash | Consistency::FilesystemIfAgent => Ok(ConsistencyReached::Crash),
        Consistency::Filesystem => Err(Fault::not_possible(
            "its filesystems shall be frozen, and libvirt leaves the guest paused for its manual disks: it could not be thawed",
            "freeze it by hand around the capture (virsh domfsfreeze), or ask for less: consistency: crash, or no --quiesce",
        )),
    }
}

/// The level that the disks of a running guest reach. Only a guest that runs, and whose agent answers, freezes its
/// filesystems.
fn frozen(domain: &ObservedDomain, wanted: Consistency) -> Result<ConsistencyReached, Fault> {
    let able = domain.state == RunState::Running && domain.agent == Agent::Connected;
    match (wanted, able) {
        (Consistency::Crash, _) | (Consistency::FilesystemIfAgent, false) => Ok(ConsistencyReached::Crash),
        (Consistency::Filesystem | Consistency::FilesystemIfAgent, true) => Ok(ConsistencyReached::Filesystem),
        (Consistency::Filesystem, false) if domain.state != RunState::Running => Err(Fault::new(
            BlockCode::WrongState,
            format!("its filesystems shall be frozen, and the guest is {}", domain.state.as_str()),
            "let it run and try again; or ask for less: consistency: filesystemIfAgent, or no --quiesce",
        )),
        (Consistency::Filesystem, false) => {
            let text = match domain.agent {
                Agent::None => "its filesystems shall be frozen, and the domain has no channel for a guest agent",
                Agent::Silent | Agent::Connected => {
                    "its filesystems shall be frozen, and no agent answers in the guest"
                }
            };
            let way_out = "give the domain a channel org.qemu.guest_agent.0 and run qemu-guest-agent in it; or ask \
                           for less: consistency: filesystemIfAgent or content: full, or no --quiesce";
            Err(Fault::not_possible(text.to_owned(), way_out))
        }
    }
}

/// What becomes of a disk; none where it stays out.
fn one_disk(domain: &ObservedDomain, disk: &ObservedDisk, request: Request<'_>) -> Result<Option<CaptureDisk>, Fault> {
    let chosen = request.capture.disks.iter().find(|chosen| chosen.target == disk.target);
    let target = printable(&disk.target);
    let stays_out =
        request.capture.content == Content::Memory || !takes_part(disk) || disk.snapshot.as_deref() == Some("no");
    match chosen.and_then(|chosen| chosen.location) {
        Some(DiskLocation::No) => return Ok(None),
        Some(DiskLocation::External | DiskLocation::Manual) if !takes_part(disk) => {
            return Err(Fault::not_possible(
                format!("disk {target} is named to be captured, and it is read-only or an empty drive"),
                format!("take {target} out of the capture's disks"),
            ));
        }
        // Whatever its type: libvirt leaves it to its storage.
        Some(DiskLocation::Manual) => {
            let (format, file, source_type) = (None, None, None);
            let location = Some(DiskLocation::Manual);
            return Ok(Some(CaptureDisk { target: disk.target.clone(), location, format, file, source_type }));
        }
        Some(_) => {}
        None if stays_out => return Ok(None),
        None => {}
    }
    if disk.device == "lun" {
        let text = format!("disk {target} is a LUN passed through to the guest; libvirt puts no overlay on it");
        return Err(Fault::not_possible(text, format!("declare {target} with location: no")));
    }
    // libvirt can delete and revert only where every disk is a file or a block device.
    if !matches!(disk.source_type.as_str(), "file" | "block") {
        let text = format!("disk {target} is of type {}, not a file or a block device", printable(&disk.source_type));
        return Err(Fault::not_possible(text, format!("declare {target} with location: no, or exclude the domain")));
    }
    if let Some(obstacle) = missing_image(domain, disk) {
        return Err(obstacle);
    }
    let format = chosen.and_then(|chosen| chosen.format.clone()).unwrap_or_else(|| "qcow2".to_owned());
    let file = match chosen.and_then(|chosen| chosen.file.clone()) {
        Some(file) => file,
        None => overlay_file(domain, disk, request.name, &format)?,
    };
    check_name(&file)?;
    if file.contains(',') && !domain.state.is_active() {
        return Err(doubled_comma(&file));
    }
    Ok(Some(CaptureDisk {
        target: disk.target.clone(),
        location: Some(DiskLocation::External),
        format: Some(format),
        file: Some(file),
        source_type: Some(chosen.and_then(|chosen| chosen.source_type).unwrap_or(SourceType::File)),
    }))
}

/// The overlay's path: beside the active image, with domain, disk and snapshot in its name. libvirt's own choice has only
/// the snapshot, so that two disks, or a second capture of that name, meet in one file.
fn overlay_file(
    domain: &ObservedDomain,
    disk: &ObservedDisk,
    name: &SnapshotName,
    format: &str,
) -> Result<String, Fault> {
    match disk.source.as_deref().filter(|_| disk.source_type == "file") {
        Some(source) => Ok(format!("{}/{}.{}.{name}.{format}", directory(source), domain.name, disk.target)),
        None => Err(Fault::not_possible(
            format!("disk {} is a block device, beside which no overlay can be put", printable(&disk.target)),
            "give the overlay's path: capture.disks[].file",
        )),
    }
}

fn memory_file(domain: &ObservedDomain, request: Request<'_>) -> Result<MemoryFile, Fault> {
    if let Some(memory) = &request.capture.memory {
        check_name(&memory.file)?;
        return Ok(memory.clone());
    }
    let on_file = |disk: &&ObservedDisk| disk.source_type == "file" && takes_part(disk);
    match domain.disks.iter().find(on_file).and_then(|disk| disk.source.as_deref()) {
        Some(source) => {
            let file = format!("{}/{}.{}.memory", directory(source), domain.name, request.name);
            check_name(&file)?;
            Ok(MemoryFile { file })
        }
        None => Err(Fault::not_possible(
            "no disk of the domain is a file, beside which the memory could be put",
            "give the memory image's path: capture.memory.file",
        )),
    }
}

/// libvirt 11.3 has qemu-img make another file than it puts into the domain's definition
/// (`qemuSnapshotCreateQcow2Files`): afterwards the domain has no disk.
fn doubled_comma(path: &str) -> Fault {
    Fault::not_possible(
        format!(
            "the path {} holds a comma, and the domain is off: libvirt then doubles it in the file's name, and the domain would be left \
             with a disk that is not there",
            printable(path)
        ),
        "choose a path without a comma, or capture while the domain runs",
    )
}

fn check_name(path: &str) -> Result<(), Fault> {
    let name = file_name(path);
    if name.len() <= NAME_MAX {
        return Ok(());
    }
    Err(Fault::not_possible(
        format!("the file name {} has {} bytes, and {NAME_MAX} is the limit", printable(name), name.len()),
        "choose a shorter name for the snapshot, or give the path (capture.disks[].file, capture.memory.file)",
    ))
}

/// Looks for files that are there already. `true`: all overlays are, and each is the empty leftover of an interrupted
/// capture.
fn collisions(domain: &ObservedDomain, neighbours: &Neighbours<'_>, capture: &Capture) -> Result<bool, Fault> {
    let exists = |path: &str| {
        let listed = domain.files.beside.get(directory(path)).is_some_and(|names| names.contains(file_name(path)));
        listed || domain.files.is_present(path)
    };
    if let Some(memory) = capture.memory.as_ref().filter(|memory| exists(&memory.file)) {
        return Err(in_the_way(&memory.file));
    }
    let overlays: BTreeMap<&str, &str> =
        capture.disks.iter().filter_map(|disk| Some((disk.target.as_str(), disk.file.as_deref()?))).collect();
    let there: Vec<_> = overlays.iter().filter(|(_, file)| exists(file)).collect();
    match there.iter().find(|(target, file)| !unused_leftover(domain, neighbours, target, file)) {
        Some((_, file)) => Err(in_the_way(file)),
        // libvirt takes all overlays as they are, or makes all of them.
        None if there.is_empty() => Ok(false),
        None if there.len() == overlays.len() => Ok(true),
        None => Err(Fault::not_possible(
            format!(
                "{} is there, left by an interrupted capture, and the other disks have none",
                printable(there[0].1)
            ),
            "remove the file: it is an overlay that nothing was ever written to",
        )),
    }
}

fn in_the_way(path: &str) -> Fault {
    Fault::not_possible(
        format!("the file {} is there already", printable(path)),
        "find out whose it is and move it away, or give another path (capture.disks[].file, capture.memory.file)",
    )
}
