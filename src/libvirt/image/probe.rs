//! Probes of paths: an image, a directory, the space of a filesystem.

use std::fs::{self, Metadata};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use super::qcow2::{self, MAGIC};
use super::{invalid, lock, open};
use crate::host::{Probe, ProbedImage};
use crate::model::image::{self, Backing, FileId, Image, ImageState, Space};
use crate::model::text::printable;

/// The unit of `st_blocks`, whatever the filesystem's own is.
const BLOCK: u64 = 512;

/// Looks at an image. `format` is what is declared of it; without one, its first bytes decide.
pub(in crate::libvirt) fn image(path: &str, format: Option<&str>) -> ProbedImage {
    match read(path, format) {
        Ok((image, backing_format)) => ProbedImage { state: ImageState::Present(image), backing_format },
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            ProbedImage { state: ImageState::Absent, backing_format: None }
        }
        Err(error) => ProbedImage::unknown(format!("{}: {error}", printable(path))),
    }
}

fn read(path: &str, format: Option<&str>) -> io::Result<(Image, Option<String>)> {
    let (file, metadata) = open(Path::new(path))?;
    let (id, allocated) = (identity(&metadata), metadata.blocks() * BLOCK);
    let mut image = Image { id, backing: Backing::None, allocated, empty: false, open: lock::is_held(&file) };
    let mut file = BufReader::new(file);
    let format = match format {
        Some(format) => format,
        None if begins_with_magic(&mut file)? => "qcow2",
        None => "raw",
    };
    match format {
        // What a guest wrote at the beginning of a raw image is its own data, and no header.
        "raw" => return Ok((image, None)),
        "qcow2" => {}
        other => {
            image.backing = Backing::Other(format!("images of format {} are not read", printable(other)));
            return Ok((image, None));
        }
    }
    match read_qcow2(&mut file, path) {
        Ok((backing, backing_format, empty)) => {
            (image.backing, image.empty) = (backing, empty);
            Ok((image, backing_format))
        }
        // The file is there all the same, and may be another's too.
        Err(error) => {
            image.backing = Backing::Other(format!("its header cannot be read ({error})"));
            Ok((image, None))
        }
    }
}

fn begins_with_magic(file: &mut BufReader<fs::File>) -> io::Result<bool> {
    let mut first = Vec::with_capacity(MAGIC.len());
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut first)?;
    file.rewind()?;
    Ok(first == MAGIC)
}

fn read_qcow2(file: &mut BufReader<fs::File>, path: &str) -> io::Result<(Backing, Option<String>, bool)> {
    let header = qcow2::read_header(file)?;
    let name = header.backing_name(file)?;
    let format = header.backing_format(file)?;
    let empty = header.is_empty(file)?;
    if qcow2::read_header(file)? != header {
        return Err(invalid("it changed while it was read"));
    }
    let backing = match name {
        _ if header.data_elsewhere => Backing::Other("its data is in another file".to_owned()),
        Some(name) => resolve(&name, path),
        None => Backing::None,
    };
    Ok((backing, format, empty))
}

/// A backing file's name as QEMU takes it (`path_has_protocol`, `path_combine`): relative to the directory in the image's
/// own path, symbolic links or not.
fn resolve(name: &str, image: &str) -> Backing {
    let name = name.strip_prefix("file:").unwrap_or(name);
    if name.find([':', '/']).is_some_and(|at| name[at..].starts_with(':')) {
        return Backing::Other(format!("below it is {}, which is not a file of this machine", printable(name)));
    }
    if name.starts_with('/') {
        return Backing::File(name.to_owned());
    }
    Backing::File(format!("{}/{name}", image::directory(image).trim_end_matches('/')))
}

