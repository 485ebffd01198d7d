//! Deletions in external trees: what goes, where the disks end, what stops them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use snapward::apply::Progress;
use snapward::model::outcome::{ActionOutcome, DomainOutcome, DomainResult};
use snapward::model::plan::Action;

use super::external::crash::with_a_dead_branch;
use super::external_captures::failed;
use crate::support::chain::{Chain, source};
use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, actions, blocks, manifest};
use crate::support::slow::Slowed;
use crate::support::tools;

/// A manifest in which these snapshots of `vm` are adopted, and those shall be absent.
pub(crate) fn wanted(present: &[&str], absent: &[&str]) -> String {
    let kept = present
        .iter()
        .map(|name| format!("    - {{name: {name}, adopt: true, capture: {{content: disks, location: external}}}}\n"));
    let gone = absent.iter().map(|name| format!("    - {{name: {name}, state: absent}}\n"));
    let (kept, gone): (String, String) = (kept.collect(), gone.collect());
    manifest(&format!("  snapshots:\n{kept}{gone}"))
}

/// Adopts snapshots that were made by hand.
pub(super) fn adopt(lab: &Lab<'_>, names: &[&str]) {
    lab.apply(&wanted(names, &[]));
}

#[rstest::rstest]
fn leaf_middle_and_root_go_and_the_disks_are_told(#[values(false, true)] running: bool) {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let mut chain = Chain::with_disks(&root, "vm", &["vda", "vdb"]);
    for name in ["e1", "e2", "e3", "e4"] {
        chain.capture(name);
    }
    chain.write();
    adopt(&lab, &["e1", "e2", "e3", "e4"]);
    if running {
        chain.guest.start();
    }
    let yaml = wanted(&["e2"], &["e1", "e3", "e4"]);
    let outcome = lab.carry_out(&lab.plan(&yaml));
    assert_eq!(outcome.domains[0].result, DomainResult::Done, "{outcome:#?}");
    lab.settled(&yaml);
    assert_eq!((chain.guest.snapshots(), chain.guest.current()), (vec!["e2".to_owned()], "e2".to_owned()));
    let moved: BTreeMap<_, _> = outcome.domains[0].actions.iter().flat_map(|action| &action.disks).collect();
    assert_eq!(moved.len(), 2, "the active images changed: {outcome:#?}");
    for (target, path) in moved {
        assert_eq!(chain.disk(target).to_str(), Some(path.as_str()));
    }
    if running {
        chain.guest.destroy();
    }
    chain.assert_intact();
    chain.assert_no_orphans();
}

#[test]
fn a_dead_branch_goes_first_and_only_then_what_is_above_it() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let chain = with_a_dead_branch(&root);
    adopt(&lab, &["e1", "e2", "e3", "e4"]);
    // Alone it would kill libvirt.
    let plan = lab.plan(&wanted(&["e2", "e3", "e4"], &["e1"])).plan;
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec!["TreeHolds e1".to_owned()]));
    assert!(plan.blocked[0].text.contains("e3 stands further down"), "{:?}", plan.blocked);
    let yaml = wanted(&["e2", "e4"], &["e1", "e3"]);
    assert_eq!(actions(&lab.plan(&yaml).plan), ["delete e3", "delete e1"]);
    lab.apply(&yaml);
    lab.settled(&yaml);
    chain.assert_intact();
    chain.assert_no_orphans();
}

#[test]
fn a_neighbour_that_came_after_the_plan_holds_a_deletion() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let mut chain = Chain::new(&root, "vm");
    chain.capture("e1");
    chain.capture("e2");
    adopt(&lab, &["e1", "e2"]);
    let yaml = wanted(&["e1"], &["e2"]);
    let planned = lab.plan(&yaml);
    assert_eq!(actions(&planned.plan), ["delete e2"]);
    // A linked clone of what e2 froze.
    let frozen = chain.frozen("e2", "vda");
    let clone = root.guest("clone").disk("vda", "qcow2", "8M").define();
    tools::run(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", tools::text(&frozen), tools::text(&clone.vda())],
    );
    let said = failed(&lab.carry_out(&planned));
    assert!(said.contains("which domain clone uses") && said.contains("nothing was done"), "{said}");
    assert_eq!(blocks(&lab.plan(&yaml).plan), ["SharedBase e2"]);
    chain.assert_intact();
}

#[test]
fn a_disk_that_cannot_be_merged_is_told_and_the_next_run_completes_it() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let mut chain = Chain::with_disks(&root, "vm", &["vda", "vdb"]);
    for name in ["e1", "e2", "e3"] {
        chain.capture(name);
    }
    chain.write();
    adopt(&lab, &["e1", "e2", "e3"]);
    let yaml = wanted(&["e1", "e3"], &["e2"]);
    // Somebody reads the file that vdb's part is merged into: QEMU does not write to it meanwhile.
    let reader = tools::hold_open(&chain.frozen("e2", "vdb"));
    let planned = lab.plan(&yaml);
    let said = failed(&lab.carry_out(&planned));
    for part in ["disk vda: ", "vm-vda.e2 is not merged", "vm-vdb.e2 is not merged", "libvirt marked e1 as the target"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    // What e2 captured is overwritten in part, as the deletion wants it; nothing else is.
    assert_eq!((chain.held("e1"), chain.held("e3"), chain.state()), (Ok(1), Ok(3), Ok(4)));
    // What is marked is not in the way of the same deletion.
    assert_eq!(actions(&lab.plan(&yaml).plan), ["delete e2"]);
    drop(reader);
    lab.apply(&yaml);
    lab.settled(&yaml);
    chain.assert_intact();
    chain.assert_no_orphans();
    assert!(!chain.guest.snapshot_xml("e1").contains("snapshotDeleteInProgress"));
}

/// Notes what is told of a merge.
#[derive(Default)]
struct Heard(Mutex<Vec<(u64, u64)>>);

impl Progress for Heard {
    fn domain_started(&self, _: &str, _: &str, _: usize) {}
    fn action_started(&self, _: &Action) {}
    fn merged(&self, _: &Action, done: u64, total: u64) {
        self.0.lock().expect("whole").push((done, total));
    }
    fn action_finished(&self, _: &Action, _: &ActionOutcome) {}
    fn domain_finished(&self, _: &DomainOutcome) {}
}

#[test]
fn a_merge_that_takes_time_tells_how_far_it_is() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").disk("vda", "qcow2", "256M").define();
    for name in ["e1", "e2"] {
        guest.try_disk_only(name, "").expect("captured");
        tools::scatter(&source(&guest.xml(), "vda"), 800);
    }
    adopt(&lab, &["e1", "e2"]);
    guest.start();
    let planned = lab.plan(&wanted(&["e2"], &["e1"]));
    let heard = Heard::default();
    let slowed = Slowed::down(root.guest_pid("vm"));
    let outcome = lab.carry_out_telling(&planned, &heard);
    drop(slowed);
    assert_eq!(outcome.domains[0].result, DomainResult::Done, "{outcome:#?}");
    let told = heard.0.into_inner().expect("whole");
    assert!(!told.is_empty(), "nothing was told in {} ms", outcome.domains[0].actions[0].millis);
    assert!(told.iter().all(|(done, total)| done <= total && *total > 0), "{told:?}");
    assert!(told.is_sorted_by_key(|(done, _)| *done), "{told:?}");
}
