//! Changes of records (`virDomainSnapshotCreateXML` with `REDEFINE`).

use snapward::host::RedefineRequest;
use snapward::model::names::SnapshotName;

use super::{Answer, Domain, Part, Record, World, failed, missing, refused};

impl World {
    /// Sends a record back with what the request changes.
    pub(crate) fn redefine(&mut self, name: &str, record: &Record, request: &RedefineRequest) -> Answer<()> {
        let domain = self.domain_mut(name)?;
        let mut record = record.clone();
        if let Some(description) = &request.description {
            record.description.clone_from(description);
        }
        if let Some(parent) = &request.parent {
            record.parent.clone_from(parent);
        }
        if let Some(overlays) = &request.revert_overlays {
            record.revert_disks.clone_from(overlays);
        }
        for merged in &request.merged {
            if record.disks.get(&merged.target) == Some(&Part::File(merged.from.clone())) {
                record.disks.insert(merged.target.clone(), Part::No);
            }
            for disk in record.definitions().filter_map(|definition| definition.disk_mut(&merged.target)) {
                if disk.source.as_ref() == Some(&merged.from) {
                    disk.source = Some(merged.into.clone());
                    disk.format.clone_from(&merged.format);
                }
            }
        }
        check_parent(domain, &record)?;
        match domain.snapshots.get(&record.name) {
            None if record.definition.is_none() => return refused("missing domain in snapshot"),
            Some(old) if (old.state == "shutoff") != (record.state == "shutoff") => {
                return refused("cannot change between online and offline snapshot state");
            }
            _ => {}
        }
        let key = record.name.clone();
        if domain.metadata_full {
            // What cannot be written is taken out of the list, also where it was there before (case X).
            domain.snapshots.remove(&key);
            if domain.current.as_ref() == Some(&key) {
                domain.current = None;
            }
            return failed("the metadata could not be written");
        }
        if request.make_current {
            // The one that is left forgets its revert overlays, also where it is the same (fact 4).
            if domain.current.as_ref() == Some(&key) {
                record.revert_disks.clear();
            }
            domain.snapshots.insert(key.clone(), record);
            domain.set_current(&key);
        } else {
            domain.snapshots.insert(key, record);
        }
        Ok(())
    }

    /// What `snapshot-edit --rename` does: a record of another name, and the old one forgotten.
    pub(crate) fn rename(&mut self, name: &str, from: &SnapshotName, to: &SnapshotName) -> Answer<()> {
        let record = self.domain(name)?.snapshots.get(from).ok_or_else(|| missing("such snapshot"))?;
        let renamed = Record { name: to.clone(), ..record.clone() };
        self.redefine(name, &renamed, &RedefineRequest::default())?;
        self.forget(name, from)
    }
}

fn check_parent(domain: &Domain, record: &Record) -> Answer<()> {
    let Some(parent) = &record.parent else { return Ok(()) };
    if *parent == record.name {
        return refused("cannot set snapshot as its own parent");
    }
    if !domain.snapshots.contains_key(parent) {
        return refused("its parent is not found");
    }
    match domain.ancestry(Some(parent)).iter().any(|above| above.name == record.name) {
        true => refused("it would create a cycle"),
        false => Ok(()),
    }
}
