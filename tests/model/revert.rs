//! Reverts (`qemuSnapshotRevert`).

use std::collections::BTreeMap;

use snapward::host::RevertRequest;
use snapward::model::kinds::Power;
use snapward::model::names::SnapshotName;
use snapward::model::observed::RunState;
use snapward::plan::chain::overlay_stem;

use super::{Answer, Definition, Part, Record, Refusal, Since, Why, World, failed, missing, refused};

impl World {
    pub(crate) fn revert(&mut self, name: &str, snapshot: &SnapshotName, request: RevertRequest) -> Answer<()> {
        let domain = self.domain(name)?;
        let record = domain.snapshots.get(snapshot).ok_or_else(|| missing("such snapshot"))?.clone();
        let Some(definition) = record.definition.clone() else {
            return refused("the snapshot has no definition of the domain");
        };
        let captured = match record.state.as_str() {
            "running" => RunState::Running,
            "paused" => RunState::Paused,
            _ => RunState::ShutOff,
        };
        let state = match request.power {
            Power::Running => RunState::Running,
            Power::Paused => RunState::Paused,
            Power::AsCaptured => captured,
        };
        if !state.is_active() && !domain.persistent {
            return refused("transient domain needs to request run or pause to revert to inactive snapshot");
        }
        if domain.managed_save && record.memory == Part::No && !request.force {
            return refused(
                "snapshot without memory state, removal of existing managed saved state strongly recommended",
            );
        }
        if record.is_external() {
            if domain.current.is_none() {
                return self.crash("a revert without a current snapshot");
            }
            let on_files =
                |disk: &snapward::model::observed::ObservedDisk| disk.is_empty_drive() || disk.source_type == "file";
            if !definition.disks.iter().all(on_files) {
                return refused("source disk for revert must be a file");
            }
        }
        // Everything else is looked at after QEMU was stopped (fact 6).
        if domain.state.is_active() {
            self.stop(name)?;
        }
        if record.is_external() {
            self.revert_external(name, &record, &definition, state)
        } else {
            self.revert_internal(name, &record, &definition, state)
        }
    }

    fn revert_external(&mut self, name: &str, record: &Record, definition: &Definition, state: RunState) -> Answer<()> {
        if let Part::File(memory) = &record.memory
            && state.is_active()
            && !self.storage.exists(memory)
        {
            return Err(Refusal { why: Why::System, text: "the memory image is not there".to_owned() });
        }
        let mut overlays = BTreeMap::new();
        for disk in definition.disks.iter().filter(|disk| !disk.is_empty_drive()) {
            let base = disk.source.clone().unwrap_or_default();
            let overlay = format!("{}.{}", overlay_stem(&base), self.now);
            if self.storage.exists(&overlay) || overlays.values().any(|(_, other)| *other == overlay) {
                return failed(format!("{overlay} already exists and is not a block device"));
            }
            overlays.insert(disk.target.clone(), (base, overlay));
        }
        if let Some((_, Err(why))) =
            overlays.values().map(|(base, _)| (base, self.storage.chain(base))).find(|(_, chain)| chain.is_err())
        {
            return failed(why);
        }
        let mut definition = definition.clone();
        for disk in &mut definition.disks {
            let Some((base, overlay)) = overlays.get(&disk.target) else { continue };
            self.storage.make(overlay, "qcow2", Some(base));
            disk.source = Some(overlay.clone());
            "qcow2".clone_into(&mut disk.format);
        }
        // With memory QEMU is started first; else what is no longer needed goes first, and then it may not start.
        let with_memory = record.memory != Part::No && state.is_active();
        if with_memory {
            self.enter(name, record, definition.clone(), state)?;
        }
        self.discard(name)?;
        let domain = self.domain_mut(name)?;
        let has_children = !domain.children(&record.name).is_empty();
        if let Some(target) = domain.snapshots.get_mut(&record.name) {
            let overlays = overlays.into_iter().map(|(target, (_, overlay))| (target, overlay));
            if has_children {
                target.revert_disks = overlays.collect();
            } else {
                target.revert_disks.clear();
                target.unfinished.clear();
                target.disks.extend(overlays.map(|(target, overlay)| (target, Part::File(overlay))));
            }
        }
        if !with_memory {
            self.enter(name, record, definition, state)?;
        }
        let domain = self.domain_mut(name)?;
        domain.set_current(&record.name);
        if state == RunState::Paused && record.memory != Part::No {
            domain.images_wait = Some(Since::Revert);
        }
        Ok(())
    }

    /// Unlinks the overlays of the current snapshot: a revert's where it has any, else its capture's.
    fn discard(&mut self, name: &str) -> Answer<()> {
        let domain = self.domain(name)?;
        let left = domain.current.as_ref().and_then(|current| domain.snapshots.get(current));
        let discarded: Vec<String> = match left {
            Some(left) if !left.revert_disks.is_empty() => left.revert_disks.values().cloned().collect(),
            Some(left) => left.overlays().map(|(_, path)| path.clone()).collect(),
            None => Vec::new(),
        };
        discarded.iter().for_each(|path| self.storage.unlink(path));
        Ok(())
    }

    fn revert_internal(&mut self, name: &str, record: &Record, definition: &Definition, state: RunState) -> Answer<()> {
        let held = definition.disks.iter().filter(|disk| record.disks.get(&disk.target) == Some(&Part::Internal));
        let images: Vec<String> = held.filter_map(|disk| disk.source.clone()).collect();
        let holds = |path: &String| self.storage.tagged(path, record.name.as_str()).is_ok();
        let whole = images.iter().all(holds);
        if record.memory == Part::Internal && state.is_active() && !whole {
            // QEMU is started on the old definition, and finds out.
            self.domain_mut(name)?.definition = definition.clone();
            return failed("an image does not hold it");
        }
        for path in &images {
            let Some(image) = self.storage.get_mut(path) else { continue };
            if let Some(tag) = image.tags.iter().find(|tag| tag.name == record.name.as_str()) {
                image.pages = tag.pages.clone();
            }
        }
        if !whole {
            return failed("an image does not hold it");
        }
        self.enter(name, record, definition.clone(), state)?;
        // The one that it leaves keeps what a revert made for it.
        self.domain_mut(name)?.current = Some(record.name.clone());
        Ok(())
    }

    /// Puts the definition in effect, and starts the domain where it shall be active.
    fn enter(&mut self, name: &str, record: &Record, definition: Definition, state: RunState) -> Answer<()> {
        let domain = self.domain_mut(name)?;
        domain.definition = definition;
        if let Some(inactive) = &record.inactive {
            // The stored definition comes back too, on the disks of the one in effect.
            domain.definition.ledger = domain.definition.ledger.clone().or_else(|| inactive.ledger.clone());
        }
        if !state.is_active() {
            return Ok(());
        }
        self.start(name, state).map_err(|refusal| Refusal { why: Why::System, ..refusal })
    }
}
