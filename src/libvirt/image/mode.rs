//! Who may read an overlay.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::probe;
use crate::model::image::{Backing, ImageState};

/// Takes from an overlay what others than its owner may do with it and not with the file below it: libvirt before 11.10 lets
/// everybody read the overlays of a stopped domain (CVE-2025-13193). The owner's own rights stay, else an overlay on a
/// read-only template could not be written.
///
/// # Errors
/// When the modes cannot be read, or the file belongs to somebody else.
pub(in crate::libvirt) fn restrict(overlay: &str) -> io::Result<()> {
    let ImageState::Present(image) = probe::image(overlay, Some("qcow2")).state else { return Ok(()) };
    let Backing::File(below) = image.backing else { return Ok(()) };
    let mode = |path: &Path| fs::metadata(path).map(|found| (found.is_file(), found.permissions().mode() & 0o777));
    let ((file, open), (below_is_file, allowed)) = (mode(Path::new(overlay))?, mode(Path::new(&below))?);
    let wanted = open & (allowed | 0o700);
    if file && below_is_file && wanted != open {
        return fs::set_permissions(overlay, Permissions::from_mode(wanted));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_overlay_keeps_its_mode() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let raw = dir.path().join("disk.img");
        fs::write(&raw, [0; 512]).expect("written");
        fs::set_permissions(&raw, Permissions::from_mode(0o644)).expect("a mode");
        restrict(raw.to_str().expect("UTF-8")).expect("nothing to do");
        restrict("/nonexistent/disk").expect("nothing to do");
        assert_eq!(fs::metadata(&raw).expect("there").permissions().mode() & 0o777, 0o644);
    }
}
