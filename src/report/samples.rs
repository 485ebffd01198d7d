//! The eight plans, and one outcome and status, that the renderings are pinned on.

use std::sync::Arc;

use uuid::Uuid;

use crate::model::desired::Origin;
use crate::model::kinds::{Capture, Consistency, Content, Location};
use crate::model::listing::{AskedDomain, SnapshotInfo, SnapshotList, UnreadableSnapshot};
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::observed::RunState;
use crate::model::outcome::{ActionOutcome, ActionResult, DomainOutcome, DomainResult, Outcome, OutcomeSummary};
use crate::model::plan::{
    Action, ActionKind, Address, BlockCode, Blocked, ChainLength, Drift, FORMAT_VERSION, Kept, Plan, PlanSource,
    PlannedDomain, Reason, ReasonCode, Risk, RiskLevel, Stats, Summary, Unmanaged, Unreadable, View, Warning,
};
use crate::model::status::{Condition, ConditionKind, DomainStatus, NewestGood, Status, StatusSnapshot, StatusSummary};

/// All eight, with the name of the situation.
pub(crate) fn plans() -> Vec<(&'static str, Plan)> {
    vec![
        ("create", create()),
        ("nothing to do", nothing()),
        ("redefine with field changes", redefine()),
        ("delete with loss", delete()),
        ("blocked mix", blocked()),
        ("suspended", suspended()),
        ("unreadable host", unreadable()),
        ("terminal escapes", escapes()),
    ]
}

fn origin(line: usize) -> Origin {
    Origin { file: Arc::from("sets/web.yaml"), line }
}

fn address(domain: &str, snapshot: &str) -> Address {
    Address {
        host: "kvm-017".into(),
        domain: domain.to_owned(),
        snapshot: (!snapshot.is_empty()).then(|| SnapshotName::observed(snapshot)),
    }
}

fn domain(name: &str, state: RunState) -> PlannedDomain {
    PlannedDomain {
        host: "kvm-017".to_owned(),
        domain: name.to_owned(),
        uuid: DomainUuid(Uuid::from_u128(0x17)),
        state,
        fingerprint: "ab".repeat(32),
        sets: vec!["default/web".to_owned()],
        suspended: None,
        next_due: None,
        wake: None,
        chains: Vec::new(),
        ledger: None,
        declared: Default::default(),
        lost: std::collections::BTreeMap::new(),
        trust_unreadable_chains: false,
        window_closes: None,
    }
}

fn action(domain: &str, snapshot: &str, action: ActionKind, code: ReasonCode, why: &str, line: usize) -> Action {
    Action {
        address: address(domain, snapshot),
        action,
        reason: Reason { code, text: why.into() },
        origin: origin(line),
        before: None,
        after: None,
        risk: Risk { level: RiskLevel::Metadata, text: "libvirt's metadata only".to_owned() },
        definition: None,
    }
}

/// A plan with its counts.
fn plan(domains: Vec<PlannedDomain>, actions: Vec<Action>, blocked: Vec<Blocked>, unchanged: usize) -> Plan {
    let count = |kind| actions.iter().filter(|action| action.action == kind).count();
    let summary = Summary {
        has_changes: !actions.is_empty(),
        create: count(ActionKind::Create),
        redefine: count(ActionKind::Redefine),
        set_current: count(ActionKind::SetCurrent),
        delete: count(ActionKind::Delete),
        revert: count(ActionKind::Revert),
        blocked: blocked.len(),
        unchanged,
        unmanaged: 0,
        unreadable: 0,
    };
    Plan {
        format_version: FORMAT_VERSION,
        plan_id: "5f2c9a".to_owned(),
        created_at: "2026-11-23T12:00:00Z".to_owned(),
        good_until: None,
        source: PlanSource { paths: vec!["sets".to_owned()], at: None },
        hosts: Vec::new(),
        summary,
        domains,
        actions,
        blocked,
        kept: Vec::new(),
        unchanged,
        drift: Vec::new(),
        unmanaged: Vec::new(),
        warnings: Vec::new(),
        unreadable: Vec::new(),
        stats: Stats::default(),
        held_back: Vec::new(),
    }
}

fn full() -> Capture {
    Capture {
        content: Content::Full,
        location: Location::Internal,
        memory: None,
        disks: Vec::new(),
        consistency: Consistency::Crash,
    }
}

