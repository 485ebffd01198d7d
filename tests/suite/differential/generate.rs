//! Chooses the next call of a sequence from what the model has, so that all kinds of outcome come often.

use snapward::model::kinds::Power;
use snapward::model::names::SnapshotName;
use snapward::model::observed::RunState;

use super::model::{Domain, Part, Random, World};
use super::op::{Kind, Op, file};

/// What a sequence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Internal,
    External,
    Mixed,
}

/// How a call ends, as far as the test tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Done,
    /// Done, and something that was captured, or what the disks held, is lost.
    Harm,
    Refused,
    /// Refused or failed, and something changed.
    Halfway,
    /// It kills the driver; not sent to the real one.
    Crash,
}

/// A stopped domain merges in two seconds; a sequence does it once at most.
pub(super) struct Generator {
    pub(super) random: Random,
    pub(super) family: Family,
    merges: usize,
    made: usize,
    written: u32,
}

/// How many calls one is chosen from.
const CANDIDATES: usize = 32;

/// How much a call is wanted: what it shows against what it costs.
fn weight(op: &Op, outcome: Outcome) -> usize {
    match (op, outcome) {
        (Op::Revert(..), Outcome::Halfway) | (_, Outcome::Crash) => 4000,
        (Op::Revert(..) | Op::Delete(_), Outcome::Harm) => 1500,
        (_, Outcome::Harm | Outcome::Halfway) => 80,
        (Op::Create { kind: Kind::Disks, .. }, Outcome::Refused) => 10,
        (Op::Create { .. } | Op::Revert(..) | Op::Stop | Op::Forget(_), Outcome::Refused) => 20,
        (Op::Describe(..), Outcome::Refused) => 20,
        (_, Outcome::Refused) => 5,
        (Op::LoseMemory(_), Outcome::Done) => 40,
        // These start or stop a QEMU.
        (Op::Revert(..) | Op::Stop, Outcome::Done) => 5,
        (_, Outcome::Done) => 10,
    }
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let family = random.weighted(&[(20, Family::Internal), (55, Family::External), (25, Family::Mixed)]);
        // One sequence in five merges in a stopped domain.
        let merges = usize::from(random.percent(20));
        Self { random, family, merges, made: 0, written: 0 }
    }

    /// How many disks the next domain has, and in which format the second is.
    pub(super) fn disks(&mut self) -> &'static [(&'static str, &'static str)] {
        self.random.weighted(&[
            (60, &[("vda", "qcow2")][..]),
            (35, &[("vda", "qcow2"), ("vdb", "qcow2")]),
            (5, &[("vda", "qcow2"), ("vdb", "raw")]),
        ])
    }

    /// The number of the next write.
    pub(super) fn number(&mut self) -> u32 {
        self.written += 1;
        self.written
    }

    /// Of several calls the one whose outcome is rare, mostly: else most calls would just be done.
    pub(super) fn next(&mut self, world: &World, name: &str) -> Op {
        let candidates: Vec<(usize, Op)> = (0..CANDIDATES)
            .filter_map(|_| {
                let op = self.any(world, name);
                if self.merges == 0 && self.is_dear(world, name, &op) {
                    return None;
                }
                let mut after = world.clone();
                after.now += 1;
                let done = super::act(&mut after, name, &op, self.written + 1).is_ok();
                Some((weight(&op, outcome(world, &after, name, &op, done)), op))
            })
            .collect();
        let weighted: Vec<_> = candidates.iter().enumerate().map(|(at, (weight, _))| (*weight, at)).collect();
        let op = match weighted.is_empty() {
            true => Op::Start,
            false => candidates[self.random.weighted(&weighted)].1.clone(),
        };
        self.merges -= usize::from(self.is_dear(world, name, &op));
        self.made += usize::from(matches!(op, Op::Create { .. }));
        op
    }

    /// Whether a QEMU is started for a deletion alone.
    fn is_dear(&self, world: &World, name: &str, op: &Op) -> bool {
        let domain = &world.domains[name];
        let Op::Delete(snapshot) = op else { return false };
        let Some(record) = domain.snapshots.get(snapshot) else { return false };
        let merges = domain.current.as_ref() == Some(snapshot) || !domain.children(snapshot).is_empty();
        !domain.state.is_active() && record.is_external() && merges && world.clone().delete(name, snapshot).is_ok()
    }

    fn any(&mut self, world: &World, name: &str) -> Op {
        let domain = &world.domains[name];
        let broken = world.disks(name).values().any(Result::is_err);
        let names: Vec<&SnapshotName> = domain.snapshots.keys().collect();
        let active = domain.state.is_active();
        let some = names.len().min(4);
        let choice = self.random.weighted(&[
            // QEMU dies of a write to images that wait, and a tool opens no broken chain.
            (if domain.images_wait.is_some() || broken { 0 } else { 14 }, 0),
            (if names.len() < 6 { 26 } else { 4 }, 1),
            (7 * some, 2),
            (4 * some, 3),
            (some, 4),
            (2 * some, 5),
            (some, 6),
            (2 * some, 7),
            (some, 8),
            (2, 9),
            (if active { 5 } else { 11 }, 10),
            (if active { 3 } else { 1 }, 11),
            (3, 12),
            (some, 13),
        ]);
        let mut pick = || (*self.random.pick(&names).expect("asked for only where there are some")).clone();
        match choice {
            0 => Op::Write,
            1 => self.create(domain),
            2 => Op::Delete(pick()),
            3 => Op::Revert(pick(), self.power()),
            4 => Op::Forget(pick()),
            5 => Op::SetCurrent(pick()),
            6 => Op::Describe(pick(), format!("text {}", self.random.below(9))),
            7 => {
                let (of, to) = (pick(), pick());
                Op::Reparent(of, Some(to).filter(|_| !self.random.percent(20)))
            }
            8 => {
                let of = pick();
                // What a repair writes: the disks' active images, in an external record. One of an internal snapshot that has
                // overlays of a revert is nobody's, and the driver starts no QEMU on it.
                if !domain.snapshots[&of].is_external() {
                    return Op::Describe(of, "internal".to_owned());
                }
                let active =
                    domain.definition.disks.iter().filter_map(|disk| Some((disk.target.clone(), disk.source.clone()?)));
                Op::GiveOverlays(of, active.collect())
            }
            9 => Op::Ledger(SnapshotName::observed(format!("noted-{}", self.random.below(3)))),
            10 => Op::Start,
            11 => Op::Stop,
            13 => Op::LoseMemory(pick()),
            _ => self.of_nothing(name),
        }
    }

    fn power(&mut self) -> Power {
        self.random.weighted(&[(80, Power::AsCaptured), (17, Power::Paused), (3, Power::Running)])
    }

    /// About a snapshot that is not there.
    fn of_nothing(&mut self, _: &str) -> Op {
        let nothing = SnapshotName::observed("nothing");
        match self.random.below(4) {
            0 => Op::Delete(nothing),
            1 => Op::Revert(nothing, Power::AsCaptured),
            2 => Op::Forget(nothing),
            _ => Op::Describe(nothing, String::new()),
        }
    }

    fn create(&mut self, domain: &Domain) -> Op {
        let internal = match self.family {
            Family::Internal => 97,
            Family::External => 3,
            Family::Mixed => 40,
        };
        let kind = match self.random.percent(internal) {
            true => Kind::Internal,
            // Memory of a domain that is off is refused.
            false if self.random.percent(if domain.state.is_active() { 45 } else { 8 }) => Kind::Memory,
            false => Kind::Disks,
        };
        // Names that were forgotten come again: their files and tags are there.
        let again = self.made > 0 && self.random.percent(18);
        let number = if again { self.random.below(self.made) } else { self.made };
        let name = SnapshotName::observed(format!("s{number}"));
        let taken = |domain: &Domain| {
            let source = domain.definition.disks.first().and_then(|disk| disk.source.as_deref());
            source.is_some_and(|source| {
                let path = file(source, "", &name, "");
                domain
                    .snapshots
                    .values()
                    .any(|record| record.disks.values().any(|part| *part == Part::File(path.clone())))
            })
        };
        // A leftover that nothing uses may be used; nothing else is told to be.
        let reuse = kind == Kind::Disks && self.random.percent(2) && !taken(domain) && !again;
        Op::Create { name, kind, reuse }
    }
}

