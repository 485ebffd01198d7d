//! How the snapshots of a domain lie on its image chains, and whether tree and chains agree.
//!
//! On the way from the current snapshot to its root, each snapshot that holds a disk froze one image of that disk's chain.
//! The active image is the overlay above the first; then come the frozen images, in the order of the tree. Whatever is
//! below the last one is the domain's own (a template's chain) and is not looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, Rules, live, unnoted};
use crate::model::image::{Backing, DomainFiles, ImageState};
use crate::model::names::SnapshotName;
use crate::model::observed::{ObservedDisk, ObservedDomain};
use crate::model::plan::BlockCode;
use crate::model::snapshot::{ObservedSnapshot, SnapshotFiles};
use crate::model::text::printable;

/// Chains longer than this are cut off: libvirt follows 200 images (`VIR_STORAGE_MAX_CHAIN_LENGTH`).
const CHAIN_END: usize = 200;

pub(super) const TOUCH_NOTHING: &str = "Delete and revert nothing in this domain until then";

/// What counts where an image cannot be read from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plan) enum Trust {
    /// The chain must be read.
    Nothing,
    /// What the snapshots' metadata says.
    Metadata,
}

impl Trust {
    pub(super) fn of(rules: Rules) -> Self {
        if rules.trust_unreadable_chains { Self::Metadata } else { Self::Nothing }
    }
}

/// The images of a disk, the active one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::plan) enum Chain {
    /// All of them.
    Known(Vec<String>),
    /// As far as they can be read, and why no further.
    Cut(Vec<String>, String),
    /// The images down to one that is missing, and that one's path.
    Broken(Vec<String>, String),
}

impl Chain {
    /// The images that are known, as far as they are.
    pub(in crate::plan) fn images(&self) -> &[String] {
        match self {
            Self::Known(images) | Self::Cut(images, _) | Self::Broken(images, _) => images,
        }
    }
}

/// Follows the images' own headers from a path down.
pub(super) fn follow(files: &DomainFiles, path: &str) -> Chain {
    let mut images = vec![path.to_owned()];
    while let Some(at) = images.last().filter(|_| images.len() <= CHAIN_END) {
        match files.image(at) {
            ImageState::Absent => {
                let missing = at.clone();
                images.pop();
                return Chain::Broken(images, missing);
            }
            ImageState::Unknown(why) => {
                let why = format!("{} cannot be read ({why})", printable(at));
                return Chain::Cut(images, why);
            }
            ImageState::Present(image) => match image.backing {
                Backing::None => return Chain::Known(images),
                Backing::Other(what) => {
                    let why = format!("{} stands on {}", printable(at), printable(&what));
                    return Chain::Cut(images, why);
                }
                Backing::File(below) => images.push(below),
            },
        }
    }
    Chain::Cut(images, format!("it is longer than {CHAIN_END} images"))
}

/// Whether an image, or one below it, is known to be missing.
pub(in crate::plan) fn is_broken(files: &DomainFiles, path: &str) -> bool {
    matches!(follow(files, path), Chain::Broken(..))
}

/// A disk's real chain: as QEMU has it open where the domain runs, else by the images' headers. QEMU goes on with an image
/// that was removed, until it stops.
pub(super) fn chain_of(files: &DomainFiles, disk: &ObservedDisk) -> Option<Chain> {
    let source = disk.source.as_ref()?;
    Some(match &disk.backing {
        Some(below) => {
            let mut images: Vec<String> = std::iter::once(source).chain(below).cloned().collect();
            match images.iter().position(|image| files.image(image) == ImageState::Absent) {
                Some(at) => {
                    let missing = images[at].clone();
                    images.truncate(at);
                    Chain::Broken(images, missing)
                }
                None => Chain::Known(images),
            }
        }
        None => follow(files, source),
    })
}

