//! External trees as the planner sees them: what it repairs, what it holds back, in which order it deletes, and what it
//! says of files.

use super::*;
use crate::model::image::{Backing, FileId, Image, ImageState, Space};
use crate::model::kinds::Consistency;
use crate::plan::chain::tests::world::World;
use ActionKind::{Create, Delete, Redefine, SetCurrent};
use BlockCode as B;
use ReasonCode as R;

/// The domain of a hand-made tree, whose snapshots were all captured an hour ago for the set.
fn owned(world: World) -> ObservedDomain {
    let mut domain = world.domain();
    domain.uuid = uuid_of("vm");
    let mut ledger = Ledger::empty(domain.uuid);
    let stamped = |snapshot: &ObservedSnapshot| {
        ledger.record(snapshot.name.clone(), LedgerEntry { created: NOW - 3600, released: false });
        let stamp = Stamp::new("default/web".parse().expect("valid"), snapshot.name.clone());
        let description = Description { stamp: Some(stamp), ..Description::parse("") };
        ObservedSnapshot { created: NOW - 3600, description, ..snapshot.clone() }
    };
    let snapshots: Vec<_> = domain.tree.iter().map(stamped).collect();
    domain.tree = SnapshotTree::new(snapshots, domain.tree.current().cloned());
    domain.ledger = Some(ledger);
    domain.ledger_is_current = true;
    domain
}

fn disks(name: &str) -> String {
    disks_with(name, "")
}

/// A declared disk-only external snapshot with more fields.
fn disks_with(name: &str, fields: &str) -> String {
    format!("{{name: {name}, capture: {{content: disks, location: external}}, {fields}}}")
}

fn absent(name: &str) -> String {
    format!("{{name: {name}, state: absent}}")
}

fn list(snapshots: &[String]) -> String {
    format!("{{domains: {{include: [vm]}}, snapshots: [{}]}}", snapshots.join(", "))
}

/// Plans these snapshots under a SafetyPolicy with this spec.
fn run_safely(snapshots: &[String], safety: &str, domain: ObservedDomain) -> Plan {
    plan_at(&with_safety(&list(snapshots), safety), &observed(vec![domain]), NOW)
}

fn with_free(mut domain: ObservedDomain, percent: u64) -> ObservedDomain {
    domain.files.space.insert("/i".into(), Space { free: percent, total: 100 });
    domain
}

/// An overlay on another image, `empty` or written to.
fn overlay(on: &str, empty: bool) -> ImageState {
    let id = FileId { device: 1, inode: 77 };
    ImageState::Present(Image { id, backing: Backing::File(on.into()), allocated: 4096, empty, open: false })
}

#[test]
fn a_chain_at_its_limit_takes_no_capture_without_a_deletion() {
    // Base and three overlays are four images.
    let domain = || owned(World::line(&["e1", "e2", "e3"]));
    let kept = ["e1", "e2", "e3"].map(disks);
    let with_new = [kept.as_slice(), &[disks("new")]].concat();
    let plan = run_safely(&with_new, "{chainLimit: 4}", domain());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::ChainLimit, "new")]));
    assert!(plan.blocked[0].text.contains("5 images, and the limit is 4"), "{}", plan.blocked[0].text);
    let plan = run_safely(&with_new, "{chainLimit: 5}", domain());
    assert_eq!(actions(&plan), [action(Create, "new", R::Declared)]);

    // A deletion of the same pass makes room, and goes first for that; else captures go first.
    let without_e1 = [absent("e1"), disks("e2"), disks("e3"), disks("new")];
    let (create, delete) = (action(Create, "new", R::Declared), action(Delete, "e1", R::Absent));
    let plan = run_safely(&without_e1, "{chainLimit: 4}", domain());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![delete.clone(), create.clone()], vec![]));
    let plan = run_safely(&without_e1, "{chainLimit: 5}", domain());
    assert_eq!(actions(&plan), [create, delete.clone()]);
    // It makes no room for two.
    let two = [&without_e1[..], &[disks("more")]].concat();
    let plan = run_safely(&two, "{chainLimit: 4}", domain());
    assert_eq!((actions(&plan), blocks(&plan).len()), (vec![delete], 2));
}

