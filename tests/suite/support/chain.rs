//! A domain with external snapshots whose contents are known: before each capture every disk gets a state of its own, and
//! what a snapshot holds can be read back from the files it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::embed::EmbedRoot;
use super::gate::wait_until;
use super::guest::Guest;
use super::tools::{self, output, run};

/// The pages at the beginning of a disk, by which its states are told apart.
const PAGES: u8 = 12;
/// One page: a cluster of qcow2, so that each is somewhere in the chain by itself.
const PAGE: u64 = 65_536;

/// What each page of a disk is filled with.
type Pages = [u8; PAGES as usize];

/// What the disks hold: a state's number, or why none can be read there.
pub(crate) type Contents = Result<u8, String>;

/// A domain and the states of its disks.
pub(crate) struct Chain<'a> {
    pub(crate) guest: Guest<'a>,
    root: &'a EmbedRoot,
    targets: &'static [&'static str],
    /// Every state that was written, by its number.
    states: Vec<Pages>,
    /// The state the disks must be in.
    now: u8,
    /// The state each snapshot was captured in.
    captured: BTreeMap<String, u8>,
}

/// A stopped domain `vm` with these snapshots one after the other, each of another state, and writes since.
pub(crate) fn linear<'a>(root: &'a EmbedRoot, names: &[&str]) -> Chain<'a> {
    let mut chain = Chain::new(root, "vm");
    for name in names {
        chain.capture(name);
    }
    chain.write();
    chain
}

impl<'a> Chain<'a> {
    /// A stopped domain with one disk, in state 0: zeroes.
    pub(crate) fn new(root: &'a EmbedRoot, name: &str) -> Self {
        Self::with_disks(root, name, &["vda"])
    }

