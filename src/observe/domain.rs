//! Reading one domain: its definition, its snapshots, its ledger, and the fingerprint of it all.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{Interest, files};
use crate::host::{self, DomainRef, ErrorClass, Host, HostError, Probe, SnapshotRef};
use crate::model::image::DomainFiles;
use crate::model::ledger::Ledger;
use crate::model::names::SnapshotName;
use crate::model::observed::{ObservedDisk, ObservedDomain, RevertFacts};
use crate::model::text::hex;
use crate::model::tree::SnapshotTree;

/// How often a domain is read again when its snapshots change under the reading. Somebody who changes it faster than
/// that is at work on it; the domain is then reported as unreadable for this run.
const ATTEMPTS: usize = 3;

/// Reads one domain. Only where a declared snapshot is missing, or where there are or may come external ones, is the
/// stored definition of a running domain read (one more call, for its copy of the ledger, and for the disks of its next
/// start). Only where one is missing, or where a series may capture or a revert come, are the images' own snapshots
/// looked at; only where there is, or may come, an external snapshot or a revert, the files. What a revert is refused
/// for takes two calls more, and one for each disk of a running domain.
///
/// # Errors
/// When a call fails, or the snapshots keep changing while they are read.
pub fn observe_domain(host: &dyn Host, domain: &DomainRef, wanted: &Interest<'_>) -> host::Result<ObservedDomain> {
    read_domain(host, domain, wanted).map(|(observed, _)| observed)
}

/// As [`observe_domain`], with the listed snapshots: to act on them without looking them up again.
///
/// # Errors
/// As [`observe_domain`].
pub fn read_domain(
    host: &dyn Host,
    domain: &DomainRef,
    wanted: &Interest<'_>,
) -> host::Result<(ObservedDomain, Vec<SnapshotRef>)> {
    let definition = host.definition(domain, false)?;
    let (mut tree, refs) = read_tree(host, domain)?;

    let ours = |ledger: &&Ledger| ledger.domain == domain.uuid;
    let live = definition.ledger.as_ref().filter(ours);
    let embedded = tree.iter().filter_map(|snapshot| snapshot.ledger.as_deref()).filter(ours);
    let mut ledger: Option<Ledger> = None;
    live.into_iter().chain(embedded).for_each(|copy| merge(&mut ledger, copy));
    tree.forget_ledgers();

    // A capture is to come, unless a copy of the ledger knows it was made: the stored copy may be the only one, as
    // after a start from a managed save.
    let unknown =
        |name: &&&SnapshotName| tree.get(name).is_none() && ledger.as_ref().is_none_or(|l| l.made(name).is_none());
    let capture_expected = wanted.declared.iter().any(|name| unknown(&name));
    let external = wanted.external || tree.has_external();
    let (stored, next_sources) = if (capture_expected || external) && domain.state.is_active() {
        let stored = host.definition(domain, true)?;
        let sources = stored.disks.into_iter().filter_map(|disk| Some((disk.target, disk.source?)));
        (stored.ledger.filter(|ledger| ledger.domain == domain.uuid), sources.collect())
    } else {
        (live.cloned(), BTreeMap::new())
    };
    stored.iter().for_each(|copy| merge(&mut ledger, copy));

    let ledger_is_current = live == ledger.as_ref() && stored == ledger;
    let missing = wanted.declared.iter().any(|name| tree.get(name).is_none());
    let image_snapshots = if missing || wanted.scheduled || wanted.revert {
        probe_images(host, &definition.disks)
    } else {
        BTreeMap::new()
    };
    let fingerprint = fingerprint(domain, &tree, &definition.disks);
    let mut observed = ObservedDomain {
        uuid: domain.uuid,
        name: domain.name.clone(),
        state: domain.state,
        disks: definition.disks,
        nvram: definition.nvram,
        tree,
        ledger,
        ledger_is_current,
        image_snapshots,
        files: DomainFiles::default(),
        memory_kib: definition.memory_kib,
        agent: definition.agent,
        revert: None,
        next_sources,
        fingerprint,
    };
    if wanted.revert {
        observed.revert = Some(revert_facts(host, domain, &observed.disks)?);
    }
    if external || wanted.revert {
        observed.files = files::all(host.files(), &observed, wanted);
    } else if missing || wanted.scheduled {
        observed.files =
            DomainFiles { space: files::space(host.files(), &observed), ..files::chains(host.files(), &observed) };
    }
    Ok((observed, refs))
}

