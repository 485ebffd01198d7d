//! What a person asks of a single act, and no manifest can say.

use super::kinds::{CaptureDisk, DiskLocation};

/// How one act is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Act {
    /// Capture, then leave the domain off.
    pub halt: bool,
    /// Capture memory while the guest runs on.
    pub live: bool,
    /// Have libvirt promise all or nothing.
    pub atomic: bool,
    /// Capture without libvirt listing the snapshot.
    pub no_metadata: bool,
    /// Delete libvirt's record of the snapshot alone; its content stays.
    pub forget: bool,
    /// Make what is redefined the current snapshot.
    pub make_current: bool,
    /// Have libvirt check the XML against its schema.
    pub validate: bool,
}

/// A capture as a person describes it: what is left out is libvirt's choice, as with virsh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureSpec {
    /// The snapshot's name.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// What becomes of the memory.
    pub memory: Option<MemorySpec>,
    /// What becomes of single disks. `target` may also be the path of a disk's image.
    pub disks: Vec<CaptureDisk>,
}

/// What becomes of the memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemorySpec {
    /// Where it goes.
    pub location: Option<DiskLocation>,
    /// Its file, where it is external.
    pub file: Option<String>,
}
