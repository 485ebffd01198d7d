//! The model of libvirt held against libvirt: random sequences of calls on both, compared after each call.

mod driver;
mod generate;
mod kept;
mod op;
mod qcow2;

#[path = "../../model/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the planner's proof uses the rest")]
mod model;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use snapward::host::{ErrorClass, Host};
use snapward::libvirt::Access;
use snapward::model::names::DomainUuid;
use snapward::model::observed::ObservedDisk;

use driver::{Driver, Stand, bytes, stand};
use generate::{Generator, Outcome, STARTED, outcome};
use model::{Model, Part, World};
use op::Op;

use crate::support::embed::EmbedRoot;

/// Calls of a sequence, at least.
const CALLS: usize = 16;

/// Calls about a domain whose chain is broken, before the sequence goes on with another one.
const AFTER_HARM: usize = 2;

/// How many sequences there are; `SNAPWARD_PROOF` asks for so many times as many. And in how many processes they run.
fn sequences() -> u64 {
    200 * std::env::var("SNAPWARD_PROOF").map_or(1, |times| times.parse().expect("a number"))
}
const SHARDS: u64 = 8;

/// The page that the write of that number goes to, besides page 0.
fn page(number: u32) -> u8 {
    u8::try_from(number % u32::from(qcow2::PAGES - 1)).expect("small") + 1
}

/// One call on the model.
fn act(world: &mut World, name: &str, op: &Op, number: u32) -> Result<(), ErrorClass> {
    let done = match op {
        Op::Start => world.start(name, STARTED),
        Op::Stop => world.destroy(name),
        Op::Write => {
            let targets: Vec<_> = world.domains[name].definition.disks.iter().map(|disk| disk.target.clone()).collect();
            let mut pages = targets.iter().flat_map(|target| [(target, 0), (target, page(number))]);
            pages.try_for_each(|(target, page)| world.write(name, target, page, number))
        }
        Op::LoseMemory(snapshot) => {
            if let Part::File(memory) = &world.domains[name].snapshots[snapshot].memory.clone() {
                world.storage.unlink(memory);
            }
            Ok(())
        }
        _ => {
            let host = Model::new(std::mem::replace(world, World::new(0)));
            let domain = host.domains().expect("listed").into_iter().find(|domain| domain.name == name).expect("there");
            let done = op.call(&host, &domain).expect("the host's to do");
            *world = host.world().clone();
            return done.map_err(|error| error.class);
        }
    };
    done.map_err(|refusal| match refusal.why {
        model::Why::NotFound => ErrorClass::NotFound,
        model::Why::System => ErrorClass::Transient,
        _ => ErrorClass::Refused,
    })
}

fn define(world: &mut World, name: &str, disks: &[(&str, String, &str)]) {
    let disk = |(target, path, format): &(&str, String, &str)| ObservedDisk {
        target: (*target).to_owned(),
        source_type: "file".to_owned(),
        source: Some(path.clone()),
        format: (*format).to_owned(),
        device: "disk".to_owned(),
        readonly: false,
        snapshot: None,
        backing: None,
    };
    disks.iter().for_each(|(_, path, format)| world.storage.make(path, format, None));
    world.define(name, DomainUuid(uuid::Uuid::nil()), disks.iter().map(disk).collect());
}

/// A domain on the model, and on the driver where there is one.
struct Both<'a> {
    name: String,
    world: World,
    driver: Option<Driver<'a>>,
    /// Every call so far.
    log: Vec<String>,
    /// On the model alone each call takes a second, so that no name is taken twice.
    second: i64,
}

/// The real side: the root of the driver, and a connection to it.
type Real<'a> = Option<(&'a EmbedRoot, &'a Arc<dyn Host>)>;

