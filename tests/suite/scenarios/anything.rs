//! Whatever other hands do, in whatever order: an apply does not fail, soon nothing is left to do, and what is not ours
//! or is protected is still there. The order is drawn from a seed, so that a failure can be seen again.

use std::collections::BTreeMap;

use rstest::rstest;
use snapward::model::ledger::LEDGER_NAMESPACE;
use snapward::model::outcome::DomainResult;
use snapward::model::plan::ActionKind;
use virt::domain::Domain;
use virt::domain_snapshot::DomainSnapshot;
use virt::sys;

use crate::support::embed::EmbedRoot;
use crate::support::guest::Guest;
use crate::support::lab::{Lab, manifest, snapshot};

/// As many as touch every kind of change in most runs, and take a few seconds.
const STEPS: usize = 12;
/// A pass that lifts protection, one that deletes, and one that finds nothing.
const PASSES: usize = 3;

/// Numbers that only look random (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }
}

/// What the repository may say on one day or another.
fn declared(dice: &mut Dice) -> String {
    let a = [
        snapshot("a", &["description: first"]),
        snapshot("a", &["description: other", "recreate: true"]),
        snapshot("a", &["protect: true"]),
        snapshot("a", &["protect: false", "adopt: true"]),
        "    - {name: a, state: absent, protect: false}\n".to_owned(),
        "    - {name: a, state: absent}\n".to_owned(),
    ];
    let b = [snapshot("b", &[]), snapshot("b", &["recreate: true"]), snapshot("b", &["adopt: true"]), String::new()];
    let end = ["", "  current: c", "  holds: [{snapshot: c, reason: audit}]", "  suspend: {reason: holidays}"];
    let (a, b, end) = (&a[dice.roll(a.len())], &b[dice.roll(b.len())], end[dice.roll(end.len())]);
    manifest(&format!("  snapshots:\n{}{a}{b}{end}", snapshot("c", &["recreate: true"])))
}

/// One change as an administrator makes it, or a mishap. What libvirt refuses did not happen.
fn other_hands(dice: &mut Dice, root: &EmbedRoot, guest: &Guest<'_>, step: usize) -> String {
    let names = guest.snapshots();
    let domain = root.hold().lookup_domain_by_name("vm").expect("there");
    let chosen = (!names.is_empty()).then(|| names[dice.roll(names.len())].clone());
    let on = |act: &dyn Fn(&DomainSnapshot) -> Result<(), virt::error::Error>| {
        let name = chosen.as_ref()?;
        let found = Domain::lookup_snapshot_by_name(&domain, name, 0).expect("listed");
        act(&found).ok()
    };
    let what = match dice.roll(12) {
        0 | 1 => {
            let taken = ["a", "b", "hand"][dice.roll(3)];
            let name = if taken == "hand" { format!("hand-{step}") } else { taken.to_owned() };
            let xml = format!("<domainsnapshot><name>{name}</name></domainsnapshot>");
            drop(domain.create_snapshot_xml(&xml, 0));
            return format!("capture {name}");
        }
        2 | 3 => on(&|snapshot| snapshot.delete(0)).map(|()| "delete"),
        4 => on(&|snapshot| snapshot.delete(sys::VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)).map(|()| "forget"),
        5 | 6 => on(&|snapshot| snapshot.revert(0)).map(|()| "revert to"),
        7 => chosen.as_ref().map(|name| {
            guest.edit_snapshot(name, false, |xml| xml.replace("first", "second"));
            "describe otherwise"
        }),
        8 => chosen.as_ref().map(|name| {
            guest.edit_snapshot(name, false, |xml| {
                xml.replace("Snapward-Set: default/lab", "Snapward-Set: default/old")
            });
            "give away"
        }),
        9 => chosen.as_ref().map(|name| {
            guest.edit_snapshot(name, true, |xml| xml);
            "point at"
        }),
        10 => {
            guest.drop_metadata(LEDGER_NAMESPACE);
            Some("drop the ledger and not")
        }
        _ if domain.is_active().expect("known") => domain.destroy().ok().map(|()| "switch off and not"),
        _ => domain.create().ok().map(|()| "start and not"),
    };
    format!("{} {}", what.unwrap_or("nothing for"), chosen.unwrap_or_default())
}

/// The snapshots that no manifest here may touch: by name, whether they are protected.
fn untouchable(guest: &Guest<'_>, yaml: &str) -> BTreeMap<String, String> {
    let lifted = yaml.contains("protect: false");
    let names = guest.snapshots().into_iter();
    let safe = names.filter_map(|name| {
        let xml = guest.snapshot_xml(&name);
        let ours = xml.contains("Snapward-Set: default/lab\n")
            && ["\n", "<"].iter().any(|end| xml.contains(&format!("Snapward-Snapshot: {name}{end}")));
        let protected = ours && xml.contains("Snapward-Protect: ") && !(name == "a" && lifted);
        let created = crate::support::guest::between(&xml, "<creationTime>", "</creationTime>").to_owned();
        (name.starts_with("hand-") || protected || !ours).then_some((name, created))
    });
    safe.collect()
}

#[rstest]
fn an_apply_converges_and_loses_nothing(#[values(1, 2, 3, 4)] seed: u64) {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let mut dice = Dice(seed);
    let mut story = Vec::new();
    for step in 0..STEPS {
        for _ in 0..=dice.roll(3) {
            story.push(other_hands(&mut dice, &root, &guest, step));
        }
        let yaml = declared(&mut dice);
        story.push(format!("apply\n{yaml}"));
        let tell = || story.join("\n");
        let before = untouchable(&guest, &yaml);
        for pass in 0..=PASSES {
            let planned = lab.plan(&yaml);
            assert!(
                planned.plan.domains.iter().all(|domain| domain.suspended.is_none()) || planned.plan.actions.is_empty()
            );
            let lost: Vec<_> = planned
                .plan
                .actions
                .iter()
                .filter(|action| action.action == ActionKind::Delete)
                .filter(|action| before.contains_key(action.address.snapshot.as_ref().expect("named").as_str()))
                .collect();
            assert!(lost.is_empty(), "to be deleted: {lost:#?}\n{}", tell());
            if planned.plan.actions.is_empty() {
                // The ledger may still be owed.
                let outcome = lab.carry_out(&planned);
                assert!(outcome.domains.iter().all(|d| d.result == DomainResult::Done), "{outcome:#?}\n{}", tell());
                assert!(lab.plan(&yaml).plan.domains.iter().all(|domain| domain.ledger.is_none()), "{}", tell());
                break;
            }
            assert!(pass < PASSES, "still to do: {:#?}\n{}", planned.plan.actions, tell());
            let outcome = lab.carry_out(&planned);
            assert!(outcome.domains.iter().all(|d| d.result == DomainResult::Done), "{outcome:#?}\n{}", tell());
        }
        for (name, created) in before {
            let kept = guest.snapshots().contains(&name)
                && guest.snapshot_xml(&name).contains(&format!("<creationTime>{created}</creationTime>"));
            assert!(kept, "{name} is not what it was\n{}", tell());
        }
    }
}
