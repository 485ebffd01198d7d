//! Scenes of what manifests ask for: limits, holds, series, parents, room, and whose a snapshot is.

use snapward::host::RedefineRequest;
use snapward::model::stamp::Description;

use super::super::hands::disk;
use super::super::wish::{Safety, Series, Set, Snapshot, Wish};
use super::{Kept, Scene, Stage, capturing, declared, deletions, hourly, name, set, wish};

pub(super) const SCENES: &[Scene] = &[
    ("a pointer declared by another set", pointer_declared),
    ("a parent declared in an external tree", parent_declared),
    ("parents that run in a circle", circle),
    ("placed without room", placed_without_room),
    ("placed in a circle without room", placed_in_a_circle),
    ("captures that wait for a window", captures_wait),
    ("a full filesystem", full_filesystem),
    ("a long chain", long_chain),
    ("a chain that cannot be read, at its limit", unread_at_limit),
    ("a template's chain, at its limit", template_at_limit),
    ("another set's snapshot", foreign),
    ("captured once and gone", made_once),
    ("protected in a series", protected_member),
    ("a member that is declared too", declared_member),
    ("suspended", suspended),
    ("more than may go", over_the_breaker),
    ("a declared one behind what waits", behind_what_waits),
    ("a series in an older image", older_image),
    ("the last one of a domain", last),
    ("a revert that has to wait", revert_waits),
    ("an internal revert over an image that is gone", template_gone),
    ("a revert to what holds no image", moved_disk),
    ("a capture over an image that is gone", image_gone),
];

fn full(snapshot: &mut Snapshot) {
    snapshot.content = "full";
    snapshot.adopt = true;
}

fn absent(name: &'static str) -> Snapshot {
    declared(name, |snapshot| snapshot.absent = true)
}

fn with_series(series: Series) -> Wish {
    let safety = Some(Safety { percent: 100, ..Safety::default() });
    wish(vec![Set { series: vec![series], safety, ..set("web", Vec::new()) }])
}

/// Captures some of a series, one an hour, and keeps all of them.
fn run_series(stage: &mut Stage, times: usize) -> Kept {
    for _ in 0..times {
        stage.write();
        stage.run(&with_series(Series { last: 10, ..hourly() }))?;
    }
    Ok(())
}

fn members(stage: &Stage) -> Vec<String> {
    stage.vm(|vm| vm.snapshots.keys().map(ToString::to_string).collect())
}

fn fill_up(stage: &mut Stage) {
    let space = &mut stage.case.bench.model.world().storage.space;
    space.free = space.total / 20;
    stage.log.push("the filesystem is full".to_owned());
}

fn pointer_declared(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture_internal(&["golden", "base"]);
    stage.adopt()?;
    let pointing = Set { current: Some("golden"), ..set("db", vec![declared("patched", full)]) };
    stage.run(&wish(vec![set("web", vec![absent("golden")]), pointing]))
}

fn parent_declared(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture(&["base", "e1", "e2", "e3"]);
    stage.adopt()?;
    let mut wish = deletions(&[], false);
    for snapshot in wish.sets[0].snapshots.iter_mut().filter(|snapshot| snapshot.name == "e3") {
        snapshot.parent = stage.random.pick(&["base", "e1"]).copied();
    }
    stage.run(&wish)
}

/// The new snapshot lands under the one that is declared to hang below it.
fn circle(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture_internal(&["golden"]);
    stage.adopt()?;
    let below = declared("golden", |snapshot| {
        full(snapshot);
        snapshot.parent = Some("base");
    });
    let mut both = vec![declared("base", full), below];
    if stage.random.percent(30) {
        both.reverse();
    }
    stage.run(&wish(vec![set("web", both)]))
}

fn placed_without_room(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture_internal(&["golden", "e1"]);
    stage.adopt()?;
    fill_up(stage);
    let below = declared("golden", |snapshot| {
        full(snapshot);
        snapshot.parent = Some("base");
    });
    stage.run(&wish(vec![set("web", vec![declared("base", full), below])]))
}

/// e1 was to go out from under e2's way, to a parent for which there is no room.
fn placed_in_a_circle(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture_internal(&["e2", "e1", "e3"]);
    stage.set_parent("e3", None);
    stage.adopt()?;
    fill_up(stage);
    let placed = |name: &'static str, parent: &'static str| {
        declared(name, |snapshot| {
            full(snapshot);
            snapshot.parent = Some(parent);
        })
    };
    stage.run(&wish(vec![set("web", vec![declared("golden", full), placed("e1", "golden"), placed("e2", "e1")])]))
}

