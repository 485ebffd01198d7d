//! Captures: in each run state, with their contents, once.

use snapward::model::plan::BlockCode;

use crate::support::embed::EmbedRoot;
use crate::support::guest::bytes;
use crate::support::lab::{Lab, actions, blocks, manifest, snapshot};
use crate::support::tools::{qemu_img_snapshots, qemu_io_check, qemu_io_write, run, text};

#[test]
fn a_stopped_domain_is_captured_once_with_its_contents() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    qemu_io_write(&guest.vda(), "qcow2", 0x11, 0, 1 << 20);
    let declared = manifest(&format!("  snapshots:\n{}", snapshot("golden", &["description: Clean install"])));
    let planned = lab.apply(&declared);
    assert_eq!(actions(&planned.plan), ["create golden"]);
    assert_eq!(qemu_img_snapshots(&guest.vda()), ["golden"]);
    let xml = guest.snapshot_xml("golden");
    assert!(xml.contains("Clean install\n\nSnapward-Set: default/lab\nSnapward-Snapshot: golden"), "{xml}");
    assert!(xml.contains("Snapward-Consistency: offline"), "{xml}");
    lab.settled(&declared);

    // What was captured is what was there, whatever is written afterwards.
    qemu_io_write(&guest.vda(), "qcow2", 0x22, 0, 1 << 20);
    let copy = root.image("golden.raw");
    run("qemu-img", &["convert", "-l", "snapshot.name=golden", "-O", "raw", text(&guest.vda()), text(&copy)]);
    assert!(qemu_io_check(&copy, "raw", 0x11, 0, 1 << 20));
}

#[test]
fn running_and_paused_domains_are_captured_with_memory_and_go_on() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    guest.start();
    let first = manifest(&format!("  snapshots:\n{}", snapshot("live", &[])));
    lab.apply(&first);
    assert!(guest.snapshot_xml("live").contains("<state>running</state>"));
    assert!(guest.snapshot_xml("live").contains("<memory snapshot='internal'"));
    assert!(guest.snapshot_xml("live").contains("Snapward-Consistency: memory"));
    guest.pause();
    let both = manifest(&format!("  snapshots:\n{}{}", snapshot("live", &[]), snapshot("still", &[])));
    lab.apply(&both);
    assert!(guest.snapshot_xml("still").contains("<state>paused</state>"));
    let plan = lab.settled(&both);
    assert_eq!(serde_json::to_value(plan.domains[0].state).unwrap(), "paused", "the guest is as it was");
}

#[test]
fn two_disks_are_captured_together() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").disk("vda", "qcow2", "32M").disk("vdb", "qcow2", "16M").define();
    lab.apply(&manifest(&format!("  snapshots:\n{}", snapshot("both", &[]))));
    for target in ["vda", "vdb"] {
        assert_eq!(qemu_img_snapshots(&guest.image(target, "qcow2")), ["both"]);
    }
}

#[test]
fn a_raw_disk_blocks_the_capture_in_the_plan_and_is_not_touched() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").disk("vda", "qcow2", "32M").disk("vdb", "raw", "4M").define();
    let before = (bytes(&guest.vda()), bytes(&guest.image("vdb", "raw")));
    let declared = manifest(&format!("  snapshots:\n{}", snapshot("golden", &[])));
    let planned = lab.plan(&declared);
    assert_eq!((actions(&planned.plan), blocks(&planned.plan)), (vec![], vec!["NotPossible golden".to_owned()]));
    assert!(planned.plan.blocked[0].text.contains("vdb has format raw"), "{}", planned.plan.blocked[0].text);
    lab.carry_out(&planned);
    assert!(before == (bytes(&guest.vda()), bytes(&guest.image("vdb", "raw"))), "not one byte changed");
}

#[test]
fn when_decides_by_the_run_state() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let declared = manifest(&format!("  snapshots:\n{}", snapshot("live", &["when: running"])));
    assert_eq!(blocks(&lab.plan(&declared).plan), ["WrongState live"]);
    guest.start();
    lab.apply(&declared);
    lab.settled(&declared);
}

#[test]
fn a_tag_that_libvirt_does_not_list_is_found_in_the_image() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    run("qemu-img", &["snapshot", "-c", "golden", text(&guest.vda())]);
    let planned = lab.plan(&manifest(&format!("  snapshots:\n{}", snapshot("golden", &[]))));
    assert_eq!(blocks(&planned.plan), ["NotPossible golden"]);
    assert_eq!(qemu_img_snapshots(&guest.vda()), ["golden"], "no second one of the same name");
}

#[test]
fn an_external_tree_is_blocked_and_left_alone() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    guest.snapshot("e1", "<disks><disk name='vda' snapshot='external'/></disks>");
    let xml = guest.snapshot_xml("e1");
    let declared = manifest(&format!("  snapshots:\n{}    - {{name: e1, state: absent}}\n", snapshot("golden", &[])));
    let planned = lab.plan(&declared);
    assert!(planned.plan.actions.is_empty());
    assert!(planned.plan.blocked.iter().all(|item| item.code == BlockCode::MixedKinds), "{:#?}", planned.plan.blocked);
    lab.carry_out(&planned);
    assert_eq!(guest.snapshot_xml("e1"), xml);
}

#[test]
fn several_snapshots_of_one_pass_follow_the_declared_order() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let list = format!("  snapshots:\n{}{}{}", snapshot("c", &[]), snapshot("a", &[]), snapshot("b", &["parent: c"]));
    let declared = manifest(&format!("{list}  current: a"));
    let planned = lab.apply(&declared);
    assert_eq!(actions(&planned.plan), ["create c", "create a", "create b", "redefine b", "setCurrent a"]);
    assert_eq!(planned.plan.warnings.len(), 1, "they hold the same state");
    assert!(guest.snapshot_xml("b").contains("<parent>\n    <name>c</name>"), "{}", guest.snapshot_xml("b"));
    assert_eq!(guest.current(), "a");
    lab.settled(&declared);
}
