//! `snapward snapshot delete` beside `virsh snapshot-delete`.

use rstest::rstest;

use super::twins::{Bed, DOM, State, Twins};

/// `a` with `b` and `d` below it, `c` below `b`; `c` is the current one.
fn internal<'a>(bed: &'a Bed, state: State, disks: &'static [&'static str]) -> Twins<'a> {
    let twins = bed.twins("int", state, disks);
    for name in ["a", "b", "d", "c"] {
        twins.by_hand(&["snapshot-create-as", DOM, name]);
        if name == "b" {
            twins.by_hand(&["snapshot-current", DOM, "a"]);
        } else if name == "d" {
            twins.by_hand(&["snapshot-current", DOM, "b"]);
        }
    }
    twins
}

/// `e1`, `e2`, `e3`, one above the other, of the disks alone.
fn external<'a>(bed: &'a Bed, state: State, disks: &'static [&'static str]) -> Twins<'a> {
    let twins = bed.twins("ext", state, disks);
    for name in ["e1", "e2", "e3"] {
        twins.by_hand(&["snapshot-create-as", DOM, name, "--disk-only"]);
    }
    twins
}

#[rstest]
#[case::running(State::Running, &["vda"])]
#[case::paused(State::Paused, &["vda", "vdb"])]
#[case::stopped(State::Stopped, &["vda", "vdb"])]
#[case::transient(State::Transient, &["vda"])]
fn internal_ones(#[case] state: State, #[case] disks: &'static [&'static str]) {
    let bed = Bed::new();
    let twins = internal(&bed, state, disks);
    twins.same(&["snapshot-delete", DOM, "b"], &["delete", DOM, "b", "--yes"]);
    twins.same(&["snapshot-delete", DOM, "--current"], &["delete", DOM, "--current", "--yes"]);
    assert_eq!(twins.snapshots(twins.second()), ["a", "d"]);
}

#[rstest]
#[case::all("--children", &[])]
#[case::below("--children-only", &["a"])]
fn internal_branches(#[case] scope: &str, #[case] left: &[&str]) {
    let bed = Bed::new();
    let twins = bed.twins("line", State::Stopped, &["vda"]);
    for name in ["a", "b", "c"] {
        twins.by_hand(&["snapshot-create-as", DOM, name]);
    }
    twins.same(&["snapshot-delete", DOM, "--snapshotname", "a", scope], &["delete", DOM, "a", scope, "--yes"]);
    assert_eq!(twins.snapshots(twins.second()), left);
}

#[rstest]
#[case::one(&["b"], &[])]
#[case::all(&["a"], &["--children"])]
fn records_alone(#[case] name: &[&str], #[case] scope: &[&str]) {
    let bed = Bed::new();
    let twins = bed.twins("line", State::Stopped, &["vda"]);
    for name in ["a", "b", "c"] {
        twins.by_hand(&["snapshot-create-as", DOM, name]);
    }
    twins.same(
        &[&["snapshot-delete", DOM], name, scope, &["--metadata"]].concat(),
        &[&["delete", DOM], name, scope, &["--metadata-only", "--yes"]].concat(),
    );
}

#[rstest]
#[case::root_running(State::Running, &["vda"], "e1")]
#[case::root_stopped(State::Stopped, &["vda", "vdb"], "e1")]
#[case::middle_running(State::Running, &["vda", "vdb"], "e2")]
#[case::middle_stopped(State::Stopped, &["vda"], "e2")]
#[case::current_running(State::Running, &["vda"], "e3")]
#[case::current_stopped(State::Stopped, &["vda"], "e3")]
#[case::current_transient(State::Transient, &["vda"], "e3")]
fn external_ones(#[case] state: State, #[case] disks: &'static [&'static str], #[case] name: &str) {
    let bed = Bed::new();
    let twins = external(&bed, state, disks);
    twins.same(&["snapshot-delete", DOM, name], &["delete", DOM, name, "--yes"]);
}

#[rstest]
#[case::all("--children", "e1", &[])]
#[case::below("--children-only", "e1", &["e1"])]
#[case::of_the_middle("--children", "e2", &["e1"])]
fn external_branches_which_virsh_refuses(#[case] scope: &str, #[case] name: &str, #[case] left: &[&str]) {
    let bed = Bed::new();
    let twins = external(&bed, State::Stopped, &["vda"]);
    let (theirs, ours) = twins.drive(&["snapshot-delete", DOM, name, scope], &["delete", DOM, name, scope, "--yes"]);
    assert!(!theirs.status.success());
    drop(ours.exits(0));
    assert_eq!(twins.snapshots(twins.second()), left);
    // Done by hand, one by one, virsh's twin comes to the same.
    let rest: Vec<String> = twins.snapshots(twins.first());
    for gone in rest.iter().filter(|name| !left.contains(&name.as_str())) {
        bed.virsh_ok(&["snapshot-delete", twins.first(), gone]);
    }
    twins.assert_same();
}

/// libvirt 11.3 dies of `virsh snapshot-delete a --children` here; snapward never asks for that.
#[rstest]
#[case::all(&["--children"], &[])]
#[case::below(&["--children-only"], &["a"])]
#[case::records(&["--children", "--metadata-only"], &[])]
fn a_tree_of_which_libvirt_dies(#[case] scope: &[&str], #[case] left: &[&str]) {
    let bed = Bed::new();
    let twins = internal(&bed, State::Stopped, &["vda"]);
    drop(bed.snapward(&[&["delete", twins.second(), "a", "--yes"], scope].concat()).exits(0));
    assert_eq!(twins.snapshots(twins.second()), left);
}

#[test]
fn what_cannot_go_is_said_before_anything_goes() {
    let bed = Bed::new();
    let twins = external(&bed, State::Stopped, &["vda"]);
    twins.by_hand(&["snapshot-revert", DOM, "e2"]).by_hand(&["snapshot-create-as", DOM, "f", "--disk-only"]);
    let (theirs, ours) = twins.drive(&["snapshot-delete", DOM, "e2"], &["delete", DOM, "e2", "--yes"]);
    assert!(!theirs.status.success());
    let ran = ours.exits(1);
    assert!(ran.stderr.contains("nothing was done") && ran.stderr.contains("e3"), "{ran}");
    twins.assert_same();
}

#[test]
fn without_a_terminal_it_asks_for_yes() {
    let bed = Bed::new();
    let twins = internal(&bed, State::Stopped, &["vda"]);
    let ran = bed.snapward(&["delete", twins.second(), "b"]).exits(64);
    assert!(ran.stderr.contains("--yes"), "{ran}");
    assert_eq!(twins.snapshots(twins.second()).len(), 4);
}
