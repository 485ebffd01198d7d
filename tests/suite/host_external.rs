//! The libvirt host and external snapshots, on the real embedded QEMU driver: what a capture asks for, what probes find,
//! what a redefine does to `<revertDisks>` and the pointer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use snapward::host::{Counting, CreateRequest, DomainRef, ErrorClass, Host, Probe, RedefineRequest, SnapshotRef};
use snapward::libvirt::Access;
use snapward::model::image::{Backing, Image, ImageState};
use snapward::model::kinds::{Capture, CaptureDisk, Consistency, Content, DiskLocation, Location, MemoryFile};
use snapward::model::names::SnapshotName;
use snapward::model::snapshot::{ObservedSnapshot, SnapshotFiles, Storage};
use snapward::observe::{self, Connection};

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;
use crate::support::guest::Guest;
use crate::support::lab::{Lab, set};
use crate::support::tools::{self, text};

/// A resolved external capture: each of `disks` goes to `DIR/TARGET.NAME`, the memory to `DIR/NAME.mem`.
fn request(
    root: &EmbedRoot,
    host: &dyn Host,
    domain: &DomainRef,
    name: &str,
    memory: bool,
    disks: &[&str],
) -> CreateRequest {
    let file = |name: String| text(&root.image(&name)).to_owned();
    let disk = |target: &&str| CaptureDisk {
        target: (*target).to_owned(),
        location: Some(DiskLocation::External),
        format: Some("qcow2".into()),
        file: Some(file(format!("{target}.{name}"))),
        source_type: None,
    };
    CreateRequest {
        name: SnapshotName::observed(name),
        description: "text".into(),
        capture: Capture {
            content: match (memory, disks) {
                (true, []) => Content::Memory,
                (true, _) => Content::Full,
                (false, _) => Content::Disks,
            },
            location: Location::External,
            memory: memory.then(|| MemoryFile { file: file(format!("{name}.mem")) }),
            disks: disks.iter().map(disk).collect(),
            consistency: Consistency::Crash,
        },
        disks: host.definition(domain, false).expect("the definition").disks,
        reuse: false,
        act: snapward::model::act::Act::default(),
    }
}

fn reference(host: &dyn Host, domain: &DomainRef, name: &str) -> SnapshotRef {
    let listed = host.snapshots(domain).expect("listed");
    listed.into_iter().find(|snapshot| snapshot.name.as_str() == name).expect("it is listed")
}

fn read(host: &dyn Host, guest: &Guest<'_>, name: &str) -> ObservedSnapshot {
    let domain = guest.listed(host);
    host.snapshot(&domain, &reference(host, &domain, name)).expect("read")
}

fn files(snapshot: &ObservedSnapshot) -> &SnapshotFiles {
    snapshot.files.as_deref().expect("an external snapshot")
}

fn short(paths: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    paths.iter().map(|(target, path)| (target.as_str(), path.rsplit('/').next().expect("a name"))).collect()
}

