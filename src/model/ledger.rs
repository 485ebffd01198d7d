//! The ledger: which declared snapshots of a domain were already made. Kept in the domain's `<metadata>`, so that a
//! snapshot somebody deleted is reported and not silently captured again from another state.

use std::collections::BTreeMap;

use super::names::{DomainUuid, SnapshotName};
use super::revert::{RevertNote, add_note};

/// The namespace of our element in a domain's `<metadata>`.
pub const LEDGER_NAMESPACE: &str = "https://snapward.dev/ledger/v1";

/// One declared snapshot that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerEntry {
    /// libvirt's creationTime of the capture, UTC epoch seconds.
    pub created: i64,
    /// snapward itself deleted it because a manifest said `state: absent`; a later `present` may capture it anew.
    pub released: bool,
}

impl LedgerEntry {
    /// Whether it says all that another one of the same name says.
    fn covers(self, other: Self) -> bool {
        self.created > other.created || self.created == other.created && (self.released || !other.released)
    }
}

/// The declared snapshots made in one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// The domain it was written for. A clone carries the original's UUID here: not its ledger.
    pub domain: DomainUuid,
    /// By snapshot name.
    pub made: BTreeMap<SnapshotName, LedgerEntry>,
    /// The reverts that requests asked for: the snapshot that was reverted to can be deleted, and its notes with it.
    pub reverts: Vec<RevertNote>,
}

impl Ledger {
    /// A ledger in which nothing was made yet.
    pub fn empty(domain: DomainUuid) -> Self {
        Self { domain, made: BTreeMap::new(), reverts: Vec::new() }
    }

    /// Adds what another copy knows: per name the later capture wins, and a release of that capture is never forgotten.
    /// Copies differ because a revert rewinds one, and every snapshot embeds the copy of its time.
    pub fn merge(&mut self, other: &Self) {
        // Every snapshot embeds a copy of all that was made before it: mostly there is nothing new, and one walk over both,
        // which are sorted, shows it.
        let mut own = self.made.iter().peekable();
        let is_new = |(name, entry): &(&SnapshotName, &LedgerEntry)| {
            while own.next_if(|(known, _)| known < name).is_some() {}
            !own.peek().is_some_and(|(known, has)| known == name && has.covers(**entry))
        };
        let new: Vec<_> = other.made.iter().filter(is_new).map(|(name, entry)| (name.clone(), *entry)).collect();
        for (name, entry) in new {
            self.record(name, entry);
        }
        for note in &other.reverts {
            add_note(&mut self.reverts, note.clone());
        }
    }

    /// Whether noting this capture would change nothing.
    pub fn knows(&self, name: &SnapshotName, entry: LedgerEntry) -> bool {
        self.made.get(name).is_some_and(|known| known.covers(entry))
    }

    /// Notes one capture, by the rule of [`Self::merge`].
    pub fn record(&mut self, name: SnapshotName, entry: LedgerEntry) {
        let known = self.made.entry(name).or_insert(entry);
        match known.created.cmp(&entry.created) {
            std::cmp::Ordering::Less => *known = entry,
            std::cmp::Ordering::Equal => known.released |= entry.released,
            std::cmp::Ordering::Greater => {}
        }
    }

    /// The capture of that name, unless it was released.
    pub fn made(&self, name: &SnapshotName) -> Option<LedgerEntry> {
        self.made.get(name).copied().filter(|entry| !entry.released)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(entries: &[(&str, i64, bool)]) -> Ledger {
        let mut ledger = Ledger::empty(DomainUuid(uuid::Uuid::nil()));
        for &(name, created, released) in entries {
            ledger.record(SnapshotName::observed(name), LedgerEntry { created, released });
        }
        ledger
    }

    #[test]
    fn copies_merge_to_the_same_whatever_their_order() {
        let copies =
            [ledger(&[("a", 1, false)]), ledger(&[("a", 1, true), ("b", 2, false)]), ledger(&[("a", 3, false)])];
        let merged = |order: [usize; 3]| {
            let mut all = ledger(&[]);
            order.into_iter().for_each(|i| all.merge(&copies[i]));
            all
        };
        assert_eq!(merged([0, 1, 2]), merged([2, 1, 0]));
        assert_eq!(merged([0, 1, 2]), ledger(&[("a", 3, false), ("b", 2, false)]));
    }

    #[test]
    fn what_a_ledger_knows_changes_nothing_in_it() {
        for (known, noted) in [(1, 1), (1, 2), (2, 1)] {
            for (released, release) in [(false, false), (false, true), (true, false), (true, true)] {
                let before = ledger(&[("a", known, released)]);
                let mut after = before.clone();
                let (name, entry) = (SnapshotName::observed("a"), LedgerEntry { created: noted, released: release });
                after.record(name.clone(), entry);
                assert_eq!(before.knows(&name, entry), after == before, "{known} {released} {noted} {release}");
            }
        }
        assert!(!ledger(&[]).knows(&SnapshotName::observed("a"), LedgerEntry { created: 1, released: false }));
    }

    #[test]
    fn a_released_capture_is_not_made() {
        let mut copy = ledger(&[("a", 1, false)]);
        copy.merge(&ledger(&[("a", 1, true)]));
        assert_eq!(copy.made(&SnapshotName::observed("a")), None);
        copy.record(SnapshotName::observed("a"), LedgerEntry { created: 2, released: false });
        assert_eq!(copy.made(&SnapshotName::observed("a")).map(|e| e.created), Some(2));
    }
}
