//! Two disks, of which one is merged when the deletion fails: libvirt alone never gets over it.

use std::fs;
use std::sync::Arc;
use std::thread;

use snapward::host::Host;
use snapward::libvirt::Access;

use super::external_captures::failed;
use super::external_deletions::{adopt, wanted};
use crate::faults::table::row;
use crate::support::chain::{backing_chain, source};
use crate::support::embed::EmbedRoot;
use crate::support::gate::wait_until;
use crate::support::guest::Guest;
use crate::support::lab::{Lab, actions, blocks};
use crate::support::slow::Slowed;
use crate::support::tools;

/// Clusters to merge in each disk: seconds for a QEMU at a crawl.
const CLUSTERS: u64 = 400;

/// A running guest with two disks and the chain `e1-e2-e3`, with much to merge in e2.
fn guest(root: &EmbedRoot) -> Guest<'_> {
    let guest = root.guest("vm").disk("vda", "qcow2", "64M").disk("vdb", "qcow2", "64M").define();
    for name in ["e1", "e2", "e3"] {
        guest.try_disk_only(name, "").expect("captured");
        if name == "e2" {
            for target in ["vda", "vdb"] {
                tools::scatter(&source(&guest.xml(), target), CLUSTERS);
            }
        }
    }
    guest.start();
    guest
}

/// Does the work, and takes libvirt's directory for snapshots away while both disks are merged: what libvirt notes after it
/// is through with vda cannot be written, and it gives up on vdb.
fn fail_after_the_first_disk<T>(
    root: &EmbedRoot,
    host: &Arc<dyn Host>,
    guest: &Guest<'_>,
    work: impl FnOnce() -> T,
) -> T {
    let domain = guest.listed(host.as_ref());
    let metadata = root.path().join("lib/qemu/snapshot/vm");
    let aside = metadata.with_extension("aside");
    let slowed = Slowed::down(root.guest_pid("vm"));
    let result = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            wait_until("the merge of vdb", || host.block_job(&domain, "vdb").ok().flatten().is_some());
            fs::rename(&metadata, &aside).expect("moved");
            fs::write(&metadata, "").expect("written");
        });
        let result = work();
        watch.join().expect("the merge was seen");
        result
    });
    drop(slowed);
    fs::remove_file(&metadata).expect("removed");
    fs::rename(&aside, &metadata).expect("moved back");
    result
}

#[test]
fn libvirt_refuses_the_same_deletion_for_ever() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = guest(&root);
    let error = fail_after_the_first_disk(&root, &host, &guest, || guest.try_delete("e2")).expect_err("it fails");
    assert!(error.contains("cannot create snapshot directory"), "{error}");
    let images = root.images();
    assert!(!images.contains(&"vm-vda.e2".to_owned()) && images.contains(&"vm-vdb.e2".to_owned()), "{images:?}");
    // The mark of the merged disk is gone, the other one's stays.
    assert_eq!(guest.snapshot_xml("e1").matches("snapshotDeleteInProgress").count(), 1);
    for _ in ["running", "off"] {
        let error = guest.try_delete("e2").expect_err("refused");
        assert!(error.contains("could not find base disk source in disk source chain"), "{error}");
        if guest.is_active() {
            guest.destroy();
        }
    }
}

#[test]
fn snapward_brings_the_records_up_and_completes_it() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let host = root.connect(Access::ReadWrite);
    let guest = guest(&root);
    adopt(&lab, &["e1", "e2", "e3"]);
    let yaml = wanted(&["e1", "e3"], &["e2"]);
    let planned = lab.plan(&yaml);
    let outcome = fail_after_the_first_disk(&root, &host, &guest, || lab.carry_out(&planned));
    let said = failed(&outcome);
    row("second disk").is_told(&said);
    assert!(said.contains("vm-vda.e2 is merged into ") && said.contains("vm-vdb.e2 is not merged"), "{said}");
    // Whoever no longer wants it deleted is told what became of it; else the deletion is the only thing that is done.
    let kept = lab.plan(&wanted(&["e1", "e2", "e3"], &[])).plan;
    assert_eq!((actions(&kept), blocks(&kept)), (vec![], vec!["ChainInconsistent".to_owned()]));
    assert!(kept.blocked[0].text.contains("a deletion of snapshot e2 failed halfway"), "{:?}", kept.blocked);
    let again = lab.plan(&yaml).plan;
    row("second disk").ends(&again);
    lab.apply(&yaml);
    lab.settled(&yaml);
    assert_eq!(guest.snapshots(), ["e1", "e3"]);
    assert!(!guest.snapshot_xml("e1").contains("snapshotDeleteInProgress"));
    guest.destroy();
    for target in ["vda", "vdb"] {
        let chain = ["e3", "e1", "qcow2"].map(|end| format!("vm-{target}.{end}"));
        assert_eq!(backing_chain(&source(&guest.xml(), target)), chain);
        assert_eq!(source(&guest.snapshot_xml("e3"), target), root.image(&format!("vm-{target}.e1")));
        assert!(tools::qemu_io_check(&source(&guest.xml(), target), "qcow2", 9, (CLUSTERS - 1) * 2 * 65_536, 512));
    }
}
