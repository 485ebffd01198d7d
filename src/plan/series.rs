//! The series of a domain: which snapshots are theirs, what they take over, and the capture they owe. What retention does
//! with them is in [`super::retain`].

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use super::capture::{Prepared, Request};
use super::captures::Wish;
use super::chain::Fault;
use super::claims::Claim;
use super::declared::metadata_only;
use super::domain::{Planner, is_about, own_stamp, suspended};
use crate::model::kinds::Location;
use crate::model::names::{SetId, SnapshotName};
use crate::model::observed::ObservedDomain;
use crate::model::plan::{Action, ActionKind, BlockCode, Reason, ReasonCode, View, Warning};
use crate::model::series::EffectiveSeries;
use crate::model::snapshot::ObservedSnapshot;
use crate::model::stamp::Stamp;
use crate::model::text::printable;
use crate::retention::Said;
use crate::schedule::{Due, Pace, TimePattern, jitter};

/// One series of one set, for all domains that the set selects.
pub(super) struct Scheduled<'a> {
    pub(super) series: EffectiveSeries<'a>,
    /// Its schedule at this moment, where that can be read.
    pub(super) pace: Option<Arc<Pace>>,
    /// Why the snapshots of the domain planned last are kept.
    pub(super) said: Rc<Said>,
}

/// One series of one set in one domain.
pub(super) struct SeriesClaim<'a> {
    pub(super) series: EffectiveSeries<'a>,
    /// Its schedule at this moment, where that can be read.
    pace: Option<Arc<Pace>>,
    pub(super) id: SetId,
    /// Its snapshots, by name.
    pub(super) members: Vec<&'a ObservedSnapshot>,
    /// The slots of those it takes over in this pass.
    adopted: BTreeMap<&'a SnapshotName, jiff::Timestamp>,
    /// The slot captured in this pass, and the snapshot's name.
    pub(super) created: Option<(jiff::Timestamp, SnapshotName)>,
    /// Why the snapshots of the domain before are kept.
    pub(super) said: Rc<Said>,
    /// Why the pass does nothing for it, where that is so: its set is suspended, or something about it is blocked.
    idle: bool,
}

impl SeriesClaim<'_> {
    /// Whether the pass may do anything for it.
    pub(super) fn is_active(&self) -> bool {
        !self.idle
    }

    /// Nothing is deleted in a pass that takes something over.
    pub(super) fn adopts(&self) -> bool {
        !self.adopted.is_empty()
    }

    /// For messages: `series hourly of set default/web`.
    pub(super) fn label(&self) -> String {
        format!("series {} of set {}", printable(&self.series.series.name), self.id)
    }

    fn name(&self) -> &str {
        &self.series.series.name
    }
}

/// Collects the series of a domain's sets, with their snapshots.
pub(super) fn collect<'a>(
    all: &[Scheduled<'a>],
    domain: &'a ObservedDomain,
    now: jiff::Timestamp,
) -> Vec<SeriesClaim<'a>> {
    // A domain has a few series; their snapshots stand together, as their names begin alike.
    let mut members: Vec<((&SetId, &str), Vec<&ObservedSnapshot>)> = Vec::new();
    for snapshot in domain.tree.iter() {
        if let Some(stamp) = own_stamp(snapshot)
            && let Some(series) = &stamp.series
        {
            let owner = (&*stamp.set, series.as_str());
            match members.iter_mut().rfind(|(other, _)| *other == owner) {
                Some((_, members)) => members.push(snapshot),
                None => members.push((owner, vec![snapshot])),
            }
        }
    }
    let claim = |Scheduled { series, pace, said }: &Scheduled<'a>| {
        let (series, said) = (*series, Rc::clone(said));
        let id = series.set.id();
        let own = members.iter().find(|(owner, _)| *owner == (&id, series.series.name.as_str()));
        let members = own.map(|(_, members)| members.clone()).unwrap_or_default();
        let idle = suspended(series.set, now).is_some();
        SeriesClaim { series, pace: pace.clone(), id, members, adopted: BTreeMap::new(), created: None, said, idle }
    };
    all.iter().map(claim).collect()
}

