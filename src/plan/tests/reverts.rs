//! RevertRequests: when one reverts, when it waits, and when it never does again.

use super::*;
use crate::model::kinds::RevertRequest;
use crate::model::observed::RevertFacts;
use crate::model::revert::{GUARD_SERIES, RevertNote};
use crate::model::snapshot::KeptDefinition;

const DAY: i64 = 86_400;

/// A request `default/reset` for `vm`, with more of its spec.
fn request(spec: &str) -> Document<RevertRequest> {
    named_request("reset", spec)
}

fn named_request(request_name: &str, spec: &str) -> Document<RevertRequest> {
    let text = format!(
        "{{apiVersion: snapward/v1, kind: RevertRequest, metadata: {{name: {request_name}}}, spec: {{hosts: {{include: ['*']}}, \
         domains: {{include: [vm]}}, to: clean, {spec}}}}}"
    );
    let value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    Document { file: Arc::from(format!("{request_name}.yaml")), lines: Arc::default(), value }
}

const TOKEN: &str = "token: t1, expiresAt: 2026-11-24";

/// A snapshot that can be reverted to.
fn revertible(text: &str) -> ObservedSnapshot {
    let definition = KeptDefinition { disks: vec![disk("vda", "qcow2")], memory_kib: Some(1024) };
    ObservedSnapshot { definition: Some(definition.into()), ..ours(text) }
}

/// The domain with the snapshot `clean`, looked at for a revert.
fn state(present: Vec<ObservedSnapshot>) -> ObservedDomain {
    let tags = present.iter().map(|snapshot| snapshot.name.to_string()).collect();
    ObservedDomain {
        revert: Some(RevertFacts { persistent: true, ..RevertFacts::default() }),
        image_snapshots: BTreeMap::from([("vda".to_owned(), tags)]),
        ..domain_with(present, &["clean"])
    }
}

fn with(requests: Vec<Document<RevertRequest>>, spec: &str) -> DesiredState {
    DesiredState { sets: vec![set(spec)], reverts: requests, ..DesiredState::default() }
}

fn only(requests: Vec<Document<RevertRequest>>) -> DesiredState {
    DesiredState { reverts: requests, ..DesiredState::default() }
}

fn run_at(desired: &DesiredState, domain: ObservedDomain, now: i64) -> Plan {
    plan_at(desired, &observed(vec![domain]), now)
}

fn noted(snapshot: ObservedSnapshot, notes: &[&str]) -> ObservedSnapshot {
    let reverts = notes.iter().map(|note| RevertNote::parse(note).unwrap_or_else(|| panic!("{note}"))).collect();
    ObservedSnapshot { description: Description { reverts, ..snapshot.description.clone() }, ..snapshot }
}

#[test]
fn a_token_asks_for_one_revert_behind_a_guard_and_nothing_else_is_done_beside_it() {
    let wanted = with(vec![request(TOKEN)], &snapshots(&format!("{}, {}", declared("clean", ""), declared("b", ""))));
    let plan = run_at(&wanted, state(vec![revertible("clean")]), NOW);
    let guard = "reset-guard-20261123T000000Z";
    assert_eq!(
        actions(&plan),
        [
            action(ActionKind::Create, guard, ReasonCode::Guard),
            action(ActionKind::Revert, "clean", ReasonCode::RevertRequested)
        ]
    );
    let stamp = plan.actions[0].after.as_ref().and_then(|after| after.stamp.clone()).expect("a stamp");
    assert!(stamp.contains(&format!("Snapward-Series: {GUARD_SERIES}")), "{stamp:?}");
    let order = plan.actions[1].after.as_ref().and_then(|after| after.revert.clone()).expect("an order");
    let token = order.request.expect("a token");
    assert_eq!((token.token.as_str(), token.until.as_deref()), ("t1", Some("2026-11-24T00:00:00Z")));
    assert_eq!(order.state, RunState::ShutOff);
    assert_eq!((plan.summary.revert, plan.summary.create), (1, 1));
    assert!(plan.warnings.iter().any(|warning| warning.text.contains("by itself")), "{:?}", plan.warnings);
    assert!(plan.actions[1].risk.text.contains(guard), "{}", plan.actions[1].risk.text);

    let bare = only(vec![request(&format!("{TOKEN}, guard: {{keep: 0}}"))]);
    let plan = run_at(&bare, state(vec![revertible("clean")]), NOW);
    assert_eq!(actions(&plan), [action(ActionKind::Revert, "clean", ReasonCode::RevertRequested)]);
    assert!(plan.actions[0].risk.text.contains("gone for good"), "{}", plan.actions[0].risk.text);
}

