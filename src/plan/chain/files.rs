//! What a deletion does to files, and whether anybody else needs one of them.

use std::collections::BTreeSet;

use super::layout::{Chain, Layout, Trust, chain_of, follow, frozen_in_use};
use super::{Effect, Fault, Neighbours};
use crate::model::image::{Backing, DomainFiles, Image, ImageState};
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedDomain;
use crate::model::plan::{BlockCode, ImageMerge};
use crate::model::snapshot::{ObservedSnapshot, SnapshotFiles, Storage};
use crate::model::text::printable;

/// What libvirt does to files when it deletes the snapshot (`qemuSnapshotDiscardImpl`). On the path of the current
/// snapshot, the image above the frozen one is merged into it and unlinked. Elsewhere the frozen image is unlinked, where
/// it is another snapshot's overlay: it held only what this snapshot captured.
pub(super) fn effect_of_delete(
    domain: &ObservedDomain,
    layout: &Layout<'_>,
    name: &SnapshotName,
) -> Result<Effect, Fault> {
    let gone = || Fault::new(BlockCode::Missing, "it is gone", "plan again");
    let snapshot = domain.tree.get(name).ok_or_else(gone)?;
    let Some(files) = snapshot.files.as_deref() else {
        return Err(Fault::new(
            BlockCode::ChainInconsistent,
            "which files it consists of is not known",
            "compare `virsh snapshot-dumpxml` with the images; delete nothing in this domain until then",
        ));
    };
    let mut effect = Effect::default();
    let in_use = layout.path.iter().any(|on_path| on_path.name == *name);
    for target in files.overlays.keys() {
        if in_use {
            let Some(at) = layout.position(name, target) else { continue };
            let images = layout.chains.get(target.as_str()).map(Chain::images).unwrap_or_default();
            let metadata = (files.overlay(target), files.bases.get(target).map(String::as_str));
            let (Some(from), Some(into)) = (
                images.get(at).map(String::as_str).or(metadata.0),
                images.get(at + 1).map(String::as_str).or(metadata.1),
            ) else {
                continue;
            };
            effect.merges.push(ImageMerge {
                target: target.clone(),
                from: from.to_owned(),
                into: into.to_owned(),
                bytes: allocated(&domain.files, from),
            });
            effect.unlinks.push(from.to_owned());
            if at == 0 {
                effect.disks.insert(target.clone(), into.to_owned());
            }
        } else if parent_holds(domain, snapshot, target) {
            effect.unlinks.extend(files.bases.get(target).cloned());
        }
    }
    effect.unlinks.extend(files.memory.clone());
    Ok(effect)
}

/// Whether a snapshot above this one holds the disk.
fn parent_holds(domain: &ObservedDomain, snapshot: &ObservedSnapshot, target: &str) -> bool {
    let mut at = snapshot;
    for _ in 0..domain.tree.len() {
        let Some(parent) = at.parent.as_ref().and_then(|parent| domain.tree.get(parent)) else { return false };
        if parent.files.as_deref().is_some_and(|files| files.overlays.contains_key(target)) {
            return true;
        }
        at = parent;
    }
    false
}

fn allocated(files: &DomainFiles, path: &str) -> Option<u64> {
    match files.image(path) {
        ImageState::Present(image) => Some(image.allocated),
        _ => None,
    }
}

/// Checks that no other disk, snapshot or domain needs a file that the deletion unlinks or writes to.
pub(super) fn nobody_needs(
    domain: &ObservedDomain,
    layout: &Layout<'_>,
    name: &SnapshotName,
    effect: &Effect,
    neighbours: &Neighbours<'_>,
    trust: Trust,
) -> Result<(), Fault> {
    let written = effect.merges.iter().map(|merge| merge.into.as_str());
    let touched: Vec<&str> = effect.unlinks.iter().map(String::as_str).chain(written).collect();
    if touched.is_empty() {
        return Ok(());
    }
    own_domain(domain, layout, name, effect, &touched, trust)?;
    other_domains(domain, &touched, neighbours, trust)?;
    no_unknown_overlay_needs(domain, &touched)
}

/// Whether two paths are one file, by what either domain saw of them.
fn same(a: &DomainFiles, path_a: &str, b: &DomainFiles, path_b: &str) -> bool {
    let id = |files: &DomainFiles, path: &str| match files.images.get(path) {
        Some(ImageState::Present(image)) => Some(image.id),
        _ => None,
    };
    path_a == path_b || id(a, path_a).is_some_and(|found| id(b, path_b) == Some(found))
}

