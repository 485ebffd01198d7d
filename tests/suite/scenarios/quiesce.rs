//! Filesystem-consistent captures of a running guest with a real agent: frozen for the capture, and thawed whatever becomes
//! of it. One boot serves for all phases: it takes seconds of a core.

use snapward::model::act::{Act, CaptureSpec};
use snapward::model::kinds::{Capture, Consistency};
use snapward::model::names::SnapshotName;
use snapward::model::outcome::DomainResult;
use snapward::model::plan::Plan;
use snapward::observe::{self, Interest};
use snapward::plan::chain::Neighbours;
use snapward::plan::order::{self, CaptureOrder, Scene};

use crate::support::chain::source;
use crate::support::embed::EmbedRoot;
use crate::support::gate::wait_until;
use crate::support::lab::{Lab, Planned, blocks, set};
use crate::support::linux::LinuxGuest;
use crate::support::tools::{run, text};

/// A set that wants this snapshot of the guest's disks, of this consistency, beside those that are there.
fn wants(name: &str, consistency: &str, more: &str) -> String {
    set(
        "lab",
        &format!(
            "  domains: {{include: [linux]}}\n  snapshots:\n    - name: {name}\n      capture: {{content: disks, location: \
             external, consistency: {consistency}{more}}}"
        ),
    )
}

/// The level that the snapshot's stamp says was reached.
fn level(linux: &LinuxGuest<'_>, name: &str) -> String {
    let xml = linux.guest.snapshot_xml(name);
    let (_, rest) = xml.split_once("Snapward-Consistency: ").expect("a level");
    rest.split(['\n', '<']).next().expect("a word").to_owned()
}

/// Whether the captured filesystem has to be recovered by its journal, as after a power cut.
fn needs_recovery(root: &EmbedRoot, linux: &LinuxGuest<'_>, name: &str) -> bool {
    let raw = root.path().join("captured.raw");
    let frozen = source(&linux.guest.snapshot_xml(name), "vda");
    run("qemu-img", &["convert", "-U", "-O", "raw", text(&frozen), text(&raw)]);
    run("dumpe2fs", &["-h", text(&raw)]).contains("needs_recovery")
}

fn first_block(plan: &Plan) -> &str {
    &plan.blocked.first().expect("blocked").text
}

/// What `snapshot create NAME --disk-only --quiesce` would do.
fn ordered(lab: &Lab<'_>, linux: &LinuxGuest<'_>, name: &str) -> Planned {
    let name = SnapshotName::parse(name).expect("a name");
    let host = lab.host();
    let wanted = Interest { declared: [&name].into(), external: true, ..Interest::default() };
    let domain = observe::observe_domain(host.as_ref(), &linux.guest.listed(host.as_ref()), &wanted).expect("readable");
    let info = lab.target(host).info;
    let scene = Scene { host: &info, domain: &domain, neighbours: Neighbours::read(&[], &[]), now: lab.now() };
    let capture = order::resolve(&CaptureSpec::default(), true, &domain).expect("possible");
    let order = CaptureOrder {
        name,
        description: String::new(),
        capture: Capture { consistency: Consistency::Filesystem, ..capture },
        reuse: false,
        act: Act::default(),
    };
    Planned { plan: order::create(&scene, &order).expect("planned") }
}

#[test]
fn a_guest_is_frozen_for_the_capture_and_never_left_so() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let linux = LinuxGuest::define(&root, "linux");
    linux.boot();

    // As after a power cut: the journal has to be played back.
    lab.apply(&wants("cut", "crash", ""));
    assert_eq!((level(&linux, "cut").as_str(), linux.freezes_and_thaws()), ("crash", (0, 0)));
    assert!(needs_recovery(&root, &linux, "cut"));

    // Frozen: it does not, and the guest saw it and goes on.
    let outcome = lab.carry_out(&lab.plan(&wants("clean", "filesystem", "")));
    let done = &outcome.domains[0];
    assert_eq!(done.result, DomainResult::Done, "{outcome:#?}");
    assert!(done.actions[0].text.contains("1 filesystem was frozen"), "{}", done.actions[0].text);
    assert_eq!((level(&linux, "clean").as_str(), linux.freezes_and_thaws()), ("filesystem", (1, 1)));
    assert!(!needs_recovery(&root, &linux, "clean"));
    assert!(!linux.is_frozen());

    // Ordered by hand: frozen and thawed in the same way. It is nobody's, so nothing is stamped.
    let outcome = lab.carry_out(&ordered(&lab, &linux, "by-hand"));
    let told = &outcome.domains[0].actions[0].text;
    assert!(told.contains("1 filesystem was frozen"), "{outcome:#?}");
    assert_eq!(linux.freezes_and_thaws(), (2, 2));
    assert!(!linux.guest.snapshot_xml("by-hand").contains("Snapward-"));
    assert!(!needs_recovery(&root, &linux, "by-hand"));

    // A capture that fails: thawed all the same.
    let nowhere = ", disks: [{target: vda, location: external, file: /no/such/directory/vda.qcow2}]";
    let outcome = lab.carry_out(&lab.plan(&wants("nowhere", "filesystem", nowhere)));
    assert_eq!(outcome.domains[0].result, DomainResult::Failed, "{outcome:#?}");
    assert_eq!(linux.freezes_and_thaws(), (3, 3));
    assert!(!linux.is_frozen());

    // Frozen by somebody else: not ours to thaw.
    let host = lab.host();
    host.freeze(&linux.guest.listed(host.as_ref())).expect("frozen");
    let outcome = lab.carry_out(&lab.plan(&wants("theirs", "filesystem", "")));
    let told = &outcome.domains[0].actions[0].text;
    assert!(told.contains("nothing was captured"), "{told}");
    assert!(linux.is_frozen());
    let outcome = lab.carry_out(&lab.plan(&wants("theirs", "filesystemIfAgent", "")));
    assert_eq!(outcome.domains[0].result, DomainResult::Done, "{outcome:#?}");
    assert_eq!(level(&linux, "theirs"), "crash");
    assert!(linux.is_frozen());
    host.thaw(&linux.guest.listed(host.as_ref())).expect("thawed");

    // Paused, it can freeze nothing.
    linux.guest.pause();
    let plan = lab.plan(&wants("paused", "filesystem", "")).plan;
    assert_eq!(blocks(&plan), ["WrongState paused"]);
    assert!(first_block(&plan).contains("paused"), "{}", first_block(&plan));
    linux.guest.resume();

    // An agent that is there and does not answer, for a while.
    linux.run("kill -STOP $(pidof qemu-ga); echo agent-hangs > /dev/ttyS0");
    linux.await_word("agent-hangs");
    let outcome = lab.carry_out(&lab.plan(&wants("hung", "filesystem", "")));
    let told = &outcome.domains[0].actions[0].text;
    assert!(told.contains("nothing was captured"), "{told}");
    assert!(!linux.is_frozen());

    // No agent at all.
    linux.run("touch /run/no-agent; kill -KILL $(pidof qemu-ga)");
    wait_until("the agent is gone", || {
        blocks(&lab.plan(&wants("absent", "filesystem", "")).plan) == ["NotPossible absent"]
    });
    lab.apply(&wants("absent", "filesystemIfAgent", ""));
    assert_eq!(level(&linux, "absent"), "crash");
}
