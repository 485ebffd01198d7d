//! Planning one capture, whoever asks for it: checked, with its files named, and with what it does to the pointer.

use super::capture::{self, Request};
use super::domain::Planner;
use crate::model::desired::Origin;
use crate::model::kinds::Location;
use crate::model::names::SnapshotName;
use crate::model::plan::{Action, ActionKind, Reason, Risk, RiskLevel, View, Warning};
use crate::model::stamp::{ConsistencyReached, Stamp};
use crate::model::text::printable;

/// A capture that a set asks for.
pub(super) struct Wish<'w> {
    pub(super) request: Request<'w>,
    /// The user's text.
    pub(super) description: String,
    /// The stamp, but for the level of consistency.
    pub(super) stamp: Stamp,
    pub(super) reason: Reason,
    pub(super) origin: Origin,
}

impl Planner<'_> {
    /// Plans a capture, or says what is in its way. Gives the snapshot it will hang under; none where it is blocked.
    pub(super) fn capture(&mut self, wish: Wish<'_>) -> Option<Option<SnapshotName>> {
        let name = wish.request.name;
        let external = wish.request.capture.location == Location::External;
        if let Some((code, text)) = self.external_fault().filter(|_| external) {
            self.block(Some(name), code, text, "repair the domain first", vec![wish.origin]);
            return None;
        }
        let prepared = match capture::prepare(self.host, self.as_it_will_be(), wish.request) {
            Ok(prepared) => prepared,
            Err(obstacle) => {
                self.block(Some(name), obstacle.code, obstacle.text, obstacle.way_out, vec![wish.origin]);
                return None;
            }
        };
        if !self.domain.state.is_active() && !external {
            // QEMU refuses a second snapshot of one name; offline, libvirt makes it without a word.
            let what = "already holds a snapshot of this name, which libvirt would double";
            self.warn_of_unseen_image(name, &wish.origin, what);
        }
        let risk = match (external, prepared.consistency) {
            (true, ConsistencyReached::Memory) | (false, _) if self.domain.state.is_active() => {
                (RiskLevel::Pause, "the guest stands still while its memory is written")
            }
            (true, _) => (RiskLevel::Metadata, "later writes go to new overlays"),
            (false, _) => (RiskLevel::Metadata, "the domain is off; its images grow with later writes"),
        };
        let stamp = Stamp { consistency: Some(prepared.consistency), ..wish.stamp };
        self.creates.push(Action {
            address: self.address(Some(name)),
            action: ActionKind::Create,
            reason: wish.reason,
            origin: wish.origin,
            before: None,
            after: Some(View {
                description: Some(wish.description),
                stamp: Some(stamp.lines()),
                capture: Some(prepared.capture.clone()),
                reuse: prepared.reuse.then_some(true),
                ..View::default()
            }),
            risk: Risk { level: risk.0, text: risk.1.to_owned() },
            definition: None,
        });
        if external {
            self.will_capture(name, &prepared);
        }
        Some(self.pointer.replace(name.clone()))
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
