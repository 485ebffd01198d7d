//! Which of a domain's snapshots are listed: the filters that libvirt applies itself, so that no XML is read for them.

use super::SnapshotRef;

/// A choice of snapshots. Within a pair or group as `leaves` and `no_leaves`, both together filter nothing; groups add up
/// (`virDomainSnapshotListFlags`). The default lists all.
#[derive(Debug, Clone, Default)]
pub struct SnapshotQuery {
    /// Only those below this one.
    pub below: Option<SnapshotRef>,
    /// With `below`: not its children alone but all that hang below it.
    pub descendants: bool,
    /// Only those without a parent. Not together with `below`: libvirt uses one flag for this and for `descendants`.
    pub roots: bool,
    /// Those without children.
    pub leaves: bool,
    /// Those with children.
    pub no_leaves: bool,
    /// Those that libvirt keeps metadata of: under QEMU all.
    pub metadata: bool,
    /// Those that exist without metadata of libvirt's: under QEMU none.
    pub no_metadata: bool,
    /// Those taken while the domain was off.
    pub inactive: bool,
    /// Those taken with the memory of the running domain.
    pub active: bool,
    /// Those of the disks alone, taken while the domain ran.
    pub disk_only: bool,
    /// Those inside the images.
    pub internal: bool,
    /// Those with files of their own.
    pub external: bool,
    /// Parents before children; else in no order.
    pub topological: bool,
}
