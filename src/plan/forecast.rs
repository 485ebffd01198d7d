//! Months ahead: schedule and retention of series on a virtual clock. Every slot is taken at its instant and complete, and
//! retention runs right after it, as if `prune` were true.

use jiff::{SignedDuration, Timestamp};

use crate::model::desired::DesiredState;
use crate::model::kinds::{Capture, Clock, Location, RetentionChoice, RetentionSpec, Schedule, SeriesTemplateSpec};
use crate::model::names::{SetId, SnapshotName};
use crate::model::plan::FORMAT_VERSION;
use crate::model::retention::{Forecast, ForecastSummary, Gap, Life, SeriesForecast, Steady};
use crate::model::series::{EffectiveSeries, slot_name};
use crate::retention::{Candidate, Context, decide};
use crate::schedule::Timetable;

/// The most slots run through: an hourly series for more than ten years.
pub const MAX_SLOTS: usize = 100_000;

/// The ages that gaps are looked at in, in days.
const AGES: [i64; 4] = [1, 7, 30, 365];

/// Why there is no forecast; a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForecastError {
    /// There is nothing to run.
    #[error("the manifests hold no series and no SeriesTemplate that has both a schedule and a retention policy")]
    NoSeries,
    /// It would take too long.
    #[error("`{0}` has more than {MAX_SLOTS} slots in that time; give a shorter one")]
    TooMany(String),
    /// Never in validated manifests.
    #[error("{0}")]
    Invalid(String),
}

/// One series to run.
struct Course<'a> {
    owner: String,
    series: Option<String>,
    schedule: &'a Schedule,
    policy: &'a RetentionSpec,
    capture: Option<&'a Capture>,
}

/// Runs all series of the sets, and the templates that say enough, from one instant to another.
///
/// # Errors
/// [`ForecastError`].
pub fn forecast(desired: &DesiredState, from: Timestamp, to: Timestamp) -> Result<Forecast, ForecastError> {
    let series = courses(desired).iter().map(|course| run(course, from, to)).collect::<Result<Vec<_>, _>>()?;
    if series.is_empty() {
        return Err(ForecastError::NoSeries);
    }
    let summary = ForecastSummary { series: series.len(), peak: series.iter().map(|series| series.peak).sum() };
    Ok(Forecast { format_version: FORMAT_VERSION, from: from.to_string(), to: to.to_string(), summary, series })
}

fn courses(desired: &DesiredState) -> Vec<Course<'_>> {
    let mut courses = Vec::new();
    for set in &desired.sets {
        for series in EffectiveSeries::all(desired, set).into_iter().filter(EffectiveSeries::is_present) {
            if let (Some(schedule), Some(policy)) = (series.schedule, series.retention) {
                let (owner, name) = (set.id().to_string(), Some(series.series.name.clone()));
                courses.push(Course { owner, series: name, schedule, policy, capture: series.capture });
            }
        }
    }
    for (id, template) in &desired.templates {
        let spec = &template.value.spec;
        if let (Some(schedule), Some(policy)) = (&spec.schedule, policy_of(desired, id, spec)) {
            courses.push(Course {
                owner: id.to_string(),
                series: None,
                schedule,
                policy,
                capture: spec.capture.as_ref(),
            });
        }
    }
    courses
}

fn policy_of<'a>(desired: &'a DesiredState, id: &SetId, spec: &'a SeriesTemplateSpec) -> Option<&'a RetentionSpec> {
    let RetentionChoice { policy_ref, spec } = spec.retention.as_ref()?;
    spec.as_ref().or_else(|| {
        let name = SetId { namespace: id.namespace.clone(), name: policy_ref.clone()? };
        Some(&desired.retention.get(&name)?.value.spec)
    })
}

fn run(course: &Course<'_>, from: Timestamp, to: Timestamp) -> Result<SeriesForecast, ForecastError> {
    let timetable = Timetable::of(course.schedule).map_err(|error| ForecastError::Invalid(error.text))?;
    let before = from.checked_sub(SignedDuration::from_secs(1)).unwrap_or(from);
    let max_future = Clock::default().max_future;
    let middle = from + to.duration_since(from) / 2;
    let mut there: Vec<Candidate> = Vec::new();
    let mut lives: Vec<Life> = Vec::new();
    let (mut counts, mut peak, mut gaps) = (Vec::new(), 0, Gaps::new(to.duration_since(middle)));
    for now in timetable.after(before).take_while(|slot| *slot <= to) {
        if counts.len() == MAX_SLOTS {
            return Err(ForecastError::TooMany(course.schedule.cron.clone()));
        }
        there.push(Candidate {
            name: SnapshotName::observed(slot_name(now)),
            slot: now,
            created: now,
            complete: true,
            set_aside: None,
            current: false,
        });
        lives.push(Life { taken: now.as_second(), gone: None });
        peak = peak.max(there.len());
        if now > middle {
            gaps.see(now, &there);
        }
        let decisions = decide(&there, course.policy, &Context { now, max_future: &max_future })
            .map_err(|error| ForecastError::Invalid(error.to_string()))?;
        let mut decisions = decisions.iter();
        there.retain(|candidate| {
            let stays = decisions.next().is_none_or(|decision| decision.keep);
            if !stays && let Ok(life) = lives.binary_search_by_key(&candidate.slot.as_second(), |life| life.taken) {
                lives[life].gone = Some(now.as_second());
            }
            stays
        });
        counts.push((now, there.len()));
    }
    let external = course.capture.is_some_and(|capture| capture.location == Location::External);
    Ok(SeriesForecast {
        owner: course.owner.clone(),
        series: course.series.clone(),
        cron: course.schedule.cron.clone(),
        taken: lives.len(),
        peak,
        steady: steady(&counts, from, to),
        // An overlay for each, on the image that was there first.
        chain: external.then_some(peak + 1),
        gaps: gaps.worst,
        left: there.iter().map(|candidate| candidate.slot.to_string()).collect(),
        lives,
    })
}

