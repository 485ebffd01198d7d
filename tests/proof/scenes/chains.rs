//! Scenes of one domain's external snapshots: trees with branches, holes and wrong parents, images that somebody changed,
//! and what runs on them.

use snapward::host::RedefineRequest;
use snapward::model::observed::RunState;

use super::super::hands::disk;
use super::{Kept, Scene, Stage, name};

pub(super) const SCENES: &[Scene] = &[
    ("a line", line),
    ("a dead branch", dead_branch),
    ("a dead branch further down", dead_branch_below),
    ("a record that libvirt dropped", hole),
    ("a record of a branch that libvirt dropped", hole_in_branch),
    ("a record that somebody forgot", forgotten),
    ("another parent", other_parent),
    ("an image that was flattened", flattened),
    ("an image that was put on another", rebased),
    ("a disk that was detached", detached),
    ("a paused guest whose memory was captured", paused),
    ("a mark of a deletion that failed", marked),
    ("a disk on a frozen image", disk_on_frozen),
    ("two disks on one image", disks_on_one_image),
    ("a branch whose lower part was forgotten", uprooted),
    ("a memory image of two snapshots", one_memory_image),
    ("a disk that was left out", left_out),
    ("a branch with a disk that was left out", left_out_in_branch),
    ("an overlay that nobody knows", unknown_overlay),
    ("an overlay that another process has open", open_overlay),
    ("a guest on an overlay that libvirt does not know", guest_elsewhere),
    ("a copy in the place of an image in use", copied),
    ("an image that is gone", gone),
    ("an image that may not be read", unread),
];

const LINE: [&str; 4] = ["base", "e1", "e2", "e3"];

/// A line of snapshots that the set has taken over.
fn set_up(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture(&LINE);
    stage.adopt()
}

fn line(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    stage.anything(&LINE, false)
}

/// base, e1, on it e2 and e3, which nobody uses any more, and golden, which is in use.
fn branch(stage: &mut Stage, to: &str) -> Kept {
    stage.start_or_not();
    stage.capture(&LINE);
    stage.revert(to);
    if stage.random.percent(60) {
        stage.capture(&["golden"]);
    }
    stage.adopt()
}

fn dead_branch(stage: &mut Stage) -> Kept {
    branch(stage, "e1")?;
    stage.anything(&["base", "e1", "e2", "e3"], false)
}

fn dead_branch_below(stage: &mut Stage) -> Kept {
    branch(stage, "e2")?;
    stage.anything(&["base", "e1", "e3"], false)
}

/// libvirt could not write a record, and lists it no more: what stands on it names a parent that is not there.
fn hole(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let trust = stage.random.percent(50);
    let missing = *stage.random.pick(&["e1", "e2"]).expect("some");
    stage.vm(|vm| vm.metadata_full = true);
    stage.redefine(missing, &RedefineRequest { description: Some("edited".to_owned()), ..RedefineRequest::default() });
    stage.vm(|vm| vm.metadata_full = false);
    if trust {
        let images: Vec<String> =
            stage.world().storage.files.keys().filter(|path| path.contains(".e")).cloned().collect();
        stage.world().storage.forbidden.extend(images);
    }
    stage.anything(&["base", "e1", "e2"], trust)
}

/// As before, in a branch that is not in use; what its tip froze may not be read.
fn hole_in_branch(stage: &mut Stage) -> Kept {
    stage.capture(&LINE);
    stage.revert("e1");
    stage.capture(&["golden"]);
    stage.adopt()?;
    stage.vm(|vm| vm.snapshots.remove(&name("e2")));
    let trust = stage.random.percent(70);
    let frozen = stage.base("e3", "vda");
    stage.log.push(format!("libvirt drops e2; forbid to read {frozen}"));
    stage.world().storage.forbidden.insert(frozen);
    stage.anything(&["base", "e1", "golden"], trust)
}

fn forgotten(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let gone = *stage.random.pick(&["e1", "e2"]).expect("some");
    drop(stage.world().forget("vm1", &name(gone)));
    stage.log.push(format!("forget {gone}"));
    stage.anything(&["base", "e1", "e2"], false)
}

fn other_parent(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let (child, parent) = *stage.random.pick(&[("e2", "base"), ("e3", "e1"), ("e3", "base")]).expect("some");
    stage.set_parent(child, Some(parent).filter(|_| stage.random.clone().percent(80)));
    let trust = stage.random.percent(30);
    stage.anything(&["base", "e1", "e2"], trust)
}