#[test]
fn below_libvirt_12_no_policy_lets_a_chain_grow_past_what_starts() {
    let names: Vec<String> = (1..24).map(|number| format!("e{number:02}")).collect();
    let domain = || owned(World::line(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    let state = with_safety(&list(&[disks("new")]), "{chainLimit: 100}");
    let plan = plan_at(&state, &observed(vec![domain()]), NOW);
    assert_eq!(blocks(&plan), [block(B::ChainLimit, "new")]);
    let mut newer = observed(vec![domain()]);
    newer.hosts[0].info.libvirt_version = 12_000_000;
    assert_eq!(actions(&plan_at(&state, &newer, NOW)), [action(Create, "new", R::Declared)]);
}

#[test]
fn a_full_filesystem_takes_no_capture_without_a_deletion() {
    let domain = |free| with_free(owned(World::line(&["e1", "e2"])), free);
    let wanted = ["e1", "e2", "new"].map(disks);
    let plan = run_safely(&wanted, "{freeSpace: {minPercent: 10}}", domain(9));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::NoSpace, "new")]));
    assert!(plan.blocked[0].text.contains("/i has 9 % free"), "{}", plan.blocked[0].text);
    assert_eq!(actions(&run_safely(&wanted, "{freeSpace: {minPercent: 10}}", domain(10))).len(), 1);
    let wanted = [absent("e1"), disks("e2"), disks("new")];
    let plan = run_safely(&wanted, "{freeSpace: {minPercent: 10}}", domain(9));
    assert_eq!(actions(&plan), [action(Delete, "e1", R::Absent), action(Create, "new", R::Declared)]);
}

#[test]
fn captures_wait_with_the_deletions_that_were_to_make_room() {
    let old = ["e1", "e2"].map(|name| disks_with(name, "deleteAfter: 1m"));
    let wanted = [&old[..], &[disks("e3"), disks("new")]].concat();
    let domain = || owned(World::line(&["e1", "e2", "e3"]));
    let plan = run_safely(&wanted, "{chainLimit: 4, maxDeletes: {perDomain: 1}}", domain());
    let codes = [block(B::TooManyDeletes, "e1"), block(B::TooManyDeletes, "e2"), block(B::ChainLimit, "new")];
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], codes.to_vec()));
    assert!(plan.blocked[2].text.contains("wait themselves"), "{}", plan.blocked[2].text);
    let plan = run_safely(&wanted, "{chainLimit: 4, maxDeletes: {perDomain: 2}}", domain());
    assert_eq!(actions(&plan).len(), 3);
}

/// Captures leave the plan after the places of another domain's deletions in it were noted.
#[test]
fn deletions_that_wait_keep_their_order_where_captures_of_another_domain_wait_too() {
    let policy = |name: &str, spec: &str| {
        let text = format!("{{apiVersion: snapward/v1, kind: SafetyPolicy, metadata: {{name: {name}}}, spec: {spec}}}");
        (format!("default/{name}").parse().expect("valid"), document(&text))
    };
    // The deletion that makes room for the captures of `vm` waits for its window.
    let wanted = [absent("e1"), disks("e2"), disks("n1"), disks("n2")];
    let waiting = list(&wanted).replacen('{', "{safety: {policyRef: later}, ", 1);
    let aged = |name: &str| declared(name, "deleteAfter: 1m");
    let held = format!(
        "{{domains: {{include: [wm]}}, safety: {{policyRef: few}}, snapshots: [{}, {}, {}]}}",
        declared("kept", ""),
        aged("d1"),
        aged("d2")
    );
    let mut wanted = desired(vec![set(&waiting), set_named("db", &held)]);
    wanted.safety.extend([
        policy("later", "{chainLimit: 4, windows: [{allow: [delete], cron: '0 22 * * *', duration: 1h}]}"),
        policy("few", "{maxDeletes: {perDomain: 1}}"),
    ]);
    let below = |parent: &str, text: &str| ObservedSnapshot { parent: Some(name(parent)), ..owned_by("db", text) };
    let line = vec![owned_by("db", "kept"), below("kept", "d1"), below("d1", "d2")];
    let mut other = domain_with(line, &["kept", "d1", "d2"]);
    (other.name, other.uuid) = ("wm".into(), uuid_of("wm"));
    other.ledger.as_mut().expect("a ledger").domain = other.uuid;
    let id = FileId { device: 2, inode: 1 };
    let image = Image { id, backing: Backing::None, allocated: 1000, empty: false, open: false };
    other.files.images.insert("/images/vda.qcow2".into(), ImageState::Present(image));
    let mut plan = plan_at(&wanted, &observed(vec![owned(World::line(&["e1", "e2"])), other]), NOW);
    let waits = ["n1", "n2"].map(|name| block(B::ChainLimit, name));
    assert_eq!(actions(&plan), []);
    assert_eq!(blocks(&plan)[..2], ["d2", "d1"].map(|name| block(B::TooManyDeletes, name)));
    assert_eq!(blocks(&plan)[2..], waits);
    crate::plan::release(&mut plan);
    assert_eq!(actions(&plan), ["d2", "d1"].map(|name| action(Delete, name, R::Expired)));
}

