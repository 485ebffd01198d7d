//! Declared snapshots, pointer, parent, ledger.

use super::*;
use ActionKind::{Create, Delete, Redefine, SetCurrent};
use BlockCode as B;
use ReasonCode as R;

#[test]
fn a_snapshot_never_made_is_captured_with_its_stamp() {
    let plan = run(&snapshots(&declared("golden", "description: Clean, protect: true")), domain());
    assert_eq!(actions(&plan), [action(Create, "golden", R::Declared)]);
    let after = plan.actions[0].after.clone().unwrap();
    assert_eq!(after.description.as_deref(), Some("Clean"));
    assert_eq!(
        after.stamp.unwrap(),
        [
            "Snapward-Set: default/web",
            "Snapward-Snapshot: golden",
            "Snapward-Consistency: offline",
            "Snapward-Protect: true"
        ]
    );
    assert!(plan.summary.has_changes);
    assert_eq!(plan.domains[0].ledger, Some(Ledger::empty(uuid_of("vm"))), "a ledger stands before the first capture");
}

#[test]
fn what_is_as_declared_needs_nothing() {
    let plan = run(&snapshots(&declared("golden", "")), domain_with(vec![ours("golden")], &["golden"]));
    assert_eq!(actions(&plan), []);
    assert_eq!((plan.unchanged, plan.summary.has_changes), (1, false));
    assert_eq!(plan.domains[0].ledger, None);
}

#[test]
fn made_once_and_gone_is_missing_unless_recreate() {
    let gone = || domain_with(vec![], &["golden"]);
    let plan = run(&snapshots(&declared("golden", "")), gone());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::Missing, "golden")]));
    assert_eq!(plan.drift[0].field, "existence");
    let plan = run(&snapshots(&declared("golden", "recreate: true")), gone());
    assert_eq!(actions(&plan), [action(Create, "golden", R::Recreate)]);
}

#[test]
fn a_released_snapshot_may_be_captured_anew() {
    let mut domain = domain_with(vec![], &[]);
    let entry = LedgerEntry { created: NOW - 9000, released: true };
    domain.ledger.as_mut().unwrap().record(name("golden"), entry);
    let plan = run(&snapshots(&declared("golden", "")), domain);
    assert_eq!(actions(&plan), [action(Create, "golden", R::Declared)]);
}

#[test]
fn create_never_only_checks() {
    let plan = run(&snapshots("{name: golden, create: never}"), domain());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::Missing, "golden")]));
}

#[test]
fn without_a_ledger_a_domain_with_our_snapshots_captures_nothing() {
    let lost = || ObservedDomain { ledger: None, ..domain_with(vec![ours("a")], &[]) };
    let both = |fields: &str| snapshots(&format!("{}, {}", declared("a", ""), declared("b", fields)));
    let plan = run(&both(""), lost());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::LedgerLost, "b")]));
    assert_eq!(plan.domains[0].ledger, None, "no ledger is written that would say b was never made");
    let plan = run(&both("recreate: true"), lost());
    assert_eq!(actions(&plan), [action(Create, "b", R::Recreate)]);
    let plan = run(&snapshots(&declared("a", "")), lost());
    assert!(plan.domains[0].ledger.as_ref().unwrap().made(&name("a")).is_some(), "all there: the ledger is rebuilt");
}

#[test]
fn a_clones_ledger_is_not_a_ledger() {
    // Observation leaves out copies with another UUID; a clone without snapshots is then a new domain.
    let plan = run(&snapshots(&declared("golden", "")), ObservedDomain { ledger: None, ..domain() });
    assert_eq!(actions(&plan), [action(Create, "golden", R::Declared)]);
}

#[test]
fn a_rewound_ledger_is_filled_up_from_what_is_there() {
    let domain = domain_with(vec![ours("a")], &[]);
    let plan = run(&snapshots(&declared("a", "")), domain);
    assert_eq!(actions(&plan), []);
    assert!(plan.domains[0].ledger.as_ref().unwrap().made(&name("a")).is_some());
}

