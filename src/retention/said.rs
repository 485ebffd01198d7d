//! Why snapshots are kept, in words that many domains share: those of one schedule mostly have the same slots.

use std::cell::RefCell;

use super::reason::Reason;
use crate::model::shared::SharedText;

/// What was said of the series of one domain, for the next that has the same series. To put the reasons of each snapshot into
/// words again took a third of the planning.
#[derive(Debug, Default)]
pub struct Said(
    /// The newest first; behind those of this domain may be others.
    RefCell<Vec<(Vec<Reason>, SharedText)>>,
);

impl Said {
    /// The words for the snapshot that has so many newer ones beside it.
    pub fn words(&self, newer: usize, reasons: Vec<Reason>, put: impl FnOnce(&[Reason]) -> String) -> SharedText {
        if reasons.iter().any(Reason::is_about_candidates) {
            return put(&reasons).into();
        }
        let mut said = self.0.borrow_mut();
        if said.len() <= newer {
            said.resize(newer + 1, Default::default());
        }
        let (before, words) = &mut said[newer];
        if *before != reasons {
            *words = put(&reasons).into();
            *before = reasons;
        }
        words.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_said_again_of_the_same_reasons_alone() {
        let said = Said::default();
        let say = |newer, reason, words: &str| said.words(newer, vec![reason], |_| words.to_owned()).to_string();
        assert_eq!(say(2, Reason::Newest, "a"), "a");
        assert_eq!(say(2, Reason::Newest, "b"), "a");
        assert_eq!(say(0, Reason::Newest, "c"), "c");
        assert_eq!(say(2, Reason::MinimumCount(1), "d"), "d");
        assert_eq!(say(2, Reason::MinimumCount(2), "e"), "e");
        // Who holds it is not among the reasons.
        assert_eq!(say(1, Reason::Held, "f"), "f");
        assert_eq!(say(1, Reason::Held, "g"), "g");
    }
}