/// How many images a disk's chain has, as far as it can be read; where it cannot, at least as many as the tree says.
pub(in crate::plan) fn images(domain: &ObservedDomain, disk: &ObservedDisk) -> Option<usize> {
    let chain = chain_of(&domain.files, disk)?;
    let seen = chain.images().len();
    if !matches!(chain, Chain::Cut(..)) {
        return Some(seen);
    }
    let path = path(domain).unwrap_or_default();
    let holders: Vec<_> = holders(&path, &disk.target).collect();
    // Below the last image that is seen there is one for each snapshot before the one that froze it.
    let last = chain.images().last();
    let froze_last = |(_, files): &(&ObservedSnapshot, &SnapshotFiles)| {
        let base = files.bases.get(&disk.target);
        base.zip(last).is_some_and(|(base, last)| domain.files.same(base, last))
    };
    let below = holders.iter().position(froze_last).map_or(0, |at| holders.len() - at - 1);
    Some((seen + below).max(holders.len() + 1))
}

/// The snapshots and chains of a domain whose tree was found whole.
pub(in crate::plan) struct Layout<'a> {
    /// The current snapshot, its parent, and so on to the root.
    pub(super) path: Vec<&'a ObservedSnapshot>,
    /// The chain of each disk that a snapshot of the path holds, by target.
    pub(super) chains: BTreeMap<&'a str, Chain>,
    /// The disks that an interrupted deletion of the snapshot in question has merged already.
    merged: BTreeSet<&'a str>,
}

impl<'a> Layout<'a> {
    /// Checks the tree against the chains.
    pub(in crate::plan) fn whole(domain: &'a ObservedDomain, trust: Trust) -> Result<Self, Fault> {
        Self::check(domain, trust, None)
    }

    /// As [`Self::whole`], for the deletion of a snapshot: one that was interrupted, and left its mark, has merged
    /// some of its disks already.
    pub(super) fn whole_but_for(
        domain: &'a ObservedDomain,
        trust: Trust,
        deleting: &SnapshotName,
    ) -> Result<Self, Fault> {
        Self::check(domain, trust, Some(deleting))
    }

    fn check(domain: &'a ObservedDomain, trust: Trust, deleting: Option<&SnapshotName>) -> Result<Self, Fault> {
        parents_are_listed(domain)?;
        live::agrees(domain)?;
        let path = path(domain)?;
        let (mut chains, mut merged) = (BTreeMap::new(), BTreeSet::new());
        for target in path.iter().filter_map(|snapshot| snapshot.files.as_deref()).flat_map(|f| f.overlays.keys()) {
            if chains.contains_key(target.as_str()) {
                continue;
            }
            let chain = disk_chain(domain, target)?;
            let holders: Vec<_> = holders(&path, target).collect();
            let checked = agrees(domain, target, &holders, &chain, (trust, None));
            let unfinished = || {
                // The mark of a merged disk is gone by then; the one of the disk that failed is not.
                let marked = |holder: &(&ObservedSnapshot, &SnapshotFiles)| !holder.1.unfinished.is_empty();
                deleting.is_some()
                    && holders.iter().any(marked)
                    && agrees(domain, target, &holders, &chain, (trust, deleting)).is_ok()
            };
            match checked {
                Ok(()) => {}
                Err(_) if unfinished() => {
                    merged.insert(target.as_str());
                }
                Err(fault) => return Err(fault),
            }
            chains.insert(target.as_str(), chain);
        }
        Ok(Self { path, chains, merged })
    }

    /// Where a snapshot stands among those that hold a disk: 0 is the one under the active image. None: it does not hold
    /// the disk, or is not on the path, or its part of this disk was merged already.
    pub(super) fn position(&self, name: &SnapshotName, target: &str) -> Option<usize> {
        if self.merged.contains(target) {
            return None;
        }
        holders(&self.path, target).position(|(snapshot, _)| snapshot.name == *name)
    }
}

/// Those snapshots of a path that hold a disk, nearest first.
fn holders<'p, 'a: 'p>(
    path: &'p [&'a ObservedSnapshot],
    target: &'p str,
) -> impl Iterator<Item = (&'a ObservedSnapshot, &'a SnapshotFiles)> + use<'p, 'a> {
    let files = path.iter().filter_map(|snapshot| Some((*snapshot, snapshot.files.as_deref()?)));
    files.filter(move |(_, files)| files.overlays.contains_key(target))
}