fn image(host: &dyn Host, path: &Path, format: Option<&str>) -> Image {
    match host.files().image(text(path), format).state {
        ImageState::Present(image) => image,
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn every_content_is_captured_in_every_run_state_and_nothing_else_is() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let host = host.as_ref();
    let cdrom = "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>";
    let guest = root.guest("vm").disk("vda", "qcow2", "8M").disk("vdb", "raw", "8M").device(cdrom).define();
    let capture = |name: &str, memory: bool, disks: &[&str]| {
        let domain = guest.listed(host);
        let made = host.create(&domain, &request(&root, host, &domain, name, memory, disks)).expect(name);
        let state = domain.state;
        assert_eq!(guest.listed(host).state, state, "{name} left the run state as it was");
        host.snapshot(&domain, &made).expect("read")
    };
    let both = &["vda", "vdb"][..];
    let mut made = vec![capture("off", false, both), capture("off-full", true, &["vdb"])];
    guest.start();
    made.extend([capture("run", false, &["vda"]), capture("run-full", true, both), capture("run-mem", true, &[])]);
    guest.pause();
    made.extend([capture("pause", false, both), capture("pause-full", true, both)]);
    // QEMU takes a paused guest's memory once: then it has to run before the next.
    let domain = guest.listed(host);
    let asked = request(&root, host, &domain, "pause-mem", true, &[]);
    let error = host.create(&domain, &asked).expect_err("its memory was taken");
    assert!(error.message.contains("paused due to previous migration"), "{error}");
    assert!(!root.image("pause-mem.mem").exists(), "nothing is left of it");
    guest.resume();
    guest.pause();
    made.push(capture("pause-mem", true, &[]));

    let seen: Vec<_> = made
        .iter()
        .map(|snapshot| {
            let files = files(snapshot);
            let memory = files.memory.as_deref().map(|path| path.rsplit('/').next().expect("a name"));
            (snapshot.state.as_str(), snapshot.memory, memory, short(&files.overlays), short(&files.bases))
        })
        .collect();
    let (no, external) = (Storage::No, Storage::External);
    let expected = [
        (
            "shutoff",
            no,
            None,
            vec![("vda", "vda.off"), ("vdb", "vdb.off")],
            vec![("vda", "vm-vda.qcow2"), ("vdb", "vm-vdb.raw")],
        ),
        ("shutoff", no, None, vec![("vdb", "vdb.off-full")], vec![("vda", "vda.off"), ("vdb", "vdb.off")]),
        ("disk-snapshot", no, None, vec![("vda", "vda.run")], vec![("vda", "vda.off"), ("vdb", "vdb.off-full")]),
        (
            "running",
            external,
            Some("run-full.mem"),
            vec![("vda", "vda.run-full"), ("vdb", "vdb.run-full")],
            vec![("vda", "vda.run"), ("vdb", "vdb.off-full")],
        ),
        ("running", external, Some("run-mem.mem"), vec![], vec![("vda", "vda.run-full"), ("vdb", "vdb.run-full")]),
        (
            "disk-snapshot",
            no,
            None,
            vec![("vda", "vda.pause"), ("vdb", "vdb.pause")],
            vec![("vda", "vda.run-full"), ("vdb", "vdb.run-full")],
        ),
        (
            "paused",
            external,
            Some("pause-full.mem"),
            vec![("vda", "vda.pause-full"), ("vdb", "vdb.pause-full")],
            vec![("vda", "vda.pause"), ("vdb", "vdb.pause")],
        ),
        ("paused", external, Some("pause-mem.mem"), vec![], vec![("vda", "vda.pause-full"), ("vdb", "vdb.pause-full")]),
    ];
    assert_eq!(seen, expected);
    for snapshot in &made {
        assert_eq!((snapshot.description.human.as_str(), snapshot.is_external()), ("text", true));
        assert!(snapshot.disks["hdc"] == no && files(snapshot).unfinished.is_empty());
    }
    assert_eq!(files(&made[0]).formats[text(&root.image("vm-vdb.raw"))], "raw");
}

#[test]
fn a_leftover_overlay_refuses_a_capture_and_is_used_where_asked() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    for start in [false, true] {
        let guest = root.guest(if start { "on" } else { "off" }).define();
        if start {
            guest.start();
        }
        let domain = guest.listed(host.as_ref());
        let name = if start { "s-on" } else { "s-off" };
        let mut asked = request(&root, host.as_ref(), &domain, name, false, &["vda"]);
        let overlay = root.image(&format!("vda.{name}"));
        let base = guest.vda();
        tools::run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", text(&base), text(&overlay)]);
        let error = host.create(&domain, &asked).expect_err("the file is there");
        assert_eq!(error.class, ErrorClass::Refused, "{error}");
        assert!(error.message.contains("already exists"), "{error}");
        asked.reuse = true;
        host.create(&domain, &asked).expect("the leftover is used");
        let disks = host.definition(&domain, false).expect("read").disks;
        assert_eq!(disks[0].source.as_deref(), Some(text(&overlay)));
    }
}

#[test]
fn the_chain_is_told_by_the_headers_and_by_a_running_domain() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("vm").disk("vda", "raw", "8M").define();
    for name in ["e1", "e2"] {
        let domain = guest.listed(host.as_ref());
        host.create(&domain, &request(&root, host.as_ref(), &domain, name, false, &["vda"])).expect("captured");
    }
    let (base, e1, e2) = (root.image("vm-vda.raw"), root.image("vda.e1"), root.image("vda.e2"));
    tools::qemu_io_write(&e2, "qcow2", 7, 0, 65_536);
    let below = |path: &Path, format: Option<&str>| {
        let seen = host.files().image(text(path), format);
        (image(host.as_ref(), path, format), seen.backing_format)
    };
    let file = |path: &Path| Backing::File(text(path).to_owned());
    let (top, format) = below(&e2, Some("qcow2"));
    assert_eq!((top.backing, top.empty, format.as_deref()), (file(&e1), false, Some("qcow2")));
    let (middle, format) = below(&e1, Some("qcow2"));
    assert_eq!((middle.backing, middle.empty, format.as_deref()), (file(&base), true, Some("raw")));
    assert_eq!(below(&base, Some("raw")).0.backing, Backing::None);

    let backing = || host.definition(&guest.listed(host.as_ref()), false).expect("read").disks[0].backing.clone();
    assert_eq!(backing(), None, "off, the definition does not say");
    guest.start();
    assert_eq!(backing(), Some(vec![text(&e1).to_owned(), text(&base).to_owned()]));
    assert_eq!(host.block_job(&guest.listed(host.as_ref()), "vda").expect("asked"), None);
    assert!(host.block_job(&guest.listed(host.as_ref()), "vdz").is_err());
    assert!(matches!(host.files().space(text(root.path())), Probe::Known(space) if space.free > 0));
}

