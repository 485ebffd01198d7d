//! Single passes on the model of libvirt: what apply does where the guest would be left paused, where time passes, and where
//! somebody changes a neighbour in the middle.

use snapward::model::names::DomainUuid;
use snapward::model::observed::{ObservedDisk, RunState};
use snapward::model::outcome::{ActionOutcome, ActionResult, DomainOutcome, DomainResult};
use snapward::model::plan::{ActionKind, Plan};

use super::bench::{Bench, load};
use super::model::{Model, World};

/// 2026-11-23T00:00:00Z.
const BEGIN: i64 = 1_795_392_000;

/// A host on the model, with a directory of its own for locks.
struct Lab {
    bench: Bench,
    _locks: tempfile::TempDir,
}

impl Lab {
    fn new(world: World) -> Self {
        let locks = tempfile::tempdir().expect("a directory");
        Self { bench: Bench::new(world, locks.path().to_owned()), _locks: locks }
    }

    fn model(&self) -> &Model {
        &self.bench.model
    }

    fn plan(&self, manifests: &str) -> Plan {
        self.bench.plan(&load(manifests).unwrap_or_else(|| panic!("in error: {manifests}")))
    }

    /// Applies a plan of one domain.
    fn apply(&self, plan: &Plan) -> DomainOutcome {
        self.bench.apply(plan).domains.into_iter().next().expect("one domain")
    }

    fn run(&self, manifests: &str) -> DomainOutcome {
        self.apply(&self.plan(manifests))
    }
}

/// A set `web` for the domain `vm` with this spec.
fn set(spec: &str) -> String {
    format!(
        "{{apiVersion: snapward/v1, kind: SnapshotSet, metadata: {{name: web}}, spec: {{domains: {{include: [vm]}}, {spec}}}}}\n"
    )
}

/// What became of each action.
fn results(outcome: &DomainOutcome) -> Vec<(String, ActionResult)> {
    let result = |action: &ActionOutcome| {
        (action.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default(), action.result)
    };
    outcome.actions.iter().map(result).collect()
}

fn world_with(domains: &[(&str, &[&str])]) -> World {
    let mut world = World::new(BEGIN);
    for (number, (name, targets)) in (1..).zip(domains) {
        let disks = targets.iter().map(|target| {
            let path = format!("/images/{name}-{target}.qcow2");
            world.storage.make(&path, "qcow2", None);
            disk(target, &path)
        });
        let disks = disks.collect();
        world.define(name, DomainUuid(uuid::Uuid::from_u128(number)), disks);
    }
    world
}

fn disk(target: &str, path: &str) -> ObservedDisk {
    ObservedDisk {
        target: target.to_owned(),
        source_type: "file".to_owned(),
        source: Some(path.to_owned()),
        format: "qcow2".to_owned(),
        device: "disk".to_owned(),
        readonly: false,
        snapshot: None,
        backing: None,
    }
}

const MANUAL: &str = "snapshots: [{name: m, capture: {content: disks, location: external, consistency: filesystemIfAgent, \
                      disks: [{target: vdb, location: manual}]}}]";

/// libvirt leaves it paused for the manual disk, and a paused guest cannot be thawed.
#[test]
fn a_guest_that_is_left_paused_is_not_frozen_before() {
    let mut world = world_with(&[("vm", &["vda", "vdb"])]);
    world.start("vm", RunState::Running).expect("it starts");
    world.domains.get_mut("vm").expect("defined").agent = true;
    let lab = Lab::new(world);
    let outcome = lab.run(&set(MANUAL));
    assert_eq!(results(&outcome), [("m".to_owned(), ActionResult::Done)], "{outcome:#?}");
    let text = &outcome.actions[0].text;
    assert!(text.contains("PAUSED: capture vdb") && text.contains("resume 'vm'"), "{text}");
    let world = lab.model().world();
    assert_eq!((world.domains["vm"].state, world.domains["vm"].freezes), (RunState::Paused, 0));
    drop(world);
    // Where it is left running, it is frozen.
    lab.model().world().resume("vm").expect("it was paused");
    let all = MANUAL.replace("name: m", "name: all").replace("manual", "external");
    assert_eq!(lab.run(&set(&all)).actions[0].result, ActionResult::Done);
    assert_eq!(lab.model().world().domains["vm"].freezes, 1);
}

