//! The libvirt host against the real embedded QEMU driver: captures, changes, rights, cost, errors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use snapward::host::{
    Counting, CreateRequest, DomainRef, ErrorClass, Host, LedgerScope, Probe, RedefineRequest, SecureXml, SnapshotRef,
};
use snapward::libvirt::{self, Access};
use snapward::model::kinds::{Capture, Consistency, Content, Location};
use snapward::model::ledger::{Ledger, LedgerEntry};
use snapward::model::names::{DomainUuid, SnapshotName};
use snapward::model::observed::RunState;
use snapward::model::snapshot::{ObservedSnapshot, Storage};

use crate::support::embed::EmbedRoot;
use crate::support::guest::bytes;
use crate::support::tools;

pub(crate) fn name(text: &str) -> SnapshotName {
    SnapshotName::observed(text)
}

/// A full internal capture of a domain as it is now.
pub(crate) fn request(host: &dyn Host, domain: &DomainRef, name: &str, description: &str) -> CreateRequest {
    CreateRequest {
        name: SnapshotName::observed(name),
        description: description.to_owned(),
        capture: Capture {
            content: Content::Full,
            location: Location::Internal,
            memory: None,
            disks: Vec::new(),
            consistency: Consistency::Crash,
        },
        disks: host.definition(domain, false).expect("the definition").disks,
        reuse: false,
        act: snapward::model::act::Act::default(),
    }
}

fn names(snapshots: &[SnapshotRef]) -> Vec<&str> {
    snapshots.iter().map(|snapshot| snapshot.name.as_str()).collect()
}

/// A reference without a handle, as it comes from nowhere.
fn bare(name: &str) -> SnapshotRef {
    SnapshotRef { name: SnapshotName::observed(name), handle: Arc::new(()) }
}

#[test]
fn captures_follow_the_run_state() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let cdrom = "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>";
    let guest = root.guest("web").disk("vda", "qcow2", "8M").disk("vdb", "qcow2", "8M").device(cdrom).define();
    let capture = |name: &str| -> (RunState, ObservedSnapshot) {
        let domain = guest.listed(host.as_ref());
        let made = host.create(&domain, &request(host.as_ref(), &domain, name, "text")).expect("captured");
        assert_eq!(made.name.as_str(), name);
        (domain.state, host.snapshot(&domain, &made).expect("read"))
    };

    let (state, off) = capture("off");
    guest.start();
    let (running_state, running) = capture("running");
    guest.pause();
    let (paused_state, paused) = capture("paused");

    assert_eq!([state, running_state, paused_state], [RunState::ShutOff, RunState::Running, RunState::Paused]);
    let seen =
        [&off, &running, &paused].map(|s| (s.state.as_str(), s.memory, s.parent.as_ref().map(SnapshotName::as_str)));
    assert_eq!(
        seen,
        [
            ("shutoff", Storage::No, None),
            ("running", Storage::Internal, Some("off")),
            ("paused", Storage::Internal, Some("running")),
        ]
    );
    for snapshot in [&off, &running, &paused] {
        let disks = BTreeMap::from([
            ("vda".to_owned(), Storage::Internal),
            ("vdb".to_owned(), Storage::Internal),
            ("hdc".to_owned(), Storage::No),
        ]);
        assert_eq!((&*snapshot.disks, snapshot.description.human.as_str()), (&disks, "text"));
        assert!(!snapshot.is_external());
    }
    let domain = guest.listed(host.as_ref());
    assert_eq!(domain.state, RunState::Paused, "the capture left the run state as it was");
    let listed = host.snapshots(&domain).expect("listed");
    let all = BTreeSet::from_iter(names(&listed));
    assert_eq!(all, ["off", "running", "paused"].into());
    for (at_most, expected) in [(1, 1), (3, 3), (4, 3), (1_000_000, 3)] {
        let named = host.names(&domain, at_most).expect("named");
        let found = named.iter().collect::<BTreeSet<_>>().intersection(&all).count();
        assert_eq!((named.len(), found), (expected, expected), "{at_most}");
    }
    assert_eq!(host.current(&domain).expect("read").map(|current| current.name), Some(name("paused")));
    for image in [guest.image("vda", "qcow2"), guest.image("vdb", "qcow2")] {
        assert_eq!(tools::qemu_img_snapshots(&image), ["off", "running", "paused"]);
    }
}

