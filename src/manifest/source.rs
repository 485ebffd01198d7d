//! One manifest text with its name, and the way from byte offsets to lines and columns.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// A manifest as it was read: nothing is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file as it was named on the command line or found below a directory; `-` for standard input.
    pub name: Arc<str>,
    /// The raw bytes.
    pub text: Vec<u8>,
}

/// The text of a source without a byte order mark, with an index of its lines. All ranges of diagnostics are byte
/// ranges of this text.
#[derive(Debug)]
pub(super) struct Text<'a> {
    pub(super) name: &'a Arc<str>,
    pub(super) text: Cow<'a, str>,
    line_starts: Vec<usize>,
}

impl<'a> Text<'a> {
    /// The text, with replacement characters where it is not UTF-8. Up to the first such place all offsets agree with
    /// the raw bytes.
    pub(super) fn of(source: &'a Source) -> Self {
        let bytes = source.text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(&source.text);
        let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
        // YAML ends a line with LF, CR LF or a lone CR (YAML 1.2, production 28).
        let raw = text.as_bytes();
        let ends_line = |i: &usize| raw[*i] == b'\n' || raw.get(*i + 1) != Some(&b'\n');
        // Searched for, and not looked for byte by byte: mostly there is no CR, and the LF are found many bytes at a time.
        let ends: Vec<usize> = match text.contains('\r') {
            false => text.match_indices('\n').map(|(i, _)| i).collect(),
            true => text.match_indices(['\n', '\r']).map(|(i, _)| i).filter(ends_line).collect(),
        };
        let line_starts = std::iter::once(0).chain(ends.into_iter().map(|i| i + 1)).collect();
        Self { name: &source.name, text, line_starts }
    }

    /// The 1-based line of a byte offset.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset).max(1)
    }

    /// The 1-based line and column (in characters) of a byte offset.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |text| text.chars().count()) + 1;
        (line, column)
    }

    /// The byte range of a 1-based line, without its line end.
    pub(super) fn line_range(&self, line: usize) -> Range<usize> {
        let start = self.line_starts.get(line - 1).copied().unwrap_or(self.text.len());
        let end = self.line_starts.get(line).copied().unwrap_or(self.text.len());
        let trimmed = self.text.get(start..end).map_or(0, |text| text.trim_end_matches(['\r', '\n']).len());
        start..start + trimmed
    }

    /// The range cut to the line it starts in, moved to character boundaries: what is underlined.
    pub(super) fn within_line(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.boundary(range.start.min(self.text.len()));
        let end = self.line_range(self.line(start)).end.max(start);
        let end = self.boundary(range.end.clamp(start, end));
        let kept = self.text.get(start..end).map_or(0, |text| text.trim_end().len());
        start..start + kept
    }

    fn boundary(&self, offset: usize) -> usize {
        (0..=offset).rev().find(|&i| self.text.is_char_boundary(i)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let source = Source { name: "f".into(), text: "\u{FEFF}a: é b\r\nc: d\re".into() };
        let text = Text::of(&source);
        assert_eq!(text.position(0), (1, 1));
        assert_eq!(text.position("a: é b".len() - 1), (1, 6));
        assert_eq!(text.position("a: é b\r\nc".len() - 1), (2, 1));
        assert_eq!(text.position("a: é b\r\nc: d\r".len()), (3, 1));
        assert_eq!(text.line_range(1), 0.."a: é b".len());
        assert_eq!(text.within_line(&(3..100)), 3.."a: é b".len());
        assert_eq!(text.within_line(&(100..100)), text.text.len()..text.text.len());
    }
}
