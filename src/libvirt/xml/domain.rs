//! Reads a domain's definition.

use roxmltree::Node;

use super::{XmlError, child, children, ledger, parse, text};
use crate::host::DomainDefinition;
use crate::model::observed::{Agent, Nvram, ObservedDisk};

/// Reads what `virDomainGetXMLDesc` gives.
pub(in crate::libvirt) fn read(xml: &str) -> Result<DomainDefinition, XmlError> {
    let document = parse(xml)?;
    let root = document.root_element();
    if !root.has_tag_name("domain") {
        return Err(XmlError::new("the document is not a <domain>"));
    }
    let disks = match child(root, "devices") {
        Some(devices) => children(devices, "disk").map(read_disk).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    // libvirt's default format of the variables is raw. Without the element there is no file.
    let nvram = match child(root, "os").and_then(|os| child(os, "nvram")) {
        None => Nvram::None,
        Some(nvram) if nvram.attribute("format") == Some("qcow2") => Nvram::Qcow2,
        Some(_) => Nvram::Other,
    };
    Ok(DomainDefinition { disks, nvram, ledger: ledger::read(root), memory_kib: memory_kib(root), agent: agent(root) })
}

/// The memory of a definition. libvirt writes it in KiB, whatever unit it was given.
pub(super) fn memory_kib(domain: Node<'_, '_>) -> Option<u64> {
    let memory = child(domain, "memory").filter(|memory| memory.attribute("unit").unwrap_or("KiB") == "KiB")?;
    text(memory).trim().parse().ok()
}

/// Whether the guest's agent is at its channel. libvirt writes the state of a running domain's channel only.
fn agent(domain: Node<'_, '_>) -> Agent {
    let channels = child(domain, "devices").into_iter().flat_map(|devices| children(devices, "channel"));
    let of_agent = |target: &Node<'_, '_>| target.attribute("name") == Some("org.qemu.guest_agent.0");
    match channels.filter_map(|channel| child(channel, "target")).find(of_agent) {
        None => Agent::None,
        Some(target) if target.attribute("state") == Some("connected") => Agent::Connected,
        Some(_) => Agent::Silent,
    }
}

pub(super) fn read_disk(disk: Node<'_, '_>) -> Result<ObservedDisk, XmlError> {
    let target = child(disk, "target")
        .and_then(|target| target.attribute("dev"))
        .ok_or_else(|| XmlError::missing("<target dev=...>", disk))?;
    let source_type = disk.attribute("type").unwrap_or("file");
    Ok(ObservedDisk {
        target: target.to_owned(),
        source_type: source_type.to_owned(),
        source: child(disk, "source").and_then(|source| read_source(source, source_type)),
        format: child(disk, "driver").and_then(|driver| driver.attribute("type")).unwrap_or("raw").to_owned(),
        device: disk.attribute("device").unwrap_or("disk").to_owned(),
        readonly: child(disk, "readonly").is_some(),
        snapshot: disk.attribute("snapshot").map(str::to_owned),
        backing: child(disk, "backingStore").and_then(read_backing),
    })
}

/// The images below a disk's own, from the top down. None where the XML does not have the chain to its end, which is an
/// empty element, or where one of them is not a file or device.
fn read_backing(first: Node<'_, '_>) -> Option<Vec<String>> {
    let mut paths = Vec::new();
    let mut at = first;
    while at.children().any(|node| node.is_element()) {
        let source_type = at.attribute("type").filter(|kind| matches!(*kind, "file" | "block"))?;
        paths.push(child(at, "source").and_then(|source| read_source(source, source_type))?);
        at = child(at, "backingStore")?;
    }
    Some(paths)
}

/// One text for the source; for the types without a path, something that says that there is a medium.
pub(super) fn read_source(source: Node<'_, '_>, source_type: &str) -> Option<String> {
    if source_type == "network" {
        return None;
    }
    if let Some(path) = ["file", "dev", "dir", "path"].iter().find_map(|name| source.attribute(*name)) {
        return Some(path.to_owned());
    }
    match (source.attribute("pool"), source.attribute("volume")) {
        (Some(pool), Some(volume)) => Some(format!("{pool}/{volume}")),
        // An empty drive can have a <source> that only holds startupPolicy.
        _ => matches!(source_type, "nvme" | "vhostuser" | "vhostvdpa").then(|| source_type.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<domain type='kvm' id='3'><name>web</name>
      <metadata><other xmlns='x'><ledger domain='not ours'/></other></metadata>
      <os><type>hvm</type><nvram template='/t'>/var/n.fd</nvram></os>
      <devices>
        <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a &amp; b.qcow2' index='2'/>
          <backingStore type='file' index='1'><format type='raw'/><source file='/base'/></backingStore>
          <target dev='vda' bus='virtio'/></disk>
        <disk type='block' device='lun' snapshot='no'><source dev='/dev/sdz'/><target dev='sda'/><readonly/></disk>
        <disk type='file' device='cdrom'><target dev='hda'/><readonly/></disk>
        <disk type='network'><driver type='raw'/><source protocol='rbd' name='p/i'/><target dev='vdb'/></disk>
        <disk type='volume'><source pool='p' volume='v'/><target dev='vdc'/></disk>
        <disk type='file' device='cdrom'><source startupPolicy='optional'/><target dev='hdb'/></disk>
      </devices></domain>";

    #[test]
    fn disks_are_read_in_order() {
        let read = read(XML).expect("valid");
        let shown: Vec<_> = read
            .disks
            .iter()
            .map(|d| (d.target.as_str(), d.source.as_deref(), d.format.as_str(), d.device.as_str(), d.readonly))
            .collect();
        assert_eq!(
            shown,
            [
                ("vda", Some("/a & b.qcow2"), "qcow2", "disk", false),
                ("sda", Some("/dev/sdz"), "raw", "lun", true),
                ("hda", None, "raw", "cdrom", true),
                ("vdb", None, "raw", "disk", false),
                ("vdc", Some("p/v"), "raw", "disk", false),
                ("hdb", None, "raw", "cdrom", false),
            ]
        );
        assert_eq!(read.disks[1].snapshot.as_deref(), Some("no"));
        assert!(read.disks[2].is_empty_drive() && read.disks[5].is_empty_drive());
        assert!(!read.disks[3].is_empty_drive());
        assert_eq!(read.ledger, None);
    }

    #[test]
    fn a_chain_counts_only_where_the_xml_has_it_to_its_end() {
        let backing = |chain: &str| {
            let disk = format!("<disk type='file'><source file='/top'/>{chain}<target dev='vda'/></disk>");
            read(&format!("<domain><devices>{disk}</devices></domain>")).expect("valid").disks[0].backing.clone()
        };
        let below = |kind: &str, source: &str, rest: &str| {
            format!(
                "<backingStore type='{kind}' index='3'><format type='qcow2'/><source {source}/>{rest}</backingStore>"
            )
        };
        let paths = |paths: &[&str]| Some(paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        assert_eq!(backing(""), None);
        assert_eq!(backing("<backingStore/>"), paths(&[]));
        assert_eq!(
            backing(&below("file", "file='/a'", &below("block", "dev='/dev/b'", "<backingStore/>"))),
            paths(&["/a", "/dev/b"])
        );
        assert_eq!(backing(&below("file", "file='/a'", "")), None);
        assert_eq!(backing(&below("network", "protocol='nbd' name='x'", "<backingStore/>")), None);
    }

    #[test]
    fn the_format_of_the_firmwares_variables_is_read() {
        assert_eq!(read(XML).expect("valid").nvram, Nvram::Other);
        for (os, nvram) in [
            ("<nvram format='qcow2'>/n</nvram>", Nvram::Qcow2),
            ("<nvram format='raw'>/n</nvram>", Nvram::Other),
            ("<loader type='rom'>/l</loader>", Nvram::None),
        ] {
            assert_eq!(read(&format!("<domain><os>{os}</os></domain>")).expect("valid").nvram, nvram, "{os}");
        }
    }

    #[test]
    fn other_documents_are_refused() {
        assert!(read("<network/>").is_err());
        assert!(read("<domain><devices><disk/></devices></domain>").is_err());
    }
}
