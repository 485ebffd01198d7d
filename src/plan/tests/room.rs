//! Captures that there is no space for: held back, and nothing deleted for their sake.

use super::series::{hourly, keep, member, series, slot};
use super::*;
use crate::model::image::Space;
use crate::plan::chain::tests::world::World;
use ActionKind::{Create, Delete, SetCurrent};
use ReasonCode as R;

fn with_free(mut domain: ObservedDomain, directory: &str, percent: u64) -> ObservedDomain {
    domain.files.space.insert(directory.into(), Space { free: percent, total: 100 });
    domain
}

#[test]
fn an_internal_capture_waits_for_space_and_nothing_goes_for_its_sake() {
    let spec = format!(
        "{{domains: {{include: [vm]}}, snapshots: [{}, {}], current: golden, series: [{}]}}",
        declared("golden", ""),
        declared("new", "parent: golden"),
        keep("last: 2")
    );
    let state = |free| {
        let present = vec![member(2), member(1), ours("golden")];
        observed(vec![with_free(domain_with(present, &["golden"]), "/images", free)])
    };
    let plan = plan_at(&desired(vec![set(&spec)]), &state(10), NOW);
    let kinds: Vec<_> = plan.actions.iter().map(|action| action.action).collect();
    assert_eq!(kinds, [Create, Create, SetCurrent, Delete]);
    let plan = plan_at(&desired(vec![set(&spec)]), &state(9), NOW);
    assert_eq!(actions(&plan), []);
    assert_eq!(blocks(&plan), [block(BlockCode::NoSpace, "new"), block(BlockCode::NoSpace, &slot(0))]);
    let text = &plan.blocked[0].text;
    assert!(text.contains("/images has 9 % free") && text.contains("10 % to remain"), "{text}");
    assert_eq!(plan.good_until, None, "no slot is taken");
}

/// A parent is metadata, and needs no space.
#[test]
fn what_is_there_gets_its_parent_without_space_too() {
    let placed = |text: &str, parent: &str| declared(text, &format!("parent: {parent}"));
    let list = [declared("golden", ""), placed("new", "golden"), placed("a", "golden"), placed("b", "new")].join(", ");
    let present = || domain_with(["a", "b", "golden"].map(ours).into(), &["a", "b", "golden"]);
    let plan = run(&snapshots(&list), with_free(present(), "/images", 0));
    assert_eq!(actions(&plan), [action(ActionKind::Redefine, "a", R::ParentDiffers)]);
    assert_eq!(blocks(&plan), [block(BlockCode::NoSpace, "new")]);
    let plan = run(&snapshots(&list), present());
    let redefined: Vec<_> =
        plan.actions.iter().filter(|a| a.action == ActionKind::Redefine).map(|a| a.address.snapshot.clone()).collect();
    assert_eq!(redefined, [Some(name("a")), Some(name("b"))], "with space, all");

    // `x` may go below `y` only because `y` leaves it, and that waits.
    let list = [declared("new", ""), placed("y", "new"), placed("x", "y")].join(", ");
    let below = ObservedSnapshot { parent: Some(name("x")), ..ours("y") };
    let present = domain_with(vec![ours("x"), below, ours("top")], &["x", "y"]);
    let plan = run(&snapshots(&list), with_free(present, "/images", 0));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(BlockCode::NoSpace, "new")]));
}

#[test]
fn what_goes_anyhow_goes_without_space_too() {
    let present = with_free(domain_with(vec![member(3), member(2), member(1)], &[]), "/images", 0);
    let plan = run(&series(&keep("last: 2")), present);
    assert_eq!(actions(&plan), [action(Delete, &slot(3), R::Retention)]);
    assert_eq!(blocks(&plan), [block(BlockCode::NoSpace, &slot(0))]);
}

#[test]
fn only_the_filesystems_of_disks_that_are_written_count() {
    let spec = series(&hourly(""));
    let plan = run(&spec, with_free(domain(), "/elsewhere", 1));
    assert_eq!(actions(&plan), [action(Create, &slot(0), R::Scheduled)]);
    let mut with_iso = with_free(domain(), "/iso", 0);
    with_iso.disks.push(ObservedDisk { source: Some("/iso/cd".into()), readonly: true, ..disk("sda", "raw") });
    assert_eq!(blocks(&run(&spec, with_iso)), []);
}

/// A series of external snapshots of which each is an hour older than the next, the newest an hour ago.
fn external(count: i64) -> ObservedDomain {
    let names: Vec<String> = (1..=count).rev().map(slot).collect();
    let mut domain = World::line(&names.iter().map(String::as_str).collect::<Vec<_>>()).domain();
    domain.uuid = uuid_of("vm");
    let owned = (1..=count).rev().zip(domain.tree.iter());
    let owned: Vec<_> = owned
        .map(|(hours_ago, _)| {
            let snapshot = domain.tree.get(&name(&slot(hours_ago))).expect("captured").clone();
            let like = member(hours_ago);
            ObservedSnapshot { created: like.created, description: like.description, ..snapshot }
        })
        .collect();
    domain.tree = SnapshotTree::new(owned, domain.tree.current().cloned());
    domain.ledger = Some(Ledger::empty(domain.uuid));
    domain.ledger_is_current = true;
    domain
}

fn disks_hourly(rules: &str) -> String {
    series(&format!(
        "{{name: hourly, schedule: {{cron: '0 * * * *'}}, capture: {{content: disks, location: external}}, prune: true, \
         retention: {{spec: {{keep: {{{rules}}}}}}}}}"
    ))
}

#[test]
fn the_only_snapshot_of_a_series_does_not_make_room_for_one_that_may_fail() {
    let plan = run(&disks_hourly("last: 1"), external(1));
    let replaced = [action(Create, &slot(0), R::Scheduled), action(Delete, &slot(1), R::Retention)];
    assert_eq!(actions(&plan), replaced, "first the new one");
    let plan = run(&disks_hourly("last: 1"), with_free(external(1), "/i", 5));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(BlockCode::NoSpace, &slot(0))]));
    // What goes without the new one too makes room for it.
    let plan = run(&disks_hourly("last: 2"), with_free(external(3), "/i", 5));
    assert_eq!(actions(&plan), [action(Delete, &slot(3), R::Retention), action(Create, &slot(0), R::Scheduled)]);
    let limited = |rules: &str, count| {
        let plan =
            plan_at(&with_safety(&disks_hourly(rules), "{chainLimit: 4}"), &observed(vec![external(count)]), NOW);
        (actions(&plan), blocks(&plan))
    };
    assert_eq!(limited("last: 2", 2), (actions_of(&[(Create, 0), (Delete, 2)]), vec![]));
    // What it supersedes goes first, because nothing else makes room.
    assert_eq!(limited("last: 3", 3), (actions_of(&[(Delete, 3), (Create, 0)]), vec![]));
    // One of three is too large a share, and the one that may yet come does not make it one of four.
    let share = with_safety(&disks_hourly("last: 3"), "{chainLimit: 4, maxDeletes: {percent: 30}}");
    assert_eq!(actions(&plan_at(&share, &observed(vec![external(3)]), NOW)), []);
    // It would take two.
    assert_eq!(limited("last: 4", 4), (vec![], vec![block(BlockCode::ChainLimit, &slot(0))]));
}

fn actions_of(list: &[(ActionKind, i64)]) -> Vec<(ActionKind, String, ReasonCode)> {
    let reason = |kind| if kind == Create { R::Scheduled } else { R::Retention };
    list.iter().map(|&(kind, hours_ago)| action(kind, &slot(hours_ago), reason(kind))).collect()
}
