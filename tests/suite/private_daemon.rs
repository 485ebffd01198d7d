//! The private daemon itself: two connections see one guest, which outlives a restart and not the daemon.

use std::process::Command;

use virt::connect::Connect;
use virt::sys;

use crate::support::daemon::PrivateDaemon;

#[test]
fn two_connections_share_a_guest_that_outlives_a_restart() {
    let mut daemon = PrivateDaemon::start();
    let disk = daemon.images().join("disk.qcow2");
    let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&disk).arg("32M").status();
    assert!(made.expect("qemu-img (package qemu-utils)").success());
    daemon.hand_over(&disk);

    let first = Connect::open(Some(&daemon.uri())).expect("a connection");
    let second = Connect::open_read_only(Some(&daemon.uri())).expect("a second connection");
    let domain = first.define_domain_xml(&guest_xml(&disk.display().to_string())).expect("a definition");
    domain.create().expect("the guest to start");
    let snapshot = "<domainsnapshot><name>one</name></domainsnapshot>";
    domain.create_snapshot_xml(snapshot, 0).expect("a snapshot");

    let seen = second.lookup_domain_by_name("shared").expect("the guest, seen by the other");
    assert!(seen.is_active().expect("its state"));
    assert_eq!(seen.list_all_snapshots(0).expect("its snapshots").len(), 1);
    drop((domain, seen, first, second));

    daemon.restart();
    let third = Connect::open(Some(&daemon.uri())).expect("a connection to the new daemon");
    let active = third.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE).expect("the guests");
    assert_eq!(active.iter().map(|domain| domain.name().expect("a name")).collect::<Vec<_>>(), ["shared"]);
    drop((active, third));
}

fn guest_xml(disk: &str) -> String {
    format!(
        "<domain type='qemu'>
           <name>shared</name>
           <memory unit='MiB'>32</memory>
           <vcpu>1</vcpu>
           <os><type arch='x86_64' machine='pc'>hvm</type></os>
           <devices>
             <emulator>/usr/bin/qemu-system-x86_64</emulator>
             <disk type='file' device='disk'>
               <driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
             </disk>
           </devices>
         </domain>"
    )
}
