//! Series of external snapshots: two weeks on a running domain, with a revert by hand in the middle; and runs that end anywhere.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use snapward::model::plan::{ActionKind, Plan, ReasonCode};

use super::series::{ZONE, covers};
use crate::support::chain::{backing_chain, source};
use crate::support::embed::EmbedRoot;
use crate::support::guest::{Guest, bytes};
use crate::support::lab::{Lab, actions, blocks, manifest};
use crate::support::monitor::{self, Monitor};
use crate::support::tools::{run, text};

/// One cluster of qcow2, so that what each pass writes is somewhere in the chain by itself.
const PAGE: usize = 65_536;
/// How much of a page is written: the rest of the cluster must stay as it was.
const WRITTEN: usize = 4096;
const DISK: usize = 8 << 20;

/// The passes whose writes a disk holds, in order.
type History = Vec<u8>;

/// Brings the disk on by one pass: the first page and one of the pass's own are filled with its number.
fn write(monitor: &mut Monitor, history: &mut History, pass: u8) {
    history.push(pass);
    for page in [0, u64::from(pass)] {
        monitor.write(pass, page * PAGE as u64, WRITTEN as u64);
    }
}

/// What a disk of that history holds, every byte of it.
fn content(history: &History) -> Vec<u8> {
    let mut disk = vec![0; DISK];
    let mut fill = |page: usize, with: u8| disk[page * PAGE..][..WRITTEN].fill(with);
    for pass in history {
        fill(usize::from(*pass), *pass);
    }
    history.last().into_iter().for_each(|pass| fill(0, *pass));
    disk
}

/// A domain with a series of external snapshots, and what each of them must hold.
struct Course<'a> {
    root: &'a EmbedRoot,
    guest: Guest<'a>,
    zone: TimeZone,
    /// By slot: the snapshot's name.
    captured: BTreeMap<Timestamp, (String, usize)>,
    /// By name: what its disk held.
    histories: BTreeMap<String, History>,
    /// The snapshots that there must be.
    expected: BTreeSet<String>,
    /// What the disk holds now.
    now: History,
}

impl Course<'_> {
    /// Notes what a plan did that was carried out in that pass.
    fn note(&mut self, plan: &Plan, pass: usize) {
        for action in &plan.actions {
            let name = action.address.snapshot.as_ref().expect("a snapshot").to_string();
            match action.action {
                ActionKind::Create => {
                    let slot = name.strip_prefix("lab-four-hourly-").expect("its name");
                    let slot: Timestamp = slot.parse().unwrap_or_else(|error| panic!("{slot}: {error}"));
                    assert_eq!(self.captured.insert(slot, (name.clone(), pass)), None, "{slot} twice");
                    self.histories.insert(name.clone(), self.now.clone());
                    self.expected.insert(name);
                }
                ActionKind::Delete => assert!(self.expected.remove(&name), "{name} was there"),
                other => panic!("{other:?} of {name}"),
            }
        }
    }

    /// The images that the disk and the snapshots stand on.
    fn files_in_use(&self) -> BTreeSet<String> {
        let frozen = self.expected.iter().map(|name| source(&self.guest.snapshot_xml(name), "vda"));
        let tops = frozen.chain([source(&self.guest.xml(), "vda")]);
        tops.flat_map(|top| backing_chain(&top)).collect()
    }

    fn holds(&self, image: &std::path::Path, history: &History) -> bool {
        let copy = self.root.path().join("copy.raw");
        run("qemu-img", &["convert", "-U", "-O", "raw", text(image), text(&copy)]);
        bytes(&copy) == content(history)
    }

    /// Nothing is lost, nothing deleted remains, no file is left over.
    fn check(&self) {
        let listed: BTreeSet<String> = self.guest.snapshots().into_iter().collect();
        assert_eq!(listed, self.expected);
        for name in &self.expected {
            let frozen = source(&self.guest.snapshot_xml(name), "vda");
            assert!(self.holds(&frozen, &self.histories[name]), "{name} holds something else");
        }
        assert!(self.holds(&source(&self.guest.xml(), "vda"), &self.now), "the disk holds something else");
        let images: BTreeSet<String> = self.root.images().into_iter().collect();
        assert_eq!(images, self.files_in_use(), "the images beside those in use");
        covers(&self.captured, &self.expected, &self.zone, &[("%Y%m%d %H %z", 6), ("%Y%m%d", 4)]);
    }
}