#[test]
fn what_the_tree_holds_is_kept_by_age_and_blocked_where_it_shall_be_absent() {
    // e1{e2-e3, f*}: the branch of e2 goes from its tip.
    let domain = || owned(World::line(&["e1", "e2", "e3"]).revert("e1").capture("f"));
    let plan = run(&list(&[disks("e1"), disks_with("e2", "deleteAfter: 1m"), disks("e3"), disks("f")]), domain());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![]));
    let kept = &plan.kept[0];
    assert_eq!((kept.address.snapshot.as_ref(), kept.reason.code), (Some(&name("e2")), R::Tree));
    for words in ["deleteAfter", "e3 stands on it", "e3 must go first"] {
        assert!(kept.reason.text.contains(words), "{words}: {}", kept.reason.text);
    }
    let plan = run(&list(&[disks("e1"), absent("e2"), disks("e3"), disks("f")]), domain());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::TreeHolds, "e2")]));
    assert!(plan.blocked[0].way_out.contains("e3 must go first"), "{}", plan.blocked[0].way_out);
    // In the order in which libvirt lets them go, with what each does to files.
    let plan = run(&list(&[absent("e1"), absent("e2"), absent("e3"), disks("f")]), domain());
    let names: Vec<_> = plan.actions.iter().filter_map(|action| action.address.snapshot.clone()).collect();
    assert_eq!(names, ["e3", "e2", "e1"].map(name));
    let after: Vec<_> = plan.actions.iter().filter_map(|action| action.after.clone()).collect();
    assert_eq!(after[0].removes.as_deref(), Some(&["/i/vda.e2".to_owned()][..]));
    assert_eq!(after[2].merges.as_ref().map(|merges| merges[0].into.as_str()), Some("/i/vda"));
    assert_eq!(after[2].merges.as_ref().map(|merges| merges[0].bytes), Some(Some(1000)));
}

#[test]
fn what_a_proof_forbids_is_blocked_also_by_age() {
    let mut domain = owned(World::line(&["e1", "e2"]));
    domain.files.images.insert("/i/vda.e1".into(), ImageState::Unknown("permission denied".into()));
    let old = || list(&[disks_with("e1", "deleteAfter: 1m"), disks("e2")]);
    assert_eq!(blocks(&run(&old(), domain.clone())), [block(B::ChainUnknown, "e1")]);
    let trusting = [disks_with("e1", "deleteAfter: 1m"), disks("e2")];
    let plan = run_safely(&trusting, "{trustUnreadableChains: true}", domain);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![action(Delete, "e1", R::Expired)], vec![]));
}

#[test]
fn the_images_of_neighbours_are_asked_about_selected_or_not() {
    let domain = || owned(World::line(&["e1", "e2"]));
    let asked = desired(vec![set(&list(&[absent("e1"), disks("e2")]))]);
    let mut clone = World::new(&["vda"]).domain();
    clone.name = "clone".into();
    clone.uuid = uuid_of("clone");
    let mut with_clone = observed(vec![domain()]);
    with_clone.hosts[0].others = vec![clone];
    let plan = plan_at(&asked, &with_clone, NOW);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::SharedBase, "e1")]));
    assert!(plan.blocked[0].text.contains("domain clone"), "{}", plan.blocked[0].text);
    let mut hung = observed(vec![domain()]);
    hung.hosts[0].others_unreadable = vec![crate::model::observed::UnreadableDomain {
        name: "hung".into(),
        uuid: uuid_of("hung"),
        error: "no answer".into(),
    }];
    assert_eq!(blocks(&plan_at(&asked, &hung, NOW)), [block(B::SharedBase, "e1")]);
}

