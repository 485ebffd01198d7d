//! Ways to lose a snapshot that somebody still counts on, and plans that say what apply could not do.

use super::*;
use crate::model::desired::Definition;
use crate::model::desired::SavedSnapshot;
use crate::model::kinds::SafetyPolicy;
use crate::model::names::SetId;
use crate::model::snapshot::KeptDefinition;
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
        xml: Definition { path: Arc::from("a.xml"), xml: Arc::from("<domainsnapshot/>") },
        snapshot: ours("a"),
        domain: Some(uuid_of("vm")),
    };
    wanted.definitions.insert((Arc::from("web.yaml"), "a.xml".to_owned()), saved);
    for state in [domain(), domain_with(vec![], &["a"])] {
        let plan = plan_at(&wanted, &observed(vec![state]), NOW);
        assert_eq!((actions(&plan), blocks(&plan), plan.unchanged), (vec![], vec![], 1));
    }
    let tagged = BTreeMap::from([("vda".to_owned(), vec!["a".to_owned()])]);
    let plan = plan_at(&wanted, &observed(vec![ObservedDomain { image_snapshots: tagged, ..domain() }]), NOW - 1);
    assert_eq!(actions(&plan), [action(Redefine, "a", R::Definition)]);
}

#[test]
fn a_definition_brings_no_other_kind_into_a_domain() {
    let mut external = ours("e1");
    external.disks = BTreeMap::from([("vda".to_owned(), Storage::External)]).into();
    let restore = |record: &ObservedSnapshot, more: &str| {
        let list = format!("{{name: {}, create: never, definition: a.xml}}, {more}", record.name);
        let mut wanted = desired(vec![set(&snapshots(&list))]);
        let saved = SavedSnapshot {
            xml: Definition { path: Arc::from("a.xml"), xml: Arc::from("<domainsnapshot/>") },
            snapshot: record.clone(),
            domain: Some(uuid_of("vm")),
        };
        wanted.definitions.insert((Arc::from("web.yaml"), "a.xml".to_owned()), saved);
        wanted
    };
    let planned = |wanted: &DesiredState, domain: ObservedDomain| {
        let plan = plan_at(wanted, &observed(vec![domain]), NOW);
        (actions(&plan), blocks(&plan))
    };
    let tagged = |mut domain: ObservedDomain| {
        domain.image_snapshots = BTreeMap::from([("vda".to_owned(), vec!["golden".to_owned(), "i1".to_owned()])]);
        domain
    };
    // External into internal, and the other way round.
    let golden = || tagged(domain_with(vec![ours("golden")], &["golden"]));
    assert_eq!(planned(&restore(&external, ""), golden()), (vec![], vec![block(B::MixedKinds, "e1")]));
    let external_tree = tagged(domain_with(vec![external.clone()], &["e1"]));
    let wanted = restore(&ours("i1"), "");
    assert_eq!(planned(&wanted, external_tree), (vec![], vec![block(B::MixedKinds, "i1")]));
    assert_eq!(planned(&wanted, golden()).0, [action(Redefine, "i1", R::Definition)], "of its own kind it comes back");
    // Beside a capture of the other kind.
    let capture = "{name: new, capture: {content: disks, location: external}}";
    let both = ["i1", "new"].map(|name| block(B::MixedKinds, name));
    assert_eq!(planned(&restore(&ours("i1"), capture), tagged(domain())), (vec![], both.to_vec()));
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

#[test]
fn a_running_domain_without_one_of_the_snapshots_disks_is_not_asked_to_delete_it() {
    let mut found = ours("a");
    found.disks.insert("vdb".into(), Storage::Internal);
    let state = |state: RunState| ObservedDomain { state, ..domain_with(vec![found.clone()], &["a"]) };
    for list in ["{name: a, state: absent}".to_owned(), declared("a", "deleteAfter: 1h")] {
        let plan = run(&snapshots(&list), state(RunState::Running));
        assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::NotPossible, "a")]), "{list}");
        assert!(plan.blocked[0].text.contains("vdb"), "{}", plan.blocked[0].text);
        assert_eq!(run(&snapshots(&list), state(RunState::ShutOff)).summary.delete, 1, "off, it can");
    }
}

#[test]
fn deleting_the_current_snapshot_says_where_the_pointer_goes() {
    let mut child = ours("b");
    child.parent = Some(name("a"));
    let of = |list: &str, present: Vec<ObservedSnapshot>| run(&snapshots(list), domain_with(present, &["a", "b"]));
    let plan = of("{name: b, state: absent}", vec![ours("a"), child.clone()]);
    assert!(plan.actions[0].risk.text.contains("pointer moves to a"), "{}", plan.actions[0].risk.text);
    let plan = of("{name: a, state: absent}, {name: b, state: absent}", vec![ours("a"), child.clone()]);
    assert!(plan.actions.iter().all(|a| a.risk.text.contains("no current snapshot")), "{:#?}", plan.actions);
    let plan = of("{name: a, state: absent}", vec![ours("a"), child]);
    assert!(!plan.actions[0].risk.text.contains("pointer"), "{}", plan.actions[0].risk.text);
}

