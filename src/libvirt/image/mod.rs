//! Image files, read without a tool: qcow2 headers, identity, size. A guest may have written what is read here. Nothing is
//! changed but the mode of a new overlay.

mod lock;
mod mode;
mod probe;
mod qcow2;
mod snapshots;

pub(super) use mode::restrict;
pub(super) use probe::{directory, image, space};
pub(super) use snapshots::snapshots;

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens an image for reading; only a file or a block device is one.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // A FIFO or a terminal must not hold the reader up.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() && !metadata.file_type().is_block_device() {
        return Err(invalid("neither a file nor a block device"));
    }
    Ok((file, metadata))
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from(be16(bytes, at)) << 16 | u32::from(be16(bytes, at + 2))
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}