#[test]
fn a_capture_for_another_run_state_than_the_domain_has_is_refused() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").define();
    let seen_off = guest.listed(host.as_ref());
    guest.start();
    let seen_running = guest.listed(host.as_ref());
    for (seen, destroy) in [(seen_off, false), (seen_running, true)] {
        if destroy {
            guest.destroy();
        }
        let error = host.create(&seen, &request(host.as_ref(), &seen, "s", "")).expect_err("the state changed");
        assert_eq!(error.class, ErrorClass::Refused, "{error}");
        assert_eq!(guest.snapshots(), Vec::<String>::new());
    }
}

#[test]
fn the_contents_are_captured() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").define();
    tools::qemu_io_write(&guest.vda(), "qcow2", 0x11, 0, 65_536);
    let domain = guest.listed(host.as_ref());
    host.create(&domain, &request(host.as_ref(), &domain, "s", "")).expect("captured");
    tools::qemu_io_write(&guest.vda(), "qcow2", 0x22, 0, 65_536);
    guest.revert("s");
    assert!(tools::qemu_io_check(&guest.vda(), "qcow2", 0x11, 0, 65_536));
    assert!(!tools::qemu_io_check(&guest.vda(), "qcow2", 0x22, 0, 65_536));
}

#[test]
fn a_redefine_changes_the_description_and_nothing_else() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").vnc_password("geheim").description("the domain's own").define();
    guest.start();
    guest.snapshot("s1", "<description>old</description>");
    guest.snapshot("s2", "");
    let domain = guest.listed(host.as_ref());
    for (snapshot, old) in [("s1", "\n  <description>old</description>"), ("s2", "")] {
        let before = guest.snapshot_xml(snapshot);
        let xml = host.snapshot_secure(&domain, &bare(snapshot)).expect("read");
        assert_eq!(&*xml.0, before);
        assert!(!format!("{xml:?}").contains("geheim"), "secrets do not print");
        let request = RedefineRequest { description: Some("new".into()), ..RedefineRequest::default() };
        host.redefine(&domain, &xml, &request).expect("redefined");

        let after = guest.snapshot_xml(snapshot);
        let without = |xml: &str, description: &str| xml.replacen(description, "", 1);
        assert_eq!(without(&after, "\n  <description>new</description>"), without(&before, old));
        assert!(after.contains("passwd='geheim'"), "the secret is kept");
    }
    assert_eq!(host.current(&domain).expect("read").map(|current| current.name), Some(name("s2")), "the pointer stays");
    let read = host.snapshot(&domain, &bare("s1")).expect("read");
    assert_eq!(read.description.human, "new");
}

#[test]
fn parent_and_pointer_move_where_asked() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").define();
    for snapshot in ["a", "b", "c"] {
        guest.snapshot(snapshot, "");
    }
    let domain = guest.listed(host.as_ref());
    let redefine = |snapshot: &str, request: RedefineRequest| {
        let xml = host.snapshot_secure(&domain, &bare(snapshot)).expect("read");
        host.redefine(&domain, &xml, &request)
    };
    let parent = |snapshot: &str| host.snapshot(&domain, &bare(snapshot)).expect("read").parent;

    redefine("c", RedefineRequest { parent: Some(Some(name("a"))), ..Default::default() }).expect("moved");
    assert_eq!((parent("c"), parent("b")), (Some(name("a")), Some(name("a"))));
    redefine("c", RedefineRequest { parent: Some(None), ..Default::default() }).expect("moved");
    assert_eq!(parent("c"), None);
    assert_eq!(host.current(&domain).expect("read").map(|current| current.name), Some(name("c")));
    redefine("a", RedefineRequest { make_current: true, ..Default::default() }).expect("moved");
    assert_eq!(host.current(&domain).expect("read").map(|current| current.name), Some(name("a")));

    let error = redefine("b", RedefineRequest { parent: Some(Some(name("none"))), ..Default::default() });
    assert_eq!(error.expect_err("no such parent").class, ErrorClass::Refused);
    assert_eq!(tools::qemu_img_snapshots(&guest.vda()), ["a", "b", "c"], "metadata alone changed");
}

