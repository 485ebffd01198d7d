//! What must not happen: captures that cannot work, kinds that must not meet, suspended sets, too many deletions; and
//! that plans are stable.

use super::*;
use crate::model::image::ImageState;
use ActionKind::Create;
use BlockCode as B;
use ReasonCode as R;

#[test]
fn captures_that_cannot_work_are_blocked_before_anything_is_touched() {
    let one = snapshots(&declared("a", ""));
    let obstacle = |domain: ObservedDomain| blocks(&run(&one, domain));
    let not_possible = [block(B::NotPossible, "a")];
    assert_eq!(
        obstacle(ObservedDomain { disks: vec![disk("vda", "qcow2"), disk("vdb", "raw")], ..domain() }),
        not_possible
    );
    assert_eq!(obstacle(ObservedDomain { disks: vec![], ..domain() }), not_possible);
    assert_eq!(obstacle(ObservedDomain { state: RunState::PmSuspended, ..domain() }), not_possible);
    assert_eq!(
        obstacle(ObservedDomain { state: RunState::Crashed, ..domain() }),
        not_possible,
        "a dead guest's memory"
    );
    assert_eq!(obstacle(ObservedDomain { nvram: Nvram::Other, state: RunState::Running, ..domain() }), not_possible);
    assert_eq!(obstacle(ObservedDomain { nvram: Nvram::Other, ..domain() }), [], "off, firmware does not matter");
    assert_eq!(obstacle(ObservedDomain { nvram: Nvram::Qcow2, state: RunState::Running, ..domain() }), []);
    let excluded = ObservedDisk { snapshot: Some("no".into()), ..disk("vda", "qcow2") };
    assert_eq!(obstacle(ObservedDomain { disks: vec![excluded], ..domain() }), not_possible);
    let tags = BTreeMap::from([("vda".to_owned(), vec!["a".to_owned()])]);
    assert_eq!(obstacle(ObservedDomain { image_snapshots: tags, ..domain() }), not_possible);
    let iso = ObservedDisk { device: "cdrom".into(), readonly: true, ..disk("sda", "raw") };
    assert_eq!(obstacle(ObservedDomain { disks: vec![disk("vda", "qcow2"), iso], ..domain() }), []);
}

#[test]
fn libvirts_test_driver_has_no_images_to_be_of_the_wrong_format() {
    let mut state = observed(vec![ObservedDomain { disks: vec![disk("vda", "raw")], ..domain() }]);
    state.hosts[0].info.uri = "test:///default".into();
    let plan = plan_at(&desired(vec![set(&snapshots(&declared("a", "")))]), &state, NOW);
    assert_eq!(actions(&plan), [action(Create, "a", R::Declared)]);
}

#[test]
fn when_waits_for_its_run_state() {
    let spec = |when: &str| snapshots(&declared("a", &format!("when: {when}")));
    let running = || ObservedDomain { state: RunState::Running, ..domain() };
    assert_eq!(blocks(&run(&spec("running"), domain())), [block(B::WrongState, "a")]);
    assert_eq!(blocks(&run(&spec("stopped"), running())), [block(B::WrongState, "a")]);
    assert_eq!(actions(&run(&spec("running"), running())), [action(Create, "a", R::Declared)]);
    assert_eq!(actions(&run(&spec("stopped"), domain())), [action(Create, "a", R::Declared)]);
}

#[test]
fn nothing_is_captured_over_an_image_that_is_gone() {
    let gone = |disk: &ObservedDisk| (disk.source.clone().expect("a file"), ImageState::Absent);
    for state in [RunState::ShutOff, RunState::Running] {
        let mut domain = ObservedDomain { state, ..domain() };
        domain.files.images.extend(domain.disks.iter().map(gone));
        for list in [declared("a", ""), "{name: a, capture: {content: disks, location: external}}".to_owned()] {
            let plan = run(&snapshots(&list), domain.clone());
            assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::NotPossible, "a")]), "{state:?} {list}");
        }
    }
}

