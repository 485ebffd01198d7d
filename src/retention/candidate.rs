//! What retention is told about a snapshot, and about the moment it decides in.

use jiff::Timestamp;

use crate::model::kinds::TimeSpan;
use crate::model::names::SnapshotName;

/// One snapshot of a series (or of any list that is decided on together).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, unique in the list.
    pub name: SnapshotName,
    /// The instant that puts it into its hour, day, week: the slot; adopted: the time read from its name.
    pub slot: Timestamp,
    /// libvirt's creationTime; ages are counted from it.
    pub created: Timestamp,
    /// Whether it is readable, reached the consistency that was asked for, and its chain is proven.
    pub complete: bool,
    /// Why the policy has no say in it, where it has none.
    pub set_aside: Option<SetAside>,
    /// Whether it is the domain's current snapshot.
    pub current: bool,
}

/// Why a snapshot is kept whatever the policy says. It counts for no rule and covers no bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetAside {
    /// Somebody holds it, for this reason.
    Held(String),
    /// `protect: true`.
    Protected,
}

/// The moment of the decision.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The time now.
    pub now: Timestamp,
    /// How far ahead of now a time may lie before its clock counts as wrong (`clock.maxFuture` of the SafetyPolicy).
    pub max_future: &'a TimeSpan,
}