/// A person has to capture the manual disk now, and every further action would let the guest stand still for longer, or run on.
#[test]
fn nothing_is_done_in_a_guest_that_is_left_paused() {
    let mut world = world_with(&[("vm", &["vda", "vdb"])]);
    world.start("vm", RunState::Running).expect("it starts");
    let lab = Lab::new(world);
    let another =
        MANUAL.replace("snapshots: [", "snapshots: [{name: z, capture: {content: disks, location: external}}, ");
    lab.run(&set(&another));
    let world = lab.model().world();
    let vm = &world.domains["vm"];
    assert_eq!(vm.state, RunState::Paused);
    assert_eq!(vm.snapshots.len(), 1, "{:?}", vm.snapshots.keys());
}

/// What has to go before it, so that it keeps within the limit, does.
#[test]
fn a_capture_that_leaves_the_guest_paused_waits_for_its_room() {
    let mut world = world_with(&[("vm", &["vda", "vdb"])]);
    world.start("vm", RunState::Running).expect("it starts");
    let lab = Lab::new(world);
    let policy = "{apiVersion: snapward/v1, kind: SafetyPolicy, metadata: {name: short}, spec: {chainLimit: 3}}\n---\n";
    let named = |name: &str| format!("{{name: {name}, capture: {{content: disks, location: external}}}}");
    lab.run(&set(&format!("snapshots: [{}, {}]", named("e1"), named("e2"))));
    let with = MANUAL.replace("snapshots: [", "safety: {policyRef: short}, snapshots: [{name: e1, state: absent}, ");
    lab.run(&format!("{policy}{}", set(&with)));
    let world = lab.model().world();
    let vm = &world.domains["vm"];
    assert!(vm.snapshots.keys().any(|name| name.as_str() == "m"), "{:?}", vm.snapshots.keys());
    let active = vm.definition.disk("vda").and_then(|disk| disk.source.clone()).expect("it has an image");
    assert_eq!(world.storage.chain(&active).map(|chain| chain.len()), Ok(3));
}

/// Two external snapshots under another that stays, to be deleted one after the other.
fn two_to_delete() -> Lab {
    let mut world = world_with(&[("vm", &["vda"]), ("clone", &["vda"])]);
    world.start("vm", RunState::Running).expect("it starts");
    let lab = Lab::new(world);
    let named = |name: &str| format!("{{name: {name}, capture: {{content: disks, location: external}}}}");
    let three = set(&format!("snapshots: [{}, {}, {}]", named("e1"), named("e2"), named("e3")));
    assert!(lab.run(&three).actions.iter().all(|action| action.result == ActionResult::Done));
    lab
}

const TWO_ABSENT: &str = "snapshots: [{name: e1, state: absent}, {name: e2, state: absent}, {name: e3, create: never}]";

/// A merge takes its time, and meanwhile a disk on an image that goes is attached to a domain that was there all along.
#[test]
fn neighbours_are_read_again_before_a_deletion_that_comes_late() {
    let lab = two_to_delete();
    let plan = lab.plan(&set(TWO_ABSENT));
    let order: Vec<_> = plan.actions.iter().filter_map(|action| action.address.snapshot.clone()).collect();
    let going = plan.actions[1].after.as_ref().and_then(|after| after.merges.clone()).expect("a merge");
    let meddling = move |world: &mut World| {
        world.now += 60;
        let overlay = "/images/clone-vdb.qcow2";
        world.storage.make(overlay, "qcow2", Some(&going[0].from));
        world.domains.get_mut("clone").expect("defined").definition.disks.push(disk("vdb", overlay));
    };
    lab.model().meddle(0, Box::new(meddling));
    let outcome = lab.apply(&plan);
    let wanted = [(order[0].to_string(), ActionResult::Done), (order[1].to_string(), ActionResult::Failed)];
    assert_eq!(results(&outcome), wanted, "{outcome:#?}");
    let text = &outcome.actions[1].text;
    assert!(text.contains("domain clone") && text.contains("nothing was done"), "{text}");
    assert!(lab.model().world().disks("clone").values().all(Result::is_ok), "its images are there");
}

