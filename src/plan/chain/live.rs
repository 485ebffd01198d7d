//! What the process of a running domain uses, and its next start will use, against what libvirt says. A libvirtd that
//! ends in the middle of a capture leaves them apart: it has QEMU put the overlay to use first, then saves the running
//! definition, then the stored one.

use super::Fault;
use super::files::{Bystanders, orphans};
use super::layout::chain_of;
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
