//! Colours: which part of a report looks how, and whether at all.

use anstyle::{AnsiColor, Style};

/// What a piece of text is; decides its look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A domain's or section's title.
    Heading,
    /// Something that appears, or that is well.
    Create,
    /// Something that changes.
    Change,
    /// Something that goes away, or failed.
    Delete,
    /// Something that needs a person.
    Blocked,
    /// The way out of something blocked.
    WayOut,
    /// What is there for reference only.
    Quiet,
}

/// Whether reports are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    /// No escape sequence at all.
    Plain,
    /// ANSI colours.
    Colour,
}

impl Palette {
    /// The text in the look of its role.
    pub fn paint(self, role: Role, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => {
                let style = style(role);
                format!("{style}{text}{style:#}")
            }
        }
    }
}

/// The sixteen-colour palette only: it follows the user's theme, light or dark.
fn style(role: Role) -> Style {
    match role {
        Role::Heading => Style::new().bold(),
        Role::Create => AnsiColor::Green.on_default(),
        Role::Change => AnsiColor::Yellow.on_default(),
        Role::Delete => AnsiColor::Red.on_default(),
        Role::Blocked => AnsiColor::Magenta.on_default().bold(),
        Role::WayOut => AnsiColor::Cyan.on_default(),
        Role::Quiet => Style::new().dimmed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_holds_no_escape() {
        assert_eq!(Palette::Plain.paint(Role::Delete, "gone"), "gone");
        assert_eq!(Palette::Colour.paint(Role::Delete, "gone"), "\u{1b}[31mgone\u{1b}[0m");
    }
}
