//! What of that which shall go libvirt can delete now.

use std::collections::BTreeSet;

use super::capture::deletion_obstacle;
use crate::model::names::SnapshotName;
use crate::model::observed::{HostInfo, ObservedDomain};

/// Of the snapshots that retention wants gone, those that cannot go now, each with what holds it.
///
/// In a tree of internal snapshots any may go, in any order: its children move to its parent and keep their content
/// (`qemuSnapshotDelete`), unless a disk it holds state of is unplugged.
pub(super) fn deletable(
    host: &HostInfo,
    domain: &ObservedDomain,
    wanted: &BTreeSet<SnapshotName>,
) -> Vec<(SnapshotName, String)> {
    let held = |name: &SnapshotName| {
        let obstacle = deletion_obstacle(host, domain, domain.tree.get(name)?)?;
        Some((name.clone(), obstacle.text))
    };
    wanted.iter().filter_map(held).collect()
}
