//! Captures and deletions on domains with external snapshots: proven on a fresh read, and read back down to the images.

use std::collections::BTreeMap;

use super::quiesce::{self, Quiesced};
use super::{Done, Failure, Known, Pass, RUN_AGAIN, differs, merge, text};
use crate::host::{self, CreateRequest, ErrorClass, HostError, MergedDisk, RedefineRequest, SnapshotRef};
use crate::model::image::ImageState;
use crate::model::kinds::{Capture, Consistency, DiskLocation};
use crate::model::names::SnapshotName;
use crate::model::observed::{ObservedDomain, RunState};
use crate::model::plan::{Action, ImageMerge, View};
use crate::model::snapshot::{ObservedSnapshot, Storage};
use crate::model::stamp::{ConsistencyReached, join};
use crate::model::text::printable;
use crate::plan::chain::{Effect, Step};

impl Pass<'_> {
    pub(super) fn create_external(
        &mut self,
        after: &View,
        name: &SnapshotName,
        capture: Capture,
        fresh: &ObservedDomain,
    ) -> Result<Done, Failure> {
        if fresh.tree.has_external() {
            self.prove(fresh, Step::Create)?;
        }
        let reuse = after.reuse.unwrap_or(false);
        self.places_are_free(fresh, &capture, reuse)?;
        let request = CreateRequest {
            name: name.clone(),
            description: text(after, ""),
            capture,
            disks: fresh.disks.clone(),
            reuse,
            act: after.act,
        };
        let quiesced = self.quiesced(fresh, &request.capture, || self.host.create(&self.domain, &request))?;
        let made = match &quiesced.result {
            Ok(made) => made.clone(),
            Err(error) => {
                let mut failure = self.create_external_failed(name, &request.capture, error);
                if let Some(frozen) = &quiesced.still_frozen {
                    failure.text.push_str(&format!(". {frozen}"));
                }
                return Err(failure);
            }
        };
        let ended = self.created_external(after, &request, fresh, made, &quiesced);
        let Some(paused) = self.left_paused(fresh, &request) else { return ended };
        match ended {
            Ok(done) if done.text.is_empty() => Ok(Done { text: paused, ..done }),
            Ok(done) => Ok(Done { text: format!("{}. {paused}", done.text), ..done }),
            Err(failure) => Err(Failure { text: format!("{}. {paused}", failure.text), ..failure }),
        }
    }

    /// Reads a capture back, and notes it.
    fn created_external(
        &mut self,
        after: &View,
        request: &CreateRequest,
        fresh: &ObservedDomain,
        made: SnapshotRef,
        quiesced: &Quiesced<host::Result<SnapshotRef>>,
    ) -> Result<Done, Failure> {
        let images = overlays(&request.capture);
        if after.act.no_metadata {
            return match self.not_on(&images) {
                Some(wrong) => {
                    Err(Failure::new(format!("was captured, but reads back differently: {wrong}. {RUN_AGAIN}")))
                }
                None => Ok(Done { disks: images, ..Done::default() }),
            };
        }
        let mut read = self.read(&made, "was captured, but reading it back failed")?;
        let wrong = differs(&read, &request.description, Some(&fresh.tree.current().cloned()))
            .or_else(|| lacks(&read, &request.capture))
            .or_else(|| self.not_on(&images));
        if let Some(wrong) = wrong {
            return Err(Failure::new(format!(
                "was captured, but reads back differently: {wrong}. It is kept. {RUN_AGAIN}"
            )));
        }
        if let Some(guard) = &mut self.guard {
            guard.moved(&images);
        }
        let planned = read.description.stamp.as_ref().and_then(|stamp| stamp.consistency);
        if let Some(level) = quiesced.level.filter(|level| planned.is_some_and(|planned| planned != *level)) {
            let lines = quiesce::with_level(after.stamp.as_deref().unwrap_or_default(), level);
            let description = join(after.description.as_deref().unwrap_or_default(), &lines);
            let request = RedefineRequest { description: Some(description.clone()), ..RedefineRequest::default() };
            read = self.send_redefine(&made, &read, &request, &description)?;
        }
        self.made(made, &read)?;
        if let Some(frozen) = &quiesced.still_frozen {
            return Err(Failure { done: true, text: format!("was captured. {frozen}") });
        }
        let is_less = quiesced.level == Some(ConsistencyReached::Crash);
        if is_less && request.capture.consistency == Consistency::Filesystem {
            return Err(Failure { done: true, text: format!("was captured and is kept, but {}", quiesced.remark) });
        }
        Ok(Done { disks: images, text: quiesced.remark.clone() })
    }

    /// What is to be done for the guest that libvirt paused for its manual disks.
    fn left_paused(&self, fresh: &ObservedDomain, request: &CreateRequest) -> Option<String> {
        let manual = request.capture.disks.iter().filter(|disk| disk.location == Some(DiskLocation::Manual));
        let targets: Vec<_> = manual.map(|disk| printable(&disk.target)).collect();
        let paused = fresh.state == RunState::Running && !targets.is_empty() && !request.act.halt;
        paused.then(|| {
            let (uri, domain) = (printable(&self.info.uri), printable(&self.domain.name));
            format!(
                "THE GUEST IS PAUSED: capture {} where it is stored, then let the guest run on: virsh -c '{uri}' resume '{domain}'",
                targets.join(", ")
            )
        })
    }

    /// libvirt writes over a memory image that is there, and takes overlays that are there only where it is told to.
    fn places_are_free(&self, fresh: &ObservedDomain, capture: &Capture, reuse: bool) -> Result<(), Failure> {
        let refuse = |path: &str, what: &str| {
            Err(Failure::new(format!("the file {} {what}; nothing was captured. {RUN_AGAIN}", printable(path))))
        };
        let there = |path: &str| self.host.files().image(path, None).state;
        if let Some(memory) = &capture.memory
            && matches!(there(&memory.file), ImageState::Present(_))
        {
            return refuse(&memory.file, "is there by now");
        }
        for (target, path) in overlays(capture) {
            match (there(&path), reuse) {
                (ImageState::Present(_), false) => return refuse(&path, "is there by now"),
                (ImageState::Absent, true) => return refuse(&path, "is gone, which an interrupted capture had left"),
                (_, true) if !self.is_unused_leftover(fresh, &target, &path) => {
                    return refuse(&path, "is no unused leftover of an interrupted capture any more");
                }
                (ImageState::Present(_) | ImageState::Absent | ImageState::Unknown(_), _) => {}
            }
        }
        Ok(())
    }

    /// What a failed external capture left behind, files included.
    fn create_external_failed(&self, name: &SnapshotName, capture: &Capture, error: &HostError) -> Failure {
        let mut failure = self.create_failed(name, error);
        if error.class == ErrorClass::OutcomeUnknown {
            return failure;
        }
        let files = overlays(capture).into_values().chain(capture.memory.iter().map(|memory| memory.file.clone()));
        let left: Vec<_> = files
            .filter(|path| matches!(self.host.files().image(path, None).state, ImageState::Present(_)))
            .map(|path| printable(&path))
            .collect();
        if !left.is_empty() {
            failure.text.push_str(&format!(". It left {}", left.join(", ")));
        }
        // A capture with memory pauses the guest, and could leave it so.
        if let Ok(after) = self.look_again()
            && after.state != self.domain.state
        {
            let (was, is) = (self.domain.state.as_str(), after.state.as_str());
            failure.text.push_str(&format!(". The domain was {was} and is {is} now"));
        }
        failure
    }

    /// The first disk that is not on the image it should be on.
    fn not_on(&self, images: &BTreeMap<String, String>) -> Option<String> {
        let disks = match self.host.definition(&self.domain, false) {
            Ok(definition) => definition.disks,
            Err(error) => return Some(format!("the domain's disks could not be read ({error})")),
        };
        images.iter().find_map(|(target, image)| {
            let source = disks.iter().find(|disk| disk.target == *target).and_then(|disk| disk.source.as_deref());
            (source != Some(image)).then(|| {
                let (target, source) = (printable(target), source.map_or_else(|| "nothing".to_owned(), printable));
                format!("disk {target} is on {source} and not on {}", printable(image))
            })
        })
    }

    pub(super) fn delete_external(
        &mut self,
        action: &Action,
        name: &SnapshotName,
        fresh: &ObservedDomain,
    ) -> Result<Done, Failure> {
        let snapshot = self.reference(name)?;
        let Some(going) = fresh.tree.get(name) else {
            return Err(Failure::new(format!("it is not there any more; nothing was done. {RUN_AGAIN}")));
        };
        self.is_known(going)?;
        let effect = self.prove(fresh, Step::Delete(name))?;
        let planned = action.after.as_ref().and_then(|after| after.disks.clone()).unwrap_or_default();
        if planned != effect.disks {
            return Err(Failure::new(format!(
                "the disks would end on other images than the plan says; nothing was done. {RUN_AGAIN}"
            )));
        }
        let merged = merged_before(fresh, going, &effect);
        if !merged.is_empty() {
            self.record_merged(fresh, going, merged)?;
            let fresh = self.fresh(action)?;
            return self.delete_external(action, name, &fresh);
        }
        let targets: Vec<&str> = effect.merges.iter().map(|merge| merge.target.as_str()).collect();
        let (host, domain, progress) = (self.host, &self.domain, self.progress);
        let tell = |done, total| progress.merged(action, done, total);
        let deleted = merge::watched(host, domain, &targets, tell, || host.delete(domain, &snapshot));
        if let Err(error) = deleted
            && error.class != ErrorClass::NotFound
        {
            return Err(self.delete_failed(name, fresh, &effect, &error));
        }
        let after = self.look_again().map_err(|error| {
            Failure::new(format!("was deleted, but the domain could not be read afterwards ({error}). {RUN_AGAIN}"))
        })?;
        if let Some(wrong) = self.wrong_after(fresh, &after, going, &effect) {
            let text = format!("was deleted, but reads back differently: {wrong}. {RUN_AGAIN}");
            return Err(Failure::new(text));
        }
        if let Some(guard) = &mut self.guard {
            guard.moved(&effect.disks);
        }
        for snapshot in after.tree.iter() {
            self.known.insert(snapshot.name.clone(), Known::from(snapshot));
        }
        self.gone(action, name, going.created)?;
        Ok(Done { text: still_there(&after, &effect), disks: effect.disks })
    }

    /// Brings libvirt's records up to what a deletion that failed halfway did to the images: with the overlay of a merged
    /// disk in them, libvirt refuses the same deletion for ever. The snapshot that goes comes last: until then the next run
    /// finds the same state.
    fn record_merged(
        &self,
        fresh: &ObservedDomain,
        going: &ObservedSnapshot,
        merged: Vec<MergedDisk>,
    ) -> Result<(), Failure> {
        let froze = |snapshot: &&ObservedSnapshot| {
            let bases = snapshot.files.as_deref().map(|files| &files.bases);
            bases.is_some_and(|bases| merged.iter().any(|disk| bases.get(&disk.target) == Some(&disk.from)))
        };
        let above: Vec<_> = fresh.tree.iter().filter(froze).map(|snapshot| snapshot.name.clone()).collect();
        let request = RedefineRequest { merged, ..RedefineRequest::default() };
        for name in above.iter().chain([&going.name]) {
            let snapshot = self.reference(name)?;
            let failed = |error: HostError| {
                Failure::new(format!(
                    "an earlier deletion merged some of its disks, and the records of {name} could not be brought up to \
                     that ({error}); nothing else was done. {RUN_AGAIN}"
                ))
            };
            let xml = self.host.snapshot_secure(&self.domain, &snapshot).map_err(failed)?;
            self.host.redefine(&self.domain, &xml, &request).map_err(failed)?;
        }
        Ok(())
    }

    /// What is not as the proof said it would be.
    fn wrong_after(
        &self,
        before: &ObservedDomain,
        after: &ObservedDomain,
        gone: &ObservedSnapshot,
        effect: &Effect,
    ) -> Option<String> {
        if after.tree.get(&gone.name).is_some() {
            return Some("libvirt still lists it".to_owned());
        }
        let word = |name: Option<&SnapshotName>| name.map_or_else(|| "none".to_owned(), ToString::to_string);
        let current = before.tree.current().filter(|current| **current != gone.name).or(gone.parent.as_ref());
        if after.tree.current() != current {
            return Some(format!("the current snapshot is {} and not {}", word(after.tree.current()), word(current)));
        }
        for old in before.tree.iter().filter(|old| old.name != gone.name) {
            let parent = old.parent.as_ref().filter(|parent| **parent != gone.name);
            let parent = if old.parent.as_ref() == Some(&gone.name) { gone.parent.as_ref() } else { parent };
            match after.tree.get(&old.name) {
                None => return Some(format!("libvirt no longer lists {} either", old.name)),
                Some(new) if new.parent.as_ref() != parent => {
                    let (is, not) = (word(new.parent.as_ref()), word(parent));
                    return Some(format!("the parent of {} is {is} and not {not}", old.name));
                }
                Some(_) => {}
            }
        }
        for disk in &before.disks {
            let wanted = effect.disks.get(&disk.target).or(disk.source.as_ref());
            let now = after.disks.iter().find(|now| now.target == disk.target).and_then(|now| now.source.as_ref());
            if now != wanted {
                let shown = |path: Option<&String>| path.map_or_else(|| "nothing".to_owned(), |path| printable(path));
                let target = printable(&disk.target);
                return Some(format!("disk {target} is on {} and not on {}", shown(now), shown(wanted)));
            }
        }
        if after.state != before.state {
            return Some(format!("the domain was {} and is {}", before.state.as_str(), after.state.as_str()));
        }
        self.not_whole(after)
    }

    /// What stands after a deletion that failed.
    fn delete_failed(
        &self,
        name: &SnapshotName,
        before: &ObservedDomain,
        effect: &Effect,
        error: &HostError,
    ) -> Failure {
        if error.class == ErrorClass::OutcomeUnknown {
            return Failure::new(format!(
                "{error}. A merge that libvirt was at is broken off where libvirt itself ended, and nothing is lost by \
                 that. {RUN_AGAIN}"
            ));
        }
        let Ok(after) = self.look_again() else {
            return Failure::new(format!("{error}. The domain could not be read afterwards. {RUN_AGAIN}"));
        };
        let mut stands = Vec::new();
        match after.tree.get(name) {
            None => stands.push("libvirt no longer lists it".to_owned()),
            Some(_) if effect.merges.is_empty() => stands.push("libvirt still lists it".to_owned()),
            Some(_) => stands.extend(effect.merges.iter().map(|merge| merge_stands(&after, merge))),
        }
        let marked = after
            .tree
            .iter()
            .find(|snapshot| snapshot.files.as_deref().is_some_and(|files| !files.unfinished.is_empty()));
        if let Some(marked) = marked {
            stands.push(format!(
                "libvirt marked {} as the target of an unfinished merge, and deletes it only after {name} is gone",
                marked.name
            ));
        }
        if after.state != before.state {
            stands.push(format!("the domain was {} and is {}", before.state.as_str(), after.state.as_str()));
        }
        if after.tree.get(name).is_some() && !effect.merges.is_empty() {
            // The data goes into the image that it froze, disk by disk, before libvirt's records follow.
            stands.push("what it captured may be overwritten in part, so do not revert to it".to_owned());
        }
        Failure::new(format!("{error}. {}. {RUN_AGAIN}: the next run goes on from there", stands.join("; ")))
    }
}

