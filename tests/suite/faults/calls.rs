//! The fault matrix of calls: each call of a run fails with every class of error, is done without an answer, or hangs
//! past its deadline and is done when nobody waits for it any more. Nothing is lost, the outcome tells, and the next
//! run completes it.

use std::sync::Arc;
use std::time::Duration;

use snapward::apply::{self, Options, Stop};
use snapward::host::{Deadline, Deadlines, ErrorClass, Host};
use snapward::model::outcome::{DomainResult, Outcome};

use super::is_proof;
use super::worlds::{self, Site, World, assert_told};
use crate::support::embed::EmbedRoot;
use crate::support::faulty::{Fault, Faulty};
use crate::support::gate::wait_until;
use crate::support::lab::{Lab, Planned, actions, clock};

/// What goes wrong with a call.
const FAULTS: [Fault; 8] = [
    Fault::AnswerLost,
    Fault::Hangs,
    Fault::Fails(ErrorClass::Transient),
    Fault::Fails(ErrorClass::NotFound),
    Fault::Fails(ErrorClass::Refused),
    Fault::Fails(ErrorClass::Denied),
    Fault::Fails(ErrorClass::OutcomeUnknown),
    Fault::Fails(ErrorClass::Bug),
];

/// Longer than any call takes here, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(2);

const DEADLINES: Deadlines = Deadlines { read: PATIENCE, write: PATIENCE, delete: PATIENCE, agent: PATIENCE };

/// Carries a plan out on a host with that fault at that call.
fn carry_out(lab: &Lab<'_>, planned: &Planned, call: usize, fault: Fault) -> (Arc<Faulty>, Outcome) {
    let (faulty, hung) = Faulty::at(lab.host(), call, fault);
    let host: Arc<dyn Host> =
        if fault == Fault::Hangs { Arc::new(Deadline::new(faulty.clone(), DEADLINES)) } else { faulty.clone() };
    let options = Options { lock_dir: lab.lock_dir(), progress: &(), stop: Stop::new(), clock: &clock };
    let outcome = apply::apply(&planned.plan, &[lab.target(host)], &options);
    // What hung is done now, late.
    drop(hung);
    wait_until("the late call to end", || faulty.is_idle());
    (faulty, outcome)
}

/// Every call of a world's run meets faults: in `make proof` each of them; else a call that writes meets the lost answer and
/// another fault, one that reads a fault (of a read, a lost answer is an error like others), which change from call to call.
fn every_call(world: &World) {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let start = clock().round(jiff::Unit::Hour).expect("an hour") + jiff::SignedDuration::from_hours(2);
    let run = |name: String, call: usize, fault: Fault| {
        let site = Site { root: &root, lab: &lab, domain: name, start, mends: false };
        (world.prepare)(&site);
        let planned = world.plan(&site);
        let (faulty, outcome) = carry_out(&lab, &planned, call, fault);
        // Shown where what follows fails.
        println!("{}: call {call}, {fault:?}: {:#?}", world.name, outcome.domains);
        assert_told(&outcome);
        (world.check)(&site);
        site.clear();
        (faulty, outcome)
    };
    let (undisturbed, outcome) = run("vm".to_owned(), usize::MAX, Fault::AnswerLost);
    assert!(outcome.domains.iter().all(|domain| domain.result == DomainResult::Done), "{outcome:#?}");
    let calls = undisturbed.calls();
    assert!(calls.len() >= 20, "{} made {} calls only", world.name, calls.len());
    let mut met = 0;
    for (call, method) in calls.iter().enumerate() {
        let changing = FAULTS[1 + call % (FAULTS.len() - 1)];
        let writes = ["create", "redefine", "delete", "revert", "write_ledger"].contains(method);
        let faults = match (is_proof(), writes) {
            (true, _) => FAULTS.to_vec(),
            (false, true) => vec![Fault::AnswerLost, changing],
            (false, false) => vec![changing],
        };
        for (number, fault) in faults.into_iter().enumerate() {
            let (faulty, _) = run(format!("vm{call}-{number}"), call, fault);
            assert!(faulty.was_reached(), "{}: call {call}, {fault:?}", world.name);
            met += 1;
        }
    }
    println!("{}: {met} faults at {} calls", world.name, calls.len());
}

#[test]
fn declared_snapshots_of_a_stopped_domain() {
    every_call(&worlds::DECLARED);
}

#[test]
fn a_series_of_a_running_domain() {
    every_call(&worlds::SERIES);
}

#[test]
fn external_snapshots_of_a_running_domain() {
    every_call(&worlds::EXTERNAL);
}

#[test]
fn a_revert_with_a_guard() {
    every_call(&worlds::REVERT);
}

/// What cannot be read is never taken for what is not there: a plan made through faults does less, and nothing else.
#[test]
fn a_plan_made_through_faults_does_nothing_else() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let start = clock().round(jiff::Unit::Hour).expect("an hour") + jiff::SignedDuration::from_hours(2);
    for world in worlds::ALL {
        let site = Site { root: &root, lab: &lab, domain: format!("vm-{}", world.name), start, mends: false };
        (world.prepare)(&site);
        let whole = world.plan(&site).plan;
        let fails = FAULTS.iter().filter(|fault| **fault != Fault::Hangs);
        for &fault in fails {
            let mut call = 0;
            loop {
                let (faulty, _hung) = Faulty::at(lab.reader(), call, fault);
                let plan = lab.plan_through(faulty.clone(), &(world.desired)(&site), world.now(&site));
                if !faulty.was_reached() {
                    break;
                }
                let (less, all) = (actions(&plan), actions(&whole));
                let at = format!("{}: call {call}, {fault:?}", world.name);
                let names = |what: &[String]| -> Vec<String> {
                    what.iter().filter(|action| !action.contains("-guard-")).cloned().collect()
                };
                assert!(names(&less).iter().all(|action| all.contains(action)), "{at}: {less:?} of {all:?}");
                let told = !plan.unreadable.is_empty() || !plan.blocked.is_empty() || !plan.warnings.is_empty();
                assert!(less.len() == all.len() || told, "{at}: {less:?}, and nothing is said of the rest");
                call += 1;
            }
            assert!(call >= 6, "{}: {call} calls", world.name);
        }
        site.clear();
    }
}