#[test]
fn a_domain_that_is_not_whole_is_described_once_and_left_alone() {
    let broken = owned(World::line(&["e1", "e2", "e3"]).without_image("/i/vda"));
    let plan = run(&list(&[absent("e1"), disks("e2"), disks("e3"), disks("new")]), broken.clone());
    let codes =
        [block(B::ChainInconsistent, ""), block(B::ChainInconsistent, "new"), block(B::ChainInconsistent, "e1")];
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], codes.to_vec()));
    assert!(plan.blocked[0].text.contains("no such file") && plan.blocked[0].way_out.contains("bring the file back"));
    for item in &plan.blocked[1..] {
        assert!(item.text.contains("as the item about the domain says"), "{}", item.text);
    }
    // What is metadata alone is done: it tells snapward's own from others' after the repair.
    let described = run(&list(&[disks_with("e1", "description: other"), disks("e2"), disks("e3")]), broken);
    assert_eq!(actions(&described), [action(Redefine, "e1", R::FieldsDiffer)]);
    assert_eq!(blocks(&described), [block(B::ChainInconsistent, "")]);
}

/// Of e2, vda was merged into e1's overlay and vdb was not.
#[test]
fn a_deletion_that_failed_halfway_is_finished_and_nothing_else_is_done() {
    let half = || {
        owned(World::new(&["vda", "vdb"]).capture("e1").capture("e2").capture("e3").with(|world| {
            world.image("/i/vda.e3", Backing::File("/i/vda.e1".into()));
            world.images.insert("/i/vda.e2".into(), ImageState::Absent);
            world.files("e1").unfinished.insert("vda".into());
        }))
    };
    let plan = run(&list(&[absent("e1"), absent("e2"), disks("e3"), disks("new")]), half());
    assert_eq!(actions(&plan), [action(Delete, "e2", R::Absent)]);
    assert_eq!(blocks(&plan), [block(B::ChainInconsistent, "new"), block(B::ChainInconsistent, "e1")]);
    let plan = run(&list(&[disks("e1"), disks("e2"), disks("e3")]), half());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::ChainInconsistent, "")]));
    assert!(plan.blocked[0].way_out.contains("delete e2 again"), "{}", plan.blocked[0].way_out);
}

#[test]
fn a_repair_comes_before_everything_else() {
    let wrong = || owned(World::line(&["e1", "e2"]).pointing_at(Some("e1")));
    let wanted = [disks_with("e1", "description: other"), absent("e2"), disks("new")];
    let plan = run(&list(&wanted), wrong());
    let order = [
        action(SetCurrent, "e2", R::Repair),
        action(Redefine, "e1", R::FieldsDiffer),
        action(Create, "new", R::Declared),
        action(Delete, "e2", R::Absent),
    ];
    assert_eq!((actions(&plan), blocks(&plan)), (order.to_vec(), vec![]));
    let repair = &plan.actions[0];
    let pointers = [&repair.before, &repair.after].map(|view| view.as_ref().and_then(|view| view.current.clone()));
    assert_eq!(pointers, [Some("e1".to_owned()), Some("e2".to_owned())]);
    assert!(repair.reason.text.contains("the current snapshot is e1"), "{}", repair.reason.text);

    // Both lost: the overlays first, else the pointer would be on a snapshot on which the disks are not.
    let reverted = World::line(&["e1", "e2"]).revert("e1");
    let both = owned(reverted.pointing_at(Some("e2")).with(|world| world.files("e1").revert_overlays.clear()));
    let plan = run(&list(&[disks("e1"), disks("e2")]), both.clone());
    assert_eq!(actions(&plan), [action(Redefine, "e1", R::Repair), action(SetCurrent, "e1", R::Repair)]);
    let given = plan.actions[0].after.as_ref().and_then(|after| after.revert_overlays.clone()).expect("overlays");
    assert_eq!(given.get("vda"), both.disks[0].source.as_ref());

    // A suspended set repairs nothing, and says what is the matter.
    let frozen = list(&[disks("e1")]).replacen('{', "{suspend: {reason: x}, ", 1);
    let plan = run(&frozen, wrong());
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::ChainInconsistent, "")]));
}

