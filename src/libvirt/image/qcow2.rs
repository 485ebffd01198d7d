//! The header of a qcow2 image: what it names below itself, and whether it holds data.
//!
//! Format: QEMU's docs/interop/qcow2.rst, section "Header". Numbers are big endian.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::{be32, be64, invalid};

/// The first bytes of every qcow2 image.
pub(super) const MAGIC: [u8; 4] = *b"QFI\xfb";

/// QEMU opens no image with more snapshots (`QCOW_MAX_SNAPSHOTS`).
const MAX_SNAPSHOTS: u32 = 65_536;

/// QEMU opens no image with a longer backing file name (`PATH_MAX` less one, qcow2_do_open).
const MAX_BACKING_NAME: u32 = 1023;

/// QEMU opens no image with a longer table of tables (`QCOW_MAX_L1_SIZE`).
const MAX_L1_BYTES: u64 = 32 * 1024 * 1024;

/// The bytes of a version 2 header; version 3 goes on.
const V2_BYTES: u64 = 72;

/// The header extension that names the format of the image below.
const BACKING_FORMAT: u32 = 0xE279_2ACA;

/// The incompatible feature of an image whose data is in another file.
const DATA_FILE: u64 = 1 << 2;

/// Where an entry of the tables of clusters points, less its flags.
const OFFSET_BITS: u64 = 0x00ff_ffff_ffff_fe00;

/// The fixed part of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Where the snapshot table is.
    pub(super) snapshots_at: u64,
    /// Its entries.
    pub(super) snapshots: u32,
    backing_at: u64,
    backing_bytes: u32,
    l1_entries: u32,
    l1_at: u64,
    /// Whether the data is in another file.
    pub(super) data_elsewhere: bool,
    extensions_at: u64,
    extensions_end: u64,
}

/// Reads the fixed part of the header.
pub(super) fn read_header(file: &mut BufReader<File>) -> io::Result<Header> {
    file.seek(SeekFrom::Start(0))?;
    let mut head = [0; V2_BYTES as usize];
    file.read_exact(&mut head)?;
    let version = be32(&head, 4);
    if head[..4] != MAGIC || !matches!(version, 2 | 3) {
        return Err(invalid("not a qcow2 image of version 2 or 3"));
    }
    let mut features = 0;
    let mut header_bytes = V2_BYTES;
    if version == 3 {
        // The rest of the fixed part: three sets of features, the refcount order, the header's length.
        let mut rest = [0; 32];
        file.read_exact(&mut rest)?;
        features = be64(&rest, 0);
        header_bytes = u64::from(be32(&rest, 28));
    }
    let cluster_bits = be32(&head, 20);
    let header = Header {
        snapshots: be32(&head, 60),
        snapshots_at: be64(&head, 64),
        backing_at: be64(&head, 8),
        backing_bytes: be32(&head, 16),
        l1_entries: be32(&head, 36),
        l1_at: be64(&head, 40),
        data_elsewhere: features & DATA_FILE != 0,
        extensions_at: header_bytes,
        // Extensions end where the backing name or the first cluster ends (qcow2_read_extensions).
        extensions_end: match be64(&head, 8) {
            0 => 1_u64.checked_shl(cluster_bits).unwrap_or(0),
            backing => backing,
        },
    };
    if header.snapshots > MAX_SNAPSHOTS {
        return Err(invalid("the image claims more snapshots than QEMU allows"));
    }
    Ok(header)
}

impl Header {
    /// The name of the image below, as it stands there; none where there is none.
    pub(super) fn backing_name(&self, file: &mut BufReader<File>) -> io::Result<Option<String>> {
        if self.backing_at == 0 || self.backing_bytes == 0 {
            return Ok(None);
        }
        if self.backing_bytes > MAX_BACKING_NAME {
            return Err(invalid("the name of its backing file is longer than QEMU allows"));
        }
        file.seek(SeekFrom::Start(self.backing_at))?;
        let mut name = vec![0; self.backing_bytes as usize];
        file.read_exact(&mut name)?;
        String::from_utf8(name).map(Some).map_err(|_| invalid("the name of its backing file is not UTF-8"))
    }

    /// The format of the image below, where the header names it.
    pub(super) fn backing_format(&self, file: &mut BufReader<File>) -> io::Result<Option<String>> {
        // A guest's own header could have millions; QEMU's have a handful.
        const MOST: usize = 64;
        let mut at = self.extensions_at;
        for _ in 0..MOST {
            if at.saturating_add(8) > self.extensions_end {
                return Ok(None);
            }
            file.seek(SeekFrom::Start(at))?;
            let mut head = [0; 8];
            file.read_exact(&mut head)?;
            let (kind, bytes) = (be32(&head, 0), be32(&head, 4));
            match kind {
                0 => return Ok(None),
                // QEMU's own limit is 15 (`bs->backing_format`).
                BACKING_FORMAT if bytes < 16 => {
                    let mut name = vec![0; bytes as usize];
                    file.read_exact(&mut name)?;
                    return Ok(String::from_utf8(name).ok());
                }
                _ => at = at.saturating_add(8 + u64::from(bytes).next_multiple_of(8)),
            }
        }
        Ok(None)
    }

    /// Whether the image holds no data of its own and no snapshot. An image that QEMU has open may hold data that is not
    /// yet in its tables.
    pub(super) fn is_empty(&self, file: &mut BufReader<File>) -> io::Result<bool> {
        let bytes = u64::from(self.l1_entries) * 8;
        if bytes > MAX_L1_BYTES {
            return Err(invalid("its table of clusters is longer than QEMU allows"));
        }
        if self.snapshots > 0 || self.data_elsewhere {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(self.l1_at))?;
        for _ in 0..self.l1_entries {
            let mut entry = [0; 8];
            file.read_exact(&mut entry)?;
            if u64::from_be_bytes(entry) & OFFSET_BITS != 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