#[test]
fn kinds_never_meet() {
    let mut external = foreign("e");
    external.disks.insert("vda".into(), Storage::External);
    let one = snapshots(&declared("a", ""));
    let plan = run(&one, domain_with(vec![external.clone()], &[]));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::MixedKinds, "a")]));
    let plan = run(&one, domain_with(vec![foreign("i"), external.clone()], &[]));
    assert_eq!(blocks(&plan), [block(B::MixedKinds, "a")]);
    let mut owned = ours("e");
    owned.disks.clone_from(&external.disks);
    let plan = run(&snapshots("{name: e, state: absent}"), domain_with(vec![foreign("i"), owned], &["e"]));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::MixedKinds, "e")]), "nor is it deleted");
    let outside = snapshots("{name: a, capture: {content: disks, location: external}}");
    assert_eq!(blocks(&run(&outside, domain_with(vec![foreign("i")], &[]))), [block(B::MixedKinds, "a")]);
    assert_eq!(run(&outside, domain()).actions.len(), 1);
    let globs = |list: &str| format!("{{domains: {{include: ['v*']}}, snapshots: [{list}]}}");
    let both =
        [("web", declared("a", "")), ("db", "{name: e, capture: {content: disks, location: external}}".to_owned())];
    for sets in [[&both[0], &both[1]], [&both[1], &both[0]]] {
        let sets = sets.map(|(name, list)| set_named(name, &globs(list)));
        let plan = plan_at(&desired(sets.to_vec()), &observed(vec![domain()]), NOW);
        assert_eq!(actions(&plan), [], "sets that meet by globs alone, in a domain that has none");
        assert_eq!(blocks(&plan).iter().filter(|(code, _)| *code == B::MixedKinds).count(), 2);
    }
    let suspended = one.replace("{domains:", "{suspend: {reason: audit}, domains:");
    assert_eq!(blocks(&run(&suspended, domain_with(vec![external.clone()], &[]))), [], "a suspended set wants nothing");
}

#[test]
fn a_suspended_set_is_frozen_and_its_drift_stays_visible() {
    let spec = |until: &str| {
        format!(
            "{{domains: {{include: [vm]}}, suspend: {{reason: audit, until: {until}}}, snapshots: [{}, {{name: b, state: absent}}]}}",
            declared("a", "")
        )
    };
    let plan = run(&spec("2027-01-01"), domain_with(vec![ours("b")], &["b"]));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![]));
    assert_eq!(plan.domains[0].suspended.as_deref(), Some("default/web: audit (until 2027-01-01)"));
    assert_eq!(plan.drift.len(), 1);
    let plan = run(&spec("2026-11-22"), domain_with(vec![ours("b")], &["b"]));
    assert_eq!(plan.actions.len(), 2, "the suspension is over");
    let status = crate::plan::status(&observed(vec![domain()]), &run(&spec("2027-01-01"), domain()));
    assert!(!status.summary.all_ready);
}

#[test]
fn two_sets_by_globs_are_blocked_with_both_lines() {
    let globs = format!("{{domains: {{include: ['v*']}}, snapshots: [{}]}}", declared("a", ""));
    let sets = desired(vec![set_named("web", &globs), set_named("db", &globs)]);
    let plan = plan_at(&sets, &observed(vec![domain()]), NOW);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::Conflict, "a")]));
    let lines: Vec<_> = plan.blocked[0].origins.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["web.yaml:1", "db.yaml:1"]);
}

#[test]
fn a_name_nobody_has_is_blocked_and_a_glob_only_a_warning() {
    let plan = run("{domains: {include: [vm1, 'db-*']}}", domain());
    assert_eq!(blocks(&plan), [block(B::NoSuchDomain, "")]);
    assert_eq!(plan.blocked[0].way_out, "did you mean vm?");
    assert_eq!(plan.warnings.len(), 1);
}

#[test]
fn too_many_deletions_by_age_stop_all_of_them() {
    let list: Vec<_> = (0..11).map(|i| declared(&format!("s{i}"), "deleteAfter: 1m")).collect();
    let present = |n: usize| (0..n).map(|i| ours(&format!("s{i}"))).collect::<Vec<_>>();
    let names: Vec<_> = (0..11).map(|i| format!("s{i}")).collect();
    let made: Vec<_> = names.iter().map(String::as_str).collect();
    let plan = run(&snapshots(&list.join(", ")), domain_with(present(11), &made));
    assert_eq!((plan.actions.len(), plan.blocked.len()), (0, 11));
    assert_eq!(plan.blocked[0].code, B::TooManyDeletes);
    let plan = run(&snapshots(&list.join(", ")), domain_with(present(10), &made));
    assert_eq!((plan.actions.len(), plan.blocked.len()), (10, 0), "the limit itself is allowed");
}