/// Which file it is. Two device nodes of one block device are one: it goes by its number, with an inode no file has.
fn identity(metadata: &Metadata) -> FileId {
    if metadata.file_type().is_block_device() {
        FileId { device: metadata.rdev(), inode: 0 }
    } else {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The names of the files in a directory.
pub(in crate::libvirt) fn directory(path: &str) -> Probe<Vec<String>> {
    let names = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            // A name that is not UTF-8 is none that libvirt's XML could hold.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    };
    names().map_or_else(|error| Probe::Unknown(format!("{}: {error}", printable(path))), Probe::Known)
}

/// The space of the filesystem that a directory is on.
pub(in crate::libvirt) fn space(directory: &str) -> Probe<Space> {
    match rustix::fs::statvfs(directory) {
        // The unit of the counts is the fragment; blocks kept for root count, because the hypervisor writes.
        Ok(found) => Probe::Known(Space {
            free: found.f_bfree.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        }),
        Err(error) => Probe::Unknown(format!("{}: {error}", printable(directory))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    /// A version 3 header with one L1 entry, and a backing file where one is named.
    fn qcow2(backing: &str, format: &str, l1: u64) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &MAGIC);
        put(4, &3_u32.to_be_bytes());
        put(20, &16_u32.to_be_bytes());
        put(36, &1_u32.to_be_bytes());
        put(40, &504_u64.to_be_bytes());
        put(100, &104_u32.to_be_bytes());
        // An extension that is passed over, then the format.
        put(104, &0x6803_f857_u32.to_be_bytes());
        put(108, &3_u32.to_be_bytes());
        put(120, &0xE279_2ACA_u32.to_be_bytes());
        put(124, &u32::try_from(format.len()).expect("short").to_be_bytes());
        put(128, format.as_bytes());
        if !backing.is_empty() {
            put(8, &300_u64.to_be_bytes());
            put(16, &u32::try_from(backing.len()).expect("short").to_be_bytes());
            put(300, backing.as_bytes());
        }
        put(504, &l1.to_be_bytes());
        bytes
    }

    fn probed(bytes: &[u8], format: Option<&str>) -> (Image, Option<String>) {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        fs::write(file.path(), bytes).expect("written");
        let seen = image(file.path().to_str().expect("text"), format);
        match seen.state {
            ImageState::Present(image) => (image, seen.backing_format),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_header_tells_what_is_below_and_whether_it_holds_data() {
        let (image, format) = probed(&qcow2("/base", "raw", 0), Some("qcow2"));
        assert_eq!((image.backing, image.empty, format.as_deref()), (Backing::File("/base".into()), true, Some("raw")));
        let (image, _) = probed(&qcow2("", "", 1 << 63 | 0x10000), None);
        assert_eq!((image.backing, image.empty), (Backing::None, false));
        let mut external_data = qcow2("", "", 0);
        external_data[79] = 4;
        let (image, _) = probed(&external_data, None);
        assert!(matches!(image.backing, Backing::Other(why) if why.contains("another file")));
    }

    #[test]
    fn what_is_declared_decides_and_not_what_a_guest_wrote() {
        let bytes = qcow2("/etc/shadow", "raw", 0);
        let (image, format) = probed(&bytes, Some("raw"));
        assert_eq!((image.backing, image.empty, format), (Backing::None, false, None));
        assert_eq!(probed(&bytes, None).0.backing, Backing::File("/etc/shadow".into()));
        assert_eq!(probed(&[0; 4096], None).0.backing, Backing::None);
        assert_eq!(probed(b"", None).0.backing, Backing::None);
        for declared in ["qcow2", "qed", "vmdk"] {
            assert!(matches!(probed(&[0; 4096], Some(declared)).0.backing, Backing::Other(_)), "{declared}");
        }
    }

    #[test]
    fn names_are_taken_as_qemu_takes_them() {
        for (name, below) in [
            ("/abs", "/abs"),
            ("base.img", "/d/base.img"),
            ("sub/b:1", "/d/sub/b:1"),
            ("file:/x", "/x"),
            ("file:x", "/d/x"),
            ("../x", "/d/../x"),
        ] {
            assert_eq!(resolve(name, "/d/top.qcow2"), Backing::File(below.into()), "{name}");
        }
        assert_eq!(resolve("x", "/top"), Backing::File("/x".into()));
        for other in ["nbd://h/x", "json:{\"file\":1}", "rbd:pool/x"] {
            assert!(matches!(resolve(other, "/d/top"), Backing::Other(_)), "{other}");
        }
    }

    #[test]
    fn one_file_by_two_names_is_one() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
        fs::write(path("a"), [1; 8192]).expect("written");
        fs::write(path("b"), [1; 10]).expect("written");
        symlink(path("a"), path("link")).expect("linked");
        let id = |name: &str| match image(&path(name), Some("raw")).state {
            ImageState::Present(image) => image,
            other => panic!("{other:?}"),
        };
        assert_eq!(id("a").id, id("link").id);
        assert_ne!(id("a").id, id("b").id);
        assert!(id("a").allocated >= 8192);
        assert_eq!(image(&path("none"), None).state, ImageState::Absent);
        assert_eq!(image(&path("a/none"), None).state, ImageState::Absent);
        assert!(matches!(image(dir.path().to_str().expect("text"), None).state, ImageState::Unknown(_)));
    }

    #[test]
    fn directories_and_their_space_are_read() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join("a"), "").expect("written");
        let path = dir.path().to_str().expect("text");
        assert_eq!(directory(path), Probe::Known(vec!["a".to_owned()]));
        assert!(matches!(space(path), Probe::Known(space) if space.free <= space.total && space.total > 0));
        assert!(matches!(directory("/none/such"), Probe::Unknown(_)));
        assert!(matches!(space("/none/such"), Probe::Unknown(_)));
    }

    proptest! {
        #[test]
        fn hostile_headers_never_panic(at in 8..112_usize, value in any::<u64>(), tail in 0..600_usize) {
            let mut bytes = qcow2("/base", "qcow2", 0);
            bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
            bytes.truncate(tail.max(1));
            // Whether it is read or refused does not matter here.
            drop(probed(&bytes, Some("qcow2")));
        }
    }
}
