//! The algorithm, rule by rule, on small lists; what is true of all lists is in `properties`.

mod generated;
mod oracle;
mod properties;
mod transitions;

use super::*;
use crate::model::kinds::{RetentionSpec, TimeSpan};
use crate::model::names::SnapshotName;
use jiff::Timestamp;

const NOW: &str = "2026-11-23T12:00:00Z";

pub(super) fn spec(yaml: &str) -> RetentionSpec {
    serde_yaml::from_str(yaml).unwrap()
}

fn instant(text: &str) -> Timestamp {
    let text = if text.contains('T') { text.to_owned() } else { format!("{text}T06:00:00") };
    if text.ends_with('Z') { text.parse() } else { format!("{text}Z").parse() }.unwrap()
}

/// A complete snapshot named after its time.
fn at(time: &str) -> Candidate {
    Candidate {
        name: SnapshotName::observed(time),
        slot: instant(time),
        created: instant(time),
        complete: true,
        set_aside: None,
        current: false,
    }
}

fn decided(candidates: &[Candidate], policy: &str) -> Vec<Decision> {
    let context = Context { now: instant(NOW), max_future: &TimeSpan::parse("5m").unwrap() };
    decide(candidates, &spec(policy), &context).unwrap()
}

/// The names that are kept, in the order given.
fn kept<'a>(times: &[&'a str], policy: &str) -> Vec<&'a str> {
    let candidates: Vec<_> = times.iter().map(|time| at(time)).collect();
    times.iter().zip(decided(&candidates, policy)).filter(|(_, d)| d.keep).map(|(time, _)| *time).collect()
}

/// Every reason of one candidate, in words.
fn texts(candidates: &[Candidate], policy: &str, index: usize) -> Vec<String> {
    let (spec, decisions) = (spec(policy), decided(candidates, policy));
    let words = Wording::new(candidates, &spec);
    let decision = &decisions[index];
    let saved = decision.saved_by.map(|change| words.change(change));
    decision.reasons.iter().map(|reason| words.reason(index, reason)).chain(saved).collect()
}

#[test]
fn counts_do_not_use_up_each_other() {
    let days = ["2026-11-23", "2026-11-22", "2026-11-21", "2026-11-20", "2026-11-19"];
    assert_eq!(kept(&days, "keep: {last: 2, daily: 2}"), days[..4]);
    assert_eq!(kept(&days, "keep: {daily: 2, last: 2}"), days[..4]);
    assert_eq!(kept(&days, "keep: {daily: 3}"), days[..3]);
}

#[test]
fn prefer_says_which_member_stays() {
    let day = ["2026-11-20T01:00:00", "2026-11-20T09:00:00", "2026-11-20T23:00:00", "2026-11-21", "2026-11-22"];
    assert_eq!(kept(&day, "keep: {daily: 3}"), [day[2], day[3], day[4]]);
    assert_eq!(kept(&day, "{keep: {daily: 3}, prefer: oldest}"), [day[0], day[3], day[4]]);
}

#[test]
fn days_without_a_snapshot_do_not_count() {
    let sparse = ["2026-11-23", "2026-10-01", "2026-01-01", "2020-02-29", "2019-05-05"];
    assert_eq!(kept(&sparse, "keep: {daily: 4}"), sparse[..4]);
}

#[test]
fn a_month_keeps_its_end_though_a_week_lost_it() {
    // 2026-11-01 is a Sunday: it stands for the week that 10-31 lies in. PBS loses October then.
    let times = ["2026-11-01", "2026-10-31", "2026-10-30"];
    assert_eq!(kept(&times, "keep: {weekly: 1, monthly: 2}"), ["2026-11-01", "2026-10-31"]);
}

#[test]
fn weeks_are_of_iso_and_do_not_end_with_the_year() {
    // 2026-12-28 to 2027-01-03 is one week, 2026-W53.
    let mut newyear = [at("2026-01-05"), at("2026-01-04"), at("2025-12-29"), at("2025-12-28")];
    newyear[3].created = instant("2025-12-28");
    let names: Vec<_> = newyear.iter().zip(decided(&newyear, "keep: {weekly: 3}")).filter(|(_, d)| d.keep).collect();
    assert_eq!(
        names.iter().map(|(c, _)| c.name.as_str()).collect::<Vec<_>>(),
        ["2026-01-05", "2026-01-04", "2025-12-28"]
    );
    assert_eq!(texts(&newyear, "keep: {weekly: 3}", 2)[0], "weekly 2026-W01 is kept as 2026-01-04");
}

