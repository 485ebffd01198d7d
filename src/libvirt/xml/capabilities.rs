//! Reads the host's capabilities.

use super::{XmlError, child, children, parse, text};
use crate::host::Capabilities;

/// Reads what `virConnectGetCapabilities` gives. The feature is listed per guest architecture, and the QEMU driver lists
/// it for all or none (since 9.9.0).
pub(in crate::libvirt) fn read(xml: &str) -> Result<Capabilities, XmlError> {
    let document = parse(xml)?;
    let root = document.root_element();
    let host_uuid = child(root, "host")
        .and_then(|host| child(host, "uuid"))
        .and_then(|uuid| uuid::Uuid::try_parse(text(uuid).trim()).ok());
    let external_snapshots = children(root, "guest")
        .filter_map(|guest| child(guest, "features"))
        .any(|features| child(features, "externalSnapshot").is_some());
    Ok(Capabilities { host_uuid, external_snapshots })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_and_the_uuid_are_found() {
        let xml = "<capabilities><host><uuid>3a4ff6b7-4d8c-4eb9-9271-4ff2c9332982</uuid></host>\
                   <guest><os_type>hvm</os_type><features><externalSnapshot/></features></guest></capabilities>";
        let read = read(xml).expect("valid");
        assert!(read.external_snapshots);
        assert_eq!(read.host_uuid.map(|u| u.to_string()).as_deref(), Some("3a4ff6b7-4d8c-4eb9-9271-4ff2c9332982"));
    }

    #[test]
    fn a_host_without_either_is_fine() {
        assert_eq!(read("<capabilities><guest/></capabilities>"), Ok(Capabilities::default()));
        assert!(read("<capabilities>").is_err());
    }
}