#[test]
fn neither_pointer_nor_parent_is_set_in_an_external_tree() {
    let spec = list(&[disks("e1"), disks("e2")]).replacen("snapshots:", "current: e1, snapshots:", 1);
    let plan = run(&spec, owned(World::line(&["e1", "e2"])));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::CurrentUnsafe, "e1")]));
    let plan = run(&spec, owned(World::line(&["e1", "e2"]).revert("e1")));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![]), "it is there already");

    let plan = run(&list(&[disks("e1"), disks("e2"), disks_with("e3", "parent: e1")]), {
        owned(World::line(&["e1", "e2", "e3"]))
    });
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::ParentDiffers, "e3")]));
    let plan = run(&list(&[disks("e1"), disks_with("new", "parent: e0")]), owned(World::line(&["e1"])));
    assert_eq!(actions(&plan), [action(Create, "new", R::Declared)], "captured where it lands");
    assert_eq!(blocks(&plan), [block(B::ParentDiffers, "new")]);
}

#[test]
fn the_leftover_of_a_killed_capture_is_used_and_nothing_else_that_is_there() {
    let path = "/i/vm.vda.new.qcow2";
    let with = |state: ImageState| {
        let mut domain = owned(World::line(&["e1"]));
        domain.files.images.insert(path.into(), state);
        domain
    };
    let wanted = || list(&[disks("e1"), disks("new")]);
    let plan = run(&wanted(), with(overlay("/i/vda.e1", true)));
    assert_eq!(actions(&plan), [action(Create, "new", R::Declared)]);
    assert_eq!(plan.actions[0].after.as_ref().and_then(|after| after.reuse), Some(true));
    assert_eq!(plan.warnings, [], "no file of nobody: it is about to be used");
    for other in [overlay("/i/vda.e1", false), overlay("/i/vda", true)] {
        let plan = run(&wanted(), with(other));
        assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::NotPossible, "new")]));
        assert!(plan.blocked[0].text.contains(path), "{}", plan.blocked[0].text);
    }
    // Another domain's disk, as yet without data of its own.
    let mut other = World::new(&[]).domain();
    (other.name, other.uuid) = ("clone".into(), uuid_of("clone"));
    other.disks = vec![ObservedDisk { source: Some(path.into()), ..disk("vda", "qcow2") }];
    let mut host = observed(vec![with(overlay("/i/vda.e1", true))]);
    host.hosts[0].others = vec![other];
    let plan = plan_at(&desired(vec![set(&wanted())]), &host, NOW);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::NotPossible, "new")]));
    // Only seen in the directory.
    let mut listed = owned(World::line(&["e1"]));
    listed.files.beside.insert("/i".into(), [path.rsplit('/').next().expect("a name").to_owned()].into());
    assert_eq!(blocks(&run(&wanted(), listed)), [block(B::NotPossible, "new")]);
}

#[test]
fn a_leftover_of_one_disk_alone_is_not_used() {
    let mut domain = owned(World::new(&["vda", "vdb"]).capture("e1"));
    domain.files.images.insert("/i/vm.vda.new.qcow2".into(), overlay("/i/vda.e1", true));
    let plan = run(&list(&[disks("e1"), disks("new")]), domain);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::NotPossible, "new")]));
    assert!(plan.blocked[0].text.contains("the other disks have none"), "{}", plan.blocked[0].text);
}

#[test]
fn a_memory_image_that_is_there_is_not_written_over() {
    let mut domain = owned(World::line(&["e1"]));
    domain.state = RunState::Running;
    domain.disks[0].backing = Some(vec!["/i/vda".into()]);
    domain.files.images.insert("/i/vm.new.memory".into(), overlay("/i/x", true));
    let new = "{name: new, capture: {content: full, location: external}}".to_owned();
    let plan = run(&list(&[disks("e1"), new]), domain);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::NotPossible, "new")]));
    assert!(plan.blocked[0].text.contains("/i/vm.new.memory"), "{}", plan.blocked[0].text);
}