fn broken(text: impl Into<String>, way_out: impl Into<String>) -> Fault {
    Fault::new(BlockCode::ChainInconsistent, text, way_out)
}

/// Each named parent is there. libvirt drops a snapshot from its list when its metadata file cannot be written.
pub(in crate::plan) fn parents_are_listed(domain: &ObservedDomain) -> Result<(), Fault> {
    match domain.tree.orphan().and_then(|snapshot| Some((snapshot, snapshot.parent.as_ref()?))) {
        None => Ok(()),
        Some((snapshot, parent)) => Err(broken(
            format!("snapshot {} names {parent} as its parent, and libvirt lists no such snapshot", snapshot.name),
            format!(
                "restart libvirtd, which reads the metadata files again; if {parent} is still missing, restore it from saved XML \
                     (virsh snapshot-create --redefine). {TOUCH_NOTHING}"
            ),
        )),
    }
}

/// The current snapshot and its ancestors.
fn path(domain: &ObservedDomain) -> Result<Vec<&ObservedSnapshot>, Fault> {
    let Some(current) = domain.tree.current().and_then(|name| domain.tree.get(name)) else {
        return Err(broken(
            "the domain has external snapshots and no current one: libvirt then deletes files that are in use, and crashes on \
             a revert",
            unnoted::capture(domain).map_or_else(
                || {
                    format!(
                        "set the pointer to the snapshot whose overlay is the active image (virsh snapshot-current). \
                         {TOUCH_NOTHING}"
                    )
                },
                |way_out| format!("{way_out}. {TOUCH_NOTHING}"),
            ),
        ));
    };
    let mut path = vec![current];
    while let Some(parent) = path.last().and_then(|snapshot| snapshot.parent.as_ref()) {
        let Some(parent) = domain.tree.get(parent).filter(|_| path.len() <= domain.tree.len()) else {
            return Err(broken(
                "the parents of the current snapshot run in a circle",
                format!("repair the parents (virsh snapshot-edit). {TOUCH_NOTHING}"),
            ));
        };
        path.push(parent);
    }
    Ok(path)
}

fn disk_chain(domain: &ObservedDomain, target: &str) -> Result<Chain, Fault> {
    let shown = printable(target);
    let disk = domain.disks.iter().find(|disk| disk.target == target);
    let chain = disk.and_then(|disk| chain_of(&domain.files, disk)).ok_or_else(|| {
        broken(
            format!("the snapshots hold disk {shown}, which the domain does not have any more"),
            format!("attach {shown} again as it was. {TOUCH_NOTHING}"),
        )
    })?;
    match chain {
        Chain::Broken(_, path) => Err(broken(
            format!("disk {shown} needs the image {}, and there is no such file", printable(&path)),
            unnoted::revert(domain, target, &path).map_or_else(
                || format!("{}. {TOUCH_NOTHING}", live::bring_back(domain)),
                |way_out| format!("{way_out}. {TOUCH_NOTHING}"),
            ),
        )),
        chain => Ok(chain),
    }
}

