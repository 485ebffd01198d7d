//! The image files of a domain: every one that its disks, its snapshots or another of these images name, and what stands
//! beside them. File probes alone; no call to libvirt.

use std::collections::{BTreeMap, BTreeSet};

use super::Interest;
use crate::host::{Files, Probe};
use crate::model::image::{Backing, DomainFiles, Image, ImageState, Space, directory, stem};
use crate::model::observed::ObservedDomain;

/// libvirt follows no longer chain (`virStorageSourceGetMetadata`).
const LONGEST_CHAIN: usize = 200;

/// The format to probe a memory image as: whatever it begins with, it is no disk image and has nothing below it.
const NOT_A_DISK: &str = "raw";

/// The files of a domain that has, or shall have, external snapshots.
pub(super) fn all(files: &dyn Files, domain: &ObservedDomain, wanted: &Interest<'_>) -> DomainFiles {
    let mut walk = Walk::of(files, domain);
    for path in &wanted.files {
        walk.found(path);
    }
    let grow: BTreeSet<&str> = disk_files(domain).chain(wanted.files.iter().copied()).map(directory).collect();
    let prefixes = prefixes(domain);
    let (mut beside, mut space) = (BTreeMap::new(), BTreeMap::new());
    for directory in grow.iter().copied().chain(frozen(domain).map(directory)).collect::<BTreeSet<_>>() {
        if let Probe::Known(names) = files.directory(directory) {
            let like_ours = |name: &String| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
            let names: BTreeSet<String> = names.into_iter().filter(like_ours).collect();
            for name in &names {
                walk.found(&format!("{}/{name}", directory.trim_end_matches('/')));
            }
            beside.insert(directory.to_owned(), names);
        }
        if grow.contains(directory)
            && let Probe::Known(found) = files.space(directory)
        {
            space.insert(directory.to_owned(), found);
        }
    }
    DomainFiles { images: walk.images, beside, space }
}

/// The files of a domain that is only a neighbour: its chains, and nothing beside them.
pub(super) fn chains(files: &dyn Files, domain: &ObservedDomain) -> DomainFiles {
    DomainFiles { images: Walk::of(files, domain).images, ..DomainFiles::default() }
}

/// Whether overlays were found beside the images that none of the disks is on. Whose they are, the neighbours tell.
pub(super) fn has_other_overlays(domain: &ObservedDomain) -> bool {
    let files = &domain.files;
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for disk in &domain.disks {
        used.extend(disk.backing.iter().flatten().map(String::as_str));
        let mut at = disk.source.as_deref();
        while let Some(path) = at.filter(|path| used.insert(path)) {
            at = match files.images.get(path) {
                Some(ImageState::Present(Image { backing: Backing::File(below), .. })) => Some(below),
                _ => None,
            };
        }
    }
    let is_overlay = |state: &ImageState| matches!(state, ImageState::Present(Image { backing: Backing::File(_), .. }));
    let other = |path: &String| !used.iter().any(|used| files.same(used, path));
    files.images.iter().any(|(path, state)| is_overlay(state) && other(path))
}

/// The space where the images of the disks are, which an internal capture grows.
pub(super) fn space(files: &dyn Files, domain: &ObservedDomain) -> BTreeMap<String, Space> {
    let directories: BTreeSet<&str> = disk_files(domain).map(directory).collect();
    let known = |directory: &str| match files.space(directory) {
        Probe::Known(space) => Some((directory.to_owned(), space)),
        Probe::Unknown(_) => None,
    };
    directories.into_iter().filter_map(known).collect()
}

/// The images of the disks that are files.
fn disk_files(domain: &ObservedDomain) -> impl Iterator<Item = &str> {
    domain.disks.iter().filter(|disk| disk.source_type == "file").filter_map(|disk| disk.source.as_deref())
}

/// The images that snapshots froze: a revert puts overlays beside them that libvirt names by theirs.
fn frozen(domain: &ObservedDomain) -> impl Iterator<Item = &str> {
    let files = domain.tree.iter().filter_map(|snapshot| snapshot.files.as_deref());
    files.flat_map(|files| files.bases.values()).map(String::as_str)
}

