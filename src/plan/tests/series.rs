//! Series: captured once per slot whatever happens, kept and deleted by their policy, and left alone where that is asked.

use super::world::World;
use super::*;
use crate::model::kinds::{RetentionPolicy, SeriesTemplate};
use ActionKind::{Create, Delete, Redefine, SetCurrent};
use BlockCode as B;
use ReasonCode as R;

pub(super) const HOUR: i64 = 3600;

/// A set for `vm` with these series.
pub(super) fn series(list: &str) -> String {
    format!("{{domains: {{include: [vm]}}, series: [{list}]}}")
}

/// An hourly internal series with more fields.
pub(super) fn hourly(fields: &str) -> String {
    format!(
        "{{name: hourly, schedule: {{cron: '0 * * * *'}}, capture: {{content: full, location: internal}}, {fields}}}"
    )
}

pub(super) fn keep(rules: &str) -> String {
    hourly(&format!("prune: true, retention: {{spec: {{keep: {{{rules}}}}}}}"))
}

/// `web-hourly-SLOT` of the hour so long before [`NOW`].
pub(super) fn slot(hours_ago: i64) -> String {
    let slot = jiff::Timestamp::from_second(NOW - hours_ago * HOUR).expect("in range");
    format!("web-hourly-{}", crate::model::series::slot_name(slot))
}

/// One of the hourly series' snapshots, captured at its slot.
pub(super) fn member(hours_ago: i64) -> ObservedSnapshot {
    let mut snapshot = ours(&slot(hours_ago));
    snapshot.created = NOW - hours_ago * HOUR;
    let stamp = snapshot.description.stamp.as_mut().expect("a stamp");
    stamp.series = Some("hourly".into());
    stamp.slot = jiff::Timestamp::from_second(snapshot.created).ok();
    snapshot
}

pub(super) fn members(hours_ago: impl IntoIterator<Item = i64>) -> ObservedDomain {
    domain_with(hours_ago.into_iter().map(member).collect(), &[])
}

fn stamped(mut snapshot: ObservedSnapshot, line: &str) -> ObservedSnapshot {
    snapshot.description = Description::parse(&format!("{}\n{line}", snapshot.description.render()));
    snapshot
}

#[test]
fn a_due_slot_is_captured_once_under_its_own_name() {
    let mut world = World::new(&series(&hourly("")), domain());
    world.now = NOW + 61;
    let plan = world.run();
    let name = slot(0);
    assert_eq!(actions(&plan), [action(Create, &name, R::Scheduled)]);
    assert_eq!(name, "web-hourly-20261123T000000Z");
    let stamp = plan.actions[0].after.as_ref().and_then(|after| after.stamp.clone()).expect("a stamp");
    assert_eq!(
        stamp,
        [
            "Snapward-Set: default/web",
            &format!("Snapward-Snapshot: {name}"),
            "Snapward-Series: hourly",
            "Snapward-Slot: 20261123T000000Z",
            "Snapward-Consistency: offline"
        ]
    );
    assert_eq!(plan.actions[0].reason.text, "slot 2026-11-23T00:00:00Z of series hourly (0 * * * *, UTC)");
    assert_eq!(plan.domains[0].next_due.as_deref(), Some("2026-11-23T00:00:00Z"), "owed");
    world.now = NOW + HOUR - 1;
    let plan = world.run();
    assert_eq!((actions(&plan), plan.unchanged), (vec![], 1));
    assert_eq!(plan.domains[0].next_due.as_deref(), Some("2026-11-23T01:00:00Z"));
    world.now = NOW + HOUR;
    assert_eq!(actions(&world.run()).len(), 1);
}

