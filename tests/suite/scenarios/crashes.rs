//! A run that ends at any of its calls to libvirt: the next one completes it, makes nothing twice and blocks nothing.

use std::sync::Arc;

use snapward::apply::{self, Options, Stop, Target};
use snapward::libvirt::Access;
use snapward::observe::{self, Connection};

use crate::support::cut_off::{CutOff, Fault};
use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, blocks, clock, set, snapshot};
use crate::support::tools::qemu_img_snapshots;

/// Prepares a domain, breaks a run over it at one call, and completes it. Returns whether the run came that far.
fn breaks_and_converges(root: &EmbedRoot, lab: &Lab<'_>, target: &Target, name: &str, fault: Fault) -> bool {
    let guest = root.guest(name).define();
    let of =
        |list: &str, more: &str| set("lab", &format!("  domains: {{include: [{name}]}}\n  snapshots:\n{list}{more}"));
    guest.snapshot("found", "<description>by hand</description>");
    lab.apply(&of(&format!("{}{}", snapshot("old", &[]), snapshot("a", &["description: first"])), ""));
    let declared = of(
        &format!(
            "{}{}    - {{name: old, state: absent}}\n{}{}",
            snapshot("found", &["adopt: true"]),
            snapshot("a", &["description: second"]),
            snapshot("b", &[]),
            snapshot("c", &["parent: a"])
        ),
        "  current: a",
    );
    let planned = lab.plan(&declared);
    assert_eq!(planned.plan.actions.len(), 7, "{:#?}", planned.plan.actions);

    let cut_off = Arc::new(CutOff::new(Arc::clone(&target.host), fault));
    let target = Target { info: target.info.clone(), host: cut_off.clone() };
    let options = Options { lock_dir: lab.lock_dir(), progress: &(), stop: Stop::new(), clock: &clock };
    drop(apply::apply(&planned.plan, &[target], &options));

    let next = lab.apply(&declared).plan;
    assert_eq!(blocks(&next), Vec::<String>::new(), "{fault:?}");
    assert_eq!(blocks(&lab.settled(&declared)), Vec::<String>::new(), "{fault:?}");
    assert_eq!(guest.snapshots(), ["a", "b", "c", "found"], "{fault:?}");
    let mut tags = qemu_img_snapshots(&guest.vda());
    tags.sort();
    assert_eq!(tags, ["a", "b", "c", "found"], "{fault:?}");
    assert_eq!(guest.current(), "a", "{fault:?}");
    let ledger = guest.xml();
    for made in ["a", "b", "c", "found"] {
        assert!(ledger.contains(&format!("made name=\"{made}\" created=")), "{fault:?}: {ledger}");
    }
    let again = of(&snapshot("old", &[]), "");
    assert_eq!(blocks(&lab.plan(&again).plan), Vec::<String>::new(), "{fault:?}: the deletion is not forgotten");
    cut_off.was_reached()
}

fn every_call(fault: fn(usize) -> Fault) {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let uri = root.uri();
    let host = root.connect(Access::ReadWrite);
    let connection =
        Connection { label: uri.clone(), inventory_name: Some("lab".into()), labels: Default::default(), uri, host };
    let info = observe::identify(&connection).expect("the host answers");
    let target = Target { info, host: connection.host };
    // Far beyond the calls of one pass over seven actions.
    const MOST: usize = 200;
    let reached = (0..MOST).find(|&at| !breaks_and_converges(&root, &lab, &target, &format!("vm{at}"), fault(at)));
    let calls = reached.expect("the run ends");
    assert!(calls > 20, "the fault was at {calls} calls only");
}

#[test]
fn a_run_killed_before_any_of_its_calls_is_completed_by_the_next() {
    every_call(Fault::Killed);
}

#[test]
fn a_run_that_misses_any_one_answer_is_completed_by_the_next() {
    every_call(Fault::AnswerLost);
}