/// Deletions were to make room for the capture, and the window for them is closed; or there are more than may go.
fn captures_wait(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture(&["base", "e1", "e2", "e3"]);
    stage.adopt()?;
    let now = stage.world().now;
    let mut wish = capturing("patched", false);
    let by_age = stage.random.percent(50);
    for snapshot in wish.sets[0].snapshots.iter_mut().filter(|snapshot| ["base", "e1"].contains(&snapshot.name)) {
        if by_age {
            *snapshot = declared(snapshot.name, |snapshot| {
                snapshot.adopt = true;
                snapshot.delete_after_hours = Some(1);
            });
        } else {
            snapshot.absent = true;
        }
    }
    let window = Some(((now.rem_euclid(86_400) / 3600 + 12) % 24, 1)).filter(|_| !by_age);
    wish.sets[0].safety = Some(Safety { chain_limit: 5, per_domain: 1, window, ..Safety::default() });
    stage.run(&wish)
}

fn full_filesystem(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture(&["base", "e1"]);
    stage.adopt()?;
    fill_up(stage);
    stage.run(&capturing("patched", false))
}

/// More overlays than libvirt below 12 starts with are allowed by the policy.
fn long_chain(stage: &mut Stage) -> Kept {
    const MANY: [&str; 22] = [
        "n01", "n02", "n03", "n04", "n05", "n06", "n07", "n08", "n09", "n10", "n11", "n12", "n13", "n14", "n15", "n16",
        "n17", "n18", "n19", "n20", "n21", "n22",
    ];
    stage.capture(&MANY);
    let snapshots = ["e1", "e2", "e3"].map(|name| declared(name, |_| ())).into();
    let safety = Some(Safety { chain_limit: 40, ..Safety::default() });
    stage.run(&wish(vec![Set { external: true, safety, ..set("web", snapshots) }]))
}

/// The domain is off, and its images may not be read: the tree tells how many there are.
fn unread_at_limit(stage: &mut Stage) -> Kept {
    stage.capture(&["base", "e1", "e2", "e3"]);
    stage.adopt()?;
    let image = if stage.random.percent(50) { stage.active("vda") } else { stage.base("e2", "vda") };
    stage.world().storage.forbidden.insert(image);
    let mut wish = capturing("patched", false);
    wish.sets[0].safety = Some(Safety { chain_limit: 5, ..Safety::default() });
    stage.run(&wish)
}

/// The domain stands on a chain of templates; it runs, so libvirt says how long that is, whoever may read the images.
fn template_at_limit(stage: &mut Stage) -> Kept {
    for target in stage.targets {
        let mut below = stage.active(target);
        for number in 0..5 {
            let path = format!("/images/layer{number}-{target}.qcow2");
            stage.image(&path, Some(&below), false);
            below = path;
        }
        stage.put_on(target, below);
    }
    stage.start();
    stage.capture(&["base", "e1"]);
    stage.adopt()?;
    for target in stage.targets {
        let active = stage.active(target);
        stage.world().storage.forbidden.insert(active);
    }
    let mut wish = capturing("patched", false);
    wish.sets[0].safety = Some(Safety { chain_limit: 8, ..Safety::default() });
    stage.run(&wish)
}

/// A set names a snapshot that another set made.
fn foreign(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.run(&wish(vec![set("db", vec![declared("golden", full), declared("base", full)])]))?;
    let mut sets = vec![set("web", vec![absent("golden")])];
    if stage.random.percent(50) {
        sets.push(set("db", vec![declared("base", full)]));
    }
    stage.run(&wish(sets))
}

fn made_once(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    let wished = wish(vec![set("web", vec![declared("golden", full), declared("base", full)])]);
    stage.run(&wished)?;
    stage.world().delete("vm1", &name("golden")).expect("it goes");
    stage.write();
    stage.run(&wished)
}

fn protected_member(stage: &mut Stage) -> Kept {
    run_series(stage, 4)?;
    let oldest = members(stage).remove(0);
    let mut description = stage.record(&oldest, |record| Description::parse(&record.description));
    description.stamp.as_mut().expect("it is the set's").protect = true;
    let description = Some(description.render());
    stage.redefine(&oldest, &RedefineRequest { description, ..RedefineRequest::default() });
    let absent = stage.random.percent(40);
    stage.run(&with_series(Series { absent, ..hourly() }))
}

fn declared_member(stage: &mut Stage) -> Kept {
    run_series(stage, 4)?;
    let oldest: &'static str = Box::leak(members(stage).remove(0).into_boxed_str());
    let mut wish = with_series(Series { absent: stage.random.percent(40), ..hourly() });
    wish.sets[0].snapshots = vec![declared(oldest, full)];
    stage.run(&wish)
}