#[test]
fn spans_keep_what_is_younger_to_the_second() {
    let times = ["2026-11-23T11:59:59", "2026-11-21T12:00:01", "2026-11-21T12:00:00", "2026-11-01"];
    assert_eq!(kept(&times, "keep: {within: 48h}"), times[..2]);
    assert_eq!(kept(&times, "keep: {within: 2d}"), times[..2]);
    assert_eq!(kept(&times, "keep: {withinDaily: 1mo}"), [times[0], times[1], times[3]]);
    // Its first member is out of the span, but not its last: the day is kept by that one, and so does not move.
    assert_eq!(kept(&times, "{keep: {withinDaily: 2d}, prefer: oldest}"), times[..2]);
}

#[test]
fn the_oldest_fills_the_coarsest_count() {
    let times = ["2026-11-23", "2026-11-22", "2026-03-05", "2026-03-01"];
    assert_eq!(kept(&times, "{keep: {daily: 1, yearly: 2}, fillOldest: true}"), [times[0], times[3]]);
    assert_eq!(kept(&times, "{keep: {last: 9, monthly: 1}, fillOldest: true}"), times);
    assert_eq!(kept(&times, "{keep: {daily: 9, monthly: 1}, fillOldest: true}"), times);
    assert_eq!(kept(&times, "{keep: {monthly: 2}, fillOldest: true}"), [times[0], times[2]]);
    let list: Vec<_> = times.iter().map(|time| at(time)).collect();
    let text = texts(&list, "{keep: {daily: 1, yearly: 2}, fillOldest: true}", 3);
    assert_eq!(text, ["the oldest, as yearly has only 0 of 2"]);
}

#[test]
fn held_and_protected_are_outside() {
    let mut list = [at("2026-11-23"), at("2026-11-22"), at("2026-11-21"), at("2026-11-20")];
    list[0].set_aside = Some(SetAside::Protected);
    list[2].set_aside = Some(SetAside::Held("audit".to_owned()));
    let keeps: Vec<_> = decided(&list, "keep: {daily: 1}").iter().map(|d| d.keep).collect();
    assert_eq!(keeps, [true, true, true, false]);
    assert_eq!(texts(&list, "keep: {daily: 1}", 0), ["protected"]);
    assert_eq!(texts(&list, "keep: {daily: 1}", 2), ["held: audit"]);
    assert_eq!(texts(&list, "keep: {daily: 1}", 3), ["no rule reaches back to it", "daily: 2"]);
}

#[test]
fn beyond_the_calendar_stay_newest_current_young_and_complete() {
    let mut list =
        [at("2026-11-23T11:00:00"), at("2026-11-23T10:00:00"), at("2026-11-22"), at("2026-11-21"), at("2026-11-20")];
    list[0].complete = false;
    list[1].complete = false;
    list[2].complete = false;
    list[4].current = true;
    let policy = "{keep: {yearly: 1}, prefer: oldest, minimumAge: 3h, minimumCount: 1}";
    assert_eq!(
        texts(&list, policy, 0),
        ["the newest of its series", "younger than minimumAge 3h, until 2026-11-23T14:00:00Z"]
    );
    assert_eq!(texts(&list, policy, 1), ["younger than minimumAge 3h, until 2026-11-23T13:00:00Z"]);
    assert_eq!(texts(&list, policy, 2), ["yearly 2026 is kept as 2026-11-20", "daily: 2"]);
    assert_eq!(texts(&list, policy, 3), ["complete, and 1 of minimumCount 1"]);
    assert_eq!(texts(&list, policy, 4), ["the domain's current snapshot", "yearly 1 of 1: 2026"]);
}

