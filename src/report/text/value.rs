//! Values as text: quoted texts, changes of a field, captures, spans of time.

use jiff::Timestamp;

use crate::model::kinds::{Capture, CaptureDisk, Content, Location};
use crate::model::text::printable;

/// How much of a user's text is shown, in characters: a line's worth. The whole of it is in the JSON form.
const SHOWN: usize = 70;

/// How much of what two texts have in common is shown before the place where they start to differ.
const CONTEXT: usize = 12;

/// A user's text in quotes, printable, cut to a line.
pub(super) fn quoted(text: &str) -> String {
    window(text, 0)
}

fn window(text: &str, start: usize) -> String {
    let mut shown: String = text.chars().skip(start).take(SHOWN).collect();
    shown = printable(&shown).replace('"', "\\\"");
    let before = if start > 0 { "…" } else { "" };
    let after = if text.chars().count() > start + SHOWN { "…" } else { "" };
    format!("\"{before}{shown}{after}\"")
}

/// A field's change in one line, or in two where it is long. Long texts are cut so that the difference is seen.
pub(super) fn change(field: &str, before: Option<&str>, after: Option<&str>) -> Vec<String> {
    let longest = before.into_iter().chain(after).map(|text| text.chars().count()).max().unwrap_or(0);
    let common = match (before, after) {
        (Some(before), Some(after)) => before.chars().zip(after.chars()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    };
    let start = if longest > SHOWN { common.saturating_sub(CONTEXT) } else { 0 };
    let show = |text: Option<&str>| text.map_or_else(|| "(none)".to_owned(), |text| window(text, start));
    let (before, after) = (show(before), show(after));
    if before.chars().count() + after.chars().count() <= SHOWN {
        return vec![format!("{field}: {before} -> {after}")];
    }
    let arrow = format!("{:>width$}", "-> ", width = field.chars().count() + 2);
    vec![format!("{field}: {before}"), format!("{arrow}{after}")]
}

/// What a capture holds and where, as `full, internal`.
pub(super) fn capture(capture: &Capture) -> String {
    let content = match capture.content {
        Content::Full => "full",
        Content::Disks => "disks",
        Content::Memory => "memory",
    };
    let location = match capture.location {
        Location::Internal => "internal",
        Location::External => "external",
    };
    format!("{content}, {location}")
}

/// The files that an external capture makes, one to a line.
pub(super) fn capture_files(capture: &Capture) -> Vec<String> {
    let overlay = |disk: &CaptureDisk| Some(format!("{}: {}", printable(&disk.target), printable(disk.file.as_ref()?)));
    let memory = capture.memory.iter().map(|memory| format!("memory: {}", printable(&memory.file)));
    capture.disks.iter().filter_map(overlay).chain(memory).collect()
}

/// How long ago an instant was, in its largest whole unit, as `3 h ago`. Another text than an instant is shown as it is.
pub(super) fn age(created: &str, now: Timestamp) -> String {
    let Ok(created) = created.parse::<Timestamp>() else { return printable(created) };
    let seconds = now.as_second() - created.as_second();
    // A host's clock may be a little ahead of ours.
    if seconds < 0 {
        return "in the future".to_owned();
    }
    let (number, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3_600 => (seconds / 60, "min"),
        3_600..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{number} {unit} ago")
}

/// A duration as `340 ms` or `1.2 s`.
pub fn millis(millis: u64) -> String {
    if millis < 1_000 { format!("{millis} ms") } else { format!("{}.{} s", millis / 1_000, millis % 1_000 / 100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_where_the_texts_differ() {
        assert_eq!(change("parent", None, Some("base")), ["parent: (none) -> \"base\""]);
        assert_eq!(change("description", Some("a\nb"), Some("a \"b\"")), [r#"description: "a\nb" -> "a \"b\"""#]);
        let long = "x".repeat(90);
        assert_eq!(
            change("description", Some(&format!("{long} old")), Some(&format!("{long} new"))),
            [r#"description: "…xxxxxxxxxxx old" -> "…xxxxxxxxxxx new""#],
        );
        let other = "y".repeat(90);
        assert_eq!(
            change("description", Some(&long), Some(&other)),
            [format!("description: \"{}…\"", "x".repeat(70)), format!("          -> \"{}…\"", "y".repeat(70)),],
        );
    }

    #[test]
    fn ages_use_the_largest_whole_unit() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().expect("valid");
        for (created, text) in [
            ("2026-11-23T11:59:18Z", "42 s ago"),
            ("2026-11-23T11:00:01Z", "59 min ago"),
            ("2026-11-22T11:00:00Z", "25 h ago"),
            ("2026-11-01T12:00:00Z", "22 d ago"),
            ("2026-11-23T12:00:01Z", "in the future"),
            ("never", "never"),
        ] {
            assert_eq!(age(created, now), text);
        }
    }
}
