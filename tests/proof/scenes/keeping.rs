//! Scenes of what keeps a snapshot that would go: whose it is, its age, holds, protection, requests, windows and the breaker.

use super::super::wish::{Safety, Snapshot, Wish};
use super::{Kept, Scene, Stage, declared, deletions, set, wish};

pub(super) const SCENES: &[Scene] = &[
    ("somebody's snapshot of a declared name", somebodys),
    ("a time that is not over", young),
    ("absent and protected", protected),
    ("old and held", held),
    ("absent and awaited", awaited),
    ("a closed window", closed),
    ("more than may go of a host", over_the_host),
    ("a token that was used", used_token),
    ("captures and deletions in one pass", captures_first),
];

fn web(snapshots: Vec<Snapshot>) -> Wish {
    wish(vec![set("web", snapshots)])
}

/// Internal snapshots that the set has taken over.
fn set_up(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture_internal(&["golden", "base", "e1"]);
    stage.adopt()
}

fn aging(name: &'static str, hours: i64) -> Snapshot {
    declared(name, |snapshot| {
        snapshot.content = "full";
        snapshot.adopt = true;
        snapshot.delete_after_hours = Some(hours);
    })
}

fn somebodys(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture_internal(&["golden"]);
    stage.run(&web(vec![declared("golden", |snapshot| {
        snapshot.content = "full";
        snapshot.adopt = false;
        snapshot.description = Some(1);
    })]))
}

fn young(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    stage.run(&web(vec![aging("golden", 48), aging("base", 24)]))
}

/// Protection is in the stamp, and stays until it is lifted.
fn protected(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let mut golden = aging("golden", 1_000);
    golden.protect = Some(true);
    stage.run(&web(vec![golden]))?;
    stage.run(&deletions(&["golden"], false))
}

fn held(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let mut wish = web(vec![aging("golden", 1), aging("base", 1)]);
    wish.sets[0].holds = vec!["golden".to_owned()];
    stage.run(&wish)
}

fn awaited(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let mut wish = stage.reverting("golden", false);
    wish.sets = deletions(&["golden"], false).sets;
    if stage.random.percent(50) {
        wish.sets[0].snapshots = vec![aging("golden", 1)];
    }
    // A request that was done still needs its target, until it expires.
    stage.run(&wish)
}

fn closed(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let hour = stage.world().now.rem_euclid(86_400) / 3600;
    let mut wish = deletions(&["golden"], false);
    wish.sets[0].safety = Some(Safety { window: Some(((hour + 12) % 24, 1)), ..Safety::default() });
    stage.run(&wish)
}

fn over_the_host(stage: &mut Stage) -> Kept {
    set_up(stage)?;
    let mut wish = web(vec![aging("golden", 1), aging("base", 1), aging("e1", 1)]);
    wish.sets[0].safety = Some(Safety { per_host: 2, ..Safety::default() });
    stage.run(&wish)
}

/// The same request is there on another day.
fn used_token(stage: &mut Stage) -> Kept {
    if stage.random.percent(50) {
        set_up(stage)?;
    } else {
        stage.capture(&["golden", "base"]);
        stage.adopt()?;
    }
    let wish = stage.reverting("golden", false);
    stage.run(&wish)?;
    stage.write();
    stage.run(&wish)
}

/// There is room for both, so what is new is there before anything goes.
fn captures_first(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture(&["golden", "base"]);
    stage.adopt()?;
    let mut wish = super::capturing("patched", false);
    wish.sets[0].snapshots.iter_mut().filter(|snapshot| snapshot.name == "golden").for_each(|s| s.absent = true);
    stage.run(&wish)
}
