//! Pure rendering of plan, outcome and status: text for a terminal, markdown for a pull request, JSON for programs.
//!
//! Nothing here prints, reads the clock or looks at a terminal; the caller says whether colour is wanted.

pub mod json;
pub mod markdown;
#[cfg(test)]
pub(crate) mod samples;
pub mod style;
pub mod svg;
pub mod text;

pub use json::schemas;
pub use style::Palette;
