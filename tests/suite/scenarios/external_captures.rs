//! External captures as a user declares them: files where the plan says, content that a revert gives back, leftovers used,
//! and nothing written over.

use std::fs;

use snapward::model::outcome::{ActionResult, DomainResult, Outcome};

use crate::support::chain::{Chain, backing_chain, source};
use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, actions, blocks, manifest};
use crate::support::tools::{self, text};

/// A manifest that declares external snapshots of `vm`: name and content of each.
pub(crate) fn declared(snapshots: &[(&str, &str)]) -> String {
    let one = |(name, content): &(&str, &str)| {
        format!("    - name: {name}\n      capture: {{content: {content}, location: external}}\n")
    };
    manifest(&format!("  snapshots:\n{}", snapshots.iter().map(one).collect::<String>()))
}

/// The only action of an outcome that failed, with what is said of it.
pub(crate) fn failed(outcome: &Outcome) -> String {
    assert_eq!(outcome.domains[0].result, DomainResult::Failed, "{outcome:#?}");
    let failed: Vec<_> =
        outcome.domains[0].actions.iter().filter(|action| action.result == ActionResult::Failed).collect();
    assert_eq!(failed.len(), 1, "{outcome:#?}");
    failed[0].text.clone()
}

#[test]
fn captures_follow_the_run_state_and_say_where_the_disks_are() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let mut chain = Chain::with_disks(&root, "vm", &["vda", "vdb"]);
    chain.write();
    let one = declared(&[("off", "full")]);
    let outcome = lab.carry_out(&lab.plan(&one));
    assert_eq!(outcome.domains[0].result, DomainResult::Done, "{outcome:#?}");
    let images: Vec<_> =
        outcome.domains[0].actions[0].disks.iter().map(|(target, path)| (target.as_str(), path.as_str())).collect();
    let file = |name: &str| text(&root.image(name)).to_owned();
    assert_eq!(images, [("vda", file("vm.vda.off.qcow2").as_str()), ("vdb", file("vm.vdb.off.qcow2").as_str())]);
    chain.note_capture("off");
    chain.write();
    chain.guest.start();
    let two = declared(&[("off", "full"), ("disks", "disks"), ("full", "full"), ("memory", "memory")]);
    lab.apply(&two);
    lab.settled(&two);
    assert_eq!(chain.guest.snapshots(), ["disks", "full", "memory", "off"]);
    assert_eq!(chain.guest.current(), "memory");
    for name in ["disks", "full", "memory"] {
        chain.note_capture(name);
    }
    chain.guest.pause();
    let three =
        declared(&[("off", "full"), ("disks", "disks"), ("full", "full"), ("memory", "memory"), ("paused", "disks")]);
    lab.apply(&three);
    chain.note_capture("paused");
    chain.guest.destroy();
    chain.assert_intact();
    assert!(root.image("vm.full.memory").exists() && root.image("vm.memory.memory").exists());
    assert_eq!(
        backing_chain(&chain.disk("vdb")),
        ["vm.vdb.paused.qcow2", "vm.vdb.full.qcow2", "vm.vdb.disks.qcow2", "vm.vdb.off.qcow2", "vm-vdb.qcow2"]
    );
    lab.settled(&three);
}

#[rstest::rstest]
fn a_leftover_of_a_killed_capture_is_used(#[values(false, true)] running: bool) {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let mut chain = Chain::new(&root, "vm");
    chain.capture("e1");
    chain.write();
    if running {
        chain.guest.start();
    }
    let leftover = root.image("vm.vda.s.qcow2");
    let (active, leftover) = (chain.disk("vda"), text(&leftover).to_owned());
    tools::run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", text(&active), &leftover]);
    let yaml = declared(&[("s", "disks")]);
    lab.apply(&yaml);
    lab.settled(&yaml);
    chain.note_capture("s");
    assert_eq!(text(&chain.disk("vda")), leftover);
    chain.assert_intact();
    chain.assert_no_orphans();
}

#[test]
fn a_file_in_the_way_is_found_before_anything_is_touched() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let chain = Chain::new(&root, "vm");
    chain.guest.start();
    let yaml = declared(&[("s", "full")]);
    let planned = lab.plan(&yaml);
    // It came after the plan was made, and libvirt would write over it.
    let precious = root.image("vm.s.memory");
    fs::write(&precious, "precious").expect("written");
    let said = failed(&lab.carry_out(&planned));
    assert!(said.contains("vm.s.memory is there by now; nothing was captured"), "{said}");
    assert_eq!(fs::read_to_string(&precious).expect("there"), "precious");
    assert_eq!(blocks(&lab.plan(&yaml).plan), ["NotPossible s"]);
    fs::remove_file(&precious).expect("removed");
    // Neither is an overlay with data in it taken for a leftover.
    let planned = lab.plan(&yaml);
    let overlay = root.image("vm.vda.s.qcow2");
    tools::create_image(&overlay, "qcow2", "8M");
    let said = failed(&lab.carry_out(&planned));
    assert!(said.contains("vm.vda.s.qcow2 is there by now; nothing was captured"), "{said}");
    assert_eq!(blocks(&lab.plan(&yaml).plan), ["NotPossible s"]);
    assert!(chain.guest.snapshots().is_empty());
}

#[test]
fn what_changed_under_the_run_stops_it() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let mut chain = Chain::new(&root, "vm");
    chain.capture("e1");
    let yaml = declared(&[("s", "disks")]);
    let planned = lab.plan(&yaml);
    // Metadata that no longer fits the disks: a pointer somebody moved.
    chain.capture("e2");
    chain.guest.set_current("e1");
    let outcome = lab.carry_out(&planned);
    assert_eq!(outcome.domains[0].result, DomainResult::Stale);
    // The plan that is made now repairs it first.
    let repaired = lab.plan(&yaml);
    assert_eq!(actions(&repaired.plan), ["setCurrent e2", "create s"]);
    let outcome = lab.carry_out(&repaired);
    assert_eq!(outcome.domains[0].result, DomainResult::Done, "{outcome:#?}");
    chain.note_capture("s");
    chain.assert_intact();
    assert_eq!(source(&chain.guest.snapshot_xml("s"), "vda"), root.image("vm-vda.e2"));
}
