//! Scenes of two domains on one image, and of files that lie where a capture shall go.

use snapward::model::observed::{ObservedDisk, RunState};

use super::super::hands::disk;
use super::super::model::{Part, Spec};
use super::{Kept, Scene, Stage, capturing, declared, name};

pub(super) const SCENES: &[Scene] = &[
    ("a linked clone", clone_by_disk),
    ("a linked clone that went on", clone_by_snapshot),
    ("a neighbour's memory or overlay", neighbours_file),
    ("a linked clone that cannot be read", clone_unread),
    ("a linked clone of a domain that cannot be asked", clone_unasked),
    ("a file where an overlay shall go", in_the_way),
    ("a leftover of one disk alone", one_leftover),
];

const LINE: [&str; 4] = ["base", "e1", "e2", "e3"];

fn set_up(stage: &mut Stage) -> Kept {
    if stage.random.percent(40) {
        stage.start();
    }
    stage.capture(&LINE);
    stage.adopt()
}

/// Puts `other` on what a snapshot of `vm1` froze, by its path or by a link to it.
fn put_clone(stage: &mut Stage) {
    let frozen = *stage.random.pick(&LINE).expect("some");
    let mut below = stage.base(frozen, "vda");
    if stage.random.percent(50) {
        stage.world().storage.links.insert("/images/link.qcow2".to_owned(), below);
        below = "/images/link.qcow2".to_owned();
    }
    stage.image("/images/clone.qcow2", Some(&below), false);
    put(stage, "/images/clone.qcow2");
}

fn put(stage: &mut Stage, path: &str) {
    let mut world = stage.case.bench.model.world();
    world.domains.get_mut("other").expect("defined").definition.disks = vec![disk("vda", path, "qcow2")];
    drop(world);
    stage.log.push(format!("other is put on {path}"));
}

/// Captures `other` by hand.
fn capture_other(stage: &mut Stage, snapshot: &str, overlay: &str, memory: Option<&str>) {
    let mut world = stage.case.bench.model.world();
    let running = memory.is_some();
    if running {
        world.start("other", RunState::Running).expect("it starts");
    }
    world.now += 60;
    let spec = Spec {
        name: name(snapshot),
        description: "by hand".to_owned(),
        memory: memory.map_or(Part::No, |file| Part::File(file.to_owned())),
        disks: [("vda".to_owned(), Part::File(overlay.to_owned()))].into(),
        disk_only: false,
        reuse: world.storage.exists(overlay),
        halt: false,
        no_metadata: false,
    };
    world.create("other", &spec).unwrap_or_else(|refusal| panic!("{}", refusal.text));
    drop(world);
    stage.log.push(format!("other is captured to {overlay}, {memory:?}"));
}

fn clone_by_disk(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    put_clone(stage);
    stage.anything(&LINE, false)
}

/// The clone was captured, and its disk is on another image since: only its snapshot needs the first.
fn clone_by_snapshot(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    put_clone(stage);
    capture_other(stage, "s", "/images/clone.s", None);
    stage.image("/images/fresh.qcow2", None, false);
    put(stage, "/images/fresh.qcow2");
    stage.anything(&LINE, false)
}

/// A neighbour's snapshot was given a file of ours for its memory.
fn neighbours_file(stage: &mut Stage) -> Kept {
    stage.world().start("vm1", RunState::Running).expect("it starts");
    for snapshot in LINE {
        stage.capture_of(snapshot, stage.targets, Some("/images/memory").filter(|_| snapshot == "e1"));
    }
    stage.adopt()?;
    capture_other(stage, "s", "/images/other.s", Some("/images/memory"));
    stage.anything(&["e1"], false)
}

/// What it stands on cannot be read from here.
fn clone_unread(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    put_clone(stage);
    stage.world().storage.forbidden.insert("/images/clone.qcow2".to_owned());
    stage.anything(&LINE, false)
}

/// Its definition cannot be read.
fn clone_unasked(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    put_clone(stage);
    stage.world().domains.get_mut("other").expect("defined").unreadable = true;
    stage.anything(&LINE, false)
}

/// Files lie where the overlays of a capture go: with data or without, on the active image or another, used by a neighbour, by a
/// disk or by nobody.
fn in_the_way(stage: &mut Stage) -> Kept {
    if stage.random.percent(60) {
        stage.capture(&["base", "e1"]);
        stage.adopt()?;
    }
    let twist = stage.random.below(6);
    for target in stage.targets {
        let mut below = stage.active(target);
        if twist == 1 {
            below = format!("/images/elsewhere-{target}.qcow2");
            stage.image(&below, None, false);
        }
        stage.image(&format!("/images/vm1.{target}.patched.qcow2"), Some(&below), twist != 0);
    }
    let first = "/images/vm1.vda.patched.qcow2";
    match twist {
        2 => put(stage, first),
        3 => {
            put(stage, first);
            stage.world().domains.get_mut("other").expect("defined").unreadable = true;
        }
        4 => {
            // A disk that is only read takes no overlay of its own.
            let read = ObservedDisk { readonly: true, ..disk("vdz", first, "qcow2") };
            stage.vm(|vm| vm.definition.disks.push(read));
            stage.log.push(format!("vdz is put on {first}"));
        }
        _ => {}
    }
    let mut wish = capturing("patched", false);
    if stage.random.percent(50) {
        wish.sets[0].snapshots = vec![declared("patched", |_| ())];
    }
    stage.run(&wish)
}

fn one_leftover(stage: &mut Stage) -> Kept {
    let target = *stage.random.pick(stage.targets).expect("some");
    let below = stage.active(target);
    stage.image(&format!("/images/vm1.{target}.patched.qcow2"), Some(&below), true);
    stage.run(&capturing("patched", false))
}