#[test]
fn a_used_token_never_reverts_again_wherever_it_is_noted() {
    let wanted = only(vec![request(TOKEN)]);
    let done = "default/reset/t1; done; 2026-11-22T00:00:00Z; until 2026-11-24T00:00:00Z";
    let on_target = state(vec![noted(revertible("clean"), &[done])]);
    let on_another = state(vec![noted(revertible("other"), &[done]), revertible("clean")]);
    let mut in_ledger = state(vec![revertible("clean")]);
    in_ledger.ledger.as_mut().expect("a ledger").reverts.extend(RevertNote::parse(done));
    for (what, domain) in [("the target", on_target), ("another", on_another), ("the ledger", in_ledger)] {
        let plan = run_at(&wanted, domain, NOW);
        assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![]), "{what}");
    }
    let other = only(vec![request("token: t2, expiresAt: 2026-11-24")]);
    let plan = run_at(&other, state(vec![noted(revertible("clean"), &[done])]), NOW);
    assert_eq!(plan.summary.revert, 1, "a new token is a new revert");
    let elsewhere = only(vec![named_request("weekly", TOKEN)]);
    let plan = run_at(&elsewhere, state(vec![noted(revertible("clean"), &[done])]), NOW);
    assert_eq!(plan.summary.revert, 1, "tokens are each request's own");
}

#[test]
fn a_revert_that_was_only_begun_is_for_a_person_until_its_request_is_void() {
    let wanted = only(vec![request(TOKEN)]);
    let begun = "default/reset/t1; attempted; 2026-11-22T00:00:00Z; until 2026-11-24T00:00:00Z";
    let domain = || state(vec![noted(revertible("clean"), &[begun])]);
    let plan = run_at(&wanted, domain(), NOW);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(BlockCode::OutcomeUnknown, "clean")]));
    assert!(plan.blocked[0].text.contains("2026-11-22") && plan.blocked[0].way_out.contains("new token"));
    let plan = run_at(&wanted, domain(), NOW + 2 * DAY);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![]));
}

#[test]
fn an_expired_request_reverts_nothing() {
    let wanted = only(vec![request("token: t1, expiresAt: 2026-11-23")]);
    let plan = run_at(&wanted, state(vec![revertible("clean")]), NOW);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![]));
    assert!(plan.warnings[0].text.contains("expired"), "{:?}", plan.warnings);
    assert_eq!(run_at(&wanted, state(vec![revertible("clean")]), NOW - 1).summary.revert, 1, "a second before");
}

/// When the domain has something to do by the clock.
fn due(plan: &Plan) -> Option<&str> {
    plan.domains[0].next_due.as_deref()
}

#[test]
fn each_slot_of_a_schedule_reverts_once_and_not_long_after() {
    let wanted = only(vec![request("schedule: {cron: '0 0 * * *', startingDeadline: 1h}, guard: {keep: 0}")]);
    let clean = || state(vec![revertible("clean")]);
    let plan = run_at(&wanted, clean(), NOW + 60);
    assert_eq!(actions(&plan), [action(ActionKind::Revert, "clean", ReasonCode::RevertScheduled)]);
    let order = plan.actions[0].after.as_ref().and_then(|after| after.revert.clone()).expect("an order");
    let token = order.request.expect("a token");
    assert_eq!((token.token.as_str(), token.until.as_deref()), ("20261123T000000Z", Some("2026-11-23T01:00:00Z")));
    let note = |state: &str| {
        format!("default/reset/20261123T000000Z; {state}; 2026-11-23T00:01:00Z; until 2026-11-23T01:00:00Z")
    };
    let after = |state_of: &str| state(vec![noted(revertible("clean"), &[&note(state_of)])]);
    let rests = run_at(&wanted, after("done"), NOW + 120);
    assert_eq!((actions(&rests), due(&rests)), (vec![], Some("2026-11-24T00:00:00Z")), "a reason to run then");
    assert_eq!(blocks(&run_at(&wanted, after("attempted"), NOW + 120)), [block(BlockCode::OutcomeUnknown, "clean")]);
    assert_eq!(run_at(&wanted, after("attempted"), NOW + DAY + 60).summary.revert, 1, "the next slot is a new revert");
    let late = run_at(&wanted, clean(), NOW + 3600);
    assert_eq!(actions(&late), []);
    assert!(late.warnings[0].text.contains("startingDeadline"), "{:?}", late.warnings);
}