#[test]
fn a_file_name_that_no_filesystem_takes_is_refused() {
    // vm.vda.NAME.qcow2 must fit into 255 bytes.
    for (length, blocked) in [(242, vec![]), (243, vec![B::NotPossible])] {
        let long = "n".repeat(length);
        let plan = run(&list(&[disks(&long)]), owned(World::new(&["vda"])));
        assert_eq!(plan.blocked.iter().map(|item| item.code).collect::<Vec<_>>(), blocked, "{length}");
    }
}

#[test]
fn two_captures_of_one_pass_stand_on_each_other() {
    let plan = run(&list(&[disks("a"), disks("b")]), owned(World::new(&["vda"])));
    assert_eq!(actions(&plan), [action(Create, "a", R::Declared), action(Create, "b", R::Declared)]);
    let file = |at: usize| plan.actions[at].after.as_ref()?.capture.as_ref()?.disks[0].file.clone();
    assert_eq!((file(0).as_deref(), file(1).as_deref()), (Some("/i/vm.vda.a.qcow2"), Some("/i/vm.vda.b.qcow2")));
}

#[test]
fn files_of_nobody_are_named_and_left() {
    let mut domain = owned(World::line(&["e1"]));
    domain.files.images.insert("/i/vda.1732320000".into(), overlay("/i/vda", true));
    let plan = run(&list(&[disks("e1")]), domain);
    assert_eq!((actions(&plan), plan.warnings.len()), (vec![], 1));
    let text = &plan.warnings[0].text;
    assert!(
        text.contains("1 overlay lies") && text.contains("4.0 KiB") && text.contains("/i/vda.1732320000"),
        "{text}"
    );
}

#[test]
fn what_a_guest_may_have_written_into_an_overlay_of_nobody_is_told() {
    let mut domain = owned(World::line(&["e1", "e2"]));
    domain.files.images.insert("/i/vm.vda.new.qcow2".into(), overlay("/i/vda.e2", false));
    let plan = run(&list(&[disks("e1"), absent("e2")]), domain);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::ChainInconsistent, "e2")]));
    let [warning] = plan.warnings.as_slice() else { panic!("{:#?}", plan.warnings) };
    for words in ["/i/vm.vda.new.qcow2 on /i/vda.e2", "may hold what the guest wrote after a capture"] {
        assert!(warning.text.contains(words), "{words} is not in {}", warning.text);
    }
}

#[test]
fn a_host_that_cannot_delete_external_snapshots_says_so_beforehand() {
    let asked = |snapshots: &[String]| {
        let mut host = observed(vec![owned(World::line(&["e1"]))]);
        (host.hosts[0].info.libvirt_version, host.hosts[0].info.external_snapshots) = (9_000_000, false);
        plan_at(&desired(vec![set(&list(snapshots))]), &host, NOW)
    };
    let plan = asked(&[absent("e1")]);
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::NotPossible, "e1")]));
    assert!(plan.blocked[0].text.contains("libvirt 9.0.0") && plan.blocked[0].text.contains("needs libvirt 9.9"));
    let plan = asked(&[disks("e1"), disks("new")]);
    assert_eq!(actions(&plan), [action(Create, "new", R::Declared)]);
    assert!(plan.warnings[0].text.contains("can neither delete them nor revert to them"), "{:?}", plan.warnings);
}

/// Deletions are proven in a row, and the breaker takes some out of it.
#[test]
fn what_is_proven_behind_a_deletion_that_waits_waits_too() {
    let aged = |name: &str| disks_with(name, "deleteAfter: 1m");
    let planned =
        |world: World, snapshots: &[String]| run_safely(snapshots, "{maxDeletes: {perDomain: 1}}", owned(world));
    // By name first: what is old may stay.
    let line = World::line(&["a1", "a2", "named", "top"]);
    let plan = planned(line, &[aged("a1"), aged("a2"), absent("named"), disks("top")]);
    assert_eq!(actions(&plan), [action(Delete, "named", R::Absent)]);
    assert_eq!(blocks(&plan), ["a1", "a2"].map(|name| block(B::TooManyDeletes, name)));
    let merges = plan.actions[0].after.as_ref().and_then(|after| after.merges.as_ref()).expect("a merge");
    assert_eq!((merges[0].from.as_str(), merges[0].into.as_str()), ("/i/vda.named", "/i/vda.a2"));

    // e1 goes once the branch below it is gone, of which every snapshot is old.
    let forked = World::line(&["e1", "e2", "d1", "d2"]).revert("e2").capture("e3");
    let mut plan = planned(forked, &[absent("e1"), disks("e2"), aged("d1"), aged("d2"), disks("e3")]);
    assert_eq!(actions(&plan), []);
    assert_eq!(blocks(&plan), ["d2", "d1", "e1"].map(|name| block(B::TooManyDeletes, name)));
    assert!(plan.blocked[2].text.contains("were to go before it"), "{:?}", plan.blocked[2]);
    crate::plan::release(&mut plan);
    let all = [action(Delete, "d2", R::Expired), action(Delete, "d1", R::Expired), action(Delete, "e1", R::Absent)];
    assert_eq!((actions(&plan), blocks(&plan)), (all.to_vec(), vec![]));
}