fn own_domain(
    domain: &ObservedDomain,
    layout: &Layout<'_>,
    name: &SnapshotName,
    effect: &Effect,
    touched: &[&str],
    trust: Trust,
) -> Result<(), Fault> {
    let hit = |image: &String| touched.iter().any(|path| domain.files.same(path, image));
    let fault = |image: &str, who: String| {
        Fault::new(
            BlockCode::ChainInconsistent,
            format!("libvirt would remove or overwrite {}, which {who} needs", printable(image)),
            "the tree and the images do not fit each other: compare `qemu-img info --backing-chain` with `virsh \
             snapshot-dumpxml`. Delete nothing in this domain until then",
        )
    };
    // The disks themselves: a merge is only ever of neighbours in its own disk's chain.
    for disk in &domain.disks {
        let Some(chain) = chain_of(&domain.files, disk) else { continue };
        if let Chain::Cut(images, why) = &chain
            && trust == Trust::Nothing
            && images.last().is_some_and(|last| hit(last) && matches!(domain.files.image(last), ImageState::Unknown(_)))
        {
            return Err(unread(&format!("the image chain of disk {}", printable(&disk.target)), why));
        }
        let merged_here = |image: &String| {
            let own = effect.merges.iter().filter(|merge| merge.target == disk.target);
            own.flat_map(|merge| [&merge.from, &merge.into]).any(|path| domain.files.same(path, image))
        };
        if let Some(image) = chain.images().iter().find(|image| hit(image) && !merged_here(image)) {
            return Err(fault(image, format!("disk {}", printable(&disk.target))));
        }
    }
    // What other snapshots froze, but for those above it on the path: their content moves with the merge.
    let depth = layout.path.iter().position(|on_path| on_path.name == *name);
    let above: BTreeSet<_> = layout.path[..depth.unwrap_or(0)].iter().map(|snapshot| &snapshot.name).collect();
    let others = domain.tree.iter().filter(|snapshot| snapshot.name != *name && !above.contains(&snapshot.name));
    let removed = |image: &String| effect.unlinks.iter().any(|path| domain.files.same(path, image));
    let hurts = |image: &String, captured: bool| if captured { hit(image) } else { removed(image) };
    no_snapshot_needs(domain, others, hurts, fault, trust)?;
    // The memory of those above it moves nowhere.
    for snapshot in &layout.path[..depth.unwrap_or(0)] {
        if let Some(memory) =
            snapshot.files.as_deref().and_then(|files| files.memory.as_ref()).filter(|path| removed(path))
        {
            return Err(fault(memory, format!("snapshot {}", snapshot.name)));
        }
    }
    Ok(())
}

/// Checks that none of these snapshots names an image, or has a memory image, that a step hurts. `hurts` is asked of a path,
/// and whether the snapshot captured what is in it.
fn no_snapshot_needs<'s>(
    domain: &ObservedDomain,
    snapshots: impl Iterator<Item = &'s ObservedSnapshot>,
    hurts: impl Fn(&String, bool) -> bool,
    fault: impl Fn(&str, String) -> Fault,
    trust: Trust,
) -> Result<(), Fault> {
    for snapshot in snapshots {
        let Some(files) = snapshot.files.as_deref() else { continue };
        for (target, base) in &files.bases {
            let captured = !left_out(snapshot, files, target);
            let chain = follow(&domain.files, base);
            if let Chain::Cut(_, why) = &chain
                && trust == Trust::Nothing
            {
                return Err(unread(&format!("what snapshot {} froze", snapshot.name), why));
            }
            if let Some(image) = chain.images().iter().find(|image| hurts(image, captured)) {
                return Err(fault(image, format!("snapshot {}", snapshot.name)));
            }
        }
        if let Some(memory) = files.memory.as_ref().filter(|memory| hurts(memory, true)) {
            return Err(fault(memory, format!("snapshot {}", snapshot.name)));
        }
    }
    Ok(())
}

fn unread(what: &str, why: &str) -> Fault {
    Fault::new(
        BlockCode::ChainUnknown,
        format!("{what} cannot be read from here: {why}"),
        "run snapward on the host itself, as a user who may read the images; or set trustUnreadableChains in the SafetyPolicy",
    )
}