/// What the names of a domain's files begin with: its own name, and what libvirt names overlays on its images by.
fn prefixes(domain: &ObservedDomain) -> BTreeSet<String> {
    let images = disk_files(domain).chain(frozen(domain));
    images.map(stem).chain([domain.name.as_str()]).map(|stem| format!("{stem}.")).collect()
}

struct Walk<'a> {
    files: &'a dyn Files,
    /// The formats that definitions declare, by path.
    declared: BTreeMap<&'a str, BTreeSet<&'a str>>,
    images: BTreeMap<String, ImageState>,
}

impl<'a> Walk<'a> {
    /// Walks everything that the definition and the snapshots name.
    fn of(files: &'a dyn Files, domain: &'a ObservedDomain) -> Self {
        let mut declared: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let disks = domain.disks.iter().filter(|disk| matches!(disk.source_type.as_str(), "file" | "block"));
        for disk in disks {
            if let Some(source) = &disk.source {
                declared.entry(source).or_default().insert(&disk.format);
            }
        }
        let named = || domain.tree.iter().filter_map(|snapshot| snapshot.files.as_deref());
        for (path, format) in named().flat_map(|files| &files.formats) {
            declared.entry(path).or_default().insert(format);
        }
        for memory in named().filter_map(|files| files.memory.as_deref()) {
            declared.entry(memory).or_default().insert(NOT_A_DISK);
        }
        let mut walk = Self { files, declared, images: BTreeMap::new() };
        for path in walk.declared.keys().copied().collect::<Vec<_>>() {
            walk.chain(path, None);
        }
        // Last: what the images' own headers declare of these was noted by then.
        for path in domain.disks.iter().filter_map(|disk| disk.backing.as_deref()).flatten() {
            walk.chain(path, None);
        }
        walk
    }

    /// Looks at an image and all below it, as far as they were not looked at yet.
    fn chain(&mut self, path: &str, header_says: Option<String>) {
        let (mut path, mut header_says) = (path.to_owned(), header_says);
        for _ in 0..LONGEST_CHAIN {
            if self.images.contains_key(&path) {
                return;
            }
            let format = self.format(&path, header_says.as_deref());
            let mut seen = self.files.image(&path, format);
            if let (None, ImageState::Present(image)) = (format, &mut seen.state)
                && image.backing != Backing::None
            {
                // As libvirt: what only the image itself says of its format is not followed.
                image.backing = Backing::Other(
                    "its format is declared nowhere, and a guest could have written the header that names an image below it"
                        .to_owned(),
                );
            }
            let below = below(&seen.state);
            self.images.insert(path, seen.state);
            match below {
                Some(below) => (path, header_says) = (below, seen.backing_format),
                None => return,
            }
        }
    }

    /// What is declared of an image: by definitions, else by the header of the image above it. Definitions that
    /// contradict each other declare nothing.
    fn format<'f>(&self, path: &str, header_says: Option<&'f str>) -> Option<&'f str>
    where
        'a: 'f,
    {
        match self.declared.get(path) {
            Some(formats) => formats.first().copied().filter(|_| formats.len() == 1),
            None => header_says,
        }
    }

    /// Looks at a file that nothing declares: a leftover, or the place where an overlay shall go. It is read as what it
    /// looks like, because no chain rests on it, and so is what lies below it.
    fn found(&mut self, path: &str) {
        if self.images.contains_key(path) {
            return;
        }
        let seen = self.files.image(path, None);
        let below = below(&seen.state);
        self.images.insert(path.to_owned(), seen.state);
        if let Some(below) = below {
            self.chain(&below, seen.backing_format);
        }
    }
}

