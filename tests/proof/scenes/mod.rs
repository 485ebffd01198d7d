//! Scenes: hosts that are set up on purpose, each for something that random hosts seldom come to. Every scene is played with
//! seeds, which choose what is of no matter to it; the promises are those of all cases.

mod chains;
mod keeping;
mod kinds;
mod manifests;
mod neighbours;
mod pointers;

use std::sync::MutexGuard;

use snapward::host::{RedefineRequest, RevertRequest};
use snapward::model::kinds::Power;
use snapward::model::names::{DomainUuid, SnapshotName};
use snapward::model::observed::RunState;

use super::bench::load;
use super::cases::{BEGIN, Case};
use super::hands::{Hands, disk};
use super::model::{Domain, Part, Random, Record, Spec, World};
use super::wish::{Revert, Safety, Series, Set, Snapshot, Wish};

/// Times each scene is played; `SNAPWARD_SCENES` asks for other seeds.
const SEEDS: u64 = 6;

type Kept = Result<(), String>;

/// What a scene is called, and how it is played.
type Scene = (&'static str, fn(&mut Stage) -> Kept);

/// A host with the domains `vm1`, which is what manifests choose, and `other`, which none does.
struct Stage {
    case: Case,
    random: Random,
    hands: Hands,
    /// What the disks of `vm1` are called.
    targets: &'static [&'static str],
    /// What was done, for a person who looks for the reason of a failure.
    log: Vec<String>,
}

/// A snapshot's name.
fn name(text: &str) -> SnapshotName {
    SnapshotName::observed(text)
}

impl Stage {
    fn new(seed: u64, locks: &std::path::Path) -> Self {
        let mut random = Random::new(seed);
        let targets: &[&str] = if random.percent(50) { &["vda", "vdb"] } else { &["vda"] };
        let mut world = World::new(BEGIN);
        for (number, domain, targets) in [(1_u128, "vm1", targets), (2, "other", &["vda"])] {
            let image = |target: &&str| {
                let path = format!("/images/{domain}-{target}.qcow2");
                world.storage.make(&path, "qcow2", None);
                disk(target, &path, "qcow2")
            };
            let disks = targets.iter().map(image).collect();
            world.define(domain, DomainUuid(uuid::Uuid::from_u128(number)), disks);
        }
        let case = Case::on(world, Hands::resting(seed), locks);
        Self { case, random, hands: Hands::resting(seed), targets, log: Vec::new() }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.case.bench.model.world()
    }

    /// The domain `vm1`.
    fn vm<T>(&self, with: impl FnOnce(&mut Domain) -> T) -> T {
        with(self.world().domains.get_mut("vm1").expect("defined"))
    }

    fn record<T>(&self, snapshot: &str, with: impl FnOnce(&mut Record) -> T) -> T {
        self.vm(|vm| with(vm.snapshots.get_mut(&name(snapshot)).expect("listed")))
    }

    /// The image that a disk of `vm1` is on.
    fn active(&self, target: &str) -> String {
        let world = self.world();
        world.domains["vm1"].definition.disk(target).and_then(|disk| disk.source.clone()).expect("it has an image")
    }

    /// The image that a snapshot froze.
    fn base(&self, snapshot: &str, target: &str) -> String {
        self.record(snapshot, |record| {
            record.definition.as_ref().and_then(|kept| kept.disk(target)?.source.clone()).expect("it has an image")
        })
    }

    /// Puts a disk of `vm1` on another image.
    fn put_on(&mut self, target: &str, path: String) {
        self.vm(|vm| vm.definition.disk_mut(target).expect("there").source = Some(path));
    }

    fn start(&mut self) {
        let state = if self.random.percent(70) { RunState::Running } else { RunState::Paused };
        self.log.push(format!("start {state:?}"));
        self.world().start("vm1", state).expect("it starts");
    }

    /// Starts `vm1` or does not.
    fn start_or_not(&mut self) {
        if self.random.percent(50) {
            self.start();
        }
    }

    /// What the guest and its neighbours write.
    fn write(&mut self) {
        for domain in ["vm1", "other"] {
            self.hands.write(&mut self.case.bench.model.world(), domain);
        }
    }

