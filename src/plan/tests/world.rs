//! A domain in which plans are carried out, as far as the planner can see: captures hang under the current snapshot and
//! become it, deletions hand the children on. With a clock of its own, and an end after any number of actions.

use super::*;
use crate::model::plan::Action;

pub(super) struct World {
    pub(super) desired: DesiredState,
    pub(super) domain: ObservedDomain,
    pub(super) now: i64,
    /// Every snapshot that was ever captured, in order.
    pub(super) captured: Vec<String>,
    pub(super) deleted: Vec<String>,
}

impl World {
    pub(super) fn new(spec: &str, domain: ObservedDomain) -> Self {
        Self { desired: desired(vec![set(spec)]), domain, now: NOW, captured: Vec::new(), deleted: Vec::new() }
    }

    pub(super) fn plan(&self) -> Plan {
        plan_at(&self.desired, &observed(vec![self.domain.clone()]), self.now)
    }

    /// One run, ended after so many actions.
    pub(super) fn run_killed_after(&mut self, most: usize) -> Plan {
        let plan = self.plan();
        for action in plan.actions.iter().take(most) {
            self.carry_out(action);
        }
        plan
    }

    pub(super) fn run(&mut self) -> Plan {
        self.run_killed_after(usize::MAX)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.domain.tree.iter().map(|snapshot| snapshot.name.to_string()).collect()
    }

    fn carry_out(&mut self, action: &Action) {
        let name = action.address.snapshot.clone().expect("a snapshot");
        let mut snapshots: BTreeMap<SnapshotName, ObservedSnapshot> =
            self.domain.tree.iter().map(|snapshot| (snapshot.name.clone(), snapshot.clone())).collect();
        let mut current = self.domain.tree.current().cloned();
        let after = action.after.clone().unwrap_or_default();
        let lines = after.stamp.unwrap_or_default().join("\n");
        match action.action {
            ActionKind::Create => {
                let made = ObservedSnapshot {
                    parent: current.clone(),
                    created: self.now,
                    description: Description::parse(&lines),
                    ..foreign(name.as_str())
                };
                assert!(snapshots.insert(name.clone(), made).is_none(), "{name} is there already");
                self.captured.push(name.to_string());
                current = Some(name);
            }
            ActionKind::Delete => {
                let gone = snapshots.remove(&name).expect("it is there");
                for child in snapshots.values_mut().filter(|child| child.parent.as_ref() == Some(&name)) {
                    child.parent.clone_from(&gone.parent);
                }
                if current.as_ref() == Some(&name) {
                    current = gone.parent;
                }
                self.deleted.push(name.to_string());
            }
            ActionKind::Redefine => {
                let snapshot = snapshots.get_mut(&name).expect("it is there");
                snapshot.description = Description::parse(&lines);
            }
            ActionKind::SetCurrent => current = Some(name),
            ActionKind::Revert => unreachable!("nothing here reverts"),
        }
        self.domain.tree = SnapshotTree::new(snapshots.into_values(), current);
        self.domain.ledger.get_or_insert_with(|| Ledger::empty(self.domain.uuid));
    }
}
