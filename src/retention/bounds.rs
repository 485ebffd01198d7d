//! What can be said of a policy without any snapshot: rules that never keep anything, and how many it keeps at most.

use jiff::SignedDuration;

use super::age;
use super::rule::{Period, Reach, Rule};
use crate::model::kinds::{Keep, Prefer, RetentionSpec, TimeSpan};

/// The rules that keep nothing whatever the snapshots are, each with the finer rule that is always there first.
///
/// Only spans can be: a snapshot younger than the coarser rule's span is younger than the finer rule's too, so its finer
/// bucket has a kept member, and where finer buckets nest in coarser ones, so has its coarser bucket. A count rule skips
/// what is covered and counts on behind it, so it is never useless as long as there are older snapshots.
pub fn useless(keep: &Keep) -> Vec<(Rule, Rule)> {
    let spans = || Period::ALL.into_iter().filter_map(|period| Some((period, keep.span(period)?)));
    spans()
        .filter_map(|(period, span)| {
            let covers = |(finer, longer): &(Period, &TimeSpan)| {
                *finer < period && finer.nests_in(period) && never_longer(span, longer)
            };
            spans().find(covers).map(|(finer, _)| (Rule::span(period), Rule::span(finer)))
        })
        .collect()
}

/// Whether `maximumAge` is always over before `minimumAge`, so that no calendar rule ever has a say.
pub fn ages_contradict(spec: &RetentionSpec) -> bool {
    match (&spec.minimum_age, &spec.maximum_age) {
        (Some(least), Some(most)) => never_longer(most, least) && !never_longer(least, most),
        _ => false,
    }
}

/// Whether the one span ends no later than the other from any instant on. Days have 24 hours, as ages go by UTC; months and
/// days compare only where no calendar can turn them round.
fn never_longer(a: &TimeSpan, b: &TimeSpan) -> bool {
    let (a, b) = (a.span(), b.span());
    let months = |span: &jiff::Span| 12 * i64::from(span.get_years()) + i64::from(span.get_months());
    let without_months = |span: &jiff::Span| age::seconds(&span.years(0).months(0)).0;
    let each = months(&a) <= months(&b) && without_months(&a) <= without_months(&b);
    each || age::seconds(&a).1 <= age::seconds(&b).0
}

/// The most snapshots of a series that a policy keeps at a time, beside those set aside or with a wrong clock, and one more
/// for the current one; none where there is no bound.
///
/// Every snapshot is taken to be complete and created at its slot. `gap` is the shortest time between two slots: without it
/// `within` and `minimumAge` have no bound.
pub fn most_kept(spec: &RetentionSpec, gap: Option<SignedDuration>) -> Option<u64> {
    let gap = gap.map(|gap| gap.as_secs()).filter(|gap| *gap > 0);
    let mut most = u64::from(spec.fill_oldest);
    for rule in spec.keep.rules() {
        most = most.saturating_add(match rule.reach {
            Reach::Count => u64::from(spec.keep.count(rule.period)),
            Reach::Span => members(spec.keep.span(rule.period)?, rule.period.shortest_seconds().max(gap.unwrap_or(0)))?,
        });
    }
    if let Some(span) = &spec.minimum_age {
        most = most.saturating_add(members(span, gap?)?);
    }
    // Of the newest, those that a rule keeps anyway: the ones of `last`, and where the newest of a bucket stays, one.
    let always = u64::from(spec.minimum_count.max(1));
    let by_rules = u64::from(spec.keep.last).max(u64::from(spec.prefer == Prefer::Newest));
    Some(most.saturating_add(always.saturating_sub(by_rules)))
}

/// The most buckets of a length that a span touches.
fn members(span: &TimeSpan, length: i64) -> Option<u64> {
    let (_, longest) = age::seconds(&span.span());
    let whole = longest.checked_add(length - 1)?.checked_div(length)?;
    u64::try_from(whole).ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(yaml: &str) -> RetentionSpec {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn useless_names(keep: &str) -> Vec<(&'static str, &'static str)> {
        useless(&spec(&format!("keep: {keep}")).keep).iter().map(|(a, b)| (a.name(), b.name())).collect()
    }

    #[test]
    fn a_span_inside_a_finer_one_is_useless() {
        assert_eq!(useless_names("{within: 48h, withinHourly: 2d}"), [("withinHourly", "within")]);
        assert_eq!(useless_names("{within: 2w, withinDaily: 14d, withinYearly: 10y}"), [("withinDaily", "within")]);
        assert_eq!(useless_names("{withinDaily: 366d, withinYearly: 1y}"), [("withinYearly", "withinDaily")]);
        assert_eq!(useless_names("{withinDaily: 31d, withinMonthly: 1mo}"), [("withinMonthly", "withinDaily")]);
        assert_eq!(useless_names("{withinMonthly: 1y, withinYearly: 12mo}"), [("withinYearly", "withinMonthly")]);
        assert_eq!(useless_names("{within: 1h, withinWeekly: 1h}"), [("withinWeekly", "within")]);
    }

    #[test]
    fn what_may_keep_something_is_not_useless() {
        // A longer span, a span that is longer in some months, weeks that cross the ends of months, and any count.
        assert_eq!(useless_names("{within: 48h, withinHourly: 49h}"), []);
        assert_eq!(useless_names("{withinDaily: 30d, withinMonthly: 1mo}"), []);
        assert_eq!(useless_names("{withinWeekly: 1y, withinMonthly: 1y}"), []);
        assert_eq!(useless_names("{last: 100, hourly: 1000, daily: 1, within: 1y}"), []);
    }

    #[test]
    fn ages_that_leave_the_calendar_no_say_contradict() {
        let contradict = |ages: &str| ages_contradict(&spec(&format!("{{keep: {{last: 1}}, {ages}}}")));
        assert!(contradict("minimumAge: 49h, maximumAge: 2d"));
        assert!(contradict("minimumAge: 31d, maximumAge: 1mo"));
        assert!(!contradict("minimumAge: 2d, maximumAge: 48h"));
        assert!(!contradict("minimumAge: 30d, maximumAge: 1mo"));
        assert!(!contradict("minimumAge: 1h, maximumAge: 1y"));
        assert!(!contradict("minimumAge: 1h"));
    }

    #[test]
    fn the_most_kept_is_a_sum_of_counts() {
        let most = |yaml: &str| most_kept(&spec(yaml), None);
        assert_eq!(most("keep: {last: 3, hourly: 24, daily: 7, weekly: 4, monthly: 12, yearly: 2}"), Some(52));
        assert_eq!(most("{keep: {daily: 7}, minimumCount: 3}"), Some(9));
        assert_eq!(most("{keep: {last: 5}, minimumCount: 3}"), Some(5));
        assert_eq!(most("{keep: {daily: 7}, prefer: oldest}"), Some(8));
        assert_eq!(most("{keep: {yearly: 2}, fillOldest: true}"), Some(3));
        assert_eq!(most("keep: {withinDaily: 7d}"), Some(8));
        assert_eq!(most("keep: {within: 48h}"), None);
        assert_eq!(most("{keep: {last: 1}, minimumAge: 1h}"), None);
        let hourly = Some(SignedDuration::from_hours(1));
        assert_eq!(most_kept(&spec("keep: {within: 48h}"), hourly), Some(49));
        assert_eq!(most_kept(&spec("{keep: {last: 1}, minimumAge: 1h}"), hourly), Some(3));
    }
}
