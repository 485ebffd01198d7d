//! The cases: a seed is a host with its history; each round is another day on it, with edited manifests, other hands, and
//! runs of snapward until nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};

use snapward::model::desired::DesiredState;
use snapward::model::outcome::{ActionResult, Outcome};
use snapward::model::plan::{ActionKind, Plan};

use super::bench::{Bench, load};
use super::hands::Hands;
use super::model::World;
use super::promises::Pass;
use super::wish::Wish;

/// Rounds of a seed: each is a case.
const ROUNDS: usize = 8;

/// Cases in all; `SNAPWARD_PROOF` asks for so many times as many. And in how many processes they run.
fn cases() -> usize {
    20_000 * std::env::var("SNAPWARD_PROOF").map_or(1, |times| times.parse().expect("a number"))
}
const SHARDS: u64 = 4;

/// Passes until nothing is left to do.
const PASSES: usize = 3;

/// 2026-11-01T00:00:00Z.
pub(crate) const BEGIN: i64 = 1_793_491_200;

/// How often what was seen.
type Counts = BTreeMap<String, usize>;

/// One seed: the host, the manifests, and what was done.
pub(crate) struct Case {
    hands: Hands,
    pub(crate) bench: Bench,
    /// The reverts that were done, by domain and token.
    reverted: BTreeSet<(String, String)>,
    counts: Counts,
}

impl Case {
    fn new(seed: u64, locks: &std::path::Path) -> Self {
        let mut hands = Hands::new(seed);
        let begin = BEGIN + i64::try_from(hands.random.below(86_400)).expect("small");
        let bench = Bench::new(hands.world(begin), locks.to_owned());
        let (reverted, counts) = (BTreeSet::new(), Counts::new());
        Self { hands, bench, reverted, counts }
    }

    /// A host that is given, and not made up.
    pub(crate) fn on(world: World, hands: Hands, locks: &std::path::Path) -> Self {
        let bench = Bench::new(world, locks.to_owned());
        Self { hands, bench, reverted: BTreeSet::new(), counts: Counts::new() }
    }

    fn run(&mut self) -> Result<(), String> {
        let external = self.hands.external;
        // Half of the hosts are there for what others do to trees in which something is deleted.
        let spoiled = self.hands.random.percent(50);
        let mut wish = match spoiled {
            true => Wish::of_deletions(),
            false => Wish::random(&mut self.hands.random, external, BEGIN),
        };
        if spoiled {
            let mut world = self.bench.model.world();
            self.hands.history(&mut world);
        }
        let mut desired = None;
        for round in 0..ROUNDS {
            if round > 0 {
                self.another_day(spoiled);
            }
            // Manifests are edited every other day: reading them takes as long as all the rest.
            if round > 0 && self.hands.random.percent(50) {
                let now = self.bench.model.world().now;
                wish = wish.edited(&mut self.hands.random, now);
                desired = None;
            }
            let yaml = wish.yaml();
            if desired.is_none() {
                desired = load(&yaml);
            }
            let Some(desired) = &desired else {
                *self.counts.entry("manifests in error".to_owned()).or_default() += 1;
                continue;
            };
            self.settle(&wish, desired).map_err(|what| {
                format!("round {round}: {what}\nmanifests:\n{yaml}\nother hands:\n{}", self.hands.log.join("\n"))
            })?;
            *self.counts.entry("cases".to_owned()).or_default() += 1;
            self.hands.log.push(format!("-- end of round {round}"));
        }
        Ok(())
    }

    /// Time passes, and others do something.
    fn another_day(&mut self, spoiled: bool) {
        let passed = self.hands.random.weighted(&[(20, 600), (50, 3_600), (20, 10_800), (8, 86_400), (2, 604_800)]);
        self.bench.model.world().now += passed;
        for _ in 0..self.hands.random.below(3) {
            let mut world = self.bench.model.world();
            match spoiled {
                true => self.hands.spoil(&mut world),
                false => self.hands.act(&mut world),
            }
        }
    }

