//! Probes of paths: an image, a directory, the space of a filesystem.

use std::fs::{self, Metadata};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use super::qcow2::{self, MAGIC};
use super::{invalid, open};
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
    let mut image =
        Image { id: identity(&metadata), backing: Backing::None, allocated: metadata.blocks() * BLOCK, empty: false };
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