fn creation(domain: &str, name: &str, line: usize) -> Action {
    let mut create = action(domain, name, ActionKind::Create, ReasonCode::Declared, "declared and never made", line);
    create.after = Some(View {
        description: Some("Clean install, patched".to_owned()),
        stamp: Some(vec!["Snapward-Set: default/web".to_owned(), format!("Snapward-Snapshot: {name}")]),
        capture: Some(full()),
        ..View::default()
    });
    create.risk = Risk {
        level: RiskLevel::Pause,
        text: "the guest stands still while its memory is written into the image".to_owned(),
    };
    create
}

pub(crate) fn create() -> Plan {
    let mut pointer = action(
        "web-1",
        "golden",
        ActionKind::SetCurrent,
        ReasonCode::CurrentDiffers,
        "declared as the current snapshot",
        21,
    );
    pointer.before = Some(View { current: Some("patched".to_owned()), ..View::default() });
    pointer.after = Some(View { current: Some("golden".to_owned()), ..View::default() });
    let mut stopped = creation("web-2", "golden", 9);
    stopped.risk = Risk { level: RiskLevel::Metadata, text: String::new() };
    let mut plan = plan(
        vec![domain("web-1", RunState::Running), domain("web-2", RunState::ShutOff)],
        vec![creation("web-1", "golden", 9), creation("web-1", "patched", 14), pointer, stopped],
        Vec::new(),
        0,
    );
    plan.warnings = vec![Warning {
        text: "golden and patched of kvm-017/web-1 are captured in one pass and hold the same state".to_owned(),
        origin: origin(14),
    }];
    plan
}

pub(crate) fn nothing() -> Plan {
    let mut plan = plan(vec![domain("web-1", RunState::Running)], Vec::new(), Vec::new(), 4);
    plan.kept = vec![Kept {
        address: address("web-1", "old"),
        reason: Reason {
            code: ReasonCode::Orphaned,
            text: "made by set default/web, which no longer declares it; declare it with state: absent to delete it"
                .into(),
        },
        origin: Some(origin(1)),
    }];
    plan.unmanaged = (1..=12)
        .map(|n| Unmanaged { address: address("web-1", &format!("manual-{n}")), owner: None })
        .chain([Unmanaged { address: address("web-2", "nightly"), owner: Some("backup/db".to_owned()) }])
        .collect();
    plan.summary.unmanaged = plan.unmanaged.len();
    plan
}

pub(crate) fn redefine() -> Plan {
    let mut redefine = action(
        "web-1",
        "base",
        ActionKind::Redefine,
        ReasonCode::FieldsDiffer,
        "description, parent and protect differ",
        9,
    );
    let set = "Snapward-Set: default/web".to_owned();
    redefine.before = Some(View {
        description: Some("Installed".to_owned()),
        parent: Some("root".to_owned()),
        stamp: Some(vec![set.clone()]),
        ..View::default()
    });
    redefine.after = Some(View {
        description: Some("Installed, \"patched\"\nand signed off".to_owned()),
        parent: Some(String::new()),
        stamp: Some(vec![set, "Snapward-Protect: true".to_owned()]),
        ..View::default()
    });
    plan(vec![domain("web-1", RunState::Paused)], vec![redefine], Vec::new(), 2)
}

pub(crate) fn delete() -> Plan {
    let mut delete = action("web-1", "old", ActionKind::Delete, ReasonCode::Absent, "declared with state: absent", 17);
    delete.before = Some(View {
        description: Some("Before the upgrade".to_owned()),
        created: Some("2026-10-01T03:00:00Z".to_owned()),
        state: Some("running".to_owned()),
        ..View::default()
    });
    delete.risk = Risk {
        level: RiskLevel::Loss,
        text: "the memory and disk state captured on 2026-10-01 is gone for good".to_owned(),
    };
    plan(vec![domain("web-1", RunState::Running)], vec![delete], Vec::new(), 3)
}

pub(crate) fn blocked() -> Plan {
    let item = |domain: &str, snapshot: &str, code, text: &str, way_out: &str, lines: &[usize]| Blocked {
        address: address(domain, snapshot),
        code,
        text: text.to_owned(),
        way_out: way_out.to_owned(),
        origins: lines.iter().map(|line| origin(*line)).collect(),
    };
    plan(
        vec![domain("web-1", RunState::Running), domain("web-2", RunState::ShutOff)],
        Vec::new(),
        vec![
            item(
                "web-1",
                "golden",
                BlockCode::Missing,
                "made on 2026-11-01T10:00:00Z and gone since; a new capture would hold today's state under the old name",
                "recreate: true captures it again; state: absent forgets it",
                &[9],
            ),
            item(
                "web-1",
                "patched",
                BlockCode::Conflict,
                "a snapshot of this name exists and snapward did not make it",
                "adopt: true takes it over; or give the declared one another name",
                &[14, 31],
            ),
            item(
                "web-2",
                "",
                BlockCode::LedgerLost,
                "the domain has snapshots of set default/web and no ledger, so what was made before is not known",
                "check which declared snapshots ever existed, then declare them with adopt: true or recreate: true",
                &[1],
            ),
            item(
                "web-9",
                "",
                BlockCode::NoSuchDomain,
                "no connected host has a domain of this name",
                "correct the name, or write it as a glob if it may be absent",
                &[6],
            ),
        ],
        1,
    )
}

