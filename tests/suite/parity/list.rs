//! `snapward snapshot list` beside `virsh snapshot-list`.

use super::twins::{Bed, DOM, State, Twins};

/// Every filter and form but the tree, with names that each of the domains below has.
const FORMS: &[&[&str]] = &[
    &[],
    &["--parent"],
    &["--name"],
    &["--name", "--parent"],
    &["--topological"],
    &["--name", "--topological"],
    &["--roots"],
    &["--roots", "--name"],
    &["--leaves"],
    &["--no-leaves"],
    &["--leaves", "--no-leaves"],
    &["--metadata"],
    &["--no-metadata"],
    &["--metadata", "--no-metadata"],
    &["--inactive"],
    &["--active"],
    &["--disk-only"],
    &["--inactive", "--disk-only"],
    &["--internal"],
    &["--external"],
    &["--internal", "--external"],
    &["--internal", "--active", "--leaves"],
    &["--from", "base"],
    &["--from", "base", "--parent"],
    &["--from", "base", "--descendants"],
    &["--from", "base", "--descendants", "--leaves", "--name"],
    &["--from", "base", "--descendants", "--topological"],
    &["--current"],
    &["--current", "--descendants", "--name"],
    &["--from", "nothing"],
];

/// A domain with internal snapshots of each run state, two branches, and names that differ in case.
fn internal(bed: &Bed) -> Twins<'_> {
    let twins = bed.twins("int", State::Stopped, &["vda"]);
    twins.by_hand(&["snapshot-create-as", DOM, "base"]).by_hand(&["start", DOM]);
    twins.by_hand(&["snapshot-create-as", DOM, "Running"]).by_hand(&["suspend", DOM]);
    twins.by_hand(&["snapshot-create-as", DOM, "paused"]).by_hand(&["snapshot-revert", DOM, "base"]);
    twins.by_hand(&["snapshot-create-as", DOM, "branch"]).by_hand(&["snapshot-create-as", DOM, "Tip"]);
    twins.by_hand(&["snapshot-current", DOM, "branch"]);
    twins
}

/// A domain with two disks and external snapshots: taken off, of the disks alone, and with memory.
fn external(bed: &Bed) -> Twins<'_> {
    let twins = bed.twins("ext", State::Stopped, &["vda", "vdb"]);
    twins.by_hand(&["snapshot-create-as", DOM, "base", "--disk-only"]).by_hand(&["start", DOM]);
    twins.by_hand(&["snapshot-create-as", DOM, "disks", "--disk-only"]);
    let memory = bed.image("DOM.memory");
    twins.by_hand(&["snapshot-create-as", DOM, "full", "--memspec", &format!("file={memory}")]);
    twins
}

/// A transient domain with one internal snapshot, and one that hangs below it.
fn transient(bed: &Bed) -> Twins<'_> {
    let twins = bed.twins("transient", State::Transient, &["vda"]);
    twins.by_hand(&["snapshot-create-as", DOM, "base"]).by_hand(&["snapshot-create-as", DOM, "x"]);
    twins.by_hand(&["snapshot-current", DOM, "base"]);
    twins
}

#[test]
fn every_filter_and_form() {
    let bed = Bed::new();
    for twins in [internal(&bed), external(&bed), transient(&bed), bed.twins("none", State::Paused, &["vda"])] {
        for form in FORMS {
            let (theirs, ours) =
                twins.answers(&[&["snapshot-list", DOM], *form].concat(), &[&["list", DOM], *form].concat());
            let code = if theirs.status.success() { 0 } else { 1 };
            let ours = ours.exits(code);
            // Without --quiet virsh prints the head of the table; with it the rows alone.
            let rows = |text: &str| {
                let table = text.lines().position(|line| line.starts_with("---")).map_or(0, |line| line + 1);
                text.lines().skip(table).map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
            };
            let theirs = String::from_utf8_lossy(&theirs.stdout);
            assert_eq!(
                rows(theirs.trim_end_matches('\n')),
                rows(ours.stdout.trim_end_matches('\n')),
                "{form:?} of {}",
                twins.first()
            );
        }
    }
}
