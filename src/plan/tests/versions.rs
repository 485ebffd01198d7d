//! What the version of a host's libvirt lets a plan do, and what the plan says of it.

use super::*;
use ActionKind::{Create, Delete};
use BlockCode as B;
use ReasonCode as R;

/// A plan on a host with that version of libvirt.
fn on(version: u64, domain: ObservedDomain, spec: &str) -> Plan {
    let mut state = observed(vec![domain]);
    state.hosts[0].info.libvirt_version = version;
    plan_at(&desired(vec![set(spec)]), &state, NOW)
}

fn with_qcow2_nvram(state: RunState, domain: ObservedDomain) -> ObservedDomain {
    ObservedDomain { nvram: Nvram::Qcow2, state, ..domain }
}

#[test]
fn a_running_uefi_domain_is_captured_from_libvirt_10_9_on() {
    let plan = |version| on(version, with_qcow2_nvram(RunState::Running, domain()), &snapshots(&declared("a", "")));
    assert_eq!(actions(&plan(10_009_000)), [action(Create, "a", R::Declared)]);
    let old = plan(10_008_000);
    assert_eq!((actions(&old), blocks(&old)), (vec![], vec![block(B::NotPossible, "a")]));
    assert!(old.blocked[0].text.contains("libvirt 10.8.0") && old.blocked[0].text.contains("needs libvirt 10.9"));
}

#[test]
fn a_stopped_uefi_domain_loses_snapshots_from_libvirt_10_10_on() {
    let state = || with_qcow2_nvram(RunState::ShutOff, domain_with(vec![ours("a")], &["a"]));
    let spec = snapshots("{name: a, state: absent}");
    let plan = on(10_010_000, state(), &spec);
    assert_eq!(actions(&plan), [action(Delete, "a", R::Absent)]);
    let old = on(10_009_000, state(), &spec);
    assert_eq!((actions(&old), blocks(&old)), (vec![], vec![block(B::NotPossible, "a")]));
    assert!(old.blocked[0].text.contains("needs libvirt 10.10"), "{:?}", old.blocked);
}

#[test]
fn a_plan_says_what_its_hosts_cannot_do() {
    let hosts = |version| on(version, domain(), &snapshots(&declared("a", ""))).hosts;
    let [host] = <[_; 1]>::try_from(hosts(11_003_000)).expect("one host");
    assert_eq!(host.libvirt, "11.3.0");
    let limit = host.limits.iter().find(|limit| limit.code == "longChains").expect("a limit");
    assert_eq!(limit.needs, "needs libvirt 12.0");
    assert!(hosts(12_000_000)[0].limits.iter().all(|limit| limit.code != "longChains"));
}