#[test]
fn a_pull_requests_plan_stays_the_same_plan_while_slots_come_due() {
    let spec = format!(
        "{{domains: {{include: [vm]}}, snapshots: [{}], current: golden, series: [{}]}}",
        declared("golden", ""),
        keep("last: 1")
    );
    let state = || domain_with(vec![member(3), member(2), ours("golden")], &["golden"]);
    let at = |seconds| plan_at(&desired(vec![set(&spec)]), &observed(vec![state()]), seconds);
    let plan = at(NOW);
    let moved = [action(Create, &slot(0), R::Scheduled), action(SetCurrent, "golden", R::CurrentMoved)];
    assert_eq!(actions(&plan), moved, "two of three at once are over 50 percent");
    let spec = spec.replace("keep: {last: 1}", "keep: {last: 2}");
    let plan_of = |seconds| plan_at(&desired(vec![set(&spec)]), &observed(vec![state()]), seconds);
    assert_eq!(actions(&plan_of(NOW)).len(), 3);
    let none_due = plan_at(
        &desired(vec![set(&spec.replace("'0 * * * *'", "'0 0 1 1 *', startingDeadline: 1h"))]),
        &observed(vec![state()]),
        NOW,
    );
    assert_eq!(actions(&none_due), []);
    assert_eq!(plan_of(NOW).plan_id, none_due.plan_id, "captures, the pointer they move, and retention are not in it");
}

#[test]
fn the_pointer_is_put_back_where_it_is_declared_and_else_goes_with_the_captures() {
    let spec = format!(
        "{{domains: {{include: [vm]}}, snapshots: [{}], current: golden, series: [{}]}}",
        declared("golden", ""),
        hourly("")
    );
    let mut world = World::new(&spec, domain_with(vec![ours("golden")], &["golden"]));
    for _ in 0..3 {
        assert_eq!(world.run().actions.len(), 2);
        assert_eq!(world.domain.tree.current().map(SnapshotName::as_str), Some("golden"));
        assert!(world.plan().actions.is_empty());
        world.now += HOUR;
    }
    let mut world = World::new(&series(&keep("last: 1")), domain());
    for passed in 0..3 {
        world.run();
        assert_eq!(world.names(), [slot(-passed)], "what was current goes once the next one is");
        world.now += HOUR;
    }
}

/// Asked at every step, each run ended after a number of actions that changes from run to run.
fn invariants(step: i64, kills: &[usize], runs: usize) -> World {
    let mut world = World::new(&series(&keep("last: 2, daily: 3")), domain());
    for run in 0..runs {
        let newest = world.captured.last().cloned();
        world.run_killed_after(kills[run % kills.len()]);
        let mut once = world.captured.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), world.captured.len(), "a slot was captured twice");
        assert!(newest.is_none_or(|newest| world.names().contains(&newest)), "the newest one was deleted");
        assert!(world.captured.is_sorted(), "an older slot came back");
        world.now += step;
    }
    world
}

#[test]
fn a_timer_of_any_pace_takes_each_slot_at_most_once() {
    let minutely = invariants(60, &[usize::MAX], 60 * 50);
    assert_eq!(minutely.captured.len(), 50, "one per hour");
    assert_eq!(minutely.names().len(), 4, "two last ones and two more days: {:?}", minutely.names());
    let weekly = invariants(7 * 24 * HOUR, &[usize::MAX], 8);
    assert_eq!(weekly.captured.len(), 8);
}

#[test]
fn a_run_killed_anywhere_leaves_one_snapshot_per_slot_and_the_newest_never_comes_back() {
    for kills in [&[0, 1][..], &[1], &[0, 0, 2, 1], &[1, 0, usize::MAX], &[2, 0, 0, 0, 1]] {
        invariants(25 * 60, kills, 400);
    }
}

