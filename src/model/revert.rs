//! Reverts: the note that a request leaves on its target and in the ledger, and what a plan says of one.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kinds::Power;
use super::names::SetId;
use super::observed::RunState;

/// The series that the snapshots taken before a request's reverts are stamped with. No manifest can name one so: a series'
/// name holds no `/`.
pub const GUARD_SERIES: &str = "revert/guard";

/// How far a revert for a request came. On the target as `Snapward-Revert: namespace/name/token; done; time; until time`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevertNote {
    /// The request.
    pub request: SetId,
    /// Its token, or the slot of its schedule.
    pub token: String,
    /// Whether the revert was seen to have been done. If not, it was about to begin when this was written.
    pub done: bool,
    /// When this was written.
    pub time: Timestamp,
    /// When the request is void; from then on the note serves nobody.
    pub until: Option<Timestamp>,
}

impl RevertNote {
    /// Whether it is about the same revert.
    pub fn is_of(&self, request: &SetId, token: &str) -> bool {
        self.request == *request && self.token == token
    }

    /// Reads a note back; none for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split("; ");
        let (revert, state, time, until) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        let (namespace, rest) = revert.split_once('/')?;
        let (name, token) = rest.split_once('/')?;
        let done = match state {
            "done" => true,
            "attempted" => false,
            _ => return None,
        };
        let until = match until {
            Some(until) => Some(until.strip_prefix("until ")?.parse().ok()?),
            None => None,
        };
        let request = format!("{namespace}/{name}").parse().ok()?;
        let note = Self { request, token: token.to_owned(), done, time: time.parse().ok()?, until };
        // What would be written otherwise than it stands is another's.
        (!token.is_empty() && note.to_string() == text).then_some(note)
    }
}

impl fmt::Display for RevertNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.done { "done" } else { "attempted" };
        write!(f, "{}/{}; {state}; {}", self.request, self.token, self.time)?;
        match self.until {
            Some(until) => write!(f, "; until {until}"),
            None => Ok(()),
        }
    }
}

/// Adds a note. Of two on one revert the one that says more wins: that it was done.
pub fn add_note(notes: &mut Vec<RevertNote>, note: RevertNote) {
    match notes.iter_mut().find(|known| known.is_of(&note.request, &note.token)) {
        Some(known) if known.done && !note.done => {}
        Some(known) if known.done == note.done && known.time >= note.time => {}
        Some(known) => *known = note,
        None => {
            notes.push(note);
            notes.sort();
        }
    }
}

/// The notes that still serve somebody.
pub fn living_notes(notes: &[RevertNote], now: Timestamp) -> Vec<RevertNote> {
    notes.iter().filter(|note| note.until.is_none_or(|until| until > now)).cloned().collect()
}

/// What a planned revert does, beside its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevertOrder {
    /// The request behind it; none for `snapward snapshot revert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RevertToken>,
    /// The run state that was asked for.
    pub power: Power,
    /// The run state afterwards.
    pub state: RunState,
    /// Whether libvirt is told to go on where it calls the revert risky.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Whether the firmware's variables are taken from their template anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset_nvram: bool,
    /// The image of each disk on which libvirt puts a new overlay, by disk target. CD-ROM drives get one too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub on: BTreeMap<String, String>,
}

/// One revert of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevertToken {
    /// The request, as namespace/name.
    pub request: SetId,
    /// Its token, or the slot of its schedule.
    pub token: String,
    /// After this it is void, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl RevertToken {
    /// When it is void. An instant that cannot be read is over.
    pub fn until(&self) -> Option<Timestamp> {
        self.until.as_deref().map(|until| until.parse().unwrap_or(Timestamp::MIN))
    }

    /// The note of it.
    pub fn note(&self, done: bool, time: Timestamp) -> RevertNote {
        let (request, token) = (self.request.clone(), self.token.clone());
        RevertNote { request, token, done, time, until: self.until() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn note(token: &str, done: bool, seconds: i64) -> RevertNote {
        let time = Timestamp::from_second(seconds).expect("in range");
        RevertNote { request: "ci/reset".parse().expect("valid"), token: token.into(), done, time, until: None }
    }

    #[test]
    fn a_note_is_one_line_that_reads_back() {
        let until = "2026-11-23T20:00:00Z".parse().ok();
        let text = "ci/reset/2026-11-23-reset; done; 2026-11-23T04:00:00Z; until 2026-11-23T20:00:00Z";
        let read = RevertNote::parse(text).expect("a note");
        assert_eq!(read, RevertNote { until, ..note("2026-11-23-reset", true, 1_795_406_400) });
        for other in [
            "",
            "r/t; done; 2026-11-23T04:00:00Z",
            "ci/reset/; done; 2026-11-23T04:00:00Z",
            "ci/reset/t; begun; 2026-11-23T04:00:00Z",
            "ci/reset/t; done; yesterday",
            "ci/reset/t; done; 2026-11-23T04:00:00Z; till 2026-11-23T20:00:00Z",
            "ci/reset/t; done; 2026-11-23T04:00:00Z; until 2026-11-23T20:00:00Z; more",
            "ci/reset/t;  done; 2026-11-23T04:00:00Z",
        ] {
            assert_eq!(RevertNote::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_revert_that_was_done_stays_done_whatever_is_added() {
        let mut notes = vec![note("a", true, 5)];
        add_note(&mut notes, note("a", false, 9));
        assert_eq!(notes, [note("a", true, 5)]);
        let mut notes = vec![note("a", false, 5)];
        add_note(&mut notes, note("b", false, 1));
        add_note(&mut notes, note("a", true, 4));
        assert_eq!(notes, [note("a", true, 4), note("b", false, 1)]);
    }

    #[test]
    fn a_note_lives_until_its_request_is_void() {
        let until = |seconds| RevertNote { until: Timestamp::from_second(seconds).ok(), ..note("a", false, 1) };
        let now = Timestamp::from_second(10).expect("in range");
        assert_eq!(living_notes(&[until(10), until(11), note("b", true, 1)], now).len(), 2);
    }

    proptest! {
        #[test]
        fn every_token_reads_back(token in "[ -:<-~]{1,40}", done: bool, seconds in 0i64..4_000_000_000) {
            let note = note(&token, done, seconds);
            prop_assert_eq!(RevertNote::parse(&note.to_string()), Some(note));
        }
    }
}
