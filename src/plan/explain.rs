//! `retention explain`: the decisions behind a plan, told of every snapshot, with when each of the kept ones will go.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::claims::Claim;
use super::domain::{Planner, suspended};
use super::retain::Retained;
use super::series::SeriesClaim;
use super::{Context, claims, domain, windows};
use crate::model::desired::DesiredState;
use crate::model::explanation::{Explained, ExplainedSeries, Explanation, ExplanationSummary};
use crate::model::kinds::RetentionSpec;
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedState;
use crate::model::plan::{Address, FORMAT_VERSION, Plan};
use crate::model::retention::{Because, Code};
use crate::retention::{self, Candidate, Wording};
use crate::schedule::Tempo;

/// How many slots are looked ahead: a quarter of a year of an hourly series, seven years of a daily one. Each costs a
/// decision on the whole series.
const SLOTS_AHEAD: usize = 2_500;

/// Explains the retention of every series in the selected domains, as the plan of the same state and time carries it out.
pub fn explain(desired: &DesiredState, observed: &ObservedState, now: Timestamp, plan: &Plan) -> Explanation {
    let mut context = Context::new(desired, now);
    context.explain = true;
    let mut series = Vec::new();
    for host in &observed.hosts {
        for read in &host.domains {
            let sets = context.sets_of(&host.info, &read.name, read.uuid);
            let waits = windows::waits_for(&context, host, read);
            for mut one in domain::plan_domain(&context, host, read, &claims::collect(&context, sets, None)).explained {
                if one.not_carried_out.is_none() && one.snapshots.iter().any(|snapshot| !snapshot.keep) {
                    one.not_carried_out = held_back(plan, &one).or_else(|| waits.clone());
                }
                series.push(one);
            }
        }
    }
    let snapshots = || series.iter().flat_map(|series: &ExplainedSeries| &series.snapshots);
    let kept = snapshots().filter(|snapshot| snapshot.keep).count();
    let summary = ExplanationSummary { series: series.len(), kept, deleted: snapshots().count() - kept };
    let unreadable = plan.unreadable.clone();
    Explanation { format_version: FORMAT_VERSION, at: now.to_string(), summary, series, unreadable }
}

/// What the plan says where it blocks a deletion of the series, as its breaker does.
fn held_back(plan: &Plan, series: &ExplainedSeries) -> Option<String> {
    let goes = |name: &SnapshotName| series.snapshots.iter().any(|snapshot| !snapshot.keep && snapshot.name == *name);
    let held = plan.blocked.iter().find(|item| {
        let Address { host, domain, snapshot } = &item.address;
        *host == series.host && *domain == series.domain && snapshot.as_ref().is_some_and(goes)
    })?;
    Some(format!("deletions are blocked, {:?}; snapward plan says why", held.code))
}

