//! The test bed itself: what it starts is gone afterwards, and a guest passes from process to process.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use snapward::libvirt::Access;
use snapward::model::observed::RunState;

use crate::host::request;
use crate::support::embed::EmbedRoot;

#[test]
fn a_panic_leaves_neither_guests_nor_files() {
    let mut left: Option<(PathBuf, String)> = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let root = EmbedRoot::new();
        root.guest("web").define().start();
        let pid = fs::read_to_string(root.path().join("run/qemu/web.pid")).expect("a pid file");
        left = Some((root.path().to_owned(), pid.trim().to_owned()));
        panic!("as a test that fails");
    }));
    assert!(outcome.is_err());
    let (path, pid) = left.expect("the guest ran");
    assert!(!path.exists());
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&command).contains(path.to_str().expect("UTF-8")), "the guest still runs");
}

#[test]
fn a_guest_of_another_process_can_be_captured_at_once() {
    let root = EmbedRoot::new();
    let guest = root.guest("web").define();
    guest.start();
    guest.pause();
    guest.snapshot("outside", "");
    assert_eq!((guest.snapshots(), guest.current()), (vec!["outside".to_owned()], "outside".to_owned()));
    let host = root.connect(Access::ReadWrite);
    let domain = guest.listed(host.as_ref());
    assert_eq!(domain.state, RunState::Paused);
    host.create(&domain, &request(host.as_ref(), &domain, "inside", "")).expect("captured");
    assert_eq!(guest.snapshots(), ["inside", "outside"]);
    guest.edit_snapshot("outside", true, |xml| xml.replace("<name>outside</name>", "<name>edited</name>"));
    assert_eq!(guest.current(), "edited");
    guest.delete_snapshot("inside");
    guest.destroy();
}

#[test]
fn a_read_only_connection_can_be_the_only_one() {
    let root = EmbedRoot::new();
    let guest = root.guest("web").define();
    guest.snapshot("s", "");
    let host = snapward::libvirt::connect(&root.uri(), Access::ReadOnly, None).expect("opened");
    let domain = guest.listed(host.as_ref());
    assert_eq!(host.snapshots(&domain).expect("listed").len(), 1);
}