/// The guest's image was copied to stand on nothing, by its name.
fn flattened(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    if stage.vm(|vm| vm.state.is_active()) {
        stage.world().destroy("vm1").expect("it runs");
    }
    let cut = stage.random.percent(50);
    let path = if cut { stage.base("e3", "vda") } else { stage.active("vda") };
    let mut world = stage.world();
    let pages = world.storage.content(&path).expect("it is whole");
    let image = world.storage.get_mut(&path).expect("it is there");
    (image.pages, image.backing) = (pages, None);
    drop(world);
    stage.log.push(format!("flatten {path}"));
    stage.anything(&["base", "e1", "e2", "e3"], false)
}

/// The guest's image was put on another one, which cannot be seen from here.
fn rebased(stage: &mut Stage) -> Kept {
    stage.capture(&["e1"]);
    stage.adopt()?;
    stage.image("/images/elsewhere.qcow2", None, false);
    let active = stage.active("vda");
    let mut world = stage.world();
    let image = world.storage.get_mut(&active).expect("it is there");
    image.backing = Some("/images/elsewhere.qcow2".to_owned());
    world.storage.forbidden.insert(active.clone());
    drop(world);
    stage.log.push(format!("put {active} on another image, forbid to read it"));
    stage.anything(&["e1"], false)
}

fn detached(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    if stage.vm(|vm| vm.state.is_active()) {
        stage.world().destroy("vm1").expect("it runs");
    }
    let target = *stage.random.pick(stage.targets).expect("some");
    stage.vm(|vm| vm.definition.disks.retain(|disk| disk.target != target));
    if stage.targets.len() == 1 {
        stage.world().storage.make("/images/new.qcow2", "qcow2", None);
        stage.vm(|vm| vm.definition.disks.push(disk("vdz", "/images/new.qcow2", "qcow2")));
    }
    stage.log.push(format!("detach {target}"));
    stage.anything(&["base", "e1", "e2", "e3"], false)
}

/// QEMU has given the images up, and merges none until the guest runs on.
fn paused(stage: &mut Stage) -> Kept {
    stage.world().start("vm1", RunState::Running).expect("it starts");
    stage.capture(&["base", "e1"]);
    stage.vm(|vm| vm.state = RunState::Paused);
    stage.capture_of("e2", stage.targets, Some("/images/vm1.memory"));
    stage.adopt()?;
    stage.anything(&["base", "e1", "e2"], false)
}

/// Somebody's deletion failed before it merged anything.
fn marked(stage: &mut Stage) -> Kept {
    stage.start();
    stage.capture(&LINE);
    stage.adopt()?;
    let target = stage.targets[0].to_owned();
    stage.record("e1", |record| record.unfinished.insert(target));
    stage.log.push("a deletion of e2 failed, and left its mark on e1".to_owned());
    stage.anything(&["base", "e1", "e2"], false)
}

/// A linked clone of what a snapshot froze is attached to the same domain, by its path or by a link.
fn disk_on_frozen(stage: &mut Stage) -> Kept {
    stage.capture(&LINE);
    stage.adopt()?;
    let frozen = *stage.random.pick(&LINE).expect("some");
    let mut below = stage.base(frozen, "vda");
    if stage.random.percent(50) {
        stage.world().storage.links.insert("/images/link.qcow2".to_owned(), below);
        below = "/images/link.qcow2".to_owned();
    }
    stage.image("/images/attached.qcow2", Some(&below), false);
    stage.vm(|vm| vm.definition.disks.push(disk("vdz", "/images/attached.qcow2", "qcow2")));
    if stage.random.percent(50) {
        stage.start();
    }
    stage.anything(&["base", "e1", "e2", "e3"], false)
}

/// Two disks of one domain on the image that a snapshot froze of one of them.
fn disks_on_one_image(stage: &mut Stage) -> Kept {
    stage.capture_of("e1", &["vda"], None);
    let base = stage.base("e1", "vda");
    stage.vm(|vm| vm.definition.disks.retain(|disk| disk.target != "vdb"));
    stage.vm(|vm| vm.definition.disks.push(disk("vdb", &base, "qcow2")));
    stage.log.push(format!("vdb is put on {base}"));
    stage.adopt()?;
    stage.anything(&["e1"], false)
}

/// Of a branch that is not in use only the tip is listed, without a parent; it may not be readable either.
fn uprooted(stage: &mut Stage) -> Kept {
    stage.capture(&LINE);
    stage.revert("e1");
    stage.capture(&["golden"]);
    stage.adopt()?;
    stage.set_parent("e3", None);
    drop(stage.world().forget("vm1", &name("e2")));
    stage.log.push("forget e2".to_owned());
    if stage.random.percent(50) {
        let frozen = stage.base("e3", "vda");
        stage.log.push(format!("forbid to read {frozen}"));
        stage.world().storage.forbidden.insert(frozen);
    }
    stage.anything(&["base", "e1", "golden"], false)
}