#[test]
fn what_is_gone_and_declared_absent_is_released_whoever_deleted_it() {
    let absent =
        |suspend: &str| format!("{{domains: {{include: [vm]}}, {suspend} snapshots: [{{name: a, state: absent}}]}}");
    let plan = run(&absent(""), domain_with(vec![], &["a"]));
    let ledger = plan.domains[0].ledger.clone().expect("written");
    assert_eq!(ledger.made(&name("a")), None, "a run killed after the deletion left it unreleased");
    let frozen = absent("suspend: {reason: audit},");
    let other = set_named("db", "{domains: {include: [vm]}}");
    let plan = plan_at(&desired(vec![set(&frozen), other]), &observed(vec![domain_with(vec![], &["a"])]), NOW);
    assert_eq!(plan.domains[0].ledger, None, "a suspended set releases nothing");
}

#[test]
fn adopting_what_is_past_its_time_is_said_to_lead_to_its_deletion() {
    let adopting = |fields: &str| run(&snapshots(&declared("a", fields)), domain_with(vec![foreign("a")], &[]));
    let plan = adopting("adopt: true, deleteAfter: 1h");
    assert_eq!(actions(&plan), [action(Redefine, "a", R::Adopt)]);
    assert!(plan.warnings[0].text.contains("next apply deletes it"), "{:?}", plan.warnings);
    assert_eq!(adopting("adopt: true, deleteAfter: 2h").warnings, []);
}

#[test]
fn only_the_images_the_saved_snapshot_is_in_must_hold_it() {
    let mut wanted = desired(vec![set(&snapshots(&declared("a", "definition: a.xml")))]);
    let saved = SavedSnapshot {
        xml: Definition { path: Arc::from("a.xml"), xml: Arc::from("<domainsnapshot/>") },
        snapshot: ours("a"),
        domain: Some(uuid_of("vm")),
    };
    wanted.definitions.insert((Arc::from("web.yaml"), "a.xml".to_owned()), saved);
    let state = |vda: &[&str]| {
        let tags = |tags: &[&str]| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
        let image_snapshots = BTreeMap::from([("vda".to_owned(), tags(vda)), ("sda".to_owned(), tags(&[]))]);
        ObservedDomain { image_snapshots, ..domain() }
    };
    let plan_of = |state| plan_at(&wanted, &observed(vec![state]), NOW);
    assert_eq!(actions(&plan_of(state(&["a"]))), [action(Redefine, "a", R::Definition)]);
    assert_eq!(blocks(&plan_of(state(&[]))), [block(B::NotPossible, "a")]);
}

#[test]
fn what_is_declared_absent_is_no_kind_to_mix_with() {
    let list =
        format!("{}, {{name: b, state: absent, capture: {{content: disks, location: external}}}}", declared("a", ""));
    let plan = run(&snapshots(&list), domain());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![action(ActionKind::Create, "a", R::Declared)], vec![]));
}

#[test]
fn an_image_that_cannot_be_read_is_said_to_be_unknown() {
    let unseen = || ObservedDomain { image_snapshots: BTreeMap::new(), ..domain() };
    let one = snapshots(&declared("a", ""));
    let plan = run(&one, unseen());
    assert_eq!(plan.actions.len(), 1);
    assert!(plan.warnings[0].text.contains("the image of disk vda cannot be read"), "{:?}", plan.warnings);
    assert!(run(&one, domain()).warnings.is_empty());
    let running = ObservedDomain { state: RunState::Running, ..unseen() };
    assert!(run(&one, running).warnings.is_empty(), "QEMU itself refuses a second one there");
}

#[test]
fn a_running_domain_on_another_image_is_not_asked_to_delete_what_the_first_one_holds() {
    let mut held = ours("a");
    let then = KeptDefinition { disks: vec![disk("vda", "qcow2")], memory_kib: None };
    held.definition = Some(then.into());
    let swapped = ObservedDisk { source: Some("/images/other.qcow2".into()), ..disk("vda", "qcow2") };
    let there = ObservedDomain { disks: vec![swapped], ..domain_with(vec![held], &["a"]) };
    let list = snapshots("{name: a, state: absent}");
    let plan = run(&list, ObservedDomain { state: RunState::Running, ..there.clone() });
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::NotPossible, "a")]));
    assert_eq!(run(&list, there).actions.len(), 1, "off, it goes by the disks of its own time");
}
