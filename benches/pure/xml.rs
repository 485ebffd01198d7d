//! The reading of snapshots' XML, for the count of instructions and allocations.

use snapward::libvirt::read_saved_snapshot;

/// As libvirt 11.3 writes a snapshot of a domain with some devices, and with a ledger of twenty entries.
pub(crate) fn once(size: usize) -> Box<dyn FnOnce()> {
    let texts: Vec<String> = (0..size).map(text).collect();
    Box::new(move || {
        for text in &texts {
            read_saved_snapshot("snapshot.xml", text).unwrap();
        }
    })
}

fn text(number: usize) -> String {
    let uuid = "5b0a7c1e-0000-4000-8000-000000000000";
    let made: String =
        (0..20).map(|i| format!("<snapward:made name=\"s{i:03}\" created=\"1767225600\"/>\n        ")).collect();
    let devices: String = (1..9)
        .map(|slot| {
            format!(
                "<controller type='pci' index='{slot}' model='pcie-root-port'>\n        <address type='pci' domain='0x0000' \
                 bus='0x00' slot='0x0{slot}' function='0x0'/>\n      </controller>\n      "
            )
        })
        .collect();
    format!(
        "<domainsnapshot>\n  <name>s{number:03}</name>\n  <description>State {number}\n\nSnapward-Set: default/bench\nSnapward-Snapshot: \
         s{number:03}\nSnapward-Consistency: offline</description>\n  <state>shutoff</state>\n  <parent>\n    <name>s000</name>\n  </parent>\n  \
         <creationTime>1767315600</creationTime>\n  <memory snapshot='no'/>\n  <disks>\n    <disk name='vda' snapshot='internal'/>\n  \
         </disks>\n  <domain type='kvm'>\n    <name>bench</name>\n    <uuid>{uuid}</uuid>\n    <metadata>\n      <snapward:ledger \
         xmlns:snapward=\"https://snapward.dev/ledger/v1\" domain=\"{uuid}\">\n        {made}</snapward:ledger>\n    </metadata>\n    <memory \
         unit='KiB'>2097152</memory>\n    <vcpu placement='static'>2</vcpu>\n    <devices>\n      <disk type='file' device='disk'>\n        \
         <driver name='qemu' type='qcow2'/>\n        <source file='/images/bench.qcow2'/>\n        <target dev='vda' bus='virtio'/>\n      \
         </disk>\n      {devices}</devices>\n  </domain>\n</domainsnapshot>\n"
    )
}