pub(crate) fn suspended() -> Plan {
    let mut frozen = domain("web-1", RunState::Running);
    frozen.suspended = Some("default/web: migration to new storage; until 2026-12-01".to_owned());
    let mut plan = plan(vec![frozen], Vec::new(), Vec::new(), 1);
    plan.drift = vec![Drift {
        address: address("web-1", "golden"),
        field: "description".to_owned(),
        declared: "Clean install, patched".to_owned(),
        observed: "do not touch".to_owned(),
        origin: origin(9),
    }];
    plan
}

pub(crate) fn unreadable() -> Plan {
    let mut plan = plan(vec![domain("web-1", RunState::Running)], vec![creation("web-1", "golden", 9)], Vec::new(), 0);
    plan.unreadable = vec![
        Unreadable {
            host: "kvm-018".to_owned(),
            domain: None,
            error: "could not connect to qemu+ssh://kvm-018/system: Connection refused".to_owned(),
        },
        Unreadable {
            host: "kvm-017".to_owned(),
            domain: Some("web-3".to_owned()),
            error: "could not list the snapshots of domain web-3: inconsistent list\n(libvirt error 1)".to_owned(),
        },
    ];
    plan.summary.unreadable = 2;
    plan
}

pub(crate) fn escapes() -> Plan {
    let name = "web\u{1b}[31m|`<b>@all";
    let mut hostile = creation(name, "go\u{202e}ld\u{9b}en", 9);
    hostile.reason.text = "declared by a\u{1b}]0;title\u{7} friend of @team".into();
    hostile.after = Some(View { description: Some("line\none\u{1b}[2J".to_owned()), ..View::default() });
    plan(vec![domain(name, RunState::Running)], vec![hostile], Vec::new(), 0)
}

pub(crate) fn outcome() -> Outcome {
    let act = |name: &str, action, result, text: &str, millis| ActionOutcome {
        disks: std::collections::BTreeMap::new(),
        address: address("web-1", name),
        action,
        result,
        text: text.to_owned(),
        millis,
    };
    let domain = |name: &str, result, text: &str, actions| DomainOutcome {
        host: "kvm-017".to_owned(),
        domain: name.to_owned(),
        result,
        text: text.to_owned(),
        actions,
    };
    use ActionKind::{Create, Delete, Redefine, SetCurrent};
    use ActionResult::{Done, Failed, Skipped};
    Outcome {
        format_version: FORMAT_VERSION,
        plan_id: "5f2c9a".to_owned(),
        summary: OutcomeSummary {
            done: 3,
            failed: 1,
            failed_domains: 1,
            skipped: 3,
            stale_domains: 1,
            locked_domains: 1,
            blocked: 2,
            interrupted: true,
        },
        domains: vec![
            domain(
                "web-1",
                DomainResult::Done,
                "",
                vec![
                    act("base", Redefine, Done, "", 12),
                    act("golden", Create, Done, "", 1_234),
                    act("golden", SetCurrent, Done, "", 3),
                ],
            ),
            domain(
                "web-2",
                DomainResult::Failed,
                "",
                vec![
                    act(
                        "golden",
                        Create,
                        Failed,
                        "could not capture snapshot golden of domain web-2: no space left on device (libvirt error 1). \
                         The snapshot does not exist; free space on the pool and run apply again.",
                        88,
                    ),
                    act("old", Delete, Skipped, "", 0),
                ],
            ),
            domain(
                "web-3",
                DomainResult::Stale,
                "its current snapshot was moved",
                vec![act("old", Delete, Skipped, "", 0)],
            ),
            domain("web-4", DomainResult::Locked, "", vec![act("golden", Create, Skipped, "", 0)]),
        ],
        blocked: blocked().blocked[..2].to_vec(),
        unreadable: unreadable().unreadable[..1].to_vec(),
    }
}

