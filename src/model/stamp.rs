//! The stamp: our ownership lines in the last paragraph of a snapshot's description, in the form of Git trailers.
//!
//! libvirt keeps nothing else per snapshot that survives a redefine and a revert. The lines name the snapshot they
//! belong to, so that a copy (a clone or a rename by another tool) does not make that snapshot ours.

use jiff::Timestamp;

use super::kinds::{DateOrInstant, Hold};
use super::names::{SetId, SnapshotName};
use super::revert::RevertNote;
use super::series::{slot_name, slot_of_name};
use super::shared::Shared;
use super::text::fold_newlines;

/// What every trailer key of ours starts with.
pub const TRAILER_PREFIX: &str = "Snapward-";

/// The consistency level a capture reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ConsistencyReached {
    /// Memory and devices were captured with the disks.
    Memory,
    /// The guest's filesystems were frozen.
    Filesystem,
    /// The disks alone, while the guest ran: as after a power cut.
    Crash,
    /// The domain was shut off.
    Offline,
}

impl ConsistencyReached {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Memory, "memory"),
        (Self::Filesystem, "filesystem"),
        (Self::Crash, "crash"),
        (Self::Offline, "offline"),
    ];

    /// The word written in the stamp.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Filesystem => "filesystem",
            Self::Crash => "crash",
            Self::Offline => "offline",
        }
    }
}

/// A hold written on the snapshot: retention and `state: absent` leave it alone until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampHold {
    /// Why, in the user's words; one line without `;`.
    pub reason: String,
    /// Until when, in the user's form (a date or an instant); none is for good.
    pub until: Option<String>,
}

impl StampHold {
    fn parse(value: &str) -> Self {
        match value.rsplit_once("; ") {
            Some((reason, until)) => Self { reason: reason.to_owned(), until: Some(until.to_owned()) },
            None => Self { reason: value.to_owned(), until: None },
        }
    }

    /// Whether it is not over at `now`. An end that cannot be read has not come.
    pub fn lasts(&self, now: Timestamp) -> bool {
        let end = self.until.as_deref().and_then(|until| DateOrInstant::parse(until).ok());
        end.is_none_or(|end| end.timestamp() > now)
    }
}

impl From<&Hold> for StampHold {
    fn from(hold: &Hold) -> Self {
        Self { reason: hold.reason.clone(), until: hold.until.as_ref().map(|until| until.as_str().to_owned()) }
    }
}

impl std::fmt::Display for StampHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.until {
            Some(until) => write!(f, "{}; {until}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// The ownership lines of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The set that owns the snapshot: of most of a domain's snapshots the same.
    pub set: Shared<SetId>,
    /// The snapshot the lines were written for.
    pub snapshot: SnapshotName,
    /// The series of the set it belongs to, where it was not declared by its name.
    pub series: Option<String>,
    /// The slot of the series' schedule it was captured for, or the time in its name where it was adopted.
    pub slot: Option<Timestamp>,
    /// The consistency level its capture reached, where it was ours.
    pub consistency: Option<ConsistencyReached>,
    /// Never deleted by snapward while this is set.
    pub protect: bool,
    /// The hold that a manifest declares; it goes with the manifest's line.
    pub hold: Option<StampHold>,
    /// The hold that a person set by hand; it stays until a person lifts it, or it ends.
    pub hold_by_hand: Option<StampHold>,
    /// Lines with our prefix that this version does not know, or whose value it does not, as they stand. Kept, so that
    /// an older snapward does not destroy what a newer one wrote.
    pub other: Vec<(String, String)>,
}

impl Stamp {
    /// A stamp with nothing but the ownership.
    pub fn new(set: SetId, snapshot: SnapshotName) -> Self {
        Self {
            set: set.into(),
            snapshot,
            series: None,
            slot: None,
            consistency: None,
            protect: false,
            hold: None,
            hold_by_hand: None,
            other: Vec::new(),
        }
    }

    /// Its holds, over or not.
    pub fn holds(&self) -> impl Iterator<Item = &StampHold> {
        self.hold.iter().chain(&self.hold_by_hand)
    }