#[test]
fn deletes_take_one_snapshot_and_its_image_tag() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").define();
    for snapshot in ["a", "b", "c"] {
        guest.snapshot(snapshot, "");
    }
    let domain = guest.listed(host.as_ref());
    let mut listed = host.snapshots(&domain).expect("listed");
    listed.sort_by(|one, other| one.name.cmp(&other.name));
    host.delete(&domain, &listed[1]).expect("deleted off");
    guest.start();
    host.delete(&domain, &listed[2]).expect("deleted running");
    assert_eq!(names(&host.snapshots(&domain).expect("listed")), ["a"]);
    assert_eq!(tools::qemu_img_snapshots(&guest.vda()), ["a"]);
    assert_eq!(host.current(&domain).expect("read").map(|current| current.name), Some(name("a")));
    let error = host.delete(&domain, &listed[2]).expect_err("gone");
    assert_eq!((error.class, error.code), (ErrorClass::NotFound, Some(72)), "{error}");
    host.delete(&domain, &listed[0]).expect("deleted");
    assert_eq!(host.current(&domain).expect("read").map(|current| current.name), None, "none is not an error");
}

#[test]
fn a_deleted_snapshots_metadata_can_be_restored() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").define();
    guest.snapshot("s", "<description>kept</description>");
    let domain = guest.listed(host.as_ref());
    let xml = host.snapshot_secure(&domain, &bare("s")).expect("read");
    host.delete(&domain, &bare("s")).expect("deleted");
    let made = host.redefine(&domain, &xml, &RedefineRequest::default()).expect("restored");
    assert_eq!(made.name, name("s"));
    assert_eq!(guest.snapshot_xml("s"), *xml.0);
}

#[test]
fn the_ledger_is_kept_live_stored_and_in_later_captures() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").head("<metadata><o:x xmlns:o='urn:other'>kept</o:x></metadata>").define();
    let domain = guest.listed(host.as_ref());
    let mut ledger = Ledger::empty(domain.uuid);
    ledger.record(name("a \"b\" <c> & 'd'"), LedgerEntry { created: 17, released: false });
    ledger.record(name("gone"), LedgerEntry { created: 18, released: true });

    host.write_ledger(&domain, &ledger, LedgerScope::Config).expect("written off");
    assert_eq!(host.definition(&domain, true).expect("read").ledger.as_ref(), Some(&ledger));
    guest.start();
    ledger.record(name("later"), LedgerEntry { created: 19, released: false });
    host.write_ledger(&domain, &ledger, LedgerScope::LiveAndConfig).expect("written running");
    for stored in [false, true] {
        assert_eq!(host.definition(&domain, stored).expect("read").ledger.as_ref(), Some(&ledger), "{stored}");
    }
    assert!(guest.xml().contains(">kept</o:x>"), "other metadata stays");

    let domain = guest.listed(host.as_ref());
    let made = host.create(&domain, &request(host.as_ref(), &domain, "s", "")).expect("captured");
    assert_eq!(host.snapshot(&domain, &made).expect("read").ledger.as_deref(), Some(&ledger));
    let error = host.write_ledger(&domain, &Ledger::empty(domain.uuid), LedgerScope::Config);
    assert!(error.is_ok(), "a running domain's stored definition can be written alone");
}

#[test]
fn image_tags_are_those_qemu_img_lists() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").disk("vda", "qcow2", "8M").disk("vdb", "raw", "8M").define();
    let probe = |target: &str| {
        let disks = host.definition(&guest.listed(host.as_ref()), false).expect("read").disks;
        match host.files().image_snapshots(disks.iter().find(|disk| disk.target == target).expect("the disk")) {
            Probe::Known(tags) => Probe::Known(tags.into_iter().map(|tag| tag.name).collect()),
            Probe::Unknown(why) => Probe::Unknown(why),
        }
    };
    assert_eq!(probe("vda"), Probe::Known(Vec::new()));
    let image = guest.vda();
    for tag in ["a", "naïve \u{1F600}", &"n".repeat(247)] {
        tools::run("qemu-img", &["snapshot", "-c", tag, tools::text(&image)]);
    }
    assert_eq!(probe("vda"), Probe::Known(tools::qemu_img_snapshots(&image)));
    assert!(matches!(probe("vdb"), Probe::Unknown(_)), "a raw image has no table");
    std::fs::remove_file(&image).expect("removed");
    assert!(matches!(probe("vda"), Probe::Unknown(_)), "a file that is gone");
}

