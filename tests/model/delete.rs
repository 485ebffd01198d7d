//! Deletions (`qemuSnapshotDelete`).

use snapward::model::names::SnapshotName;

use super::{Answer, Domain, Part, Record, World, failed, missing, refused};

/// A disk of which an overlay is merged into the image below it.
struct Merge {
    target: String,
    overlay: String,
    base: String,
}

impl World {
    /// Deletes one snapshot and what it captured.
    pub(crate) fn delete(&mut self, name: &str, snapshot: &SnapshotName) -> Answer<()> {
        let domain = self.domain(name)?;
        let record = domain.snapshots.get(snapshot).ok_or_else(|| missing("such snapshot"))?.clone();
        if record.is_external() { self.delete_external(name, &record) } else { self.delete_internal(name, &record) }
    }

    /// Drops libvirt's record and nothing else.
    pub(crate) fn forget(&mut self, name: &str, snapshot: &SnapshotName) -> Answer<()> {
        let domain = self.domain_mut(name)?;
        if !domain.snapshots.contains_key(snapshot) {
            return Err(missing("such snapshot"));
        }
        domain.remove(snapshot);
        Ok(())
    }

    fn delete_internal(&mut self, name: &str, record: &Record) -> Answer<()> {
        let domain = self.domain(name)?;
        let definition = record.definition.as_ref().unwrap_or(&domain.definition);
        let held = definition.disks.iter().filter(|disk| record.disks.get(&disk.target) == Some(&Part::Internal));
        let mut images = Vec::new();
        for disk in held {
            let source = disk.source.clone().unwrap_or_default();
            if domain.state.is_active() {
                match domain.disk(&disk.target).and_then(|now| now.source.as_ref()) {
                    Some(now) if *now == source => {}
                    Some(_) => return refused("its disk image is not the one currently used by the VM"),
                    None => continue,
                }
            }
            images.push(source);
        }
        for path in images {
            // A failure is ignored, and the record goes all the same.
            let Some(image) = self.storage.get_mut(&path) else { continue };
            if let Some(at) = image.tags.iter().position(|tag| tag.name == record.name.as_str()) {
                image.tags.remove(at);
            }
        }
        self.domain_mut(name)?.remove(&record.name);
        Ok(())
    }

    fn delete_external(&mut self, name: &str, record: &Record) -> Answer<()> {
        let domain = self.domain(name)?;
        let snapshot = &record.name;
        let children = domain.children(snapshot);
        let is_current = domain.current.as_ref() == Some(snapshot);
        let in_use = domain.path().iter().any(|on_path| on_path.name == *snapshot);
        if is_current && !children.is_empty() {
            return refused("deletion of active external snapshot that is not a leaf snapshot is not supported");
        }
        if !children.is_empty() && !in_use {
            return refused("deletion of non-leaf external snapshot that is not in active chain is not supported");
        }
        if children.len() > 1 {
            return refused("deletion of external disk snapshots with multiple children is not supported");
        }
        if !record.unfinished.is_empty() {
            return refused("its disk was target of a not completed snapshot delete");
        }
        if !is_current && children.is_empty() {
            let mut unlinked = Vec::new();
            for (target, _) in record.overlays() {
                let above_external = parent_of_disk(domain, record, target).is_some_and(Record::is_external);
                let base = record.definition.as_ref().and_then(|definition| definition.source(target));
                unlinked.extend(base.filter(|_| above_external).map(str::to_owned));
            }
            return self.finish_delete(name, record, &unlinked);
        }
        let merges = self.merges(name, record)?;
        let path: Vec<_> = domain.path().iter().map(|on_path| &on_path.name).collect();
        let dead = domain.snapshots.keys().any(|other| domain.is_below(other, snapshot) && !path.contains(&other));
        if dead {
            return self.crash("merging above a dead branch (qemuSnapshotDiskHasBackingDisk)");
        }
        if domain.images_wait.is_some() {
            // The first disk's merge does not begin, and its mark stays.
            if let Some(merge) = merges.first() {
                self.mark(name, record, &merge.target, true);
            }
            return failed("Inactive images can't be a backing child of an active one");
        }
        for merge in &merges {
            self.merge(name, record, merge)?;
            self.mark(name, record, &merge.target, false);
        }
        self.finish_delete(name, record, &[])
    }

