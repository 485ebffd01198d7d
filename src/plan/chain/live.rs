//! What the process of a running domain uses, and its next start will use, against what libvirt says. A libvirtd that
//! ends in the middle of a capture leaves them apart: it has QEMU put the overlay to use first, then saves the running
//! definition, then the stored one.

use super::Fault;
use super::files::{Bystanders, orphans};
use super::layout::chain_of;
use super::repair::is_named_by_a_revert;
use crate::model::image::{Backing, Image, ImageState};
use crate::model::observed::{ObservedDisk, ObservedDomain};
use crate::model::plan::BlockCode;
use crate::model::text::printable;

/// Checks that no disk is on an overlay that libvirt does not know, and that the next start is on no image below.
pub(in crate::plan) fn agrees(domain: &ObservedDomain) -> Result<(), Fault> {
    if !domain.state.is_active() {
        return Ok(());
    }
    for disk in &domain.disks {
        if let Some(path) = unknown_overlay(domain, disk) {
            let (target, path) = (printable(&disk.target), printable(path));
            return Err(Fault::new(
                BlockCode::ChainInconsistent,
                format!(
                    "a process has {path} open, which stands on the image of disk {target} and which libvirt does not know: where \
                     libvirtd ended in the middle of a capture, the guest writes to it, and loses that when it is next started"
                ),
                format!(
                    "do not remove it. If a backup runs, wait for its end. Else shut the guest down, merge the file into the \
                     image below (qemu-img commit '{path}'), remove it, and start the guest again"
                ),
            ));
        }
        if let Some(next) = image_below_of_next_start(domain, disk) {
            let active = printable(disk.source.as_deref().unwrap_or_default());
            let (target, next, name) = (printable(&disk.target), printable(next), printable(&domain.name));
            return Err(Fault::new(
                BlockCode::ChainInconsistent,
                format!(
                    "the next start has disk {target} on {next}, an image below {active}, which the guest uses now: it would lose \
                     what was written since, and write into what a snapshot captured"
                ),
                format!(
                    "do not restart the domain before its stored definition has {active} again: virsh edit '{name}', and there \
                     the source of disk {target}"
                ),
            ));
        }
    }
    Ok(())
}

/// An overlay on a disk's active image that a QEMU has open and libvirt does not name.
fn unknown_overlay<'d>(domain: &'d ObservedDomain, disk: &ObservedDisk) -> Option<&'d str> {
    let active = disk.source.as_deref()?;
    orphans(domain, &Bystanders::default()).into_iter().map(|(path, _)| path).find(|path| {
        match domain.files.images.get(*path) {
            Some(ImageState::Present(Image { backing: Backing::File(below), open: true, .. })) => {
                domain.files.same(below, active)
            }
            _ => false,
        }
    })
}

/// The source of a disk at the next start, where that is an image below the one in use.
fn image_below_of_next_start<'d>(domain: &'d ObservedDomain, disk: &ObservedDisk) -> Option<&'d str> {
    let next = domain.next_sources.get(&disk.target)?;
    let chain = chain_of(&domain.files, disk)?;
    let below = chain.images().iter().skip(1).any(|image| domain.files.same(image, next));
    below.then_some(next.as_str())
}

/// The way back where a disk is on an overlay that no snapshot has: libvirt notes the disks of a capture first, then takes
/// the pointer off the snapshot before it, and notes the new one last.
pub(super) fn not_noted(domain: &ObservedDomain) -> Option<String> {
    let has = |target: &str, path: &str| {
        let mut overlays = domain.tree.iter().filter_map(|snapshot| snapshot.files.as_deref()?.overlay(target));
        overlays.any(|overlay| domain.files.same(overlay, path))
    };
    domain.disks.iter().find_map(|disk| {
        let (target, chain) = (disk.target.as_str(), chain_of(&domain.files, disk)?);
        let (active, below) = (chain.images().first()?, chain.images().get(1)?);
        // Where a snapshot captured the image below, this is its overlay under a name that somebody gave it.
        if has(target, active) || !has(target, below) || is_captured(domain, target, below) {
            return None;
        }
        let [name, target, active, below] = [domain.name.as_str(), target, active, below].map(printable);
        Some(format!(
            "no snapshot has {active}: a capture was interrupted before it was noted. With the domain shut off, merge it \
             into the image below (qemu-img commit '{active}'), give disk {target} that one again ({below}; virsh edit \
             '{name}'), and remove it"
        ))
    })
}

/// The way back where a disk's own image is gone and one that a revert made for it is there: libvirt removes the old image
/// before it saves that the disk is on the new one.
pub(super) fn of_an_interrupted_revert(domain: &ObservedDomain, target: &str, missing: &str) -> Option<String> {
    let disk = domain.disks.iter().find(|disk| disk.target == target)?;
    if disk.source.as_deref() != Some(missing) {
        return None;
    }
    let made = orphans(domain, &Bystanders::default()).into_iter().map(|(path, _)| path);
    let mut made = made.filter(|path| match domain.files.images.get(*path) {
        Some(ImageState::Present(Image { backing: Backing::File(below), .. })) => {
            is_captured(domain, target, below) && is_named_by_a_revert(path, below)
        }
        _ => false,
    });
    // Of several nobody can say which it was.
    let (overlay, None) = (made.next()?, made.next()) else { return None };
    let [name, target, overlay] = [domain.name.as_str(), target, overlay].map(printable);
    Some(format!(
        "a revert was interrupted, which had made {overlay} for disk {target}: give the disk that image (virsh edit \
         '{name}'). What was there before the revert is in its guard snapshot"
    ))
}

/// Whether a snapshot captured a disk in this image.
fn is_captured(domain: &ObservedDomain, target: &str, image: &str) -> bool {
    let mut captured = domain.tree.iter().filter_map(|snapshot| snapshot.files.as_deref()?.bases.get(target));
    captured.any(|base| domain.files.same(base, image))
}
