//! Internal captures and their deletion: what libvirt or QEMU would refuse (qemuSnapshotPrepare, virDomainMomentAlignDisks).

use super::super::abilities::{ANY_NAME, UEFI_OFF, UEFI_RUNNING, version};
use super::super::chain::Fault;
use super::{Prepared, Request, missing_image, takes_part, unknown_disk};
use crate::model::kinds::{Capture, Content, DiskLocation};
use crate::model::names::SnapshotName;
use crate::model::observed::{HostInfo, Nvram, ObservedDisk, ObservedDomain, RunState};
use crate::model::snapshot::{ObservedSnapshot, Storage};
use crate::model::stamp::ConsistencyReached;
use crate::model::text::printable;

/// Checks an internal capture.
pub(super) fn prepare(host: &HostInfo, domain: &ObservedDomain, request: Request<'_>) -> Result<Prepared, Fault> {
    match obstacle(host, domain, request) {
        Some(obstacle) => Err(obstacle),
        None => Ok(Prepared { capture: request.capture.clone(), reuse: false, consistency: consistency(domain.state) }),
    }
}

/// The first thing in the way of capturing the snapshot in the domain as it is.
fn obstacle(host: &HostInfo, domain: &ObservedDomain, request: Request<'_>) -> Option<Fault> {
    let Request { name, capture, .. } = request;
    let state = domain.state;
    if capture.content == Content::Disks && state.is_active() {
        return Some(Fault::not_possible(
            "an internal snapshot of a running domain always includes its memory",
            "declare content: full, or when: stopped",
        ));
    }
    let disks: Vec<_> = domain.disks.iter().filter(|disk| takes_part(disk)).collect();
    if disks.is_empty() {
        return Some(Fault::not_possible(
            "the domain has no writable disk to store an internal snapshot in",
            "remove this snapshot from the manifest, or exclude the domain",
        ));
    }
    if !host.is_test_driver()
        && let Some(obstacle) = disks.iter().find_map(|disk| disk_obstacle(disk))
    {
        return Some(obstacle);
    }
    if let Some(obstacle) = disks.iter().find_map(|disk| missing_image(domain, disk)) {
        return Some(obstacle);
    }
    if let Some(obstacle) = unknown_disk(domain, capture) {
        return Some(obstacle);
    }
    if let Some(obstacle) = declared_disk_obstacle(domain, capture) {
        return Some(obstacle);
    }
    if state.is_active() && domain.nvram == Nvram::Other {
        return Some(Fault::not_possible(
            "the domain's firmware keeps its variables in a file that is not qcow2, so QEMU cannot put them into an \
             internal snapshot of the running domain",
            "declare when: stopped, or give the domain an NVRAM file of format qcow2 (libvirt 10.10 or later)",
        ));
    }
    if state.is_active() && domain.nvram == Nvram::Qcow2 && !UEFI_RUNNING.of(host) {
        return Some(Fault::not_possible(
            format!(
                "the domain's firmware keeps its variables in a qcow2 file, and libvirt {} of this host puts none into an internal \
                 snapshot of a running domain; that {}",
                version(host.libvirt_version),
                UEFI_RUNNING.needs()
            ),
            "declare when: stopped, or update libvirt on the host",
        ));
    }
    unspeakable(host, domain, name).or_else(|| tag_in_image(domain, name))
}

/// Since libvirt 10.9 the name is part of a QEMU job's id, and QEMU has few characters for those (`id_wellformed`).
fn unspeakable(host: &HostInfo, domain: &ObservedDomain, name: &SnapshotName) -> Option<Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let applies = domain.state.is_active() && !ANY_NAME.of(host) && !host.is_test_driver();
    let other = name.as_str().chars().find(|c| !fits(*c)).filter(|_| applies)?;
    Some(Fault::not_possible(
        format!(
            "its name holds `{}`, and QEMU takes only letters, digits and - . _ in the name of a running domain's internal snapshot",
            printable(&other.to_string())
        ),
        "choose another name, or capture while the domain is off",
    ))
}

/// A disk that the capture itself leaves out, or takes in where it holds no state: an internal snapshot is of all
/// writable disks ("internal and full system snapshots require all disks to be selected").
fn declared_disk_obstacle(domain: &ObservedDomain, capture: &Capture) -> Option<Fault> {
    capture.disks.iter().find_map(|declared| {
        let disk = domain.disks.iter().find(|disk| disk.target == declared.target)?;
        let target = printable(&disk.target);
        match (declared.location, takes_part(disk)) {
            (Some(DiskLocation::No), true) => Some(Fault::not_possible(
                format!("disk {target} is declared with location: no; an internal snapshot needs every writable disk"),
                format!("take {target} out of capture.disks, or make the disk read-only in the domain"),
            )),
            (Some(DiskLocation::Internal), false) => Some(Fault::not_possible(
                format!("disk {target} is declared with location: internal, and it is read-only or an empty drive"),
                format!("take {target} out of capture.disks"),
            )),
            _ => None,
        }
    })
}

