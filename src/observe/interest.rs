//! What the manifests, or a plan, want to know of a domain: it decides what is looked at beside libvirt's own answers.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::host::DomainRef;
use crate::model::desired::{DesiredState, Document};
use crate::model::kinds::{Capture, DomainSelector, Location, Presence, RevertRequest, SnapshotSet};
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::observed::HostInfo;
use crate::model::selector::{Chooser, Selection};
use crate::model::series::EffectiveSeries;
use crate::model::tree::SnapshotTree;

/// What is wanted of one domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interest<'a> {
    /// The snapshots that shall exist.
    pub declared: BTreeSet<&'a SnapshotName>,
    /// Whether a series may capture.
    pub scheduled: bool,
    /// Whether it may be reverted.
    pub revert: bool,
    /// Whether an external capture may be made.
    pub external: bool,
    /// The files that an external capture is told to make.
    pub files: BTreeSet<&'a str>,
}

impl<'a> Interest<'a> {
    /// Whether a domain with these snapshots is looked at for the same as with another interest: of the declared snapshots only
    /// those that are missing matter.
    pub fn looks_as(&self, other: &Interest<'_>, tree: &SnapshotTree) -> bool {
        let missing = |of: &Interest<'_>| -> BTreeSet<SnapshotName> {
            let missing = of.declared.iter().filter(|name| tree.get(name).is_none());
            missing.map(|name| (*name).clone()).collect()
        };
        (self.scheduled, self.revert, self.external) == (other.scheduled, other.revert, other.external)
            && self.files == other.files
            && missing(self) == missing(other)
    }

    fn add(&mut self, more: &Self) {
        self.declared.extend(&more.declared);
        self.files.extend(&more.files);
        self.external |= more.external;
        self.scheduled |= more.scheduled;
        self.revert |= more.revert;
    }

    /// Notes a capture that may be made.
    pub fn capture(&mut self, capture: &'a Capture) {
        if capture.location == Location::External {
            self.external = true;
            self.files.extend(capture.disks.iter().filter_map(|disk| disk.file.as_deref()));
            self.files.extend(capture.memory.iter().map(|memory| memory.file.as_str()));
        }
    }
}

/// The sets and RevertRequests of a run with their selectors.
pub struct Interests<'a> {
    chooser: Chooser,
    /// In the order of the selections.
    wanted: Vec<Interest<'a>>,
}

impl<'a> Interests<'a> {
    /// Reads the selectors of all of them.
    pub fn new(desired: &'a DesiredState) -> Self {
        let of = |set: &'a Document<SnapshotSet>| (Selection::of(&set.value.spec), interest(desired, set));
        let revert = |request: &Document<RevertRequest>| {
            let spec = &request.value.spec;
            (Selection::new(Some(&spec.hosts), &spec.domains), Interest { revert: true, ..Interest::default() })
        };
        Self::of_selections(desired.sets.iter().map(of).chain(desired.reverts.iter().map(revert)))
    }

    /// The selectors of all of them.
    pub fn chooser(self) -> Chooser {
        self.chooser
    }

    /// The interest in reverting one domain.
    pub(super) fn to_revert(domain: DomainUuid) -> Self {
        let only = DomainSelector { include: vec![format!("uuid:{domain}")], exclude: Vec::new() };
        Self::of_selections([(Selection::new(None, &only), Interest { revert: true, ..Interest::default() })])
    }

    fn of_selections(all: impl IntoIterator<Item = (Selection, Interest<'a>)>) -> Self {
        let (selections, wanted): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        Self { chooser: Chooser::new(selections), wanted }
    }

    /// What is wanted of the domain; none where nothing selects it.
    pub fn of(&self, host: &HostInfo, domain: &DomainRef) -> Option<Cow<'_, Interest<'a>>> {
        let choosing = self.chooser.choosing(host, &domain.name, domain.uuid);
        let mut wanted = choosing.into_iter().map(|place| &self.wanted[place]);
        let mut all = Cow::Borrowed(wanted.next()?);
        wanted.for_each(|more| all.to_mut().add(more));
        Some(all)
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
