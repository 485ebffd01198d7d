//! RevertRequests on the real driver: what was captured comes back, what was there before stays in a guard, and nothing is
//! reverted twice.

use std::fs;

use snapward::model::outcome::DomainResult;

use crate::faults::table::row;
use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;
use crate::support::guest::Guest;
use crate::support::lab::{Lab, Planned, actions, blocks, clock, set};
use crate::support::tools::{qemu_io_check, qemu_io_write, text};

/// A request `default/reset` for `vm`, with more lines of its spec.
fn request(to: &str, token: &str, fields: &str) -> String {
    format!(
        "apiVersion: snapward/v1\nkind: RevertRequest\nmetadata: {{name: reset}}\nspec:\n  hosts: {{include: [lab]}}\n  \
         domains: {{include: [vm]}}\n  to: {to}\n  token: {token}\n  expiresAt: 2100-01-01\n{fields}"
    )
}

fn state(lab: &Lab<'_>, guest: &Guest<'_>) -> &'static str {
    let host = lab.host();
    guest.listed(host.as_ref()).state.as_str()
}

/// The names of the guard snapshots there are.
fn guards(guest: &Guest<'_>) -> Vec<String> {
    guest.snapshots().into_iter().filter(|name| name.starts_with("reset-guard-")).collect()
}

/// Plans and applies, and asserts that the domain was reverted.
#[track_caller]
fn reverts(lab: &mut Lab<'_>, yaml: &str) -> Planned {
    // Guards are named after the second of the plan, and no two of them share one.
    lab.ahead += 1;
    let planned = lab.apply(yaml);
    let reverted: Vec<_> = actions(&planned.plan).into_iter().filter(|action| action.starts_with("revert")).collect();
    assert_eq!(reverted.len(), 1, "{:#?}", planned.plan);
    planned
}

#[test]
fn a_stopped_external_domain_goes_back_and_forth_with_every_state_kept() {
    let root = EmbedRoot::new();
    let mut lab = Lab::new(&root);
    let mut chain = Chain::with_disks(&root, "vm", &["vda", "vdb"]);
    chain.capture("e1");
    chain.capture("e2");
    chain.write();
    let now = chain.state().expect("readable");
    reverts(&mut lab, &request("e1", "t1", ""));
    assert_eq!(chain.state(), Ok(1), "as e1 captured it");
    assert_eq!(chain.guest.current(), "e1");
    let [guard] = <[String; 1]>::try_from(guards(&chain.guest)).expect("one guard");
    assert_eq!(chain.held(&guard), Ok(now), "today's state is in the guard");
    for (name, held) in [("e1", 1), ("e2", 2)] {
        assert_eq!(chain.held(name), Ok(held), "{name}");
    }
    let stamped = chain.guest.snapshot_xml("e1");
    assert!(stamped.contains("Snapward-Revert: default/reset/t1; done; "), "{stamped}");
    lab.settled(&request("e1", "t1", ""));

    // Forth again, at once: libvirt names overlays after the second.
    reverts(&mut lab, &request(&guard, "t2", ""));
    assert_eq!(chain.state(), Ok(now));
    reverts(&mut lab, &request("e2", "t3", "  guard: {keep: 0}\n"));
    assert_eq!(chain.state(), Ok(2));
    assert!(chain.guest.try_start().is_ok(), "it starts");
    chain.guest.destroy();
    // keep: 0 keeps none of the earlier guards either, as far as the tree lets them go.
    lab.apply(&request("e2", "t3", "  guard: {keep: 0}\n"));
    assert_eq!(guards(&chain.guest), Vec::<String>::new());
    assert_eq!(chain.state(), Ok(2));
    for (name, held) in [("e1", 1), ("e2", 2)] {
        assert_eq!(chain.held(name), Ok(held), "{name}");
    }
}

/// libvirt brings back what it captured itself, and leaves a disk that others captured with what it holds now.
#[test]
fn a_revert_with_a_disk_left_to_other_means_needs_force() {
    let root = EmbedRoot::new();
    let mut lab = Lab::new(&root);
    let mut chain = Chain::with_disks(&root, "vm", &["vda", "vdb"]);
    let captured = chain.write();
    let declared = set(
        "lab",
        "  domains: {include: [vm]}\n  snapshots:\n    - name: e1\n      capture:\n        content: disks\n        location: external\n        \
         disks: [{target: vdb, location: manual}]\n",
    );
    lab.apply(&declared);
    lab.settled(&declared);
    let now = chain.write();
    let asked = |token: &str, fields: &str| format!("{declared}---\n{}", request("e1", token, fields));
    let plan = lab.plan(&asked("t1", "")).plan;
    assert_eq!(blocks(&plan), ["NotPossible e1"]);
    assert!(plan.blocked[0].text.contains("its disk vdb was captured by other means"), "{:?}", plan.blocked);
    reverts(&mut lab, &asked("t2", "  force: true\n  guard: {keep: 0}\n"));
    assert_eq!(chain.contents(&chain.disk("vda")), Ok(captured));
    assert_eq!(chain.contents(&chain.disk("vdb")), Ok(now), "as whoever captured it has left it");
}

