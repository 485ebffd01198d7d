//! The rules of a policy, in the order they run: fine to coarse, in each period the count before the span.

use crate::model::kinds::{Keep, TimeSpan};
use crate::model::retention::Code;

/// What one bucket of a rule covers, fine to coarse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// One snapshot.
    Each,
    /// An hour of the zone, told apart by its UTC offset.
    Hour,
    /// A calendar day.
    Day,
    /// An ISO 8601 week, from Monday.
    Week,
    /// A calendar month.
    Month,
    /// Three calendar months from January, April, July, October.
    Quarter,
    /// A calendar year.
    Year,
}

impl Period {
    /// All, fine to coarse.
    pub const ALL: [Self; 7] = [Self::Each, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// The shortest that one can be, in seconds, leaving the hour or two of a clock change aside; 0 for a single snapshot.
    pub fn shortest_seconds(self) -> i64 {
        const DAY: i64 = 86_400;
        match self {
            Self::Each => 0,
            Self::Hour => 3_600,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 28 * DAY,
            Self::Quarter => 90 * DAY,
            Self::Year => 365 * DAY,
        }
    }

    /// Whether every bucket of this period lies whole in one bucket of the other. All finer ones do, but weeks cross the
    /// ends of months, quarters and years.
    pub fn nests_in(self, coarser: Self) -> bool {
        self <= coarser && (self != Self::Week || coarser == Self::Week)
    }
}

/// One rule of `keep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// The size of its buckets.
    pub period: Period,
    /// Whether it reaches a span back, or keeps a count.
    pub reach: Reach,
}

/// How far back a rule goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// For so many buckets that have a snapshot.
    Count,
    /// For so long.
    Span,
}

impl Rule {
    /// The rule that counts buckets of a period.
    pub const fn count(period: Period) -> Self {
        Self { period, reach: Reach::Count }
    }

    /// The rule that keeps one of each bucket for a span.
    pub const fn span(period: Period) -> Self {
        Self { period, reach: Reach::Span }
    }

    /// Its name in `keep`, as `daily` or `withinDaily`.
    pub fn name(self) -> &'static str {
        self.code().as_str()
    }

    /// The code of its keeps.
    pub fn code(self) -> Code {
        match (self.reach, self.period) {
            (Reach::Count, Period::Each) => Code::Last,
            (Reach::Count, Period::Hour) => Code::Hourly,
            (Reach::Count, Period::Day) => Code::Daily,
            (Reach::Count, Period::Week) => Code::Weekly,
            (Reach::Count, Period::Month) => Code::Monthly,
            (Reach::Count, Period::Quarter) => Code::Quarterly,
            (Reach::Count, Period::Year) => Code::Yearly,
            (Reach::Span, Period::Each) => Code::Within,
            (Reach::Span, Period::Hour) => Code::WithinHourly,
            (Reach::Span, Period::Day) => Code::WithinDaily,
            (Reach::Span, Period::Week) => Code::WithinWeekly,
            (Reach::Span, Period::Month) => Code::WithinMonthly,
            (Reach::Span, Period::Quarter) => Code::WithinQuarterly,
            (Reach::Span, Period::Year) => Code::WithinYearly,
        }
    }
}

impl Keep {
    /// The count of a period's rule; 0: the rule is off.
    pub fn count(&self, period: Period) -> u32 {
        match period {
            Period::Each => self.last,
            Period::Hour => self.hourly,
            Period::Day => self.daily,
            Period::Week => self.weekly,
            Period::Month => self.monthly,
            Period::Quarter => self.quarterly,
            Period::Year => self.yearly,
        }
    }

    /// The span of a period's rule, where it is on.
    pub fn span(&self, period: Period) -> Option<&TimeSpan> {
        match period {
            Period::Each => self.within.as_ref(),
            Period::Hour => self.within_hourly.as_ref(),
            Period::Day => self.within_daily.as_ref(),
            Period::Week => self.within_weekly.as_ref(),
            Period::Month => self.within_monthly.as_ref(),
            Period::Quarter => self.within_quarterly.as_ref(),
            Period::Year => self.within_yearly.as_ref(),
        }
    }

    /// The rules that are on, in the order they run.
    pub fn rules(&self) -> impl DoubleEndedIterator<Item = Rule> + '_ {
        Period::ALL.into_iter().flat_map(|period| {
            let count = (self.count(period) > 0).then_some(Rule::count(period));
            let span = self.span(period).map(|_| Rule::span(period));
            count.into_iter().chain(span)
        })
    }
}
