//! Which snapshots count as complete: for minimumCount and as the newest good one.

use super::series::{hourly, member, series, slot};
use super::*;
use crate::model::snapshot::KeptDefinition;
use crate::plan::chain::tests::world::World;
use crate::plan::complete::Wholeness;
use crate::plan::status;

fn whole(domain: &ObservedDomain) -> Vec<&str> {
    let wholeness = Wholeness::of(domain);
    domain.tree.iter().filter(|snapshot| wholeness.is_whole(snapshot)).map(|snapshot| snapshot.name.as_str()).collect()
}

#[test]
fn an_external_snapshot_is_whole_while_no_image_it_stands_on_is_missing() {
    let line = || World::line(&["e1", "e2", "e3"]);
    assert_eq!(whole(&line().domain()), ["e1", "e2", "e3"]);
    // What e1 captured is below it; what e2 captured is in the overlay of e1.
    assert_eq!(whole(&line().without_image("/i/vda.e1").domain()), ["e1"]);
    assert_eq!(whole(&line().without_image("/i/vda").domain()), [""; 0]);
    // The overlay of the newest holds what was written after it.
    assert_eq!(whole(&line().without_image("/i/vda.e3").domain()), ["e1", "e2", "e3"]);
    assert_eq!(whole(&line().unreadable("/i/vda.e1").domain()), ["e1", "e2", "e3"], "not known to be broken");
    let branches = line().revert("e1").capture("f");
    assert_eq!(whole(&branches.clone().domain()), ["e1", "e2", "e3", "f"]);
    assert_eq!(whole(&branches.without_image("/i/vda.e2").domain()), ["e1", "e2", "f"], "in a branch not in use");
}

#[test]
fn any_disk_and_the_memory_count() {
    let mut world = World::new(&["vda", "vdb"]).capture("e1").capture_some("e2", &["vda"]);
    assert_eq!(whole(&world.clone().without_image("/i/vdb.e1").domain()), ["e1", "e2"], "e2 did not capture vdb");
    assert_eq!(whole(&world.clone().without_image("/i/vdb").domain()), ["e2"]);
    world.files("e1").memory = Some("/i/e1.memory".into());
    assert_eq!(whole(&world.clone().domain()), ["e1", "e2"], "nobody looked");
    assert_eq!(whole(&world.without_image("/i/e1.memory").domain()), ["e2"]);
}

#[test]
fn an_interrupted_merge_leaves_neither_the_deleted_nor_its_parent_whole() {
    let mut world = World::line(&["e1", "e2", "e3"]);
    world.files("e1").unfinished.insert("vda".into());
    assert_eq!(whole(&world.domain()), ["e3"]);
}

/// Three slots; the images of the newest two were lost to libvirt.
fn with_two_hollow() -> ObservedDomain {
    let mut domain = domain_with(vec![member(3), member(2), member(1)], &[]);
    domain.image_snapshots.insert("vda".into(), vec![slot(3)]);
    domain
}

#[test]
fn an_internal_snapshot_that_its_image_lacks_is_not_complete() {
    let mut domain = with_two_hollow();
    assert_eq!(whole(&domain), [slot(3)]);
    domain.image_snapshots.clear();
    assert_eq!(whole(&domain).len(), 3, "the image cannot be read from here");
}

/// The domain was put on another image: what the one of their time holds is not known, and none of them goes for it.
#[test]
fn an_internal_snapshot_is_not_judged_by_an_image_that_it_is_not_in() {
    let mut domain = with_two_hollow();
    let then = KeptDefinition { disks: domain.disks.clone(), memory_kib: None };
    let snapshots = domain
        .tree
        .iter()
        .map(|snapshot| ObservedSnapshot { definition: Some(then.clone().into()), ..snapshot.clone() });
    domain.tree = SnapshotTree::new(snapshots.collect::<Vec<_>>(), None);
    assert_eq!(whole(&domain), [slot(3)]);
    domain.disks[0].source = Some("/images/other.qcow2".into());
    assert_eq!(whole(&domain).len(), 3);
}

#[test]
fn minimum_count_keeps_the_last_one_that_is_complete() {
    let spec = |minimum: u32| {
        let policy =
            format!("prune: true, when: running, retention: {{spec: {{keep: {{last: 2}}, minimumCount: {minimum}}}}}");
        series(&hourly(&policy))
    };
    let plan = run(&spec(1), with_two_hollow());
    assert_eq!(actions(&plan), [], "{:?}", plan.kept);
    let kept = plan.kept.iter().find(|kept| kept.address.snapshot == Some(name(&slot(3)))).expect("kept");
    assert!(kept.reason.text.contains("complete"), "{}", kept.reason.text);
    assert_eq!(
        actions(&run(&spec(0), with_two_hollow())),
        [action(ActionKind::Delete, &slot(3), ReasonCode::Retention)]
    );
}

#[test]
fn the_newest_good_one_is_complete() {
    let state = observed(vec![with_two_hollow()]);
    let plan = plan_at(&desired(vec![set(&series(&hourly("")))]), &state, NOW);
    let good = status(&state, &plan).domains[0].newest_good.clone().expect("one");
    assert_eq!(good.name.as_str(), slot(3));
}