#[test]
fn a_foreign_snapshot_is_a_conflict_unless_adopted() {
    let mut found = foreign("golden");
    found.description.human = "by hand".into();
    let plan = run(&snapshots(&declared("golden", "")), domain_with(vec![found.clone()], &[]));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::Conflict, "golden")]));
    let plan = run(&snapshots(&declared("golden", "adopt: true")), domain_with(vec![found], &[]));
    assert_eq!(actions(&plan), [action(Redefine, "golden", R::Adopt)]);
    let after = plan.actions[0].after.clone().unwrap();
    assert_eq!(after.description, None, "the user's text stays");
    assert_eq!(after.stamp.unwrap(), ["Snapward-Set: default/web", "Snapward-Snapshot: golden"]);
}

#[test]
fn a_stamp_copied_from_another_name_is_no_ownership() {
    let mut copy = ours("original");
    copy.name = name("copy");
    let plan = run(&snapshots(&declared("copy", "")), domain_with(vec![copy], &[]));
    assert_eq!(blocks(&plan), [block(B::Conflict, "copy")]);
}

#[test]
fn another_sets_snapshot_is_a_conflict() {
    let plan = run(&snapshots(&declared("a", "")), domain_with(vec![owned_by("db", "a")], &[]));
    assert_eq!(blocks(&plan), [block(B::Conflict, "a")]);
    assert!(plan.blocked[0].text.contains("default/db"), "{}", plan.blocked[0].text);
}

#[test]
fn a_changed_description_is_drift_and_redefined() {
    let mut found = ours("a");
    found.description.human = "edited".into();
    let plan = run(&snapshots(&declared("a", "description: declared")), domain_with(vec![found], &["a"]));
    assert_eq!(actions(&plan), [action(Redefine, "a", R::FieldsDiffer)]);
    let (before, after) = (plan.actions[0].before.clone().unwrap(), plan.actions[0].after.clone().unwrap());
    assert_eq!((before.description.as_deref(), after.description.as_deref()), (Some("edited"), Some("declared")));
    assert_eq!((before.stamp, after.stamp), (None, None));
    assert_eq!(plan.drift[0].field, "description");
}

#[test]
fn an_undeclared_description_is_left_alone() {
    let mut found = ours("a");
    found.description.human = "whatever".into();
    assert_eq!(actions(&run(&snapshots(&declared("a", "")), domain_with(vec![found], &["a"]))), []);
}

#[test]
fn content_cannot_be_changed_afterwards() {
    let mut found = ours("a");
    found.memory = Storage::Internal;
    found.state = "running".into();
    let list = "{name: a, when: stopped, capture: {content: disks, location: internal}}";
    let plan = run(&snapshots(list), domain_with(vec![found], &["a"]));
    assert_eq!(blocks(&plan), [block(B::Immutable, "a")]);
}

#[test]
fn absent_deletes_ours_and_nothing_else() {
    let absent = snapshots("{name: a, state: absent}");
    let plan = run(&absent, domain_with(vec![ours("a")], &["a"]));
    assert_eq!(actions(&plan), [action(Delete, "a", R::Absent)]);
    let plan = run(&absent, domain_with(vec![foreign("a")], &[]));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::Conflict, "a")]));
    let plan = run(&absent, domain());
    assert_eq!((actions(&plan), plan.unchanged), (vec![], 1));
}

#[test]
fn protection_is_sticky_and_lifted_in_two_steps() {
    let mut found = ours("a");
    found.description.stamp.as_mut().unwrap().protect = true;
    let domain = || domain_with(vec![found.clone()], &["a"]);
    assert_eq!(actions(&run(&snapshots(&declared("a", "")), domain())), [], "not named: it stays");
    let plan = run(&snapshots("{name: a, state: absent}"), domain());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::Protected, "a")]));
    let plan = run(&snapshots("{name: a, state: absent, protect: false}"), domain());
    assert_eq!(actions(&plan), [action(Redefine, "a", R::FieldsDiffer)], "the first step lifts");
    assert_eq!(blocks(&plan), [block(B::Protected, "a")]);
    let plan = run(&snapshots("{name: a, state: absent, protect: false}"), domain_with(vec![ours("a")], &["a"]));
    assert_eq!(actions(&plan), [action(Delete, "a", R::Absent)], "the second deletes");
}

