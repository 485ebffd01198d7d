//! Planning one capture, whoever asks for it: checked, with its files named, and with what it does to the pointer.

use super::capture::{self, Prepared, Request};
use super::chain::{Fault, Neighbours};
use super::domain::Planner;
use crate::model::desired::Origin;
use crate::model::kinds::{Capture, Location};
use crate::model::names::SnapshotName;
use crate::model::observed::{ObservedDomain, RunState};
use crate::model::plan::{Action, ActionKind, Address, Reason, Risk, RiskLevel, View, Warning};
use crate::model::stamp::{ConsistencyReached, Stamp};
use crate::model::text::printable;

/// A capture that a set asks for.
pub(super) struct Wish<'w> {
    pub(super) name: &'w SnapshotName,
    /// The user's text.
    pub(super) description: Option<String>,
    /// The stamp, but for the level of consistency; none for a snapshot that shall be nobody's.
    pub(super) stamp: Option<Stamp>,
    pub(super) reason: Reason,
    pub(super) origin: Origin,
}

/// The action of a capture.
pub(super) fn action(domain: &ObservedDomain, address: Address, wish: Wish<'_>, prepared: &Prepared) -> Action {
    let external = prepared.capture.location == Location::External;
    let risk = match (external, prepared.consistency) {
        (true, _) if prepared.capture.has_manual_disk() && domain.state.is_active() => (
            RiskLevel::Pause,
            "libvirt leaves the guest paused, so that its manual disks can be captured where they are stored; do that then, and let it \
             run on (virsh resume)",
        ),
        (true, ConsistencyReached::Memory) | (false, _) if domain.state.is_active() => {
            (RiskLevel::Pause, "the guest stands still while its memory is written")
        }
        (true, _) => (RiskLevel::Metadata, "later writes go to new overlays"),
        (false, _) => (RiskLevel::Metadata, "the domain is off; its images grow with later writes"),
    };
    let stamp = wish.stamp.map(|stamp| Stamp { consistency: Some(prepared.consistency), ..stamp }.lines());
    Action {
        address,
        action: ActionKind::Create,
        reason: wish.reason,
        origin: wish.origin,
        before: None,
        after: Some(View {
            description: wish.description,
            stamp,
            capture: Some(prepared.capture.clone()),
            reuse: prepared.reuse.then_some(true),
            ..View::default()
        }),
        risk: Risk { level: risk.0, text: risk.1.to_owned() },
        definition: None,
    }
}

impl Planner<'_> {
    /// Checks a capture against the domain as it will be by then, and names its files.
    pub(super) fn prepare(&self, request: Request<'_>) -> Result<Prepared, Fault> {
        let external = request.capture.location == Location::External;
        match self.external_fault().filter(|_| external) {
            Some((code, text)) => Err(Fault::new(code, text, "repair the domain first")),
            None => {
                let neighbours = Neighbours::of(self.observed_host, self.domain);
                capture::prepare(self.host, self.as_it_will_be(), &neighbours, request)
            }
        }
    }

    /// Plans a capture. Gives the snapshot it will hang under.
    pub(super) fn capture(&mut self, wish: Wish<'_>, prepared: &Prepared) -> Option<SnapshotName> {
        let name = wish.name;
        let external = prepared.capture.location == Location::External;
        if !self.domain.state.is_active() && !external {
            // QEMU refuses a second snapshot of one name; offline, libvirt makes it without a word.
            let what = "already holds a snapshot of this name, which libvirt would double";
            self.warn_of_unseen_image(name, &wish.origin, what);
        }
        self.creates.push(action(self.domain, self.address(Some(name)), wish, prepared));
        if external {
            self.will_capture(name, prepared);
        }
        self.pointer.replace(name.clone())
    }

    /// libvirt leaves a running guest paused for its manual disks, for as long as a person takes: such a capture is the whole
    /// of its pass, as a revert is, but for the repair or the deletions that must come before it.
    pub(super) fn leave_paused_alone(&mut self, deletes_first: bool, set_current: &mut Vec<Action>) {
        let pauses = |action: &Action| captures_of(std::slice::from_ref(action)).any(Capture::has_manual_disk);
        let running = self.domain.state == RunState::Running;
        let Some(at) = self.creates.iter().position(|action| running && pauses(action)) else { return };
        let capture = self.creates.swap_remove(at);
        let left = [&mut self.redefines, &mut self.creates, &mut self.placements, set_current];
        let mut left: usize = left.into_iter().map(|actions| actions.drain(..).count()).sum();
        if !deletes_first {
            left += self.deletes.drain(..).count();
        }
        if left > 0 {
            let text = format!(
                "{} is captured by itself, because libvirt leaves the guest paused for its manual disks; what else is declared for \
                 the domain is planned by the run after it",
                capture.address
            );
            self.warnings.push(Warning { text, origin: capture.origin.clone() });
        }
        self.slot_ends.clear();
        self.creates.push(capture);
    }

    /// Warns that an image could not be looked into.
    pub(super) fn warn_of_unseen_image(&mut self, name: &SnapshotName, origin: &Origin, what: &str) {
        let Some(target) = capture::unseen_image(self.host, self.domain) else { return };
        let address = self.address(Some(name));
        let target = printable(target);
        let text =
            format!("{address}: the image of disk {target} cannot be read from here; whether it {what} is not known");
        self.warnings.push(Warning { text, origin: origin.clone() });
    }
}

/// What the captures among some actions are of.
pub(super) fn captures_of(creates: &[Action]) -> impl Iterator<Item = &Capture> {
    creates.iter().filter_map(|action| action.after.as_ref()?.capture.as_ref())
}