/// Whether a snapshot captured nothing of a disk that its definition names: the guest went on writing to that image. Memory
/// fits the disks of its time alone, so beside it no disk counts as left out.
fn left_out(snapshot: &ObservedSnapshot, files: &SnapshotFiles, target: &str) -> bool {
    files.memory.is_none()
        && files.overlay(target).is_none()
        && matches!(snapshot.disks.get(target), None | Some(Storage::No | Storage::Manual))
}

pub(super) fn other_domains(
    domain: &ObservedDomain,
    touched: &[&str],
    neighbours: &Neighbours<'_>,
    trust: Trust,
) -> Result<(), Fault> {
    let way_out_unread = "make it readable and run again, or set trustUnreadableChains in the SafetyPolicy where no other \
                          domain's images can stand on this one's";
    for other in &neighbours.domains {
        let (used, unread) = frozen_in_use(other);
        let needs =
            |(image, _): &&(String, String)| touched.iter().any(|path| same(&domain.files, path, &other.files, image));
        if let Some((image, what)) = used.iter().find(needs) {
            return Err(Fault::new(
                BlockCode::SharedBase,
                format!(
                    "libvirt would remove or overwrite {}, which domain {} uses ({what})",
                    printable(image),
                    printable(&other.name)
                ),
                format!(
                    "give domain {} an image of its own (qemu-img rebase -b '' or a full copy), or keep this snapshot",
                    printable(&other.name)
                ),
            ));
        }
        if let Some(why) = unread.filter(|_| trust == Trust::Nothing) {
            return Err(Fault::new(
                BlockCode::SharedBase,
                format!("whether domain {} uses one of the files that go is not known: {why}", printable(&other.name)),
                way_out_unread,
            ));
        }
    }
    match neighbours.unread.first().filter(|_| trust == Trust::Nothing) {
        Some(name) => Err(Fault::new(
            BlockCode::SharedBase,
            format!(
                "domain {} of this host could not be read, so whether it uses one of the files that go is not known",
                printable(name)
            ),
            way_out_unread,
        )),
        None => Ok(()),
    }
}

/// Checks that what a revert removes is needed by no snapshot of the domain, nor by a disk but as its active image, which
/// the revert discards.
pub(super) fn needed_by_others(domain: &ObservedDomain, removed: &[&str], trust: Trust) -> Result<(), Fault> {
    let hit = |image: &String| removed.iter().any(|path| domain.files.same(path, image));
    let fault = |image: &str, who: String| {
        Fault::new(
            BlockCode::ChainInconsistent,
            format!("libvirt would remove {}, which {who} needs", printable(image)),
            "the tree and the images do not fit each other: compare `qemu-img info --backing-chain` with `virsh \
             snapshot-dumpxml`. Revert and delete nothing in this domain until then",
        )
    };
    for disk in &domain.disks {
        let Some(chain) = chain_of(&domain.files, disk) else { continue };
        if let Some(image) = chain.images().iter().skip(1).find(|image| hit(image)) {
            return Err(fault(image, format!("disk {}", printable(&disk.target))));
        }
    }
    no_snapshot_needs(domain, domain.tree.iter(), |image, _| hit(image), fault, trust)
}

/// Whether other domains of the host use a file.
#[derive(Default)]
pub(in crate::plan) struct Bystanders(BTreeSet<String>);

impl Bystanders {
    /// Collects what the neighbours use.
    pub(in crate::plan) fn new(neighbours: &Neighbours<'_>) -> Self {
        Self(neighbours.domains.iter().flat_map(|other| frozen_in_use(other).0).map(|(path, _)| path).collect())
    }
}

/// Overlays beside the domain's images that nothing uses: files with an image below them, which no chain and no snapshot
/// of any domain names. With the bytes each takes.
pub(in crate::plan) fn orphans<'d>(domain: &'d ObservedDomain, bystanders: &Bystanders) -> Vec<(&'d str, u64)> {
    let used: BTreeSet<String> = frozen_in_use(domain).0.into_iter().map(|(path, _)| path).collect();
    let overlay = |(path, state): (&'d String, &ImageState)| match state {
        ImageState::Present(image) if matches!(image.backing, Backing::File(_)) => {
            Some((path.as_str(), image.allocated))
        }
        _ => None,
    };
    let unused = |(path, _): &(&str, u64)| {
        !bystanders.0.contains(*path) && !used.iter().any(|other| domain.files.same(other, path))
    };
    domain.files.images.iter().filter_map(overlay).filter(unused).collect()
}