/// The file below an image.
fn below(state: &ImageState) -> Option<String> {
    match state {
        ImageState::Present(Image { backing: Backing::File(below), .. }) => Some(below.clone()),
        ImageState::Present(_) | ImageState::Absent | ImageState::Unknown(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ProbedImage;
    use crate::model::image::{FileId, ImageSnapshot, Space, file_name};
    use crate::model::names::{DomainUuid, SnapshotName};
    use crate::model::observed::{Agent, Nvram, ObservedDisk, RunState};
    use crate::model::snapshot::{ObservedSnapshot, SnapshotFiles, Storage};
    use crate::model::stamp::Description;
    use crate::model::tree::SnapshotTree;

    /// Files by path: the image below, and the format that the header gives it.
    struct Disk(BTreeMap<&'static str, (Option<&'static str>, Option<&'static str>)>);

    impl Files for Disk {
        fn image_snapshots(&self, _: &ObservedDisk) -> Probe<Vec<ImageSnapshot>> {
            Probe::Known(Vec::new())
        }

        fn image(&self, path: &str, format: Option<&str>) -> ProbedImage {
            let Some((below, backing_format)) = self.0.get(path).copied() else {
                return ProbedImage { state: ImageState::Absent, backing_format: None };
            };
            let below = below.filter(|_| format != Some("raw"));
            let backing = below.map_or(Backing::None, |below| Backing::File(below.to_owned()));
            let image = Image { id: FileId { device: 1, inode: 1 }, backing, allocated: 0, empty: false, open: false };
            ProbedImage { state: ImageState::Present(image), backing_format: backing_format.map(str::to_owned) }
        }

        fn directory(&self, path: &str) -> Probe<Vec<String>> {
            let names = self.0.keys().filter(|file| directory(file) == path).map(|file| file_name(file).to_owned());
            Probe::Known(names.collect())
        }

        fn space(&self, _: &str) -> Probe<Space> {
            Probe::Known(Space { free: 1, total: 2 })
        }
    }

    fn disk(source: &str, format: &str, backing: Option<&[&str]>) -> ObservedDisk {
        ObservedDisk {
            target: "vda".into(),
            source_type: "file".into(),
            source: Some(source.to_owned()),
            format: format.to_owned(),
            device: "disk".into(),
            readonly: false,
            snapshot: None,
            backing: backing.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect()),
        }
    }

    fn domain(disk: ObservedDisk, files: Option<SnapshotFiles>) -> ObservedDomain {
        let snapshot = files.map(|files| ObservedSnapshot {
            name: SnapshotName::observed("e1"),
            parent: None,
            created: 1,
            state: "shutoff".into(),
            description: Description::parse(""),
            memory: Storage::No,
            disks: [("vda".to_owned(), Storage::External)].into_iter().collect(),
            files: Some(Box::new(files)),
            definition: None,
            ledger: None,
            digest: [0; 32],
        });
        ObservedDomain {
            uuid: DomainUuid(uuid::Uuid::nil()),
            name: "web".into(),
            state: RunState::ShutOff,
            disks: vec![disk],
            nvram: Nvram::None,
            tree: SnapshotTree::new(snapshot, None),
            ledger: None,
            ledger_is_current: true,
            image_snapshots: BTreeMap::new(),
            files: DomainFiles::default(),
            memory_kib: None,
            agent: Agent::None,
            revert: None,
            next_sources: BTreeMap::new(),
            fingerprint: String::new(),
        }
    }

    fn seen(files: &DomainFiles) -> Vec<(&str, &'static str)> {
        let word = |state: &ImageState| match state {
            ImageState::Present(Image { backing: Backing::Other(_), .. }) => "other",
            ImageState::Present(_) => "present",
            ImageState::Absent => "absent",
            ImageState::Unknown(_) => "unknown",
        };
        files.images.iter().map(|(path, state)| (path.as_str(), word(state))).collect()
    }

    #[test]
    fn everything_named_is_looked_at_down_to_the_end() {
        let disk_files = Disk(BTreeMap::from([
            ("/d/a.e2", (Some("/d/a.e1"), Some("qcow2"))),
            ("/d/a.e1", (Some("/d/a.img"), Some("raw"))),
            ("/d/a.img", (Some("/etc/shadow"), None)),
            ("/d/m", (None, None)),
        ]));
        let files = SnapshotFiles {
            overlays: [("vda".to_owned(), "/d/gone".to_owned())].into(),
            memory: Some("/d/m".into()),
            formats: [("/d/gone".to_owned(), "qcow2".to_owned())].into(),
            ..SnapshotFiles::default()
        };
        let domain = domain(disk("/d/a.e2", "qcow2", Some(&["/d/a.e1", "/x"])), Some(files));
        let found = chains(&disk_files, &domain);
        assert_eq!(
            seen(&found),
            [
                ("/d/a.e1", "present"),
                ("/d/a.e2", "present"),
                // Declared as raw by the header above: what its guest wrote into it is not followed.
                ("/d/a.img", "present"),
                ("/d/gone", "absent"),
                ("/d/m", "present"),
                ("/x", "absent"),
            ]
        );
        assert!(found.beside.is_empty() && found.space.is_empty());
    }

    #[test]
    fn a_header_is_not_believed_where_nothing_declares_the_format() {
        let disk_files = Disk(BTreeMap::from([
            ("/d/top", (Some("/d/mid"), None)),
            ("/d/mid", (Some("/d/secret"), None)),
            ("/d/secret", (None, None)),
        ]));
        let one = domain(disk("/d/top", "qcow2", None), None);
        assert_eq!(seen(&chains(&disk_files, &one)), [("/d/mid", "other"), ("/d/top", "present")]);
        // Two definitions that contradict each other declare nothing either.
        let files = SnapshotFiles { formats: [("/d/top".into(), "raw".into())].into(), ..SnapshotFiles::default() };
        let two = domain(disk("/d/top", "qcow2", None), Some(files));
        assert_eq!(seen(&chains(&disk_files, &two)), [("/d/top", "other")]);
    }

    #[test]
    fn a_chain_that_bites_its_tail_ends() {
        let disk_files =
            Disk(BTreeMap::from([("/d/a", (Some("/d/b"), Some("qcow2"))), ("/d/b", (Some("/d/a"), Some("qcow2")))]));
        let domain = domain(disk("/d/a", "qcow2", None), None);
        assert_eq!(seen(&chains(&disk_files, &domain)).len(), 2);
    }

    #[test]
    fn leftovers_and_places_to_be_are_looked_at() {
        let disk_files = Disk(BTreeMap::from([
            ("/d/disk.qcow2", (None, None)),
            ("/d/disk.left", (Some("/d/disk.qcow2"), None)),
            ("/d/web.s1.mem", (None, None)),
            ("/d/website.qcow2", (None, None)),
            ("/o/taken", (None, None)),
        ]));
        let wanted = Interest { files: ["/o/taken", "/o/free"].into(), external: true, ..Interest::default() };
        let found = all(&disk_files, &domain(disk("/d/disk.qcow2", "qcow2", None), None), &wanted);
        let expected = [
            ("/d/disk.left", "present"),
            ("/d/disk.qcow2", "present"),
            ("/d/web.s1.mem", "present"),
            ("/o/free", "absent"),
            ("/o/taken", "present"),
        ];
        assert_eq!(seen(&found), expected);
        let names: Vec<_> = found.beside["/d"].iter().map(String::as_str).collect();
        assert_eq!(names, ["disk.left", "disk.qcow2", "web.s1.mem"]);
        assert_eq!(found.space.len(), 2);
    }

    /// Where the disk is on an overlay elsewhere, what a revert puts beside the first image is named by that one.
    #[test]
    fn what_stands_beside_the_images_that_snapshots_froze_is_looked_at() {
        let disk_files = Disk(BTreeMap::from([
            ("/d/disk.qcow2", (None, None)),
            ("/d/disk.1793506468", (Some("/d/disk.qcow2"), Some("qcow2"))),
            ("/e/web.e1", (Some("/d/disk.qcow2"), Some("qcow2"))),
        ]));
        let files = SnapshotFiles {
            overlays: [("vda".to_owned(), "/e/web.e1".to_owned())].into(),
            bases: [("vda".to_owned(), "/d/disk.qcow2".to_owned())].into(),
            ..SnapshotFiles::default()
        };
        let domain = domain(disk("/e/web.e1", "qcow2", None), Some(files));
        let found = all(&disk_files, &domain, &Interest { external: true, ..Interest::default() });
        assert_eq!(
            seen(&found),
            [("/d/disk.1793506468", "present"), ("/d/disk.qcow2", "present"), ("/e/web.e1", "present")]
        );
        // What is captured next grows where the disk is.
        assert_eq!(found.space.keys().collect::<Vec<_>>(), ["/e"]);
    }
}