#[test]
fn an_internal_domain_is_reverted_in_every_run_state() {
    let root = EmbedRoot::new();
    let mut lab = Lab::new(&root);
    let guest = root.guest("vm").disk("vda", "qcow2", "8M").disk("vdb", "qcow2", "8M").define();
    qemu_io_write(&guest.vda(), "qcow2", 0x11, 0, 65536);
    guest.snapshot("off", "");
    qemu_io_write(&guest.vda(), "qcow2", 0x22, 0, 65536);
    guest.start();
    guest.snapshot("running", "");
    guest.pause();
    guest.snapshot("paused", "");

    // The token is new each time; the state afterwards is the captured one, or the one that is asked for.
    let cases = [
        ("running", "asCaptured", "running"),
        ("paused", "asCaptured", "paused"),
        ("running", "paused", "paused"),
        ("off", "asCaptured", "shut off"),
        ("off", "running", "running"),
        ("off", "asCaptured", "shut off"),
    ];
    for (number, (to, power, after)) in cases.into_iter().enumerate() {
        let yaml = request(to, &format!("t{number}"), &format!("  power: {power}\n"));
        reverts(&mut lab, &yaml);
        assert_eq!(state(&lab, &guest), after, "{to} {power}");
        assert_eq!(guest.current(), to);
        // Guards beyond the newest go with the next run.
        lab.apply(&yaml);
        assert_eq!(guards(&guest).len(), 1, "{to} {power}");
        lab.settled(&yaml);
    }
    assert!(qemu_io_check(&guest.vda(), "qcow2", 0x11, 0, 65536), "what `off` captured");
}

#[test]
fn a_running_external_domain_with_memory_comes_back_running() {
    let root = EmbedRoot::new();
    let mut lab = Lab::new(&root);
    let mut chain = Chain::new(&root, "vm");
    chain.write();
    chain.guest.start();
    let declared = set(
        "lab",
        "  domains: {include: [vm]}\n  snapshots:\n    - name: full\n      capture: {content: full, location: external}\n",
    );
    lab.apply(&declared);
    chain.note_capture("full");
    reverts(&mut lab, &format!("{declared}---\n{}", request("full", "t1", "")));
    assert_eq!(state(&lab, &chain.guest), "running");
    let ledger = chain.guest.xml();
    assert!(ledger.contains("made name=\"full\""), "the ledger is whole again: {ledger}");
    assert!(ledger.contains("default/reset/t1; done; "), "{ledger}");
    let guard = guards(&chain.guest).pop().expect("a guard");
    let kept = chain.guest.snapshot_xml(&guard);
    assert!(kept.contains("<memory snapshot='external'"), "its memory too: {kept}");
    reverts(&mut lab, &format!("{declared}---\n{}", request("full", "t2", "  power: paused\n")));
    assert_eq!(state(&lab, &chain.guest), "paused");
    lab.apply(&format!("{declared}---\n{}", request("full", "t2", "")));
    lab.settled(&format!("{declared}---\n{}", request("full", "t2", "")));
}

/// Fact 6: libvirt stops the domain first and looks then. Here the file is looked for first.
#[test]
fn what_would_fail_midway_is_found_before_the_domain_is_stopped() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let mut chain = Chain::new(&root, "vm");
    chain.write();
    chain.guest.start();
    let memory = root.image("vm.memory");
    chain.guest.snapshot("full", &format!("<memory snapshot='external' file='{}'/>", text(&memory)));
    chain.note_capture("full");
    let yaml = request("full", "t1", "  guard: {keep: 0}\n");
    let planned = lab.plan(&yaml);
    assert_eq!(planned.plan.summary.revert, 1);
    fs::rename(&memory, root.image("elsewhere")).expect("moved");
    let late = lab.carry_out(&planned);
    let told = &late.domains[0].actions[0].text;
    row("memory gone").is_told(told);
    row("memory gone").ends(&lab.plan(&yaml).plan);
    assert!(chain.guest.is_active(), "it was left running");
    assert!(!chain.guest.snapshot_xml("full").contains("Snapward-Revert"), "the token is not used up");
    fs::rename(root.image("elsewhere"), &memory).expect("moved");

    // A file of libvirt's next names: it would find out with the domain stopped.
    let soon = clock().as_second() + 20;
    let in_the_way = root.image(&format!("vm-vda.{soon}"));
    fs::write(&in_the_way, "somebody's").expect("written");
    let planned = lab.plan(&yaml);
    let outcome = lab.carry_out(&planned);
    let told = &outcome.domains[0].actions[0].text;
    assert!(told.contains(&soon.to_string()) && told.contains("nothing was done"), "{told}");
    assert!(chain.guest.is_active());
    fs::remove_file(&in_the_way).expect("removed");
    chain.assert_intact();
}