#[test]
fn two_weeks_of_external_snapshots_on_a_running_domain_survive_a_revert_by_hand() {
    const LIMIT: usize = 20;
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let socket = root.path().join("vm.qmp");
    let guest = root.guest("vm").disk("vda", "qcow2", "8M").head(&monitor::xml(&socket)).define();
    guest.start();
    let mut monitor = Monitor::open(&socket);
    let yaml = manifest(&format!(
        "  series:\n    - name: four-hourly\n      schedule: {{cron: '0 */4 * * *', timeZone: {ZONE}}}\n      capture: {{content: \
         disks, location: external}}\n      prune: true\n      retention: {{spec: {{timeZone: {ZONE}, keep: {{last: 6, daily: \
         4}}}}}}\n"
    ));
    let desired = Lab::load(&yaml);

    // Around the change of the clocks in the next year: the slots lie ahead of libvirt's own clock, as they must.
    let zone = TimeZone::get(ZONE).expect("a zone");
    let year = zone.to_datetime(lab.now()).year() + 1;
    let start = jiff::civil::date(year, 3, 21).at(0, 5, 0, 0).to_zoned(zone.clone()).expect("a time").timestamp();
    let mut course = Course {
        root: &root,
        guest,
        zone,
        captured: BTreeMap::new(),
        histories: BTreeMap::new(),
        expected: BTreeSet::new(),
        now: History::new(),
    };
    const PASSES: usize = 14 * 6;
    let (mut held_once, mut dead) = (BTreeSet::new(), BTreeSet::new());
    for pass in 1..=PASSES {
        let now = start + SignedDuration::from_hours(4) * i32::try_from(pass).expect("few");
        write(&mut monitor, &mut course.now, u8::try_from(pass).expect("fewer passes"));
        let planned = lab.plan_at(&desired, now);
        assert_eq!(blocks(&planned.plan), Vec::<String>::new(), "{now}");
        let outcome = lab.carry_out(&planned);
        assert_eq!(outcome.summary.failed, 0, "{now}: {outcome:#?}");
        course.note(&planned.plan, pass);
        for kept in planned.plan.kept.iter().filter(|kept| kept.reason.code == ReasonCode::Tree) {
            let name = kept.address.snapshot.as_ref().expect("a snapshot").to_string();
            let text = &kept.reason.text;
            let names_another = course.expected.iter().any(|other| *other != name && text.contains(other.as_str()));
            assert!(names_another && text.contains("first"), "{now}: who holds it, and what must go first: {text}");
            held_once.insert(name);
        }
        let images = backing_chain(&source(&course.guest.xml(), "vda")).len();
        assert!(images <= LIMIT, "{now}: {images} images in the chain");
        if pass % 24 == 0 || pass == PASSES {
            course.check();
            assert_eq!(actions(&lab.plan_at(&desired, now).plan), Vec::<String>::new(), "{now}: settled");
        }
        if pass == PASSES / 2 {
            // To one of two days ago, as a user would who knows nothing of snapward; what came after it becomes a branch.
            let target = course.expected.iter().nth_back(7).expect("so many").clone();
            course.guest.revert(&target);
            dead.extend(course.expected.iter().filter(|name| **name > target).cloned());
            course.now = course.histories[&target].clone();
            course.check();
            course.guest.start();
            monitor = Monitor::open(&socket);
        }
    }
    assert_eq!(course.captured.len(), PASSES, "one per run");
    assert!(dead.intersection(&held_once).count() > 0, "the tree held nothing: {held_once:?} of {dead:?}");
    assert_eq!(held_once.intersection(&course.expected).count(), 0, "what was held went once it could");
    assert_eq!(dead.intersection(&course.expected).count(), 0, "the branch is gone");
    assert_eq!(course.expected.len(), 10, "what the policy wants: {:?}", course.expected);
    assert_eq!(lab.plan_at(&desired, start).plan.domains[0].state.as_str(), "running");
}
