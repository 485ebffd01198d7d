//! What libvirt keeps of the lines that are written into domains and snapshots: cases G and H.

use virt::domain::Domain;
use virt::sys;

use crate::support::embed::EmbedRoot;
use crate::support::guest::{Guest, between};

use super::{declared, linear};
use crate::support::cmd::snapward;
use crate::support::lab::{Lab, actions, blocks, set};

const NAMESPACE: &str = "https://example.com/records";

fn write(guest: &Guest<'_>, text: &str, flags: u32) {
    let kind = sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed();
    let element = format!("<note>{text}</note>");
    let written = |domain: &Domain| domain.set_metadata(kind, Some(&element), Some("r"), Some(NAMESPACE), flags);
    guest.call(written).expect("written");
}

fn note(xml: &str) -> Option<String> {
    xml.contains(NAMESPACE).then(|| between(xml, "<r:note", "</r:note>").split_once('>').expect("a tag").1.to_owned())
}

/// Case G. The domain's `<metadata>` follows a clone and a stop as the definition does, not as a record would: it is carried
/// to a clone, dropped by a define without it, lost at a stop where it was only set for the running domain, and still
/// there in every snapshot captured since.
#[test]
fn domain_metadata_goes_where_the_definition_goes() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = linear(&root, &["before"]);
    write(&chain.guest, "stored", sys::VIR_DOMAIN_AFFECT_CONFIG);
    chain.capture("stored");
    let clone = chain.guest.clone_as("clone");
    assert_eq!(note(&clone.xml()).as_deref(), Some("stored"));

    chain.guest.start_paused();
    write(&chain.guest, "of the running domain", sys::VIR_DOMAIN_AFFECT_CURRENT);
    chain.capture_as_is("running");
    assert_eq!(note(&chain.guest.xml()).as_deref(), Some("of the running domain"));
    chain.guest.destroy();
    assert_eq!(note(&chain.guest.xml()).as_deref(), Some("stored"));

    let xml = chain.guest.xml();
    let without = xml.replace(&format!("<metadata>{}</metadata>", between(&xml, "<metadata>", "</metadata>")), "");
    root.hold().define_domain_xml(&without).expect("defined");
    assert_eq!(note(&chain.guest.xml()), None);
    for (snapshot, kept) in [("before", None), ("stored", Some("stored")), ("running", Some("of the running domain"))] {
        assert_eq!(note(&chain.guest.snapshot_xml(snapshot)).as_deref(), kept, "{snapshot}");
    }

    chain.revert("stored");
    assert_eq!(note(&chain.guest.xml()).as_deref(), Some("stored"), "a revert brings the old one back");
}

/// Case H. A description's CR LF is kept in memory and written as it is, so XML makes it LF when the driver is opened next.
#[test]
fn a_carriage_return_is_gone_when_the_driver_is_opened_again() {
    let root = EmbedRoot::new();
    let chain = linear(&root, &["e1"]);
    let written = "<description>first&#13;\nsecond</description>";
    let xml = chain.guest.snapshot_xml("e1").replace("<name>e1</name>", &format!("<name>e1</name>{written}"));
    let file = root.file("e1.xml", &xml);
    let same_process = root.virsh_ok(&[&format!("snapshot-create vm {file} --redefine; snapshot-dumpxml vm e1")]);
    assert!(same_process.contains("<description>first\r\nsecond</description>"), "{same_process}");
    assert!(chain.guest.snapshot_xml("e1").contains("<description>first\nsecond</description>"));
}

/// Case H. A character that XML 1.0 does not have is refused before anything is made.
#[test]
fn characters_outside_xml_are_refused() {
    let root = EmbedRoot::new();
    root.hold();
    let chain = linear(&root, &["e1"]);
    for character in ["\u{c}", "\u{fffe}", "&#12;", "&#xfffe;"] {
        let inner = format!("<description>a{character}b</description>");
        let error = chain.guest.try_disk_only("e2", &inner).expect_err(character);
        assert!(error.contains("xmldetail (35)"), "{character:?}: {error}");
        assert_eq!(chain.guest.snapshots(), ["e1"]);
    }
    chain.assert_intact();
    chain.assert_no_orphans();
}

/// Case G. snapward's own record, the ledger, is written for the running and the stored domain, read from every copy, and
/// not believed where it names another domain.
#[test]
fn snapward_reads_its_ledger_from_every_copy_there_is() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = linear(&root, &[]);
    chain.guest.start_paused();
    let lab = Lab::new(&root);
    let capture = |name: &str| format!("    - {{name: {name}, capture: {{content: disks, location: external}}}}\n");
    let first = declared(&[], &capture("a"));
    let both = declared(&[], &(capture("a") + &capture("b")));
    lab.apply(&first);
    chain.note_capture("a");
    lab.apply(&both);
    chain.note_capture("b");
    chain.guest.destroy();
    lab.settled(&both);

    // A clone has the ledger of the domain it was made from, and no snapshots.
    let clone = chain.guest.clone_as("clone");
    let of_clone = |list: &str| set("clone", &format!("  domains: {{include: [clone]}}\n  snapshots:\n{list}"));
    let plan = lab.plan(&of_clone(&capture("a"))).plan;
    assert_eq!((actions(&plan), blocks(&plan)), (vec!["create a".to_owned()], vec![]), "a new domain");
    clone.undefine();

    // A define without it: b still has the copy that names a.
    chain.guest.delete_snapshot("a");
    let xml = chain.guest.xml();
    let without = xml.replace(&format!("<metadata>{}</metadata>", between(&xml, "<metadata>", "</metadata>")), "");
    root.hold().define_domain_xml(&without).expect("defined");
    let plan = lab.plan(&both).plan;
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec!["Missing a".to_owned()]), "captured before, not again");
    lab.apply(&both);
    assert_eq!(chain.guest.xml().matches("made name=").count(), 2, "whole again:\n{}", chain.guest.xml());

    // A revert brings the old definition back, which knows of nothing that came after.
    chain.revert("b");
    lab.apply(&both);
    assert_eq!(chain.guest.xml().matches("made name=").count(), 2, "{}", chain.guest.xml());
    chain.assert_intact();
}

/// Case H. A description with CR LF is the same one after the driver was opened again, and characters that XML lacks are
/// an error before any host is asked.
#[test]
fn snapward_writes_no_description_that_reads_back_differently() {
    let root = EmbedRoot::new();
    let chain = linear(&root, &["e1"]);
    let entry = |text: &str| {
        let fields = "capture: {content: disks, location: external}, adopt: true";
        root.file("lab.yaml", &declared(&[], &format!("    - {{name: e1, {fields}, description: \"{text}\"}}\n")))
    };
    let run = |verb: &[&str], file: &str| snapward([&["-c", &root.uri()], verb, &[file]].concat()).run();
    let file = entry("first\\r\\nsecond");
    drop(run(&["apply", "--yes"], &file).exits(0));
    assert!(chain.guest.snapshot_xml("e1").contains("<description>first\nsecond"));
    drop(run(&["plan", "--detailed-exitcode"], &file).exits(0));
    for character in ["\\f", "\\uFFFE"] {
        let ran = run(&["apply", "--yes"], &entry(&format!("a{character}b"))).exits(65);
        assert!(ran.stderr.contains("XML"), "{ran}");
    }
    chain.assert_intact();
}