    /// The trailer lines.
    pub fn lines(&self) -> Vec<String> {
        let line = |key: &str, value: &str| format!("{TRAILER_PREFIX}{key}: {value}");
        let mut lines = vec![line("Set", &self.set.to_string()), line("Snapshot", self.snapshot.as_str())];
        if let Some(series) = &self.series {
            lines.push(line("Series", series));
        }
        if let Some(slot) = self.slot {
            lines.push(line("Slot", &slot_name(slot)));
        }
        if let Some(level) = self.consistency {
            lines.push(line("Consistency", level.as_str()));
        }
        if self.protect {
            lines.push(line("Protect", "true"));
        }
        if let Some(hold) = &self.hold {
            lines.push(line("Hold", &hold.to_string()));
        }
        if let Some(hold) = &self.hold_by_hand {
            lines.push(line("Hold-By-Hand", &hold.to_string()));
        }
        lines.extend(self.other.iter().map(|(key, value)| line(key, value)));
        lines
    }
}

/// A snapshot's description, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The user's text, line ends folded.
    pub human: String,
    /// Our lines, wherever they point.
    pub stamp: Option<Stamp>,
    /// The reverts to it that a request asked for; also on a snapshot that is nobody's.
    pub reverts: Vec<RevertNote>,
}

impl Description {
    /// Takes a description apart. Text whose last paragraph is not made of our trailers alone, or whose trailers name
    /// neither a set and a snapshot nor reverts alone, has no stamp and is the user's as a whole.
    pub fn parse(text: &str) -> Self {
        let text = fold_newlines(text);
        let (human, last) = match text.rfind("\n\n") {
            Some(at) => (&text[..at], &text[at + 2..]),
            None => ("", text.as_str()),
        };
        match parse_trailers(last) {
            Some((stamp, reverts)) => Self { human: human.to_owned(), stamp, reverts },
            None => Self { human: text, ..Self::default() },
        }
    }

    /// The description as libvirt shall store it: the inverse of [`Self::parse`].
    pub fn render(&self) -> String {
        join(&self.human, &self.lines())
    }

    /// All trailer lines: the stamp's and the notes of reverts.
    pub fn lines(&self) -> Vec<String> {
        let stamp = self.stamp.as_ref().map(Stamp::lines).unwrap_or_default();
        let reverts = self.reverts.iter().map(|note| format!("{TRAILER_PREFIX}Revert: {note}"));
        stamp.into_iter().chain(reverts).collect()
    }
}

/// Puts a human text and trailer lines together as one description.
pub fn join(human: &str, lines: &[String]) -> String {
    let trailers = lines.join("\n");
    match (human.is_empty(), trailers.is_empty()) {
        (true, _) => trailers,
        (false, true) => human.to_owned(),
        (false, false) => format!("{human}\n\n{trailers}"),
    }
}

/// Whether a line of a description could be read as one of our trailers; such lines are refused in manifests.
pub fn looks_like_trailer(line: &str) -> bool {
    line.get(..TRAILER_PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(TRAILER_PREFIX))
}