#[test]
fn maximum_age_ends_what_the_calendar_keeps_and_nothing_else() {
    let mut list = [at("2026-11-22"), at("2026-11-21"), at("2026-11-01"), at("2026-10-01")];
    list[3].current = true;
    let policy = "{keep: {daily: 9}, maximumAge: 14d}";
    assert_eq!(texts(&list, policy, 2), ["older than maximumAge 14d", "maximumAge: null"]);
    assert_eq!(texts(&list, policy, 3), ["the domain's current snapshot"]);
    // The last complete ones stay whatever their age: new captures may be failing.
    assert_eq!(kept(&["2026-01-02", "2026-01-01"], policy), ["2026-01-02"]);
    assert_eq!(kept(&["2026-01-02", "2026-01-01"], "{keep: {daily: 9}, maximumAge: 14d, minimumCount: 2}").len(), 2);
}

#[test]
fn a_wrong_clock_deletes_nothing() {
    // Taken while the clock ran ahead: kept, and they take nobody's place.
    let times = ["2031-01-01", "2030-01-01", "2026-11-23", "2026-11-22", "2026-11-21"];
    assert_eq!(kept(&times, "keep: {daily: 2}"), times[..4]);
    assert_eq!(kept(&["2026-11-23T12:05:00", "2026-11-22", "2026-11-21"], "keep: {daily: 1}").len(), 1);
    let list: Vec<_> = times.iter().map(|time| at(time)).collect();
    assert_eq!(
        texts(&list, "keep: {daily: 2}", 0),
        ["its time 2031-01-01T06:00:00Z lies ahead: a clock is or was wrong"]
    );
    // A clock set back to its epoch: everything lies ahead.
    let (spec, max_future) = (spec("{keep: {last: 1}, maximumAge: 1h}"), TimeSpan::parse("5m").unwrap());
    let context = Context { now: Timestamp::UNIX_EPOCH, max_future: &max_future };
    assert!(decide(&list, &spec, &context).unwrap().iter().all(|decision| decision.keep));
    // One whose slot is sane and whose creation is not.
    let mut list = [at("2026-11-23"), at("2026-11-22")];
    list[1].created = instant("2030-01-01");
    assert!(decided(&list, "keep: {last: 1}")[1].keep);
}

#[test]
fn the_repeated_hour_is_two_hours_and_one_day() {
    // Prague set its clocks back at 2026-10-25T01:00Z: 02:30 was twice.
    let times = ["2026-10-25T01:30:00", "2026-10-25T00:30:00", "2026-10-24T22:30:00"];
    let hourly = "{timeZone: Europe/Prague, keep: {hourly: 9}}";
    assert_eq!(kept(&times, hourly), times);
    let list: Vec<_> = times.iter().map(|time| at(time)).collect();
    assert_eq!(texts(&list, hourly, 0)[0], "hourly 1 of 9: 2026-10-25 02:00+01:00");
    assert_eq!(texts(&list, hourly, 1)[0], "hourly 2 of 9: 2026-10-25 02:00+02:00");
    assert_eq!(kept(&times, "{timeZone: Europe/Prague, keep: {daily: 9}}"), times[..1]);
    assert_eq!(kept(&times, "keep: {daily: 9}"), [times[0], times[2]]);
}

#[test]
fn a_day_that_begins_twice_is_one_day() {
    // St. John's went from 00:01 on 2006-10-29 back to 23:01 the day before: 10-28, a minute of 10-29, 10-28, 10-29.
    let times = ["2006-10-29T12:00:00", "2006-10-29T03:00:00", "2006-10-29T02:30:30", "2006-10-29T02:00:00"];
    let list: Vec<_> = times.iter().map(|time| at(time)).collect();
    let daily = "{timeZone: America/St_Johns, keep: {daily: 9}}";
    assert_eq!(kept(&times, daily), times[..2]);
    assert_eq!(texts(&list, daily, 1)[0], "daily 2 of 9: 2006-10-28");
}

#[test]
fn an_unknown_zone_is_an_error_and_an_empty_list_none() {
    let context = Context { now: instant(NOW), max_future: &TimeSpan::parse("5m").unwrap() };
    let error = decide(&[], &spec("{timeZone: Mars/Olympus, keep: {last: 1}}"), &context).unwrap_err();
    assert_eq!(error.to_string(), "`Mars/Olympus` is not a time zone; write an IANA name, as Europe/Prague or UTC");
    assert_eq!(decide(&[], &spec("{keep: {last: 1}, fillOldest: true}"), &context).unwrap(), []);
}