/// The overlays of a capture, by disk target.
fn overlays(capture: &Capture) -> BTreeMap<String, String> {
    capture.disks.iter().filter_map(|disk| Some((disk.target.clone(), disk.file.clone()?))).collect()
}

/// What an external capture should hold and does not.
fn lacks(read: &ObservedSnapshot, capture: &Capture) -> Option<String> {
    let files = read.files.as_deref();
    let memory = capture.memory.as_ref().map(|memory| memory.file.as_str());
    if files.and_then(|files| files.memory.as_deref()) != memory {
        return Some("its memory is not where it should be".to_owned());
    }
    let wanted = overlays(capture);
    for (target, storage) in read.disks.iter() {
        if (*storage == Storage::External) != wanted.contains_key(target) {
            return Some(format!("disk {} is not captured as it should be", printable(target)));
        }
    }
    let wrong = wanted.iter().find(|(target, path)| files.and_then(|files| files.overlays.get(*target)) != Some(path));
    wrong.map(|(target, _)| format!("the overlay of disk {} is another", printable(target)))
}

/// The disks of a snapshot in the chain in use that an earlier deletion of it merged: the overlay is gone, and the proof
/// found the chain to be whole without it.
fn merged_before(fresh: &ObservedDomain, going: &ObservedSnapshot, effect: &Effect) -> Vec<MergedDisk> {
    let in_use = fresh.tree.current().is_some_and(|current| fresh.tree.is_within(current, &going.name));
    let Some(files) = going.files.as_deref().filter(|_| in_use) else { return Vec::new() };
    let left = files.overlays.keys().filter(|target| !effect.merges.iter().any(|merge| merge.target == **target));
    left.filter_map(|target| {
        let (from, into) = (files.overlay(target)?, files.bases.get(target)?);
        let gone = fresh.files.image(from) == ImageState::Absent;
        let format = files.formats.get(into)?;
        gone.then(|| MergedDisk {
            target: target.clone(),
            from: from.to_owned(),
            into: into.clone(),
            format: format.clone(),
        })
    })
    .collect()
}

