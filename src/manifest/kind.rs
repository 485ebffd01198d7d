//! The kinds of document by name.

use std::fmt;

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The snapshots some domains shall have.
    SnapshotSet,
    /// Keys that several series share.
    SeriesTemplate,
    /// Which snapshots of a series are kept.
    RetentionPolicy,
    /// Limits on what one run may do.
    SafetyPolicy,
    /// One revert of some domains.
    RevertRequest,
    /// The hosts of runs that reach several.
    Inventory,
}

/// All kinds, in the order of the documentation.
pub const KINDS: [Kind; 6] = [
    Kind::SnapshotSet,
    Kind::SeriesTemplate,
    Kind::RetentionPolicy,
    Kind::SafetyPolicy,
    Kind::RevertRequest,
    Kind::Inventory,
];

impl Kind {
    /// The value of `kind:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SnapshotSet => "SnapshotSet",
            Self::SeriesTemplate => "SeriesTemplate",
            Self::RetentionPolicy => "RetentionPolicy",
            Self::SafetyPolicy => "SafetyPolicy",
            Self::RevertRequest => "RevertRequest",
            Self::Inventory => "Inventory",
        }
    }

    /// The kind of that exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
