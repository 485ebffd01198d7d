//! Slots at every change of the clocks of four zones in three years, against a walk over every minute; the due-test and
//! the windows.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::model::kinds::{Schedule, TimeSpan, Window, WindowAction};
use crate::model::names::DomainUuid;

/// Two zones with an hour's change, one with half an hour's, and one that leaves its standard time for Ramadan.
const ZONES: [&str; 4] = ["Europe/Prague", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn table(cron: &str, zone: &str) -> Timetable {
    Timetable::new(cron, Some(zone)).unwrap_or_else(|error| panic!("{cron}: {error}"))
}

fn changes(zone: &str) -> Vec<Timestamp> {
    let zone = TimeZone::get(zone).expect("a zone");
    let changes = zone.following(at("2025-01-01T00:00:00Z")).map(|change| change.timestamp());
    changes.take_while(|change| *change < at("2028-01-01T00:00:00Z")).collect()
}

/// The slots in a span by looking at each of its minutes: no calendar arithmetic, no ambiguity to resolve.
fn minute_by_minute(cron: &str, zone: &str, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let (parsed, zone) = (Cron::parse(cron).expect(cron), TimeZone::get(zone).expect("a zone"));
    let elapsed = cron.split(' ').nth(1).expect("an hour").contains('*');
    let times: std::collections::HashSet<(i8, i8)> = parsed.times().collect();
    let matches =
        |local: jiff::civil::DateTime| times.contains(&(local.hour(), local.minute())) && parsed.fits_day(local.date());
    let minute = SignedDuration::from_mins(1);
    // A day more before it: what was read from the clock once already.
    let mut seen = std::collections::HashSet::new();
    let mut slots = Vec::new();
    let mut now = from - SignedDuration::from_hours(25);
    let mut last = zone.to_datetime(now - minute);
    while now <= to {
        let local = zone.to_datetime(now);
        let first = seen.insert(local);
        let mut skipped = last + minute;
        let mut fires = matches(local) && (elapsed || first);
        while skipped < local {
            fires |= matches(skipped) && (!elapsed || skipped.hour() == local.hour());
            skipped += minute;
        }
        if fires && now > from {
            slots.push(now);
        }
        last = local;
        now += minute;
    }
    slots
}

fn slots(table: &Timetable, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    table.after(from).take_while(|slot| *slot <= to).collect()
}

#[test]
fn every_change_of_the_clocks_from_2025_to_2027_has_one_slot_per_time() {
    let day = SignedDuration::from_hours(36);
    let crons = [
        "30 2 * * *",
        "0 2 * * *",
        "15,45 1-3 * * *",
        "0 0 * * *",
        "59 23 * * *",
        "0 * * * *",
        "15 * * * *",
        "*/10 */2 * * *",
        "0 2 * * SUN",
    ];
    for zone in ZONES {
        let changes = changes(zone);
        // Two a year; Morocco's last one is of September 2026.
        assert!(changes.len() >= 5, "{zone}: {changes:?}");
        for change in changes {
            for cron in crons {
                let (from, to) = (change - day, change + day);
                assert_eq!(
                    slots(&table(cron, zone), from, to),
                    minute_by_minute(cron, zone, from, to),
                    "{cron} in {zone} around {change}"
                );
            }
        }
    }
}

#[test]
fn no_day_of_three_years_goes_without_its_slot_or_has_two() {
    for zone in ZONES {
        for cron in ["0 0 * * *", "30 1 * * *", "30 2 * * *", "0 3 * * *"] {
            let all = slots(&table(cron, zone), at("2025-01-01T12:00:00Z"), at("2028-01-01T12:00:00Z"));
            let tz = TimeZone::get(zone).expect("a zone");
            let days: Vec<_> = all.iter().map(|slot| tz.to_datetime(*slot).date()).collect();
            assert!(days.windows(2).all(|pair| pair[0].tomorrow().ok() == Some(pair[1])), "{cron} in {zone}");
            assert_eq!(days.len(), 1095, "{cron} in {zone}");
        }
        for cron in ["0 * * * *", "45 * * * *"] {
            let all = slots(&table(cron, zone), at("2025-01-01T00:10:00Z"), at("2028-01-01T00:10:00Z"));
            let gaps: Vec<_> = all.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_mins()).collect();
            assert!(gaps.iter().all(|gap| [30, 45, 60, 90].contains(gap)), "{cron} in {zone}: {gaps:?}");
            // Half an hour's change cannot keep both the minute and the distance; whole hours keep both.
            assert!(zone == "Australia/Lord_Howe" || gaps.iter().all(|gap| *gap == 60), "{cron} in {zone}");
        }
    }
}

