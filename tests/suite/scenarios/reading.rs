//! What reading costs, what it may see, and what one broken domain does to the rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use snapward::cli::Exit;
use snapward::host::{Counting, Deadline, Deadlines, ErrorClass, Host, Operation};
use snapward::libvirt::Access;
use snapward::model::plan::{Plan, PlanSource};
use snapward::observe::{self, Connection};
use snapward::plan;

use crate::support::cmd::snapward;
use crate::support::embed::EmbedRoot;
use crate::support::faulty::{Fault, Faulty};
use crate::support::lab::{Lab, actions, manifest, set, snapshot};

/// Far more than a call takes here, far less than the hanging one.
const SHORT: Deadlines = Deadlines { read: Duration::from_secs(3), write: ENDLESS, delete: ENDLESS, agent: ENDLESS };

/// Longer than any test.
const ENDLESS: Duration = Duration::from_secs(60);

fn planned(root: &EmbedRoot, host: Arc<dyn Host>, yaml: &str) -> Plan {
    let connection = Connection {
        label: root.uri(),
        inventory_name: Some("lab".to_owned()),
        labels: BTreeMap::new(),
        uri: root.uri(),
        host,
    };
    let desired = Lab::load(yaml);
    let observed = observe::observe(&[connection], &desired);
    assert!(observed.unreachable.is_empty(), "{:?}", observed.unreachable);
    #[expect(clippy::disallowed_methods, reason = "a test stands where the command line reads the clock")]
    let now = jiff::Timestamp::now();
    plan::plan(&desired, &observed, now, PlanSource::default())
}

