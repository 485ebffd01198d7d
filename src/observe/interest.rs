//! What the manifests, or a plan, want to know of a domain: it decides what is looked at beside libvirt's own answers.

use std::collections::BTreeSet;

use crate::host::DomainRef;
use crate::model::desired::{DesiredState, Document};
use crate::model::kinds::{Capture, Location, Presence, SnapshotSet};
use crate::model::names::SnapshotName;
use crate::model::observed::HostInfo;
use crate::model::selector::Selection;
use crate::model::series::EffectiveSeries;

/// What is wanted of one domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interest<'a> {
    /// The snapshots that shall exist.
    pub declared: BTreeSet<&'a SnapshotName>,
    /// Whether a series may capture.
    pub scheduled: bool,
    /// Whether an external capture may be made.
    pub external: bool,
    /// The files that an external capture is told to make.
    pub files: BTreeSet<&'a str>,
}

impl<'a> Interest<'a> {
    /// Notes a capture that may be made.
    pub fn capture(&mut self, capture: &'a Capture) {
        if capture.location == Location::External {
            self.external = true;
            self.files.extend(capture.disks.iter().filter_map(|disk| disk.file.as_deref()));
            self.files.extend(capture.memory.iter().map(|memory| memory.file.as_str()));
        }
    }
}

/// The sets of a run with their selectors.
pub struct Interests<'a> {
    sets: Vec<(Selection, Interest<'a>)>,
}

impl<'a> Interests<'a> {
    /// Reads the selectors of all sets.
    pub fn new(desired: &'a DesiredState) -> Self {
        let of = |set: &'a Document<SnapshotSet>| (Selection::of(&set.value.spec), interest(desired, set));
        Self { sets: desired.sets.iter().map(of).collect() }
    }

    /// What the sets want of the domain; none where no set selects it.
    pub fn of(&self, host: &HostInfo, domain: &DomainRef) -> Option<Interest<'a>> {
        let mut all: Option<Interest<'a>> = None;
        for (selection, wanted) in &self.sets {
            if selection.selects_host(host) && selection.selects_domain(&domain.name, domain.uuid) {
                let all = all.get_or_insert_default();
                all.declared.extend(&wanted.declared);
                all.files.extend(&wanted.files);
                all.external |= wanted.external;
                all.scheduled |= wanted.scheduled;
            }
        }
        all
    }
}

fn interest<'a>(desired: &'a DesiredState, set: &'a Document<SnapshotSet>) -> Interest<'a> {
    let mut wanted = Interest::default();
    for snapshot in set.value.spec.snapshots.iter().filter(|snapshot| snapshot.state == Presence::Present) {
        wanted.declared.insert(&snapshot.name);
        snapshot.capture.iter().for_each(|capture| wanted.capture(capture));
    }
    for series in EffectiveSeries::all(desired, set).into_iter().filter(EffectiveSeries::is_present) {
        wanted.scheduled = true;
        series.capture.iter().for_each(|capture| wanted.capture(capture));
    }
    wanted
}
