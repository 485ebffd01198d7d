//! Internal captures.

use super::{Done, Failure, Pass, RUN_AGAIN, differs, text};
use crate::host::{CreateRequest, ErrorClass, HostError, Probe};
use crate::model::kinds::Location;
use crate::model::names::SnapshotName;
use crate::model::observed::{ObservedDisk, ObservedDomain};
use crate::model::plan::Action;
use crate::model::snapshot::{ObservedSnapshot, Storage};

impl Pass<'_> {
    pub(super) fn create(
        &mut self,
        action: &Action,
        name: &SnapshotName,
        fresh: Option<&ObservedDomain>,
    ) -> Result<Done, Failure> {
        let after = action.after.clone().unwrap_or_default();
        let Some(capture) = after.capture.clone() else {
            return Err(Failure::new("the plan does not say what to capture; this is a defect of snapward"));
        };
        match (fresh, capture.location) {
            (Some(fresh), Location::External) => return self.create_external(&after, name, capture, fresh),
            (Some(fresh), Location::Internal) if fresh.tree.has_external() => {
                return Err(Failure::new(format!(
                    "the capture is internal, and the domain has external snapshots; nothing was captured. {RUN_AGAIN}"
                )));
            }
            (None, Location::External) => {
                return Err(Failure::new("an external capture was not prepared for; this is a defect of snapward"));
            }
            (_, Location::Internal) => {}
        }
        // Offline, libvirt would make a second one of the same name.
        if let Some(target) = self.tagged(name) {
            return Err(Failure::new(format!(
                "the image of disk {target} holds an internal snapshot of this name by now, which libvirt does not list; \
                 nothing was captured. {RUN_AGAIN}"
            )));
        }
        let description = text(&after, "");
        let request = CreateRequest {
            name: name.clone(),
            description: description.clone(),
            capture,
            disks: self.observed.disks.clone(),
            reuse: false,
            act: after.act,
        };
        let made = match self.host.create(&self.domain, &request) {
            Ok(made) => made,
            Err(error) => return Err(self.create_failed(name, &error)),
        };
        if after.act.no_metadata {
            return self.captured_unlisted(name);
        }
        let read = self.read(&made, "was captured, but reading it back failed")?;
        if let Some(wrong) = differs(&read, &description, None).or_else(|| self.incomplete(&read)) {
            return Err(Failure::new(format!(
                "was captured, but reads back differently: {wrong}. It is kept. {RUN_AGAIN}"
            )));
        }
        self.made(made, &read).map(|()| Done::default())
    }

    /// A capture without metadata: nothing of libvirt's says that it exists, so the images must.
    fn captured_unlisted(&self, name: &SnapshotName) -> Result<Done, Failure> {
        let lacks = |disk: &&ObservedDisk| match self.host.files().image_snapshots(disk) {
            Probe::Known(tags) => !tags.iter().any(|tag| tag.name == name.as_str()),
            Probe::Unknown(_) => false,
        };
        let mut writable = self.observed.disks.iter().filter(|disk| !disk.readonly && !disk.is_empty_drive());
        match writable.find(lacks) {
            Some(disk) => {
                let target = crate::model::text::printable(&disk.target);
                Err(Failure::new(format!(
                    "libvirt said it was captured, and the image of disk {target} does not hold it"
                )))
            }
            None => Ok(Done::default()),
        }
    }

    /// What a failed capture left behind.
    pub(super) fn create_failed(&self, name: &SnapshotName, error: &HostError) -> Failure {
        if error.class == ErrorClass::OutcomeUnknown {
            return Failure::new(format!("{error}. Whether it will exist is not known yet. {RUN_AGAIN}"));
        }
        let listed = self.host.snapshots(&self.domain);
        let state = match listed {
            Ok(listed) if listed.iter().any(|snapshot| snapshot.name == *name) => {
                "libvirt lists a snapshot of this name now; it was left as it is"
            }
            Ok(_) => "libvirt lists no snapshot of this name; the others are untouched",
            Err(_) => "the domain could not be read afterwards",
        };
        Failure::new(format!("{error}. {state}. {RUN_AGAIN}"))
    }

    /// What an internal capture should hold and does not.
    fn incomplete(&self, read: &ObservedSnapshot) -> Option<String> {
        if self.observed.state.is_active() && read.memory != Storage::Internal {
            return Some("it holds no memory".to_owned());
        }
        let writable = self.observed.disks.iter().filter(|disk| !disk.readonly && !disk.is_empty_drive());
        let lacks = |target: &str| read.disks.get(target).is_none_or(|storage| *storage != Storage::Internal);
        let missing = writable.map(|disk| disk.target.as_str()).find(|target| lacks(target))?;
        Some(format!("it holds no state of disk {missing}"))
    }
}