#[test]
fn known_slots_at_known_changes() {
    let prague = |cron: &str, from: &str, n: usize| -> Vec<String> {
        table(cron, "Europe/Prague").after(at(from)).take(n).map(|slot| slot.to_string()).collect()
    };
    // 2026-03-29: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
    assert_eq!(prague("30 2 * * *", "2026-03-28T12:00:00Z", 2), ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    assert_eq!(prague("0,30 2 * * *", "2026-03-28T12:00:00Z", 2), ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]);
    assert_eq!(prague("30 2 * * *", "2026-10-24T12:00:00Z", 2), ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    assert_eq!(
        prague("30 */1 * * *", "2026-10-24T23:45:00Z", 3),
        ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]
    );
    let howe: Vec<_> = table("15 * * * *", "Australia/Lord_Howe").after(at("2026-10-03T14:00:00Z")).take(3).collect();
    // 2026-10-04: 02:00 becomes 02:30, so the slot of 02:15 is taken then.
    assert_eq!(howe, ["2026-10-03T14:45:00Z", "2026-10-03T15:30:00Z", "2026-10-03T16:15:00Z"].map(at));
}

#[test]
fn clocks_set_back_over_midnight_keep_the_order() {
    // 2006-10-29 in St. John's: at 00:01 it became 23:01 of the day before.
    let table = table("*/20 * * * *", "America/St_Johns");
    let (from, to) = (at("2006-10-28T23:00:00Z"), at("2006-10-29T06:00:00Z"));
    let all = slots(&table, from, to);
    assert_eq!(all, minute_by_minute("*/20 * * * *", "America/St_Johns", from, to));
    for pair in all.windows(2) {
        assert_eq!(table.newest_at(pair[1] - SignedDuration::from_secs(1)), Some(pair[0]));
        assert_eq!(table.newest_at(pair[1]), Some(pair[1]));
    }
}

