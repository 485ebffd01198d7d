//! What the calendar brings: jitter, windows, the end of a suspension, scheduled reverts, and the hourly reading of everything.

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::timing::created;
use super::*;

/// Far beyond anything here: what comes at its instant is not found by the poll.
fn without_polls(settings: &mut Settings) {
    settings.poll = Duration::from_secs(86_400);
}

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

/// The calls of a kind so far, with their times.
fn done(lab: &Lab, kind: &str) -> Vec<(String, String)> {
    let writes = lab.model.writes().into_iter();
    writes.filter(|write| write.what.starts_with(kind)).map(|write| (write.at.to_string(), write.what)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_slot_with_jitter_is_taken_when_it_was_announced() {
    let jittered = hourly(&[]).replace("timeZone: UTC}", "timeZone: UTC, jitter: 20m}");
    let mut lab = Lab::start_with(&["vm1", "vm2"], &jittered, without_polls);
    // Past the slot of half a minute ago, which has its jitter too.
    sleep(Duration::from_secs(3000)).await;
    let view = lab.ready().await;
    let announced: Vec<_> =
        view.status.domains.iter().map(|domain| instant(domain.next_due.as_deref().expect("one"))).collect();
    assert!(announced[0] != announced[1], "spread: {announced:?}");
    sleep(Duration::from_secs(3000)).await;
    for (name, due) in ["vm1", "vm2"].iter().zip(announced) {
        let late = due.duration_since(instant("2026-11-23T05:00:00Z"));
        assert!(late > SignedDuration::ZERO && late <= SignedDuration::from_mins(20), "{due}");
        let slot = format!("{name}/lab-hourly-20261123T050000Z");
        let taken = created(&lab).into_iter().find(|(_, what)| *what == slot);
        assert_eq!(taken.map(|(at, _)| at), Some(due), "{name}");
    }
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_window_that_opens_is_met_at_its_instant() {
    let policy = "---\napiVersion: snapward/v1\nkind: SafetyPolicy\nmetadata: {name: nightly}\nspec:\n  maxDeletes: {percent: 100}\n  windows:\n    - {allow: \
                  [delete], cron: '0 8 * * *', duration: 30m, timeZone: UTC}\n";
    let series = hourly(&["prune: true", "retention: {spec: {keep: {last: 2}}}"]);
    let yaml = format!("{}\n  safety: {{policyRef: nightly}}\n{policy}", series.trim_end());
    let mut lab = Lab::start_with(&["vm1"], &yaml, without_polls);
    sleep(Duration::from_secs(3 * 3600 + 1800)).await;
    assert_eq!((created(&lab).len(), done(&lab, "delete").len()), (4, 0), "what is beyond two waits");
    sleep(Duration::from_secs(3600)).await;
    // At eight a slot comes too: captured first, then three are beyond two.
    let deleted = done(&lab, "delete");
    let eight = "2026-11-23T08:00:00Z";
    assert_eq!(deleted.iter().filter(|(at, _)| at == eight).count(), 3, "{deleted:?}");
    sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(done(&lab, "delete").len(), 3, "it has closed");
    lab.ready().await;
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_suspension_ends_within_a_poll() {
    let suspended = format!("{}\n  suspend: {{reason: a move, until: 2026-11-23T05:10:00Z}}\n", golden().trim_end());
    let mut lab = Lab::start(&["vm1"], &suspended);
    let view = lab.until("read", |view| view.plan.is_some()).await;
    let vm1 = &view.status.domains[0].conditions;
    assert!(condition(vm1, ConditionKind::Suspended).status && !condition(vm1, ConditionKind::Ready).status);
    lab.ready().await;
    let (at, _) = created(&lab).pop().expect("captured");
    let late = at.duration_since(instant("2026-11-23T05:10:00Z"));
    assert!(late >= SignedDuration::ZERO && late <= SignedDuration::from_secs(60), "{at}");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_under_the_same_name_is_found_within_an_hour() {
    let declared = golden().replace("name: golden,", "name: golden, description: clean,");
    let mut lab = Lab::start(&["vm1"], &declared);
    lab.settled().await;
    lab.model.describe("vm1", "golden", "scribbled over");
    sleep(Duration::from_secs(50 * 60)).await;
    assert_eq!(lab.model.description("vm1", "golden"), "scribbled over", "polls compare names");
    sleep(Duration::from_secs(10 * 60)).await;
    assert_eq!(lab.model.description("vm1", "golden"), "clean");
    lab.stop().await;
}

fn request(fields: &str) -> String {
    format!(
        "{}---\napiVersion: snapward/v1\nkind: RevertRequest\nmetadata: {{name: reset}}\nspec:\n  hosts: {{include: [model]}}\n  \
         domains: {{include: [vm1]}}\n  to: golden\n  guard: {{keep: 0}}\n{fields}\n",
        golden()
    )
}

#[tokio::test(start_paused = true)]
async fn a_requested_revert_is_done_once_whatever_comes_after() {
    let once = request("  token: today\n  expiresAt: 2026-11-24T00:00:00Z");
    let mut lab = Lab::start(&["vm1"], &golden());
    lab.settled().await;
    lab.say(revision("asked", &once));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(
        lab.writes(),
        ["create vm1/golden", "revert vm1/golden"],
        "{:#?}",
        lab.handle.view().status.domains[0].blocked
    );
    // Another revision that still asks, a lost connection, a reading of everything, and its end.
    lab.say(revision("again", &format!("# again\n{once}")));
    lab.model.down.store(true, std::sync::atomic::Ordering::SeqCst);
    sleep(Duration::from_secs(120)).await;
    lab.model.down.store(false, std::sync::atomic::Ordering::SeqCst);
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(lab.writes().len(), 2, "{:?}", lab.writes());
    lab.say(revision("next", &once.replace("today", "tomorrow").replace("11-24T", "11-25T")));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(lab.writes()[2..], ["revert vm1/golden"], "a new token is a new revert");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn scheduled_reverts_are_done_at_their_instants_each_once() {
    let hourly = request("  schedule: {cron: '15 * * * *', timeZone: UTC, startingDeadline: 10m}");
    let mut lab = Lab::start_with(&["vm1"], &hourly, without_polls);
    lab.ready().await;
    sleep(Duration::from_secs(3 * 3600)).await;
    let at: Vec<_> = done(&lab, "revert").into_iter().map(|(at, _)| at).collect();
    assert_eq!(at, ["04", "05", "06"].map(|hour| format!("2026-11-23T{hour}:15:00Z")));
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_revert_that_waits_for_a_window_is_done_when_it_opens() {
    let policy = "---\napiVersion: snapward/v1\nkind: SafetyPolicy\nmetadata: {name: nightly}\nspec:\n  windows:\n    - {allow: \
                  [revert], cron: '0 8 * * *', duration: 30m, timeZone: UTC}\n";
    let asked = request("  token: today\n  expiresAt: 2026-11-24T00:00:00Z");
    let (set, rest) = asked.split_once("---").expect("two documents");
    let yaml = format!("{}\n  safety: {{policyRef: nightly}}\n---{rest}{policy}", set.trim_end());
    let lab = Lab::start_with(&["vm1"], &yaml, without_polls);
    sleep(Duration::from_secs(6 * 3600)).await;
    assert_eq!(done(&lab, "revert"), [("2026-11-23T08:00:00Z".to_owned(), "revert vm1/golden".to_owned())]);
    lab.stop().await;
}