/// Whether the active image is the nearest holder's overlay, and the images below are what each holder froze. The part of
/// a snapshot that was merged already (`merged`) is no longer in the chain, and what stands above it may still name it.
fn agrees(
    domain: &ObservedDomain,
    target: &str,
    holders: &[(&ObservedSnapshot, &SnapshotFiles)],
    chain: &Chain,
    (trust, merged): (Trust, Option<&SnapshotName>),
) -> Result<(), Fault> {
    let is_merged = |holder: &(&ObservedSnapshot, &SnapshotFiles)| merged == Some(&holder.0.name);
    let above_merged = |name: &SnapshotName| {
        let at = holders.iter().position(|(snapshot, _)| snapshot.name == *name);
        at.and_then(|at| holders.get(at + 1)).is_some_and(is_merged)
    };
    let left = || holders.iter().filter(|holder| !is_merged(holder));
    let images = chain.images();
    let (Some((first, files)), Some(active)) = (left().next(), images.first()) else { return Ok(()) };
    let overlay = files.overlay(target).unwrap_or_default();
    let disk = printable(target);
    if !domain.files.same(overlay, active) {
        return Err(broken(
            format!(
                "the current snapshot is {}, and disk {disk} is not on its overlay {} but on {}",
                first.name,
                printable(overlay),
                printable(active)
            ),
            unnoted::capture(domain).map_or_else(
                || {
                    let active = printable(active);
                    format!("find the snapshot whose overlay {active} is, and set the pointer to it. {TOUCH_NOTHING}")
                },
                |way_out| format!("{way_out}. {TOUCH_NOTHING}"),
            ),
        ));
    }
    for ((holder, files), below) in left().zip(1..) {
        let frozen = files.bases.get(target).map(String::as_str).unwrap_or_default();
        let Some(image) = images.get(below) else {
            return match chain {
                Chain::Cut(_, why) if trust == Trust::Nothing => Err(Fault::new(
                    BlockCode::ChainUnknown,
                    format!("the image chain of disk {disk} cannot be read from here: {why}"),
                    "run snapward on the host itself, as a user who may read the images; or, where the metadata is known to be \
                     right, set trustUnreadableChains in the SafetyPolicy",
                )),
                Chain::Cut(..) => Ok(()),
                _ => Err(broken(
                    format!(
                        "snapshot {} froze {} for disk {disk}, and no such image is in the chain below {}",
                        holder.name,
                        printable(frozen),
                        printable(active)
                    ),
                    disagreement(domain, target, None),
                )),
            };
        };
        if !domain.files.same(frozen, image) && !above_merged(&holder.name) {
            return Err(broken(
                format!(
                    "by the tree, snapshot {} stands next in the chain of disk {disk} and froze {}; the image there is {}",
                    holder.name,
                    printable(frozen),
                    printable(image)
                ),
                disagreement(domain, target, Some(image)),
            ));
        }
    }
    Ok(())
}

/// How to repair a tree that does not fit its chain: the chain is what holds the data.
fn disagreement(domain: &ObservedDomain, target: &str, image: Option<&str>) -> String {
    let froze = |snapshot: &&ObservedSnapshot| {
        let base = snapshot.files.as_deref().and_then(|files| files.bases.get(target));
        base.zip(image).is_some_and(|(base, image)| domain.files.same(base, image))
    };
    let hint = match domain.tree.iter().find(froze) {
        Some(owner) => {
            format!(
                "it is snapshot {}'s: give the snapshot above it that parent again (virsh snapshot-edit)",
                owner.name
            )
        }
        None => "a parent or an image was changed by other hands: compare `qemu-img info --backing-chain` with `virsh \
                 snapshot-dumpxml` and repair the parents (virsh snapshot-edit)"
            .to_owned(),
    };
    format!("{hint}. {TOUCH_NOTHING}")
}

/// Every file a domain needs: the chains of its disks, of what its snapshots froze, and its memory images. With why,
/// where some of it cannot be read.
pub(in crate::plan) fn frozen_in_use(domain: &ObservedDomain) -> (Vec<(String, String)>, Option<String>) {
    let (mut used, mut unread) = (Vec::new(), None);
    let mut add = |chain: Chain, what: &str, own: Vec<&String>| {
        if let Chain::Cut(_, why) = &chain {
            unread.get_or_insert_with(|| why.clone());
        }
        used.extend(chain.images().iter().chain(own).map(|path| (path.clone(), what.to_owned())));
    };
    for disk in &domain.disks {
        // None: a network disk, or an empty drive, which are no file of this machine.
        if let Some(chain) = chain_of(&domain.files, disk) {
            add(chain, &format!("its disk {}", printable(&disk.target)), Vec::new());
        }
    }
    for snapshot in domain.tree.iter() {
        let Some(files) = snapshot.files.as_deref() else { continue };
        let what = format!("its snapshot {}", snapshot.name);
        let own = files.overlays.values().chain(files.revert_overlays.values()).chain(&files.memory);
        add(Chain::Known(Vec::new()), &what, own.collect());
        for base in files.bases.values() {
            add(follow(&domain.files, base), &what, Vec::new());
        }
    }
    (used, unread)
}