/// libvirt leaves the guest paused for a manual disk, and frozen it could not be thawed then.
#[test]
fn a_guest_that_is_left_paused_is_planned_to_be_captured_unfrozen() {
    let mut running = owned(World::new(&["vda", "vdb"]));
    (running.state, running.agent) = (RunState::Running, Agent::Connected);
    let capture = "content: disks, location: external, consistency: filesystemIfAgent";
    let captured = |disks: &str| {
        let plan = run(&list(&[format!("{{name: m, capture: {{{capture}{disks}}}}}")]), running.clone());
        let after = plan.actions[0].after.clone().expect("a view");
        let level = after
            .stamp
            .iter()
            .flatten()
            .find_map(|line| line.strip_prefix("Snapward-Consistency: ").map(str::to_owned));
        (after.capture.expect("a capture").consistency, level.expect("a level"))
    };
    let manual = captured(", disks: [{target: vdb, location: manual}]");
    assert_eq!(manual, (Consistency::Crash, "crash".to_owned()));
    assert_eq!(captured(""), (Consistency::FilesystemIfAgent, "filesystem".to_owned()));
}

/// It leaves the guest paused, and a person has to come.
#[test]
fn a_capture_that_leaves_the_guest_paused_is_the_whole_of_its_pass() {
    let manual = "{name: m, capture: {content: disks, location: external, disks: [{target: vdb, location: manual}]}}";
    let running = |mut domain: ObservedDomain| {
        domain.state = RunState::Running;
        for disk in &mut domain.disks {
            disk.backing = Some(vec![format!("/i/{}", disk.target)]);
        }
        domain
    };
    let domain = || owned(World::new(&["vda", "vdb"]).capture("e1"));
    let wanted = [disks_with("e1", "description: other"), disks("first"), manual.to_owned()];
    let plan = run(&list(&wanted), running(domain()));
    assert_eq!((actions(&plan), blocks(&plan)), (vec![action(Create, "m", R::Declared)], vec![]));
    assert!(plan.warnings.iter().any(|warning| warning.text.contains("captured by itself")), "{:?}", plan.warnings);
    assert_eq!(actions(&run(&list(&wanted), domain())).len(), 3, "off, nothing is paused");
    let alone = run(&list(&[disks("e1"), manual.to_owned()]), running(domain()));
    assert_eq!((actions(&alone).len(), alone.warnings.len()), (1, 0), "{:?}", alone.warnings);

    // What must come before it comes before it, and where that waits, so does it.
    let planned = |safety: &str| {
        let state = with_safety(&list(&[absent("e1"), manual.to_owned()]), safety);
        plan_at(&state, &observed(vec![running(domain())]), NOW)
    };
    let plan = planned("{chainLimit: 2}");
    assert_eq!(actions(&plan), [action(Delete, "e1", R::Absent), action(Create, "m", R::Declared)]);
    assert_eq!(plan.warnings, []);
    let plan = planned("{chainLimit: 2, windows: [{allow: [delete], cron: '0 22 * * *', duration: 1h}]}");
    assert_eq!((actions(&plan), blocks(&plan)), (vec![], vec![block(B::ChainLimit, "m")]));
    let plan = planned("{}");
    assert_eq!(actions(&plan), [action(Create, "m", R::Declared)], "with room, the deletion comes after it");
}