#[test]
fn a_read_only_connection_reads_everything_and_changes_nothing() {
    let root = EmbedRoot::new();
    let writer = root.connect(Access::ReadWrite);
    let reader = root.connect(Access::ReadOnly);
    let guest = root.guest("web").define();
    guest.snapshot("s", "<description>text</description>");
    let domain = guest.listed(reader.as_ref());
    assert!(!reader.hostname().expect("read").is_empty());
    assert!(reader.libvirt_version().expect("read") >= 9_000_000);
    reader.capabilities().expect("read");
    assert!(reader.is_persistent(&domain).expect("read"));
    assert_eq!(reader.definition(&domain, true).expect("read").disks.len(), 1);
    assert_eq!(reader.current(&domain).expect("read").map(|current| current.name), Some(name("s")));
    let snapshot = reader.snapshots(&domain).expect("listed").remove(0);
    assert_eq!(reader.snapshot(&domain, &snapshot).expect("read").description.human, "text");

    let xml = writer.snapshot_secure(&domain, &snapshot).expect("the writer reads secrets");
    let ledger = Ledger::empty(domain.uuid);
    let errors = [
        reader.snapshot_secure(&domain, &snapshot).err(),
        reader.create(&domain, &request(reader.as_ref(), &domain, "t", "")).err(),
        reader.redefine(&domain, &xml, &RedefineRequest::default()).err(),
        reader.delete(&domain, &snapshot).err(),
        reader.write_ledger(&domain, &ledger, LedgerScope::Config).err(),
    ];
    for error in errors {
        let error = error.expect("denied");
        assert_eq!((error.class, error.code), (ErrorClass::Denied, Some(29)), "{error}");
    }
    // References of the reader's do not tie the writer to the reader's rights.
    writer.delete(&domain, &snapshot).expect("deleted");
    assert_eq!(guest.snapshots(), Vec::<String>::new());
}

#[test]
fn a_whole_domain_costs_three_calls_and_one_per_snapshot() {
    let root = EmbedRoot::new();
    let host = Counting::new(root.connect(Access::ReadOnly));
    let guest = root.guest("web").define();
    for at in 0..5 {
        guest.snapshot(&format!("s{at}"), "");
    }
    let domain = guest.listed(&host);
    let before = host.calls();
    host.definition(&domain, false).expect("read");
    host.current(&domain).expect("read");
    for snapshot in host.snapshots(&domain).expect("listed") {
        host.snapshot(&domain, &snapshot).expect("read");
    }
    assert_eq!(host.calls() - before, 3 + 5);
}

#[test]
fn errors_say_what_was_tried_and_what_helps() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").define();
    guest.snapshot("s", "");
    let domain = guest.listed(host.as_ref());
    let class = |error: snapward::host::HostError, code: i32| {
        assert_eq!(error.code, Some(code), "{error}");
        assert!(error.to_string().contains("domain web"), "{error}");
        error.class
    };

    assert_eq!(class(host.snapshot(&domain, &bare("none")).expect_err("missing"), 72), ErrorClass::NotFound);
    let twice = host.create(&domain, &request(host.as_ref(), &domain, "s", "")).expect_err("exists");
    assert!(twice.to_string().contains("snapshot s of domain web"), "{twice}");
    assert_eq!(class(twice, 9), ErrorClass::Refused);
    let stranger = DomainRef { uuid: DomainUuid(uuid::Uuid::from_u128(7)), handle: Arc::new(()), ..domain.clone() };
    assert_eq!(class(host.snapshots(&stranger).expect_err("missing"), 42), ErrorClass::NotFound);
    guest.undefine();
    assert_eq!(class(host.snapshots(&domain).expect_err("missing"), 42), ErrorClass::NotFound);
    assert_eq!(class(host.current(&domain).expect_err("missing"), 42), ErrorClass::NotFound);
}