impl<'a> Planner<'a> {
    /// Explains each series that has a policy. `obstacle` is what keeps the whole domain from being worked on.
    pub(super) fn explain(
        &self,
        claims: &[SeriesClaim<'a>],
        declared: &[Claim<'_>],
        obstacle: Option<&str>,
    ) -> Vec<ExplainedSeries> {
        if !self.context.explain {
            return Vec::new();
        }
        let declared: BTreeSet<&SnapshotName> = declared.iter().map(|claim| &claim.snapshot.name).collect();
        let one = |claim: &SeriesClaim<'a>| {
            let retained = self.decide(claim, &declared)?;
            Some(self.explained(claim, &retained, obstacle))
        };
        claims.iter().filter_map(one).collect()
    }

    fn explained(&self, claim: &SeriesClaim<'a>, retained: &Retained<'a>, obstacle: Option<&str>) -> ExplainedSeries {
        let Retained { spec, candidates, decisions } = retained;
        let wording = Wording::new(candidates, spec);
        let losers = candidates.iter().zip(decisions).filter(|(_, decision)| !decision.keep);
        let losers: BTreeSet<SnapshotName> = losers.map(|(candidate, _)| candidate.name.clone()).collect();
        let held: BTreeMap<SnapshotName, String> = self.held_by_tree(&losers).into_iter().collect();
        let outlook = self.outlook(claim, retained);
        let of = |index: usize| {
            let (candidate, decision) = (&candidates[index], &decisions[index]);
            let because =
                |reason: &retention::Reason| Because { code: reason.code(), text: wording.reason(index, reason) };
            let mut reasons: Vec<Because> = decision.reasons.iter().map(because).collect();
            let tree = held.get(&candidate.name);
            reasons.extend(tree.map(|why| Because { code: Code::Tree, text: why.clone() }));
            let keep = decision.keep || tree.is_some();
            let (goes, stays_until) = match outlook.as_ref().filter(|_| decision.keep && candidate.set_aside.is_none())
            {
                None => (None, None),
                Some(outlook) => match outlook.goes.get(&candidate.name) {
                    Some(goes) => (Some(goes.to_string()), None),
                    None => (None, Some(outlook.until.to_string())),
                },
            };
            Explained {
                name: candidate.name.clone(),
                slot: candidate.slot.to_string(),
                created: candidate.created.to_string(),
                keep,
                reasons,
                goes,
                stays_until,
                saved_by: decision.saved_by.filter(|_| !keep).map(|change| wording.change(change)),
            }
        };
        // Without the one that this pass would capture: it is not there yet.
        let mut order: Vec<usize> = (0..claim.members.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse((candidates[index].slot, candidates[index].name.clone())));
        ExplainedSeries {
            host: self.host.name.clone(),
            domain: self.domain.name.clone(),
            set: claim.id.to_string(),
            series: claim.series.series.name.clone(),
            not_carried_out: self.not_carried_out(claim, obstacle),
            snapshots: order.into_iter().map(of).collect(),
        }
    }

    fn not_carried_out(&self, claim: &SeriesClaim<'_>, obstacle: Option<&str>) -> Option<String> {
        if let Some(why) = suspended(claim.series.set, self.context.now) {
            return Some(format!("its set is suspended: {why}"));
        }
        if let Some(obstacle) = obstacle {
            return Some(obstacle.to_owned());
        }
        if !claim.series.is_present() {
            return Some("the series is declared with state: absent, which deletes whatever is not held".to_owned());
        }
        if !claim.series.prune {
            return Some("prune is not set: nothing is deleted".to_owned());
        }
        if !claim.is_active() {
            return Some("the series is blocked; snapward plan says why".to_owned());
        }
        claim.adopts().then(|| "snapshots are taken over first; nothing is deleted in the same pass".to_owned())
    }

    /// Lets the clock run: every slot is taken, and what loses goes.
    fn outlook(&self, claim: &SeriesClaim<'a>, retained: &Retained<'a>) -> Option<Outlook> {
        let tempo = Tempo::of(claim.series.schedule?).ok()?;
        let mut kept: Vec<Candidate> = retained
            .candidates
            .iter()
            .zip(&retained.decisions)
            .filter(|(_, decision)| decision.keep)
            .map(|(candidate, _)| Candidate {
                // The pointer goes on with the captures, unless it is declared.
                current: self.pointed_at.contains(&candidate.name),
                ..candidate.clone()
            })
            .collect();
        let mut present: BTreeSet<SnapshotName> = kept
            .iter()
            .filter(|candidate| candidate.set_aside.is_none())
            .map(|candidate| candidate.name.clone())
            .collect();
        let mut outlook = Outlook { goes: BTreeMap::new(), until: self.context.now };
        for slot in tempo.timetable.after(self.context.now).take(SLOTS_AHEAD) {
            if present.is_empty() {
                break;
            }
            outlook.until = slot;
            let name = SnapshotName::observed(claim.series.name_of(slot));
            kept.push(Candidate { name, slot, created: slot, complete: true, set_aside: None, current: false });
            kept = self.survivors(kept, retained.spec, slot)?;
            let left: BTreeSet<&SnapshotName> = kept.iter().map(|candidate| &candidate.name).collect();
            let gone: Vec<_> = present.iter().filter(|name| !left.contains(name)).cloned().collect();
            for name in gone {
                present.remove(&name);
                outlook.goes.insert(name, slot);
            }
        }
        Some(outlook)
    }

    fn survivors(&self, candidates: Vec<Candidate>, spec: &RetentionSpec, now: Timestamp) -> Option<Vec<Candidate>> {
        let context = retention::Context { now, max_future: &self.limits.clock.max_future };
        let decisions = retention::decide(&candidates, spec, &context).ok()?;
        Some(
            candidates.into_iter().zip(decisions).filter(|(_, decision)| decision.keep).map(|(kept, _)| kept).collect(),
        )
    }
}

/// What becomes of the snapshots of a series when every slot is taken.
struct Outlook {
    /// When each of those goes that do.
    goes: BTreeMap<SnapshotName, Timestamp>,
    /// How far it looked.
    until: Timestamp,
}
