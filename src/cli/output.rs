//! The only printing: data to stdout, everything else to stderr. A reader that went away is no error.

use std::io::{ErrorKind, IsTerminal as _, Write};

use anstream::{AutoStream, ColorChoice};

use super::args::ColorWhen;
use super::error::CliError;
use crate::model::text::printable;
use crate::report::Palette;
use crate::report::style::Role;

/// Where a run prints, and in which colours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// For stdout.
    pub(super) data: Palette,
    /// For stderr.
    pub(super) notes: Palette,
}

impl Output {
    /// Colours as asked; `auto` follows the terminal, `NO_COLOR`, `CLICOLOR_FORCE` and `TERM`.
    pub(super) fn new(when: ColorWhen) -> Self {
        let palette = |detected: ColorChoice| match when {
            ColorWhen::Always => Palette::Colour,
            ColorWhen::Never => Palette::Plain,
            ColorWhen::Auto if detected == ColorChoice::Never => Palette::Plain,
            ColorWhen::Auto => Palette::Colour,
        };
        Self {
            data: palette(AutoStream::choice(&std::io::stdout())),
            notes: palette(AutoStream::choice(&std::io::stderr())),
        }
    }

    /// Prints what was asked for.
    ///
    /// # Errors
    /// When stdout cannot take it, as a file on a full disk.
    pub(super) fn data(self, text: &str) -> Result<(), CliError> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(CliError::failed(format!("could not write to standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Prints a text of libvirt's byte by byte for a program; on a terminal with what that could act on made visible,
    /// which XML can hold (C1 controls, overrides of the writing direction).
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(super) fn verbatim(self, text: &str) -> Result<(), CliError> {
        if !std::io::stdout().is_terminal() {
            return self.data(text);
        }
        let shown: String = text.lines().map(|line| printable(line) + "\n").collect();
        self.data(&shown)
    }

    /// Tells a person something; one line or several, ended with a line feed.
    pub(super) fn note(self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        // Nobody is left to tell when stderr is gone.
        drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
    }

    /// Says why the run ends, and what to do.
    pub(super) fn error(self, error: &CliError) {
        let mut text = format!("{} {}\n", self.notes.paint(Role::Delete, "error:"), lines(&error.text));
        for hint in &error.hints {
            text.push_str(&format!("{} {}\n", self.notes.paint(Role::WayOut, "hint:"), lines(hint)));
        }
        self.note(&text);
    }
}

/// The text with its line feeds, and nothing else a terminal could act on.
fn lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n  ")
}
