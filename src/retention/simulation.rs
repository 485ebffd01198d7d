//! Retention tried on a list of names and times: by one engine, or by several beside each other.

use jiff::Timestamp;

use super::decide::{UnknownZone, decide, zone};
use super::engines;
use super::{Candidate, Context, Wording};
use crate::model::kinds::RetentionSpec;
use crate::model::names::SnapshotName;
use crate::model::plan::FORMAT_VERSION;
use crate::model::retention::{
    Basis, Because, Code, Compared, Comparison, ComparisonSummary, Engine, EngineSummary, Listed, Simulated,
    Simulation, Verdict,
};

/// A listed snapshot and the instant that its time stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// As it was listed.
    pub listed: Listed,
    /// Its instant.
    pub at: Timestamp,
}

/// What an engine would do to a list under a policy; `policy` is its name.
///
/// # Errors
/// [`UnknownZone`], which a validated policy does not have.
pub fn simulate(
    engine: Engine,
    list: &[Taken],
    policy: &str,
    spec: &RetentionSpec,
    context: &Context<'_>,
) -> Result<Simulation, UnknownZone> {
    let snapshots = simulated(engine, list, spec, context)?;
    Ok(Simulation {
        format_version: FORMAT_VERSION,
        basis: basis(policy, spec, context),
        summary: summary(engine, &snapshots, spec),
        snapshots,
    })
}

/// What several engines would do to the same list.
///
/// # Errors
/// [`UnknownZone`], which a validated policy does not have.
pub fn compare(
    engines: &[Engine],
    list: &[Taken],
    policy: &str,
    spec: &RetentionSpec,
    context: &Context<'_>,
) -> Result<Comparison, UnknownZone> {
    let mut snapshots: Vec<Compared> = list
        .iter()
        .map(|Taken { listed, .. }| Compared {
            name: listed.name.clone(),
            time: listed.time.clone(),
            differs: false,
            verdicts: Vec::with_capacity(engines.len()),
        })
        .collect();
    let mut summaries = Vec::new();
    for &engine in engines {
        let said = simulated(engine, list, spec, context)?;
        summaries.push(summary(engine, &said, spec));
        for (snapshot, Simulated { keep, reasons, .. }) in snapshots.iter_mut().zip(said) {
            snapshot.differs |= snapshot.verdicts.first().is_some_and(|first| first.keep != keep);
            snapshot.verdicts.push(Verdict { engine, keep, reasons });
        }
    }
    let differing = snapshots.iter().filter(|snapshot| snapshot.differs).count();
    Ok(Comparison {
        format_version: FORMAT_VERSION,
        basis: basis(policy, spec, context),
        summary: ComparisonSummary { snapshots: snapshots.len(), differing, engines: summaries },
        snapshots,
    })
}

fn basis(policy: &str, spec: &RetentionSpec, context: &Context<'_>) -> Basis {
    Basis {
        policy: policy.to_owned(),
        at: context.now.to_string(),
        time_zone: spec.time_zone.clone().unwrap_or_else(|| "UTC".to_owned()),
    }
}

fn summary(engine: Engine, snapshots: &[Simulated], spec: &RetentionSpec) -> EngineSummary {
    let kept = snapshots.iter().filter(|snapshot| snapshot.keep).count();
    let left_out = engines::left_out(engine, spec).into_iter().map(str::to_owned).collect();
    EngineSummary { engine, kept, deleted: snapshots.len() - kept, left_out }
}

fn simulated(
    engine: Engine,
    list: &[Taken],
    spec: &RetentionSpec,
    context: &Context<'_>,
) -> Result<Vec<Simulated>, UnknownZone> {
    let (zone, times) = (zone(spec)?, || list.iter().map(|taken| taken.at).collect::<Vec<_>>());
    let kept = match engine {
        Engine::Snapward => return by_snapward(list, spec, context),
        Engine::Restic => engines::restic(&times(), &spec.keep, &zone, context.now),
        Engine::Borg => engines::borg(&times(), &spec.keep, &zone, context.now),
        Engine::Pbs => engines::pbs(&times(), &spec.keep, &zone),
    };
    let verdict = |(taken, mut reasons): (&Taken, Vec<Because>)| {
        let keep = !reasons.is_empty();
        if !keep {
            reasons.push(Because { code: Code::Unmarked, text: format!("no rule of {} keeps it", engine.name()) });
        }
        Simulated { name: taken.listed.name.clone(), time: taken.listed.time.clone(), keep, reasons, saved_by: None }
    };
    Ok(list.iter().zip(kept).map(verdict).collect())
}

fn by_snapward(list: &[Taken], spec: &RetentionSpec, context: &Context<'_>) -> Result<Vec<Simulated>, UnknownZone> {
    let candidates: Vec<Candidate> = list
        .iter()
        .map(|Taken { listed, at }| Candidate {
            name: SnapshotName::observed(&listed.name),
            slot: *at,
            created: *at,
            complete: true,
            set_aside: None,
            current: false,
        })
        .collect();
    let words = Wording::new(&candidates, spec);
    let decisions = decide(&candidates, spec, context)?;
    let told = list.iter().zip(decisions).enumerate().map(|(index, (taken, decision))| Simulated {
        name: taken.listed.name.clone(),
        time: taken.listed.time.clone(),
        keep: decision.keep,
        reasons: decision
            .reasons
            .iter()
            .map(|reason| Because { code: reason.code(), text: words.reason(index, reason) })
            .collect(),
        saved_by: decision.saved_by.map(|change| words.change(change)),
    });
    Ok(told.collect())
}