#[test]
fn what_has_the_name_of_a_slot_and_is_not_of_the_series_is_left_alone() {
    let spec = series(&hourly(""));
    let plan = run(&spec, domain_with(vec![foreign(&slot(0))], &[]));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::Conflict, &slot(0))]));
    assert_eq!(plan.unmanaged.len(), 1);
    let plan = run(&spec, domain_with(vec![ours(&slot(0))], &[&slot(0)]));
    assert_eq!(blocks(&plan), [block(B::Conflict, &slot(0))], "ours, and not of the series");
    let tags = BTreeMap::from([("vda".to_owned(), vec![slot(0)])]);
    let plan = run(&spec, ObservedDomain { image_snapshots: tags, ..domain() });
    assert_eq!(blocks(&plan), [block(B::NotPossible, &slot(0))], "the image holds one that libvirt does not list");
}

#[test]
fn retention_deletes_with_reasons_and_only_where_it_may() {
    let plan = run(&series(&keep("last: 4")), members([5, 4, 3, 2, 0]));
    assert_eq!(actions(&plan), [action(Delete, &slot(5), R::Retention)]);
    assert_eq!(
        plan.actions[0].reason.text,
        "series hourly of set default/web: no rule reaches back to it; hourly: 1 would keep it"
    );
    let kept: Vec<_> = plan.kept.iter().map(|kept| (kept.reason.code, kept.reason.text.as_str())).collect();
    assert_eq!(kept.len(), 4);
    assert_eq!(
        kept[3].1,
        "the domain's current snapshot; last 1 of 4; the newest of its series; complete, and 1 of minimumCount 1"
    );
    let plan = run(&series(&keep("last: 4").replace("prune: true", "prune: false")), members([5, 4, 3, 2, 0]));
    assert_eq!(actions(&plan), []);
}

#[test]
fn holds_protection_and_declarations_are_outside_of_the_count() {
    let spec = |more: &str| format!("{{domains: {{include: [vm]}}, series: [{}]{more}}}", keep("last: 2"));
    let state = || {
        let present = vec![stamped(member(9), "Snapward-Protect: true"), member(8), member(7), member(1), member(0)];
        domain_with(present, &[])
    };
    let plan = run(&spec(""), state());
    assert_eq!(actions(&plan), [action(Delete, &slot(8), R::Retention), action(Delete, &slot(7), R::Retention)]);
    let hold = format!(", holds: [{{snapshot: {}, reason: audit}}]", slot(8));
    let plan = run(&spec(&hold), state());
    assert_eq!(actions(&plan), [action(Redefine, &slot(8), R::FieldsDiffer), action(Delete, &slot(7), R::Retention)]);
    let mut world = World::new(&spec(&hold), state());
    world.run();
    assert!(world.plan().actions.is_empty(), "the hold is written");
    world.desired = desired(vec![set(&spec(""))]);
    assert_eq!(actions(&world.run()), [action(Redefine, &slot(8), R::FieldsDiffer)], "first it is lifted");
    assert_eq!(actions(&world.run()), [action(Delete, &slot(8), R::Retention)]);
    let named = format!(", snapshots: [{}]", declared(&slot(7), ""));
    let plan = run(&spec(&named), state());
    assert_eq!(actions(&plan), [action(Delete, &slot(8), R::Retention)]);
}

#[test]
fn a_suspended_set_neither_captures_nor_deletes() {
    let spec = series(&keep("last: 1")).replacen('{', "{suspend: {reason: audit}, ", 1);
    let plan = run(&spec, members([5, 4, 3]));
    assert_eq!((actions(&plan), blocks(&plan), plan.kept.len()), (vec![], vec![], 0));
    assert!(plan.unmanaged.is_empty());
    assert_eq!(plan.domains[0].next_due, None);
    let absent = spec.replace("name: hourly,", "name: hourly, state: absent,");
    assert_eq!(actions(&run(&absent, members([5, 4, 3]))), []);
}

