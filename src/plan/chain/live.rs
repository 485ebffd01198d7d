//! What the process of a running domain uses, and its next start will use, against what libvirt says. A libvirtd that
//! ends in the middle of a capture leaves them apart: it has QEMU put the overlay to use first, then saves the running
//! definition, then the stored one.

use super::Fault;
use super::files::{Bystanders, unknown_overlays};
use super::layout::{TOUCH_NOTHING, chain_of, follow};
use crate::model::image::{Image, ImageState};
use crate::model::observed::{ObservedDisk, ObservedDomain};
use crate::model::plan::BlockCode;
use crate::model::text::printable;

/// Checks that no disk is on an overlay that libvirt does not know, and that the next start is on no image below.
pub(in crate::plan) fn agrees(domain: &ObservedDomain) -> Result<(), Fault> {
    if !domain.state.is_active() {
        return Ok(());
    }
    // All at once: a capture is of all disks, and whoever stops the guest for one of them loses the others.
    let faults = [next_start(domain), on_unknown_overlays(domain)];
    let all = |first: Fault, second: Fault| {
        let text = format!("{}. Besides, {}", first.text, second.text);
        Fault::new(first.code, text, format!("{}. Then: {}", first.way_out, second.way_out))
    };
    faults.into_iter().flatten().reduce(all).map_or(Ok(()), Err)
}

/// Overlays that are in use and libvirt does not know.
fn on_unknown_overlays(domain: &ObservedDomain) -> Option<Fault> {
    let (mut files, mut commits) = (Vec::new(), Vec::new());
    let unknown = unknown_overlays(domain, &Bystanders::default());
    let open =
        |path: &str| matches!(domain.files.images.get(path), Some(ImageState::Present(Image { open: true, .. })));
    for disk in &domain.disks {
        let Some(active) = disk.source.as_deref() else { continue };
        for (path, _) in unknown.iter().filter(|(path, below)| open(path) && domain.files.same(below, active)) {
            let path = printable(path);
            files.push(format!("{path} on the image of disk {}", printable(&disk.target)));
            commits.push(format!("qemu-img commit '{path}'"));
        }
    }
    (!files.is_empty()).then(|| {
        Fault::new(
            BlockCode::ChainInconsistent,
            format!(
                "a process has open what libvirt does not know: {}. Where libvirtd ended in the middle of a capture, the guest \
                 writes to it, and loses that when it is next started",
                files.join(", ")
            ),
            format!(
                "do not remove it. If a backup runs, wait for its end. Else shut the guest down, and merge it into the image below: \
                 {}. Start the guest only when all are merged and the files removed",
                commits.join("; ")
            ),
        )
    })
}

/// Disks whose next start is on an image below the one in use.
fn next_start(domain: &ObservedDomain) -> Option<Fault> {
    let (mut lost, mut sources) = (Vec::new(), Vec::new());
    for disk in &domain.disks {
        let Some(next) = image_below_of_next_start(domain, disk) else { continue };
        let active = printable(disk.source.as_deref().unwrap_or_default());
        let (target, next) = (printable(&disk.target), printable(next));
        lost.push(format!("disk {target} on {next}, an image below {active}, which the guest uses now"));
        sources.push(format!("disk {target} on {active}"));
    }
    (!lost.is_empty()).then(|| {
        Fault::new(
            BlockCode::ChainInconsistent,
            format!(
                "the next start has {}: it would lose what was written since, and write into what a snapshot captured",
                lost.join("; ")
            ),
            format!(
                "do not restart the domain before its stored definition has again {} (virsh edit '{}')",
                sources.join(", "),
                printable(&domain.name)
            ),
        )
    })
}

/// Checks that the images in the chains in use are those that QEMU has open, and no copies in the place of some that were
/// removed. QEMU opens what it merges into anew, by its path: the guest would go on with what the copy holds. Not asked where
/// nothing is opened: while a guest takes its images up, some can be locked and others not yet.
pub(super) fn images_are_those_in_use(domain: &ObservedDomain) -> Result<(), Fault> {
    let replaced = domain.disks.iter().find_map(|disk| Some((disk, unused_image(domain, disk)?)));
    let Some((disk, path)) = replaced.filter(|_| domain.state.is_active()) else { return Ok(()) };
    let (target, path) = (printable(&disk.target), printable(path));
    Err(Fault::new(
        BlockCode::ChainInconsistent,
        format!(
            "the file {path} is not the file that the guest uses under that name for disk {target}: nobody has it open, while the \
             active image is"
        ),
        format!("{}. {TOUCH_NOTHING}", bring_back(domain)),
    ))
}

/// An image below a disk's active one that no QEMU has open, while one has the active one. Asked only of images on the
/// filesystem of the active one, where locks are seen as they are on it: of block devices libvirt gives QEMU nodes of its own,
/// and other filesystems may know no locks. And only of those that the headers name: what QEMU has merged, and libvirt did
/// not live to note, is in libvirt's chain alone, and in nobody's use.
fn unused_image<'d>(domain: &'d ObservedDomain, disk: &'d ObservedDisk) -> Option<&'d str> {
    let seen = |path: &str| match domain.files.images.get(path) {
        Some(ImageState::Present(image)) => Some(image),
        _ => None,
    };
    let source = disk.source.as_deref()?;
    let active = seen(source).filter(|image| image.open)?;
    let named = follow(&domain.files, source);
    let is_named = |path: &&String| named.images().iter().any(|image| domain.files.same(image, path));
    let unused = |image: &Image| !image.open && image.id.device == active.id.device;
    disk.backing.iter().flatten().filter(is_named).find(|path| seen(path).is_some_and(unused)).map(String::as_str)
}

/// How an image that is gone comes back. QEMU goes on with a file that was removed: a copy in its place would be taken for it
/// by everybody else, and what the guest wrote since would go when it stops.
pub(in crate::plan) fn bring_back(domain: &ObservedDomain) -> &'static str {
    if domain.state.is_active() {
        "if the file was moved, move the same one back (mv, not a copy: QEMU has it open). If it was removed, do not stop the guest: \
         copy the disk out while it runs (virsh blockcopy DOMAIN DISK FILE --transient-job --wait --finish)"
    } else {
        "bring the file back from where it was moved, or from a backup"
    }
}

/// The source of a disk at the next start, where that is an image below the one in use.
fn image_below_of_next_start<'d>(domain: &'d ObservedDomain, disk: &ObservedDisk) -> Option<&'d str> {
    let next = domain.next_sources.get(&disk.target)?;
    let chain = chain_of(&domain.files, disk)?;
    let below = chain.images().iter().skip(1).any(|image| domain.files.same(image, next));
    below.then_some(next.as_str())
}
