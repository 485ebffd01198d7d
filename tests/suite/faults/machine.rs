//! Faults of the machine, of its storage and of other hands, on the real driver: full and read-only filesystems, images
//! that cannot be read, files in the way, domains that somebody changed since the plan was made, and a clock that
//! jumps.

use std::fs;

use jiff::SignedDuration;
use snapward::model::outcome::{DomainResult, Outcome};
use snapward::model::plan::Plan;

use super::table::row;
use crate::support::chain::{Chain, linear, source};
use crate::support::cmd::snapward;
use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, actions, blocks, manifest, snapshot};
use crate::support::small_disk::SmallDisk;
use crate::support::tools::{self, text};

/// What is said of a domain that was not done.
#[track_caller]
fn told(outcome: &Outcome) -> String {
    let domain = &outcome.domains[0];
    assert_ne!(domain.result, DomainResult::Done, "{outcome:#?}");
    let texts = domain.actions.iter().map(|action| action.text.as_str()).chain([domain.text.as_str()]);
    texts.collect::<Vec<_>>().join("\n")
}

/// External snapshots of the disks of `vm`, present and absent.
fn external(present: &[&str], absent: &[&str]) -> String {
    crate::scenarios::external_deletions::wanted(present, absent)
}

fn internal(names: &[&str]) -> String {
    let all: String = names.iter().map(|name| snapshot(name, &[])).collect();
    manifest(&format!("  snapshots:\n{all}"))
}

#[test]
fn a_full_filesystem_under_an_overlay() {
    let root = EmbedRoot::new();
    let disk = SmallDisk::mount(&root.path().join("images"), "2m");
    let lab = Lab::new(&root);
    let mut chain = linear(&root, &["e1"]);
    lab.apply(&external(&["e1"], &[]));
    let yaml = external(&["e1"], &[]) + "    - {name: e2, capture: {content: disks, location: external}}\n";
    let planned = lab.plan(&yaml);
    assert_eq!(actions(&planned.plan), ["create e2"]);
    disk.fill();
    row("full, overlay").is_told(&told(&lab.carry_out(&planned)));
    chain.assert_intact();
    let next = lab.plan(&yaml).plan;
    row("full, overlay").ends(&next);
    disk.make_room();
    lab.apply(&yaml);
    lab.settled(&yaml);
    chain.note_capture("e2");
    chain.assert_intact();
    chain.assert_no_orphans();
}

#[test]
fn a_full_filesystem_under_a_capture_with_memory() {
    let root = EmbedRoot::new();
    let disk = SmallDisk::mount(&root.path().join("images"), "48m");
    let lab = Lab::new(&root);
    let mut chain = Chain::new(&root, "vm");
    chain.write();
    lab.apply(&internal(&["a"]));
    chain.note_capture("a");
    chain.guest.start_paused();
    let planned = lab.plan(&internal(&["a", "b"]));
    disk.fill();
    let said = told(&lab.carry_out(&planned));
    row("full, memory").is_told(&said);
    assert_eq!(chain.guest.snapshots(), ["a"]);
    assert!(chain.guest.is_active(), "the guest is there: {said}");
    chain.assert_intact();
    row("full, memory").ends(&lab.plan(&internal(&["a", "b"])).plan);
    disk.make_room();
    lab.apply(&internal(&["a", "b"]));
    lab.settled(&internal(&["a", "b"]));
    chain.note_capture("b");
    chain.assert_intact();
}

#[test]
fn a_full_filesystem_under_a_merge() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let base = root.path().join("images/base");
    let disk = SmallDisk::mount(&base, "4m");
    let guest = root.guest("vm").disk("vda", "qcow2", "64M").define();
    // The disk is on the small filesystem, its overlays are not.
    let image = base.join("vm-vda.qcow2");
    fs::copy(guest.vda(), &image).and_then(|_| fs::remove_file(guest.vda())).expect("moved");
    guest.redefine_with(text(&guest.vda()), text(&image));
    tools::qemu_io_write(&image, "qcow2", 1, 0, 65_536);
    let overlay = |name: &str| {
        let file = root.image(&format!("vm.{name}"));
        guest.try_disk_only(name, &format!("<disks><disk name='vda'><source file='{}'/></disk></disks>", text(&file)))
    };
    overlay("e1").expect("captured");
    tools::scatter(&source(&guest.xml(), "vda"), 20);
    overlay("e2").expect("captured");
    let last = 19 * 2 * 65_536;
    guest.start_paused();
    lab.apply(&external(&["e1", "e2"], &[]));
    let policy = "---\napiVersion: snapward/v1\nkind: SafetyPolicy\nmetadata: {name: default}\nspec: {freeSpace: {minPercent: 0}}\n";
    let yaml =
        external(&["e2"], &["e1"]).replace("  snapshots:\n", "  safety: {policyRef: default}\n  snapshots:\n") + policy;
    let planned = lab.plan(&yaml);
    assert_eq!(actions(&planned.plan), ["delete e1"]);
    disk.fill();
    row("full, merge").is_told(&told(&lab.carry_out(&planned)));
    let next = lab.plan(&yaml).plan;
    row("full, merge").ends(&next);
    // What was in e1's overlay is read through the chain as before.
    let holds = || {
        let active = source(&guest.xml(), "vda");
        tools::qemu_io_check_in_use(&active, 9, last, 512) && tools::qemu_io_check_in_use(&active, 9, 0, 512)
    };
    assert!(holds(), "nothing is lost");
    disk.make_room();
    lab.apply(&yaml);
    lab.settled(&yaml);
    assert_eq!(guest.snapshots(), ["e2"]);
    assert!(holds(), "nothing is lost");
}

