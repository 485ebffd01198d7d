//! Which domains, and who is first: selectors, two sets, changes between plan and apply, two runs at once.

use snapward::apply::lock::Lock;
use snapward::libvirt::Access;
use snapward::model::outcome::{ActionResult, DomainResult};

use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, actions, blocks, manifest, set, snapshot};

#[test]
fn globs_uuids_and_exclusions_choose() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    for name in ["web-1", "web-2", "web-scratch", "db"] {
        root.guest(name).define();
    }
    let db = root.connect(Access::ReadOnly).domains().expect("listed");
    let db = db.iter().find(|domain| domain.name == "db").expect("there").uuid;
    let spec = format!(
        "  domains: {{include: ['web-*', 'uuid:{db}'], exclude: [web-scratch]}}\n  snapshots:\n{}",
        snapshot("a", &[])
    );
    let planned = lab.apply(&set("lab", &spec));
    let domains: Vec<_> = planned.plan.actions.iter().map(|action| action.address.domain.as_str()).collect();
    assert_eq!(domains, ["db", "web-1", "web-2"]);
}

#[test]
fn a_domain_that_does_not_exist_is_blocked_and_the_rest_is_done() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let spec = format!("  domains: {{include: [vm, vm2, 'x-*']}}\n  snapshots:\n{}", snapshot("a", &[]));
    let plan = lab.apply(&set("lab", &spec)).plan;
    assert_eq!(blocks(&plan), ["NoSuchDomain"]);
    assert_eq!((plan.warnings.len(), guest.snapshots()), (1, vec!["a".to_owned()]));
}

#[test]
fn two_sets_that_meet_by_globs_are_blocked_with_both_lines() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let spec = |extra: &str| format!("  domains: {{include: ['v*']}}\n  snapshots:\n{}{extra}", snapshot("a", &[]));
    let both = format!("{}---\n{}", set("one", &spec(&snapshot("b", &[]))), set("two", &spec("")));
    let plan = lab.apply(&both).plan;
    assert_eq!((actions(&plan), blocks(&plan)), (vec!["create b".to_owned()], vec!["Conflict a".to_owned()]));
    let lines: Vec<_> = plan.blocked[0].origins.iter().map(|origin| origin.line).collect();
    assert_eq!(lines.len(), 2);
    assert_ne!(lines[0], lines[1]);
    assert_eq!(guest.snapshots(), ["b"]);
}

#[test]
fn what_changed_between_plan_and_apply_is_left_alone() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let changed = root.guest("changed").define();
    let renamed = root.guest("renamed").define();
    let gone = root.guest("gone").define();
    let steady = root.guest("steady").define();
    let spec =
        format!("  domains: {{include: [changed, renamed, gone, steady]}}\n  snapshots:\n{}", snapshot("a", &[]));
    let planned = lab.plan(&set("lab", &spec));
    assert_eq!(planned.plan.actions.len(), 4);
    changed.snapshot("by-hand", "");
    let renamed = renamed.rename("other");
    gone.undefine();
    let outcome = lab.carry_out(&planned);
    let results: Vec<_> = outcome.domains.iter().map(|domain| (domain.domain.as_str(), domain.result)).collect();
    assert_eq!(
        results,
        [
            ("changed", DomainResult::Stale),
            ("gone", DomainResult::Stale),
            ("renamed", DomainResult::Stale),
            ("steady", DomainResult::Done)
        ]
    );
    assert_eq!((changed.snapshots(), renamed.snapshots()), (vec!["by-hand".to_owned()], vec![]));
    assert_eq!(steady.snapshots(), ["a"]);
}

#[test]
fn a_snapshot_deleted_between_plan_and_apply_makes_the_plan_stale() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let two = manifest(&format!("  snapshots:\n{}{}", snapshot("a", &[]), snapshot("b", &[])));
    lab.apply(&two);
    let edited = two.replace("name: a\n", "name: a\n      description: new\n");
    let planned = lab.plan(&edited);
    guest.delete_snapshot("b");
    assert_eq!(lab.carry_out(&planned).domains[0].result, DomainResult::Stale);
}

#[test]
fn a_locked_domain_is_skipped_and_says_by_whom() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let planned = lab.plan(&manifest(&format!("  snapshots:\n{}", snapshot("a", &[]))));
    let reader = root.connect(Access::ReadOnly);
    let host = reader.hostname().expect("read");
    let domain = planned.plan.domains[0].uuid;
    let held = Lock::take(&lab.lock_dir(), &host, domain).unwrap_or_else(|_| panic!("free"));
    let outcome = lab.carry_out(&planned);
    assert_eq!(outcome.domains[0].result, DomainResult::Locked);
    assert_eq!(outcome.domains[0].actions[0].result, ActionResult::Skipped);
    assert!(outcome.domains[0].text.contains(&format!("process {}", std::process::id())), "{outcome:#?}");
    assert_eq!(guest.snapshots(), Vec::<String>::new());
    drop(held);
    assert_eq!(lab.carry_out(&planned).domains[0].result, DomainResult::Done);
}

#[test]
fn one_failing_domain_does_not_stop_the_others() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let broken = root.guest("broken").define();
    let whole = root.guest("whole").define();
    let spec =
        format!("  domains: {{include: [broken, whole]}}\n  snapshots:\n{}{}", snapshot("a", &[]), snapshot("b", &[]));
    let planned = lab.plan(&set("lab", &spec));
    std::fs::write(broken.vda(), "no image").expect("written");
    let outcome = lab.carry_out(&planned);
    assert_eq!(outcome.domains[0].result, DomainResult::Failed);
    let results: Vec<_> = outcome.domains[0].actions.iter().map(|action| action.result).collect();
    assert_eq!(results, [ActionResult::Failed, ActionResult::Skipped], "a failed write ends the domain's pass");
    assert!(outcome.domains[0].actions[0].text.contains("lists no snapshot of this name"), "{outcome:#?}");
    assert_eq!(whole.snapshots(), ["a", "b"]);
}
