//! Scenes of a pointer that is not where the disks are, and of notes of a revert that are lost.

use std::collections::BTreeMap;

use super::super::model::Record;
use super::super::wish::Set;
use super::{Kept, Scene, Stage, capturing, deletions, name};

pub(super) const SCENES: &[Scene] = &[
    ("a pointer on another snapshot", elsewhere),
    ("no pointer", none),
    ("a pointer that nobody can check", unchecked),
    ("a pointer off the overlays of a revert", off_a_revert),
    ("a pointer back on the overlays of a revert", back_on_a_revert),
    ("an image under the overlay's record", somebodys_image),
    ("two records of one overlay", twins),
    ("a pointer of a suspended set", suspended),
    ("a next start on an image below", next_start),
];

const LINE: [&str; 4] = ["base", "e1", "e2", "e3"];

fn set_up(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture(&LINE);
    stage.adopt()
}

fn some<'n>(stage: &mut Stage, names: &[&'n str]) -> &'n str {
    stage.random.pick(names).copied().expect("some")
}

fn elsewhere(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let at = some(stage, &["base", "e1", "e2"]);
    stage.set_current(at);
    if stage.random.percent(30) {
        let (child, parent) = (some(stage, &["e2", "e3"]), some(stage, &["base", "e1"]));
        stage.set_parent(child, Some(parent));
    }
    stage.anything(&LINE, false)
}

/// libvirt takes the pointer off the old snapshot before it notes the new one.
fn none(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    stage.vm(|vm| vm.current = None);
    stage.log.push("no pointer".to_owned());
    stage.anything(&LINE, false)
}

fn unchecked(stage: &mut Stage) -> Kept {
    stage.capture(&LINE);
    stage.adopt()?;
    let at = some(stage, &["e1", "e2"]);
    stage.set_current(at);
    for target in stage.targets {
        let active = stage.active(target);
        stage.world().storage.forbidden.insert(active);
    }
    stage.log.push("forbid to read the active images".to_owned());
    stage.anything(&LINE, true)
}

/// The pointer leaves a snapshot that a revert went to, and comes back or does not: libvirt forgets what the revert made.
fn off_a_revert(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let at = some(stage, &["base", "e1", "e2", "e3"]);
    stage.revert(at);
    let to = some(stage, &LINE);
    stage.set_current(to);
    if stage.random.percent(50) {
        stage.set_current(at);
    }
    stage.adopt()?;
    stage.anything(&LINE, false)
}

/// The pointer is set back to where a revert's overlays are noted, and a capture stands on them.
fn back_on_a_revert(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    stage.revert("e1");
    let noted = stage.record("e1", |record| record.revert_disks.clone());
    stage.capture(&["golden"]);
    // Restored from XML that was saved before the capture.
    stage.record("e1", |record| record.revert_disks = noted);
    stage.vm(|vm| vm.current = Some(name("e1")));
    stage.log.push("e1 is restored from XML and current".to_owned());
    stage.adopt()?;
    stage.anything(&["base", "e1", "e2", "e3"], false)
}

/// The disks are put on images that somebody made, on what a snapshot froze; they have other names than a revert gives.
fn somebodys_image(stage: &mut Stage) -> Kept {
    stage.capture(&LINE);
    stage.adopt()?;
    let frozen = some(stage, &LINE);
    let numbered = stage.random.percent(30);
    let mut made = BTreeMap::new();
    for target in stage.targets {
        let base = stage.base(frozen, target);
        let path = if numbered { format!("/images/vm1-{target}.99") } else { format!("/images/mine-{target}.qcow2") };
        let below = if numbered { format!("/images/strange-{target}.qcow2") } else { base };
        if numbered {
            stage.image(&below, None, false);
        }
        stage.image(&path, Some(&below), false);
        made.insert((*target).to_owned(), path.clone());
        stage.put_on(target, path);
    }
    stage.anything(&LINE, false)?;
    let gone: Vec<_> = made.values().filter(|path| !stage.world().storage.exists(path)).collect();
    if gone.is_empty() { Ok(()) } else { Err(format!("{gone:?}, which somebody made, is gone")) }
}

/// A record was given to libvirt a second time, under another name.
fn twins(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let twin: Record = stage.record("e3", |record| Record { name: name("patched"), ..record.clone() });
    stage.vm(|vm| vm.snapshots.insert(name("patched"), twin));
    stage.vm(|vm| vm.current = None);
    if stage.random.percent(50) {
        stage.set_parent("patched", None);
    }
    stage.adopt()?;
    stage.anything(&["e1", "e2", "e3", "patched"], false)
}

fn suspended(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    stage.set_current("e1");
    let mut wish = deletions(&["e3"], false);
    wish.sets[0] = Set { suspended: true, ..wish.sets[0].clone() };
    stage.run(&wish)
}

/// libvirtd ended in a capture, when QEMU and the running definition were on the overlays already.
fn next_start(stage: &mut Stage) -> Kept {
    stage.start();
    stage.capture(&LINE);
    stage.adopt()?;
    for target in stage.targets {
        let below = stage.base("e3", target);
        stage.vm(|vm| {
            let stored = vm.stored.as_mut().expect("it runs");
            stored.disk_mut(target).expect("there").source = Some(below);
        });
    }
    stage.log.push("the next start is on what e3 froze".to_owned());
    match stage.random.below(3) {
        0 => stage.set_current("e1"),
        1 => stage.vm(|vm| vm.current = None),
        _ => {}
    }
    if stage.random.percent(30) {
        stage.run(&capturing("patched", false))?;
    }
    stage.anything(&LINE, false)
}
