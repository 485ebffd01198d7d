//! Series: months of a schedule on a running domain, by a clock of the test's own; and runs that end anywhere.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use snapward::model::plan::ActionKind;

use crate::support::cmd::snapward;
use crate::support::embed::EmbedRoot;
use crate::support::guest::{Guest, bytes};
use crate::support::lab::{Lab, blocks, manifest, snapshot};
use crate::support::monitor::{self, Monitor};
use crate::support::tools::{qemu_img_snapshots, run, text};

pub(super) const ZONE: &str = "Europe/Prague";

/// An hourly internal series with more fields, each on a line.
fn hourly(fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("      {field}\n")).collect();
    format!(
        "  series:\n    - name: hourly\n      schedule: {{cron: '0 * * * *', timeZone: {ZONE}}}\n      capture: {{content: full, \
         location: internal}}\n{fields}"
    )
}

/// What the disk holds in the pass of that number: two bytes of it, each filling 4 KiB.
fn mark(monitor: &mut Monitor, pass: usize) {
    let [high, low] = u16::try_from(pass).expect("fewer passes").to_be_bytes();
    monitor.write(high, 0, 4096);
    monitor.write(low, 4096, 4096);
}

/// Whether a snapshot in an image that a guest has open holds what was there in that pass.
fn holds(root: &EmbedRoot, guest: &Guest<'_>, name: &str, pass: usize) -> bool {
    let copy = root.image("copy.raw");
    let snapshot = format!("snapshot.name={name}");
    run("qemu-img", &["convert", "-U", "-l", &snapshot, "-O", "raw", text(&guest.vda()), text(&copy)]);
    let [high, low] = u16::try_from(pass).expect("fewer passes").to_be_bytes();
    bytes(&copy)[..8192] == [[high; 4096], [low; 4096]].concat()
}

/// When the timer comes: every hour in the first day and a half and around the change of the clocks, else every 18 hours,
/// so that it drifts through the day. A capture in each hour of three months would take minutes; that each hour is a slot of
/// its own is what the dense days show, and the pure tests of `schedule` and `plan` for every hour of years. `make proof`
/// runs each hour.
fn pace(now: Timestamp, start: Timestamp, change: Timestamp) -> SignedDuration {
    if every_hour() {
        return SignedDuration::from_hours(1);
    }
    let near = |instant: Timestamp, hours| now.duration_since(instant).abs() < SignedDuration::from_hours(hours);
    SignedDuration::from_hours(if near(start, 36) || near(change, 12) { 1 } else { 18 })
}

/// Whether the three months are run hour by hour.
fn every_hour() -> bool {
    std::env::var_os("SNAPWARD_PROOF").is_some()
}

#[test]
fn three_months_under_gfs_on_a_running_domain_lose_nothing_that_was_to_be_kept() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let socket = root.path().join("vm.qmp");
    let guest = root.guest("vm").head(&monitor::xml(&socket)).define();
    guest.start();
    let mut monitor = Monitor::open(&socket);
    let policy =
        "retention: {spec: {timeZone: Europe/Prague, keep: {last: 3, hourly: 12, daily: 7, weekly: 4, monthly: 3}}}";
    let yaml = manifest(&format!(
        "  snapshots:\n{}  current: golden\n{}",
        snapshot("golden", &[]),
        hourly(&["prune: true", policy])
    ));
    let desired = Lab::load(&yaml);

    // March to May of the next year: the slots lie ahead of libvirt's own clock, as they must, and the clocks change.
    let zone = TimeZone::get(ZONE).expect("a zone");
    let year = zone.to_datetime(lab.now()).year() + 1;
    let start = jiff::civil::date(year, 3, 1).at(0, 5, 0, 0).to_zoned(zone.clone()).expect("a time").timestamp();
    let end = start + SignedDuration::from_hours(24 * 91);
    let change = zone.following(start).next().expect("summer comes").timestamp();

    // By slot: the snapshot's name and the pass that made it.
    let mut captured: BTreeMap<Timestamp, (String, usize)> = BTreeMap::new();
    let mut expected: BTreeSet<String> = BTreeSet::from(["golden".to_owned()]);
    let (mut now, mut pass, mut compared) = (start, 0, 0);
    while now < end {
        pass += 1;
        mark(&mut monitor, pass);
        let planned = lab.plan_at(&desired, now);
        assert_eq!(blocks(&planned.plan), Vec::<String>::new(), "{now}");
        let outcome = lab.carry_out(&planned);
        assert_eq!(outcome.summary.failed, 0, "{now}: {outcome:#?}");
        for action in &planned.plan.actions {
            let name = action.address.snapshot.as_ref().expect("a snapshot").to_string();
            match action.action {
                ActionKind::Create if name == "golden" => {}
                ActionKind::Create => {
                    let slot = name.strip_prefix("lab-hourly-").expect("its name");
                    let slot: Timestamp = slot.parse().unwrap_or_else(|error| panic!("{slot}: {error}"));
                    assert_eq!(captured.insert(slot, (name.clone(), pass)), None, "{slot} twice");
                    expected.insert(name);
                }
                ActionKind::Delete => assert!(expected.remove(&name), "{name} was there"),
                _ => {}
            }
        }
        if pass % 24 == 0 || now + pace(now, start, change) >= end {
            let listed: BTreeSet<String> = guest.snapshots().into_iter().collect();
            assert_eq!(listed, expected, "{now}");
            let tags: BTreeSet<String> = qemu_img_snapshots(&guest.vda()).into_iter().collect();
            assert_eq!(tags, expected, "{now}: nothing deleted remains in the image");
            assert_eq!(guest.current(), "golden", "{now}");
            assert!(lab.plan_at(&desired, now).plan.actions.is_empty(), "{now}: settled");
            for (name, pass) in captured.values().filter(|(name, _)| expected.contains(name)) {
                assert!(holds(&root, &guest, name, *pass), "{now}: {name} holds something else");
                compared += 1;
            }
            covers(&captured, &expected, &zone, &[("%Y%m%d %H %z", 12), ("%Y%m%d", 7), ("%G %V", 4), ("%Y %m", 3)]);
        }
        now += pace(now, start, change);
    }
    let least = if every_hour() { 91 * 24 } else { 150 };
    assert!(captured.len() >= least, "{} slots", captured.len());
    assert_eq!(captured.len(), pass, "one per run");
    assert!((20..=30).contains(&expected.len()), "{}: {expected:?}", expected.len());
    let guest_runs = lab.plan_at(&desired, end).plan.domains[0].state;
    assert_eq!(guest_runs.as_str(), "running", "the guest was never stopped");
    told(pass, captured.len(), &expected, compared);
}