fn suspended(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    let internal = stage.random.percent(50);
    if internal {
        stage.capture_internal(&["golden", "base"]);
    } else {
        stage.capture(&["golden", "base"]);
    }
    stage.adopt()?;
    let mut wish = deletions(&["golden"], false);
    wish.sets[0].suspended = true;
    if stage.random.percent(50) {
        wish.sets[0].snapshots.retain(|snapshot| ["golden", "base"].contains(&snapshot.name));
        wish.sets.push(set("db", vec![declared("e1", |snapshot| snapshot.only_adopted = true)]));
    }
    stage.run(&wish)
}

fn over_the_breaker(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture_internal(&["golden", "base", "e1", "e2"]);
    let old = |name| {
        declared(name, |snapshot| {
            full(snapshot);
            snapshot.delete_after_hours = Some(1);
        })
    };
    stage.adopt()?;
    stage.world().now += 36_000;
    let safety = Some(Safety { per_domain: 1 + stage.random.below(2), ..Safety::default() });
    stage.run(&wish(vec![Set { safety, ..set("web", ["golden", "base", "e1"].map(old).into()) }]))
}

/// A branch whose tip is old, and which is declared as absent below that; more is old than may go at once.
fn behind_what_waits(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture(&["base", "e1", "e2", "e3"]);
    let in_branch = stage.random.percent(70);
    if in_branch {
        stage.revert("base");
        stage.capture(&["golden", "patched"]);
    }
    stage.adopt()?;
    stage.world().now += 36_000;
    let mut wish = deletions(&[if in_branch { "e2" } else { "e1" }], false);
    for snapshot in wish.sets[0].snapshots.iter_mut() {
        let old = if in_branch { ["e3", "golden"] } else { ["base", "e2"] };
        if old.contains(&snapshot.name) {
            *snapshot = declared(snapshot.name, |snapshot| {
                snapshot.adopt = true;
                snapshot.delete_after_hours = Some(1);
            });
        }
    }
    wish.sets[0].external = true;
    wish.sets[0].safety = Some(Safety { per_domain: 1, ..Safety::default() });
    stage.run(&wish)?;
    let stays = stage.vm(|vm| vm.snapshots.contains_key(&name("e1")));
    // Nothing holds what is declared as absent here but the order in which it comes.
    if !in_branch && stays { Err("e1 is declared as absent, and what is old holds it up".to_owned()) } else { Ok(()) }
}

/// The disk was moved to another image: what the series captured is in the old one, and whole.
fn older_image(stage: &mut Stage) -> Kept {
    run_series(stage, 4)?;
    for target in stage.targets {
        let path = format!("/images/moved-{target}.qcow2");
        stage.image(&path, None, false);
        stage.put_on(target, path);
    }
    if stage.random.percent(30) {
        stage.start();
    }
    let last = 1 + stage.random.below(3);
    stage.run(&with_series(Series { last, minimum_count: 3, ..hourly() }))
}

fn last(stage: &mut Stage) -> Kept {
    run_series(stage, 1 + stage.random.clone().below(2))?;
    stage.run(&with_series(Series { absent: true, ..hourly() }))
}

fn revert_waits(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    if stage.random.percent(50) {
        stage.capture(&["base", "e1"]);
    } else {
        stage.capture_internal(&["base", "e1"]);
    }
    stage.adopt()?;
    let mut wish = stage.reverting("base", false);
    if stage.random.percent(50) {
        wish.sets[0].suspended = true;
    } else {
        let hour = stage.world().now.rem_euclid(86_400) / 3600;
        wish.sets[0].safety = Some(Safety { window: Some(((hour + 12) % 24, 1)), ..Safety::default() });
    }
    stage.run(&wish)
}

/// The images of an internal snapshot stand on a template that somebody removed.
fn template_gone(stage: &mut Stage) -> Kept {
    for target in stage.targets {
        let (template, path) = (stage.active(target), format!("/images/instance-{target}.qcow2"));
        stage.image(&path, Some(&template), false);
        stage.put_on(target, path);
    }
    stage.start_or_not();
    stage.capture_internal(&["base", "e1"]);
    stage.adopt()?;
    stage.world().storage.unlink("/images/vm1-vda.qcow2");
    let wish = stage.reverting("base", false);
    stage.run(&wish)
}

/// A disk is on another image than the one that holds the snapshot.
fn moved_disk(stage: &mut Stage) -> Kept {
    stage.capture_internal(&["base", "e1"]);
    stage.adopt()?;
    stage.image("/images/moved.qcow2", None, false);
    stage.vm(|vm| vm.definition.disks[0] = disk("vda", "/images/moved.qcow2", "qcow2"));
    stage.start_or_not();
    stage.anything(&["base", "e1"], false)
}

fn image_gone(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    let image = stage.active("vda");
    stage.world().storage.unlink(&image);
    stage.log.push(format!("remove {image}"));
    let mut wish = capturing("patched", false);
    wish.sets[0].external = stage.random.percent(50);
    wish.sets[0].snapshots = vec![declared("patched", full)];
    stage.run(&wish)
}
