//! A domain with external snapshots as libvirt would have made them, and ways to spoil it.

use std::collections::BTreeMap;

use crate::model::image::{Backing, DomainFiles, FileId, Image, ImageState};
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::observed::{Agent, Nvram, ObservedDisk, ObservedDomain, RevertFacts, RunState};
use crate::model::snapshot::{KeptDefinition, ObservedSnapshot, SnapshotFiles, Storage};
use crate::model::stamp::Description;
use crate::model::tree::SnapshotTree;

pub(in crate::plan) fn name(text: &str) -> SnapshotName {
    SnapshotName::observed(text)
}

/// A domain that is off, its images in `/i/`, with snapshots as libvirt would have made them.
#[derive(Clone)]
pub(in crate::plan) struct World {
    pub(in crate::plan) snapshots: Vec<ObservedSnapshot>,
    pub(in crate::plan) current: Option<String>,
    pub(in crate::plan) disks: BTreeMap<String, String>,
    pub(in crate::plan) images: BTreeMap<String, ImageState>,
    pub(in crate::plan) made: u64,
}

impl World {
    pub(in crate::plan) fn new(targets: &[&str]) -> Self {
        let mut world =
            Self { snapshots: Vec::new(), current: None, disks: BTreeMap::new(), images: BTreeMap::new(), made: 0 };
        for target in targets {
            let base = format!("/i/{target}");
            world.image(&base, Backing::None);
            world.disks.insert((*target).to_owned(), base);
        }
        world
    }

    /// One disk `vda`, and a line of captures.
    pub(in crate::plan) fn line(names: &[&str]) -> Self {
        names.iter().fold(Self::new(&["vda"]), |world, name| world.capture(name))
    }

    pub(in crate::plan) fn image(&mut self, path: &str, backing: Backing) {
        self.made += 1;
        let image =
            Image { id: FileId { device: 1, inode: self.made }, backing, allocated: 1000, empty: false, open: false };
        self.images.insert(path.to_owned(), ImageState::Present(image));
    }

    /// Captures all disks: overlay `/i/vda.NAME`.
    pub(in crate::plan) fn capture(self, name: &str) -> Self {
        let targets: Vec<String> = self.disks.keys().cloned().collect();
        self.capture_some(name, &targets.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(in crate::plan) fn capture_some(mut self, text: &str, targets: &[&str]) -> Self {
        let mut files = SnapshotFiles { bases: self.disks.clone(), ..SnapshotFiles::default() };
        for target in targets {
            let overlay = format!("/i/{target}.{text}");
            self.image(&overlay, Backing::File(self.disks[*target].clone()));
            files.overlays.insert((*target).to_owned(), overlay.clone());
            self.disks.insert((*target).to_owned(), overlay);
        }
        let definition = KeptDefinition { disks: self.frozen_disks(&files.bases), memory_kib: None };
        self.forget_revert();
        self.snapshots.push(ObservedSnapshot {
            name: name(text),
            parent: self.current.as_deref().map(name),
            created: self.snapshots.len() as i64,
            state: "shutoff".into(),
            description: Description::parse(""),
            memory: Storage::No,
            disks: targets.iter().map(|target| ((*target).to_owned(), Storage::External)).collect(),
            files: Some(Box::new(files)),
            definition: Some(definition.into()),
            ledger: None,
            digest: [0; 32],
        });
        self.current = Some(text.to_owned());
        self
    }

    pub(in crate::plan) fn files(&mut self, text: &str) -> &mut SnapshotFiles {
        let snapshot = self.snapshots.iter_mut().find(|s| s.name == name(text)).expect("captured");
        snapshot.files.as_deref_mut().expect("external")
    }

    pub(in crate::plan) fn forget_revert(&mut self) {
        if let Some(old) = self.current.clone() {
            self.files(&old).revert_overlays.clear();
        }
    }

    /// What libvirt does on a revert: a new overlay on what the snapshot froze, the current one's overlays unlinked.
    pub(in crate::plan) fn revert(mut self, to: &str) -> Self {
        let has_children = self.snapshots.iter().any(|s| s.parent == Some(name(to)));
        let old = self.current.clone().expect("a current one");
        let gone: Vec<String> = self.disks.values().cloned().collect();
        for (target, base) in self.files(to).bases.clone() {
            let stem = base.rfind('.').map_or(base.as_str(), |dot| &base[..dot]);
            let overlay = format!("{stem}.{}", 1_000_000 + self.made);
            self.image(&overlay, Backing::File(base));
            let files = self.files(to);
            let place = if has_children { &mut files.revert_overlays } else { &mut files.overlays };
            place.insert(target.clone(), overlay.clone());
            self.disks.insert(target, overlay);
        }
        for path in gone {
            self.images.insert(path, ImageState::Absent);
        }
        if old != to {
            self.files(&old).revert_overlays.clear();
        }
        self.current = Some(to.to_owned());
        self
    }

    pub(in crate::plan) fn pointing_at(mut self, text: Option<&str>) -> Self {
        self.current = text.map(str::to_owned);
        self
    }

    pub(in crate::plan) fn under(mut self, child: &str, parent: &str) -> Self {
        let child = self.snapshots.iter_mut().find(|s| s.name == name(child)).expect("captured");
        child.parent = Some(name(parent));
        self
    }

    pub(in crate::plan) fn without_image(mut self, path: &str) -> Self {
        self.images.insert(path.to_owned(), ImageState::Absent);
        self
    }

    pub(in crate::plan) fn unreadable(mut self, path: &str) -> Self {
        self.images.insert(path.to_owned(), ImageState::Unknown("permission denied".into()));
        self
    }

    pub(in crate::plan) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn frozen_disks(&self, images: &BTreeMap<String, String>) -> Vec<ObservedDisk> {
        let disk = |(target, source): (&String, &String)| ObservedDisk {
            target: target.clone(),
            source_type: "file".into(),
            source: Some(source.clone()),
            format: "qcow2".into(),
            device: "disk".into(),
            readonly: false,
            snapshot: None,
            backing: None,
        };
        images.iter().map(disk).collect()
    }

    pub(in crate::plan) fn domain(self) -> ObservedDomain {
        let disks = self.frozen_disks(&self.disks);
        ObservedDomain {
            uuid: DomainUuid(uuid::Uuid::nil()),
            name: "vm".into(),
            state: RunState::ShutOff,
            disks,
            nvram: Nvram::None,
            tree: SnapshotTree::new(self.snapshots, self.current.as_deref().map(name)),
            ledger: None,
            ledger_is_current: false,
            image_snapshots: BTreeMap::new(),
            files: DomainFiles { images: self.images, ..DomainFiles::default() },
            memory_kib: None,
            agent: Agent::None,
            revert: Some(RevertFacts { persistent: true, ..RevertFacts::default() }),
            next_sources: BTreeMap::new(),
            fingerprint: "f".into(),
        }
    }
}
