//! Reads the snapshots that somebody asks for: each of the chosen ones in one call, and the sizes of what they hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::several;
use crate::host::{self, DomainRef, ErrorClass, Files, Host, HostError, Probe, SnapshotQuery, SnapshotRef};
use crate::model::image::ImageState;
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedDisk;
use crate::model::snapshot::{ObservedSnapshot, Storage};

/// How often the list is read again when one of it vanished before it was read.
const ATTEMPTS: usize = 3;

/// The snapshots that a query chose.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that were read, in the order of the list.
    pub snapshots: Vec<ObservedSnapshot>,
    /// Those that libvirt lists and that could not be read, and why.
    pub unreadable: Vec<(SnapshotName, HostError)>,
}

/// Lists snapshots: one call. Unless the query wants parents before children, by name as virsh does: without regard to
/// the case of ASCII letters (`virshSnapSorter`).
///
/// # Errors
/// When the domain, or the snapshot to look below, is gone.
pub fn names(host: &dyn Host, domain: &DomainRef, query: &SnapshotQuery) -> host::Result<Vec<SnapshotRef>> {
    let mut refs = host.select(domain, query)?;
    if !query.topological {
        sort(&mut refs);
    }
    Ok(refs)
}

fn sort(refs: &mut [SnapshotRef]) {
    refs.sort_by_cached_key(|snapshot| (snapshot.name.as_str().to_ascii_lowercase(), snapshot.name.clone()));
}

/// Lists snapshots and reads each: 1 + n calls. `and` is read with them, wherever it hangs.
///
/// # Errors
/// When the list cannot be had, or keeps changing. A snapshot that cannot be read is part of the answer.
pub fn list(
    host: &dyn Host,
    domain: &DomainRef,
    query: &SnapshotQuery,
    and: Option<&SnapshotRef>,
) -> host::Result<Listing> {
    for _ in 0..ATTEMPTS {
        let mut refs = names(host, domain, query)?;
        if let Some(and) = and {
            refs.insert(0, and.clone());
        }
        if let Some(listing) = read(host, domain, &refs) {
            return Ok(listing);
        }
    }
    Err(HostError::new(
        ErrorClass::Transient,
        format!("read the snapshots of domain {}", domain.name),
        "they change while they are being read; somebody else is at work on this domain",
    ))
}

/// Reads the listed snapshots, several at a time; none where one of them is gone.
fn read(host: &dyn Host, domain: &DomainRef, refs: &[SnapshotRef]) -> Option<Listing> {
    let gone = AtomicBool::new(false);
    let places: Vec<_> = refs.iter().enumerate().collect();
    let mut read = several(&places, |(place, snapshot)| {
        if gone.load(Ordering::Relaxed) {
            return None;
        }
        let answer = host.snapshot(domain, snapshot);
        let is_gone = answer.as_ref().is_err_and(|error| error.class == ErrorClass::NotFound);
        gone.fetch_or(is_gone, Ordering::Relaxed);
        Some((*place, *snapshot, answer))
    });
    if gone.into_inner() {
        return None;
    }
    read.sort_by_key(|(place, ..)| *place);
    let mut listing = Listing::default();
    for (_, snapshot, answer) in read {
        match answer {
            Ok(read) => listing.snapshots.push(read),
            Err(error) => listing.unreadable.push((snapshot.name.clone(), error)),
        }
    }
    Some(listing)
}

/// What the snapshots hold beyond the images they froze, in bytes: of an external one the overlays it added and its memory
/// image, as far as they take space; of an internal one the memory in the images. Where nothing of it can be seen, none.
/// One call at most: the definition, where an internal one has memory.
pub fn sizes(host: &dyn Host, domain: &DomainRef, snapshots: &[ObservedSnapshot]) -> BTreeMap<SnapshotName, u64> {
    let files = host.files();
    let has_memory = |snapshot: &&ObservedSnapshot| snapshot.memory == Storage::Internal;
    let in_images = match snapshots.iter().any(|snapshot| has_memory(&snapshot)) {
        // A job may hold the definition back; sizes are not worth an error.
        true => host.definition(domain, false).map(|read| memories(files, &read.disks)).unwrap_or_default(),
        false => BTreeMap::new(),
    };
    let size = |snapshot: &ObservedSnapshot| {
        if snapshot.is_external() { allocated(files, snapshot) } else { in_images.get(snapshot.name.as_str()).copied() }
    };
    snapshots.iter().filter_map(|snapshot| Some((snapshot.name.clone(), size(snapshot)?))).collect()
}

/// The memory that the images hold, by the name of the snapshot; one image of a domain has it.
fn memories(files: &dyn Files, disks: &[ObservedDisk]) -> BTreeMap<String, u64> {
    let mut memories = BTreeMap::new();
    for disk in disks {
        let Probe::Known(tags) = files.image_snapshots(disk) else { continue };
        for tag in tags.into_iter().filter(|tag| tag.memory > 0) {
            memories.insert(tag.name, tag.memory);
        }
    }
    memories
}

/// The space of the files that an external snapshot added; none where one of them cannot be seen.
fn allocated(files: &dyn Files, snapshot: &ObservedSnapshot) -> Option<u64> {
    let named = snapshot.files.as_ref()?;
    let overlays = snapshot.disks.keys().filter_map(|target| named.overlay(target));
    let mut size: Option<u64> = None;
    for path in overlays.chain(named.memory.as_deref()) {
        let format = named.formats.get(path).map(String::as_str);
        match files.image(path, format).state {
            ImageState::Present(image) => size = Some(size.unwrap_or(0).saturating_add(image.allocated)),
            ImageState::Absent | ImageState::Unknown(_) => return None,
        }
    }
    size
}