/// Whether a merge is through. libvirt removes the overlay when it is.
fn merge_stands(after: &ObservedDomain, merge: &ImageMerge) -> String {
    let disk = after.disks.iter().find(|disk| disk.target == merge.target);
    let in_chain = disk.and_then(|disk| Some((disk.source.as_ref()?, disk.backing.as_ref()?)));
    let in_chain = in_chain.map(|(active, below)| *active == merge.from || below.contains(&merge.from));
    let merged = match after.files.image(&merge.from) {
        ImageState::Absent => Some(true),
        ImageState::Present(_) => Some(false),
        ImageState::Unknown(_) => in_chain.map(|there| !there),
    };
    let (target, from, into) = (printable(&merge.target), printable(&merge.from), printable(&merge.into));
    match merged {
        Some(true) => format!("disk {target}: {from} is merged into {into}"),
        Some(false) => format!("disk {target}: {from} is not merged"),
        None => format!("disk {target}: whether {from} is merged cannot be seen from here"),
    }
}

/// A remark on files that libvirt should have removed: it only warns in its log where it cannot.
fn still_there(after: &ObservedDomain, effect: &Effect) -> String {
    let left = effect.unlinks.iter().filter(|path| after.files.is_present(path)).map(|path| printable(path));
    match left.collect::<Vec<_>>() {
        left if left.is_empty() => String::new(),
        left => format!("libvirt left {}, which nothing needs any more", left.join(", ")),
    }
}
