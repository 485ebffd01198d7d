//! What `retention explain` tells is what plans do, now and later.

use super::series::{HOUR, keep, member, members, series, slot};
use super::world::World;
use super::*;
use crate::model::explanation::Explanation;

fn explained(desired: &DesiredState, state: &ObservedState, now: jiff::Timestamp) -> Explanation {
    crate::plan::explain(desired, state, now, &plan_at(desired, state, now.as_second()))
}

#[test]
fn explain_tells_of_every_snapshot_why_it_stays_or_goes_and_when() {
    let hold = format!(", holds: [{{snapshot: {}, reason: audit}}]", slot(50));
    let spec = format!("{{domains: {{include: [vm]}}, series: [{}]{hold}}}", keep("last: 2, daily: 2"));
    let world = World::new(&spec, members([50, 49, 5, 2, 1, 0]));
    let state = observed(vec![world.domain.clone()]);
    let now = jiff::Timestamp::from_second(NOW).expect("in range");
    let explanation = explained(&world.desired, &state, now);
    let told: Vec<_> = explanation.series[0]
        .snapshots
        .iter()
        .map(|snapshot| {
            let reasons: Vec<_> = snapshot.reasons.iter().map(|reason| reason.text.as_str()).collect();
            let when = snapshot.goes.as_ref().or(snapshot.stays_until.as_ref()).or(snapshot.saved_by.as_ref());
            let line = format!("{} {} [{}] ", snapshot.name, snapshot.keep, reasons.join("; "));
            (line + when.map_or("", |when| when)).trim_end().to_owned()
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @"
    web-hourly-20261123T000000Z true [the domain's current snapshot; last 1 of 2; the newest of its series; complete, and 1 of minimumCount 1] 2026-11-23T02:00:00Z
    web-hourly-20261122T230000Z true [last 2 of 2] 2026-11-25T01:00:00Z
    web-hourly-20261122T220000Z false [daily 2026-11-22 is kept as web-hourly-20261122T230000Z] hourly: 1
    web-hourly-20261122T190000Z false [daily 2026-11-22 is kept as web-hourly-20261122T230000Z] hourly: 2
    web-hourly-20261120T230000Z true [daily 1 of 2: 2026-11-20] 2026-11-24T01:00:00Z
    web-hourly-20261120T220000Z true [held: audit]
    ");
    assert_eq!((explanation.summary.kept, explanation.summary.deleted), (4, 2));

    // The plan does what was told, and the forecast comes true.
    let mut world = world;
    let told: BTreeMap<_, _> =
        explanation.series[0].snapshots.iter().map(|s| (s.name.to_string(), s.clone())).collect();
    world.run();
    for (name, told) in &told {
        assert_eq!(world.names().contains(name), told.keep, "{name}");
    }
    for hours in 1..100 {
        world.now = NOW + hours * HOUR;
        world.run();
        let now = jiff::Timestamp::from_second(world.now).expect("in range").to_string();
        for (name, told) in told.iter().filter(|(_, told)| told.keep) {
            let gone = told.goes.as_ref().is_some_and(|goes| *goes <= now);
            assert_eq!(world.names().contains(name), !gone, "{name} at {now}");
        }
    }
}

#[test]
fn explain_says_what_keeps_its_decisions_from_being_carried_out() {
    let why = |spec: &str, domain: ObservedDomain| {
        let state = observed(vec![domain]);
        let now = jiff::Timestamp::from_second(NOW).expect("in range");
        let explanation = explained(&desired(vec![set(spec)]), &state, now);
        explanation.series[0].not_carried_out.clone().unwrap_or_default()
    };
    let spec = series(&keep("last: 1"));
    assert_eq!(why(&spec, members([2, 0])), "");
    assert!(why(&spec.replace("prune: true", "prune: false"), members([2, 0])).contains("prune is not set"));
    assert!(why(&spec.replacen('{', "{suspend: {reason: audit}, ", 1), members([2, 0])).contains("audit"));
    let mut external = foreign("e");
    external.disks.insert("vda".into(), Storage::External);
    assert!(why(&spec, domain_with(vec![member(2), external], &[])).contains("external"));
    assert!(why(&spec, members([2, -1])).contains("blocked"));
}

#[test]
fn explain_says_what_the_deletions_wait_for() {
    let now = jiff::Timestamp::from_second(NOW).expect("in range");
    let why = |safety: &str, hours_ago: &[i64]| {
        let desired = with_safety(&series(&keep("last: 2")), safety);
        let state = observed(vec![members(hours_ago.iter().copied())]);
        explained(&desired, &state, now).series[0].not_carried_out.clone()
    };
    let nightly = "{windows: [{allow: [delete], cron: '0 22 * * *', duration: 1h}]}";
    let waits = "deletions wait until the window of its SafetyPolicy opens, 2026-11-23T22:00:00Z";
    assert_eq!(why(nightly, &[2, 1, 0]).as_deref(), Some(waits));
    assert_eq!(why(nightly, &[1, 0]), None, "nothing is to go");
    let few = why("{maxDeletes: {percent: 10}}", &[2, 1, 0]).expect("the breaker");
    assert!(few.contains("TooManyDeletes"), "{few}");
    assert_eq!(why("{}", &[2, 1, 0]), None);
}
