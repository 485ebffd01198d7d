//! Preflight of a capture: everything libvirt or QEMU would refuse, some of it only after the first image was changed; and
//! the files an external one goes to.

mod external;
mod internal;

pub(super) use internal::{deletion_obstacle, missing_tag, moved_disks, unseen_image};

use super::chain::{Fault, Neighbours, is_broken, live};
use crate::model::kinds::{Capture, Location, When};
use crate::model::names::SnapshotName;
use crate::model::observed::{HostInfo, ObservedDisk, ObservedDomain, RunState};
use crate::model::plan::BlockCode;
use crate::model::stamp::ConsistencyReached;
use crate::model::text::printable;

/// A capture that shall be made.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) name: &'a SnapshotName,
    pub(super) capture: &'a Capture,
    pub(super) when: When,
}

/// A capture that nothing is known to be in the way of.
pub(super) struct Prepared {
    /// With every file named, where it is external.
    pub(super) capture: Capture,
    /// Whether the overlays are there already, left by an interrupted capture.
    pub(super) reuse: bool,
    /// The level it reaches in the domain's present state.
    pub(super) consistency: ConsistencyReached,
}

/// Checks a capture against the domain as it is, and names the files it goes to. The neighbours are those that were read:
/// before the first external capture of a host, only where overlays lie beside the images that the disks are not on.
pub(super) fn prepare(
    host: &HostInfo,
    domain: &ObservedDomain,
    neighbours: &Neighbours<'_>,
    request: Request<'_>,
) -> Result<Prepared, Fault> {
    match run_state(domain, request.when) {
        Some(obstacle) => Err(obstacle),
        None if request.capture.location == Location::External => external::prepare(host, domain, neighbours, request),
        None => internal::prepare(host, domain, request),
    }
}

fn run_state(domain: &ObservedDomain, when: When) -> Option<Fault> {
    let state = domain.state;
    if matches!(state, RunState::Crashed | RunState::PmSuspended | RunState::ShuttingDown | RunState::Unknown) {
        return Some(Fault::not_possible(
            format!("the domain is {}; libvirt takes no snapshot then", state.as_str()),
            "wake it, or switch it off, then run again",
        ));
    }
    match (when, state.is_active()) {
        (When::Running, false) => Some(wrong_state(state, "running", "start the domain")),
        (When::Stopped, true) => Some(wrong_state(state, "stopped", "shut the domain down")),
        _ => None,
    }
}

fn wrong_state(state: RunState, wanted: &str, action: &str) -> Fault {
    Fault::new(
        BlockCode::WrongState,
        format!("declared to be captured when {wanted}, and the domain is {}", state.as_str()),
        format!("{action} and run again, or declare when: any"),
    )
}

/// Whether a disk's state is part of a capture: empty drives and read-only disks hold none that could change.
fn takes_part(disk: &ObservedDisk) -> bool {
    !disk.is_empty_drive() && !disk.readonly
}

/// An image that is known to be gone, or one below it. A running QEMU still has it open: what it would capture goes when it
/// stops, and an overlay would stand on nothing.
fn missing_image(domain: &ObservedDomain, disk: &ObservedDisk) -> Option<Fault> {
    let source = disk.source.as_deref().filter(|source| is_broken(&domain.files, source))?;
    let (source, target) = (printable(source), printable(&disk.target));
    Some(Fault::not_possible(
        format!("the image {source} of disk {target}, or one below it, is not there"),
        live::bring_back(domain),
    ))
}

/// A disk that the capture names and the domain does not have.
fn unknown_disk(domain: &ObservedDomain, capture: &Capture) -> Option<Fault> {
    let known = |target: &str| domain.disks.iter().any(|disk| disk.target == target);
    let unknown = capture.disks.iter().find(|disk| !known(&disk.target))?;
    let targets: Vec<_> = domain.disks.iter().map(|disk| disk.target.as_str()).collect();
    Some(Fault::not_possible(
        format!("the domain has no disk `{}`", printable(&unknown.target)),
        format!("name one of its disks: {}", targets.join(", ")),
    ))
}
