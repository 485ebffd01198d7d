//! Text that must survive a trip through libvirt's XML: which characters are allowed, and how line ends come back.

/// Whether XML 1.0 allows the character (XML 1.0, production 2, `Char`). libvirt refuses the others with error 35, and
/// the `virt` crate panics on NUL, so text is checked before any call.
pub fn is_xml_char(c: char) -> bool {
    matches!(c, '\u{9}' | '\u{A}' | '\u{D}' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

/// The first character that XML 1.0 does not allow, if there is one.
pub fn first_forbidden(text: &str) -> Option<char> {
    text.chars().find(|&c| !is_xml_char(c))
}

/// Folds CR LF and CR to LF, as every XML parser does (XML 1.0, section 2.11). libvirt keeps a CR only until its driver
/// re-reads the snapshot's file, so both sides of a comparison are folded, and what we send never holds one.
pub fn fold_newlines(text: &str) -> String {
    if !text.contains('\r') {
        return text.to_owned();
    }
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The text with everything a terminal could act on made visible: control characters as `\u{1b}`, line feeds and tabs
/// as `\n` and `\t`, and the bidirectional overrides that could reorder a line. Names and descriptions come from other
/// people.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}') =>
            {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

/// How alike two words must be for one to be suggested for the other, from 0 to 1. Jaro-Winkler favours a common
/// beginning, as typing errors leave one: at 0.8 `captuer` finds `capture` and `mode` does not find `memory`.
const ALIKE: f64 = 0.8;

/// More candidates than this are names out of a hostile file, or too many for anyone to have misspelt one.
const CANDIDATES: usize = 500;

/// The candidate that a misspelt word most likely means, if any is near.
pub fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .take(CANDIDATES)
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Lower case hexadecimal digits of the bytes.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An instant of libvirt's, UTC epoch seconds, as RFC 3339; the bare number where it is beyond a timestamp.
pub fn instant(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |instant| instant.to_string())
}

/// `1 domain`, `2 domains`.
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// How many things a message lists before it counts the rest; more would hide the sentence around them.
const LISTED: usize = 3;

/// `a, b, c and 2 more`.
pub fn some<T: std::fmt::Display>(things: &[T]) -> String {
    let listed: Vec<_> = things.iter().take(LISTED).map(T::to_string).collect();
    match things.len().saturating_sub(LISTED) {
        0 => listed.join(", "),
        more => format!("{} and {more} more", listed.join(", ")),
    }
}

/// A size as people read it, in binary units: `512 B`, `1.5 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    // Tenths are all that is shown: no size that fits an u64 loses one of them here.
    let mut size = n as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_characters_follow_production_2() {
        assert_eq!(first_forbidden("plain \u{1F600} ]]> \t\n\r"), None);
        for bad in ['\0', '\u{B}', '\u{C}', '\u{1B}', '\u{FFFE}', '\u{FFFF}'] {
            assert_eq!(first_forbidden(&format!("a{bad}b")), Some(bad));
        }
    }

    #[test]
    fn suggestions_are_near_words_only() {
        let fields = ["name", "description", "capture", "when", "create", "memory"];
        assert_eq!(suggestion("captuer", fields), Some("capture"));
        assert_eq!(suggestion("Name", fields), Some("name"));
        assert_eq!(suggestion("mode", fields), None);
        assert_eq!(suggestion("xyz", fields), None);
    }

    #[test]
    fn of_many_things_some_are_listed() {
        assert_eq!(some(&["a", "b", "c"]), "a, b, c");
        assert_eq!(some(&[1, 2, 3, 4, 5]), "1, 2, 3 and 2 more");
    }

    #[test]
    fn sizes_are_in_binary_units() {
        assert_eq!(
            [0, 1023, 1024, 1536 * 1024, 5 << 40].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 TiB"]
        );
    }

    #[test]
    fn newlines_fold_as_an_xml_parser_folds_them() {
        assert_eq!(fold_newlines("a\r\nb\rc\n\r\nd"), "a\nb\nc\n\nd");
    }

    #[test]
    fn printable_defuses_terminal_escapes_and_bidi() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{202E}"), "a\\u{1b}[31m\\nb\\u{202e}");
    }
}