#[test]
fn snapshots_of_another_scheduler_are_taken_over_by_name_and_not_deleted_in_the_same_pass() {
    let fields = "prune: true, retention: {spec: {keep: {last: 2}}}, adopt: {pattern: 'auto-%Y%m%d-%H%M', timeZone: Europe/Prague}";
    let old = |hours_ago: i64, name: &str| ObservedSnapshot { created: NOW - hours_ago * HOUR, ..foreign(name) };
    let state = domain_with(
        vec![
            old(9, "auto-20261122-1600"),
            old(8, "auto-20261122-1700"),
            old(7, "auto-20261122-1800"),
            old(1, "auto-20261123-0100"),
            foreign("autobahn"),
        ],
        &[],
    );
    let mut world = World::new(&series(&hourly(fields)), state);
    let plan = world.run();
    assert_eq!(plan.actions.len(), 4, "and the slot of 00:00 UTC is taken already: {:?}", actions(&plan));
    assert!(plan.actions.iter().all(|a| (a.action, a.reason.code) == (Redefine, R::Adopt)));
    let stamp = plan.actions[0].after.as_ref().and_then(|after| after.stamp.clone()).expect("a stamp");
    assert_eq!(stamp[3], "Snapward-Slot: 20261122T150000Z");
    assert_eq!(plan.unmanaged.len(), 1);
    assert_eq!(
        actions(&world.run()),
        [action(Delete, "auto-20261122-1600", R::Retention), action(Delete, "auto-20261122-1700", R::Retention)]
    );
    let early = series(&hourly("adopt: {pattern: 'auto-%Y%m%d-%H%M'}"));
    let plan = run(&early, domain_with(vec![foreign("auto-20261123-0100")], &[]));
    assert_eq!(
        blocks(&plan),
        [block(B::Clock, "auto-20261123-0100")],
        "an hour ahead: another zone than it was written in"
    );
    assert_eq!(actions(&plan), [action(Create, &slot(0), R::Scheduled)]);
    let two = format!(
        "{}, {}",
        hourly("adopt: {pattern: 'auto-%Y%m%d-%H%M'}"),
        hourly("adopt: {pattern: 'auto-%Y%m%d-%H%M'}").replace("name: hourly", "name: other")
    );
    let plan = run(&series(&two), domain_with(vec![foreign("auto-20261122-1600")], &[]));
    assert_eq!(blocks(&plan), [block(B::Conflict, "auto-20261122-1600")]);
}

#[test]
fn an_absent_series_is_drained_but_for_what_must_stay() {
    let spec = series("{name: hourly, state: absent}");
    let plan = run(
        &spec,
        domain_with(
            vec![ours("golden"), stamped(member(5), "Snapward-Protect: true"), member(4), member(3)],
            &["golden"],
        ),
    );
    assert_eq!(actions(&plan), [action(Delete, &slot(4), R::Drained), action(Delete, &slot(3), R::Drained)]);
    let codes: Vec<_> = plan.kept.iter().map(|kept| kept.reason.code).collect();
    assert_eq!(codes, [R::Orphaned, R::Protected].into_iter().rev().collect::<Vec<_>>());
    let plan = run(&spec, members([4, 3]));
    assert_eq!(
        (actions(&plan), blocks(&plan)),
        (vec![action(Delete, &slot(4), R::Drained)], vec![block(B::LastSnapshot, &slot(3))])
    );
    let empty = with_safety(&spec, "{allowEmpty: true}");
    let plan = plan_at(&empty, &observed(vec![members([4, 3])]), NOW);
    assert_eq!(actions(&plan).len(), 2);
    let plan = run(&series(""), members([4, 3]));
    assert_eq!((actions(&plan), plan.kept.len()), (vec![], 2), "out of the manifest: retained, and said");
    assert!(plan.kept[0].reason.text.contains("no longer declares series hourly"), "{}", plan.kept[0].reason.text);
}

