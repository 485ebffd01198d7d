//! Whose snapshot is it: adoption, conflicts, and the ledger lost, copied and rewound.

use snapward::model::ledger::LEDGER_NAMESPACE;

use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, actions, blocks, manifest, snapshot};
use crate::support::tools::{run, text};

#[test]
fn a_snapshot_made_by_hand_is_a_conflict_until_it_is_adopted() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    guest.snapshot("golden", "<description>by hand</description>");
    let before = guest.snapshot_xml("golden");
    let declared = manifest(&format!("  snapshots:\n{}", snapshot("golden", &[])));
    assert_eq!(blocks(&lab.apply(&declared).plan), ["Conflict golden"]);
    assert_eq!(guest.snapshot_xml("golden"), before);

    let adopting = manifest(&format!("  snapshots:\n{}", snapshot("golden", &["adopt: true"])));
    assert_eq!(actions(&lab.apply(&adopting).plan), ["redefine golden"]);
    let stamped = guest.snapshot_xml("golden");
    assert_eq!(stamped.replace("\n\nSnapward-Set: default/lab\nSnapward-Snapshot: golden", ""), before);
    lab.settled(&adopting);
    lab.settled(&declared);

    guest.delete_snapshot("golden");
    assert_eq!(blocks(&lab.settled(&declared)), ["Missing golden"], "an adopted one is in the ledger");
}

#[test]
fn a_renamed_or_cloned_snapshot_is_not_ours() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    lab.apply(&manifest(&format!("  snapshots:\n{}", snapshot("a", &[]))));
    guest.edit_snapshot("a", false, |xml| xml.replace("<name>a</name>", "<name>copy</name>"));
    let plan = lab.settled(&manifest("  snapshots:\n    - {name: copy, state: absent}\n"));
    assert_eq!(blocks(&plan), ["Conflict copy"], "the stamp names another snapshot");
    assert_eq!(guest.snapshots(), ["a", "copy"]);
}

#[test]
fn without_its_ledger_a_domain_captures_nothing_by_itself() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let one = manifest(&format!("  snapshots:\n{}", snapshot("a", &[])));
    lab.apply(&one);
    guest.drop_metadata(LEDGER_NAMESPACE);
    // The first capture embeds an empty copy of the ledger: take that too.
    guest.edit_snapshot("a", false, |xml| without_metadata(&xml));
    let two = manifest(&format!("  snapshots:\n{}{}", snapshot("a", &[]), snapshot("b", &[])));
    assert_eq!(blocks(&lab.apply(&two).plan), ["LedgerLost b"]);
    assert_eq!(guest.snapshots(), ["a"]);

    let wanted = manifest(&format!("  snapshots:\n{}{}", snapshot("a", &[]), snapshot("b", &["recreate: true"])));
    assert_eq!(actions(&lab.apply(&wanted).plan), ["create b"]);
    assert!(blocks(&lab.settled(&two)).is_empty(), "and the ledger stands again");
    guest.delete_snapshot("a");
    assert_eq!(blocks(&lab.settled(&two)), ["Missing a"]);
}

#[test]
fn a_ledger_lost_while_everything_is_there_is_written_anew() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let declared = manifest(&format!("  snapshots:\n{}", snapshot("a", &[])));
    lab.apply(&declared);
    guest.drop_metadata(LEDGER_NAMESPACE);
    lab.apply(&declared);
    assert!(guest.xml().contains(r#"made name="a""#), "{}", guest.xml());
}

#[test]
fn a_clone_carries_the_ledger_and_it_is_not_believed() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let for_both = |domain: &str| {
        crate::support::lab::set(
            "lab",
            &format!("  domains: {{include: [{domain}]}}\n  snapshots:\n{}", snapshot("golden", &[])),
        )
    };
    lab.apply(&for_both("vm"));
    let clone = guest.clone_as("clone");
    assert!(clone.xml().contains(LEDGER_NAMESPACE), "the ledger was copied");
    assert_eq!(
        blocks(&lab.plan(&for_both("clone")).plan),
        ["NotPossible golden"],
        "the copied image holds the snapshot"
    );
    run("qemu-img", &["snapshot", "-d", "golden", text(&clone.vda())]);
    assert_eq!(actions(&lab.apply(&for_both("clone")).plan), ["create golden"], "the ledger names another domain");
    assert_eq!(clone.snapshots(), ["golden"]);
}

#[test]
fn a_revert_rewinds_the_ledger_and_nothing_is_captured_again() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let declared =
        manifest(&format!("  snapshots:\n{}{}{}", snapshot("a", &[]), snapshot("b", &[]), snapshot("c", &[])));
    lab.apply(&declared);
    assert!(guest.xml().contains(r#"made name="b""#), "{}", guest.xml());
    guest.revert("a");
    assert!(!guest.xml().contains(r#"made name="b""#), "libvirt took the metadata back: {}", guest.xml());
    guest.delete_snapshot("b");
    assert_eq!(blocks(&lab.settled(&declared)), ["Missing b"], "c's copy of the ledger still knows it");
    lab.apply(&declared);
    guest.delete_snapshot("c");
    let plan = lab.settled(&declared);
    assert_eq!(blocks(&plan), ["Missing b", "Missing c"], "the pass in between filled the ledger up");
}

#[test]
fn an_orphan_is_reported_and_kept() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    lab.apply(&manifest(&format!("  snapshots:\n{}", snapshot("a", &[]))));
    let plan = lab.apply(&manifest("  snapshots: []")).plan;
    assert_eq!(plan.kept.len(), 1);
    assert_eq!(guest.snapshots(), ["a"]);
}

#[test]
fn a_running_domains_ledger_is_in_both_definitions() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    guest.start();
    let declared = manifest(&format!("  snapshots:\n{}", snapshot("a", &[])));
    lab.apply(&declared);
    guest.destroy();
    assert!(guest.xml().contains(r#"made name="a""#), "the stored definition has it: {}", guest.xml());
}

/// The XML without any `<metadata>` element.
fn without_metadata(xml: &str) -> String {
    let mut rest = xml;
    let mut out = String::new();
    while let Some((head, tail)) = rest.split_once("<metadata>") {
        out.push_str(head);
        rest = tail.split_once("</metadata>").expect("closed").1;
    }
    out + rest
}
