//! What retention says of snapshots, for people and programs: codes, simulations, comparisons. Also their JSON forms.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a snapshot is kept or deleted, for programs. These names do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Code {
    /// Kept by `keep.last`.
    Last,
    /// Kept by `keep.within`.
    Within,
    /// Kept by `keep.hourly`.
    Hourly,
    /// Kept by `keep.withinHourly`.
    WithinHourly,
    /// Kept by `keep.daily`.
    Daily,
    /// Kept by `keep.withinDaily`.
    WithinDaily,
    /// Kept by `keep.weekly`.
    Weekly,
    /// Kept by `keep.withinWeekly`.
    WithinWeekly,
    /// Kept by `keep.monthly`.
    Monthly,
    /// Kept by `keep.withinMonthly`.
    WithinMonthly,
    /// Kept by `keep.quarterly`.
    Quarterly,
    /// Kept by `keep.withinQuarterly`.
    WithinQuarterly,
    /// Kept by `keep.yearly`.
    Yearly,
    /// Kept by `keep.withinYearly`.
    WithinYearly,
    /// Kept as the oldest while the coarsest count is not reached.
    Oldest,
    /// Kept as the newest of its series.
    Newest,
    /// Kept as the domain's current snapshot.
    Current,
    /// Kept for a hold.
    Held,
    /// Kept for `protect: true`.
    Protected,
    /// Kept, being younger than `minimumAge`.
    MinimumAge,
    /// Kept as one of the newest complete ones that `minimumCount` asks for.
    MinimumCount,
    /// Kept, its clock not being sane.
    Clock,
    /// Kept, libvirt not being able to delete it now.
    Tree,
    /// Deleted: another snapshot stands for its bucket.
    Superseded,
    /// Deleted: no rule reaches back to it.
    Beyond,
    /// Deleted: older than `maximumAge`.
    MaximumAge,
    /// Deleted by another engine: none of its rules keeps it.
    Unmarked,
}

impl Code {
    /// The code as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Within => "within",
            Self::Hourly => "hourly",
            Self::WithinHourly => "withinHourly",
            Self::Daily => "daily",
            Self::WithinDaily => "withinDaily",
            Self::Weekly => "weekly",
            Self::WithinWeekly => "withinWeekly",
            Self::Monthly => "monthly",
            Self::WithinMonthly => "withinMonthly",
            Self::Quarterly => "quarterly",
            Self::WithinQuarterly => "withinQuarterly",
            Self::Yearly => "yearly",
            Self::WithinYearly => "withinYearly",
            Self::Oldest => "oldest",
            Self::Newest => "newest",
            Self::Current => "current",
            Self::Held => "held",
            Self::Protected => "protected",
            Self::MinimumAge => "minimumAge",
            Self::MinimumCount => "minimumCount",
            Self::Clock => "clock",
            Self::Tree => "tree",
            Self::Superseded => "superseded",
            Self::Beyond => "beyond",
            Self::MaximumAge => "maximumAge",
            Self::Unmarked => "unmarked",
        }
    }
}

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Engine {
    /// snapward itself.
    Snapward,
    /// As restic 0.18 would: `forget`.
    Restic,
    /// As borg 1.4 would: `prune`.
    Borg,
    /// As Proxmox Backup Server would: `prune`.
    Pbs,
}

impl Engine {
    /// All, snapward first.
    pub const ALL: [Self; 4] = [Self::Snapward, Self::Restic, Self::Borg, Self::Pbs];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapward => "snapward",
            Self::Restic => "restic",
            Self::Borg => "borg",
            Self::Pbs => "pbs",
        }
    }
}

/// One snapshot of a list that retention is tried on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Any name, each once.
    pub name: String,
    /// RFC 3339, with an offset.
    pub time: String,
}

/// A reason: a code for programs, a text for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Because {
    /// For programs.
    pub code: Code,
    /// For people; of another engine, in the words of that tool.
    pub text: String,
}

/// What was decided on, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Basis {
    /// The policy, as namespace/name.
    pub policy: String,
    /// The time taken for now, RFC 3339.
    pub at: String,
    /// The zone of the policy.
    pub time_zone: String,
}

