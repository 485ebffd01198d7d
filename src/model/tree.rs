//! A domain's snapshot tree: parents, children, and the current pointer.

use std::collections::BTreeMap;

use super::names::SnapshotName;
use super::snapshot::ObservedSnapshot;

/// The snapshots of one domain.
#[derive(Debug, Clone, Default)]
pub struct SnapshotTree {
    snapshots: BTreeMap<SnapshotName, ObservedSnapshot>,
    /// The children of each snapshot, and the roots under none, oldest first. Worked out once: walking a tree of 10,000
    /// snapshots asks for them 10,000 times.
    children: BTreeMap<Option<SnapshotName>, Vec<SnapshotName>>,
    current: Option<SnapshotName>,
}

impl SnapshotTree {
    /// Puts together what was listed.
    pub fn new(snapshots: impl IntoIterator<Item = ObservedSnapshot>, current: Option<SnapshotName>) -> Self {
        let snapshots: BTreeMap<_, _> = snapshots.into_iter().map(|s| (s.name.clone(), s)).collect();
        let mut by_age: Vec<&ObservedSnapshot> = snapshots.values().collect();
        by_age.sort_by_key(|snapshot| snapshot.created);
        let mut children: BTreeMap<Option<SnapshotName>, Vec<SnapshotName>> = BTreeMap::new();
        for snapshot in by_age {
            let parent = snapshot.parent.clone().filter(|parent| snapshots.contains_key(parent));
            children.entry(parent).or_default().push(snapshot.name.clone());
        }
        Self { snapshots, children, current }
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
        let names = self.children.get(&parent.cloned());
        names.into_iter().flatten().filter_map(|name| self.snapshots.get(name)).collect()
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