impl<'a> Both<'a> {
    fn define(real: Real<'a>, name: &str, disks: &[(&'static str, &'static str)]) -> Self {
        let driver = real.map(|(root, host)| Driver::define(root, host, name, disks));
        let mut world = World::new(0);
        let path = |target: &str, format: &str| match &driver {
            Some(driver) => driver.image(target, format),
            None => format!("/images/{name}-{target}.{format}"),
        };
        define(&mut world, name, &disks.iter().map(|(t, f)| (*t, path(t, f), *f)).collect::<Vec<_>>());
        if let Some(driver) = &driver {
            // libvirt chose the UUID.
            world.domains.get_mut(name).expect("defined").uuid = driver.listed().uuid;
        }
        Self { name: name.to_owned(), world, driver, log: Vec::new(), second: 0 }
    }

    fn is_active(&self) -> bool {
        self.world.domains[&self.name].state.is_active()
    }

    /// Makes a call on both sides, and compares what came of it and what stands afterwards.
    fn call(&mut self, op: &Op, number: u32) -> Outcome {
        self.log.push(format!("{op:?}"));
        self.second += 1;
        let name = self.name.clone();
        let mut after = self.world.clone();
        after.now = self.second;
        let expected = act(&mut after, &name, op, number);
        let outcome = outcome(&self.world, &after, &name, op, expected.is_ok());
        if outcome == Outcome::Crash {
            return outcome;
        }
        if let Some(driver) = &mut self.driver {
            let done = driver.act(op, number).map_err(|error| (error.class, error.to_string()));
            // A revert that failed can have made its overlays all the same.
            if let Some(second) = driver.second(op, &self.world.domains[&name].definition.disks) {
                after = self.world.clone();
                after.now = second;
                assert_eq!(act(&mut after, &name, op, number), expected);
            }
            let told = format!("{name}, after\n{}\n", self.log.join("\n"));
            // Whether libvirt finds out that an image is not there, or QEMU, hangs on what libvirt knew of the chain before.
            let gone = done.as_ref().is_err_and(|(_, text)| text.contains("Cannot access backing file"));
            let class = |class| if gone && class == ErrorClass::Transient { ErrorClass::Refused } else { class };
            let (done_class, expected) =
                (done.as_ref().copied().map_err(|(of, _)| class(*of)), expected.map_err(class));
            assert_eq!(done_class, expected, "{told}the driver says {done:?}");
            compare(&driver.stand(), &of_model(&after, &name), &told);
        }
        self.world = after;
        outcome
    }
}

/// Runs the sequence of a seed, and counts what came of each call.
fn run(seed: u64, real: Real<'_>, counts: &mut BTreeMap<(&'static str, Outcome), usize>) {
    let mut generator = Generator::new(seed);
    let mut calls = 0;
    for round in 0.. {
        if calls >= CALLS {
            break;
        }
        let disks = generator.disks();
        let mut both = Both::define(real, &format!("d{seed}x{round}"), disks);
        let mut harmed = 0;
        while calls < CALLS && harmed < AFTER_HARM {
            let op = match harmed {
                0 => generator.next(&both.world, &both.name),
                _ if both.is_active() => Op::Stop,
                _ => Op::Start,
            };
            let number = if op == Op::Write { generator.number() } else { 0 };
            let outcome = both.call(&op, number);
            calls += 1;
            *counts.entry((op.word(), outcome)).or_default() += 1;
            harmed += usize::from(outcome == Outcome::Harm || harmed > 0);
        }
    }
}

fn of_model(world: &World, name: &str) -> Stand {
    let host = Model::new(world.clone());
    let domain = host.domains().expect("listed").into_iter().find(|domain| domain.name == name).expect("there");
    let content = |path: &str, tag: Option<&str>| {
        let pages = match tag {
            Some(tag) => world.storage.tagged(path, tag),
            None => world.storage.content(path),
        };
        pages.map(|pages| bytes(&pages))
    };
    stand(&host, &domain, world.storage.files.keys().cloned().collect(), content)
}