/// What libvirt refuses a revert for, some of it only after it stopped the domain.
fn revert_facts(host: &dyn Host, domain: &DomainRef, disks: &[ObservedDisk]) -> host::Result<RevertFacts> {
    let mut block_jobs = Vec::new();
    for disk in disks.iter().filter(|disk| domain.state.is_active() && !disk.is_empty_drive()) {
        if host.block_job(domain, &disk.target)?.is_some() {
            block_jobs.push(disk.target.clone());
        }
    }
    Ok(RevertFacts {
        persistent: host.is_persistent(domain)?,
        managed_save: host.has_managed_save(domain)?,
        block_jobs,
    })
}

fn merge(ledger: &mut Option<Ledger>, copy: &Ledger) {
    ledger.get_or_insert_with(|| Ledger::empty(copy.domain)).merge(copy);
}

/// Reads names, current pointer and every snapshot; again from the start when one vanished in between.
fn read_tree(host: &dyn Host, domain: &DomainRef) -> host::Result<(SnapshotTree, Vec<SnapshotRef>)> {
    for _ in 0..ATTEMPTS {
        let mut refs = host.snapshots(domain)?;
        if refs.is_empty() {
            return Ok((SnapshotTree::default(), refs));
        }
        // libvirt lists them in no order. By name those of a series are by age, and what one has in common with the one before
        // it is not read again.
        refs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let current = host.current(domain)?.map(|current| current.name);
        match host.read_snapshots(domain, &refs) {
            Err(error) if error.class == ErrorClass::NotFound => {}
            Err(error) => return Err(error),
            Ok(snapshots) => {
                let tree = SnapshotTree::new(snapshots, current);
                if tree.current().is_none_or(|current| tree.get(current).is_some()) {
                    return Ok((tree, refs));
                }
            }
        }
    }
    Err(HostError::new(
        ErrorClass::Transient,
        format!("read the snapshots of domain {}", domain.name),
        "they change while they are being read; somebody else is at work on this domain",
    ))
}

fn probe_images(host: &dyn Host, disks: &[ObservedDisk]) -> BTreeMap<String, Vec<String>> {
    let probe = |disk: &ObservedDisk| match host.files().image_snapshots(disk) {
        Probe::Known(tags) => Some((disk.target.clone(), tags.into_iter().map(|tag| tag.name).collect())),
        Probe::Unknown(_) => None,
    };
    disks.iter().filter_map(probe).collect()
}

/// A hash of what a plan relies on. Not in it: the domain's `<metadata>`, which our own ledger writes change.
fn fingerprint(domain: &DomainRef, tree: &SnapshotTree, disks: &[ObservedDisk]) -> String {
    let mut hash = Sha256::new();
    // Each part is followed by its length, so that no two different states run together to the same bytes.
    let mut part = |bytes: &[u8]| {
        hash.update(bytes);
        hash.update((bytes.len() as u64).to_le_bytes());
    };
    part(domain.uuid.0.as_bytes());
    part(domain.name.as_bytes());
    part(domain.state.as_str().as_bytes());
    part(tree.current().map_or(&[][..], |name| name.as_str().as_bytes()));
    for snapshot in tree.iter() {
        part(snapshot.name.as_str().as_bytes());
        part(&snapshot.digest);
    }
    for disk in disks {
        part(disk.target.as_bytes());
        part(disk.source.as_deref().unwrap_or_default().as_bytes());
        // Whether and how a disk takes part in a capture hangs on these.
        [&disk.source_type, &disk.format, &disk.device].iter().for_each(|text| part(text.as_bytes()));
        part(&[u8::from(disk.readonly)]);
        part(disk.snapshot.as_deref().unwrap_or_default().as_bytes());
    }
    hex(&hash.finalize())
}
