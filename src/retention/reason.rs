//! Decisions and their reasons: data here, words in [`super::wording`].

use jiff::Timestamp;

use super::calendar::Bucket;
use super::rule::{Period, Rule};
use crate::model::retention::Code;

/// One reason, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A rule picked it for its bucket.
    Rule {
        /// The rule.
        rule: Rule,
        /// The bucket it stands for.
        bucket: Bucket,
        /// Which one it is of those the rule counted, from 1.
        ordinal: u32,
    },
    /// The oldest, while the coarsest count rule has so many.
    Oldest {
        /// The period of that rule.
        period: Period,
        /// How many it has.
        counted: u32,
    },
    /// The newest of the series.
    Newest,
    /// The domain's current snapshot.
    Current,
    /// Held.
    Held,
    /// Protected.
    Protected,
    /// Too young to go before this instant; none beyond the end of time.
    MinimumAge(Option<Timestamp>),
    /// One of the newest complete ones; its number from 1.
    MinimumCount(u32),
    /// Its slot or its creation lies ahead of now.
    Clock(Timestamp),
    /// Lost its bucket to the candidate at this index of the input.
    Superseded {
        /// The finest rule that reaches its bucket.
        rule: Rule,
        /// The bucket.
        bucket: Bucket,
        /// Who stands for it.
        by: usize,
    },
    /// No rule reaches back to it.
    Beyond,
    /// Older than `maximumAge`.
    MaximumAge,
}

impl Reason {
    /// Whether its words hang on the candidates, and not on itself and the policy alone.
    pub(super) fn is_about_candidates(&self) -> bool {
        matches!(self, Self::Held | Self::Superseded { .. })
    }

    /// The code for programs.
    pub fn code(&self) -> Code {
        match self {
            Self::Rule { rule, .. } => rule.code(),
            Self::Oldest { .. } => Code::Oldest,
            Self::Newest => Code::Newest,
            Self::Current => Code::Current,
            Self::Held => Code::Held,
            Self::Protected => Code::Protected,
            Self::MinimumAge(_) => Code::MinimumAge,
            Self::MinimumCount(_) => Code::MinimumCount,
            Self::Clock(_) => Code::Clock,
            Self::Superseded { .. } => Code::Superseded,
            Self::Beyond => Code::Beyond,
            Self::MaximumAge => Code::MaximumAge,
        }
    }
}

/// A change of policy with which a deleted snapshot would have been kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The count of this period's rule, raised to so many.
    Count {
        /// The rule's period.
        period: Period,
        /// The smallest count with which this rule keeps it.
        to: u32,
    },
    /// No `maximumAge`.
    NoMaximumAge,
}

/// What becomes of one candidate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// Whether it stays.
    pub keep: bool,
    /// Every reason to keep it; of a deleted one, why it lost. Never empty.
    pub reasons: Vec<Reason>,
    /// Of a deleted one: the smallest raise of one count with which that rule keeps it (of equal raises the coarsest rule).
    /// None where more than one thing would have to change.
    pub saved_by: Option<Change>,
}