#[test]
fn the_breaker_counts_over_all_domains_of_a_host() {
    let spec = |per_host: u32| {
        let list = declared("a", "deleteAfter: 30m");
        let sets = format!("{{domains: {{include: ['*']}}, snapshots: [{list}]}}");
        with_safety(&sets, &format!("{{maxDeletes: {{perHost: {per_host}}}}}"))
    };
    let two = ["vm", "vn"].map(|name| {
        let domain = domain_with(vec![ours("a")], &["a"]);
        ObservedDomain { name: name.into(), uuid: uuid_of(name), ledger: None, ..domain }
    });
    let deletes = |per_host| {
        let plan = plan_at(&spec(per_host), &observed(two.to_vec()), NOW);
        plan.actions.iter().filter(|action| action.action == ActionKind::Delete).count()
    };
    assert_eq!((deletes(2), deletes(1)), (2, 0));
}

#[test]
fn deletions_over_the_breaker_are_part_of_the_plan_and_wait_in_their_places() {
    let aged = |n: usize| (0..n).map(|i| declared(&format!("s{i}"), "deleteAfter: 1m")).collect::<Vec<_>>();
    let state = || {
        let names: Vec<_> = (0..11).map(|i| format!("s{i}")).collect();
        let made: Vec<_> = names.iter().map(String::as_str).collect();
        let mut present: Vec<_> = names.iter().map(|name| ours(name)).collect();
        present.push(ours("gone"));
        domain_with(present, &made)
    };
    let spec = |n: usize| snapshots(&format!("{}, {{name: gone, state: absent}}", aged(n).join(", ")));
    let mut plan = run(&spec(11), state());
    assert_eq!((plan.actions.len(), plan.held_back.len()), (1, 11));
    let allowed = run(&spec(10), state());
    assert_eq!((allowed.actions.len(), allowed.held_back.len()), (11, 0));
    assert_ne!(plan.plan_id, allowed.plan_id, "what is held back is part of the id");

    let id = plan.plan_id.clone();
    crate::plan::release(&mut plan);
    let order = |plan: &Plan| plan.actions.iter().filter_map(|a| a.address.snapshot.clone()).collect::<Vec<_>>();
    assert_eq!((plan.actions.len(), plan.blocked.len(), plan.held_back.len()), (12, 0, 0));
    assert_eq!((plan.summary.delete, plan.summary.blocked, plan.summary.has_changes), (12, 0, true));
    assert_eq!(plan.plan_id, id);
    let rest: Vec<_> = order(&plan).into_iter().filter(|snapshot| snapshot.as_str() != "s10").collect();
    assert_eq!(rest, order(&allowed), "as if nothing had been held back");
}

#[test]
fn the_same_declaration_on_the_same_state_is_the_same_plan() {
    let spec = snapshots(&format!("{}, {}", declared("a", ""), declared("old", "deleteAfter: 1h")));
    let state = || domain_with(vec![ours("old")], &["old"]);
    let (first, again) = (run(&spec, state()), run(&spec, state()));
    assert_eq!(first, again);
    let later = plan_at(&desired(vec![set(&spec)]), &observed(vec![state()]), NOW + 86_400);
    assert_eq!(first.plan_id, later.plan_id, "neither the clock nor a deletion by age changes it");
    let moved = ObservedDomain { fingerprint: "g".into(), ..state() };
    assert_ne!(first.plan_id, run(&spec, moved).plan_id);
    let other = run(&snapshots(&declared("a", "description: other")), state());
    assert_ne!(first.plan_id, other.plan_id);
}

#[test]
fn twins_of_one_pass_are_warned_of() {
    let plan = run(&snapshots(&format!("{}, {}", declared("a", ""), declared("b", ""))), domain());
    assert!(plan.warnings[0].text.contains("same state (a, b)"), "{}", plan.warnings[0].text);
}
