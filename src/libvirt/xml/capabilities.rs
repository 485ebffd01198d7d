//! Reads the host's capabilities.

use super::{XmlError, child, children, parse};
use crate::host::Capabilities;

/// Reads what `virConnectGetCapabilities` gives. The feature is listed per guest architecture, and the QEMU driver lists
/// it for all or none (since 9.9.0).
pub(in crate::libvirt) fn read(xml: &str) -> Result<Capabilities, XmlError> {
    let document = parse(xml)?;
    let root = document.root_element();
    let external_snapshots = children(root, "guest")
        .filter_map(|guest| child(guest, "features"))
        .any(|features| child(features, "externalSnapshot").is_some());
    Ok(Capabilities { external_snapshots })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_is_found() {
        let xml = "<capabilities><host/><guest><os_type>hvm</os_type><features><externalSnapshot/></features></guest>\
                   </capabilities>";
        assert_eq!(read(xml), Ok(Capabilities { external_snapshots: true }));
    }

    #[test]
    fn a_host_without_it_is_fine() {
        assert_eq!(read("<capabilities><guest/></capabilities>"), Ok(Capabilities::default()));
        assert!(read("<capabilities>").is_err());
    }
}
