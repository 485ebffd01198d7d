//! The bed of the differential tests: twin domains on a private daemon, one driven by virsh, one by snapward, and everything
//! that must then be the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use snapward::libvirt;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

use super::coverage::Coverage;
use crate::support::chain::{backing_chain, source};
use crate::support::cmd::{Ran, snapward_by};
use crate::support::daemon::PrivateDaemon;
use crate::support::tools;

/// What stands for the twin's name in command lines, and in what is compared.
pub(super) const DOM: &str = "DOM";

/// The daemon, for its own user.
const URI: &str = "qemu:///session";

/// How a pair of twins is, before anything is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Paused,
    Stopped,
    /// Running, and gone when it stops.
    Transient,
}

/// A daemon with twins, which notes what of virsh is exercised.
pub(super) struct Bed {
    /// Before the daemon, so that it is closed before the daemon ends.
    side: Connect,
    daemon: PrivateDaemon,
    coverage: Coverage,
    /// What both take for $EDITOR.
    editor: RefCell<String>,
}

impl Bed {
    /// A daemon without domains.
    pub(super) fn new() -> Self {
        libvirt::initialize().expect("libvirt starts");
        let daemon = PrivateDaemon::start();
        let side = Connect::open(Some(&daemon.uri())).expect("the daemon answers");
        Self { side, daemon, coverage: Coverage::of_this_test(), editor: RefCell::new("false".to_owned()) }
    }

    /// A pair of twins with these qcow2 disks of 8 MiB, the same pattern in each.
    pub(super) fn twins<'a>(&'a self, name: &str, state: State, targets: &'static [&'static str]) -> Twins<'a> {
        self.twins_with(name, state, targets, "")
    }

    /// As [`Self::twins`], with more XML among the devices; `DOM` stands for the domain in it.
    pub(super) fn twins_with<'a>(
        &'a self,
        name: &str,
        state: State,
        targets: &'static [&'static str],
        devices: &str,
    ) -> Twins<'a> {
        self.made(vec![format!("{name}-a"), format!("{name}-b")], state, targets, devices)
    }

    /// The first twin alone, for tests that only ask.
    pub(super) fn only<'a>(
        &'a self,
        name: &str,
        state: State,
        targets: &'static [&'static str],
        devices: &str,
    ) -> Twins<'a> {
        self.made(vec![format!("{name}-a")], state, targets, devices)
    }

    fn made<'a>(
        &'a self,
        names: Vec<String>,
        state: State,
        targets: &'static [&'static str],
        devices: &str,
    ) -> Twins<'a> {
        for name in &names {
            self.define(name, state, targets, &devices.replace(DOM, name));
        }
        Twins { bed: self, names, targets }
    }

    fn define(&self, name: &str, state: State, targets: &[&str], devices: &str) {
        let mut disks = String::new();
        for (number, target) in targets.iter().enumerate() {
            let image = self.daemon.images().join(format!("{name}-{target}.qcow2"));
            tools::create_image(&image, "qcow2", "8M");
            tools::qemu_io_write(&image, "qcow2", 0x11 + u8::try_from(number).expect("few disks"), 0, 65_536);
            self.daemon.hand_over(&image);
            disks.push_str(&format!(
                "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/>\
                 <target dev='{target}'/></disk>",
                tools::text(&image)
            ));
        }
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>{disks}\
             <controller type='usb' model='none'/><memballoon model='none'/>{devices}</devices></domain>"
        );
        let file = self.file("domain.xml", &xml);
        match state {
            State::Transient => drop(self.virsh_ok(&["create", &file])),
            State::Stopped => drop(self.virsh_ok(&["define", &file])),
            State::Running | State::Paused => {
                self.virsh_ok(&["define", &file]);
                self.virsh_ok(&["start", name]);
            }
        }
        if state == State::Paused {
            self.virsh_ok(&["suspend", name]);
        }
    }

    /// A path among the images where nothing is yet, for a memory image or an overlay.
    pub(super) fn image(&self, name: &str) -> String {
        tools::text(&self.daemon.images().join(name)).to_owned()
    }

    /// A file for a program to read; a second one of that name replaces the first.
    pub(super) fn file(&self, name: &str, text: &str) -> String {
        tools::text(&self.daemon.file(name, text)).to_owned()
    }

    /// Runs virsh on the daemon; its flags count as exercised only in [`Twins::answers`] and [`Twins::drive`].
    pub(super) fn virsh(&self, args: &[&str]) -> Output {
        let words = self.daemon.client("virsh");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let editor = self.editor.borrow();
        tools::output_in(&[("EDITOR", &editor)], words[0], &[&words[1..], &["-c", URI], args].concat())
    }

    /// As [`Self::virsh`], for what must succeed; returns what it printed.
    pub(super) fn virsh_ok(&self, args: &[&str]) -> String {
        let output = self.virsh(args);
        assert!(output.status.success(), "virsh {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `snapward snapshot` on the daemon.
    pub(super) fn snapward(&self, args: &[&str]) -> Ran {
        let editor = self.editor.borrow().clone();
        snapward_by(&self.daemon, &[&["-c", URI, "snapshot"], args].concat())
            // The texts that an edit leaves behind go with the daemon.
            .env("TMPDIR", self.daemon.images())
            .env("EDITOR", editor)
            .run()
    }

    /// The editor of both from now on, which is run with the file's path behind these words.
    pub(super) fn editor(&self, command: &str) {
        command.clone_into(&mut self.editor.borrow_mut());
    }
}

/// Two domains that are alike but for name, UUID and the names of their images.
pub(super) struct Twins<'a> {
    bed: &'a Bed,
    names: Vec<String>,
    targets: &'static [&'static str],
}

