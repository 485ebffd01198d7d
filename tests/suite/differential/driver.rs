//! The real side: a domain on the embedded driver, and what stands after each call.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use snapward::host::{DomainRef, Host, HostError};
use snapward::model::names::SnapshotName;
use snapward::model::observed::{ObservedDisk, RunState};
use snapward::model::snapshot::{ObservedSnapshot, Storage};

use super::model::Pages;
use super::op::Op;
use super::qcow2::{self, FILLED, PAGE};
use crate::support::embed::EmbedRoot;
use crate::support::gate::wait_until;
use crate::support::guest::Guest;
use crate::support::lab::clock;
use crate::support::monitor::{self, Monitor};
use crate::support::tools;

/// What a disk holds: the number that was written last to each page.
pub(super) type Held = BTreeMap<String, Result<Vec<u8>, ()>>;

/// What is compared after each call.
#[derive(Debug, PartialEq)]
pub(super) struct Stand {
    pub(super) state: RunState,
    pub(super) disks: Vec<ObservedDisk>,
    pub(super) ledger: Option<snapward::model::ledger::Ledger>,
    pub(super) current: Option<SnapshotName>,
    pub(super) snapshots: BTreeMap<SnapshotName, ObservedSnapshot>,
    pub(super) held: BTreeMap<SnapshotName, Held>,
    pub(super) content: Held,
    pub(super) tags: BTreeMap<String, Vec<String>>,
    pub(super) files: Vec<String>,
}

/// Reads what both sides say alike.
pub(super) fn stand(
    host: &dyn Host,
    domain: &DomainRef,
    files: Vec<String>,
    content: impl Fn(&str, Option<&str>) -> Result<Vec<u8>, String>,
) -> Stand {
    let definition = host.definition(domain, false).expect("read");
    let read = |listed: snapward::host::SnapshotRef| {
        let mut read = host.snapshot(domain, &listed).expect("read");
        (read.created, read.digest) = (0, [0; 32]);
        // Not to be told from its XML, and of no use there: the chain that libvirt knew.
        let kept = read.definition.iter_mut().flat_map(|definition| &mut definition.disks);
        kept.for_each(|disk| disk.backing = None);
        (listed.name, read)
    };
    let snapshots: BTreeMap<_, _> = host.snapshots(domain).expect("listed").into_iter().map(read).collect();
    let held = |snapshot: &ObservedSnapshot| -> Held {
        let kept = snapshot.definition.iter().flat_map(|definition| &definition.disks);
        let held = |disk: &ObservedDisk| {
            let tag = match snapshot.disks.get(&disk.target)? {
                Storage::Internal => Some(snapshot.name.as_str()),
                Storage::External => None,
                Storage::No | Storage::Manual => return None,
            };
            Some((disk.target.clone(), content(disk.source.as_deref()?, tag).map_err(drop)))
        };
        kept.filter_map(held).collect()
    };
    let tags = definition.disks.iter().filter(|disk| disk.format == "qcow2").map(|disk| {
        let tags = match host.files().image_snapshots(disk) {
            snapward::host::Probe::Known(tags) => tags.into_iter().map(|tag| tag.name).collect(),
            snapward::host::Probe::Unknown(_) => Vec::new(),
        };
        (disk.target.clone(), tags)
    });
    let now = |disk: &ObservedDisk| Some((disk.target.clone(), content(disk.source.as_deref()?, None).map_err(drop)));
    Stand {
        state: domain.state,
        ledger: definition.ledger.clone(),
        current: host.current(domain).expect("read").map(|current| current.name),
        held: snapshots.iter().map(|(name, snapshot)| (name.clone(), held(snapshot))).collect(),
        content: definition.disks.iter().filter_map(now).collect(),
        tags: tags.collect(),
        disks: definition.disks,
        snapshots,
        files,
    }
}

/// The pages of the model as bytes.
pub(super) fn bytes(pages: &Pages) -> Vec<u8> {
    let byte = |page| pages.get(&page).map_or(0, |number| u8::try_from(*number).expect("few writes"));
    (0..qcow2::PAGES).map(byte).collect()
}

/// One domain on the real driver.
pub(super) struct Driver<'a> {
    root: &'a EmbedRoot,
    host: Arc<dyn Host>,
    guest: Guest<'a>,
    name: String,
    targets: Vec<&'static str>,
    monitor: Option<Monitor>,
}

