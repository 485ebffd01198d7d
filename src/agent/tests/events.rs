//! Events: what each leads to and when, and that the agent's own actions lead to nothing more.

use std::sync::atomic::Ordering;

use jiff::SignedDuration;
use tokio::time::sleep;

use super::*;
use crate::host::{Event, Happened};

/// Calls that read since `before`, all together.
fn spent(lab: &Lab, before: &std::collections::BTreeMap<&'static str, u64>) -> u64 {
    lab.model.calls().values().sum::<u64>() - before.values().sum::<u64>()
}

#[tokio::test(start_paused = true)]
async fn an_event_is_followed_long_before_the_poll() {
    let mut lab = Lab::start(&["vm1", "vm2"], &golden());
    lab.settled().await;
    lab.model.remove("vm1", "golden");
    let (start, before) = (lab.now(), lab.model.calls());
    lab.model.tell("vm1", Happened::FromSnapshot);
    lab.until("blocked", |view| !view.status.domains[0].blocked.is_empty()).await;
    assert_eq!(lab.now().duration_since(start), SignedDuration::from_millis(200), "the time to settle");
    assert_eq!(spent(&lab, &before), 1 + 2, "the list, and one domain without snapshots: definition and names");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn several_events_in_a_row_are_one_look() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.settled().await;
    let rounds = lab.handle.view().counters.rounds;
    for what in [Happened::Stopped, Happened::Started, Happened::Resumed, Happened::Defined] {
        lab.model.tell("vm1", what);
        sleep(Duration::from_millis(40)).await;
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!(lab.handle.view().counters.rounds - rounds, 1);
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_concerns_no_set_wakes_nobody_and_a_domain_that_comes_is_followed() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.settled().await;
    let rounds = lab.handle.view().counters.rounds;
    lab.model.exists("other", true);
    lab.model.tell("other", Happened::Defined);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(lab.handle.view().counters.rounds, rounds);

    lab.model.exists("vm2", true);
    lab.model.tell("vm2", Happened::Defined);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.model.snapshots("vm2"), ["golden"]);
    lab.model.exists("vm2", false);
    lab.model.tell("vm2", Happened::Undefined);
    lab.until("gone", |view| view.status.domains.len() == 1).await;
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_transient_domain_that_comes_back_gets_again_what_it_had() {
    let declared = golden().replace("name: golden,", "name: golden, recreate: true,");
    let mut lab = Lab::start(&["vm1"], &declared);
    lab.settled().await;
    for _ in 0..3 {
        lab.model.exists("vm1", false);
        lab.model.tell("vm1", Happened::Stopped);
        sleep(Duration::from_secs(1)).await;
        lab.model.exists("vm1", true);
        lab.model.tell("vm1", Happened::Started);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(lab.model.snapshots("vm1"), ["golden"]);
    }
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_events_of_our_own_actions_cost_no_look_beyond_the_one_after_a_job() {
    // No poll comes into the count, however long the threads of a loaded machine take.
    let mut lab = Lab::start_with(&["vm1"], &golden(), |settings| settings.poll = Duration::from_secs(86_400));
    lab.settled().await;
    // What libvirt tells of a capture of a running domain, and of the ledger: some during the job, the last after it.
    lab.model.hold(Some("vm1"));
    lab.say(revision("second", &golden().replace("name: golden", "name: second")));
    // Until the capture waits and the round before it is counted.
    while lab.model.held() == 0 || lab.handle.view().counters.running == 0 {
        tokio::time::advance(Duration::from_millis(10)).await;
        tokio::task::yield_now().await;
    }
    let rounds = lab.handle.view().counters.rounds;
    for what in [Happened::Paused, Happened::Resumed, Happened::Ledger] {
        lab.model.tell("vm1", what);
        tokio::time::advance(Duration::from_secs(2)).await;
        tokio::task::yield_now().await;
    }
    lab.model.hold(None);
    lab.until("done", |view| view.counters.running == 0).await;
    sleep(Duration::from_millis(50)).await;
    lab.model.tell("vm1", Happened::Ledger);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(lab.handle.view().counters.rounds - rounds, 1, "the look after the job has read it all");
    assert_eq!(lab.writes().len(), 2);
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_noticed_at_once_and_opened_again_after_five_seconds() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.settled().await;
    lab.model.down.store(true, Ordering::SeqCst);
    let start = lab.now();
    lab.model.event(Event::Closed);
    lab.until("down", |view| !view.status.hosts[0].connected).await;
    assert_eq!(lab.now(), start, "no time passed");
    lab.model.down.store(false, Ordering::SeqCst);
    lab.until("up", |view| view.status.hosts[0].connected).await;
    assert_eq!(lab.now().duration_since(start), SignedDuration::from_secs(5));
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_in_a_pause_is_looked_at_and_the_pause_still_ends_on_time() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.model.fail("vm1", true);
    lab.until("the third failure", |view| view.status.domains.first().is_some_and(|vm| vm.failures == 3)).await;
    let failed = lab.now();
    lab.model.tell("vm1", Happened::Started);
    sleep(Duration::from_secs(1)).await;
    lab.model.fail("vm1", false);
    lab.ready().await;
    let at = lab.model.writes().last().expect("done").at;
    assert_eq!(at.duration_since(failed), SignedDuration::from_secs(20));
    lab.stop().await;
}