impl Twins<'_> {
    /// The one that virsh drives; asking verbs are compared on it alone.
    pub(super) fn first(&self) -> &str {
        &self.names[0]
    }

    /// The domain that snapward drives.
    pub(super) fn second(&self) -> &str {
        &self.names[1]
    }

    /// Does the same to both with virsh, to set the scene; `DOM` stands for the domain.
    pub(super) fn by_hand(&self, args: &[&str]) -> &Self {
        for name in &self.names {
            self.bed.virsh_ok(&borrowed(&of(args, name)));
        }
        self
    }

    /// Makes an empty overlay on the active image of a disk of both, where `path` with the twin's name in it says.
    pub(super) fn overlay(&self, target: &str, path: &str) -> &Self {
        for name in &self.names {
            let file = path.replace(DOM, name);
            let base = self.disk(name, target);
            tools::run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", tools::text(&base), &file]);
            self.bed.daemon.hand_over(Path::new(&file));
        }
        self
    }

    /// Fills a cluster of every disk of both with a pattern; they must be off.
    pub(super) fn write(&self, pattern: u8) -> &Self {
        for name in &self.names {
            for target in self.targets {
                tools::qemu_io_write(&self.disk(name, target), "qcow2", pattern, u64::from(pattern) * 65_536, 65_536);
            }
        }
        self
    }

    /// What virsh and snapward answer to the same question about the first twin.
    pub(super) fn answers(&self, virsh: &[&str], snapward: &[&str]) -> (Output, Ran) {
        self.bed.coverage.ran(virsh);
        (self.bed.virsh(&borrowed(&of(virsh, self.first()))), self.bed.snapward(&borrowed(&of(snapward, self.first()))))
    }

    /// Drives the first twin with virsh and the second with snapward.
    pub(super) fn drive(&self, virsh: &[&str], snapward: &[&str]) -> (Output, Ran) {
        self.bed.coverage.ran(virsh);
        (
            self.bed.virsh(&borrowed(&of(virsh, self.first()))),
            self.bed.snapward(&borrowed(&of(snapward, self.second()))),
        )
    }

    /// Drives both, both must succeed, and then be the same.
    #[track_caller]
    pub(super) fn same(&self, virsh: &[&str], snapward: &[&str]) -> &Self {
        let (theirs, ours) = self.drive(virsh, snapward);
        assert!(theirs.status.success(), "virsh {virsh:?}: {}", String::from_utf8_lossy(&theirs.stderr));
        drop(ours.exits(0));
        self.assert_same();
        self
    }

    /// Asserts that the twins are the same in all that a user can see.
    #[track_caller]
    pub(super) fn assert_same(&self) {
        let [theirs, ours] = [self.first(), self.second()].map(|name| self.seen(name));
        pretty_assert(&theirs, &ours);
    }

    /// The image a disk uses now.
    pub(super) fn disk(&self, name: &str, target: &str) -> PathBuf {
        source(&self.domain(name).xml_desc(0).expect("read"), target)
    }

    /// The snapshots' names, sorted.
    pub(super) fn snapshots(&self, name: &str) -> Vec<String> {
        let listed = self.domain(name).list_all_snapshots(0).expect("listed");
        let mut names: Vec<_> = listed.iter().map(|snapshot| snapshot.name().expect("a name")).collect();
        names.sort();
        names
    }

    fn domain(&self, name: &str) -> Domain {
        self.bed.side.lookup_domain_by_name(name).expect("the domain is there")
    }

    /// All that is compared, under a title each, with what tells twins apart taken out.
    fn seen(&self, name: &str) -> BTreeMap<String, String> {
        let domain = self.domain(name);
        let active = domain.is_active().expect("read");
        let uuid = domain.uuid_string().expect("read");
        let plain = |text: &str| normalised(text, name, &uuid);
        let mut seen = BTreeMap::new();
        seen.insert("state".to_owned(), format!("{:?}", domain.state().expect("read").0));
        let definition = domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE);
        seen.insert("definition".to_owned(), plain(&definition.expect("read")));
        let current = domain.current_snapshot(0).and_then(|snapshot| snapshot.name());
        seen.insert("current".to_owned(), plain(&current.unwrap_or_default()));
        for snapshot in domain.list_all_snapshots(0).expect("listed") {
            let title = format!("snapshot {}", snapshot.name().expect("a name"));
            let xml = snapshot.xml_desc(sys::VIR_DOMAIN_SNAPSHOT_XML_SECURE).expect("read");
            seen.insert(plain(&title), plain(&xml));
        }
        for target in self.targets {
            let chain = backing_chain(&self.disk(name, target));
            seen.insert(format!("chain of {target}"), plain(&chain.join(" > ")));
        }
        let images = fs::read_dir(self.bed.daemon.images()).expect("readable");
        let paths = images.map(|entry| entry.expect("readable").path());
        for path in paths.filter(|path| tools::text(path).contains(&format!("/{name}"))) {
            seen.insert(plain(&format!("image {}", tools::text(&path))), plain(&self.image(&path, active)));
        }
        seen
    }

    /// What an image holds: its kind, its tags, the state of its tables, and a hash of all that can be read from it.
    fn image(&self, path: &Path, active: bool) -> String {
        let path = tools::text(path);
        let info: serde_json::Value =
            serde_json::from_str(&tools::run("qemu-img", &["info", "-U", "--output=json", path])).expect("JSON");
        let mut said = format!("{} over {}", info["format"], info["backing-filename"]);
        if info["format"] != "qcow2" {
            // A memory image: what is in it has the names of its domain.
            return said;
        }
        let copy = self.bed.daemon.file("copy.raw", "");
        let copy = tools::text(&copy);
        let hash = || tools::run("sha256sum", &[copy]).split(' ').next().unwrap_or_default().to_owned();
        tools::run("qemu-img", &["convert", "-U", "-O", "raw", path, copy]);
        said.push_str(&format!("; holds {}", hash()));
        for tag in info["snapshots"].as_array().into_iter().flatten() {
            let name = tag["name"].as_str().expect("a name");
            let of = format!("snapshot.name={name}");
            tools::run("qemu-img", &["convert", "-U", "-l", &of, "-O", "raw", path, copy]);
            let memory = tag["vm-state-size"].as_u64().is_some_and(|size| size > 0);
            said.push_str(&format!("; tag {name} holds {}, memory {memory}", hash()));
        }
        if !active {
            let check = tools::output("qemu-img", &["check", "-q", path]);
            said.push_str(&format!("; check {:?}", check.status.code()));
        }
        said
    }
}

