//! Captures (`qemuSnapshotCreate`).

use std::collections::{BTreeMap, BTreeSet};

use snapward::host::CreateRequest;
use snapward::model::kinds::{Content, DiskLocation, Location};
use snapward::model::names::SnapshotName;
use snapward::model::observed::{ObservedDisk, RunState};

use super::files::Tag;
use super::{Answer, Domain, Part, Record, Refusal, Since, Why, World, failed, refused};

/// libvirt's own metadata file of a snapshot cannot have a longer name.
const LONGEST_NAME: usize = 247;

/// A capture as libvirt is asked for it.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: SnapshotName,
    pub(crate) description: String,
    pub(crate) memory: Part,
    /// Of every disk of the domain.
    pub(crate) disks: BTreeMap<String, Part>,
    pub(crate) disk_only: bool,
    pub(crate) reuse: bool,
    pub(crate) halt: bool,
    pub(crate) no_metadata: bool,
}

impl Spec {
    /// What snapward sends for a request, to a domain that it saw active or not.
    pub(crate) fn of(request: &CreateRequest, active: bool) -> Self {
        let capture = &request.capture;
        let memory = match (&capture.memory, capture.location) {
            _ if !active || capture.content == Content::Disks => Part::No,
            (Some(memory), _) => Part::File(memory.file.clone()),
            (None, Location::Internal) => Part::Internal,
            (None, Location::External) => Part::No,
        };
        let part = |disk: &ObservedDisk| {
            let chosen = capture.disks.iter().find(|chosen| chosen.target == disk.target);
            let takes_part = !disk.readonly && !disk.is_empty_drive() && disk.snapshot.as_deref() != Some("no");
            let part = match (capture.location, chosen.and_then(|chosen| chosen.location)) {
                (Location::Internal, None) if takes_part => Part::Internal,
                (_, Some(DiskLocation::Internal)) => Part::Internal,
                (_, Some(DiskLocation::Manual)) => Part::Manual,
                (_, Some(DiskLocation::External)) => {
                    Part::File(chosen.and_then(|chosen| chosen.file.clone()).expect("snapward names every overlay"))
                }
                (_, Some(DiskLocation::No) | None) => Part::No,
            };
            (disk.target.clone(), part)
        };
        Self {
            name: request.name.clone(),
            description: request.description.clone(),
            memory,
            disks: request.disks.iter().map(part).collect(),
            disk_only: capture.location == Location::External && active && capture.content == Content::Disks,
            reuse: request.reuse,
            halt: request.act.halt,
            no_metadata: request.act.no_metadata,
        }
    }

    fn overlays(&self) -> impl Iterator<Item = (&String, &String)> {
        self.disks.iter().filter_map(|(target, part)| match part {
            Part::File(path) => Some((target, path)),
            _ => None,
        })
    }

    fn has(&self, wanted: &Part) -> bool {
        self.disks.values().any(|part| part == wanted)
    }
}

impl World {
    pub(crate) fn create(&mut self, name: &str, spec: &Spec) -> Answer<()> {
        let domain = self.domain(name)?;
        let external = spec.overlays().next().is_some() || matches!(spec.memory, Part::File(_));
        check(domain, spec, external)?;
        if external {
            self.check_files(name, spec)?;
        } else {
            self.check_tags(name, spec)?;
        }

        let domain = self.domain(name)?;
        let record = Record {
            name: spec.name.clone(),
            parent: domain.current.clone(),
            created: self.now,
            state: state_word(domain.state, spec).to_owned(),
            description: spec.description.clone(),
            memory: spec.memory.clone(),
            disks: spec.disks.clone(),
            unfinished: BTreeSet::new(),
            revert_disks: BTreeMap::new(),
            definition: Some(domain.definition.clone()),
            inactive: domain.stored.clone(),
        };
        if external {
            self.put_overlays(name, spec)?;
        } else {
            self.put_tags(name, spec)?;
        }

        let domain = self.domain_mut(name)?;
        if matches!(spec.memory, Part::File(_)) && domain.state == RunState::Paused {
            domain.images_wait = Some(Since::Capture);
        }
        if spec.has(&Part::Manual) && domain.state == RunState::Running {
            // libvirt leaves it so; the caller resumes it.
            domain.state = RunState::Paused;
        }
        if spec.name.as_str().len() > LONGEST_NAME {
            // The metadata file cannot be written, after everything else was done (case C).
            domain.current = None;
            return failed("the metadata could not be written");
        }
        if !spec.no_metadata {
            domain.snapshots.insert(spec.name.clone(), record);
            domain.set_current(&spec.name);
        }
        if spec.halt { self.stop(name) } else { Ok(()) }
    }

    /// What external captures need of files (`qemuSnapshotPrepareDiskExternal`).
    fn check_files(&self, name: &str, spec: &Spec) -> Answer<()> {
        let domain = self.domain(name)?;
        if domain.images_wait == Some(Since::Capture) && matches!(spec.memory, Part::File(_)) {
            return failed("Can't migrate the vm that was paused due to previous migration");
        }
        for (target, path) in spec.overlays() {
            match (self.storage.exists(path), spec.reuse) {
                (true, false) => return refused(format!("{path} already exists and is not a block device")),
                (false, true) => {
                    return Err(Refusal { why: Why::System, text: format!("missing existing file {path}") });
                }
                _ => {}
            }
            let Some(source) = domain.disk(target).and_then(|disk| disk.source.as_deref()) else {
                return refused(format!("no image to stand on for {target}"));
            };
            // qemu-img opens what the new image shall stand on; QEMU has it open.
            if !domain.state.is_active()
                && !spec.reuse
                && let Err(why) = self.storage.chain(source)
            {
                return failed(why);
            }
        }
        Ok(())
    }