/// Case X, by a filesystem that is full and by one that is read-only. Each run is a process of its own, as a restarted
/// libvirtd.
#[rstest::rstest]
#[case("full, metadata", SmallDisk::fill, SmallDisk::make_room)]
#[case("read-only, metadata", SmallDisk::read_only, SmallDisk::writable)]
fn metadata_that_cannot_be_written(#[case] key: &str, #[case] spoil: fn(&SmallDisk), #[case] repair: fn(&SmallDisk)) {
    let root = EmbedRoot::new();
    let chain = linear(&root, &["e0", "e1", "e2"]);
    let uri = root.uri();
    let run = |yaml: &str| snapward(["-c", &uri, "apply", "--yes", &root.file("lab.yaml", yaml)]).run();
    drop(run(&external(&["e0", "e1", "e2"], &[])).exits(0));
    let disk = SmallDisk::mount(&root.path().join("lib/qemu/snapshot/vm"), "128k");
    spoil(&disk);
    // A redefine of e1, then the deletion of e0, whose parent it would have been.
    let described = external(&["e1", "e2"], &["e0"]).replace("{name: e1, ", "{name: e1, description: other, ");
    let ran = run(&described);
    row(key).is_told(&ran.stdout);
    assert!(ran.code == Some(1) || ran.code == Some(5), "{ran}");
    repair(&disk);
    // libvirt reads the file again when it starts, as this process does.
    assert_eq!(chain.guest.snapshots(), ["e0", "e1", "e2"]);
    chain.assert_intact();
    let ran = run(&described).exits(0);
    assert!(ran.stdout.contains("deleted e0"), "{ran}");
    drop(run(&described).exits(0));
    assert_eq!(chain.guest.snapshots(), ["e1", "e2"]);
    chain.assert_intact();
    chain.assert_no_orphans();
}

#[test]
fn an_image_that_cannot_be_read() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let chain = linear(&root, &["e1", "e2", "e3"]);
    lab.apply(&external(&["e1", "e2", "e3"], &[]));
    let yaml = external(&["e1", "e3"], &["e2"]);
    let planned = lab.plan(&yaml);
    assert_eq!(actions(&planned.plan), ["delete e2"]);
    // A link onto itself: not even root can open it.
    let (image, aside) = (root.image("vm-vda.e1"), root.image("aside"));
    fs::rename(&image, &aside).expect("moved");
    std::os::unix::fs::symlink(&image, &image).expect("a link");
    row("unreadable image").is_told(&told(&lab.carry_out(&planned)));
    row("unreadable image").ends(&lab.plan(&yaml).plan);
    assert_eq!(chain.guest.snapshots(), ["e1", "e2", "e3"]);
    fs::remove_file(&image).expect("removed");
    fs::rename(&aside, &image).expect("moved back");
    chain.assert_intact();
    lab.apply(&yaml);
    lab.settled(&yaml);
    chain.assert_intact();
    chain.assert_no_orphans();
}

#[test]
fn an_overlay_that_is_there_already() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let mut chain = linear(&root, &["e1"]);
    lab.apply(&external(&["e1"], &[]));
    let yaml = external(&["e1"], &[]) + "    - {name: e2, capture: {content: disks, location: external}}\n";
    let planned = lab.plan(&yaml);
    let file = root.image("vm.vda.e2.qcow2");
    fs::write(&file, "somebody's").expect("written");
    row("overlay in the way").is_told(&told(&lab.carry_out(&planned)));
    row("overlay in the way").ends(&lab.plan(&yaml).plan);
    assert_eq!(fs::read_to_string(&file).expect("readable"), "somebody's");
    fs::remove_file(&file).expect("removed");
    lab.apply(&yaml);
    lab.settled(&yaml);
    chain.note_capture("e2");
    chain.assert_intact();
}