pub(crate) fn status() -> Status {
    let condition = |kind, status, reason: &str, message: &str| Condition {
        kind,
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    let snapshot = |name: &str, parent: Option<&str>, depth, created: &str| StatusSnapshot {
        name: SnapshotName::observed(name),
        parent: parent.map(SnapshotName::observed),
        depth: Some(depth),
        created: created.to_owned(),
        state: "running".to_owned(),
        external: false,
        current: false,
        owner: Some("default/web".to_owned()),
        protected: false,
        series: None,
        size: None,
        hold: None,
    };
    let base = StatusSnapshot { protected: true, ..snapshot("base", None, 0, "2026-11-01T12:00:00Z") };
    let golden = StatusSnapshot {
        current: true,
        hold: Some("audit; 2027-01-01".to_owned()),
        ..snapshot("golden", Some("base"), 1, "2026-11-20T12:00:00Z")
    };
    let leaf = snapshot("leaf", Some("golden"), 2, "2026-11-23T11:30:00Z");
    let manual = StatusSnapshot {
        owner: None,
        external: true,
        state: "disk-snapshot".to_owned(),
        ..snapshot("manual\u{1b}[31m", Some("base"), 1, "2026-11-22T12:00:00Z")
    };
    let other = snapshot("other", None, 0, "2026-11-23T11:59:30Z");
    Status {
        format_version: FORMAT_VERSION,
        summary: StatusSummary { domains: 2, ready: 1, all_ready: false },
        domains: vec![
            DomainStatus {
                host: "kvm-017".to_owned(),
                domain: "web-1".to_owned(),
                uuid: DomainUuid(Uuid::from_u128(0x17)),
                state: RunState::Running,
                sets: vec!["default/web".to_owned()],
                conditions: vec![condition(ConditionKind::Ready, true, "AsDeclared", "everything is as declared")],
                newest_good: Some(NewestGood {
                    name: SnapshotName::observed("leaf"),
                    created: "2026-11-23T11:30:00Z".to_owned(),
                }),
                next_due: None,
                chains: vec![ChainLength { target: "vda".to_owned(), images: 4, limit: 20 }],
                snapshots: vec![base, golden, manual, leaf, other],
                blocked: Vec::new(),
            },
            DomainStatus {
                host: "kvm-017".to_owned(),
                domain: "web-2".to_owned(),
                uuid: DomainUuid(Uuid::from_u128(0x18)),
                state: RunState::ShutOff,
                sets: vec!["default/web".to_owned(), "ci/runner".to_owned()],
                conditions: vec![
                    condition(ConditionKind::Ready, false, "Blocked", "1 item needs a person"),
                    condition(ConditionKind::Drifted, true, "FieldsDiffer", "1 declared field differs"),
                    condition(ConditionKind::Blocked, true, "Missing", "golden: Missing"),
                ],
                newest_good: None,
                next_due: None,
                chains: Vec::new(),
                snapshots: Vec::new(),
                blocked: blocked().blocked[..1].to_vec(),
            },
        ],
        blocked: blocked().blocked[3..].to_vec(),
        warnings: vec![Warning {
            text: "kvm-017/web-1: 1 overlay lies beside its images that no snapshot uses".to_owned(),
            origin: origin(4),
        }],
        unreadable: unreadable().unreadable[..1].to_vec(),
    }
}

fn asked_domain() -> AskedDomain {
    AskedDomain {
        connection: "qemu:///system".to_owned(),
        domain: "web-1".to_owned(),
        uuid: DomainUuid(Uuid::from_u128(1)),
        domain_state: RunState::Running,
    }
}

/// The snapshots of web-1, two of them with what only a closer look tells.
pub(crate) fn snapshot_list() -> SnapshotList {
    let mut snapshots = status().domains.swap_remove(0).snapshots;
    snapshots[1].size = Some(34_000_000);
    snapshots[1].series = Some("hourly".to_owned());
    let error = "could not read snapshot torn of domain web-1: libvirt's XML cannot be read".to_owned();
    SnapshotList {
        format_version: 1,
        domain: asked_domain(),
        snapshots,
        unreadable: vec![UnreadableSnapshot { name: SnapshotName::observed("torn"), error }],
    }
}

/// One of them.
pub(crate) fn snapshot_info() -> SnapshotInfo {
    SnapshotInfo {
        format_version: 1,
        domain: asked_domain(),
        snapshot: snapshot_list().snapshots.swap_remove(1),
        description: "patched".to_owned(),
        children: 1,
        descendants: 1,
        metadata: true,
    }
}