    /// What would be merged, or why it cannot be (`qemuSnapshotDeleteExternalPrepare`).
    fn merges(&self, name: &str, record: &Record) -> Answer<Vec<Merge>> {
        let domain = self.domain(name)?;
        // For one that is off libvirt starts a QEMU, paused.
        let open = if domain.state.is_active() { domain.open.clone() } else { self.open(name)? };
        let mut merges = Vec::new();
        for (target, _) in record.overlays() {
            if parent_of_disk(domain, record, target).is_some_and(|parent| !parent.is_external()) {
                return refused("deleting external snapshot that has internal snapshot as parent not supported");
            }
            let Some(overlay) = overlay_above(domain, record, target) else {
                return refused("no image above it");
            };
            let chain = open.get(target).cloned().unwrap_or_default();
            let Some(at) = chain.iter().position(|image| *image == overlay) else {
                return refused(format!("{overlay} is not in the chain of {target}"));
            };
            let base = record.definition.as_ref().and_then(|definition| definition.source(target));
            match (chain.get(at + 1), base) {
                (Some(below), Some(base)) if below == base => {
                    merges.push(Merge { target: target.clone(), overlay, base: base.to_owned() });
                }
                _ => return refused("snapshot VM disk source and parent disk source are not the same"),
            }
        }
        Ok(merges)
    }

    /// Marks a disk of the snapshot that is merged into, or takes the mark away.
    fn mark(&mut self, name: &str, record: &Record, target: &str, unfinished: bool) {
        let Some(domain) = self.domains.get_mut(name) else { return };
        let parent = parent_of_disk(domain, record, target).map(|parent| parent.name.clone());
        let Some(parent) = parent.and_then(|parent| domain.snapshots.get_mut(&parent)) else { return };
        if unfinished {
            parent.unfinished.insert(target.to_owned());
        } else {
            parent.unfinished.remove(target);
        }
    }

    fn merge(&mut self, name: &str, record: &Record, merge: &Merge) -> Answer<()> {
        let Merge { target, overlay, base } = merge;
        let pages = self.storage.get(overlay).map(|image| image.pages.clone()).unwrap_or_default();
        // QEMU opens what it merges into anew, by its path.
        self.replaced.remove(base);
        let Some(image) = self.storage.get_mut(base) else { return failed("the image below is not there") };
        image.pages.extend(pages);
        let format = image.format.clone();
        // The image right above in the chain gets the new name in its header; no other one does.
        let chain = match self.domain(name)?.open.get(target) {
            Some(open) => open.clone(),
            None => self
                .domain(name)?
                .disk(target)
                .and_then(|disk| self.storage.chain(disk.source.as_deref()?).ok())
                .unwrap_or_default(),
        };
        let at = chain.iter().position(|image| image == overlay).unwrap_or_default();
        if let Some(above) = at.checked_sub(1).and_then(|at| self.storage.get_mut(&chain[at])) {
            above.backing = Some(base.clone());
        }
        self.storage.unlink(overlay);
        let domain = self.domain_mut(name)?;
        if let Some(open) = domain.open.get_mut(target) {
            open.retain(|image| image != overlay);
        }
        let renamed = |disk: &mut snapward::model::observed::ObservedDisk| {
            if disk.source.as_ref() == Some(overlay) {
                disk.source = Some(base.clone());
                disk.format.clone_from(&format);
            }
        };
        domain.definitions().filter_map(|definition| definition.disk_mut(target)).for_each(renamed);
        let below =
            domain.snapshots.values().filter(|other| other.is_external() && domain.is_below(&other.name, &record.name));
        let below: Vec<_> = below.map(|other| other.name.clone()).collect();
        for other in below {
            let Some(other) = domain.snapshots.get_mut(&other) else { continue };
            other.definitions().filter_map(|definition| definition.disk_mut(target)).for_each(renamed);
        }
        Ok(())
    }

    fn finish_delete(&mut self, name: &str, record: &Record, unlinked: &[String]) -> Answer<()> {
        unlinked.iter().for_each(|path| self.storage.unlink(path));
        if let Part::File(memory) = &record.memory {
            self.storage.unlink(memory);
        }
        self.domain_mut(name)?.remove(&record.name);
        Ok(())
    }
}

/// The nearest ancestor that captured a disk (`qemuSnapshotFindParentSnapForDisk`).
fn parent_of_disk<'d>(domain: &'d Domain, record: &Record, target: &str) -> Option<&'d Record> {
    let above = domain.ancestry(record.parent.as_ref());
    above.into_iter().find(|above| above.disks.get(target).is_some_and(|part| *part != Part::No))
}

/// The image that took what was written after a snapshot of the chain in use: the active one, or what the next snapshot
/// froze.
fn overlay_above(domain: &Domain, record: &Record, target: &str) -> Option<String> {
    let path = domain.path();
    let at = path.iter().position(|on_path| on_path.name == record.name)?;
    let definition = at.checked_sub(1).map_or(Some(&domain.definition), |child| path[child].definition.as_ref());
    definition?.source(target).map(str::to_owned)
}