/// Somebody else's hand in the domain after the plan was made.
#[rstest::rstest]
#[case("undefined")]
#[case("renamed")]
#[case("reverted")]
#[case("started")]
fn a_domain_that_somebody_changed_since_the_plan(#[case] how: &str) {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let mut chain = linear(&root, &["e1", "e2"]);
    lab.apply(&external(&["e1", "e2"], &[]));
    let yaml = external(&["e2"], &["e1"]);
    let planned = lab.plan(&yaml);
    assert_eq!(actions(&planned.plan), ["delete e1"]);
    let definition = chain.guest.xml();
    let saved = ["e1", "e2"].map(|name| chain.guest.snapshot_xml(name));
    match how {
        "undefined" => chain.guest.undefine(),
        "renamed" => drop(Chain::known(&root, "vm").guest.rename("other")),
        "reverted" => chain.revert("e1"),
        _ => chain.guest.start_paused(),
    }
    row(how).is_told(&told(&lab.carry_out(&planned)));
    let next = lab.plan(&yaml).plan;
    row(how).ends(&next);
    match how {
        "undefined" => {
            drop(root.hold().define_domain_xml(&definition).expect("defined again"));
            for xml in saved {
                chain.guest.restore_snapshot(&xml);
            }
            chain.guest.set_current("e2");
        }
        "renamed" => drop(crate::support::guest::Guest::named(&root, "other").rename("vm")),
        _ => {}
    }
    chain.assert_intact();
    let planned = lab.plan(&yaml);
    let outcome = lab.carry_out(&planned);
    assert!(outcome.domains.iter().all(|domain| domain.result == DomainResult::Done), "{outcome:#?}");
    lab.settled(&yaml);
    chain.assert_intact();
}

/// A clock that was wrong for a while: what was captured then is not deleted for it, and no slot after it is lost.
#[test]
fn a_clock_that_jumps_ahead_and_back() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let mut chain = Chain::new(&root, "vm");
    chain.write();
    let series = manifest(
        "  series:\n    - name: hourly\n      schedule: {cron: '0 * * * *'}\n      capture: {content: full, location: internal}\n      \
         prune: true\n      retention: {spec: {keep: {last: 3}, maximumAge: 30d}}\n",
    );
    let desired = Lab::load(&series);
    let start = lab.now().round(jiff::Unit::Hour).expect("an hour") - SignedDuration::from_hours(3);
    let run = |at: SignedDuration| {
        let planned = lab.plan_at(&desired, start + at);
        let outcome = lab.carry_out(&planned);
        assert!(outcome.domains.iter().all(|domain| domain.result == DomainResult::Done), "{outcome:#?}");
        planned.plan
    };
    let hours = SignedDuration::from_hours;
    for n in 0..3 {
        run(hours(n));
    }
    let before = chain.guest.snapshots();
    assert_eq!(before.len(), 3);
    before.iter().for_each(|name| chain.note_capture(name));
    // Two years ahead, for one run: every one of them is older than the maximum.
    let far = hours(2 * 365 * 24);
    let slot = format!("lab-hourly-{}", (start + far).strftime("%Y%m%dT%H%M%SZ"));
    let ahead = run(far);
    assert_eq!(actions(&ahead), [format!("create {slot}")], "nothing goes: {:?}", ahead.blocked);
    row("clock ahead").is_told(&why(&ahead));
    chain.note_capture(&slot);
    chain.assert_intact();
    // Back again: the newest slot is of a time to come.
    let back = run(hours(3));
    row("clock back").is_told(&why(&back));
    assert_eq!((actions(&back), blocks(&back)), (vec![], vec![format!("Clock {slot}")]));
    chain.assert_intact();
    // What it says is done.
    chain.guest.delete_snapshot(&slot);
    let next = run(hours(3));
    assert!(actions(&next)[0].starts_with("create "), "the slot is taken: {:?}", actions(&next));
    let last = lab.plan_at(&desired, start + hours(3)).plan;
    assert_eq!((actions(&last), blocks(&last)), (vec![], vec![]));
    chain.note_capture(&chain.guest.current());
    chain.assert_intact();
    // Ahead of the time by less than a slot, and a little back: no slot is taken twice.
    run(hours(4));
    let again = run(hours(4) - SignedDuration::from_mins(3));
    assert_eq!(actions(&again), Vec::<String>::new(), "{:?}", blocks(&again));
}

/// Why something of a plan is blocked, and what to do about it.
fn why(plan: &Plan) -> String {
    plan.blocked.iter().map(|item| format!("{}. To go on: {}\n", item.text, item.way_out)).collect()
}