    fn put_overlays(&mut self, name: &str, spec: &Spec) -> Answer<()> {
        if let Part::File(path) = &spec.memory {
            // Whatever was there is written over.
            self.storage.make(path, "raw", None);
        }
        for (target, path) in spec.overlays() {
            let source = self.domain(name)?.disk(target).and_then(|disk| disk.source.clone()).unwrap_or_default();
            if !spec.reuse {
                self.storage.make(path, "qcow2", Some(&source));
            }
            let domain = self.domain_mut(name)?;
            for disk in domain.definitions().filter_map(|definition| definition.disk_mut(target)) {
                disk.source = Some(path.clone());
                "qcow2".clone_into(&mut disk.format);
            }
            if let Some(open) = domain.open.get_mut(target) {
                // On the image that libvirt knows, whatever QEMU has above it.
                let at = open.iter().position(|image| *image == source).unwrap_or_default();
                open.insert(at, path.clone());
            }
        }
        Ok(())
    }

    /// QEMU refuses a name that an image has already; qemu-img makes a second one of it (2.8).
    fn check_tags(&self, name: &str, spec: &Spec) -> Answer<()> {
        let domain = self.domain(name)?;
        if domain.images_wait.is_some() {
            return failed("a device is writable but does not support snapshots");
        }
        for disk in domain.definition.disks.iter().filter(|disk| spec.disks.get(&disk.target) == Some(&Part::Internal))
        {
            let source = disk.source.as_deref().unwrap_or_default();
            if let Err(why) = self.storage.chain(source)
                && !domain.state.is_active()
            {
                return failed(why);
            }
            let taken = self
                .storage
                .get(source)
                .is_some_and(|image| image.tags.iter().any(|tag| tag.name == spec.name.as_str()));
            if taken && domain.state.is_active() {
                return failed("it already exists in one or more devices");
            }
        }
        Ok(())
    }

    fn put_tags(&mut self, name: &str, spec: &Spec) -> Answer<()> {
        let disks = self.domain(name)?.definition.disks.clone();
        let mut memory = spec.memory == Part::Internal;
        for disk in disks.iter().filter(|disk| spec.disks.get(&disk.target) == Some(&Part::Internal)) {
            let Some(image) = disk.source.as_deref().and_then(|source| self.storage.get_mut(source)) else { continue };
            let tag = Tag { name: spec.name.as_str().to_owned(), pages: image.pages.clone(), memory };
            image.tags.push(tag);
            // One image has the memory.
            memory = false;
        }
        Ok(())
    }
}

fn state_word(state: RunState, spec: &Spec) -> &'static str {
    match state {
        RunState::ShutOff => "shutoff",
        _ if spec.disk_only => "disk-snapshot",
        RunState::Running => "running",
        _ => "paused",
    }
}

/// What libvirt refuses before it touches anything (`virDomainSnapshotAlignDisks`, `qemuSnapshotPrepare`).
fn check(domain: &Domain, spec: &Spec, external: bool) -> Answer<()> {
    let active = domain.state.is_active();
    if domain.snapshots.contains_key(&spec.name) {
        return refused("a snapshot of this name exists");
    }
    if !active && spec.memory != Part::No {
        return refused("memory state cannot be saved with offline or disk-only snapshot");
    }
    if !active && spec.halt && !domain.persistent {
        return refused("cannot halt after transient domain snapshot");
    }
    let known = |target: &String| domain.disk(target).is_some();
    if let Some(target) = spec.disks.keys().find(|target| !known(target)) {
        return refused(format!("no disk named {target}"));
    }
    let internal = spec.has(&Part::Internal);
    if internal && external {
        return refused("mixing internal and external targets for a snapshot is not yet supported");
    }
    if internal && active && spec.memory != Part::Internal {
        return refused("internal snapshot of a running VM must include the memory state");
    }
    if spec.memory == Part::Internal && !internal {
        return refused("internal snapshot of memory without any disk");
    }
    if !internal && !external && !spec.has(&Part::Manual) {
        return refused("nothing selected for snapshot");
    }
    for disk in &domain.definition.disks {
        let part = spec.disks.get(&disk.target).unwrap_or(&Part::No);
        let writable = !disk.readonly && !disk.is_empty_drive();
        match part {
            Part::Internal if disk.format != "qcow2" => {
                return refused(format!("internal snapshot for disk {} unsupported", disk.target));
            }
            Part::File(_) if disk.readonly || disk.is_empty_drive() => {
                return refused(format!("disk {} takes no overlay", disk.target));
            }
            Part::No if internal && writable => {
                return refused("internal and full system snapshots require all disks to be selected");
            }
            _ => {}
        }
    }
    match domain.state {
        RunState::Running | RunState::Paused | RunState::ShutOff => Ok(()),
        _ => Err(Refusal { why: Why::Refused, text: "no snapshot in this state".to_owned() }),
    }
}