#[test]
fn the_breaker_counts_per_domain_and_by_the_share_of_a_series() {
    let spec = series(&keep("last: 30"));
    let state = || members((0..41).rev());
    let plan = run(&spec, state());
    assert_eq!((plan.actions.len(), plan.blocked.len()), (0, 11));
    assert!(plan.blocked[0].text.contains("domain vm"), "{}", plan.blocked[0].text);
    let share = with_safety(&spec, "{maxDeletes: {perDomain: 100, percent: 20}}");
    let mut plan = plan_at(&share, &observed(vec![state()]), NOW);
    assert_eq!((plan.actions.len(), plan.blocked.len()), (0, 11));
    assert!(plan.blocked[0].text.contains("11 of the 41 snapshots"), "{}", plan.blocked[0].text);
    crate::plan::release(&mut plan);
    assert_eq!((plan.actions.len(), plan.blocked.len()), (11, 0), "a person approved it");
    let wide = with_safety(&spec, "{maxDeletes: {perDomain: 100, percent: 30}}");
    assert_eq!(plan_at(&wide, &observed(vec![state()]), NOW).actions.len(), 11);
    let late = plan_at(&with_safety(&spec, "{maxDeletes: {perDomain: 5}}"), &observed(vec![state()]), NOW + HOUR);
    assert_eq!(actions(&late), [action(Create, &slot(-1), R::Scheduled)], "the rest of the plan proceeds");
}

#[test]
fn deletions_wait_for_a_window_and_captures_do_not() {
    let spec = series(&keep("last: 4"));
    let windows = "{windows: [{allow: [delete], cron: '0 22 * * *', duration: 90m}]}";
    let closed = with_safety(&spec, windows);
    let plan = plan_at(&closed, &observed(vec![members([5, 4, 3, 2, 1])]), NOW);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![action(Create, &slot(0), R::Scheduled)], vec![]));
    let waits: Vec<_> = plan.kept.iter().filter(|kept| kept.reason.code == R::Window).collect();
    assert_eq!(waits.len(), 2);
    assert!(waits[0].reason.text.ends_with("opens, 2026-11-23T22:00:00Z"), "{}", waits[0].reason.text);
    let plan = plan_at(&closed, &observed(vec![members([5, 4, 3, 2, 1])]), NOW - HOUR);
    assert_eq!(actions(&plan), [action(Delete, &slot(5), R::Retention)]);
    let plan = plan_at(
        &with_safety(&spec, &windows.replace("delete", "revert")),
        &observed(vec![members([5, 4, 3, 2, 0])]),
        NOW,
    );
    assert_eq!(actions(&plan).len(), 1, "a window for reverts does not close deletions");
    let mut never = closed.clone();
    never.sets.push(set_named("db", "{domains: {include: [vm]}, safety: {policyRef: noon}}"));
    let noon = "{apiVersion: snapward/v1, kind: SafetyPolicy, metadata: {name: noon}, spec: {windows: [{allow: [delete], cron: '0 12 * * *', duration: 1h}]}}";
    never.safety.insert("default/noon".parse().expect("valid"), document::<SafetyPolicy>(noon));
    let plan = plan_at(&never, &observed(vec![members([5, 4, 3, 2, 0])]), NOW);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::WindowClosed, &slot(5))]));
}

#[test]
fn an_opening_window_is_a_reason_to_run() {
    let yearly = series(&keep("last: 2")).replace("0 * * * *", "0 0 1 1 *");
    let due = |policy: &str, hours_ago: &[i64]| {
        let state = observed(vec![members(hours_ago.iter().copied())]);
        plan_at(&with_safety(&yearly, policy), &state, NOW).domains[0].next_due.clone().expect("due")
    };
    let nightly = "{windows: [{allow: [delete], cron: '0 22 * * *', duration: 90m}]}";
    assert_eq!(due(nightly, &[5, 4, 3]), "2026-11-23T22:00:00Z", "a deletion waits for it");
    assert_eq!(due(nightly, &[5, 4]), "2027-01-01T00:00:00Z", "nothing does");
    assert_eq!(
        due(&nightly.replace("0 22 * * *", "0 0 2 1 *"), &[5, 4, 3]),
        "2027-01-01T00:00:00Z",
        "the slot is first"
    );
}

