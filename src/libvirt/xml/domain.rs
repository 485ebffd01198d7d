//! Reads a domain's definition.

use super::walk::{Element, Walk};
use super::{XmlError, disk, ledger};
use crate::host::DomainDefinition;
use crate::model::observed::{Agent, Nvram};

/// Reads what `virDomainGetXMLDesc` gives.
pub(in crate::libvirt) fn read(xml: &str) -> Result<DomainDefinition, XmlError> {
    Walk::document(xml, |walk, root| {
        if root.name() != "domain" {
            return Err(XmlError::new("the document is not a <domain>"));
        }
        let (mut nvram, mut agent, mut memory_kib) = (None, Agent::None, None);
        let (mut disks, mut found) = (Vec::new(), None);
        walk.children(root, |walk, child| {
            match child.name() {
                "metadata" if found.is_none() => found = ledger::read(walk, child, &mut ledger::Last::default())?,
                "memory" if memory_kib.is_none() => memory_kib = Some(read_memory_kib(walk, child)?),
                "os" if nvram.is_none() => nvram = Some(read_nvram(walk, child)?),
                "devices" => walk.children(child, |walk, device| {
                    match device.name() {
                        "disk" => disks.push(disk::read(walk, device)?),
                        "channel" if agent == Agent::None => agent = read_agent(walk, device)?,
                        _ => {}
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        let nvram = nvram.unwrap_or_default();
        let ledger = found.map(|ledger| (*ledger).clone());
        Ok(DomainDefinition { disks, nvram, ledger, memory_kib: memory_kib.flatten(), agent })
    })
}

/// Where the firmware's variables are. libvirt's default format for them is raw. Without the element there is no file.
fn read_nvram<'x>(walk: &mut Walk<'x>, os: &Element<'x>) -> Result<Nvram, XmlError> {
    let mut nvram = None;
    walk.children(os, |_, child| {
        if child.name() == "nvram" && nvram.is_none() {
            let qcow2 = child.attribute("format")?.as_deref() == Some("qcow2");
            nvram = Some(if qcow2 { Nvram::Qcow2 } else { Nvram::Other });
        }
        Ok(())
    })?;
    Ok(nvram.unwrap_or_default())
}

/// The memory of a definition. libvirt writes it in KiB, whatever unit it was given.
pub(super) fn read_memory_kib<'x>(walk: &mut Walk<'x>, memory: &Element<'x>) -> Result<Option<u64>, XmlError> {
    let in_kib = memory.attribute("unit")?.is_none_or(|unit| unit == "KiB");
    let text = walk.text(memory)?;
    Ok(text.trim().parse().ok().filter(|_| in_kib))
}

/// Whether a channel is the one of the guest's agent, and the agent at its end. libvirt writes the state of a running
/// domain's channel only.
fn read_agent<'x>(walk: &mut Walk<'x>, channel: &Element<'x>) -> Result<Agent, XmlError> {
    let mut agent = None;
    walk.children(channel, |_, child| {
        if child.name() == "target" && agent.is_none() {
            let [name, state] = child.attributes(["name", "state"])?;
            agent = Some(match (name.as_deref(), state.as_deref()) {
                (Some("org.qemu.guest_agent.0"), Some("connected")) => Agent::Connected,
                (Some("org.qemu.guest_agent.0"), _) => Agent::Silent,
                _ => Agent::None,
            });
        }
        Ok(())
    })?;
    Ok(agent.unwrap_or_default())
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