#[test]
fn a_hold_is_written_and_keeps_until_it_ends() {
    let held = |until: &str| {
        format!(
            "{{domains: {{include: [vm]}}, snapshots: [{{name: a, state: absent}}], holds: [{{snapshot: a, reason: audit, until: {until}}}]}}"
        )
    };
    let plan = run(&held("2027-01-01"), domain_with(vec![ours("a")], &["a"]));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::Held, "a")]));
    let plan = run(&held("2026-11-22"), domain_with(vec![ours("a")], &["a"]));
    assert_eq!(actions(&plan), [action(Delete, "a", R::Absent)]);
    let spec = format!(
        "{{domains: {{include: [vm]}}, snapshots: [{}], holds: [{{snapshot: a, reason: audit}}]}}",
        declared("a", "")
    );
    let plan = run(&spec, domain_with(vec![ours("a")], &["a"]));
    assert_eq!(actions(&plan), [action(Redefine, "a", R::FieldsDiffer)]);
    let stamp = plan.actions[0].after.clone().unwrap().stamp.unwrap();
    assert!(stamp.contains(&"Snapward-Hold: audit".to_owned()), "{stamp:?}");
}

#[test]
fn delete_after_counts_from_the_capture_and_is_not_missing_afterwards() {
    let spec = snapshots(&declared("a", "deleteAfter: 1h"));
    let plan = run(&spec, domain_with(vec![ours("a")], &["a"]));
    assert_eq!(actions(&plan), [action(Delete, "a", R::Expired)]);
    let young = snapshots(&declared("a", "deleteAfter: 2h"));
    assert_eq!(actions(&run(&young, domain_with(vec![ours("a")], &["a"]))), []);
    let plan = run(&spec, domain_with(vec![], &["a"]));
    assert_eq!((actions(&plan), blocks(&plan), plan.unchanged), (vec![], vec![], 1), "its time is over: neither");
    let plan = run(&spec, domain_with(vec![foreign("a")], &[]));
    assert_eq!(blocks(&plan), [block(B::Conflict, "a")], "a foreign one never expires");
}

#[test]
fn expired_and_protected_is_kept_with_the_reason() {
    let mut found = ours("a");
    found.description.stamp.as_mut().unwrap().protect = true;
    let plan = run(&snapshots(&declared("a", "deleteAfter: 1h")), domain_with(vec![found], &["a"]));
    assert_eq!(actions(&plan), []);
    assert_eq!(plan.kept[0].reason.code, R::Protected);
}

#[test]
fn the_pointer_moves_after_the_captures_and_never_as_a_no_op() {
    let spec =
        |list: &str, current: &str| format!("{{domains: {{include: [vm]}}, snapshots: [{list}], current: {current}}}");
    let list = format!("{}, {}", declared("a", ""), declared("b", ""));
    let plan = run(&spec(&list, "a"), domain_with(vec![ours("a"), ours("b")], &["a", "b"]));
    assert_eq!(actions(&plan), [action(SetCurrent, "a", R::CurrentDiffers)]);
    assert_eq!(plan.drift[0].field, "current");
    assert_eq!(actions(&run(&spec(&list, "b"), domain_with(vec![ours("a"), ours("b")], &["a", "b"]))), []);
    let plan = run(&spec(&list, "a"), domain_with(vec![ours("a")], &["a"]));
    assert_eq!(
        actions(&plan),
        [action(Create, "b", R::Declared), action(SetCurrent, "a", R::CurrentDiffers)],
        "the capture moves the pointer; the same pass puts it back"
    );
    assert_eq!(plan.actions[1].before.clone().unwrap().current.as_deref(), Some("b"));
    let plan = run(&spec(&list, "b"), domain());
    assert_eq!(actions(&plan).len(), 2, "the last capture is current by itself");
    let plan = run(&spec(&declared("a", ""), "x"), domain_with(vec![ours("a")], &["a"]));
    assert_eq!(blocks(&plan), [block(B::Missing, "x")]);
    let plan = run(&spec(&declared("a", ""), "a"), domain_with(vec![], &["a"]));
    assert_eq!(blocks(&plan), [block(B::Missing, "a")], "one item for the snapshot and the pointer to it");
    assert_eq!(plan.blocked[0].origins.len(), 2);
}