#[test]
fn a_revert_waits_for_its_window_and_for_the_end_of_a_suspension() {
    let policy = |cron: &str| {
        let text = format!(
            "{{apiVersion: snapward/v1, kind: SafetyPolicy, metadata: {{name: p}}, spec: {{windows: [{{allow: [revert], cron: \
             '{cron}', duration: 1h}}]}}}}"
        );
        let value = serde_yaml::from_str(&text).expect("valid");
        Document { file: Arc::from("p.yaml"), lines: Arc::default(), value }
    };
    let plan_with = |cron: &str| {
        let spec = "{domains: {include: [vm]}, safety: {policyRef: p}}";
        let mut wanted = with(vec![request(TOKEN)], spec);
        wanted.safety.insert("default/p".parse().expect("valid"), policy(cron));
        run_at(&wanted, state(vec![revertible("clean")]), NOW)
    };
    let open = plan_with("0 0 * * *");
    assert_eq!(open.summary.revert, 1, "it is open");
    assert_eq!(open.good_until.as_deref(), Some("2026-11-23T01:00:00Z"), "and no longer than that");
    let closed = plan_with("0 22 * * *");
    assert_eq!((closed.summary.revert, due(&closed)), (0, Some("2026-11-23T22:00:00Z")));
    assert!(closed.kept.iter().any(|kept| kept.reason.code == ReasonCode::Window), "{:?}", closed.kept);

    let spec = "{domains: {include: [vm]}, suspend: {reason: storage move}}";
    let plan = run_at(&with(vec![request(TOKEN)], spec), state(vec![revertible("clean")]), NOW);
    assert_eq!(plan.summary.revert, 0);
    assert!(plan.warnings.iter().any(|warning| warning.text.contains("storage move")), "{:?}", plan.warnings);
}

#[test]
fn what_libvirt_finds_out_too_late_is_blocked_first() {
    let blocked = |change: fn(&mut ObservedDomain)| {
        let mut domain = state(vec![revertible("clean")]);
        change(&mut domain);
        let plan = run_at(&only(vec![request(&format!("{TOKEN}, guard: {{keep: 0}}"))]), domain, NOW);
        assert_eq!(actions(&plan), []);
        let item = plan.blocked.into_iter().next().expect("blocked");
        assert!(item.text.contains("nothing was reverted"), "{}", item.text);
        (item.code, item.text)
    };
    let facts = |domain: &mut ObservedDomain| domain.revert.clone().expect("looked at");
    let (code, text) = blocked(|domain| domain.state = RunState::PmSuspended);
    assert!(code == BlockCode::WrongState && text.contains("pmsuspended"), "{text}");
    let managed: fn(&mut ObservedDomain) =
        |d| d.revert = Some(RevertFacts { managed_save: true, ..Default::default() });
    assert!(blocked(managed).1.contains("managed save"));
    let job: fn(&mut ObservedDomain) =
        |d| d.revert = Some(RevertFacts { block_jobs: vec!["vda".into()], ..Default::default() });
    assert_eq!(blocked(job).0, BlockCode::WrongState);
    let transient: fn(&mut ObservedDomain) = |d| d.revert = Some(RevertFacts::default());
    assert!(blocked(transient).1.contains("transient"));
    assert!(facts(&mut state(vec![])).persistent);
    assert_eq!(blocked(|domain| domain.tree = SnapshotTree::default()).0, BlockCode::Missing);
    assert_eq!(
        blocked(|domain| domain.image_snapshots = [("vda".to_owned(), vec![])].into()).0,
        BlockCode::NotPossible
    );
    // A guard that cannot be captured leaves the domain as it is.
    let mut raw = state(vec![revertible("clean")]);
    raw.disks.push(disk("vdb", "raw"));
    let plan = run_at(&only(vec![request(TOKEN)]), raw, NOW);
    assert!(plan.blocked[0].text.contains("the state before the revert"), "{:?}", plan.blocked);
}

#[test]
fn a_stopped_uefi_domain_goes_back_from_libvirt_10_10_on() {
    let plan_on = |version| {
        let mut state = observed(vec![ObservedDomain { nvram: Nvram::Qcow2, ..state(vec![revertible("clean")]) }]);
        state.hosts[0].info.libvirt_version = version;
        plan_at(&only(vec![request(&format!("{TOKEN}, guard: {{keep: 0}}"))]), &state, NOW)
    };
    assert_eq!(plan_on(10_010_000).summary.revert, 1);
    let old = plan_on(10_009_000);
    assert_eq!((actions(&old), blocks(&old)), (vec![], vec![block(BlockCode::NotPossible, "clean")]));
    assert!(old.blocked[0].text.contains("needs libvirt 10.10"), "{:?}", old.blocked);
}