/// A command line about one of the twins.
fn of(args: &[&str], name: &str) -> Vec<String> {
    args.iter().map(|arg| arg.replace(DOM, name)).collect()
}

fn borrowed(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// A text with what tells twins apart taken out: the name, the UUID, and times, which are numbers of ten digits.
fn normalised(text: &str, name: &str, uuid: &str) -> String {
    let text = text.replace(uuid, "UUID").replace(name, DOM);
    let mut out = String::with_capacity(text.len());
    let mut digits = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        out.push_str(if digits.len() == 10 { "TIME" } else { &digits });
        digits.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// Says which of the things compared differ, and how.
#[track_caller]
fn pretty_assert(theirs: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) {
    let titles = |seen: &BTreeMap<String, String>| seen.keys().cloned().collect::<Vec<_>>();
    assert_eq!(titles(theirs), titles(ours), "virsh's twin beside snapward's");
    for (title, text) in theirs {
        assert!(*text == ours[title], "{title} differs.\nvirsh's twin:\n{text}\nsnapward's:\n{}", ours[title]);
    }
}

#[test]
fn twins_are_the_same_until_one_is_changed() {
    let bed = Bed::new();
    let twins = bed.twins("web", State::Stopped, &["vda", "vdb"]);
    twins.write(3).by_hand(&["snapshot-create-as", DOM, "s1"]).write(4).assert_same();
    // A question changes neither.
    twins.same(&["snapshot-list", DOM], &["list", DOM]);
    assert_eq!(twins.snapshots(twins.second()), ["s1"]);
    let different = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| twins.assert_same())).is_err();
    assert!(!different());
    tools::qemu_io_write(&twins.disk(twins.second(), "vdb"), "qcow2", 9, 0, 512);
    assert!(different(), "one sector of one disk is enough");
    tools::qemu_io_write(&twins.disk(twins.first(), "vdb"), "qcow2", 9, 0, 512);
    assert!(!different());
    bed.virsh_ok(&["snapshot-delete", twins.first(), "s1"]);
    assert!(different());
}

#[test]
fn the_same_done_to_both_leaves_them_the_same() {
    let bed = Bed::new();
    let memory = format!("file={}", bed.image("DOM.memory"));
    for (name, state) in [("running", State::Running), ("transient", State::Transient)] {
        let twins = bed.twins(name, state, &["vda", "vdb"]);
        twins.by_hand(&["snapshot-create-as", DOM, "disks", "--disk-only"]).assert_same();
        twins.by_hand(&["snapshot-create-as", DOM, "full", "--memspec", &memory]).assert_same();
        twins.by_hand(&["destroy", DOM]);
        if state != State::Transient {
            twins.by_hand(&["snapshot-revert", DOM, "disks"]).assert_same();
        }
    }
}

#[test]
fn what_tells_twins_apart_is_taken_out() {
    let text = "<name>web-a</name> /i/web-a.1764000000 1234 uuid-1 1764000001";
    assert_eq!(normalised(text, "web-a", "uuid-1"), "<name>DOM</name> /i/DOM.TIME 1234 UUID TIME");
}