/// The window was open when the pass began.
#[test]
fn nothing_is_deleted_after_the_window_closed() {
    let lab = two_to_delete();
    let policy = "{apiVersion: snapward/v1, kind: SafetyPolicy, metadata: {name: night}, spec: {windows: [{allow: [delete], \
                  cron: '0 0 * * *', duration: 1h}]}}\n";
    let plan = lab.plan(&format!("{policy}---\n{}", set(&format!("safety: {{policyRef: night}}, {TWO_ABSENT}"))));
    assert_eq!(plan.summary.delete, 2, "it is open");
    lab.model().meddle(0, Box::new(|world| world.now += 3600));
    let outcome = lab.apply(&plan);
    let went: Vec<_> = outcome.actions.iter().map(|action| action.result).collect();
    assert_eq!(went, [ActionResult::Done, ActionResult::Skipped], "{outcome:#?}");
    assert_eq!(outcome.result, DomainResult::WindowClosed);
    assert!(outcome.text.contains("closed 2026-11-23T01:00:00Z"), "{}", outcome.text);
    assert_eq!(lab.model().world().domains["vm"].snapshots.len(), 2);
}

/// The state before the revert was captured first, which took its time.
#[test]
fn nothing_is_reverted_after_the_window_closed() {
    let lab = two_to_delete();
    let policy = "{apiVersion: snapward/v1, kind: SafetyPolicy, metadata: {name: night}, spec: {windows: [{allow: [revert], \
                  cron: '0 0 * * *', duration: 1h}]}}\n";
    let request = "{apiVersion: snapward/v1, kind: RevertRequest, metadata: {name: back}, spec: {hosts: {include: [model]}, \
                   domains: {include: [vm]}, to: e1, token: t1, expiresAt: 2026-12-01T00:00:00Z}}\n";
    let kept = set("safety: {policyRef: night}, snapshots: [{name: e1, create: never}]");
    let plan = lab.plan(&format!("{policy}---\n{request}---\n{kept}"));
    assert_eq!(plan.summary.revert, 1, "it is open");
    lab.model().meddle(0, Box::new(|world| world.now += 3600));
    let outcome = lab.apply(&plan);
    let reverted = |action: &&ActionOutcome| action.action == ActionKind::Revert;
    let went: Vec<_> = outcome.actions.iter().filter(reverted).map(|action| action.result).collect();
    assert_eq!(went, [ActionResult::Skipped], "{outcome:#?}");
}

#[test]
fn a_defect_in_reading_one_domain_costs_no_other() {
    let names: Vec<String> = (0..9).map(|number| format!("vm{number}")).collect();
    let domains: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["vda"][..])).collect();
    let mut world = world_with(&domains);
    world.domains.get_mut("vm4").expect("defined").defect = true;
    let capture = "snapshots: [{name: golden, capture: {content: full, location: internal}}]";
    let plan = Lab::new(world).plan(&set(capture).replace("[vm]", "['vm*']"));
    assert_eq!((plan.domains.len(), plan.actions.len()), (8, 8), "{:?}", plan.unreadable);
    let failed: Vec<_> = plan.unreadable.iter().map(|item| (item.domain.as_deref(), item.error.as_str())).collect();
    assert_eq!(failed, [(Some("vm4"), "reading it ended in a defect of snapward; nothing was changed")]);
}

/// A file where the first overlay of a domain shall go: whose it is, its neighbours tell, and one cannot be asked.
#[test]
fn what_lies_where_a_first_overlay_shall_go_is_not_used_where_it_may_be_a_neighbours() {
    let capture = set("snapshots: [{name: e1, capture: {content: disks, location: external}}]");
    for (unreadable, used) in [(false, true), (true, false)] {
        let mut world = world_with(&[("vm", &["vda"]), ("other", &["vda"])]);
        world.storage.make("/images/vm.vda.e1.qcow2", "qcow2", Some("/images/vm-vda.qcow2"));
        world.domains.get_mut("other").expect("defined").unreadable = unreadable;
        let lab = Lab::new(world);
        let plan = lab.plan(&capture);
        assert_eq!((plan.summary.create == 1, plan.summary.blocked == 0), (used, used), "{:?}", plan.blocked);
        if used {
            assert_eq!(lab.apply(&plan).result, DomainResult::Done);
        }
    }
}