/// Overlays that nothing uses, and that hold data or are open: each with the first image of the domain's below it. What a guest
/// wrote after a capture that libvirt did not live to note is in such a one alone.
pub(in crate::plan) fn unknown_overlays<'d>(
    domain: &'d ObservedDomain,
    bystanders: &Bystanders,
) -> Vec<(&'d str, &'d str)> {
    let (used, _) = frozen_in_use(domain);
    let is_used = |image: &&String| used.iter().any(|(other, _)| domain.files.same(other, image));
    let stands = |(path, _): (&'d str, u64)| match domain.files.images.get(path) {
        Some(ImageState::Present(Image { backing: Backing::File(below), empty, open, .. })) if !empty || *open => {
            let chain = follow(&domain.files, below);
            let (image, _) = domain.files.images.get_key_value(chain.images().iter().find(is_used)?)?;
            Some((path, image.as_str()))
        }
        _ => None,
    };
    orphans(domain, bystanders).into_iter().filter_map(stands).collect()
}

/// Checks that no such overlay stands on what a step removes or writes to, however far above it; one that stands on an image
/// of a disk's chain above that is kept right by libvirt with it. One that another domain uses was found before, by what it
/// stands on.
pub(super) fn no_unknown_overlay_needs(domain: &ObservedDomain, touched: &[&str]) -> Result<(), Fault> {
    let is_touched = |image: &String| touched.iter().any(|path| domain.files.same(path, image));
    let chains: Vec<Chain> = domain.disks.iter().filter_map(|disk| chain_of(&domain.files, disk)).collect();
    let is_in_chain =
        |image: &String| chains.iter().flat_map(Chain::images).any(|other| domain.files.same(other, image));
    let needs = |(overlay, below)| {
        let chain = follow(&domain.files, overlay);
        let first = chain.images().windows(2).find(|pair| is_touched(&pair[1]))?;
        (!is_in_chain(&first[0])).then(|| (overlay, below, first[1].clone()))
    };
    let overlays = unknown_overlays(domain, &Bystanders::default());
    let Some((overlay, below, image)) = overlays.into_iter().find_map(needs) else { return Ok(()) };
    let is_active =
        domain.disks.iter().filter_map(|disk| disk.source.as_deref()).any(|on| domain.files.same(on, below));
    let (overlay, below) = (printable(overlay), printable(&image));
    let copy = "copy what is needed out of it (qemu-img convert), and remove it";
    let way_out = if is_active {
        format!(
            "find out what it is. Where the domain was not started since, merge it with the domain shut off (qemu-img commit \
             '{overlay}'), and remove it; else {copy}"
        )
    } else {
        format!("find out what it is, {copy}")
    };
    Err(Fault::new(
        BlockCode::ChainInconsistent,
        format!(
            "libvirt would remove or overwrite {below}, which {overlay} stands on: that holds data and no snapshot and no disk uses it, so \
             it may be what the guest wrote after a capture that was not noted"
        ),
        way_out,
    ))
}

/// Whether a file is the overlay that an interrupted capture left: it stands on the disk's active image, holds no data, and
/// no disk and no snapshot of any domain that is known uses it. Where a domain could not be read, it may be that one's.
pub fn unused_leftover(domain: &ObservedDomain, neighbours: &Neighbours<'_>, target: &str, path: &str) -> bool {
    let active = domain.disks.iter().find(|disk| disk.target == target).and_then(|disk| disk.source.as_deref());
    let empty_on_active = match (domain.files.image(path), active) {
        (ImageState::Present(Image { backing: Backing::File(below), empty: true, .. }), Some(active)) => {
            domain.files.same(&below, active)
        }
        _ => false,
    };
    let used_by = |other: &ObservedDomain| {
        frozen_in_use(other).0.iter().any(|(used, _)| same(&domain.files, path, &other.files, used))
    };
    empty_on_active
        && !used_by(domain)
        && neighbours.unread.is_empty()
        && !neighbours.domains.iter().any(|other| used_by(other))
}
