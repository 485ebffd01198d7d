//! Image files as they were probed: what a chain proof needs to know of each, and what stands beside them.

use std::collections::{BTreeMap, BTreeSet};

/// Device and inode: tells two names of one file from two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// What an image's header names as the image below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backing {
    /// Nothing: the last image of its chain.
    None,
    /// A file, as an absolute path; a relative one was resolved against the image's own directory, as QEMU does.
    File(String),
    /// Something that is not a file of this machine, or cannot be read, in words.
    Other(String),
}

/// An image that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Which file it is.
    pub id: FileId,
    /// The image below it.
    pub backing: Backing,
    /// Bytes it takes on its filesystem.
    pub allocated: u64,
    /// Whether it is a qcow2 image that holds no data of its own: no table of clusters is in use.
    pub empty: bool,
    /// Whether a QEMU process has it open, by the locks that QEMU takes on its images. Where a filesystem has no such
    /// locks, never.
    pub open: bool,
}

/// An internal snapshot in an image's own table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSnapshot {
    /// Its name there.
    pub name: String,
    /// Bytes of the guest's memory and devices that this image holds for it; 0 where it holds none.
    pub memory: u64,
}

/// What a probe of a path found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    /// An image, or any other file.
    Present(Image),
    /// No file.
    Absent,
    /// Not readable from here (a remote host, permissions), in words.
    Unknown(String),
}

/// Space on a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that are free for the hypervisor (`f_bfree`).
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// The files of a domain that has or shall have external snapshots. Of every other one only `space` is known, where a
/// capture may come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainFiles {
    /// Every file that the domain's disks, its snapshots or one of these images name, and every file beside the disks
    /// whose name begins like theirs; by path.
    pub images: BTreeMap<String, ImageState>,
    /// The names of files in the directories where overlays go, by directory, as far as they begin with the domain's
    /// name or a disk's; directories that could not be listed are missing.
    pub beside: BTreeMap<String, BTreeSet<String>>,
    /// Free space, by the directories where captures are stored.
    pub space: BTreeMap<String, Space>,
}

impl DomainFiles {
    /// What was found at a path; what nobody looked at is unknown.
    pub fn image(&self, path: &str) -> ImageState {
        self.images.get(path).cloned().unwrap_or_else(|| ImageState::Unknown("it was not looked at".to_owned()))
    }

    /// Whether a file is known to be there.
    pub fn is_present(&self, path: &str) -> bool {
        matches!(self.images.get(path), Some(ImageState::Present(_)))
    }

    /// Whether two paths are one file, by name or, where both were probed, by what they lead to.
    pub fn same(&self, a: &str, b: &str) -> bool {
        let id = |path| match self.images.get(path) {
            Some(ImageState::Present(image)) => Some(image.id),
            _ => None,
        };
        a == b || id(a).is_some_and(|found| id(b) == Some(found))
    }
}

/// The part of a path before its last `/`.
pub fn directory(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) => "/",
        Some(at) => &path[..at],
        None => ".",
    }
}

/// The name of a file without its last suffix: what libvirt's names for overlays on it begin with, before a dot and the
/// snapshot's name or the second of a revert (`virDomainSnapshotDefAssignExternalNames`).
pub fn stem(path: &str) -> &str {
    let name = file_name(path);
    name.rfind('.').map_or(name, |dot| &name[..dot])
}

/// The part of a path behind its last `/`.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