/// Two captures were given one file for the memory.
fn one_memory_image(stage: &mut Stage) -> Kept {
    stage.world().start("vm1", RunState::Running).expect("it starts");
    for snapshot in ["e1", "e2", "e3"] {
        stage.capture_of(snapshot, stage.targets, Some("/images/vm1.memory").filter(|_| snapshot != "e3"));
    }
    stage.adopt()?;
    stage.anything(&["e1", "e2"], false)
}

/// e1 is of one disk alone, with the memory or without, and the next is of both.
fn left_out(stage: &mut Stage) -> Kept {
    if stage.random.percent(60) {
        stage.world().start("vm1", RunState::Running).expect("it starts");
    }
    let memory = Some("/images/vm1.memory").filter(|_| stage.vm(|vm| vm.state.is_active()));
    stage.capture_of("e1", &["vda"], memory);
    if stage.random.percent(30) {
        stage.capture(&["e2"]);
        stage.revert("e1");
    }
    stage.capture(&["e3"]);
    stage.adopt()?;
    stage.anything(&["e1", "e2", "e3"], false)
}

/// A branch that is not in use, whose first snapshot left a disk out: the next one froze what the trunk's overlay is.
fn left_out_in_branch(stage: &mut Stage) -> Kept {
    stage.capture(&["base"]);
    stage.capture_of("e1", &["vda"], None);
    stage.capture(&["e2"]);
    stage.revert("base");
    stage.capture(&["golden"]);
    stage.adopt()?;
    stage.anything(&["e1", "e2", "base"], false)
}

/// What a guest wrote after a capture that was not noted: an overlay that no record and no disk names.
fn unknown_overlay(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let below = match stage.random.percent(50) {
        true => stage.active("vda"),
        false => stage.base(stage.random.clone().pick(&LINE).expect("some"), "vda"),
    };
    stage.image("/images/vm1.vda.unnoted", Some(&below), false);
    if stage.random.percent(30) {
        // Nothing is captured before the revert, so that the active image goes.
        let mut wish = stage.reverting("e1", false);
        wish.reverts[0].keep = 0;
        return stage.run(&wish);
    }
    stage.anything(&["base", "e1", "e2", "e3"], false)
}

/// An overlay with nothing in it yet, which a backup has open.
fn open_overlay(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let below = stage.base(stage.random.clone().pick(&LINE).expect("some"), "vda");
    stage.image("/images/vm1.vda.backup", Some(&below), true);
    stage.world().readers.insert("/images/vm1.vda.backup".to_owned());
    stage.anything(&["base", "e1", "e2", "e3"], false)
}

/// libvirtd ended in a capture, when QEMU was on the overlays already.
fn guest_elsewhere(stage: &mut Stage) -> Kept {
    let tree = stage.random.percent(60);
    stage.start();
    if tree {
        stage.capture(&LINE);
        stage.adopt()?;
    }
    for target in stage.targets {
        let (active, overlay) = (stage.active(target), format!("/images/vm1.{target}.unnoted"));
        stage.image(&overlay, Some(&active), true);
        stage.vm(|vm| vm.open.get_mut(*target).expect("it runs").insert(0, overlay));
    }
    stage.log.push("the guest goes on on these".to_owned());
    stage.write();
    if !tree {
        return stage.run(&super::capturing("patched", false));
    }
    stage.anything(&["base", "e1", "e2", "e3"], false)
}

/// Somebody removed an image that a guest has open, and put a copy in its place.
fn copied(stage: &mut Stage) -> Kept {
    stage.start();
    stage.capture(&LINE);
    stage.adopt()?;
    let path = stage.base(stage.random.clone().pick(&["e1", "e2", "e3"]).expect("some"), "vda");
    let mut world = stage.world();
    world.replace(&path);
    world.storage.get_mut(&path).expect("made").pages.insert(0, 2_000_000);
    drop(world);
    stage.log.push(format!("replace {path}"));
    stage.anything(&["base", "e1", "e2", "e3"], false)
}

fn gone(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let path = stage.base(stage.random.clone().pick(&LINE).expect("some"), "vda");
    stage.world().storage.unlink(&path);
    stage.log.push(format!("remove {path}"));
    stage.anything(&["base", "e1", "e2", "e3"], false)
}

fn unread(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let trust = stage.random.percent(50);
    let path = match stage.random.percent(50) {
        true => stage.active("vda"),
        false => stage.base(stage.random.clone().pick(&LINE).expect("some"), "vda"),
    };
    stage.world().storage.forbidden.insert(path.clone());
    stage.log.push(format!("forbid to read {path}"));
    stage.anything(&["base", "e1", "e2", "e3"], trust)
}
