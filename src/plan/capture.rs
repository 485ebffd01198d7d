//! Preflight of an internal capture, and of its deletion: everything libvirt or QEMU would refuse, some of it only after the first image was
//! changed (`reference`: qemuSnapshotPrepare, virDomainMomentAlignDisks).

use crate::model::kinds::{Content, DiskLocation, Snapshot, When};
use crate::model::observed::{HostInfo, ObservedDisk, ObservedDomain, RunState};
use crate::model::plan::BlockCode;
use crate::model::snapshot::{ObservedSnapshot, Storage};
use crate::model::stamp::ConsistencyReached;
use crate::model::text::printable;

/// Why a capture is not possible, and what to do about it.
pub(super) struct Obstacle {
    pub(super) code: BlockCode,
    pub(super) text: String,
    pub(super) way_out: String,
}

fn not_possible(text: String, way_out: impl Into<String>) -> Obstacle {
    Obstacle { code: BlockCode::NotPossible, text, way_out: way_out.into() }
}

/// Whether a disk's state is part of a capture: empty drives and read-only disks hold none that could change.
fn takes_part(disk: &ObservedDisk) -> bool {
    !disk.is_empty_drive() && !disk.readonly
}

/// The first thing in the way of capturing the snapshot in the domain as it is.
pub(super) fn obstacle(host: &HostInfo, domain: &ObservedDomain, snapshot: &Snapshot) -> Option<Obstacle> {
    let state = domain.state;
    if matches!(state, RunState::Crashed | RunState::PmSuspended | RunState::ShuttingDown | RunState::Unknown) {
        return Some(not_possible(
            format!("the domain is {}; libvirt takes no snapshot then", state.as_str()),
            "wake it, or switch it off, then run again",
        ));
    }
    match (snapshot.when, state.is_active()) {
        (When::Running, false) => return Some(wrong_state(state, "running", "start the domain")),
        (When::Stopped, true) => return Some(wrong_state(state, "stopped", "shut the domain down")),
        _ => {}
    }
    let content = snapshot.capture.as_ref().map(|capture| capture.content);
    if content == Some(Content::Disks) && state.is_active() {
        return Some(not_possible(
            "an internal snapshot of a running domain always includes its memory".to_owned(),
            "declare content: full, or when: stopped",
        ));
    }
    let disks: Vec<_> = domain.disks.iter().filter(|disk| takes_part(disk)).collect();
    if disks.is_empty() {
        return Some(not_possible(
            "the domain has no writable disk to store an internal snapshot in".to_owned(),
            "remove this snapshot from the manifest, or exclude the domain",
        ));
    }
    if !host.is_test_driver()
        && let Some(obstacle) = disks.iter().find_map(|disk| disk_obstacle(disk))
    {
        return Some(obstacle);
    }
    let declared = snapshot.capture.iter().flat_map(|capture| &capture.disks);
    if let Some(unknown) = declared.into_iter().find(|d| !domain.disks.iter().any(|disk| disk.target == d.target)) {
        let targets: Vec<_> = domain.disks.iter().map(|disk| disk.target.as_str()).collect();
        return Some(not_possible(
            format!("the domain has no disk `{}`", printable(&unknown.target)),
            format!("name one of its disks: {}", targets.join(", ")),
        ));
    }
    if let Some(obstacle) = declared_disk_obstacle(domain, snapshot) {
        return Some(obstacle);
    }
    if state.is_active() && domain.raw_nvram {
        return Some(not_possible(
            "the domain's firmware keeps its variables in a file that is not qcow2, so QEMU cannot put them into an \
             internal snapshot of the running domain"
                .to_owned(),
            "declare when: stopped, or give the domain an NVRAM file of format qcow2 (libvirt 10.10 or later)",
        ));
    }
    tag_in_image(domain, snapshot)
}

fn wrong_state(state: RunState, wanted: &str, action: &str) -> Obstacle {
    Obstacle {
        code: BlockCode::WrongState,
        text: format!("declared to be captured when {wanted}, and the domain is {}", state.as_str()),
        way_out: format!("{action} and run again, or declare when: any"),
    }
}

