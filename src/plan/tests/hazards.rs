//! Ways to lose a snapshot that somebody still counts on, and plans that say what apply could not do.

use super::*;
use crate::model::desired::SavedSnapshot;
use crate::model::kinds::SafetyPolicy;
use crate::model::names::SetId;
use crate::model::plan::Definition;
use crate::model::stamp::StampHold;
use ActionKind::{Delete, Redefine, SetCurrent};
use BlockCode as B;
use ReasonCode as R;

#[test]
fn what_another_set_declares_as_current_is_not_deleted() {
    let pointer = set_named("db", "{domains: {include: ['v*']}, current: a}");
    let suspended = set_named("db", "{domains: {include: ['v*']}, suspend: {reason: x}, current: a}");
    for other in [pointer, suspended] {
        let state = || domain_with(vec![ours("b"), ours("a")], &["a", "b"]);
        let absent = desired(vec![set(&snapshots("{name: a, state: absent}")), other.clone()]);
        let plan = plan_at(&absent, &observed(vec![state()]), NOW);
        assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::CurrentUnsafe, "a")]));
        let expiring = desired(vec![set(&snapshots(&declared("a", "deleteAfter: 1h"))), other]);
        let plan = plan_at(&expiring, &observed(vec![state()]), NOW);
        assert_eq!((actions(&plan), plan.kept[0].reason.code), (vec![], R::Current));
    }
}

#[test]
fn two_sets_that_disagree_on_the_pointer_both_keep_their_snapshot() {
    let pointing =
        |set: &str, current: &str| set_named(set, &format!("{{domains: {{include: ['v*']}}, current: {current}}}"));
    let sets = vec![pointing("db", "a"), pointing("ci", "b"), set(&snapshots("{name: a, state: absent}"))];
    let plan = plan_at(&desired(sets), &observed(vec![domain_with(vec![ours("a")], &["a"])]), NOW);
    assert_eq!(actions(&plan), []);
}

#[test]
fn the_pointer_moves_off_a_snapshot_before_it_is_deleted() {
    let spec = format!(
        "{{domains: {{include: [vm]}}, snapshots: [{}, {{name: b, state: absent}}], current: a}}",
        declared("a", "")
    );
    let plan = run(&spec, domain_with(vec![ours("a"), ours("b")], &["a", "b"]));
    assert_eq!(actions(&plan), [action(SetCurrent, "a", R::CurrentDiffers), action(Delete, "b", R::Absent)]);
}

#[test]
fn a_hold_of_another_set_is_not_adopted_away() {
    let mut found = owned_by("db", "a");
    let mut hold = |until: Option<&str>| {
        let hold = StampHold { reason: "audit".into(), until: until.map(str::to_owned) };
        found.description.stamp.as_mut().expect("stamped").hold = Some(hold);
        domain_with(vec![found.clone()], &["a"])
    };
    let adopting = snapshots(&declared("a", "adopt: true"));
    for until in [None, Some("2027-01-01"), Some("when the audit is over")] {
        let plan = run(&adopting, hold(until));
        assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::Held, "a")]), "{until:?}");
    }
    assert_eq!(actions(&run(&adopting, hold(Some("2026-11-22")))), [action(Redefine, "a", R::Adopt)], "it is over");
    let held = format!(
        "{{domains: {{include: [vm]}}, snapshots: [{}], holds: [{{snapshot: a, reason: audit}}]}}",
        declared("a", "adopt: true")
    );
    assert_eq!(actions(&run(&held, hold(None))), [action(Redefine, "a", R::Adopt)], "the hold is taken over too");
}

#[test]
fn adoption_keeps_protection_and_what_it_does_not_know() {
    let mut found = owned_by("db", "a");
    let stamp = found.description.stamp.as_mut().expect("stamped");
    stamp.protect = true;
    stamp.other = vec![("Slot".into(), "20261123T040000Z".into())];
    let plan = run(&snapshots(&declared("a", "adopt: true")), domain_with(vec![found], &["a"]));
    let after = plan.actions[0].after.clone().and_then(|after| after.stamp).expect("rewritten");
    assert!(after.contains(&"Snapward-Protect: true".to_owned()), "{after:?}");
    assert!(after.contains(&"Snapward-Slot: 20261123T040000Z".to_owned()), "{after:?}");
}

#[test]
fn an_internal_capture_leaves_no_writable_disk_out_and_takes_no_other_in() {
    let of = |target: &str, location: &str| {
        let disks = format!("[{{target: {target}, location: {location}}}]");
        snapshots(&format!("{{name: a, capture: {{content: full, location: internal, disks: {disks}}}}}"))
    };
    let iso = ObservedDisk { device: "cdrom".into(), readonly: true, ..disk("sda", "raw") };
    let state = || ObservedDomain { disks: vec![disk("vda", "qcow2"), disk("vdb", "qcow2"), iso.clone()], ..domain() };
    for bad in [of("vdb", "no"), of("sda", "internal")] {
        let plan = run(&bad, state());
        assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::NotPossible, "a")]), "{bad}");
    }
    for good in [of("vdb", "internal"), of("sda", "no")] {
        assert_eq!(blocks(&run(&good, state())), [], "{good}");
    }
}

#[test]
fn lifting_a_protection_that_is_not_there_is_no_action() {
    let mut found = ours("a");
    found.description.human = "edited".into();
    let list = "{name: a, state: absent, protect: false, description: declared}";
    let plan = run(&snapshots(list), domain_with(vec![found], &["a"]));
    assert_eq!(actions(&plan), [action(Delete, "a", R::Absent)]);
}

#[test]
fn what_is_past_its_time_is_not_restored_to_be_deleted_again() {
    let list = declared("a", "definition: a.xml, deleteAfter: 1h");
    let mut wanted = desired(vec![set(&snapshots(&list))]);
    let saved = SavedSnapshot {
        xml: Definition(Arc::from("<domainsnapshot/>")),
        snapshot: ours("a"),
        domain: Some(uuid_of("vm")),
    };
    wanted.definitions.insert((Arc::from("web.yaml"), "a.xml".to_owned()), saved);
    for state in [domain(), domain_with(vec![], &["a"])] {
        let plan = plan_at(&wanted, &observed(vec![state]), NOW);
        assert_eq!((actions(&plan), blocks(&plan), plan.unchanged), (vec![], vec![], 1));
    }
    let plan = plan_at(&wanted, &observed(vec![domain()]), NOW - 1);
    assert_eq!(actions(&plan), [action(Redefine, "a", R::Definition)]);
}

#[test]
fn a_lenient_policy_does_not_speak_for_a_set_that_has_none() {
    let list: Vec<_> = (0..11).map(|i| declared(&format!("s{i}"), "deleteAfter: 1m")).collect();
    let lenient: SafetyPolicy = serde_yaml::from_str(
        "{apiVersion: snapward/v1, kind: SafetyPolicy, metadata: {name: lax}, spec: {maxDeletes: {perDomain: 100}}}",
    )
    .expect("valid");
    let other = set_named("db", "{domains: {include: ['v*']}, safety: {policyRef: lax}}");
    let mut wanted = desired(vec![set(&snapshots(&list.join(", "))), other]);
    let id: SetId = "default/lax".parse().expect("valid");
    let policy = Document { file: Arc::from("p.yaml"), lines: Arc::default(), value: lenient };
    wanted.safety.insert(id, policy);
    let present: Vec<_> = (0..11).map(|i| ours(&format!("s{i}"))).collect();
    let plan = plan_at(&wanted, &observed(vec![domain_with(present, &[])]), NOW);
    assert_eq!((plan.actions.len(), plan.blocked.len()), (0, 11));
}