/// What libvirt alone can see fails midway: then the text says how the domain stands and what brings it back.
#[test]
fn a_revert_that_fails_midway_says_that_the_domain_is_down_and_how_to_get_it_back() {
    let root = EmbedRoot::new();
    let mut lab = Lab::new(&root);
    let chain = Chain::new(&root, "vm");
    chain.guest.start();
    let memory = root.image("vm.memory");
    chain.guest.snapshot("full", &format!("<memory snapshot='external' file='{}'/>", text(&memory)));
    fs::write(&memory, "no memory image").expect("written");
    let planned = lab.plan(&request("full", "t1", ""));
    let outcome = lab.carry_out(&planned);
    assert_eq!(outcome.domains[0].result, DomainResult::Failed);
    let told = &outcome.domains[0].actions[1].text;
    let guard = guards(&chain.guest).pop().expect("a guard");
    row("memory broken").is_told(told);
    assert!(told.contains("snapshot revert 'vm'") && told.contains(&guard), "{told}");
    let next = lab.plan(&request("full", "t1", "")).plan;
    row("memory broken").ends(&next);
    assert_eq!(next.summary.delete, 0, "the guard stays");
    // What the text names works.
    reverts(&mut lab, &request(&guard, "t2", "  guard: {keep: 0}\n"));
    assert_eq!(state(&lab, &chain.guest), "running");
}

#[test]
fn a_revert_after_its_time_or_by_a_used_token_is_not_carried_out() {
    let root = EmbedRoot::new();
    let mut lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    guest.snapshot("clean", "");
    let yaml = request("clean", "t1", "  guard: {keep: 0}\n");
    let mut planned = lab.plan(&yaml);
    let order = planned.plan.actions[0].after.as_mut().and_then(|after| after.revert.as_mut()).expect("an order");
    let token = order.request.as_mut().expect("a token");
    token.until = Some("2020-01-01T00:00:00Z".into());
    let outcome = lab.carry_out(&planned);
    assert!(outcome.domains[0].actions[0].text.contains("expired"), "{outcome:#?}");

    // The ledger alone knows the token after its target was deleted and captured anew.
    reverts(&mut lab, &yaml);
    guest.delete_snapshot("clean");
    guest.snapshot("clean", "");
    let plan = lab.plan(&yaml).plan;
    assert_eq!(plan.summary.revert, 0, "{:#?}", plan.actions);
}

#[test]
fn managed_save_and_cd_roms_are_looked_for() {
    let root = EmbedRoot::new();
    let mut lab = Lab::new(&root);
    let iso = root.image("install.iso");
    fs::write(&iso, vec![7_u8; 65536]).expect("written");
    let cdrom = format!(
        "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{}'/><target dev='hdc' bus='ide'/>\
         <readonly/></disk>",
        text(&iso)
    );
    let guest = root.guest("vm").disk("vda", "qcow2", "8M").device(&cdrom).define();
    guest.try_disk_only("clean", "").expect("captured");
    let planned = reverts(&mut lab, &request("clean", "t1", "  guard: {keep: 0}\n"));
    let risk = &planned.plan.actions[0].risk.text;
    assert!(risk.contains("CD-ROM drive hdc"), "{risk}");
    assert!(guest.xml().contains("install."), "{}", guest.xml());
    assert_eq!(fs::read(&iso).expect("readable"), vec![7_u8; 65536]);

    guest.start();
    guest.call(|domain| domain.managed_save(0).map(drop)).expect("saved");
    let plan = lab.plan(&request("clean", "t2", "  force: true\n")).plan;
    assert_eq!(blocks(&plan), ["NotPossible clean"]);
    assert!(plan.blocked[0].text.contains("managed save"), "{:?}", plan.blocked);
}
