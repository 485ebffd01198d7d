//! `snapward snapshot revert` beside `virsh snapshot-revert`: the same domain, tree and images afterwards.

use super::twins::{Bed, DOM, State, Twins};

/// virsh's words for a revert, and snapward's; without the guard, which virsh does not take.
fn revert(twins: &Twins<'_>, words: &[&str]) {
    let virsh = [&["snapshot-revert", DOM], words].concat();
    let snapward = [&["revert", DOM], words, &["--no-guard", "--yes"]].concat();
    twins.same(&virsh, &snapward);
}

#[test]
fn internal_reverts_in_every_run_state() {
    let bed = Bed::new();
    let twins = bed.twins("int", State::Stopped, &["vda", "vdb"]);
    twins.write(2).by_hand(&["snapshot-create-as", DOM, "off"]);
    twins.write(3).by_hand(&["start", DOM]).by_hand(&["snapshot-create-as", DOM, "on"]);
    twins.by_hand(&["suspend", DOM]).by_hand(&["snapshot-create-as", DOM, "held"]);
    revert(&twins, &["on"]);
    revert(&twins, &["held", "--force"]);
    revert(&twins, &["on", "--paused"]);
    revert(&twins, &["off", "--running", "--reset-nvram"]);
    revert(&twins, &["--current"]);
    twins.by_hand(&["snapshot-delete", DOM, "held"]).assert_same();
}

#[test]
fn external_reverts_with_branches() {
    let bed = Bed::new();
    let twins = bed.twins("ext", State::Stopped, &["vda", "vdb"]);
    for (pattern, name) in [(2, "e1"), (3, "e2"), (4, "e3")] {
        twins.write(pattern).by_hand(&["snapshot-create-as", DOM, name, "--disk-only"]);
    }
    twins.write(5);
    for target in ["e1", "e3", "e2"] {
        revert(&twins, &[target]);
    }
    revert(&twins, &["e1", "--running"]);
    revert(&twins, &["e3"]);
}
