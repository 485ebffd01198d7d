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

/// The candidate a misspelt word most likely means, if any is near.
pub(super) fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Jaro-Winkler favours a common beginning, as typing errors leave one. At 0.8 `captuer` finds `capture` and `mode`
    // does not find `memory`.
    const NEAR: f64 = 0.8;
    // More candidates are names out of a hostile file, or too many for anyone to have misspelt one.
    const MOST: usize = 500;
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .take(MOST)
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near_words_only() {
        let fields = ["name", "description", "capture", "when", "create", "memory"];
        assert_eq!(suggestion("captuer", fields), Some("capture"));
        assert_eq!(suggestion("Name", fields), Some("name"));
        assert_eq!(suggestion("mode", fields), None);
        assert_eq!(suggestion("xyz", fields), None);
    }
}