    /// A capture by hand: external, of these disks.
    fn capture_of(&mut self, snapshot: &str, targets: &[&str], memory: Option<&str>) {
        self.write();
        let mut world = self.case.bench.model.world();
        world.now += 60;
        let domain = &world.domains["vm1"];
        let part = |target: &str| match targets.contains(&target) {
            true => Part::File(format!("/images/vm1.{target}.{snapshot}")),
            false => Part::No,
        };
        let spec = Spec {
            name: name(snapshot),
            description: "by hand".to_owned(),
            memory: memory.map_or(Part::No, |file| Part::File(file.to_owned())),
            disks: domain.definition.disks.iter().map(|disk| (disk.target.clone(), part(&disk.target))).collect(),
            disk_only: domain.state.is_active() && memory.is_none(),
            reuse: false,
            halt: false,
            no_metadata: false,
        };
        world.create("vm1", &spec).unwrap_or_else(|refusal| panic!("capture {snapshot}: {}", refusal.text));
        drop(world);
        self.log.push(format!("capture {snapshot} of {targets:?}, memory {memory:?}"));
        self.write();
    }

    /// External captures by hand of all disks, one after the other.
    fn capture(&mut self, snapshots: &[&str]) {
        for snapshot in snapshots {
            self.capture_of(snapshot, self.targets, None);
        }
    }

    /// Internal captures by hand.
    fn capture_internal(&mut self, snapshots: &[&str]) {
        for snapshot in snapshots {
            self.write();
            let mut world = self.case.bench.model.world();
            world.now += 60;
            let domain = &world.domains["vm1"];
            let spec = Spec {
                name: name(snapshot),
                description: "by hand".to_owned(),
                memory: if domain.state.is_active() { Part::Internal } else { Part::No },
                disks: domain.definition.disks.iter().map(|disk| (disk.target.clone(), Part::Internal)).collect(),
                disk_only: false,
                reuse: false,
                halt: false,
                no_metadata: false,
            };
            world.create("vm1", &spec).unwrap_or_else(|refusal| panic!("capture {snapshot}: {}", refusal.text));
        }
        self.log.push(format!("capture {snapshots:?} internally"));
        self.write();
    }

    /// Goes back to a snapshot by hand.
    fn revert(&mut self, snapshot: &str) {
        let mut world = self.case.bench.model.world();
        world.now += 60;
        let request = RevertRequest { power: Power::AsCaptured, force: true, reset_nvram: false };
        world.revert("vm1", &name(snapshot), request).unwrap_or_else(|refusal| panic!("{}", refusal.text));
        world.now += 1;
        drop(world);
        self.log.push(format!("revert to {snapshot}"));
        self.write();
    }

    fn redefine(&mut self, snapshot: &str, request: &RedefineRequest) {
        let record = self.record(snapshot, |record| record.clone());
        let done = self.world().redefine("vm1", &record, request);
        self.log.push(format!("redefine {snapshot} {request:?}: {done:?}"));
    }

    fn set_current(&mut self, snapshot: &str) {
        self.redefine(snapshot, &RedefineRequest { make_current: true, ..RedefineRequest::default() });
    }

    fn set_parent(&mut self, snapshot: &str, parent: Option<&str>) {
        let parent = Some(parent.map(name));
        self.redefine(snapshot, &RedefineRequest { parent, ..RedefineRequest::default() });
    }

    /// Makes an image on another, with content of its own; a full one where it stands on none.
    fn image(&mut self, path: &str, on: Option<&str>, empty: bool) {
        let mut world = self.case.bench.model.world();
        world.storage.make(path, "qcow2", on);
        if !empty {
            world.storage.get_mut(path).expect("made").pages.insert(0, 1_000_000);
        }
        drop(world);
        self.log.push(format!("make {path} on {on:?}, empty {empty}"));
    }

    /// Runs snapward with these manifests until nothing is left to do.
    fn run(&mut self, wish: &Wish) -> Kept {
        let yaml = wish.yaml();
        let desired = load(&yaml).ok_or_else(|| format!("manifests in error:\n{yaml}"))?;
        let settled = self.case.settle(wish, &desired);
        self.world().now += 3600;
        settled.map_err(|what| format!("{what}\nmanifests:\n{yaml}\nother hands:\n  {}", self.log.join("\n  ")))
    }