/// Says what a run came to, for `make proof`.
#[expect(clippy::print_stdout, reason = "the proof is a result to be read")]
fn told(runs: usize, slots: usize, left: &BTreeSet<String>, compared: usize) {
    println!("{runs} runs, {slots} slots captured, {} snapshots left, {compared} comparisons of contents", left.len());
}

/// Each of the last hours, days and so on that had a capture still has one: buckets as strftime writes them, and how many.
pub(super) fn covers(
    captured: &BTreeMap<Timestamp, (String, usize)>,
    kept: &BTreeSet<String>,
    zone: &TimeZone,
    rules: &[(&str, usize)],
) {
    for &(bucket, count) in rules {
        let bucket = |slot: &Timestamp| slot.to_zoned(zone.clone()).strftime(bucket).to_string();
        let mut buckets: Vec<String> = captured.keys().rev().map(bucket).collect();
        buckets.dedup();
        let has: BTreeSet<String> =
            captured.iter().filter(|(_, (name, _))| kept.contains(name)).map(|(slot, _)| bucket(slot)).collect();
        for wanted in buckets.iter().take(count) {
            assert!(has.contains(wanted), "nothing of {wanted} is left");
        }
    }
}

#[test]
fn from_the_command_line_a_slot_is_taken_once_and_explained() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    // Once a year, so that no slot comes due while the test runs.
    let series = "  series:\n    - name: yearly\n      schedule: {cron: '@yearly'}\n      capture: {content: full, location: \
                  internal}\n      prune: true\n      retention: {spec: {keep: {last: 2}}}\n";
    let file = root.file("lab.yaml", &manifest(series));
    let run = |args: &[&str]| snapward([&["-c", root.uri().as_str()], args].concat()).run();
    let ran = run(&["plan", &file]).exits(0);
    assert!(ran.stdout.contains("of series yearly (@yearly, UTC)"), "{ran}");
    // No filesystem is free as a whole.
    let policy = "---\napiVersion: snapward/v1\nkind: SafetyPolicy\nmetadata: {name: all}\nspec: {freeSpace: {minPercent: 100}}\n";
    let full = root.file("full.yaml", &(manifest(&format!("  safety: {{policyRef: all}}\n{series}")) + policy));
    let ran = run(&["apply", "--yes", &full]).exits(3);
    assert!(ran.stdout.contains("NoSpace") && guest.snapshots().is_empty(), "{ran}");
    run(&["apply", "--yes", &file]).exits(0);
    let taken = guest.snapshots();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert!(taken[0].starts_with("lab-yearly-") && taken[0].ends_with("0101T000000Z"), "{taken:?}");
    let ran = run(&["apply", "--yes", &file]).exits(0);
    assert!(ran.stdout.contains("No changes."), "{ran}");
    assert!(ran.stdout.contains("1 scheduled snapshot by retention"), "{ran}");
    let ran = run(&["status", &file]).exits(0);
    assert!(ran.stdout.contains("next due"), "{ran}");

    let ran = run(&["retention", "explain", &file]).exits(0);
    assert!(ran.stdout.contains("/vm: series yearly of set default/lab"), "{ran}");
    assert!(ran.stdout.contains("the newest of its series"), "{ran}");
    assert!(ran.stdout.contains("1 of 1 snapshot in 1 series kept"), "{ran}");
    let ran = run(&["retention", "explain", "--domain", "vm", "-o", "json", &file]).exits(0);
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let schemas = snapward::report::schemas();
    let (_, schema) = schemas.iter().find(|(name, _)| name == "retention-explanation.v1.json").expect("published");
    assert!(jsonschema::validator_for(schema).expect("a schema").is_valid(&told), "{told}");
    assert_eq!(told["series"][0]["snapshots"][0]["reasons"][0]["code"], "current", "{told}");
    run(&["retention", "explain", "--domain", "other", &file]).exits(64);
}
