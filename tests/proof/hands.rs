//! Other hands: random worlds, and what administrators, guests, other tools and accidents do to them between two runs.

use snapward::host::{RedefineRequest, RevertRequest};
use snapward::model::kinds::Power;
use snapward::model::names::{DomainUuid, SnapshotName};
use snapward::model::observed::{ObservedDisk, RunState};

use super::model::{Part, Random, Spec, World};
use super::wish::NAMES;

/// The domains of worlds; half of them lack the last one. No manifest chooses `other`.
const DOMAINS: [&str; 3] = ["vm1", "other", "vm2"];

/// A world and what is made of it.
pub(crate) struct Hands {
    pub(crate) random: Random,
    /// Whether domains get external snapshots, mostly.
    pub(crate) external: bool,
    /// They do nothing by themselves.
    pub(crate) rests: bool,
    domains: &'static [&'static str],
    written: u32,
    /// What was done, for a person who looks for the reason of a failure.
    pub(crate) log: Vec<String>,
}

pub(crate) fn disk(target: &str, path: &str, format: &str) -> ObservedDisk {
    ObservedDisk {
        target: target.to_owned(),
        source_type: "file".to_owned(),
        source: Some(path.to_owned()),
        format: format.to_owned(),
        device: "disk".to_owned(),
        readonly: false,
        snapshot: None,
        backing: None,
    }
}

