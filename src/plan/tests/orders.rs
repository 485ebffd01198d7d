//! Orders at the planner: what a capture's description means, and what is refused before anything is touched.

use super::super::chain::Neighbours;
use super::super::order::{self, CaptureOrder, Edit, Scene, Scope};
use super::*;
use crate::model::act::{Act, CaptureSpec, MemorySpec};
use crate::model::desired::{Definition, SavedSnapshot};
use crate::model::kinds::{CaptureDisk, Content, DiskLocation, Location};
use crate::model::plan::ReasonCode as R;
use crate::model::revert::RevertNote;
use crate::model::stamp::{Description, StampHold};

fn disk(target: &str, location: Option<DiskLocation>, file: Option<&str>) -> CaptureDisk {
    CaptureDisk { target: target.into(), location, format: None, file: file.map(str::to_owned), source_type: None }
}

fn spec(disks: Vec<CaptureDisk>, memory: Option<&str>) -> CaptureSpec {
    let memory = memory.map(|file| MemorySpec { location: None, file: Some(file.to_owned()) });
    CaptureSpec { disks, memory, ..CaptureSpec::default() }
}

fn running() -> ObservedDomain {
    ObservedDomain { state: RunState::Running, ..domain() }
}

/// Whether a capture is internal, and what it holds.
fn means(spec: &CaptureSpec, disk_only: bool, domain: &ObservedDomain) -> (Location, Content) {
    let capture = order::resolve(spec, disk_only, domain).expect("possible");
    (capture.location, capture.content)
}

#[test]
fn what_is_left_out_is_libvirts_choice() {
    let file = |target| disk(target, None, Some("/x"));
    assert_eq!(means(&spec(vec![], None), false, &running()), (Location::Internal, Content::Full));
    assert_eq!(means(&spec(vec![], None), false, &domain()), (Location::Internal, Content::Full));
    assert_eq!(means(&spec(vec![], None), true, &running()), (Location::External, Content::Disks));
    assert_eq!(means(&spec(vec![file("vda")], None), false, &domain()).0, Location::External);
    assert_eq!(means(&spec(vec![], Some("/m")), false, &running()), (Location::External, Content::Full));
    let none: Vec<_> = running().disks.iter().map(|d| disk(&d.target, Some(DiskLocation::No), None)).collect();
    assert_eq!(means(&spec(none, Some("/m")), false, &running()), (Location::External, Content::Memory));
}

#[test]
fn what_libvirt_would_refuse_is_refused() {
    let file = || disk("vda", None, Some("/x"));
    for (spec, disk_only, domain, what) in [
        (spec(vec![file()], None), false, running(), "memory internal"),
        (spec(vec![file(), file()], None), true, running(), "named twice"),
        (spec(vec![], Some("/m")), false, domain(), "no memory"),
        (spec(vec![], Some("/m")), true, running(), "leaves the memory out"),
        (spec(vec![], Some("m")), false, running(), "does not start from /"),
        (spec(vec![disk("vda", Some(DiskLocation::No), Some("/x"))], None), true, running(), "belong to an external"),
        (spec(vec![disk("vda", Some(DiskLocation::Internal), None)], Some("/m")), false, running(), "mixes none"),
    ] {
        let refusal = order::resolve(&spec, disk_only, &domain).expect_err(what);
        assert!(refusal.text.contains(what), "{refusal:?}");
    }
}

fn at(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(seconds).expect("in range")
}

/// The answer to an order about this domain.
fn ask<T>(domain: &ObservedDomain, answer: impl FnOnce(&Scene<'_>) -> T) -> T {
    let host = observed(vec![domain.clone()]).hosts.remove(0).info;
    answer(&Scene { host: &host, domain, neighbours: Neighbours::default(), now: at(NOW) })
}

#[test]
fn a_capture_is_stamped_for_nobody_and_never_doubles_a_name() {
    let named = |text: &str| CaptureOrder {
        name: name(text),
        description: "why".into(),
        capture: order::resolve(&CaptureSpec::default(), false, &domain()).expect("possible"),
        reuse: false,
        act: Act::default(),
    };
    let state = domain_with(vec![ours("a")], &["a"]);
    let plan = ask(&state, |scene| order::create(scene, &named("b"))).expect("planned");
    assert_eq!(actions(&plan), [action(ActionKind::Create, "b", R::Ordered)]);
    let after = plan.actions[0].after.clone().expect("fields");
    assert_eq!((after.description.as_deref(), after.stamp), (Some("why"), None));
    let refusal = ask(&state, |scene| order::create(scene, &named("a"))).expect_err("taken");
    assert!(refusal.text.contains("this name"), "{refusal:?}");
}

#[test]
fn held_and_protected_ones_are_not_deleted_by_name_and_nothing_else_goes_either() {
    let hold = |until: &str| StampHold { reason: "audit".into(), until: Some(until.into()) };
    let with = |change: &dyn Fn(&mut Stamp)| {
        let mut found = ours("b");
        found.parent = Some(name("a"));
        change(found.description.stamp.as_mut().expect("stamped"));
        domain_with(vec![ours("a"), found], &["a", "b"])
    };
    let order = |state: &ObservedDomain| ask(state, |scene| order::delete(scene, &name("a"), Scope::Children, false));
    let refused = |state: &ObservedDomain, words: &str| {
        let refusals = order(state).expect_err(words);
        assert!(refusals.len() == 1 && refusals[0].text.contains(words), "{refusals:?}");
    };
    refused(&with(&|stamp| stamp.hold_by_hand = Some(hold("2999-01-01"))), "on hold");
    refused(&with(&|stamp| stamp.hold = Some(hold("someday"))), "on hold");
    refused(&with(&|stamp| stamp.protect = true), "protected");
    let over = with(&|stamp| stamp.hold_by_hand = Some(hold("1999-01-01")));
    let plan = order(&over).expect("the hold is over");
    assert_eq!(
        actions(&plan),
        [action(ActionKind::Delete, "b", R::Ordered), action(ActionKind::Delete, "a", R::Ordered)],
        "children first"
    );
}

#[test]
fn an_edit_keeps_whose_a_snapshot_is_and_which_reverts_to_it_were_done() {
    let mut listed = ours("a");
    listed.description.reverts.extend(RevertNote::parse("ci/r/t1; done; 2026-11-23T04:00:00Z"));
    let state = domain_with(vec![listed.clone()], &["a"]);
    let edit = |change: &dyn Fn(&mut Description)| {
        let mut snapshot = listed.clone();
        change(&mut snapshot.description);
        let xml = Definition { path: "edited".into(), xml: "<domainsnapshot/>".into() };
        let saved = SavedSnapshot { xml, snapshot, domain: Some(state.uuid) };
        ask(&state, |scene| order::edit(scene, &name("a"), &saved, Edit::KeepName, Act::default()))
    };
    let plan = edit(&|description| description.human = "other words".to_owned()).expect("planned");
    let after = plan.actions[0].after.clone().expect("fields");
    assert_eq!(after.description.as_deref(), Some("other words"));
    assert_eq!(after.stamp, Some(listed.description.lines()));
    for change in
        [&|d: &mut Description| d.reverts.clear(), &|d: &mut Description| d.stamp = None] as [&dyn Fn(&mut _); 2]
    {
        let refusal = edit(change).expect_err("refused");
        assert!(refusal.text.contains("Snapward-"), "{refusal:?}");
    }
}