#[test]
fn reading_costs_four_calls_and_three_per_domain_and_one_per_snapshot() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let reader = root.connect(Access::ReadOnly);
    let names = ["off-bare", "off-two", "on-bare", "on-one"];
    let guests = names.map(|name| root.guest(name).define());
    guests[1].snapshot("x", "");
    guests[1].snapshot("y", "");
    guests[3].snapshot("x", "");
    guests[2].start();
    guests[3].start();
    let declared = set("all", &format!("  domains: {{include: [\"o*\"]}}\n  snapshots:\n{}", snapshot("a", &[])));
    let count = |yaml: &str| {
        let counting = Arc::new(Counting::new(Arc::clone(&reader)));
        planned(&root, Arc::clone(&counting) as Arc<dyn Host>, yaml);
        counting.calls_by_method()
    };

    // Before anything is captured the stored definition of the two running ones is read too; the two without snapshots
    // are not asked for a current one.
    let four = [("capabilities", 1), ("domains", 1), ("hostname", 1), ("libvirt_version", 1)];
    let calls = |more: [(&'static str, u64); 4]| BTreeMap::from_iter(four.into_iter().chain(more));
    assert_eq!(count(&declared), calls([("current", 2), ("definition", 4 + 2), ("snapshot", 3), ("snapshots", 4)]));
    lab.apply(&declared);
    let (domains, snapshots) = (4, 3 + 4);
    let settled = count(&declared);
    assert_eq!(settled, calls([("current", 4), ("definition", 4), ("snapshot", snapshots), ("snapshots", 4)]));
    assert_eq!(settled.values().sum::<u64>(), 4 + 3 * domains + snapshots);
    // Domains that no set selects cost nothing.
    let one = set("one", &format!("  domains: {{include: [on-one]}}\n  snapshots:\n{}", snapshot("a", &[])));
    assert_eq!(count(&one).values().sum::<u64>(), 4 + 3 + 2);
}

#[test]
fn the_plan_tells_what_it_cost() {
    let root = EmbedRoot::new();
    for name in ["one", "two", "three"] {
        root.guest(name).define();
    }
    let declared = set(
        "all",
        &format!("  domains: {{include: [\"*\"]}}\n  snapshots:\n{}{}", snapshot("a", &[]), snapshot("b", &[])),
    );
    let file = root.file("all.yaml", &declared);
    let uri = root.uri();
    let calls = || {
        let plan = snapward(["-c", &uri, "plan", "-o", "json", &file]).run().exits(0).json();
        plan["stats"]["libvirtCalls"].as_u64().expect("a number")
    };
    assert_eq!(calls(), 4 + 2 * 3, "without snapshots nobody is asked for a current one");
    snapward(["-c", &uri, "apply", "--yes", &file]).run().exits(0);
    let told = calls();
    assert_eq!(told, 4 + 3 * 3 + 6);
    let counting = Arc::new(Counting::new(root.connect(Access::ReadOnly)));
    planned(&root, Arc::clone(&counting) as Arc<dyn Host>, &declared);
    assert_eq!(told, counting.calls());
}

#[test]
fn domains_that_fail_or_hang_do_not_hide_the_others() {
    let root = EmbedRoot::new();
    let reader = root.connect(Access::ReadOnly);
    let names = ["bad", "fine-1", "fine-2", "hung"];
    for name in names {
        root.guest(name).define();
    }
    let declared = set("all", &format!("  domains: {{include: [\"*\"]}}\n  snapshots:\n{}", snapshot("a", &[])));
    let (faulty, hung) = Faulty::new(reader, |_, operation| match operation {
        Operation::Definition(domain) if domain.name == "bad" => Some(Fault::Fails(ErrorClass::Transient)),
        Operation::Definition(domain) if domain.name == "hung" => Some(Fault::Hangs),
        _ => None,
    });
    let plan = planned(&root, Arc::new(Deadline::new(faulty, SHORT)), &declared);
    drop(hung);
    assert_eq!(actions(&plan), ["create a", "create a"]);
    let read: Vec<_> = plan.domains.iter().map(|domain| domain.domain.as_str()).collect();
    assert_eq!(read, ["fine-1", "fine-2"]);
    let unreadable: Vec<_> = plan.unreadable.iter().map(|u| (u.domain.as_deref(), u.error.as_str())).collect();
    assert_eq!((unreadable[0].0, unreadable[1].0), (Some("bad"), Some("hung")));
    assert!(unreadable[0].1.contains("the test wanted it so"), "{unreadable:?}");
    assert!(unreadable[1].1.contains("no answer within 3 s"), "{unreadable:?}");
    assert!(plan.blocked.is_empty(), "a domain that cannot be read is not one that does not exist: {:?}", plan.blocked);
    for detailed in [false, true] {
        assert_eq!(Exit::of_plan(&plan, detailed), Exit::Partly);
    }
}

#[test]
fn a_named_domain_that_cannot_be_read_is_not_said_to_be_missing() {
    let root = EmbedRoot::new();
    let reader = root.connect(Access::ReadOnly);
    root.guest("vm").define();
    let unread = |operation: Operation<'_>| {
        matches!(operation, Operation::Definition(_)).then_some(Fault::Fails(ErrorClass::Transient))
    };
    let (faulty, _) = Faulty::new(reader, move |_, operation| unread(operation));
    let plan = planned(&root, faulty, &manifest(&format!("  snapshots:\n{}", snapshot("a", &[]))));
    assert!(plan.blocked.is_empty() && plan.actions.is_empty() && plan.unreadable.len() == 1, "{plan:#?}");
}

#[test]
fn a_secret_is_in_nothing_that_is_printed() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").vnc_password("s3cret").define();
    let declared = |text: &str| {
        let snapshots = snapshot("a", &[text]) + &snapshot("b", &[]);
        root.file("web.yaml", &manifest(&format!("  snapshots:\n{snapshots}  current: a")))
    };
    let uri = root.uri();
    let file = declared("description: first");
    let silent = |args: &[&str]| {
        let ran = snapward([&["-c", uri.as_str(), "-vvv"], args].concat()).run();
        assert!(!ran.to_string().contains("s3cret"), "{args:?}\n{ran}");
        ran
    };
    silent(&["apply", "--yes", &file]).exits(0);
    assert!(guest.snapshot_xml("a").contains("s3cret"), "the secret is there to be told");
    declared("description: second");
    for output in ["text", "json", "markdown"] {
        silent(&["plan", "-o", output, &file]).exits(0);
    }
    for output in ["text", "json"] {
        silent(&["status", "-o", output, &file]).exits(3);
    }
    let ran = silent(&["--log-format", "json", "apply", "--yes", "-o", "json", &file]).exits(0);
    assert_eq!(ran.json()["summary"]["done"], 1, "{ran}");
    assert!(guest.snapshot_xml("a").contains("second"));
    assert!(guest.snapshot_xml("a").contains("s3cret"), "and is still there after the redefine");
    // Also where it went wrong: the error names the snapshot and not its XML.
    guest.delete_snapshot("b");
    silent(&["apply", "--yes", &file]).exits(3);
}