impl Hands {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let external = random.percent(65);
        let domains = if random.percent(50) { &DOMAINS } else { &DOMAINS[..2] };
        Self { random, external, rests: false, domains, written: 0, log: Vec::new() }
    }

    /// Hands that do only what they are told.
    pub(crate) fn resting(seed: u64) -> Self {
        Self { rests: true, ..Self::new(seed) }
    }

    /// A host with domains that have disks and contents, and some a history.
    pub(crate) fn world(&mut self, now: i64) -> World {
        let mut world = World::new(now);
        if self.random.percent(5) {
            world.storage.space.free = world.storage.space.total / 20;
        }
        for (number, name) in (0_u128..).zip(self.domains.iter().copied()) {
            let mut disks = Vec::new();
            for target in if self.random.percent(35) { &["vda", "vdb"][..] } else { &["vda"] } {
                let format = if self.random.percent(4) { "raw" } else { "qcow2" };
                let path = format!("/images/{name}-{target}.{format}");
                world.storage.make(&path, format, None);
                disks.push(disk(target, &path, format));
            }
            if self.random.percent(10) {
                disks.push(ObservedDisk {
                    device: "cdrom".to_owned(),
                    readonly: true,
                    source: None,
                    ..disk("hda", "", "raw")
                });
            }
            world.define(name, DomainUuid(uuid::Uuid::from_u128(number + 1)), disks);
            self.write(&mut world, name);
            if self.random.percent(50) {
                let state = if self.random.percent(85) { RunState::Running } else { RunState::Paused };
                world.start(name, state).expect("a new domain starts");
            }
        }
        for _ in 0..self.random.below(10) {
            self.act(&mut world);
        }
        world
    }

    /// One thing that somebody does, harmful or not.
    pub(crate) fn act(&mut self, world: &mut World) {
        let name = *self.random.pick(self.domains).expect("some");
        let act = self.random.weighted(&[
            (20, 0),
            (30, 1),
            (6, 2),
            (4, 3),
            (8, 4),
            (5, 5),
            (5, 6),
            (5, 7),
            (3, 8),
            (3, 9),
            (5, 10),
            (3, 11),
            (4, 12),
            (3, 13),
            (3, 14),
            (3, 15),
            (2, 16),
            (2, 17),
            (2, 18),
            (3, 19),
        ]);
        self.guarded(world, name, act);
    }

    /// Does it, but for what kills the driver.
    fn guarded(&mut self, world: &mut World, name: &'static str, act: u8) {
        let before = world.clone();
        let told = self.one(world, name, act);
        if world.crashed.is_some() {
            // Nobody would do that twice; the driver is started again, and the world is as it was.
            *world = before;
            return;
        }
        self.log.push(format!("  {name}: {told}"));
    }

    /// Some captures, and reverts between them.
    pub(crate) fn history(&mut self, world: &mut World) {
        for _ in 0..3 + self.random.below(5) {
            self.write(world, "vm1");
            let act = if self.random.percent(80) { 1 } else { 3 };
            self.guarded(world, "vm1", act);
        }
    }

    /// What makes a domain's records, files and neighbours not fit each other, or changes the tree.
    pub(crate) fn spoil(&mut self, world: &mut World) {
        let act = self.random.weighted(&[
            (20, 1),
            (8, 0),
            (4, 2),
            (10, 3),
            (10, 4),
            (12, 5),
            (12, 7),
            (8, 8),
            (5, 9),
            (2, 10),
            (5, 11),
            (10, 12),
            (5, 13),
            (4, 14),
            (5, 16),
        ]);
        let name = if act == 14 { *self.random.pick(self.domains).expect("some") } else { "vm1" };
        self.guarded(world, name, act);
    }

    /// As [`Self::act`], only what harms nothing: for hands that meddle in a run.
    pub(crate) fn meddle(&mut self, world: &mut World) {
        let name = DOMAINS[0];
        let act = self.random.weighted(&[(5, 1), (2, 4), (3, 6), (2, 20)]);
        let told = self.one(world, name, act);
        self.log.push(format!("  meanwhile {name}: {told}"));
    }

    fn one(&mut self, world: &mut World, name: &str, act: u8) -> String {
        let names: Vec<SnapshotName> = world.domains[name].snapshots.keys().cloned().collect();
        let some = self.random.pick(&names).cloned();
        match (act, some) {
            (0, _) => {
                self.write(world, name);
                "write".to_owned()
            }
            (1, _) => self.create(world, name),
            (2, Some(some)) => format!("delete {some}: {:?}", world.delete(name, &some).map_err(|refusal| refusal.why)),
            (20, Some(some)) => self.delete_a_leaf(world, name, &some),
            (3, Some(some)) => {
                let power = self.random.weighted(&[(8, Power::AsCaptured), (1, Power::Paused), (1, Power::Running)]);
                let request = RevertRequest { power, force: false, reset_nvram: false };
                world.now += 1;
                let done = world.revert(name, &some, request).map_err(|refusal| refusal.why);
                // libvirt names overlays after the second, and snapward waits for the next one.
                world.now += 1;
                format!("revert to {some}: {done:?}")
            }
            (4, _) => self.power(world, name),
            (5, Some(some)) => {
                self.redefine(world, name, &some, &RedefineRequest { make_current: true, ..Default::default() })
            }
            (6, Some(some)) => {
                let description = Some(format!("by hand {}", self.random.below(3)));
                self.redefine(world, name, &some, &RedefineRequest { description, ..Default::default() })
            }
            (7, Some(some)) => {
                let parent = Some(self.random.pick(&names).cloned().filter(|_| !self.random.percent(30)));
                self.redefine(world, name, &some, &RedefineRequest { parent, ..Default::default() })
            }
            (8, Some(some)) => format!("forget {some}: {:?}", world.forget(name, &some).is_ok()),
            (9, Some(some)) => {
                let to = SnapshotName::observed(format!("{some}-2"));
                format!("rename {some}: {:?}", world.rename(name, &some, &to).map_err(|refusal| refusal.why))
            }
            (10, _) => self.leave_an_overlay(world, name),
            (11, _) => {
                let paths: Vec<String> = world.storage.files.keys().cloned().collect();
                let Some(path) = self.random.pick(&paths).cloned() else { return "nothing".to_owned() };
                world.storage.unlink(&path);
                world.storage.forbidden.remove(&path);
                format!("lose {path}")
            }
            (12, _) => self.clone_image(world),
            (13, _) => {
                let paths: Vec<String> = world.storage.files.keys().cloned().collect();
                let Some(path) = self.random.pick(&paths).cloned() else { return "nothing".to_owned() };
                if !world.storage.forbidden.remove(&path) {
                    world.storage.forbidden.insert(path.clone());
                }
                format!("forbid, or allow, to read {path}")
            }
            (14, _) => {
                let domain = world.domains.get_mut(name).expect("defined");
                domain.unreadable = !domain.unreadable;
                format!("unreadable: {}", domain.unreadable)
            }
            (15, _) => {
                let domain = world.domains.get_mut(name).expect("defined");
                domain.definition.ledger = None;
                domain.stored.iter_mut().for_each(|stored| stored.ledger = None);
                "lose the metadata".to_owned()
            }
            (16, _) => self.too_long_a_name(world, name),
            (17, _) => {
                let domain = world.domains.get_mut(name).expect("defined");
                domain.managed_save = !domain.state.is_active() && !domain.managed_save;
                format!("managed save: {}", domain.managed_save)
            }
            (18, _) => {
                let space = &mut world.storage.space;
                space.free = if self.random.percent(60) { space.total * 9 / 10 } else { space.total / 20 };
                format!("{} free", space.free)
            }
            (19, Some(some)) => self.take_the_place(world, name, &some),
            (_, None | Some(_)) => self.create(world, name),
        }
    }

    pub(crate) fn write(&mut self, world: &mut World, name: &str) {
        self.written += 1;
        let disks = world.domains[name].definition.disks.clone();
        for disk in disks.iter().filter(|disk| !disk.is_empty_drive()) {
            for page in [0, u8::try_from(self.written % 7).expect("small") + 1] {
                // Of a disk whose image is gone nothing is left to write to.
                drop(world.write(name, &disk.target, page, self.written));
            }
        }
    }

    fn create(&mut self, world: &mut World, name: &str) -> String {
        // The name snapward would choose for its series is another hand's too, now and then.
        let snapshot = SnapshotName::observed(*self.random.pick(&NAMES).expect("some"));
        let external = self.external != self.random.percent(4);
        let domain = &world.domains[name];
        let active = domain.state.is_active();
        let memory = active && self.random.percent(30);
        let part = |disk: &ObservedDisk| {
            let part = match &disk.source {
                Some(_) if external => Part::File(format!("/images/{name}.{}.{snapshot}", disk.target)),
                Some(_) => Part::Internal,
                None => Part::No,
            };
            (disk.target.clone(), part)
        };
        let spec = Spec {
            name: snapshot.clone(),
            description: "by hand".to_owned(),
            memory: match (external, active) {
                (true, _) if memory => Part::File(format!("/images/{name}.{snapshot}.mem")),
                (false, true) => Part::Internal,
                _ => Part::No,
            },
            disks: domain.definition.disks.iter().map(part).collect(),
            disk_only: external && active && !memory,
            reuse: false,
            halt: false,
            no_metadata: self.random.percent(2),
        };
        // A new overlay under the name of a lost image that the chain below it names stands on itself: no QEMU opens that again,
        // and neither model nor planner follows it.
        let closes_a_circle = |part: &Part| match part {
            Part::File(path) => {
                !world.storage.exists(path)
                    && world.storage.files.values().any(|image| image.backing.as_ref() == Some(path))
            }
            _ => false,
        };
        if spec.disks.values().any(closes_a_circle) {
            return "nothing".to_owned();
        }
        world.now += 1;
        format!(
            "create {snapshot}, external {external}: {:?}",
            world.create(name, &spec).map_err(|refusal| refusal.why)
        )
    }

    fn power(&mut self, world: &mut World, name: &str) -> String {
        let state = if self.random.percent(80) { RunState::Running } else { RunState::Paused };
        let done = match world.domains[name].state {
            RunState::ShutOff => world.start(name, state),
            RunState::Paused => world.resume(name),
            _ => world.destroy(name),
        };
        format!("start or stop: {:?}", done.map_err(|refusal| refusal.why))
    }

    fn redefine(
        &mut self,
        world: &mut World,
        name: &str,
        snapshot: &SnapshotName,
        request: &RedefineRequest,
    ) -> String {
        let record = world.domains[name].snapshots[snapshot].clone();
        let done = world.redefine(name, &record, request).map_err(|refusal| refusal.why);
        format!("redefine {snapshot} {request:?}: {done:?}")
    }

    /// Deletes a snapshot where that harms nothing by its nature: a leaf that is current.
    fn delete_a_leaf(&mut self, world: &mut World, name: &str, snapshot: &SnapshotName) -> String {
        let domain = &world.domains[name];
        if domain.snapshots[snapshot].is_external() {
            return "nothing".to_owned();
        }
        format!("delete {snapshot}: {:?}", world.delete(name, snapshot).map_err(|refusal| refusal.why))
    }

    /// What a killed capture leaves, or another tool: a file where snapward would put an overlay.
    fn leave_an_overlay(&mut self, world: &mut World, name: &str) -> String {
        let snapshot = *self.random.pick(&NAMES).expect("some");
        let disks = world.domains[name].definition.disks.clone();
        let empty = self.random.percent(70);
        for disk in disks.iter().filter(|_| !self.random.clone().percent(15)) {
            let Some(source) = &disk.source else { continue };
            let path = format!("/images/{name}.{}.{snapshot}.qcow2", disk.target);
            if world.storage.exists(&path) {
                continue;
            }
            world.storage.make(&path, "qcow2", Some(source));
            if !empty {
                self.written += 1;
                let image = world.storage.get_mut(&path).expect("made");
                image.pages.insert(0, self.written);
            }
        }
        format!("leave an overlay for {snapshot}, empty {empty}")
    }

    /// Another domain is put on an image of a domain: a linked clone, by its path or by a link to it.
    fn clone_image(&mut self, world: &mut World) -> String {
        let from = *self.random.pick(self.domains).expect("some");
        let to = *self.random.pick(self.domains).expect("some");
        let bases: Vec<String> = world.domains[from]
            .snapshots
            .values()
            .filter_map(|record| record.definition.as_ref()?.disk("vda")?.source.clone())
            .filter(|base| world.storage.exists(base))
            .collect();
        let domain = &world.domains[to];
        let (Some(base), true) =
            (self.random.pick(&bases).cloned(), from != to && domain.snapshots.is_empty() && !domain.state.is_active())
        else {
            return "nothing".to_owned();
        };
        let mut backing = base.clone();
        if self.random.percent(30) {
            backing = format!("/images/link-{}.qcow2", world.storage.links.len());
            world.storage.links.insert(backing.clone(), base);
        }
        let path = format!("/images/{to}-clone.qcow2");
        world.storage.make(&path, "qcow2", Some(&backing));
        let domain = world.domains.get_mut(to).expect("defined");
        if let Some(disk) = domain.definition.disk_mut("vda") {
            disk.source = Some(path);
            "qcow2".clone_into(&mut disk.format);
        }
        format!("{to} is put on {backing}")
    }

    /// A capture that fails at its metadata, and leaves no pointer (case C).
    fn too_long_a_name(&mut self, world: &mut World, name: &str) -> String {
        let snapshot = SnapshotName::observed("n".repeat(250));
        let external = self.external;
        let part = |disk: &ObservedDisk| {
            let part = match &disk.source {
                Some(_) if external => Part::File(format!("/images/{name}.{}.long", disk.target)),
                Some(_) => Part::Internal,
                None => Part::No,
            };
            (disk.target.clone(), part)
        };
        let domain = &world.domains[name];
        let active = domain.state.is_active();
        let spec = Spec {
            name: snapshot,
            description: String::new(),
            memory: if active && !external { Part::Internal } else { Part::No },
            disks: domain.definition.disks.iter().map(part).collect(),
            disk_only: external && active,
            reuse: false,
            halt: false,
            no_metadata: false,
        };
        format!("create with too long a name: {:?}", world.create(name, &spec).map_err(|refusal| refusal.why))
    }

    /// A snapshot is deleted, and another one made under its name.
    fn take_the_place(&mut self, world: &mut World, name: &str, snapshot: &SnapshotName) -> String {
        if world.delete(name, snapshot).is_err() || world.crashed.is_some() {
            return format!("could not take the place of {snapshot}");
        }
        let told = self.create(world, name);
        format!("in the place of {snapshot}: {told}")
    }
}