#[test]
fn a_revert_with_a_disk_left_to_other_means_needs_force() {
    let mut clean = revertible("clean");
    clean.disks.insert("vdb".to_owned(), Storage::Manual);
    let plan = run_at(&only(vec![request(&format!("{TOKEN}, guard: {{keep: 0}}"))]), state(vec![clean]), NOW);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(BlockCode::NotPossible, "clean")]));
    assert!(plan.blocked[0].text.contains("vdb") && plan.blocked[0].way_out.contains("force"), "{:?}", plan.blocked);
}

#[test]
fn a_revert_says_what_else_it_changes() {
    let mut domain =
        ObservedDomain { state: RunState::Running, memory_kib: Some(2048), ..state(vec![revertible("clean")]) };
    domain.disks.push(disk("vdb", "qcow2"));
    let plan = run_at(&only(vec![request(&format!("{TOKEN}, guard: {{keep: 0}}"))]), domain, NOW);
    let risk = &plan.actions[0].risk;
    for words in ["stopped", "is off afterwards", "2.0 MiB back to 1.0 MiB", "disk vdb was added since"] {
        assert!(risk.text.contains(words), "{words}: {}", risk.text);
    }
}

#[test]
fn two_requests_at_once_are_for_a_person() {
    let wanted = only(vec![request(TOKEN), named_request("weekly", TOKEN)]);
    let plan = run_at(&wanted, state(vec![revertible("clean")]), NOW);
    assert_eq!(blocks(&plan), [block(BlockCode::Conflict, "clean"), block(BlockCode::Conflict, "clean")]);
    assert_eq!(actions(&plan), []);
}

/// The state before a revert of `default/reset`, so many days ago.
fn guard(days: i64) -> ObservedSnapshot {
    let text = format!("reset-guard-{days}");
    let mut stamp = Stamp::new("default/reset".parse().expect("valid"), name(&text));
    stamp.series = Some(GUARD_SERIES.to_owned());
    let description = Description { stamp: Some(stamp), ..Description::default() };
    ObservedSnapshot { created: NOW - days * DAY, description, ..revertible(&text) }
}

#[test]
fn guards_beyond_what_is_kept_go_and_stay_while_a_revert_is_unknown() {
    let done = "default/reset/t1; done; 2026-11-22T00:00:00Z";
    let wanted = only(vec![request(TOKEN)]);
    let present = |note: &str| vec![guard(3), guard(2), guard(1), noted(revertible("clean"), &[note])];
    let plan = run_at(&wanted, state(present(done)), NOW);
    let gone = |text: &str| action(ActionKind::Delete, text, ReasonCode::Guard);
    assert_eq!(actions(&plan), [gone("reset-guard-2"), gone("reset-guard-3")]);
    assert!(!plan.unmanaged.iter().any(|item| item.owner.as_deref() == Some("default/reset")), "{:?}", plan.unmanaged);
    let plan = run_at(&wanted, state(present("default/reset/t1; attempted; 2026-11-22T00:00:00Z")), NOW);
    assert_eq!(actions(&plan), []);
    let plan = run_at(&only(vec![]), state(present(done)), NOW);
    assert_eq!((actions(&plan), plan.unmanaged.len()), (vec![], 4), "of no request that is loaded: left alone");
}

#[test]
fn the_target_of_a_living_request_is_not_deleted() {
    let absent = snapshots("{name: clean, state: absent}");
    let done = "default/reset/t1; done; 2026-11-22T00:00:00Z";
    let domain = || state(vec![noted(revertible("clean"), &[done])]);
    let plan = run_at(&with(vec![request(TOKEN)], &absent), domain(), NOW);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(BlockCode::RevertPending, "clean")]));
    let plan = run_at(&with(vec![request(TOKEN)], &absent), domain(), NOW + 2 * DAY);
    assert_eq!(plan.summary.delete, 1, "the request is void");
}

#[test]
fn the_plans_id_is_of_the_token_and_not_of_the_hour() {
    let wanted = only(vec![request(TOKEN)]);
    let id = |wanted: &DesiredState, now| run_at(wanted, state(vec![revertible("clean")]), now).plan_id;
    assert_eq!(id(&wanted, NOW), id(&wanted, NOW + 3600));
    assert_ne!(id(&wanted, NOW), id(&only(vec![request("token: t2, expiresAt: 2026-11-24")]), NOW));
    let nightly = only(vec![request("schedule: {cron: '0 0 * * *', startingDeadline: 1h}")]);
    assert_eq!(id(&nightly, NOW), id(&only(vec![]), NOW), "what comes by the clock is not in it");
}
