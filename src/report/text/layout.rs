//! Lines, sections and wrapping.

use crate::model::text::printable;
use crate::report::style::{Palette, Role};

/// Where text is wrapped, in characters. A fixed width, so that the same plan is the same text on a terminal, in a CI
/// log and in a test; 100 fits half of a wide screen and most logs.
const WIDTH: usize = 100;

/// A report in the making.
pub(super) struct Page {
    out: String,
    pub(super) palette: Palette,
}

impl Page {
    pub(super) fn new(palette: Palette) -> Self {
        Self { out: String::new(), palette }
    }

    /// Sets off what follows by one empty line, except at the top.
    pub(super) fn section(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    /// One line as it is; the caller made its parts printable.
    pub(super) fn line(&mut self, indent: usize, text: &str) {
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// A line in the look of a role.
    pub(super) fn painted(&mut self, indent: usize, role: Role, text: &str) {
        let text = self.palette.paint(role, text);
        self.line(indent, &text);
    }

    /// A text of any length and origin: made printable, its white space folded, wrapped. The first line starts with
    /// `lead`, the others stand below the text after it.
    pub(super) fn wrapped(&mut self, indent: usize, lead: &str, role: Option<Role>, text: &str) {
        let hang = indent + lead.chars().count();
        let mut lead = lead;
        for row in rows(text, WIDTH.saturating_sub(hang)) {
            let row = format!("{lead}{row}");
            let indent = if lead.is_empty() { hang } else { indent };
            match role {
                Some(role) => self.painted(indent, role, &row),
                None => self.line(indent, &row),
            }
            lead = "";
        }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

/// The rows of a wrapped text; at least one. A word longer than the width stays whole, so that a path can be copied.
fn rows(text: &str, width: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let mut row = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let word = printable(word);
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            rows.push(std::mem::take(&mut row));
            used = 0;
        }
        if used > 0 {
            row.push(' ');
            used += 1;
        }
        row.push_str(&word);
        used += length;
    }
    rows.push(row);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_wraps_below_its_lead_and_is_defused() {
        let mut page = Page::new(Palette::Plain);
        page.wrapped(2, "=> ", None, &format!("{} \u{1b}[2J end\nof it", "word ".repeat(20)));
        assert_eq!(page.finish(), format!("  => {}word\n     word \\u{{1b}}[2J end of it\n", "word ".repeat(18)),);
        assert_eq!(rows("", 10), [""]);
        assert_eq!(rows("a/very/long/path b", 4), ["a/very/long/path", "b"]);
    }
}