fn parse_trailers(paragraph: &str) -> Option<(Option<Stamp>, Vec<RevertNote>)> {
    let (mut set, mut snapshot) = (None, None);
    let (mut series, mut slot) = (None, None);
    let (mut consistency, mut protect, mut hold, mut hold_by_hand, mut other) = (None, false, None, None, Vec::new());
    let mut reverts = Vec::new();
    for line in paragraph.lines() {
        let (key, value) = line.strip_prefix(TRAILER_PREFIX)?.split_once(": ")?;
        match key {
            "Set" => set = Some(Shared::from(value.parse::<SetId>().ok()?)),
            "Snapshot" => snapshot = Some(SnapshotName::observed(value)),
            "Series" => series = Some(value.to_owned()),
            "Slot" => match slot_of_name(value) {
                Some(instant) => slot = Some(instant),
                None => other.push((key.to_owned(), value.to_owned())),
            },
            "Consistency" => match ConsistencyReached::ALL.iter().find(|(_, word)| *word == value) {
                Some((level, _)) => consistency = Some(*level),
                None => other.push((key.to_owned(), value.to_owned())),
            },
            // Whoever wrote something else than `true` here did not mean that it may be deleted.
            "Protect" => protect = value != "false",
            "Hold" => {
                hold = Some(StampHold::parse(value));
            }
            "Hold-By-Hand" => hold_by_hand = Some(StampHold::parse(value)),
            "Revert" => match RevertNote::parse(value) {
                Some(note) => reverts.push(note),
                None => other.push((key.to_owned(), value.to_owned())),
            },
            _ => other.push((key.to_owned(), value.to_owned())),
        }
    }
    let bare = !protect && other.is_empty() && series.is_none() && slot.is_none() && consistency.is_none();
    match (set, snapshot) {
        (Some(set), Some(snapshot)) => {
            let stamp = Stamp { set, snapshot, series, slot, consistency, protect, hold, hold_by_hand, other };
            Some((Some(stamp), reverts))
        }
        (None, None) if bare && hold.is_none() && hold_by_hand.is_none() && !reverts.is_empty() => {
            Some((None, reverts))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp(name: &str) -> Stamp {
        Stamp::new("default/web".parse().expect("valid"), SnapshotName::observed(name))
    }

    #[test]
    fn a_stamp_reads_as_git_trailers() {
        let description = Description {
            human: "Clean install".into(),
            stamp: Some(Stamp {
                consistency: Some(ConsistencyReached::Memory),
                protect: true,
                hold: Some(StampHold { reason: "audit; 2026".into(), until: Some("2027-01-01".into()) }),
                ..stamp("golden")
            }),
            reverts: Vec::new(),
        };
        assert_eq!(
            description.render(),
            "Clean install\n\nSnapward-Set: default/web\nSnapward-Snapshot: golden\nSnapward-Consistency: memory\n\
             Snapward-Protect: true\nSnapward-Hold: audit; 2026; 2027-01-01"
        );
        assert_eq!(Description::parse(&description.render()), description);
    }

    #[test]
    fn a_folded_cr_is_not_a_difference() {
        let sent = Description { human: "a\nb".into(), stamp: Some(stamp("s")), ..Description::default() };
        assert_eq!(Description::parse(&sent.render().replace('\n', "\r\n")), sent);
    }

    #[test]
    fn look_alikes_are_the_users_text() {
        for text in
            ["Snapward-Set: default/web", "Snapward-Set: x\nSnapward-Snapshot: s", "note\n\nSnapward-Set: a/b\nmore"]
        {
            let parsed = Description::parse(text);
            assert_eq!(parsed.stamp, None, "{text}");
            assert_eq!(parsed.human, text);
        }
        assert!(looks_like_trailer("snapward-set: x"));
        assert!(!looks_like_trailer("Snapwarden: x"));
    }

    #[test]
    fn lines_of_a_newer_version_are_kept() {
        let text = "x\n\nSnapward-Set: a/b\nSnapward-Snapshot: s\nSnapward-Revert: r/t; done; 2026-11-23T04:00:00Z";
        assert_eq!(Description::parse(text).render(), text);
    }

    #[test]
    fn notes_of_reverts_stand_with_the_stamp_or_alone() {
        let notes = "Snapward-Revert: ci/reset/t1; done; 2026-11-23T04:00:00Z\nSnapward-Revert: ci/reset/t2; attempted; \
                     2026-11-23T05:00:00Z; until 2026-11-23T20:00:00Z";
        let stamped = format!("x\n\nSnapward-Set: a/b\nSnapward-Snapshot: s\n{notes}");
        for text in [stamped.clone(), format!("by hand\n\n{notes}"), notes.to_owned()] {
            let read = Description::parse(&text);
            let tokens: Vec<_> = read.reverts.iter().map(|note| (note.token.as_str(), note.done)).collect();
            assert_eq!(tokens, [("t1", true), ("t2", false)], "{text}");
            assert_eq!(read.render(), text);
            assert_eq!(read.stamp.is_some(), text == stamped);
        }
        let mixed = format!("{notes}\nSnapward-Protect: true");
        assert_eq!(Description::parse(&mixed).human, mixed, "half a stamp is the user's text");
    }

    #[test]
    fn a_series_snapshot_names_its_series_and_slot() {
        let text = "Snapward-Set: a/b\nSnapward-Snapshot: s\nSnapward-Series: hourly\nSnapward-Slot: 20261123T040000Z\n\
                    Snapward-Consistency: memory";
        let read = Description::parse(text);
        let stamp = read.stamp.clone().expect("a stamp");
        assert_eq!((stamp.series.as_deref(), stamp.slot), (Some("hourly"), "2026-11-23T04:00:00Z".parse().ok()));
        assert_eq!(read.render(), text);
        let odd = text.replace("20261123T040000Z", "the-day-after");
        let read = Description::parse(&odd);
        assert_eq!(read.stamp.clone().expect("a stamp").slot, None);
        assert_eq!(Description::parse(&read.render()), read, "an unknown form of a slot is kept");
    }

    #[test]
    fn values_of_a_newer_version_are_kept_and_protect_in_doubt() {
        let text = "x\n\nSnapward-Set: a/b\nSnapward-Snapshot: s\nSnapward-Consistency: application";
        assert_eq!(Description::parse(text).render(), text);
        let protect = |value: &str| {
            let text = format!("Snapward-Set: a/b\nSnapward-Snapshot: s\nSnapward-Protect: {value}");
            Description::parse(&text).stamp.expect("a stamp").protect
        };
        assert!(protect("true") && protect("yes") && protect("until-2030"));
        assert!(!protect("false"));
    }

    proptest! {
        #[test]
        fn every_human_text_survives(human in "[ -~\n\t\u{e9}\u{1F600}]{0,80}") {
            let description = Description { human, stamp: Some(stamp("s")), ..Description::default() };
            prop_assert_eq!(Description::parse(&description.render()), description);
        }
    }
}
