//! Ways out where libvirt ended before it noted what it had done: a capture that no snapshot has, and a revert whose image
//! no disk has.

use super::files::{Bystanders, orphans};
use super::layout::chain_of;
use super::repair::is_named_by_a_revert;
use crate::model::image::{Backing, Image, ImageState};
use crate::model::observed::ObservedDomain;
use crate::model::text::printable;

/// The way back where a disk is on an overlay that no snapshot has: libvirt notes the disks of a capture first, then takes
/// the pointer off the snapshot before it, and notes the new one last.
pub(super) fn capture(domain: &ObservedDomain) -> Option<String> {
    let has = |target: &str, path: &str| {
        let mut overlays = domain.tree.iter().filter_map(|snapshot| snapshot.files.as_deref()?.overlay(target));
        overlays.any(|overlay| domain.files.same(overlay, path))
    };
    let unnoted = domain.disks.iter().filter_map(|disk| {
        let (target, chain) = (disk.target.as_str(), chain_of(&domain.files, disk)?);
        let (active, below) = (chain.images().first()?, chain.images().get(1)?);
        // Where a snapshot captured the image below, this is its overlay under a name that somebody gave it.
        if has(target, active) || !has(target, below) || is_captured(domain, target, below) {
            return None;
        }
        let [target, active, below] = [target, active, below].map(printable);
        Some((active.clone(), format!("qemu-img commit '{active}', and disk {target} on {below}")))
    });
    // All at once: a capture is of all disks, and the domain must not start on a part of them.
    let (overlays, merges): (Vec<_>, Vec<_>) = unnoted.unzip();
    (!overlays.is_empty()).then(|| {
        format!(
            "no snapshot has {}: a capture was interrupted before it was noted. If a backup runs, wait for its end. Else, with the \
             domain shut off, merge each into the image below and give its disk that one again (virsh edit '{}'): {}. Start the domain \
             only when all are done and the merged files removed",
            overlays.join(", "),
            printable(&domain.name),
            merges.join("; ")
        )
    })
}

/// The way back where a disk's own image is gone and one that a revert made for it is there: libvirt removes the old image
/// before it saves that the disk is on the new one.
pub(super) fn revert(domain: &ObservedDomain, target: &str, missing: &str) -> Option<String> {
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