    /// A stopped domain with these disks.
    pub(crate) fn with_disks(root: &'a EmbedRoot, name: &str, targets: &'static [&'static str]) -> Self {
        let guest = targets.iter().fold(root.guest(name), |guest, target| guest.disk(target, "qcow2", "8M")).define();
        Self { guest, root, targets, states: vec![[0; PAGES as usize]], now: 0, captured: BTreeMap::new() }
    }

    /// The domain of that name, which another process made in state 0: what it wrote and captured since is to be noted.
    pub(crate) fn known(root: &'a EmbedRoot, name: &str) -> Self {
        let guest = Guest::named(root, name);
        Self { guest, root, targets: &["vda"], states: vec![[0; PAGES as usize]], now: 0, captured: BTreeMap::new() }
    }

    /// Brings the disks into a new state and returns its number: page 0 and the page of that number are filled with it, the
    /// others stay. So every state is seen to hold all writes it is built on, and none of the later ones. Only while the
    /// domain is off.
    pub(crate) fn write(&mut self) -> u8 {
        let number = self.note_write();
        for page in [0, number] {
            for target in self.targets {
                tools::qemu_io_write(&self.disk(target), "qcow2", number, u64::from(page) * PAGE, PAGE);
            }
        }
        number
    }

    /// Notes that the disks were brought into the next state.
    pub(crate) fn note_write(&mut self) -> u8 {
        let number = u8::try_from(self.states.len()).expect("few states");
        assert!(number < PAGES, "more states than pages");
        let mut pages = self.states[usize::from(self.now)];
        pages[0] = number;
        pages[usize::from(number)] = number;
        self.states.push(pages);
        self.now = number;
        number
    }

    /// Writes the next state and captures it in an external snapshot of all disks.
    pub(crate) fn capture(&mut self, name: &str) {
        self.write();
        self.capture_as_is(name);
    }

    /// Captures all disks as they are in an external snapshot.
    pub(crate) fn capture_as_is(&mut self, name: &str) {
        self.guest.try_disk_only(name, "").expect("captured");
        self.note_capture(name);
    }

    /// Reverts the stopped domain to a snapshot, and expects the state it captured. libvirt names the new overlay after the
    /// second, so a revert is repeated until that name is free.
    pub(crate) fn revert(&mut self, name: &str) {
        let collides = |error: &String| error.contains("already exists and is not a block device");
        let mut reverted = Ok(());
        wait_until("the next second", || {
            reverted = self.guest.try_revert(name);
            !reverted.as_ref().is_err_and(collides)
        });
        reverted.unwrap_or_else(|error| panic!("reverting to {name}: {error}"));
        self.now = self.captured[name];
    }

    /// Notes a snapshot that the test made itself, of the state the disks are in.
    pub(crate) fn note_capture(&mut self, name: &str) {
        self.captured.insert(name.to_owned(), self.now);
    }

    /// The image that a disk uses now.
    pub(crate) fn disk(&self, target: &str) -> PathBuf {
        source(&self.guest.xml(), target)
    }

    /// The files of the chain that a disk uses now, the active one first.
    pub(crate) fn files(&self, target: &str) -> Vec<String> {
        backing_chain(&self.disk(target))
    }

    /// The file that holds what a snapshot captured of a disk: the disk's source in the definition it keeps, which is what
    /// a revert puts a new overlay on.
    pub(crate) fn frozen(&self, snapshot: &str, target: &str) -> PathBuf {
        source(&self.guest.snapshot_xml(snapshot), target)
    }

    /// The state that a snapshot would give back.
    pub(crate) fn held(&self, snapshot: &str) -> Contents {
        let xml = self.guest.snapshot_xml(snapshot);
        self.same(|target| {
            let image = source(&xml, target);
            if !xml.contains(&format!("<disk name='{target}' snapshot='internal'")) {
                return self.contents(&image);
            }
            let copy = self.root.path().join("tag.raw");
            let tag = format!("snapshot.name={snapshot}");
            run("qemu-img", &["convert", "-U", "-l", &tag, "-O", "raw", tools::text(&image), tools::text(&copy)]);
            self.contents(&copy)
        })
    }

    /// The state the disks are in.
    pub(crate) fn state(&self) -> Contents {
        let xml = self.guest.xml();
        self.same(|target| self.contents(&source(&xml, target)))
    }

    /// The state an image holds, read through its backing chain; also while a guest has it open.
    pub(crate) fn contents(&self, image: &Path) -> Contents {
        let pages = read_pages(image)?;
        let state = (0..).zip(&self.states).find(|(_, state)| **state == pages).map(|(number, _)| number);
        state.ok_or_else(|| format!("no state that was written: {pages:?}"))
    }

    fn same(&self, read: impl Fn(&str) -> Contents) -> Contents {
        let read: Result<Vec<_>, _> = self.targets.iter().map(|target| read(target)).collect();
        let read = read?;
        if read.iter().all(|state| *state == read[0]) {
            Ok(read[0])
        } else {
            Err(format!("the disks differ: {read:?}"))
        }
    }

    /// Asserts that every snapshot that is listed holds what it captured, and the disks what was written last.
    #[track_caller]
    pub(crate) fn assert_intact(&self) {
        self.assert_intact_but("");
    }

    /// As [`Self::assert_intact`], but for one snapshot whose deletion was begun.
    #[track_caller]
    pub(crate) fn assert_intact_but(&self, going: &str) {
        for name in self.guest.snapshots().into_iter().filter(|name| name != going) {
            assert_eq!(self.held(&name), Ok(self.captured[&name]), "what {name} captured");
        }
        assert_eq!(self.state(), Ok(self.now), "the disks");
    }

    /// Asserts that the images are those of the disks' chains and no others.
    #[track_caller]
    pub(crate) fn assert_no_orphans(&self) {
        let mut used: Vec<_> = self.targets.iter().flat_map(|target| self.files(target)).collect();
        used.sort();
        assert_eq!(self.root.images(), used, "the images beside those in use");
    }
}

/// What an image holds, read through its backing chain; also while a guest has it open.
fn read_pages(image: &Path) -> Result<Pages, String> {
    // The ends of each page: a page is a cluster, which comes from one file of the chain as a whole.
    const END: u64 = 16;
    let offsets = (0..PAGES).flat_map(|page| [0, PAGE - END].map(|end| u64::from(page) * PAGE + end));
    let reads: Vec<String> = offsets.map(|offset| format!("read -v {offset} {END}")).collect();
    let mut args = vec!["-r", "-U"];
    args.extend(reads.iter().flat_map(|read| ["-c", read.as_str()]));
    args.push(tools::text(image));
    let output = output("qemu-io", &args);
    let mut pages: [Option<u8>; PAGES as usize] = [None; PAGES as usize];
    // Lines of 16 bytes: `00010000:  02 02 02 ...  ....`
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((offset, bytes)) = line.split_once(":  ") else { continue };
        let Ok(offset) = u64::from_str_radix(offset, 16) else { continue };
        let page = &mut pages[usize::try_from(offset / PAGE).expect("a page")];
        for byte in bytes.split(' ').take(16) {
            let byte = u8::from_str_radix(byte, 16).expect("hexadecimal");
            if *page.get_or_insert(byte) != byte {
                return Err(format!("a page of {} is filled with several patterns", image.display()));
            }
        }
    }
    let pages: Option<Vec<u8>> = pages.into_iter().collect();
    match pages {
        Some(pages) if output.status.success() => Ok(pages.try_into().expect("as many")),
        _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// The names of the files of an image's backing chain, itself first. Also while a guest has it open.
pub(crate) fn backing_chain(image: &Path) -> Vec<String> {
    let json = run("qemu-img", &["info", "-U", "--backing-chain", "--output=json", tools::text(image)]);
    let chain: Vec<serde_json::Value> = serde_json::from_str(&json).expect("qemu-img prints JSON");
    let file =
        |link: &serde_json::Value| Path::new(link["filename"].as_str()?).file_name()?.to_str().map(str::to_owned);
    chain.iter().map(|link| file(link).expect("a file name")).collect()
}

/// The source of a disk in a domain's or a snapshot's XML.
pub(crate) fn source(xml: &str, target: &str) -> PathBuf {
    let document = roxmltree::Document::parse(xml).expect("libvirt's XML is valid");
    let domain = document.descendants().find(|node| node.has_tag_name("domain")).expect("a domain");
    let child = |disk: roxmltree::Node<'_, '_>, tag: &str, attribute: &str| {
        let node = disk.children().find(|node| node.has_tag_name(tag))?;
        node.attribute(attribute).map(str::to_owned)
    };
    let mut disks = domain.descendants().filter(|node| node.has_tag_name("disk"));
    let disk = disks.find(|disk| child(*disk, "target", "dev").as_deref() == Some(target)).expect("the disk");
    PathBuf::from(child(disk, "source", "file").expect("a file"))
}
