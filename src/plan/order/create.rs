//! An ordered capture: refused beforehand where libvirt would refuse it, some of that too late.

use super::super::abilities;
use super::super::capture::{self, Request};
use super::super::captures::{self, Wish};
use super::super::chain::{self, Step};
use super::super::external::HARD_CHAIN_LIMIT;
use super::super::kinds;
use super::{Refusal, Scene, ordered, origin};
use crate::model::act::Act;
use crate::model::image::ImageState;
use crate::model::kinds::{Capture, Content, Location, When};
use crate::model::names::SnapshotName;
use crate::model::plan::Plan;
use crate::model::stamp::looks_like_trailer;
use crate::model::text::printable;

/// A capture that a person orders.
#[derive(Debug, Clone)]
pub struct CaptureOrder {
    /// Its name.
    pub name: SnapshotName,
    /// Its description.
    pub description: String,
    /// What is captured and where; see [`super::resolve`].
    pub capture: Capture,
    /// Whether the overlays are there already and are to be used.
    pub reuse: bool,
    /// How it is done.
    pub act: Act,
}

/// Plans an ordered capture.
///
/// # Errors
/// Why it cannot be made, or would leave the domain's other snapshots in danger.
pub fn create(scene: &Scene<'_>, order: &CaptureOrder) -> Result<Plan, Refusal> {
    let name = &order.name;
    let refuse = |text: String, way_out: &str| Refusal::new(Some(name), text, way_out);
    if scene.domain.tree.get(name).is_some() {
        return Err(refuse("the domain has a snapshot of this name".to_owned(), "choose another name"));
    }
    if let Some(line) = order.description.lines().find(|line| looks_like_trailer(line)) {
        let text =
            format!("the description has the line {}, by which snapward says whose a snapshot is", printable(line));
        return Err(refuse(text, "leave such lines out; `adopt: true` in a manifest makes a set its owner"));
    }
    one_kind(scene, order)?;
    flags(scene, order)?;
    if scene.is_external() {
        chain::prove(scene.domain, &scene.neighbours, chain::Rules::default(), Step::Create)
            .map_err(|fault| Refusal::fault(Some(name), fault))?;
    }
    let request = Request { name, capture: &order.capture, when: When::Any };
    let mut prepared = capture::prepare(scene.host, scene.domain, &scene.neighbours, request)
        .map_err(|obstacle| Refusal::fault(Some(name), obstacle))?;
    let files = || prepared.capture.disks.iter().filter_map(|disk| disk.file.as_deref());
    match (order.reuse, prepared.reuse) {
        (true, false) => {
            let absent = files().find(|file| !scene.domain.files.is_present(file)).unwrap_or_default();
            let why = match scene.domain.files.image(absent) {
                ImageState::Unknown(why) => format!("cannot be seen ({why})"),
                _ => "is not there".to_owned(),
            };
            let text = format!("--reuse-external: the file {} {why}", printable(absent));
            return Err(refuse(
                text,
                "make it first, an empty overlay on the disk's active image: qemu-img create -f qcow2 -F FORMAT -b IMAGE FILE",
            ));
        }
        (false, true) => {
            let file = files().next().map(printable).unwrap_or_default();
            let text = format!("the file {file} is there already: an empty overlay on the disk's active image");
            return Err(refuse(text, "give --reuse-external to use it, or another path"));
        }
        (true, true) | (false, false) => {}
    }
    within_limit(scene, name, &prepared.capture)?;
    // The user's own words; no level of consistency is noted where there is no stamp.
    let wish = Wish {
        name,
        description: Some(order.description.clone()),
        stamp: None,
        reason: ordered("ordered by `snapshot create`"),
        origin: origin(),
    };
    prepared.reuse = order.reuse;
    let mut action = captures::action(scene.domain, scene.address(name), wish, &prepared);
    if let Some(after) = &mut action.after {
        after.act = order.act;
    }
    Ok(scene.plan(vec![action]))
}

/// Internal and external never meet in one domain.
fn one_kind(scene: &Scene<'_>, order: &CaptureOrder) -> Result<(), Refusal> {
    let external = scene.domain.tree.external().count();
    let (here, way_out) = match order.capture.location {
        Location::Internal if external > 0 => {
            ("external", "capture it externally: --disk-only, or --memspec file=/PATH")
        }
        Location::External if scene.domain.tree.len() > external => {
            ("internal", "capture it internally, or delete the internal snapshots first")
        }
        _ => {
            let problem = kinds::problem(scene.domain, &[], &[]);
            return problem.map_or(Ok(()), |problem| Err(Refusal::fault(None, problem)));
        }
    };
    let text = format!(
        "the domain has {here} snapshots; with both kinds in one tree libvirt accepts deletes and reverts that destroy other captures"
    );
    Err(Refusal::new(Some(&order.name), text, way_out))
}

fn flags(scene: &Scene<'_>, order: &CaptureOrder) -> Result<(), Refusal> {
    let act = order.act;
    let capture = &order.capture;
    let refuse = |text: &str, way_out: &str| Err(Refusal::new(Some(&order.name), text, way_out));
    if act.live && (capture.memory.is_none() || !scene.domain.state.is_active()) {
        return refuse(
            "--live is for the memory of a running domain that goes to a file",
            "give --memspec file=/PATH too, or leave --live out",
        );
    }
    if order.reuse && capture.location == Location::Internal {
        return refuse("--reuse-external is for overlays, and the capture is internal", "leave --reuse-external out");
    }
    if act.no_metadata && scene.is_external() {
        return refuse(
            "with --no-metadata the disks would move to overlays that no snapshot knows, and libvirt's next delete or revert here \
             would remove files that are in use",
            "leave --no-metadata out",
        );
    }
    Ok(())
}

/// Below libvirt 12.0 a domain with a longer chain does not start any more.
fn within_limit(scene: &Scene<'_>, name: &SnapshotName, capture: &Capture) -> Result<(), Refusal> {
    if capture.location == Location::Internal
        || capture.content == Content::Memory
        || abilities::LONG_CHAINS.of(scene.host)
    {
        return Ok(());
    }
    let longest = scene.domain.disks.iter().filter_map(|disk| chain::images(scene.domain, disk)).max().unwrap_or(0);
    if longest < HARD_CHAIN_LIMIT as usize {
        return Ok(());
    }
    let text = format!(
        "a disk's chain would have {} images, and with more than {HARD_CHAIN_LIMIT} libvirt below 12.0 neither starts the domain nor \
         deletes a snapshot of it",
        longest + 1
    );
    Err(Refusal::new(Some(name), text, "delete snapshots that are no longer needed first"))
}