    /// Runs snapward until nothing is left to do.
    pub(crate) fn settle(&mut self, wish: &Wish, desired: &DesiredState) -> Result<(), String> {
        let mut passes = PASSES;
        for pass in 0.. {
            let plan = self.bench.plan(desired);
            if !is_work(&plan) {
                return Ok(());
            }
            let told = || {
                plan.actions
                    .iter()
                    .map(|a| format!("{:?} {} ({:?})", a.action, a.address, a.reason.code))
                    .collect::<Vec<_>>()
            };
            if pass >= passes {
                return Err(format!("after {pass} passes there is still something to do: {:?}", told()));
            }
            let before = self.bench.model.world().clone();
            let meddled = self.meddle();
            let outcome = self.bench.apply(&plan);
            let meddled = meddled && self.bench.model.leave_alone();
            let after = self.bench.model.world().clone();
            self.count(&plan, &outcome, meddled);
            let checked =
                Pass { wish, plan: &plan, outcome: &outcome, before: &before, after: &after, meddled }.check();
            checked.map_err(|what| format!("pass {pass}: {what}\nplanned: {:#?}", told()))?;
            self.one_revert_per_token(wish, &outcome, &before)?;
            // What others did in the middle of a pass, or nobody could know, is for the next ones.
            passes += usize::from(meddled);
            self.bench.model.world().now += 5;
            let failed = outcome
                .domains
                .iter()
                .flat_map(|domain| &domain.actions)
                .any(|action| action.result == ActionResult::Failed);
            if failed && !meddled {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Now and then somebody else is at work in the middle of a pass.
    fn meddle(&mut self) -> bool {
        if self.hands.rests || !self.hands.random.percent(8) {
            return false;
        }
        let mut hands = Hands::new(self.hands.random.next());
        hands.external = self.hands.external;
        self.bench.model.meddle(self.hands.random.below(4), Box::new(move |world| hands.meddle(world)));
        true
    }

    fn count(&mut self, plan: &Plan, outcome: &Outcome, meddled: bool) {
        let mut count = |what: String| *self.counts.entry(what).or_default() += 1;
        count("passes".to_owned());
        if meddled {
            count("passes in which others meddled".to_owned());
        }
        for action in outcome.domains.iter().flat_map(|domain| &domain.actions) {
            count(format!("action {:?}: {:?}", action.action, action.result));
        }
        for action in plan.actions.iter().filter(|action| action.action == ActionKind::Delete) {
            let merges = action.after.as_ref().and_then(|after| after.merges.as_ref()).map_or(0, Vec::len);
            count(format!("deletions of {merges} merges"));
        }
        for action in &plan.actions {
            count(format!("reason {:?}", action.reason.code));
        }
        for blocked in &plan.blocked {
            count(format!("blocked {:?}", blocked.code));
        }
        for kept in &plan.kept {
            count(format!("kept {:?}", kept.reason.code));
        }
    }

    /// A token is good for one revert, for as long as anything in the domain remembers it: hands that revert the domain to a
    /// time before and delete the snapshot that it went to leave no trace.
    fn one_revert_per_token(&mut self, wish: &Wish, outcome: &Outcome, before: &World) -> Result<(), String> {
        for action in outcome.domains.iter().flat_map(|domain| &domain.actions) {
            if action.action != ActionKind::Revert || action.result != ActionResult::Done {
                continue;
            }
            let domain = &action.address.domain;
            let token = wish.reverts.first().map(|revert| revert.token.clone()).unwrap_or_default();
            let again = !self.reverted.insert((domain.clone(), token.clone()));
            if again && before.domains[domain].remembers(&token) {
                return Err(format!("{domain} was reverted twice for one token"));
            }
        }
        Ok(())
    }
}

/// Whether a run of this plan does anything: the ledger alone is written too.
fn is_work(plan: &Plan) -> bool {
    !plan.actions.is_empty() || plan.domains.iter().any(|domain| domain.ledger.is_some())
}

/// Runs the cases of these seeds; the first that breaks a promise ends it.
#[expect(clippy::print_stdout, reason = "what was counted is a result to be read")]
fn prove(seeds: impl Iterator<Item = u64>) {
    let locks = tempfile::tempdir().expect("a directory");
    let mut counts = Counts::new();
    for seed in seeds {
        let mut case = Case::new(seed, locks.path());
        if let Err(what) = case.run() {
            panic!("seed {seed}, {what}");
        }
        for (what, n) in case.counts {
            *counts.entry(what).or_default() += n;
        }
    }
    for (what, n) in &counts {
        println!("{n:8} {what}");
    }
}

fn shard(at: u64) {
    let seeds = u64::try_from(cases() / ROUNDS).expect("small");
    // `SNAPWARD_SEEDS=8..16` looks into these alone, whichever shard is asked.
    let range = std::env::var("SNAPWARD_SEEDS").ok();
    match range.as_ref().and_then(|range| range.split_once("..")) {
        Some((from, to)) => prove(from.parse().expect("a number")..to.parse().expect("a number")),
        None => prove((0..seeds).filter(|seed| seed % SHARDS == at)),
    }
}

#[test]
fn the_promises_hold_0() {
    shard(0);
}

#[test]
fn the_promises_hold_1() {
    shard(1);
}

#[test]
fn the_promises_hold_2() {
    shard(2);
}

#[test]
fn the_promises_hold_3() {
    shard(3);
}
