//! A domain's snapshot tree: parents, children, and the current pointer.

use super::names::SnapshotName;
use super::snapshot::ObservedSnapshot;

/// The snapshots of one domain.
#[derive(Debug, Clone, Default)]
pub struct SnapshotTree {
    /// By name.
    snapshots: Vec<ObservedSnapshot>,
    /// Where each has its parent; see [`Place`].
    parents: Vec<Place>,
    /// All places, ordered by the parent's and by age: the children of one, oldest first, are neighbours. Worked out once:
    /// walking a tree of 10,000 snapshots asks for them 10,000 times.
    by_parent: Vec<u32>,
    current: Option<SnapshotName>,
    /// Worked out once: every plan asks.
    has_external: bool,
}

/// A place in the list of snapshots. As a parent's, `None` is before all others: a root.
type Place = Option<u32>;

impl SnapshotTree {
    /// Puts together what was listed. Of two of one name the last counts; libvirt lists none.
    pub fn new(snapshots: impl IntoIterator<Item = ObservedSnapshot>, current: Option<SnapshotName>) -> Self {
        let mut snapshots: Vec<_> = snapshots.into_iter().collect();
        snapshots.sort_by(|a, b| a.name.cmp(&b.name));
        snapshots.dedup_by(|later, earlier| {
            let same = later.name == earlier.name;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        let place = |name: &SnapshotName| snapshots.binary_search_by(|snapshot| snapshot.name.cmp(name)).ok();
        // More than u32 holds never fit into memory.
        let parents: Vec<Place> =
            snapshots.iter().map(|snapshot| snapshot.parent.as_ref().and_then(place).map(|at| at as u32)).collect();
        let mut by_parent: Vec<u32> = (0..snapshots.len() as u32).collect();
        by_parent.sort_by_key(|&at| (parents[at as usize], snapshots[at as usize].created));
        let has_external = snapshots.iter().any(ObservedSnapshot::is_external);
        let mut tree = Self { snapshots, parents, by_parent, current, has_external };
        tree.share();
        tree
    }

    /// Holds once what several snapshots have in common.
    fn share(&mut self) {
        for at in 0..self.snapshots.len() {
            if let Some(parent) = self.parents[at] {
                let name = self.snapshots[parent as usize].name.clone();
                self.snapshots[at].parent = Some(name);
            }
            let (before, from) = self.snapshots.split_at_mut(at);
            let Some(snapshot) = from.first_mut() else { return };
            let before = before.last();
            if let Some(stamp) = &mut snapshot.description.stamp {
                if stamp.snapshot == snapshot.name {
                    stamp.snapshot = snapshot.name.clone();
                }
                if let Some(before) = before.and_then(|before| before.description.stamp.as_ref()) {
                    stamp.set.unite(&before.set);
                }
            }
            let Some(before) = before else { continue };
            snapshot.disks.unite(&before.disks);
            if let (Some(definition), Some(before)) = (&mut snapshot.definition, &before.definition) {
                definition.unite(before);
            }
        }
    }

    fn place(&self, name: &SnapshotName) -> Option<usize> {
        self.snapshots.binary_search_by(|snapshot| snapshot.name.cmp(name)).ok()
    }

    /// The snapshot of that name.
    pub fn get(&self, name: &SnapshotName) -> Option<&ObservedSnapshot> {
        self.place(name).map(|at| &self.snapshots[at])
    }

    /// All snapshots, by name.
    pub fn iter(&self) -> impl Iterator<Item = &ObservedSnapshot> {
        self.snapshots.iter()
    }

    /// Forgets the ledgers embedded in the snapshots, once they are merged: each holds all that was made before it.
    pub fn forget_ledgers(&mut self) {
        self.snapshots.iter_mut().for_each(|snapshot| snapshot.ledger = None);
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

    /// The first snapshot, by name, whose parent is not listed.
    pub fn orphan(&self) -> Option<&ObservedSnapshot> {
        let all = self.snapshots.iter().zip(&self.parents);
        all.filter(|(snapshot, place)| place.is_none() && snapshot.parent.is_some())
            .map(|(snapshot, _)| snapshot)
            .next()
    }

    /// The children of a snapshot, or the roots, oldest first. A snapshot whose parent is not listed is a root too.
    pub fn children(&self, parent: Option<&SnapshotName>) -> Vec<&ObservedSnapshot> {
        let of: Place = match parent {
            None => None,
            Some(name) => match self.place(name) {
                Some(at) => Some(at as u32),
                None => return Vec::new(),
            },
        };
        let parent_of = |at: &u32| self.parents[*at as usize];
        let first = self.by_parent.partition_point(|at| parent_of(at) < of);
        let children = self.by_parent[first..].iter().take_while(|at| parent_of(at) == of);
        children.map(|at| &self.snapshots[*at as usize]).collect()
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

    /// Whether any of them is external: libvirt then believes its records of files, and each step is proven.
    pub fn has_external(&self) -> bool {
        self.has_external
    }

    /// The names of the external snapshots.
    pub fn external(&self) -> impl Iterator<Item = &SnapshotName> {
        self.snapshots.iter().filter(|s| s.is_external()).map(|s| &s.name)
    }
}