impl<'a> Driver<'a> {
    pub(super) fn define(
        root: &'a EmbedRoot,
        host: &Arc<dyn Host>,
        name: &str,
        disks: &[(&'static str, &'static str)],
    ) -> Self {
        let socket = root.path().join(format!("{name}.qmp"));
        let guest = root.guest(name).head(&monitor::xml(&socket));
        let guest = disks.iter().fold(guest, |guest, (target, format)| guest.disk(target, format, "1M")).define();
        let targets = disks.iter().map(|(target, _)| *target).collect();
        Self { root, host: Arc::clone(host), guest, name: name.to_owned(), targets, monitor: None }
    }

    pub(super) fn listed(&self) -> DomainRef {
        self.guest.listed(self.host.as_ref())
    }

    /// The path of a disk's first image.
    pub(super) fn image(&self, target: &str, format: &str) -> String {
        tools::text(&self.guest.image(target, format)).to_owned()
    }

    pub(super) fn act(&mut self, op: &Op, number: u32) -> Result<(), HostError> {
        let domain = self.listed();
        if let Op::Revert(..) = op {
            self.wait_for_a_free_second();
        }
        if let Some(done) = op.call(self.host.as_ref(), &domain) {
            if !self.listed().state.is_active() || matches!(op, Op::Revert(..)) {
                self.monitor = None;
            }
            return done;
        }
        let other = |text: String| HostError::new(snapward::host::ErrorClass::Refused, op.word(), text);
        match op {
            Op::Start => self.guest.try_start_paused().map_err(other),
            Op::Stop => {
                self.monitor = None;
                self.guest.try_destroy().map_err(other)
            }
            Op::LoseMemory(name) => {
                let snapshots = self.host.snapshots(&domain).expect("listed");
                let listed = snapshots.iter().find(|listed| listed.name == *name).expect("listed");
                let read = self.host.snapshot(&domain, listed).expect("read");
                if let Some(memory) = read.files.and_then(|files| files.memory) {
                    // It may be gone already.
                    drop(std::fs::remove_file(memory));
                }
                Ok(())
            }
            _ => {
                self.write(&domain, number);
                Ok(())
            }
        }
    }

    /// Writes a number to page 0 and to the page of that number, on all disks.
    fn write(&mut self, domain: &DomainRef, number: u32) {
        let pattern = u8::try_from(number).expect("few writes");
        let pages = [0, u64::from(super::page(number))];
        if domain.state.is_active() {
            let socket = self.root.path().join(format!("{}.qmp", self.name));
            let monitor = self.monitor.get_or_insert_with(|| Monitor::open(&socket));
            for disk in 0..self.targets.len() {
                pages.iter().for_each(|page| monitor.write_to(disk, pattern, page * PAGE, FILLED));
                monitor.flush(disk);
            }
            return;
        }
        let definition = self.host.definition(domain, false).expect("read");
        for disk in &definition.disks {
            let path = PathBuf::from(disk.source.as_deref().expect("a file"));
            tools::qemu_io_fill(&path, &disk.format, pattern, &pages.map(|page| page * PAGE), FILLED);
        }
    }

    /// libvirt names the overlay of a revert after the second, and fails where that name is taken.
    fn wait_for_a_free_second(&self) {
        let names = self.root.images();
        let seconds = names.iter().filter_map(|name| name.rsplit_once('.')?.1.parse::<i64>().ok());
        if let Some(last) = seconds.max() {
            wait_until("the next second", || clock().as_second() > last);
        }
    }

    pub(super) fn stand(&self) -> Stand {
        let files = self.root.images().into_iter().map(|name| tools::text(&self.root.image(&name)).to_owned());
        stand(self.host.as_ref(), &self.listed(), files.collect(), |path, tag| qcow2::content(Path::new(path), tag))
    }

    /// When a snapshot was captured, or the overlays of a revert were made, the disks having been these before.
    pub(super) fn second(&self, op: &Op, before: &[ObservedDisk]) -> Option<i64> {
        let domain = self.listed();
        match op {
            Op::Create { name, .. } => {
                let listed =
                    self.host.snapshots(&domain).expect("listed").into_iter().find(|listed| listed.name == *name)?;
                Some(self.host.snapshot(&domain, &listed).expect("read").created)
            }
            Op::Revert(..) => {
                let definition = self.host.definition(&domain, false).expect("read");
                let source = definition.disks.first()?.source.clone()?;
                let is_new = before.first().is_some_and(|disk| disk.source.as_ref() != Some(&source));
                source.rsplit_once('.')?.1.parse().ok().filter(|_| is_new)
            }
            _ => None,
        }
    }
}

/// Removes the domain and its images, also where the test failed: the next sequence begins with nothing.
impl Drop for Driver<'_> {
    fn drop(&mut self) {
        if self.guest.is_active() {
            drop(self.guest.try_destroy());
        }
        self.guest.undefine();
        for name in self.root.images() {
            drop(std::fs::remove_file(self.root.image(&name)));
        }
    }
}
