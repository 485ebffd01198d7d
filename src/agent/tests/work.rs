//! Jobs beside rounds, step by step: what ends a job early, and what one that ended meanwhile makes of a round's plan.

use super::*;
use crate::agent::events::SETTLE;
use crate::agent::{Key, ended};

/// Waits for the round that runs, and takes its result over.
pub(super) async fn end_turn(agent: &mut Agent) {
    let turn = ended(&mut agent.turn).await.expect("one runs");
    agent.end_turn(turn);
}

/// A round from its begin to its end.
pub(super) async fn turn(agent: &mut Agent) {
    agent.begin_turn();
    end_turn(agent).await;
}

/// Waits for a job, and takes its result over.
async fn end_job(agent: &mut Agent) {
    let job = agent.jobs.join_next_with_id().await.expect("one runs");
    agent.end_job(job);
}

/// Until so many writes wait.
async fn held(lab: &Lab, writes: usize) {
    while lab.model.held() < writes {
        tokio::task::yield_now().await;
    }
}

fn key(agent: &Agent, domain: &str) -> Key {
    let plan = agent.plan.as_ref().expect("planned");
    let of = plan.domains.iter().find(|of| of.domain == domain).expect("selected");
    (of.host.clone(), of.uuid)
}

fn several() -> String {
    let captures =
        ["a", "b", "c"].map(|name| format!("\n    - {{name: {name}, capture: {{content: full, location: internal}}}}"));
    set(&format!("  snapshots:{}", captures.concat()))
}

const FIVE: [&str; 5] = ["vm1", "vm2", "vm3", "vm4", "vm5"];

#[tokio::test(start_paused = true)]
async fn a_new_revision_ends_what_runs_for_the_old_one_after_the_action_at_hand() {
    let (mut agent, lab) = Lab::by_hand(&["vm1"], &several());
    lab.model.hold(Some("vm1"));
    turn(&mut agent).await;
    held(&lab, 1).await;
    lab.say(revision("second", &format!("{}\n  suspend: {{reason: wait}}\n", several().trim_end())));
    agent.next_read = tokio::time::Instant::now();
    turn(&mut agent).await;
    lab.model.hold(None);
    end_job(&mut agent).await;
    assert_eq!(lab.writes(), ["create vm1/a"]);
    let key = key(&agent, "vm1");
    assert_eq!(agent.queue.backoff(&key).failures(), 0, "it was told to end");
    assert!(agent.queue.is_wanted(&key), "it is looked at again");
}

#[tokio::test(start_paused = true)]
async fn the_same_revision_read_again_ends_nothing() {
    let (mut agent, lab) = Lab::by_hand(&["vm1"], &several());
    lab.model.hold(Some("vm1"));
    turn(&mut agent).await;
    held(&lab, 1).await;
    agent.next_read = tokio::time::Instant::now();
    turn(&mut agent).await;
    lab.model.hold(None);
    end_job(&mut agent).await;
    assert_eq!(lab.writes().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_slot_went_by_while_it_waited_is_not_begun() {
    let (mut agent, lab) = Lab::by_hand(&FIVE, &hourly(&[]));
    lab.model.hold(Some("vm"));
    turn(&mut agent).await;
    held(&lab, 4).await;
    let waits = agent.pending.front().expect("one waits").key.clone();
    lab.clock.leap(3600);
    lab.model.hold(None);
    for _ in 0..4 {
        end_job(&mut agent).await;
    }
    assert!(agent.jobs.is_empty() && agent.pending.is_empty());
    assert_eq!(lab.writes().len(), 4);
    assert!(agent.queue.is_wanted(&waits), "it is looked at again");
}

#[tokio::test(start_paused = true)]
async fn what_a_job_did_while_a_round_ran_is_not_taken_for_undone() {
    let (mut agent, lab) = Lab::by_hand(&FIVE, &golden());
    lab.model.hold(Some("vm"));
    turn(&mut agent).await;
    held(&lab, 4).await;
    let waits = agent.pending.front().expect("one waits").key.clone();
    // A round that reads it while its job still waits, and has not ended when the job has.
    agent.queue.want(waits.clone(), tokio::time::Instant::now());
    agent.begin_turn();
    let round = ended(&mut agent.turn).await.expect("one runs");
    lab.model.hold(None);
    for _ in 0..5 {
        end_job(&mut agent).await;
    }
    agent.end_turn(round);
    assert!(agent.jobs.is_empty() && agent.pending.is_empty());
    assert_eq!(agent.queue.backoff(&waits).failures(), 0);
    assert_eq!(lab.writes().len(), 5);
    // The look after the job is one, also where it falls together with a round that follows up.
    tokio::time::advance(SETTLE).await;
    agent.follow_up = true;
    turn(&mut agent).await;
    assert!(!agent.deeds.contains_key(&waits), "nothing was left to do");
}

#[tokio::test(start_paused = true)]
async fn a_second_change_of_one_snapshot_is_not_the_first_one_again() {
    let (mut agent, lab) = Lab::by_hand(&["vm1"], &golden());
    turn(&mut agent).await;
    end_job(&mut agent).await;
    // Each comes before the look after the job of the one before.
    for text in ["one", "two"] {
        let described = golden().replace("name: golden,", &format!("name: golden, description: {text},"));
        lab.say(revision(text, &described));
        agent.next_read = tokio::time::Instant::now();
        turn(&mut agent).await;
        while agent.follow_up {
            turn(&mut agent).await;
        }
        end_job(&mut agent).await;
        assert_eq!(lab.model.description("vm1", "golden"), text);
    }
    assert_eq!(agent.queue.backoff(&key(&agent, "vm1")).failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_is_still_to_be_read_holds_up_none_that_was() {
    let declared = golden().replace("name: golden,", "name: golden, recreate: true,");
    let (mut agent, lab) = Lab::by_hand(&["vm1", "vm2"], &declared);
    lab.model.fail("vm1", true);
    turn(&mut agent).await;
    for _ in 0..2 {
        end_job(&mut agent).await;
    }
    lab.model.fail("vm1", false);
    // The pause of vm1 is over, and only vm2, from which somebody took a snapshot, is looked at.
    tokio::time::advance(Duration::from_secs(30)).await;
    let (failed, undone) = (key(&agent, "vm1"), key(&agent, "vm2"));
    agent.queue.take_due(tokio::time::Instant::now());
    lab.model.remove("vm2", "golden");
    agent.queue.want(undone.clone(), tokio::time::Instant::now());
    turn(&mut agent).await;
    assert!(agent.queue.is_running(&undone), "it was read just now");
    assert!(!agent.queue.is_running(&failed) && agent.follow_up, "it is read before anything is done in it");
}