#[test]
fn a_plan_is_good_until_its_slots_or_windows_are_over() {
    let until = |plan: Plan| plan.good_until.unwrap_or_default();
    assert_eq!(until(run(&series(&hourly("")), domain())), "2026-11-23T01:00:00Z");
    let early = hourly("").replace("'0 * * * *'", "'0 * * * *', startingDeadline: 10m");
    assert_eq!(until(run(&series(&early), domain())), "2026-11-23T00:10:00Z");
    assert_eq!(until(run(&series(&hourly("")), members([0]))), "", "nothing in it is bound to a time");
    let safe =
        with_safety(&series(&keep("last: 2")), "{windows: [{allow: [delete], cron: '0 22 * * *', duration: 3h}]}");
    let state = || observed(vec![members([5, 4, 0])]);
    assert_eq!(until(plan_at(&safe, &state(), NOW)), "2026-11-23T01:00:00Z");
    assert_eq!(until(plan_at(&safe, &state(), NOW + HOUR)), "2026-11-23T02:00:00Z", "closed: only the slot counts");
}

#[test]
fn a_slot_ahead_of_the_clock_stops_the_series_until_a_person_has_looked() {
    let plan = run(&series(&keep("last: 1")), members([5, 4, -1]));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::Clock, &slot(-1))]));
    let lenient = with_safety(&series(&keep("last: 2")), "{clock: {maxFuture: 2h}}");
    let plan = plan_at(&lenient, &observed(vec![members([5, 4, -1])]), NOW);
    assert_eq!(actions(&plan), [action(Delete, &slot(5), R::Retention)]);
}

#[test]
fn a_domain_in_another_run_state_than_asked_for_is_passed_over() {
    let plan = run(&series(&hourly("when: running")), domain());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![]), "no matter for a person");
    assert!(plan.warnings[0].text.contains("the domain is shut off"), "{}", plan.warnings[0].text);
    let asleep = ObservedDomain { state: RunState::PmSuspended, ..domain() };
    let plan = run(&series(&hourly("")), asleep);
    assert_eq!(blocks(&plan), [block(B::NotPossible, &slot(0))]);
    let domain = &plan.domains[0];
    assert_eq!(domain.next_due.as_deref(), Some("2026-11-23T00:00:00Z"), "owed until a person has looked");
    assert_eq!(domain.wake, "2026-11-23T01:00:00Z".parse().ok(), "what comes is not hidden behind it");
}

#[test]
fn a_missed_slot_is_said_and_not_made_up_for() {
    let spec = series(&hourly("").replace("'0 * * * *'", "'0 * * * *', startingDeadline: 10m"));
    let plan = plan_at(&desired(vec![set(&spec)]), &observed(vec![members([5])]), NOW + 600);
    assert_eq!(actions(&plan), []);
    assert!(plan.warnings[0].text.contains("was not taken before its startingDeadline"), "{}", plan.warnings[0].text);
}

#[test]
fn two_sets_with_a_series_of_one_name_are_blocked() {
    let sets = desired(vec![set(&series(&keep("last: 1"))), set_named("db", &series(&hourly("")))]);
    let plan = plan_at(&sets, &observed(vec![members([5, 4, 3])]), NOW);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::Conflict, "")]));
    let drained = desired(vec![set(&series("{name: hourly, state: absent}")), set_named("db", &series(&hourly("")))]);
    let plan = plan_at(&drained, &observed(vec![members([5])]), NOW);
    let moved = [action(Create, &slot(0).replace("web", "db"), R::Scheduled), action(Delete, &slot(5), R::Drained)];
    assert_eq!(
        (actions(&plan), blocks(&plan)),
        (moved.to_vec(), vec![]),
        "a series may move from one set to the other"
    );
}