/// What libvirt holds of a snapshot's reverted overlays, and which snapshot is current.
fn pointer(host: &dyn Host, guest: &Guest<'_>, snapshot: &str) -> (Vec<String>, String) {
    let read = read(host, guest, snapshot);
    (files(&read).revert_overlays.values().cloned().collect(), guest.current())
}

#[test]
fn revert_overlays_are_kept_by_a_redefine_and_dropped_with_the_pointer() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let host = host.as_ref();
    let mut chain = Chain::new(&root, "vm");
    chain.capture("e1");
    chain.capture("e2");
    chain.revert("e1");
    let guest = &chain.guest;
    let redefine = |name: &str, request: RedefineRequest| {
        let domain = guest.listed(host);
        let xml = host.snapshot_secure(&domain, &reference(host, &domain, name)).expect("read");
        host.redefine(&domain, &xml, &request).expect("redefined");
    };
    let current = || RedefineRequest { make_current: true, ..RedefineRequest::default() };
    let (reverted, at) = pointer(host, guest, "e1");
    assert_eq!((reverted.len(), at.as_str()), (1, "e1"));
    let overlays = || {
        let active = host.definition(&guest.listed(host), false).expect("read").disks[0].source.clone();
        RedefineRequest {
            revert_overlays: Some([("vda".to_owned(), active.expect("a file"))].into()),
            ..RedefineRequest::default()
        }
    };

    // A description alone leaves both as they are.
    redefine("e1", RedefineRequest { description: Some("x".into()), ..RedefineRequest::default() });
    assert_eq!(pointer(host, guest, "e1"), (reverted.clone(), "e1".into()));
    // The no-op forgets what the next revert or deletion needs.
    redefine("e1", current());
    assert_eq!(pointer(host, guest, "e1"), (vec![], "e1".into()));
    // Without CURRENT they can be told again, the pointer stays.
    redefine("e1", overlays());
    assert_eq!(pointer(host, guest, "e1"), (reverted.clone(), "e1".into()));
    // Moved away, the old current one forgets; moved back with the overlays in one go, they hold.
    redefine("e2", current());
    assert_eq!(pointer(host, guest, "e1"), (vec![], "e2".into()));
    redefine("e1", RedefineRequest { make_current: true, ..overlays() });
    let in_one_go = pointer(host, guest, "e1");
    // As do those told before the pointer is moved.
    redefine("e2", current());
    redefine("e1", overlays());
    redefine("e1", current());
    let one_after_the_other = pointer(host, guest, "e1");
    assert_eq!((in_one_go, one_after_the_other), ((reverted.clone(), "e1".into()), (reverted, "e1".into())));
    chain.assert_intact();
}

#[test]
fn neighbours_are_read_where_a_selected_domain_is_external_and_only_there() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let one = root.guest("one").define();
    let two = root.guest("two").define();
    two.snapshot("i1", "");
    let observed = |name: &str, capture: &str| {
        let snapshots =
            format!("  snapshots:\n    - name: s\n      capture: {{content: disks, location: {capture}}}\n");
        let desired = Lab::load(&set("lab", &format!("  domains: {{include: [{name}]}}\n{snapshots}")));
        let counting = Arc::new(Counting::new(root.connect(Access::ReadOnly)));
        let connection = Connection {
            label: "lab".into(),
            inventory_name: None,
            labels: BTreeMap::new(),
            uri: root.uri(),
            host: Arc::clone(&counting) as Arc<dyn Host>,
        };
        let mut state = observe::observe(&[connection], &desired);
        (state.hosts.remove(0), counting.calls())
    };
    let (seen, calls) = observed("one", "internal");
    assert!(
        seen.others.is_empty() && seen.domains[0].files.images.keys().eq([text(&one.vda())]),
        "whether it is there"
    );
    assert_eq!(calls, 4 + 2, "no snapshot, no question for the current one");
    // Declared, but not there yet: its own files, and nobody else's.
    let (seen, _) = observed("one", "external");
    assert!(seen.others.is_empty() && seen.domains[0].files.images.contains_key(text(&one.vda())));
    assert!(seen.domains[0].files.space.contains_key(text(&root.path().join("images"))));

    let domain = one.listed(host.as_ref());
    host.create(&domain, &request(&root, host.as_ref(), &domain, "e1", false, &["vda"])).expect("captured");
    let (seen, calls) = observed("one", "external");
    assert_eq!(seen.others.iter().map(|domain| domain.name.as_str()).collect::<Vec<_>>(), ["two"]);
    assert!(seen.others[0].files.images.contains_key(text(&two.vda())));
    assert!(seen.domains[0].files.images.contains_key(text(&one.vda())), "below the overlay");
    // Both domains with all they have.
    assert_eq!(calls, 4 + 2 * 3 + 2);
    let (seen, calls) = observed("two", "internal");
    assert!(seen.others.is_empty() && seen.domains[0].files.images.keys().eq([text(&two.vda())]));
    assert_eq!(calls, 4 + 3 + 1);
}