    /// Has the set take all snapshots over.
    fn adopt(&mut self) -> Kept {
        self.run(&Wish::of_deletions())
    }

    /// Has these deleted, with all else that can vary.
    fn delete(&mut self, snapshots: &[&str], trust: bool) -> Kept {
        self.run(&deletions(snapshots, trust))
    }

    /// Has one or two of these deleted, or goes back to one, or captures another; three times.
    fn anything(&mut self, snapshots: &[&'static str], trust: bool) -> Kept {
        for _ in 0..3 {
            let one = *self.random.pick(snapshots).expect("some");
            let two = *self.random.pick(snapshots).expect("some");
            match self.random.below(10) {
                0..4 => self.delete(&[one], trust)?,
                4..6 => self.delete(&[one, two], trust)?,
                6..8 => {
                    let wish = self.reverting(one, trust);
                    self.run(&wish)?;
                }
                _ => self.run(&capturing("patched", trust))?,
            }
            self.write();
        }
        Ok(())
    }

    fn reverting(&mut self, to: &'static str, trust: bool) -> Wish {
        let now = self.world().now;
        let token = format!("t{now}");
        let keep = self.random.below(2);
        let revert = Revert {
            name: "reset",
            domains: &["vm1"],
            to,
            token,
            expires: now + 360_000,
            power: "asCaptured",
            keep,
            force: true,
        };
        Wish { reverts: vec![revert], ..deletions(&[], trust) }
    }
}

/// A set of this name for `vm1`.
fn set(name: &'static str, snapshots: Vec<Snapshot>) -> Set {
    Set { name, domains: &["vm1"], snapshots, ..Set::default() }
}

fn wish(sets: Vec<Set>) -> Wish {
    Wish { sets, reverts: Vec::new() }
}

/// An internal series of which the newest one stays.
fn hourly() -> Series {
    Series {
        name: "hourly",
        content: "full",
        cron: "0 * * * *",
        absent: false,
        prune: true,
        last: 1,
        hourly: 0,
        within_hours: None,
        minimum_age_hours: None,
        minimum_count: 1,
    }
}

/// Manifests that adopt everything and delete these.
fn deletions(snapshots: &[&str], trust: bool) -> Wish {
    let mut wish = Wish::of_deletions();
    for declared in &mut wish.sets[0].snapshots {
        declared.absent = snapshots.contains(&declared.name);
    }
    wish.sets[0].safety = trust.then(|| Safety { trust, ..Safety::default() });
    wish
}

/// Manifests that adopt everything and capture one more.
fn capturing(snapshot: &str, trust: bool) -> Wish {
    let mut wish = deletions(&[], trust);
    wish.sets[0].external = true;
    for declared in wish.sets[0].snapshots.iter_mut().filter(|declared| declared.name == snapshot) {
        declared.only_adopted = false;
    }
    wish
}

/// A snapshot that is declared, and how else it is.
fn declared(name: &'static str, with: impl FnOnce(&mut Snapshot)) -> Snapshot {
    let mut snapshot = Wish::of_deletions().sets.remove(0).snapshots.remove(0);
    snapshot.name = name;
    snapshot.only_adopted = false;
    with(&mut snapshot);
    snapshot
}

/// Plays all scenes with each seed.
#[test]
fn the_promises_hold_in_every_scene() {
    let range = std::env::var("SNAPWARD_SCENES").ok();
    let seeds = match range.as_ref().and_then(|range| range.split_once("..")) {
        Some((from, to)) => from.parse().expect("a number")..to.parse().expect("a number"),
        None => 0..SEEDS,
    };
    let only = std::env::var("SNAPWARD_SCENE").ok();
    let locks = tempfile::tempdir().expect("a directory");
    let all = [chains::SCENES, keeping::SCENES, kinds::SCENES, pointers::SCENES, neighbours::SCENES, manifests::SCENES];
    for seed in seeds {
        for (scene, play) in all.into_iter().flatten().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name))
        {
            let mut stage = Stage::new(seed, locks.path());
            if let Err(what) = play(&mut stage) {
                panic!("scene {scene}, seed {seed}: {what}");
            }
        }
    }
}
