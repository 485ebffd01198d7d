//! A pretend filesystem with images: each holds pages of its own over those of the image below it, as qcow2 does.

use std::collections::{BTreeMap, BTreeSet};

use snapward::host::{Probe, ProbedImage};
use snapward::model::image::{self, Backing, FileId, ImageSnapshot, ImageState, Space};

/// What was written where: the page, and the number of the write.
pub(crate) type Pages = BTreeMap<u8, u32>;

/// The images of one filesystem.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    pub(crate) files: BTreeMap<String, Image>,
    /// Other names of files: symbolic links.
    pub(crate) links: BTreeMap<String, String>,
    /// Files that snapward may not read.
    pub(crate) forbidden: BTreeSet<String>,
    pub(crate) space: Space,
    inodes: u64,
}

/// A file: an image or a memory image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    inode: u64,
    /// `qcow2` or `raw`.
    pub(crate) format: String,
    pub(crate) backing: Option<String>,
    pub(crate) pages: Pages,
    /// Its internal snapshots, the oldest first.
    pub(crate) tags: Vec<Tag>,
}

/// An internal snapshot in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) pages: Pages,
    pub(crate) memory: bool,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            forbidden: BTreeSet::new(),
            space: Space { free: 90 << 30, total: 100 << 30 },
            inodes: 0,
        }
    }
}

impl Storage {
    /// Makes a file, or a new one in the place of one that is there; it can be read whatever could not before.
    pub(crate) fn make(&mut self, path: &str, format: &str, backing: Option<&str>) {
        self.inodes += 1;
        let image = Image {
            inode: self.inodes,
            format: format.to_owned(),
            backing: backing.map(str::to_owned),
            pages: Pages::new(),
            tags: Vec::new(),
        };
        let path = self.real(path).to_owned();
        self.forbidden.remove(&path);
        self.files.insert(path, image);
    }

    pub(crate) fn real<'p>(&'p self, path: &'p str) -> &'p str {
        self.links.get(path).map_or(path, String::as_str)
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Image> {
        self.files.get(self.real(path))
    }

    pub(crate) fn get_mut(&mut self, path: &str) -> Option<&mut Image> {
        let real = self.real(path).to_owned();
        self.files.get_mut(&real)
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.get(path).is_some()
    }

    /// Whether two paths lead to one file.
    pub(crate) fn same(&self, a: &str, b: &str) -> bool {
        self.real(a) == self.real(b)
    }

    pub(crate) fn unlink(&mut self, path: &str) {
        if self.links.remove(path).is_none() {
            self.files.remove(path);
        }
    }

    /// The chain below a path by the images' headers, itself first.
    pub(crate) fn chain(&self, path: &str) -> Result<Vec<String>, String> {
        let mut chain = vec![path.to_owned()];
        loop {
            let at = &chain[chain.len() - 1];
            let image = self.get(at).ok_or_else(|| format!("{at} is not there"))?;
            match &image.backing {
                None => return Ok(chain),
                Some(_) if chain.len() > 200 => return Err("the chain has no end".to_owned()),
                Some(below) => chain.push(below.clone()),
            }
        }
    }

    /// What an image holds, read through its chain.
    pub(crate) fn content(&self, path: &str) -> Result<Pages, String> {
        let chain = self.chain(path)?;
        let images = chain.iter().rev().filter_map(|path| self.get(path));
        Ok(images.flat_map(|image| image.pages.clone()).collect())
    }

    /// What an internal snapshot holds, over the chain below its image.
    pub(crate) fn tagged(&self, path: &str, name: &str) -> Result<Pages, String> {
        let image = self.get(path).ok_or_else(|| format!("{path} is not there"))?;
        let tag = image.tags.iter().find(|tag| tag.name == name).ok_or_else(|| format!("{path} has no {name}"))?;
        let mut content = image.backing.as_ref().map_or(Ok(Pages::new()), |below| self.content(below))?;
        content.extend(tag.pages.clone());
        Ok(content)
    }

    pub(super) fn probe_tags(&self, path: &str, format: &str) -> Probe<Vec<ImageSnapshot>> {
        match self.get(path) {
            _ if self.forbidden.contains(path) || format != "qcow2" => Probe::Unknown("not readable".to_owned()),
            None => Probe::Unknown("there is no such file".to_owned()),
            Some(image) => {
                let tag = |tag: &Tag| ImageSnapshot { name: tag.name.clone(), memory: u64::from(tag.memory) << 20 };
                Probe::Known(image.tags.iter().map(tag).collect())
            }
        }
    }

    pub(super) fn probe(&self, path: &str, format: Option<&str>) -> ProbedImage {
        if self.forbidden.contains(path) {
            return ProbedImage::unknown("permission denied".to_owned());
        }
        let Some(image) = self.get(path) else {
            return ProbedImage { state: ImageState::Absent, backing_format: None };
        };
        let format = format.unwrap_or(&image.format);
        let below = image.backing.as_ref().filter(|_| format == "qcow2");
        let state = ImageState::Present(image::Image {
            id: FileId { device: 1, inode: image.inode },
            backing: below.map_or(Backing::None, |below| Backing::File(below.clone())),
            allocated: 1 << 20,
            empty: format == "qcow2" && image.pages.is_empty() && image.tags.is_empty(),
            open: false,
        });
        let format_below = below.and_then(|below| self.get(below));
        ProbedImage { state, backing_format: format_below.map(|image| image.format.clone()) }
    }

    pub(super) fn list(&self, directory: &str) -> Vec<String> {
        let all = self.files.keys().chain(self.links.keys());
        let inside = all.filter_map(|path| path.strip_prefix(directory)?.strip_prefix('/'));
        inside.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }
}
