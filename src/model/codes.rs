//! The codes of a plan, by which programs tell why something is done, stays or is blocked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The reasons of actions and of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ReasonCode {
    /// Declared and never made.
    Declared,
    /// Made once, gone, and `recreate: true`.
    Recreate,
    /// `adopt: true` and not ours yet.
    Adopt,
    /// Missing, and restored from its `definition`.
    Definition,
    /// A declared field differs.
    FieldsDiffer,
    /// Another parent is declared.
    ParentDiffers,
    /// Another current snapshot is declared.
    CurrentDiffers,
    /// `state: absent`.
    Absent,
    /// Older than its `deleteAfter`.
    Expired,
    /// Ours, and no longer declared by its set.
    Orphaned,
    /// On hold.
    Held,
    /// Protected.
    Protected,
    /// Declared as the current snapshot.
    Current,
    /// The current pointer is not where the disks are; a proven repair.
    Repair,
    /// libvirt cannot delete it while other snapshots stand as they do.
    Tree,
    /// A slot of a series is due.
    Scheduled,
    /// The captures of this pass move the pointer away from the declared current snapshot.
    CurrentMoved,
    /// Retention: deleted, no rule keeping it; or kept, by some rule.
    Retention,
    /// Its series is declared with `state: absent`.
    Drained,
    /// It may be deleted, or reverted to, only in a window of a SafetyPolicy, and none is open.
    Window,
    /// A person's order: a `snapshot` verb that names it.
    Ordered,
    /// A RevertRequest with a token asks for it, or a person's `snapshot revert`.
    RevertRequested,
    /// A slot of a RevertRequest's schedule is due.
    RevertScheduled,
    /// The state before a revert; or kept, or deleted, as `guard.keep` of its request says.
    Guard,
    /// A RevertRequest may yet revert to it.
    RevertTarget,
}

impl ReasonCode {
    /// Whether a deletion for this reason comes by a rule, and counts for the breaker; else its snapshot is named.
    pub fn is_by_age(self) -> bool {
        matches!(self, Self::Expired | Self::Retention | Self::Drained | Self::Guard)
    }
}

/// Why something is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BlockCode {
    /// A snapshot of that name exists and belongs to nobody, to another set, or is claimed by two.
    Conflict,
    /// Made once and gone; or only to be adopted and not there.
    Missing,
    /// The domain has snapshots of ours and no ledger.
    LedgerLost,
    /// The declared field cannot be changed on an existing snapshot.
    Immutable,
    /// Internal and external snapshots would meet in one domain, or do.
    MixedKinds,
    /// libvirt or QEMU cannot do it on this domain.
    NotPossible,
    /// No host has a domain of that name or UUID.
    NoSuchDomain,
    /// The domain is not in the run state that `when` asks for.
    WrongState,
    /// The declared parent cannot be set.
    ParentDiffers,
    /// The pointer cannot be moved.
    CurrentUnsafe,
    /// The snapshots' metadata and the real image chains do not fit each other; libvirt would destroy data.
    ChainInconsistent,
    /// An image chain cannot be read from here.
    ChainUnknown,
    /// Another domain uses a file that would be removed or overwritten, or may.
    SharedBase,
    /// libvirt cannot delete it while other snapshots stand as they do.
    TreeHolds,
    /// The backing chain would have more images than the SafetyPolicy allows.
    ChainLimit,
    /// The filesystem of the images has less free space than the SafetyPolicy asks for.
    NoSpace,
    /// Protected.
    Protected,
    /// On hold.
    Held,
    /// More deletions than the SafetyPolicy allows.
    TooManyDeletes,
    /// A snapshot lies further in the future than the SafetyPolicy takes for a sane clock.
    Clock,
    /// The last snapshot of a domain, which the SafetyPolicy does not allow to have none.
    LastSnapshot,
    /// The windows of the SafetyPolicies never meet.
    WindowClosed,
    /// A revert was begun, and whether it was done is not known.
    OutcomeUnknown,
    /// A RevertRequest still needs the snapshot.
    RevertPending,
}