fn disk_obstacle(disk: &ObservedDisk) -> Option<Fault> {
    let target = printable(&disk.target);
    if disk.format != "qcow2" {
        return Some(Fault::not_possible(
            format!(
                "disk {target} has format {}; an internal snapshot needs qcow2 on every writable disk",
                printable(&disk.format)
            ),
            format!("convert {target} to qcow2 (qemu-img convert -O qcow2), or make the disk read-only"),
        ));
    }
    if !matches!(disk.source_type.as_str(), "file" | "block") {
        return Some(Fault::not_possible(
            format!(
                "disk {target} is of type {}; an internal snapshot needs a file or a block device",
                printable(&disk.source_type)
            ),
            "remove this snapshot from the manifest, or exclude the domain",
        ));
    }
    if disk.device == "lun" {
        return Some(Fault::not_possible(
            format!("disk {target} is a LUN passed through to the guest"),
            "remove this snapshot from the manifest, or exclude the domain",
        ));
    }
    if disk.snapshot.as_deref() == Some("no") {
        return Some(Fault::not_possible(
            format!("the domain's definition takes disk {target} out of snapshots (snapshot='no')"),
            format!(
                "remove snapshot='no' from disk {target} in the domain's XML: an internal snapshot needs every disk"
            ),
        ));
    }
    None
}

/// An image that already holds an internal snapshot of that name, of which libvirt has no metadata: offline, libvirt
/// would silently make a second one of the same name.
fn tag_in_image(domain: &ObservedDomain, name: &SnapshotName) -> Option<Fault> {
    let name = name.as_str();
    let holder = domain.image_snapshots.iter().find(|(_, tags)| tags.iter().any(|tag| tag == name));
    holder.map(|(target, _)| {
        Fault::not_possible(
            format!(
                "the image of disk {} already holds an internal snapshot of this name, which libvirt does not list",
                printable(target)
            ),
            "restore its metadata from saved XML (definition: FILE), or, with the domain off, remove it from the image \
             (qemu-img snapshot -d)",
        )
    })
}

/// The first disk whose image could not be read, so that what it holds is not known: another machine's, another user's.
pub(in crate::plan) fn unseen_image<'d>(host: &HostInfo, domain: &'d ObservedDomain) -> Option<&'d str> {
    let unseen = |disk: &&ObservedDisk| takes_part(disk) && !domain.image_snapshots.contains_key(&disk.target);
    domain.disks.iter().filter(|_| !host.is_test_driver()).find(unseen).map(|disk| disk.target.as_str())
}

/// The consistency an internal capture reaches in the domain's present state.
fn consistency(state: RunState) -> ConsistencyReached {
    if state.is_active() { ConsistencyReached::Memory } else { ConsistencyReached::Offline }
}

/// The image of a disk that should hold the snapshot a definition describes, and does not.
pub(in crate::plan) fn missing_tag(domain: &ObservedDomain, saved: &ObservedSnapshot) -> Option<String> {
    let holds = |target: &String| saved.disks.get(target) == Some(&Storage::Internal);
    let lacks = |tags: &Vec<String>| !tags.iter().any(|tag| tag == saved.name.as_str());
    let mut images = domain.image_snapshots.iter().filter(|(target, _)| holds(target));
    images.find(|(_, tags)| lacks(tags)).map(|(target, _)| target.clone())
}

/// The disks that are on another image than the one that holds the snapshot: target, image now, image then.
pub(in crate::plan) fn moved_disks<'d>(
    domain: &'d ObservedDomain,
    snapshot: &'d ObservedSnapshot,
) -> impl Iterator<Item = (&'d str, &'d str, &'d str)> {
    let then = snapshot.definition.iter().flat_map(|definition| &definition.disks);
    let held = then.filter(|disk| snapshot.disks.get(&disk.target) == Some(&Storage::Internal));
    held.filter_map(|then| {
        let now = domain.disks.iter().find(|disk| disk.target == then.target)?.source.as_deref()?;
        let then_source = then.source.as_deref()?;
        (!domain.files.same(now, then_source)).then_some((then.target.as_str(), now, then_source))
    })
}

/// What is in the way of deleting a snapshot. QEMU can take it only out of images it has open: with one of the
/// snapshot's disks on another image, or unplugged, libvirt refuses ("disk referenced by snapshot not found in the current definition"). Offline it goes by the disks of the snapshot's own time.
pub(in crate::plan) fn deletion_obstacle(
    host: &HostInfo,
    domain: &ObservedDomain,
    snapshot: &ObservedSnapshot,
) -> Option<Fault> {
    if !domain.state.is_active() {
        let nvram = domain.nvram == Nvram::Qcow2 && !UEFI_OFF.of(host) && !snapshot.is_external();
        return nvram.then(|| {
            let text = format!(
                "its firmware's variables are in a qcow2 file, and libvirt {} of this host takes no internal snapshot out of that while \
                 the domain is off; that {}",
                version(host.libvirt_version),
                UEFI_OFF.needs()
            );
            Fault::not_possible(text, "start the domain and run again, or update libvirt on the host")
        });
    }
    let unplugged = |(target, storage): &(&String, &Storage)| {
        **storage == Storage::Internal && !domain.disks.iter().any(|disk| disk.target == **target)
    };
    if let Some((target, now, then)) = moved_disks(domain, snapshot).next() {
        let (target, now, then) = (printable(target), printable(now), printable(then));
        return Some(Fault::not_possible(
            format!(
                "it holds state of disk {target} in {then}, and the running domain has {now} there; libvirt refuses to delete it"
            ),
            "shut the domain down and run again",
        ));
    }
    let (target, _) = snapshot.disks.iter().find(unplugged)?;
    let target = printable(target);
    Some(Fault::not_possible(
        format!(
            "it holds state of disk {target}, which the running domain does not have; libvirt refuses to delete it"
        ),
        format!("shut the domain down and run again, or attach {target} again"),
    ))
}
