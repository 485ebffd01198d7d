//! A domain's snapshot tree: parents, children, and the current pointer.

use std::collections::BTreeMap;

use super::names::SnapshotName;
use super::snapshot::ObservedSnapshot;

/// The snapshots of one domain.
#[derive(Debug, Clone, Default)]
pub struct SnapshotTree {
    snapshots: BTreeMap<SnapshotName, ObservedSnapshot>,
    current: Option<SnapshotName>,
}

impl SnapshotTree {
    /// Puts together what was listed.
    pub fn new(snapshots: impl IntoIterator<Item = ObservedSnapshot>, current: Option<SnapshotName>) -> Self {
        Self { snapshots: snapshots.into_iter().map(|s| (s.name.clone(), s)).collect(), current }
    }

    /// The snapshot of that name.
    pub fn get(&self, name: &SnapshotName) -> Option<&ObservedSnapshot> {
        self.snapshots.get(name)
    }

    /// All snapshots, by name.
    pub fn iter(&self) -> impl Iterator<Item = &ObservedSnapshot> {
        self.snapshots.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.snapshots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty()
    }

    /// The current snapshot's name.
    pub fn current(&self) -> Option<&SnapshotName> {
        self.current.as_ref()
    }

    /// The children of a snapshot, or the roots, oldest first. A snapshot whose parent is not listed is a root too.
    pub fn children(&self, parent: Option<&SnapshotName>) -> Vec<&ObservedSnapshot> {
        let mut children: Vec<_> = self
            .snapshots
            .values()
            .filter(|s| s.parent.as_ref().filter(|p| self.snapshots.contains_key(*p)) == parent)
            .collect();
        children.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        children
    }

    /// Whether `name` is `ancestor` or hangs below it. Ends also on a tree with a cycle.
    pub fn is_within(&self, name: &SnapshotName, ancestor: &SnapshotName) -> bool {
        let mut at = Some(name);
        for _ in 0..=self.snapshots.len() {
            match at {
                Some(here) if here == ancestor => return true,
                Some(here) => at = self.get(here).and_then(|s| s.parent.as_ref()),
                None => return false,
            }
        }
        false
    }

    /// The names of the external snapshots.
    pub fn external(&self) -> impl Iterator<Item = &SnapshotName> {
        self.snapshots.values().filter(|s| s.is_external()).map(|s| &s.name)
    }
}
