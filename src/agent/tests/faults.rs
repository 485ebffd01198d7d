//! Lost connections, and two weeks in which everything goes wrong now and then.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::{advance, sleep};

use super::*;
use crate::host::{Event, Happened};

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_opened_again_and_no_slot_is_lost_that_its_deadline_allows() {
    let mut lab = Lab::start(&["vm1"], &hourly(&[]));
    lab.ready().await;
    lab.model.down.store(true, Ordering::SeqCst);
    let view = lab.until("down", |view| view.status.hosts.iter().any(|host| !host.connected)).await;
    assert_eq!(condition(&view.status.conditions, ConditionKind::Ready).reason, "HostDown");
    // From 04:00:30 to past 05:40: the slot of five o'clock is still owed then.
    sleep(Duration::from_secs(100 * 60)).await;
    lab.model.down.store(false, Ordering::SeqCst);
    lab.ready().await;
    assert_eq!(lab.model.snapshots("vm1"), ["lab-hourly-20261123T040000Z", "lab-hourly-20261123T050000Z"]);
    assert!(lab.now() < "2026-11-23T06:00:00Z".parse().expect("an instant"), "within ten minutes: {}", lab.now());
    lab.stop().await;
}

fn until_next_hour(lab: &Lab) -> Duration {
    let next = lab.now().round((jiff::Unit::Hour, 1)).expect("in range");
    let next = if next <= lab.now() { next + SignedDuration::from_hours(1) } else { next };
    Duration::try_from(next.duration_since(lab.now())).expect("ahead")
}

/// The next slot's capture takes that many times five minutes. A blocked thread keeps tokio from advancing its clock by itself,
/// and each five minutes have their poll.
async fn slow_capture(lab: &Lab, domain: &str, polls: u64) {
    sleep(until_next_hour(lab) - Duration::from_secs(1)).await;
    lab.model.hold(Some(domain));
    for _ in 0..polls {
        let rounds = lab.handle.view().counters.rounds;
        advance(Duration::from_secs(300)).await;
        while lab.handle.view().counters.rounds == rounds {
            tokio::task::yield_now().await;
        }
    }
    lab.model.hold(None);
}

/// What this process has in memory: nextest gives each test one of its own.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

#[tokio::test(start_paused = true)]
async fn two_weeks_of_faults_lose_no_slot_and_delete_nothing_for_a_bad_revision() {
    const HOURS: usize = 14 * 24;
    const DOMAINS: [&str; 2] = ["vm1", "vm2"];
    let good = hourly(&["prune: true", "retention: {spec: {keep: {last: 6, daily: 20}}}"]);
    let mut lab = Lab::start_with(&DOMAINS, &good, |settings| settings.poll = Duration::from_secs(300));
    lab.ready().await;
    // A fixed sequence of faults (a linear congruential generator): the same two weeks in each run.
    let mut seed: u64 = 20_261_123;
    let mut dice = |sides: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % sides
    };
    let (mut kept, mut resident) = (0, 0);
    for hour in 0..HOURS {
        if hour == 48 {
            (kept, resident) = (lab.handle.view().counters.kept, resident_bytes());
        }
        let mut bad_revision = None;
        // A domain that comes and goes.
        let passing = format!("vm-{hour}");
        if dice(4) == 0 {
            lab.model.exists(&passing, true);
            lab.model.tell(&passing, Happened::Started);
        }
        match dice(8) {
            // None of these lasts for a whole hour, so every slot is owed long enough.
            0 => lab.model.down.store(true, Ordering::SeqCst),
            1 => lab.model.fail(DOMAINS[dice(2) as usize], true),
            2 => {
                let deletes = lab.writes().iter().filter(|what| what.starts_with("delete")).count();
                bad_revision = Some(deletes);
                lab.say(Err(SourceError { id: None, text: "the root is missing".to_owned() }));
            }
            3 => lab.say(revision(&format!("revision {hour}"), &good)),
            4 => slow_capture(&lab, DOMAINS[dice(2) as usize], 1 + dice(8)).await,
            5 => lab.model.tell(DOMAINS[dice(2) as usize], Happened::FromSnapshot),
            6 => lab.model.event(Event::Closed),
            _ => {}
        }
        sleep(Duration::from_secs(dice(40) * 60)).await;
        lab.model.down.store(false, Ordering::SeqCst);
        DOMAINS.iter().for_each(|domain| lab.model.fail(domain, false));
        lab.model.exists(&passing, false);
        lab.model.tell(&passing, Happened::Stopped);
        if bad_revision.is_some() {
            let view = lab.handle.view();
            assert!(view.status.source.revision.is_some(), "the last good revision stays");
            lab.say(revision("repaired", &good));
        }
        // Half a minute into the next hour.
        sleep(until_next_hour(&lab) + Duration::from_secs(30)).await;
    }
    lab.ready().await;
    // What is kept for domains that are gone would have grown sevenfold.
    assert!(lab.handle.view().counters.kept <= kept + 8, "{kept} {}", lab.handle.view().counters.kept);
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < 8 << 20, "{grown} bytes on {resident}");
    let writes = lab.model.writes();
    for domain in DOMAINS {
        let slots: Vec<_> = writes
            .iter()
            .filter_map(|write| write.what.strip_prefix(&format!("create {domain}/lab-hourly-")))
            .collect();
        let distinct: BTreeSet<_> = slots.iter().collect();
        let passed = lab.now().duration_since(clock::START.parse().expect("an instant")).as_hours();
        assert_eq!(i64::try_from(distinct.len()).expect("few"), passed + 1, "every slot of {domain} was taken");
        let there = lab.model.snapshots(domain);
        // The last six, and one of each day before.
        assert!((6 + 12..=6 + 20 + 1).contains(&there.len()), "{there:?}");
    }
    let view = lab.handle.view();
    assert!(view.status.domains.len() == DOMAINS.len() && view.counters.running == 0);
    lab.stop().await;
}