#[test]
fn a_parent_is_repaired_or_reported() {
    let list = format!("{}, {}", declared("a", ""), declared("b", "parent: a"));
    let plan = run(&snapshots(&list), domain_with(vec![ours("a"), ours("b")], &["a", "b"]));
    assert_eq!(actions(&plan), [action(Redefine, "b", R::ParentDiffers)]);
    let plan = run(&snapshots(&list), domain());
    assert_eq!(actions(&plan).len(), 2, "b is captured under a, where it belongs");
    let list = format!("{}, {}, {}", declared("a", ""), declared("b", ""), declared("c", "parent: a"));
    let plan = run(&snapshots(&list), domain());
    assert_eq!(actions(&plan)[3], action(Redefine, "c", R::ParentDiffers), "c lands under b and is moved");
    let plan = run(&snapshots(&declared("b", "parent: gone")), domain_with(vec![ours("b")], &["b"]));
    assert_eq!(blocks(&plan), [block(B::ParentDiffers, "b")]);
    let mut child = ours("b");
    child.parent = Some(name("a"));
    let plan = run(&snapshots(&declared("a", "parent: b")), domain_with(vec![ours("a"), child], &["a"]));
    assert_eq!(blocks(&plan), [block(B::ParentDiffers, "a")], "no cycle");
}

#[test]
fn a_parent_that_will_hang_below_its_child_is_refused() {
    // The capture hangs under the current snapshot, which is the one that shall hang under it.
    let list = format!("{}, {}", declared("new", ""), declared("a", "parent: new"));
    let mut current = domain_with(vec![ours("a")], &["a"]);
    current.tree = SnapshotTree::new(current.tree.iter().cloned(), Some(name("a")));
    let plan = run(&snapshots(&list), current);
    assert_eq!(actions(&plan), [action(Create, "new", R::Declared)]);
    assert_eq!(blocks(&plan), [block(B::ParentDiffers, "a")]);
    // Each move fits the tree as it is, and both together make a circle.
    let child = |text: &str, parent: &str| ObservedSnapshot { parent: Some(name(parent)), ..ours(text) };
    let tree = vec![ours("x"), child("below-x", "x"), ours("y"), child("below-y", "y")];
    let list = format!("{}, {}", declared("x", "parent: below-y"), declared("y", "parent: below-x"));
    let plan = run(&snapshots(&list), domain_with(tree, &["x", "y"]));
    assert_eq!(actions(&plan), [action(Redefine, "x", R::ParentDiffers)]);
    assert_eq!(blocks(&plan), [block(B::ParentDiffers, "y")]);
}

#[test]
fn captures_come_before_deletions_and_another_sets_is_never_deleted() {
    let list = format!("{{name: old, state: absent}}, {}", declared("new", ""));
    let plan = run(&snapshots(&list), domain_with(vec![ours("old")], &["old"]));
    assert_eq!(actions(&plan), [action(Create, "new", R::Declared), action(Delete, "old", R::Absent)]);
    let plan = run(&snapshots(&list), domain_with(vec![owned_by("db", "old")], &[]));
    assert!(!actions(&plan).iter().any(|(kind, _, _)| *kind == Delete), "{:?}", actions(&plan));
}

#[test]
fn removed_from_the_manifest_is_kept_as_orphaned() {
    let plan = run(&snapshots(""), domain_with(vec![ours("a"), foreign("b"), owned_by("db", "c")], &["a"]));
    assert_eq!(actions(&plan), []);
    assert_eq!(plan.kept[0].reason.code, R::Orphaned);
    let unmanaged: Vec<_> = plan.unmanaged.iter().map(|item| item.owner.as_deref()).collect();
    assert_eq!(unmanaged, [None, Some("default/db")]);
}

#[test]
fn deletes_go_deepest_first() {
    let mut b = ours("b");
    b.parent = Some(name("a"));
    let mut c = ours("c");
    c.parent = Some(name("b"));
    let list = "{name: b, state: absent}, {name: a, state: absent}, {name: c, state: absent}";
    let plan = run(&snapshots(list), domain_with(vec![ours("a"), b, c], &[]));
    let order: Vec<_> = actions(&plan).into_iter().map(|(_, name, _)| name).collect();
    assert_eq!(order, ["c", "b", "a"]);
}