/// What a call did, by the worlds before and after it.
pub(super) fn outcome(before: &World, after: &World, name: &str, op: &Op, done: bool) -> Outcome {
    if after.crashed.is_some() {
        return Outcome::Crash;
    }
    if !done {
        let same = before.domains == after.domains && before.storage.files == after.storage.files;
        return if same { Outcome::Refused } else { Outcome::Halfway };
    }
    let snapshots = &after.domains[name].snapshots;
    let lost = |snapshot: &&SnapshotName| {
        let (then, now) = (before.held(name, snapshot), after.held(name, snapshot));
        then.iter().any(|(target, held)| held.is_ok() && now.get(target) != Some(held))
    };
    let snapshot_lost = snapshots
        .keys()
        .filter(|snapshot| before.domains[name].snapshots.contains_key(*snapshot))
        .any(|snapshot| lost(&snapshot));
    let wanted = match op {
        Op::Write | Op::Start | Op::Stop | Op::LoseMemory(_) => return Outcome::Done,
        Op::Revert(target, _) => before.held(name, target),
        _ => before.disks(name),
    };
    let disks = after.disks(name);
    let disk_lost = wanted.iter().any(|(target, held)| held.is_ok() && disks.get(target) != Some(held));
    if snapshot_lost || disk_lost { Outcome::Harm } else { Outcome::Done }
}

/// The run state in which a sequence starts a domain: what a guest does burns a core, and QEMU alone does not.
pub(super) const STARTED: RunState = RunState::Paused;
