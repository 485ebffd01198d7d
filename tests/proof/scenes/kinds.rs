//! Scenes in which both kinds of snapshots would meet, and of what may not be set in an external tree.

use super::super::wish::{Set, Snapshot};
use super::{Kept, Scene, Stage, declared, deletions, hourly, set, wish};

pub(super) const SCENES: &[Scene] = &[
    ("both kinds in one tree", mixed),
    ("an internal capture in an external tree", internal_declared),
    ("an internal series in an external tree", internal_series),
    ("two sets of two kinds", two_sets),
    ("a pointer declared in an external tree", pointer_declared),
];

fn full(snapshot: &mut Snapshot) {
    snapshot.content = "full";
}

/// The set has taken the snapshots over before somebody captured the other kind.
fn mixed(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    if stage.random.percent(30) {
        stage.capture_internal(&["golden", "base"]);
        stage.adopt()?;
        stage.capture(&["e1"]);
        return stage.anything(&["golden", "base"], false);
    }
    stage.capture(&["base", "e1", "e2"]);
    stage.adopt()?;
    stage.capture_internal(&["golden"]);
    stage.anything(&["base", "e1", "e2"], false)
}

fn internal_declared(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture(&["base"]);
    stage.run(&wish(vec![set("web", vec![declared("golden", full)])]))
}

fn internal_series(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture(&["base"]);
    stage.run(&wish(vec![Set { series: vec![hourly()], ..set("web", Vec::new()) }]))
}

fn two_sets(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    let (internal, external) = (declared("golden", full), declared("e1", |_| ()));
    // Whether a pattern chooses a domain that another set names is not known before the domains are.
    let patterned = Set { domains: &["vm*"], external: true, ..set("db", vec![external]) };
    stage.run(&wish(vec![set("web", vec![internal]), patterned]))
}

fn pointer_declared(stage: &mut Stage) -> Kept {
    stage.start_or_not();
    stage.capture(&["base", "e1", "e2"]);
    stage.adopt()?;
    let mut wish = deletions(&[], false);
    wish.sets[0].current = stage.random.pick(&["base", "e1"]).copied();
    stage.run(&wish)
}