#[test]
fn an_internal_capture_of_a_raw_disk_fails_before_it_touches_anything() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").disk("vda", "qcow2", "1M").disk("vdb", "raw", "1M").define();
    let images = [guest.image("vda", "qcow2"), guest.image("vdb", "raw")];
    let before = images.each_ref().map(|image| bytes(image));
    let domain = guest.listed(host.as_ref());
    let error = host.create(&domain, &request(host.as_ref(), &domain, "s", "")).expect_err("raw");
    assert_eq!(error.class, ErrorClass::Refused, "{error}");
    assert!(error.message.contains("raw"), "{error}");
    assert_eq!(images.each_ref().map(|image| bytes(image)), before);
    assert_eq!(guest.snapshots(), Vec::<String>::new());
}

#[test]
fn the_test_driver_works_too() {
    let host = libvirt::connect("test:///default", Access::ReadWrite, None).expect("opened");
    let domain = host.domains().expect("listed").remove(0);
    assert_eq!((domain.name.as_str(), domain.state), ("test", RunState::Running));
    assert_eq!(host.current(&domain).expect("read").map(|current| current.name), None);
    let made = host.create(&domain, &request(host.as_ref(), &domain, "s", "a\n]]> b")).expect("captured");
    let read = host.snapshot(&domain, &made).expect("read");
    assert_eq!((read.description.human.as_str(), read.memory), ("a\n]]> b", Storage::Internal));
    let xml = host.snapshot_secure(&domain, &made).expect("read");
    let request = RedefineRequest { description: Some("c".into()), ..Default::default() };
    host.redefine(&domain, &xml, &request).expect("redefined");
    assert_eq!(host.snapshot(&domain, &made).expect("read").description.human, "c");
    let mut ledger = Ledger::empty(domain.uuid);
    ledger.record(name("s"), LedgerEntry { created: 1, released: false });
    host.write_ledger(&domain, &ledger, LedgerScope::LiveAndConfig).expect("written");
    assert_eq!(host.definition(&domain, false).expect("read").ledger, Some(ledger));
    let disk = host.definition(&domain, false).expect("read").disks.remove(0);
    assert!(matches!(host.files().image_snapshots(&disk), Probe::Unknown(_)));
    host.delete(&domain, &made).expect("deleted");
}

#[test]
fn what_libvirt_must_not_see_is_not_sent() {
    let root = EmbedRoot::new();
    let host = Counting::new(root.connect(Access::ReadWrite));
    let guest = root.guest("web").define();
    let domain = guest.listed(&host);
    for bad in ["", "a\0b", "a/b", ".a", &"n".repeat(248), "a\u{FFFE}"] {
        let error = host.create(&domain, &request(&host, &domain, bad, "")).expect_err(bad);
        assert_eq!((error.class, error.code), (ErrorClass::Refused, None), "{error}");
        assert!(host.snapshot(&domain, &bare(bad)).is_err(), "{bad:?}");
    }
    for bad in ["a\0b", "\u{c}", "\u{FFFF}"] {
        let error = host.create(&domain, &request(&host, &domain, "s", bad)).expect_err(bad);
        assert_eq!((error.class, error.code), (ErrorClass::Refused, None), "{error}");
    }
    for xml in ["", "<domain/>", "a\0", "<domainsnapshot><name>a/b</name></domainsnapshot>"] {
        let error = host.redefine(&domain, &SecureXml(xml.into()), &RedefineRequest::default()).expect_err(xml);
        assert_eq!((error.class, error.code), (ErrorClass::Refused, None), "{error}");
    }
    let mut ledger = Ledger::empty(domain.uuid);
    ledger.record(name("a\0b"), LedgerEntry { created: 1, released: false });
    assert_eq!(host.write_ledger(&domain, &ledger, LedgerScope::Config).expect_err("NUL").code, None);
    assert_eq!(guest.snapshots(), Vec::<String>::new());
    assert_eq!(tools::qemu_img_snapshots(&guest.vda()), Vec::<String>::new());
}