/// A disk that the capture itself leaves out, or takes in where it holds no state: an internal snapshot is of all
/// writable disks ("internal and full system snapshots require all disks to be selected").
fn declared_disk_obstacle(domain: &ObservedDomain, snapshot: &Snapshot) -> Option<Obstacle> {
    let capture = snapshot.capture.as_ref()?;
    capture.disks.iter().find_map(|declared| {
        let disk = domain.disks.iter().find(|disk| disk.target == declared.target)?;
        let target = printable(&disk.target);
        match (declared.location, takes_part(disk)) {
            (Some(DiskLocation::No), true) => Some(not_possible(
                format!("disk {target} is declared with location: no; an internal snapshot needs every writable disk"),
                format!("take {target} out of capture.disks, or make the disk read-only in the domain"),
            )),
            (Some(DiskLocation::Internal), false) => Some(not_possible(
                format!("disk {target} is declared with location: internal, and it is read-only or an empty drive"),
                format!("take {target} out of capture.disks"),
            )),
            _ => None,
        }
    })
}

fn disk_obstacle(disk: &ObservedDisk) -> Option<Obstacle> {
    let target = printable(&disk.target);
    if disk.format != "qcow2" {
        return Some(not_possible(
            format!(
                "disk {target} has format {}; an internal snapshot needs qcow2 on every writable disk",
                printable(&disk.format)
            ),
            format!("convert {target} to qcow2 (qemu-img convert -O qcow2), or make the disk read-only"),
        ));
    }
    if !matches!(disk.source_type.as_str(), "file" | "block") {
        return Some(not_possible(
            format!(
                "disk {target} is of type {}; an internal snapshot needs a file or a block device",
                printable(&disk.source_type)
            ),
            "remove this snapshot from the manifest, or exclude the domain",
        ));
    }
    if disk.device == "lun" {
        return Some(not_possible(
            format!("disk {target} is a LUN passed through to the guest"),
            "remove this snapshot from the manifest, or exclude the domain",
        ));
    }
    if disk.snapshot.as_deref() == Some("no") {
        return Some(not_possible(
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
fn tag_in_image(domain: &ObservedDomain, snapshot: &Snapshot) -> Option<Obstacle> {
    let name = snapshot.name.as_str();
    let holder = domain.image_snapshots.iter().find(|(_, tags)| tags.iter().any(|tag| tag == name));
    holder.map(|(target, _)| {
        not_possible(
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
pub(super) fn unseen_image<'d>(host: &HostInfo, domain: &'d ObservedDomain) -> Option<&'d str> {
    let unseen = |disk: &&ObservedDisk| takes_part(disk) && !domain.image_snapshots.contains_key(&disk.target);
    domain.disks.iter().filter(|_| !host.is_test_driver()).find(unseen).map(|disk| disk.target.as_str())
}

/// The consistency an internal capture reaches in the domain's present state.
pub(super) fn consistency(state: RunState) -> ConsistencyReached {
    if state.is_active() { ConsistencyReached::Memory } else { ConsistencyReached::Offline }
}

/// The image of a disk that should hold the snapshot a definition describes, and does not.
pub(super) fn missing_tag(domain: &ObservedDomain, saved: &ObservedSnapshot) -> Option<String> {
    let holds = |target: &String| saved.disks.get(target) == Some(&Storage::Internal);
    let lacks = |tags: &Vec<String>| !tags.iter().any(|tag| tag == saved.name.as_str());
    let mut images = domain.image_snapshots.iter().filter(|(target, _)| holds(target));
    images.find(|(_, tags)| lacks(tags)).map(|(target, _)| target.clone())
}

/// What is in the way of deleting a snapshot. QEMU can take it only out of images it has open: with one of the
/// snapshot's disks unplugged, libvirt refuses ("disk referenced by snapshot not found in the current definition"). Offline it goes by the disks of the snapshot's own time.
pub(super) fn deletion_obstacle(domain: &ObservedDomain, snapshot: &ObservedSnapshot) -> Option<Obstacle> {
    if !domain.state.is_active() {
        return None;
    }
    let unplugged = |(target, storage): &(&String, &Storage)| {
        **storage == Storage::Internal && !domain.disks.iter().any(|disk| disk.target == **target)
    };
    let (target, _) = snapshot.disks.iter().find(unplugged)?;
    let target = printable(target);
    Some(not_possible(
        format!(
            "it holds state of disk {target}, which the running domain does not have; libvirt refuses to delete it"
        ),
        format!("shut the domain down and run again, or attach {target} again"),
    ))
}