#[test]
fn kinds_that_must_not_meet_stop_series_too() {
    let external = hourly("").replace("location: internal", "location: external");
    assert_eq!(blocks(&run(&series(&external), domain_with(vec![foreign("i")], &[]))), [block(B::MixedKinds, "")]);
    let mut other = foreign("e");
    other.disks.insert("vda".into(), Storage::External);
    assert_eq!(blocks(&run(&series(&hourly("")), domain_with(vec![other], &[]))), [block(B::MixedKinds, "")]);
}

#[test]
fn what_libvirt_cannot_delete_now_is_kept() {
    let mut held = member(5);
    held.disks.insert("vdb".into(), Storage::Internal);
    let state = domain_with(vec![held, member(4), member(0)], &[]);
    let plan = run(&series(&keep("last: 2")), ObservedDomain { state: RunState::Running, ..state });
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![]));
    let tree: Vec<_> = plan.kept.iter().filter(|kept| kept.reason.code == R::Tree).collect();
    assert!(tree[0].reason.text.contains("vdb"), "{}", tree[0].reason.text);
}

#[test]
fn a_templates_keys_hold_where_the_series_gives_none() {
    let mut state = desired(vec![set(&series(
        "{name: hourly, template: t, nameTemplate: 'x-{slot}', schedule: {cron: '30 * * * *'}}",
    ))]);
    let template = "{apiVersion: snapward/v1, kind: SeriesTemplate, metadata: {name: t}, spec: {schedule: {cron: '@daily', \
                    timeZone: Europe/Prague}, capture: {content: full, location: internal}, when: running, nameTemplate: 't-{slot}', \
                    prune: true, retention: {policyRef: p}}}";
    let policy = "{apiVersion: snapward/v1, kind: RetentionPolicy, metadata: {name: p}, spec: {keep: {last: 1}}}";
    state.templates.insert("default/t".parse().expect("valid"), document::<SeriesTemplate>(template));
    state.retention.insert("default/p".parse().expect("valid"), document::<RetentionPolicy>(policy));
    let running = ObservedDomain { state: RunState::Running, ..members([3]) };
    let plan = plan_at(&state, &observed(vec![running]), NOW);
    assert_eq!(
        actions(&plan),
        [action(Create, "x-20261122T233000Z", R::Scheduled), action(Delete, &slot(3), R::Retention)],
        "its own schedule as a whole, the template's capture, `when` and retention"
    );
    assert!(
        plan.actions[0].reason.text.ends_with("(30 * * * *, UTC)"),
        "the zone of the template's schedule is replaced too"
    );
}

#[test]
fn a_lost_ledger_does_not_stop_a_series_and_is_not_papered_over_by_it() {
    let state = ObservedDomain { ledger: None, ..members([5]) };
    let plan = run(&series(&hourly("")), state);
    assert_eq!(actions(&plan), [action(Create, &slot(0), R::Scheduled)]);
    assert_eq!(plan.domains[0].ledger, None, "an empty one would say that nothing was ever declared here");
    let plan = run(&series(&hourly("")), domain());
    assert!(plan.domains[0].ledger.is_some(), "the first capture of a domain begins one");
}

#[test]
fn the_scheduled_example_runs_for_a_week_without_a_person() {
    let text = include_str!("../../../examples/scheduled/databases.yaml").replace("db-*", "vm");
    let loaded =
        crate::manifest::load(&[crate::manifest::Source { name: Arc::from("m.yaml"), text: text.into_bytes() }]);
    let mut world = World::new(&series(""), domain());
    world.desired = loaded.desired;
    world.now = NOW + 600;
    let mut most = 0;
    for _ in 0..7 * 24 {
        let plan = world.run();
        assert_eq!(blocks(&plan), [], "at {}", plan.created_at);
        most = most.max(world.names().len());
        world.now += HOUR;
    }
    assert_eq!(world.captured.len(), 7 * 24 + 7);
    assert!((20..40).contains(&most), "{most} at most");
}
