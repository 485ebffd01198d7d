//! Pauses after failures of the source and of connections, the sign of life for the watchdog, and the limits of the interface.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::agent::server::{self, Way};

fn pauses(times: &[Timestamp]) -> Vec<i64> {
    times.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_read_again_after_growing_pauses_up_to_its_interval() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.settled().await;
    let gone = || Err(SourceError { id: None, text: "the root is missing".to_owned() });
    lab.say(gone());
    lab.until("refused", |view| view.status.source.error.is_some()).await;
    let from = lab.reads.lock().expect("whole").len() - 1;
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(pauses(&lab.reads.lock().expect("whole")[from..]), [5, 10, 20, 40, 80, 160, 300, 300]);
    // Good once, and the pauses begin anew.
    lab.say(revision("good", &golden()));
    lab.until("good", |view| view.status.source.error.is_none()).await;
    lab.say(gone());
    lab.until("refused", |view| view.status.source.error.is_some()).await;
    let from = lab.reads.lock().expect("whole").len() - 1;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(pauses(&lab.reads.lock().expect("whole")[from..]), [5, 10]);
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn before_the_first_good_revision_the_loop_sleeps_from_one_reading_to_the_next() {
    let beats = Arc::new(Mutex::new(Vec::new()));
    let lab = Lab::start_under(Box::new(Beats(Arc::clone(&beats))), &["vm1"], &golden(), |_| {});
    *lab.said.lock().expect("whole") = Err(SourceError { id: None, text: "the root is missing".to_owned() });
    sleep(Duration::from_secs(36)).await;
    assert_eq!(pauses(&lab.reads.lock().expect("whole")), [5, 10, 20]);
    // Four readings that begin and end, and a sign of life every ten seconds.
    let turns = beats.lock().expect("whole").len();
    assert!(turns <= 4 * 2 + 4, "{turns}");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_a_connection_that_hung_begins_at_its_end() {
    let (mut agent, lab) = Lab::by_hand(&["vm1"], &golden());
    lab.model.down.store(true, Ordering::SeqCst);
    let (release, until) = std::sync::mpsc::channel();
    lab.model.hang_connecting(until);
    agent.begin_turn();
    advance(Duration::from_secs(30)).await;
    drop(release);
    work::end_turn(&mut agent).await;
    assert_eq!(agent.next_connect.map(|at| at - Instant::now()), Some(Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_while_a_round_runs_is_followed_by_another_attempt() {
    let (mut agent, lab) = Lab::by_hand(&["vm1"], &golden());
    lab.model.down.store(true, Ordering::SeqCst);
    agent.begin_turn();
    work::end_turn(&mut agent).await;
    lab.model.down.store(false, Ordering::SeqCst);
    // Something else has it look a second before the pause is over, and its reading takes two.
    advance(Duration::from_secs(4)).await;
    agent.closed = true;
    agent.next_read = Instant::now();
    let (release, until) = std::sync::mpsc::channel();
    *lab.hang.lock().expect("whole") = Some(until);
    agent.begin_turn();
    advance(Duration::from_secs(2)).await;
    drop(release);
    work::end_turn(&mut agent).await;
    assert_eq!(lab.model.opened().len(), 1, "the pause held");
    assert!(agent.wake() <= Instant::now(), "connecting is due");
    work::turn(&mut agent).await;
    assert!(agent.board.status(|_| crate::agent::status::Work::default(), false, lab.now()).hosts[0].connected);
    assert_eq!(agent.next_connect, None);
}

#[tokio::test(start_paused = true)]
async fn of_two_hosts_of_one_name_the_second_is_refused_unread_after_growing_pauses() {
    let uris = ["qemu:///model", "qemu+ssh://other/model"];
    let lab = Lab::assemble(Box::new(()), &uris, &["vm1"], &golden(), |_| {}, |agent| tokio::spawn(agent.run()));
    sleep(Duration::from_secs(1300)).await;
    let opened = lab.model.opened();
    assert_eq!(pauses(&opened[1..]), [5, 10, 20, 40, 80, 160, 320, 600]);
    // The list, what is there before anything is done, and after it; of the first host alone.
    assert!(lab.model.calls()["definition"] <= 3, "{:?}", lab.model.calls());
    let hosts = lab.handle.view().status.hosts.clone();
    assert!(hosts[0].connected && hosts[0].error.is_none(), "{hosts:?}");
    assert!(hosts[1].error.as_ref().is_some_and(|error| error.contains("named model too")), "{hosts:?}");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_cannot_be_reached_is_tried_again_after_growing_pauses() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.settled().await;
    let begin = lab.now();
    lab.model.down.store(true, Ordering::SeqCst);
    lab.model.event(crate::host::Event::Closed);
    sleep(Duration::from_secs(2500)).await;
    let tries: Vec<Timestamp> = std::iter::once(begin).chain(lab.model.opened().into_iter().skip(1)).collect();
    assert_eq!(pauses(&tries), [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
    lab.model.down.store(false, Ordering::SeqCst);
    lab.until("up", |view| view.status.hosts[0].connected).await;
    let (begin, before) = (lab.now(), lab.model.opened().len());
    lab.model.down.store(true, Ordering::SeqCst);
    lab.model.event(crate::host::Event::Closed);
    sleep(Duration::from_secs(20)).await;
    let tries: Vec<Timestamp> = std::iter::once(begin).chain(lab.model.opened().into_iter().skip(before)).collect();
    assert_eq!(pauses(&tries), [5, 10], "success begins them anew");
    lab.stop().await;
}

/// Notes each sign of life.
struct Beats(Arc<Mutex<Vec<Instant>>>);

impl Supervisor for Beats {
    fn ready(&mut self, _: &str) {}
    fn reloading(&mut self) {}
    fn stopping(&mut self) {}
    fn alive(&mut self) {
        self.0.lock().expect("whole").push(Instant::now());
    }
    fn beat(&self) -> Option<Duration> {
        Some(Duration::from_secs(10))
    }
}

#[tokio::test(start_paused = true)]
async fn the_loop_gives_signs_of_life_as_often_as_it_is_asked_to_also_when_it_ends() {
    let beats = Arc::new(Mutex::new(Vec::new()));
    let mut lab = Lab::start_under(Box::new(Beats(Arc::clone(&beats))), &["vm1"], &golden(), |_| {});
    lab.settled().await;
    sleep(Duration::from_secs(600)).await;
    // An action that takes its time, and the end that waits for it.
    lab.model.hold(Some("vm1"));
    lab.say(revision("second", &golden().replace("name: golden", "name: second")));
    let step = |seconds| async move {
        advance(Duration::from_secs(seconds)).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    };
    while lab.model.held() == 0 {
        step(1).await;
    }
    lab.handle.stop();
    for _ in 0..60 {
        step(1).await;
    }
    let end = Instant::now();
    lab.model.hold(None);
    let model = Arc::clone(&lab.model);
    lab.stop().await;
    assert_eq!(model.snapshots("vm1"), ["golden", "second"]);
    let beats: Vec<Instant> = beats.lock().expect("whole").iter().copied().filter(|at| *at <= end).collect();
    let longest = beats.windows(2).map(|pair| pair[1] - pair[0]).max().expect("many");
    assert!(
        longest <= Duration::from_secs(11) && end - *beats.last().expect("many") <= Duration::from_secs(11),
        "{longest:?}"
    );
}

/// What the interface answers to a request on a connection of its own.
async fn asked(handle: &Handle, path: &str) -> String {
    let (mut client, served) = duplex(65_536);
    tokio::spawn(server::serve(served, handle.clone(), Way::Socket));
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    client.read_to_string(&mut text).await.expect("answered");
    text
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_is_silent_for_long_is_not_healthy() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.settled().await;
    sleep(Duration::from_secs(3600)).await;
    assert!(asked(&lab.handle, "/healthz").await.starts_with("HTTP/1.1 200"), "idle is not silent");
    lab.running.abort();
    sleep(Duration::from_secs(80)).await;
    assert!(asked(&lab.handle, "/healthz").await.starts_with("HTTP/1.1 200"));
    sleep(Duration::from_secs(80)).await;
    let text = asked(&lab.handle, "/healthz").await;
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("silent"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_round_that_does_not_end_is_not_healthy_though_the_loop_is_alive() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.settled().await;
    let (release, until) = std::sync::mpsc::channel();
    *lab.hang.lock().expect("whole") = Some(until);
    let reads = lab.reads.lock().expect("whole").len();
    lab.changed.notify_one();
    // Short of the debounce, and past it.
    sleep(Duration::from_millis(150)).await;
    advance(Duration::from_millis(100)).await;
    while lab.reads.lock().expect("whole").len() == reads {
        tokio::task::yield_now().await;
    }
    // A blocked thread keeps tokio from advancing its clock by itself.
    let minutes = |n| async move {
        for _ in 0..n {
            advance(Duration::from_secs(60)).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
    };
    minutes(14).await;
    assert!(asked(&lab.handle, "/healthz").await.starts_with("HTTP/1.1 200"), "it may take its time");
    minutes(2).await;
    let text = asked(&lab.handle, "/healthz").await;
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("a round has run for 9"), "{text}");
    drop(release);
    sleep(Duration::from_secs(1)).await;
    assert!(asked(&lab.handle, "/healthz").await.starts_with("HTTP/1.1 200"));
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_an_agent_that_ends_is_answered_at_once() {
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.model.hold(Some("vm1"));
    lab.until("running", |view| view.counters.running == 1).await;
    lab.handle.stop();
    // One asks before it has begun to end, and one after.
    for _ in 0..2 {
        let handle = lab.handle.clone();
        let asked = tokio::spawn(async move { handle.reload().await });
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(asked.is_finished(), "while an action is finished");
        assert_eq!(asked.await.expect("no panic"), Err("the agent is ending".to_owned()));
    }
    lab.model.hold(None);
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_hung_up_on_after_ten_seconds() {
    let lab = Lab::start(&["vm1"], &golden());
    let (mut client, served) = duplex(1024);
    let begin = Instant::now();
    let serving = tokio::spawn(server::serve(served, lab.handle.clone(), Way::Socket));
    client.write_all(b"GET /heal").await.expect("sent");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("the end");
    assert_eq!(begin.elapsed().as_secs(), 10);
    serving.await.expect("no panic");
    lab.stop().await;
}