/// The counts of the second half, and whether its own second half still has more than its first.
fn steady(counts: &[(Timestamp, usize)], from: Timestamp, to: Timestamp) -> Steady {
    let quarter = to.duration_since(from) / 4;
    let of = |start: Timestamp, end: Timestamp| {
        counts.iter().filter(move |(at, _)| *at > start && *at <= end).map(|(_, count)| *count)
    };
    let (middle, last) = (from + quarter * 2, from + quarter * 3);
    Steady {
        least: of(middle, to).min().unwrap_or(0),
        most: of(middle, to).max().unwrap_or(0),
        growing: of(last, to).max() > of(middle, last).max(),
    }
}

/// The worst gaps seen so far.
struct Gaps {
    worst: Vec<Gap>,
}

impl Gaps {
    /// Of the ages that lie within the time that is looked at.
    fn new(time: SignedDuration) -> Self {
        let within = AGES.into_iter().filter(|days| SignedDuration::from_hours(24 * days) <= time);
        Self { worst: within.map(|days| Gap { days, seconds: 0 }).collect() }
    }

    /// Looks at neighbours, oldest first, at the moment the last of them was taken.
    fn see(&mut self, now: Timestamp, there: &[Candidate]) {
        for pair in there.windows(2) {
            let (older, newer) = (pair[0].slot, pair[1].slot);
            let seconds = newer.duration_since(older).as_secs();
            for gap in &mut self.worst {
                if now.duration_since(newer).as_secs() < gap.days * 86_400 {
                    gap.seconds = gap.seconds.max(seconds);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Source, load};

    fn forecast_of(text: &str, from: &str, to: &str) -> Result<Forecast, ForecastError> {
        let loaded = load(&[Source { name: "f.yaml".into(), text: text.as_bytes().to_vec() }]);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        forecast(&loaded.desired, from.parse().unwrap(), to.parse().unwrap())
    }

    fn template(spec: &str) -> String {
        format!("apiVersion: snapward/v1\nkind: SeriesTemplate\nmetadata: {{name: t}}\nspec: {{{spec}}}\n")
    }

    #[test]
    fn a_daily_series_settles_on_what_its_policy_keeps() {
        let text = template(
            r#"schedule: {cron: "@daily"}, capture: {content: disks, location: external}, retention: {spec: {keep: {daily: 5}}}"#,
        );
        let found = forecast_of(&text, "2026-01-01T00:00:00Z", "2026-03-01T12:00:00Z").unwrap();
        let series = &found.series[0];
        assert_eq!((series.taken, series.peak, series.chain), (60, 6, Some(7)));
        assert_eq!(series.steady, Steady { least: 5, most: 5, growing: false });
        assert_eq!(series.gaps, [Gap { days: 1, seconds: 86_400 }, Gap { days: 7, seconds: 86_400 }]);
        assert_eq!(series.left[0], "2026-02-25T00:00:00Z");
        assert_eq!(series.lives.iter().filter(|life| life.gone.is_none()).count(), 5);
        assert_eq!(series.lives[0], Life { taken: 1_767_225_600, gone: Some(1_767_225_600 + 5 * 86_400) });
    }

    #[test]
    fn a_time_too_short_to_tell_says_so() {
        let text = template(r#"schedule: {cron: "@daily"}, retention: {spec: {keep: {daily: 50}}}"#);
        let found = forecast_of(&text, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z").unwrap();
        assert!(found.series[0].steady.growing);
        assert_eq!(found.series[0].chain, None);
    }

    #[test]
    fn too_many_slots_and_no_series_are_errors() {
        let text = template(r#"schedule: {cron: "* * * * *"}, retention: {spec: {keep: {last: 1}}}"#);
        let error = forecast_of(&text, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z").unwrap_err();
        assert_eq!(error, ForecastError::TooMany("* * * * *".to_owned()));
        let error = forecast_of(&template(""), "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z").unwrap_err();
        assert_eq!(error, ForecastError::NoSeries);
    }
}