/// What a policy would do to a list of snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// The version of this form.
    pub format_version: u32,
    /// What was decided on.
    #[serde(flatten)]
    pub basis: Basis,
    /// Counts.
    pub summary: EngineSummary,
    /// The snapshots, in the order of the list.
    pub snapshots: Vec<Simulated>,
}

/// What an engine does to a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EngineSummary {
    /// Who decided.
    pub engine: Engine,
    /// How many it keeps.
    pub kept: usize,
    /// How many it deletes.
    pub deleted: usize,
    /// Fields of the policy that this engine has nothing like; they had no part in it.
    pub left_out: Vec<String>,
}

/// What becomes of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Simulated {
    /// As in the list.
    pub name: String,
    /// As in the list.
    pub time: String,
    /// Whether it is kept.
    pub keep: bool,
    /// Why it is kept; of a deleted one, why not.
    pub reasons: Vec<Because>,
    /// Of a deleted one: the smallest change of one count that would have kept it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved_by: Option<String>,
}

/// What several engines would do to the same list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The version of this form.
    pub format_version: u32,
    /// What was decided on.
    #[serde(flatten)]
    pub basis: Basis,
    /// Counts.
    pub summary: ComparisonSummary,
    /// The snapshots, in the order of the list.
    pub snapshots: Vec<Compared>,
}

/// Counts of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonSummary {
    /// How many snapshots the list has.
    pub snapshots: usize,
    /// On how many the engines do not agree.
    pub differing: usize,
    /// The engines, in the order of each snapshot's verdicts.
    pub engines: Vec<EngineSummary>,
}

/// What the engines say of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// As in the list.
    pub name: String,
    /// As in the list.
    pub time: String,
    /// Whether the engines do not agree.
    pub differs: bool,
    /// One for each engine.
    pub verdicts: Vec<Verdict>,
}

/// What one engine says of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Who says it.
    pub engine: Engine,
    /// Whether it is kept.
    pub keep: bool,
    /// Why, or why not.
    pub reasons: Vec<Because>,
}

/// What series come to on a clock that runs ahead: every slot is taken, and retention deletes right after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// The version of this form.
    pub format_version: u32,
    /// The first instant, RFC 3339.
    pub from: String,
    /// The last instant, RFC 3339.
    pub to: String,
    /// Counts.
    pub summary: ForecastSummary,
    /// The series and templates with a schedule and a policy.
    pub series: Vec<SeriesForecast>,
}

/// Counts of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastSummary {
    /// How many series there are.
    pub series: usize,
    /// The sum of their peaks: what one domain may hold that has them all.
    pub peak: usize,
}

/// What one series comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeriesForecast {
    /// The set or the template, as namespace/name.
    pub owner: String,
    /// The series; none for a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// The cron expression.
    pub cron: String,
    /// How many snapshots were taken.
    pub taken: usize,
    /// The most there were at a time, with the one just taken.
    pub peak: usize,
    /// The fewest and the most after a pass, in the second half of the time.
    pub steady: Steady,
    /// For external captures: the most images in a disk's chain, if the series has it for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<usize>,
    /// How far apart snapshots lie, by age, in the second half of the time.
    pub gaps: Vec<Gap>,
    /// What is there at the end, oldest first, RFC 3339.
    pub left: Vec<String>,
    /// The life of every snapshot, in epoch seconds; for drawing.
    #[serde(skip)]
    pub lives: Vec<Life>,
}

/// The counts of a steady state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Steady {
    /// The fewest.
    pub least: usize,
    /// The most.
    pub most: usize,
    /// Whether the last quarter of the time has more than the one before it: then the time is too short to tell.
    pub growing: bool,
}

/// The longest time between neighbours, of which the newer is younger than an age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The age in days.
    pub days: i64,
    /// The gap in seconds.
    pub seconds: i64,
}

/// From when to when a snapshot was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Its slot.
    pub taken: i64,
    /// When it was deleted; none: it is there at the end.
    pub gone: Option<i64>,
}