/// How the series that shall exist are captured.
pub(super) fn locations(claims: &[SeriesClaim<'_>]) -> Vec<Location> {
    let active = claims.iter().filter(|claim| claim.is_active() && claim.series.is_present());
    active.filter_map(|claim| Some(claim.series.capture?.location)).collect()
}

/// When scheduled snapshots of a domain are due.
pub(super) struct Dues {
    /// The next one: at once where a slot is owed.
    pub(super) next: Option<jiff::Timestamp>,
    /// The next one that is still to come.
    pub(super) to_come: Option<jiff::Timestamp>,
}

pub(super) fn dues(claims: &[SeriesClaim<'_>], domain: &ObservedDomain) -> Dues {
    let active = claims.iter().filter(|claim| claim.is_active() && claim.series.is_present());
    let dues = active.filter_map(|claim| {
        let pace = claim.pace.as_ref()?;
        let part = jitter(domain.uuid, claim.name());
        let after = pace.next_due(part);
        Some(match pace.due(newest_slot(claim), part) {
            Due::Now { slot } => (Some(slot), after),
            Due::From { at, .. } => (Some(at), Some(at)),
            Due::No | Due::Missed { .. } => (after, after),
        })
    });
    let (next, to_come): (Vec<_>, Vec<_>) = dues.unzip();
    Dues { next: next.into_iter().flatten().min(), to_come: to_come.into_iter().flatten().min() }
}

fn newest_slot(claim: &SeriesClaim<'_>) -> Option<jiff::Timestamp> {
    let owned = claim.members.iter().filter_map(|snapshot| own_stamp(snapshot)?.slot);
    owned.chain(claim.adopted.values().copied()).max()
}

impl<'a> Planner<'a> {
    /// What is in the way of a domain is in the way of its series too: said once for each that owes or has anything.
    pub(super) fn block_series(&mut self, claims: &[SeriesClaim<'_>], problem: &Fault) {
        for claim in claims.iter().filter(|claim| claim.is_active()) {
            if !claim.series.is_present() && claim.members.is_empty() {
                self.unchanged += 1;
                continue;
            }
            let text = format!("{}: {}", claim.label(), problem.text);
            let way_out = problem.way_out.clone();
            self.block(None, problem.code, text, way_out, vec![claim.series.origin("")]);
        }
    }

    /// Takes over and captures what the series of the domain owe.
    pub(super) fn series(&mut self, claims: &mut [SeriesClaim<'a>], declared: &[Claim<'_>]) {
        self.block_rivals(claims);
        self.adopt(claims, declared);
        for claim in claims.iter_mut().filter(|claim| claim.is_active() && claim.series.is_present()) {
            if self.ahead_of_clock(claim) {
                claim.idle = true;
            } else {
                self.capture_due(claim);
            }
        }
    }

    /// Two sets that declare a series of one name for a domain: which of them a snapshot's retention follows would hang on
    /// the order of files. One that is drained is none: it may be on its way from one set to the other.
    fn block_rivals(&mut self, claims: &mut [SeriesClaim<'_>]) {
        let mut owners: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, claim) in claims.iter().enumerate().filter(|(_, claim)| claim.series.is_present()) {
            owners.entry(claim.name().to_owned()).or_default().push(index);
        }
        for (name, rivals) in owners.into_iter().filter(|(_, rivals)| rivals.len() > 1) {
            if rivals.iter().all(|&index| !claims[index].is_active()) {
                continue;
            }
            let sets: Vec<_> = rivals.iter().map(|&index| claims[index].id.to_string()).collect();
            let text = format!(
                "sets {} both declare the series {} for this domain; none of it is captured or deleted",
                sets.join(" and "),
                printable(&name)
            );
            let way_out = "rename it in one set, or exclude the domain from the other (spec.domains.exclude)";
            let origins = rivals.iter().map(|&index| claims[index].series.origin("/name")).collect();
            self.block(None, BlockCode::Conflict, text, way_out, origins);
            for index in rivals {
                claims[index].idle = true;
            }
        }
    }

    /// A snapshot of a slot that lies ahead says that the clock is, or was, wrong. Until a person has looked, the series
    /// rests: by a wrong clock everything could be too old, and nothing due for years.
    fn ahead_of_clock(&mut self, claim: &SeriesClaim<'_>) -> bool {
        let latest = self.latest_sane();
        let of_slot = |snapshot: &&&ObservedSnapshot| own_stamp(snapshot).and_then(|stamp| stamp.slot);
        let Some(newest) = claim.members.iter().max_by_key(of_slot) else { return false };
        let Some(slot) = of_slot(&newest).filter(|slot| *slot > latest) else { return false };
        let text = format!(
            "it is of the slot {slot}, and the time now is {}: the clock is wrong, or was. {} captures and deletes nothing",
            self.context.now,
            claim.label()
        );
        let way_out = "set the clock right; if it is, delete this snapshot by hand";
        self.block(Some(&newest.name), BlockCode::Clock, text, way_out, vec![claim.series.origin("")]);
        true
    }

    /// The latest time that a sane clock has written.
    fn latest_sane(&self) -> jiff::Timestamp {
        self.limits.clock.max_future.after(self.context.now).unwrap_or(jiff::Timestamp::MAX)
    }

    fn capture_due(&mut self, claim: &mut SeriesClaim<'_>) {
        let Some(pace) = claim.pace.clone() else { return };
        let part = jitter(self.domain.uuid, claim.name());
        let slot = match pace.due(newest_slot(claim), part) {
            Due::Now { slot } => slot,
            Due::Missed { slot, end } => {
                let text = format!(
                    "{}: {}: the slot {slot} was not taken before its startingDeadline ended {end}; the next one will be",
                    self.address(None),
                    claim.label()
                );
                self.warnings.push(Warning { text, origin: claim.series.origin("/schedule") });
                return;
            }
            Due::No | Due::From { .. } => {
                self.unchanged += 1;
                return;
            }
        };
        let name = match SnapshotName::parse(&claim.series.name_of(slot)) {
            Ok(name) => name,
            Err(error) => {
                let (text, origin) = (format!("{}: {error}", claim.label()), claim.series.origin("/nameTemplate"));
                return self.block(None, BlockCode::NotPossible, text, "shorten nameTemplate", vec![origin]);
            }
        };
        if self.domain.tree.get(&name).is_some() || self.creates.iter().any(|action| is_about(action, &name)) {
            let text = format!(
                "{} owes a snapshot of this name for the slot {slot}, and there is one that is not of this series; it is left \
                 as it is",
                claim.label()
            );
            let way_out = "rename or delete that one, or give the series another nameTemplate";
            return self.block(Some(&name), BlockCode::Conflict, text, way_out, vec![claim.series.origin("")]);
        }
        let Some(capture) = claim.series.capture else { return };
        let obstacle = match self.prepare(Request { name: &name, capture, when: claim.series.when }) {
            Ok(prepared) => {
                self.slot_ends.push(pace.tempo.end(slot));
                return self.capture_slot(claim, slot, &name, &prepared);
            }
            Err(obstacle) => obstacle,
        };
        if obstacle.code == BlockCode::WrongState {
            // Not a fault: `when` says that the series leaves such a domain alone.
            let state = self.domain.state.as_str();
            let text = format!(
                "{}: {}: the slot {slot} is not taken, because the domain is {state}",
                self.address(None),
                claim.label()
            );
            self.warnings.push(Warning { text, origin: claim.series.origin("/when") });
            return;
        }
        let text = format!("slot {slot} of {}: {}", claim.label(), obstacle.text);
        self.block(Some(&name), obstacle.code, text, obstacle.way_out, vec![claim.series.origin("")]);
    }

    fn capture_slot(
        &mut self,
        claim: &mut SeriesClaim<'_>,
        slot: jiff::Timestamp,
        name: &SnapshotName,
        prepared: &Prepared,
    ) {
        let mut stamp = Stamp::new(claim.id.clone(), name.clone());
        stamp.series = Some(claim.name().to_owned());
        stamp.slot = Some(slot);
        let schedule = claim.series.schedule;
        let zone = schedule.and_then(|schedule| schedule.time_zone.as_deref()).unwrap_or("UTC");
        let cron = schedule.map(|schedule| schedule.cron.as_str()).unwrap_or_default();
        let text = format!("slot {slot} of series {} ({}, {})", claim.name(), printable(cron), printable(zone));
        let reason = Reason { code: ReasonCode::Scheduled, text: text.into() };
        let wish = Wish { name, description: None, stamp: Some(stamp), reason, origin: claim.series.origin("") };
        self.capture(wish, prepared);
        claim.created = Some((slot, name.clone()));
    }

    /// Takes over what nobody owns and whose name fits a series' pattern. What is declared by its name is left to that.
    fn adopt(&mut self, claims: &mut [SeriesClaim<'a>], declared: &[Claim<'_>]) {
        let pattern = |claim: &SeriesClaim<'_>| {
            let active = claim.is_active() && claim.series.is_present();
            claim.series.series.adopt.as_ref().filter(|_| active).and_then(|adopt| TimePattern::new(adopt).ok())
        };
        let patterns: Vec<_> = claims.iter().map(pattern).collect();
        if patterns.iter().all(Option::is_none) {
            return;
        }
        let declared: BTreeSet<_> = declared.iter().map(|claim| &claim.snapshot.name).collect();
        let domain = self.domain;
        let free = |snapshot: &&ObservedSnapshot| own_stamp(snapshot).is_none() && !declared.contains(&snapshot.name);
        for snapshot in domain.tree.iter().filter(free) {
            let name = &snapshot.name;
            let fits = |pattern: &Option<TimePattern>| pattern.as_ref()?.slot_of(name.as_str());
            let takers: Vec<_> =
                patterns.iter().enumerate().filter_map(|(index, pattern)| Some((index, fits(pattern)?))).collect();
            match takers.as_slice() {
                [] => {}
                [(index, slot)] if *slot > self.latest_sane() => {
                    let text = format!(
                        "its name fits the pattern of {} and says {slot}, which has not come; it is left as it is",
                        claims[*index].label()
                    );
                    let way_out = "correct the pattern's timeZone, or the clock";
                    let origin = claims[*index].series.origin("/adopt");
                    self.block(Some(name), BlockCode::Clock, text, way_out, vec![origin]);
                }
                [(index, slot)] => {
                    let claim = &mut claims[*index];
                    claim.adopted.insert(name, *slot);
                    self.take_over(claim, snapshot, *slot);
                }
                several => {
                    let series: Vec<_> = several.iter().map(|(index, _)| claims[*index].label()).collect();
                    let text = format!("its name fits the patterns of {}; it is left as it is", series.join(" and "));
                    let way_out = "make one of the patterns (adopt.pattern) stricter";
                    let origins = several.iter().map(|(index, _)| claims[*index].series.origin("/adopt")).collect();
                    self.block(Some(name), BlockCode::Conflict, text, way_out, origins);
                }
            }
        }
    }

    fn take_over(&mut self, claim: &SeriesClaim<'_>, snapshot: &ObservedSnapshot, slot: jiff::Timestamp) {
        let mut stamp = Stamp::new(claim.id.clone(), snapshot.name.clone());
        stamp.series = Some(claim.name().to_owned());
        stamp.slot = Some(slot);
        let pattern = claim.series.series.adopt.as_ref().map(|adopt| adopt.pattern.as_str()).unwrap_or_default();
        let before = snapshot.description.stamp.as_ref().map(Stamp::lines).unwrap_or_default();
        self.redefines.push(Action {
            address: self.address(Some(&snapshot.name)),
            action: ActionKind::Redefine,
            reason: Reason {
                code: ReasonCode::Adopt,
                text: format!(
                    "its name fits {}; it becomes the slot {slot} of series {}",
                    printable(pattern),
                    claim.name()
                )
                .into(),
            },
            origin: claim.series.origin("/adopt"),
            before: Some(View { stamp: Some(before), ..View::default() }),
            after: Some(View { stamp: Some(stamp.lines()), ..View::default() }),
            risk: metadata_only(),
            definition: None,
        });
    }
}

/// The snapshots that the series of a domain account for.
pub(super) fn names<'c>(claims: &'c [SeriesClaim<'_>]) -> impl Iterator<Item = &'c SnapshotName> {
    claims
        .iter()
        .flat_map(|claim| claim.members.iter().map(|snapshot| &snapshot.name).chain(claim.adopted.keys().copied()))
}
