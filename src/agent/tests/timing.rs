//! What happens when: slots, pauses, debounce, leaps of the clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{advance, sleep};

use super::*;

pub(super) fn created(lab: &Lab) -> Vec<(Timestamp, String)> {
    let writes = lab.model.writes().into_iter();
    writes.filter_map(|write| Some((write.at, write.what.strip_prefix("create ")?.to_owned()))).collect()
}

#[tokio::test(start_paused = true)]
async fn slots_are_taken_at_their_instants() {
    let mut lab = Lab::start(&["vm1"], &hourly(&[]));
    lab.ready().await;
    let first = created(&lab);
    assert_eq!(first.len(), 1, "the slot of half a minute ago is caught up on");
    sleep(Duration::from_secs(3 * 3600)).await;
    let taken: Vec<_> = created(&lab)[1..].iter().map(|(at, name)| (at.to_string(), name.clone())).collect();
    let expected = ["05", "06", "07"]
        .map(|hour| (format!("2026-11-23T{hour}:00:00Z"), format!("vm1/lab-hourly-20261123T{hour}0000Z")));
    assert_eq!(taken, expected);
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_comes_while_a_round_runs_is_taken_when_the_round_has_ended() {
    let day = Duration::from_secs(86_400);
    let mut lab = Lab::start_with(&["vm1"], &hourly(&[]), |settings| (settings.poll, settings.sweep) = (day, day));
    lab.settled().await;
    let slot: Timestamp = "2026-11-23T05:00:00Z".parse().expect("an instant");
    sleep(Duration::try_from(slot.duration_since(lab.now())).expect("ahead") - Duration::from_secs(2)).await;
    lab.model.list_slowly(4);
    lab.model.tell("vm1", crate::host::Happened::Started);
    sleep(Duration::from_secs(2)).await;
    assert!(created(&lab)[1..].iter().any(|(_, name)| name.ends_with("20261123T050000Z")), "{:?}", created(&lab));
    let rounds = lab.handle.view().counters.rounds;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(lab.handle.view().counters.rounds, rounds, "and nothing goes round in a circle");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_leap_forward_the_newest_slot_is_taken_once_within_a_minute() {
    // Not by the poll: the longest sleep finds it.
    let mut lab = Lab::start_with(&["vm1"], &hourly(&[]), |settings| settings.poll = Duration::from_secs(86_400));
    lab.ready().await;
    lab.clock.leap(10 * 3600);
    sleep(Duration::from_secs(61)).await;
    let taken = created(&lab);
    assert_eq!(taken.len(), 2, "{taken:?}");
    assert!(taken[1].1.ends_with("20261123T140000Z"), "{taken:?}");
    sleep(Duration::from_secs(1800)).await;
    assert_eq!(created(&lab).len(), 2);
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_leap_back_nothing_is_taken_twice_or_deleted() {
    let mut lab = Lab::start(&["vm1"], &hourly(&["prune: true", "retention: {spec: {keep: {last: 1}}}"]));
    lab.ready().await;
    sleep(Duration::from_secs(2 * 3600)).await;
    let before = lab.writes();
    lab.clock.leap(-2 * 3600);
    let view = lab.until("the clock is blocked", |view| !view.status.domains[0].blocked.is_empty()).await;
    assert_eq!(format!("{:?}", view.status.domains[0].blocked[0].code), "Clock");
    sleep(Duration::from_secs(1800)).await;
    assert_eq!(lab.writes(), before);
    lab.clock.leap(2 * 3600);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(created(&lab).len(), 4, "it goes on when the clock is right");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_after_growing_pauses() {
    let mut lab = Lab::start_with(&["vm1", "vm2"], &golden(), |_| {});
    lab.model.fail("vm1", true);
    sleep(Duration::from_secs(3000)).await;
    let tries: Vec<Timestamp> =
        created(&lab).into_iter().filter(|(_, name)| name.starts_with("vm1")).map(|(at, _)| at).collect();
    let pauses: Vec<i64> = tries.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
    let view = lab.handle.view();
    let vm1 = &view.status.domains[0];
    assert_eq!(condition(&vm1.conditions, ConditionKind::Stalled).reason, "Failing");
    assert_eq!(condition(&vm1.conditions, ConditionKind::Reconciling).reason, "Retrying");
    let (retry, last) = (vm1.retry_at.as_ref().expect("a time"), vm1.last.as_ref().expect("a pass"));
    assert_eq!(vm1.failures, 11, "{vm1:?}");
    assert!(last.text.ends_with(&format!("; the agent plans it again at {retry}")), "{last:?}");
    assert_eq!(lab.model.snapshots("vm2"), ["golden"], "the other domain is not held up");

    lab.model.fail("vm1", false);
    let view = lab.ready().await;
    assert_eq!(view.status.domains[0].failures, 0);
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_others_undo_again_and_again_is_done_again_and_a_loop_of_writes_slows_down() {
    let mut lab = Lab::start(&["vm1"], &golden().replace("name: golden,", "name: golden, recreate: true,"));
    lab.settled().await;
    for _ in 0..3 {
        lab.model.remove("vm1", "golden");
        sleep(Duration::from_secs(62)).await;
        assert_eq!(lab.model.snapshots("vm1"), ["golden"], "each time within a minute");
    }
    // Somebody undoes it the moment it is done.
    let before = created(&lab).len();
    lab.model.vanish(true);
    lab.model.remove("vm1", "golden");
    sleep(Duration::from_secs(1500)).await;
    let tries: Vec<Timestamp> = created(&lab)[before..].iter().map(|(at, _)| *at).collect();
    let pauses: Vec<i64> = tries.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600], "as after failures");
    let vm1 = &lab.handle.view().status.domains[0];
    assert!(condition(&vm1.conditions, ConditionKind::Stalled).status, "{vm1:?}");
    lab.model.vanish(false);
    lab.ready().await;
    assert_eq!(lab.handle.view().status.domains[0].failures, 0);
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_others_take_away_again_and_again_is_written_more_and_more_slowly() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.settled().await;
    let before = lab.model.ledgers().len();
    lab.model.forget_ledgers("vm1");
    lab.model.tell("vm1", crate::host::Happened::Ledger);
    sleep(Duration::from_secs(600)).await;
    let tries = &lab.model.ledgers()[before..];
    let pauses: Vec<i64> = tries.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160], "as after failures");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_domain_in_a_pause_after_failures_is_not_read_again_by_each_poll() {
    let mut lab = Lab::start(&["vm1", "vm2"], &golden());
    lab.model.fail("vm1", true);
    // Into the first pause of ten minutes.
    sleep(Duration::from_secs(640)).await;
    let (before, rounds) = (lab.model.calls(), lab.handle.view().counters.rounds);
    sleep(Duration::from_secs(500)).await;
    assert!(lab.handle.view().counters.rounds - rounds <= 9, "one poll a minute");
    assert_eq!(lab.model.calls()["definition"], before["definition"], "names and pointers tell that nothing changed");
    lab.model.fail("vm1", false);
    lab.ready().await;
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_revision_is_tried_at_once_whatever_failed_before() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.model.fail("vm1", true);
    sleep(Duration::from_secs(700)).await;
    lab.model.fail("vm1", false);
    let start = lab.now();
    lab.say(revision("second", &golden()));
    lab.ready().await;
    let (at, _) = created(&lab).pop().expect("tried");
    assert_eq!(at.duration_since(start), SignedDuration::from_millis(200), "the debounce alone");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_is_read_once_when_it_is_over_and_a_stream_does_not_starve() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.ready().await;
    sleep(Duration::from_secs(1)).await;
    let (start, reads) = (lab.now(), lab.reads.lock().expect("whole").len());
    let since = |lab: &Lab| {
        let all = lab.reads.lock().expect("whole");
        all[reads..].iter().map(|at| at.duration_since(start).as_millis()).collect::<Vec<_>>()
    };
    for _ in 0..5 {
        lab.changed.notify_one();
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_millis(500)).await;
    assert_eq!(since(&lab), [600], "200 ms after the last change");
    for _ in 0..30 {
        lab.changed.notify_one();
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(since(&lab)[..2], [600, 3000], "2 s after the first of a stream");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_source_is_read_every_few_minutes_without_any_event_and_at_once_on_request() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.ready().await;
    *lab.said.lock().expect("whole") = revision("unheard", &golden());
    let start = lab.now();
    lab.until("followed", |view| view.status.source.revision.as_deref() == Some("unheard")).await;
    assert!(lab.now().duration_since(start) <= SignedDuration::from_secs(300));
    *lab.said.lock().expect("whole") = revision("asked", &golden());
    assert_eq!(lab.handle.reload().await.as_deref(), Ok("asked"));
    *lab.said.lock().expect("whole") = Err(SourceError { id: None, text: "gone".to_owned() });
    assert_eq!(lab.handle.reload().await, Err("gone".to_owned()));
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_slow_domain_holds_up_no_other_and_is_never_worked_on_twice() {
    let mut lab = Lab::start(&["vm1", "vm2"], &hourly(&[]));
    lab.ready().await;
    lab.model.hold(Some("vm1"));
    // A blocked thread keeps tokio from advancing the clock by itself. Each minute has its poll.
    for _ in 0..4 * 60 {
        let rounds = lab.handle.view().counters.rounds;
        advance(Duration::from_secs(60)).await;
        while lab.handle.view().counters.rounds == rounds {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(lab.model.held(), 1, "vm1 waits, once");
    let of_vm2 = lab.model.snapshots("vm2").len();
    assert!(of_vm2 >= 3, "vm2 goes on: {of_vm2}");
    lab.model.hold(None);
    lab.ready().await;
    lab.stop().await;
}
