//! The internal snapshots that a qcow2 image holds, without a tool and without trusting the image.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::qcow2::{Header, read_header};
use super::{be16, be32, be64, invalid, open};
use crate::model::image::ImageSnapshot;

/// QEMU opens no image with a longer snapshot table (`QCOW_MAX_SNAPSHOTS_SIZE`); it also bounds what is held in memory.
const MAX_TABLE_BYTES: u64 = 64 * 1024 * 1024;

/// QEMU opens no image with more extra data in an entry (`QCOW_MAX_SNAPSHOT_EXTRA_DATA`).
const MAX_EXTRA_BYTES: u32 = 1024;

/// The fixed part of a table entry.
const ENTRY_BYTES: u64 = 40;

/// The image's snapshot table, in its order. A running QEMU may change the table meanwhile; that is noticed
/// and is an error.
pub(in crate::libvirt) fn snapshots(path: &Path) -> io::Result<Vec<ImageSnapshot>> {
    let (file, _) = open(path)?;
    let mut file = BufReader::new(file);
    let header = read_header(&mut file)?;
    let snapshots = read_table(&mut file, header);
    if read_header(&mut file)? != header {
        return Err(io::Error::other("the image changed while it was read"));
    }
    snapshots
}

fn read_table(file: &mut BufReader<File>, header: Header) -> io::Result<Vec<ImageSnapshot>> {
    let mut snapshots = Vec::new();
    let mut at: u64 = 0;
    for _ in 0..header.snapshots {
        let start =
            header.snapshots_at.checked_add(at).ok_or_else(|| invalid("the snapshot table lies outside the image"))?;
        file.seek(SeekFrom::Start(start))?;
        let mut entry = [0; ENTRY_BYTES as usize];
        file.read_exact(&mut entry)?;
        let (id_bytes, name_bytes, extra_bytes) = (be16(&entry, 12), be16(&entry, 14), be32(&entry, 36));
        if extra_bytes > MAX_EXTRA_BYTES {
            return Err(invalid("an entry of the snapshot table has more extra data than QEMU allows"));
        }
        let mut extra = vec![0; extra_bytes as usize];
        file.read_exact(&mut extra)?;
        // The first field of the extra data is the size where it is there, the one of the entry for older readers.
        let memory = if extra_bytes >= 8 { be64(&extra, 0) } else { u64::from(be32(&entry, 32)) };
        file.seek_relative(i64::from(id_bytes))?;
        let mut name = vec![0; usize::from(name_bytes)];
        file.read_exact(&mut name)?;
        snapshots.push(ImageSnapshot { name: String::from_utf8_lossy(&name).into_owned(), memory });
        let length = ENTRY_BYTES + u64::from(extra_bytes) + u64::from(id_bytes) + u64::from(name_bytes);
        at += length.next_multiple_of(8);
        if at > MAX_TABLE_BYTES {
            return Err(invalid("the snapshot table is longer than QEMU allows"));
        }
    }
    Ok(snapshots)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image(version: u32, count: u32, offset: u64, table: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 104];
        bytes[..4].copy_from_slice(b"QFI\xfb");
        bytes[4..8].copy_from_slice(&version.to_be_bytes());
        bytes[60..64].copy_from_slice(&count.to_be_bytes());
        bytes[64..72].copy_from_slice(&offset.to_be_bytes());
        bytes.extend_from_slice(table);
        bytes
    }

    fn entry(name: &str, extra: u32) -> Vec<u8> {
        let mut bytes = vec![0; 40];
        bytes[12..14].copy_from_slice(&1_u16.to_be_bytes());
        bytes[14..16].copy_from_slice(&u16::try_from(name.len()).expect("short").to_be_bytes());
        bytes[36..40].copy_from_slice(&extra.to_be_bytes());
        bytes.extend(std::iter::repeat_n(7, extra as usize));
        bytes.push(b'1');
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn names(bytes: &[u8]) -> io::Result<Vec<String>> {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), bytes).expect("written");
        Ok(snapshots(file.path())?.into_iter().map(|snapshot| snapshot.name).collect())
    }

    #[test]
    fn entries_of_every_length_are_found() {
        let table: Vec<u8> =
            [("a", 0), ("golden", 16), ("naïve \u{1F600}", 24)].iter().flat_map(|(n, e)| entry(n, *e)).collect();
        assert_eq!(names(&image(3, 3, 104, &table)).expect("valid"), ["a", "golden", "naïve \u{1F600}"]);
        assert!(names(&image(2, 0, 0, &[])).expect("valid").is_empty());
    }

    #[test]
    fn what_is_no_sound_qcow2_is_an_error() {
        assert!(names(b"").is_err());
        assert!(names(&[0; 512]).is_err());
        assert!(names(&image(1, 0, 0, &[])).is_err());
        assert!(names(&image(3, u32::MAX, 104, &[])).is_err());
        assert!(names(&image(3, 1, u64::MAX, &entry("a", 0))).is_err());
        assert!(names(&image(3, 1, 104, &entry("a", 1025))).is_err());
        assert!(names(&image(3, 2, 104, &entry("a", 0))).is_err(), "the table ends early");
        assert!(snapshots(Path::new("/dev/null")).is_err());
        assert!(snapshots(Path::new("/")).is_err());
    }

    #[test]
    fn a_fifo_does_not_hang() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).expect("made");
        assert!(snapshots(&path).is_err());
    }

    #[test]
    fn a_table_that_is_too_long_is_refused() {
        // 1,100 names of 64 KiB are more than the 64 MiB QEMU allows.
        let long = entry(&"n".repeat(65_535), 0);
        let mut file = tempfile::tempfile().expect("temporary file");
        io::Write::write_all(&mut file, &image(3, 1_100, 104, &[])).expect("written");
        for _ in 0..1_100 {
            io::Write::write_all(&mut file, &long).expect("written");
        }
        let mut file = BufReader::new(file);
        let header = read_header(&mut file).expect("valid");
        assert!(read_table(&mut file, header).expect_err("too long").to_string().contains("longer than QEMU allows"));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(count in 0..70_000_u32, offset in 0..400_u64, table in prop::collection::vec(any::<u8>(), 0..400)) {
            // Whether it is read or refused does not matter here.
            drop(names(&image(3, count, offset, &table)));
        }
    }
}