/// Compares part by part, so that a failure shows what differs and not all there is.
#[track_caller]
fn compare(real: &Stand, model: &Stand, told: &str) {
    assert_eq!(real.state, model.state, "{told}the run state");
    assert_eq!(real.disks, model.disks, "{told}the disks");
    assert_eq!(real.current, model.current, "{told}the current snapshot");
    let names = |stand: &Stand| stand.snapshots.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(real), names(model), "{told}the snapshots");
    for (name, snapshot) in &real.snapshots {
        assert_eq!(Some(snapshot), model.snapshots.get(name), "{told}the record of {name}");
    }
    assert_eq!(real.files, model.files, "{told}the files");
    assert_eq!(real.tags, model.tags, "{told}the internal snapshots in the images");
    assert_eq!(real.content, model.content, "{told}what the disks hold");
    assert_eq!(real.held, model.held, "{told}what the snapshots hold");
    assert_eq!(real.ledger, model.ledger, "{told}the ledger");
}

/// Runs every sequence of a shard, also those after one that fails: the seeds of all of them are told.
fn shard(at: u64) {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let fails = |seed: &u64| {
        let run = || run(*seed, Some((&root, &host)), &mut BTreeMap::new());
        catch_unwind(AssertUnwindSafe(run)).is_err()
    };
    // `SNAPWARD_SEEDS=8..16` looks into these alone, whichever shard is asked.
    let range = std::env::var("SNAPWARD_SEEDS").ok();
    let seeds: Vec<u64> = match range.as_ref().and_then(|range| range.split_once("..")) {
        Some((from, to)) => (from.parse().expect("a number")..to.parse().expect("a number")).collect(),
        None => (0..sequences()).filter(|seed| seed % SHARDS == at).collect(),
    };
    let failed: Vec<u64> = seeds.into_iter().filter(fails).collect();
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
}

#[test]
fn model_and_driver_agree_0() {
    shard(0);
}

#[test]
fn model_and_driver_agree_1() {
    shard(1);
}

#[test]
fn model_and_driver_agree_2() {
    shard(2);
}

#[test]
fn model_and_driver_agree_3() {
    shard(3);
}

#[test]
fn model_and_driver_agree_4() {
    shard(4);
}

#[test]
fn model_and_driver_agree_5() {
    shard(5);
}

#[test]
fn model_and_driver_agree_6() {
    shard(6);
}

#[test]
fn model_and_driver_agree_7() {
    shard(7);
}

/// How often each way in which a call can end must come. Fewer would be chance.
const OFTEN: usize = 20;

/// The ways in which calls can end.
#[rustfmt::skip]
const WAYS: [(&str, &[Outcome]); 15] = {
    use Outcome::{Crash, Done, Halfway, Harm, Refused};
    [
        ("create disks", &[Done, Refused]),
        ("create internal", &[Done, Refused]),
        ("create memory", &[Done, Refused]),
        ("delete", &[Done, Harm, Refused, Halfway, Crash]),
        ("forget", &[Done, Refused]),
        ("lose memory", &[Done]),
        ("redefine description", &[Done, Refused]),
        ("redefine overlays", &[Done]),
        ("redefine parent", &[Done, Refused]),
        ("revert", &[Done, Harm, Refused, Halfway]),
        ("set-current", &[Done]),
        ("start", &[Done, Refused]),
        ("stop", &[Done, Refused]),
        ("write", &[Done]),
        ("write ledger", &[Done]),
    ]
};

#[test]
fn every_call_ends_in_each_way_it_can_often_enough() {
    let mut counts = BTreeMap::new();
    (0..sequences()).for_each(|seed| run(seed, None, &mut counts));
    let told = counts.iter().map(|((word, outcome), n)| format!("{n:6} {word}: {outcome:?}\n"));
    println!("{}", told.collect::<String>());
    let ways = WAYS.iter().flat_map(|(word, outcomes)| outcomes.iter().map(move |outcome| (*word, *outcome)));
    let rare: Vec<_> = ways.filter(|way| counts.get(way).is_none_or(|n| *n < OFTEN)).collect();
    assert!(rare.is_empty(), "too rare: {rare:?}");
}