#[test]
fn rare_slots_are_found_both_ways() {
    let table = table("0 0 29 2 */6", "UTC");
    let sunday = at("2032-02-29T00:00:00Z");
    assert_eq!(table.next_after(at("2026-11-23T00:00:00Z")), Some(sunday));
    assert_eq!(table.newest_at(at("2026-11-23T00:00:00Z")), Some(at("2020-02-29T00:00:00Z")));
    assert_eq!(table.next_after(Timestamp::MAX), None);
    assert_eq!(table.newest_at(Timestamp::MIN), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn forwards_and_backwards_agree_with_a_walk_over_the_minutes(
        minute in 0..60u8, hour in prop_oneof![Just("*".to_owned()), Just("*/3".to_owned()), (0..24u8).prop_map(|h| h.to_string()), Just("0-5".to_owned())],
        zone in prop::sample::select(&ZONES[..]), start in 0..1090i64, offset in 0..1440i64,
    ) {
        let cron = format!("{minute} {hour} * * *");
        let table = table(&cron, zone);
        let from = at("2025-01-01T00:00:00Z") + SignedDuration::from_hours(24 * start) + SignedDuration::from_mins(offset);
        let to = from + SignedDuration::from_hours(72);
        let walked = minute_by_minute(&cron, zone, from, to);
        prop_assert_eq!(&slots(&table, from, to), &walked);
        prop_assert_eq!(table.newest_at(to), walked.last().copied());
        prop_assert_eq!(table.next_after(from), walked.first().copied());
    }
}

fn tempo(cron: &str, deadline: Option<&str>, jitter: Option<&str>) -> Tempo {
    let span = |text: Option<&str>| text.map(|text| TimeSpan::parse(text).expect(text));
    let schedule =
        Schedule { cron: cron.into(), time_zone: None, starting_deadline: span(deadline), jitter: span(jitter) };
    Tempo::of(&schedule).expect("a schedule")
}

#[test]
fn a_slot_is_due_once_until_its_deadline_or_the_next_slot() {
    let hourly = tempo("0 * * * *", None, None);
    let (four, five) = (at("2026-11-23T04:00:00Z"), at("2026-11-23T05:00:00Z"));
    let second = SignedDuration::from_secs(1);
    assert_eq!(due(&hourly, None, four, 0.0), Due::Now { slot: four });
    assert_eq!(due(&hourly, Some(four), four, 0.0), Due::No, "taken");
    assert_eq!(due(&hourly, Some(five), four, 0.0), Due::No, "one of a later slot is there");
    assert_eq!(due(&hourly, None, five - second, 0.0), Due::Now { slot: four }, "until the next slot");
    assert_eq!(due(&hourly, Some(four), five, 0.0), Due::Now { slot: five });
    let strict = tempo("0 * * * *", Some("30m"), None);
    let end = at("2026-11-23T04:30:00Z");
    assert_eq!(due(&strict, None, end - second, 0.0), Due::Now { slot: four });
    assert_eq!(due(&strict, None, end, 0.0), Due::Missed { slot: four, end });
    assert_eq!(due(&strict, None, five, 0.0), Due::Now { slot: five });
    let lax = tempo("0 * * * *", Some("3h"), None);
    assert_eq!(due(&lax, None, five, 0.0), Due::Now { slot: five }, "a slot that was overtaken is not made up for");
}

#[test]
fn jitter_is_a_domains_own_and_leaves_time_for_the_capture() {
    let uuid = |n: u128| DomainUuid(uuid::Uuid::from_u128(n));
    assert_eq!(jitter(uuid(1), "hourly"), jitter(uuid(1), "hourly"));
    let parts: Vec<f64> = (0..1000).map(|n| jitter(uuid(n), "hourly")).collect();
    assert!(parts.iter().all(|part| (0.0..1.0).contains(part)));
    let early = parts.iter().filter(|part| **part < 0.25).count();
    assert!((200..300).contains(&early), "{early} of 1000 in the first quarter");
    let four = at("2026-11-23T04:00:00Z");
    let spread = tempo("0 * * * *", None, Some("10m"));
    assert_eq!(due(&spread, None, four, 0.5), Due::From { slot: four, at: at("2026-11-23T04:05:00Z") });
    assert_eq!(due(&spread, None, at("2026-11-23T04:05:00Z"), 0.5), Due::Now { slot: four });
    assert_eq!(spread.next_due(four, 0.5), Some(at("2026-11-23T05:05:00Z")));
    for (deadline, jitter) in [(Some("10m"), "10m"), (Some("10m"), "5h"), (None, "3h"), (None, "1mo")] {
        let tempo = tempo("0 * * * *", deadline, Some(jitter));
        let Due::From { at: latest, .. } = due(&tempo, None, four, 0.999_999) else { panic!("{jitter}: at once") };
        let end = if deadline.is_some() { at("2026-11-23T04:10:00Z") } else { at("2026-11-23T05:00:00Z") };
        assert!(latest < end, "{jitter}: {latest}");
        assert_eq!(due(&tempo, None, latest, 0.999_999), Due::Now { slot: four }, "{jitter}");
    }
}

#[test]
fn asked_every_minute_or_once_a_week_each_slot_is_taken_at_most_once() {
    for step in [1, 7, 59, 61, 60 * 24, 60 * 24 * 7] {
        let tempo = tempo("0 */4 * * *", Some("1h"), Some("30m"));
        let (mut now, end) = (at("2026-10-01T00:03:00Z"), at("2026-10-22T00:00:00Z"));
        let mut taken: Vec<Timestamp> = Vec::new();
        while now < end {
            if let Due::Now { slot } = due(&tempo, taken.last().copied(), now, 0.7) {
                assert!(taken.last().is_none_or(|last| *last < slot));
                taken.push(slot);
            }
            now += SignedDuration::from_mins(step);
        }
        let slots = slots(&tempo.timetable, at("2026-09-30T23:59:00Z"), end - SignedDuration::from_mins(step)).len();
        // Whoever comes more often than the slot's time is long takes them all.
        assert!(step >= 30 || taken.len() >= slots - 1, "every {step} minutes: {} of {slots}", taken.len());
    }
}

fn window(allow: &[WindowAction], cron: &str, hours: &str, zone: &str) -> Window {
    let duration = TimeSpan::parse(hours).expect(hours);
    Window { allow: allow.to_vec(), cron: cron.into(), duration, time_zone: Some(zone.into()) }
}

#[test]
fn windows_follow_argo_cds_truth_table() {
    use WindowAction::{Delete, Revert};
    let night = window(&[Delete], "0 22 * * *", "6h", "UTC");
    let noon = window(&[Delete], "0 12 * * *", "1h", "UTC");
    let reverts = window(&[Revert], "0 5 * * *", "1h", "UTC");
    let (at_noon, at_23, at_10) = (at("2026-11-23T12:30:00Z"), at("2026-11-23T23:00:00Z"), at("2026-11-23T10:00:00Z"));
    assert!(open(&[], Delete, at_10), "no window: allowed");
    assert!(open(std::slice::from_ref(&reverts), Delete, at_10), "none for this action: allowed");
    assert!(!open(std::slice::from_ref(&night), Delete, at_10), "one, not open: not allowed");
    assert!(open(std::slice::from_ref(&night), Delete, at_23), "one, open: allowed");
    assert!(open(&[night.clone(), noon.clone()], Delete, at_noon), "several, one open: allowed");
    assert!(!open(&[night.clone(), noon], Delete, at_10), "several, none open: not allowed");
    assert!(open(std::slice::from_ref(&night), Delete, at("2026-11-24T03:59:59Z")), "over midnight");
    assert!(!open(&[night], Delete, at("2026-11-24T04:00:00Z")), "its end is not part of it");
}

#[test]
fn windows_of_several_policies_must_all_be_open() {
    let delete = [WindowAction::Delete];
    let night = [window(&delete, "0 22 * * *", "6h", "UTC")];
    let saturday = [window(&delete, "0 0 * * SAT", "2d", "UTC")];
    let noon = [window(&delete, "0 12 * * *", "1h", "UTC")];
    let monday = at("2026-11-23T10:00:00Z");
    let until = |policies: &[&[Window]], now| closed_until(policies, WindowAction::Delete, now);
    assert_eq!(until(&[&[]], monday), None);
    assert_eq!(until(&[&night], monday), Some(Some(at("2026-11-23T22:00:00Z"))));
    assert_eq!(
        until(&[&night, &saturday], monday),
        Some(Some(at("2026-11-28T00:00:00Z"))),
        "Friday's night is still open"
    );
    assert_eq!(until(&[&night, &saturday], at("2026-11-28T01:00:00Z")), None);
    assert_eq!(until(&[&noon, &night], monday), Some(None), "they never meet");

    let closes = |policies: &[&[Window]], now| open_until(policies, WindowAction::Delete, now);
    assert_eq!(closes(&[&[]], monday), None);
    let friday = at("2026-11-28T01:00:00Z");
    assert_eq!(closes(&[&night, &[], &saturday], friday), Some(at("2026-11-28T04:00:00Z")), "the first to close");
    let both = [night[0].clone(), saturday[0].clone()];
    assert_eq!(closes(&[&both], friday), Some(at("2026-11-30T00:00:00Z")), "one policy: while any is open");
}

#[test]
fn a_window_is_as_long_as_it_says_when_the_clocks_change_in_it() {
    let delete = [WindowAction::Delete];
    // 2026-03-29 and 2026-10-25: the clocks of Prague change within it.
    for (opens, closes) in
        [("2026-03-28T23:30:00Z", "2026-03-29T03:30:00Z"), ("2026-10-24T22:30:00Z", "2026-10-25T02:30:00Z")]
    {
        let windows = [window(&delete, "30 0 * * *", "4h", "Europe/Prague")];
        let second = SignedDuration::from_secs(1);
        for (instant, expected) in
            [(at(opens) - second, false), (at(opens), true), (at(closes) - second, true), (at(closes), false)]
        {
            assert_eq!(open(&windows, WindowAction::Delete, instant), expected, "{instant}");
        }
    }
    // Opens in the hour that is skipped: at its end. In the one that comes twice: once.
    let windows = [window(&delete, "30 2 * * *", "30m", "Europe/Prague")];
    assert!(open(&windows, WindowAction::Delete, at("2026-03-29T01:10:00Z")));
    assert!(open(&windows, WindowAction::Delete, at("2026-10-25T00:40:00Z")));
    assert!(!open(&windows, WindowAction::Delete, at("2026-10-25T01:40:00Z")));
}
