//! What others do between two steps of a run: the view a plan was made on must hold until each single action.

use std::sync::Arc;

use snapward::apply::{self, Options, Progress, Stop, Target};
use snapward::libvirt::Access;
use snapward::model::ledger::LEDGER_NAMESPACE;
use snapward::model::outcome::{ActionOutcome, ActionResult, DomainOutcome, DomainResult, Outcome};
use snapward::model::plan::Action;
use snapward::observe::{self, Connection};

use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, Planned, actions, blocks, clock, manifest, set, snapshot};
use crate::support::tools::{qemu_img_snapshots, run, text};

const EXTERNAL: &str = "<disks><disk name='vda' snapshot='external'/></disks>";

/// Does something when the action on one snapshot begins.
struct Meanwhile<'a>(&'a str, &'a (dyn Fn() + Sync));

impl Progress for Meanwhile<'_> {
    fn domain_started(&self, _: &str, _: &str, _: usize) {}
    fn action_started(&self, action: &Action) {
        if action.address.snapshot.as_ref().is_some_and(|name| name.as_str() == self.0) {
            (self.1)();
        }
    }
    fn merged(&self, _: &Action, _: u64, _: u64) {}
    fn action_finished(&self, _: &Action, _: &ActionOutcome) {}
    fn domain_finished(&self, _: &DomainOutcome) {}
}

/// Carries out a plan; `what` happens when the action on `name` begins.
fn carry_out(root: &EmbedRoot, lab: &Lab<'_>, planned: &Planned, name: &str, what: &(dyn Fn() + Sync)) -> Outcome {
    let connection = Connection {
        label: root.uri(),
        inventory_name: Some("lab".to_owned()),
        labels: std::collections::BTreeMap::new(),
        uri: root.uri(),
        host: root.connect(Access::ReadWrite),
    };
    let info = observe::identify(&connection).expect("the host answers");
    let target = Target { info, host: Arc::clone(&connection.host) };
    let progress = Meanwhile(name, what);
    let options = Options { lock_dir: lab.lock_dir(), progress: &progress, stop: Stop::new(), clock: &clock };
    apply::apply(&planned.plan, &[target], &options)
}

fn results(outcome: &Outcome) -> Vec<ActionResult> {
    outcome.domains[0].actions.iter().map(|action| action.result).collect()
}

#[test]
fn a_lost_ledger_is_not_mended_by_capturing_another() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    lab.apply(&manifest(&format!("  snapshots:\n{}", snapshot("a", &[]))));
    guest.drop_metadata(LEDGER_NAMESPACE);
    guest.edit_snapshot("a", false, |xml| {
        let (head, rest) = xml.split_once("<metadata>").expect("a copy of the ledger");
        format!("{head}{}", rest.split_once("</metadata>").expect("closed").1)
    });
    let declared = manifest(&format!(
        "  snapshots:\n{}{}{}",
        snapshot("a", &[]),
        snapshot("b", &[]),
        snapshot("c", &["recreate: true"])
    ));
    let plan = lab.apply(&declared).plan;
    assert_eq!((actions(&plan), blocks(&plan)), (vec!["create c".to_owned()], vec!["LedgerLost b".to_owned()]));
    let plan = lab.settled(&declared);
    assert_eq!(blocks(&plan), ["LedgerLost b"], "whether b was made before is known no better than before");
}

#[test]
fn another_runs_ledger_is_not_overwritten_by_an_older_plan() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let of = |owner: &str, name: &str| {
        set(owner, &format!("  domains: {{include: [vm]}}\n  snapshots:\n{}", snapshot(name, &[])))
    };
    let planned = lab.plan(&of("one", "a"));
    lab.apply(&of("two", "b"));
    guest.delete_snapshot("b");
    assert_eq!(lab.carry_out(&planned).domains[0].result, DomainResult::Done, "the tree is as it was planned for");
    assert_eq!(blocks(&lab.settled(&of("two", "b"))), ["Missing b"]);
}

#[test]
fn what_was_captured_and_deleted_since_the_plan_is_not_captured_again() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let declared = manifest(&format!("  snapshots:\n{}", snapshot("a", &[])));
    let planned = lab.plan(&declared);
    lab.apply(&declared);
    guest.delete_snapshot("a");
    assert_eq!(lab.carry_out(&planned).domains[0].result, DomainResult::Stale);
    assert_eq!(guest.snapshots(), Vec::<String>::new());
}

#[test]
fn a_tag_that_appeared_in_the_image_is_not_doubled() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let planned = lab.plan(&manifest(&format!("  snapshots:\n{}", snapshot("a", &[]))));
    run("qemu-img", &["snapshot", "-c", "a", text(&guest.vda())]);
    let outcome = lab.carry_out(&planned);
    assert_eq!(results(&outcome), [ActionResult::Failed]);
    assert!(outcome.domains[0].actions[0].text.contains("vda"), "{outcome:#?}");
    assert_eq!(qemu_img_snapshots(&guest.vda()), ["a"]);
}

#[test]
fn a_snapshot_protected_during_the_run_is_not_deleted() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    lab.apply(&manifest(&format!("  snapshots:\n{}", snapshot("a", &[]))));
    let planned =
        lab.plan(&manifest(&format!("  snapshots:\n    - {{name: a, state: absent}}\n{}", snapshot("b", &[]))));
    assert_eq!(actions(&planned.plan), ["create b", "delete a"]);
    let protect = || {
        guest.edit_snapshot("a", false, |xml| {
            xml.replace("Snapward-Snapshot: a", "Snapward-Snapshot: a\nSnapward-Protect: true")
        });
    };
    let outcome = carry_out(&root, &lab, &planned, "b", &protect);
    assert_eq!(results(&outcome), [ActionResult::Done, ActionResult::Failed], "{outcome:#?}");
    assert_eq!(guest.snapshots(), ["a", "b"]);
}

#[test]
fn a_snapshot_that_appears_during_the_run_ends_it() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let planned = lab.plan(&manifest(&format!("  snapshots:\n{}{}", snapshot("a", &[]), snapshot("b", &[]))));
    let outcome = carry_out(&root, &lab, &planned, "b", &|| guest.snapshot("by-hand", EXTERNAL));
    assert_eq!(results(&outcome), [ActionResult::Done, ActionResult::Failed], "the kinds never meet: {outcome:#?}");
    assert!(outcome.domains[0].actions[1].text.contains("by-hand"), "{outcome:#?}");
    assert_eq!(guest.snapshots(), ["a", "by-hand"]);
}
