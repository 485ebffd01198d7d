//! Log lines on stderr: warnings always, more with `-v`.

use tracing::level_filters::LevelFilter;

use super::args::{Global, LogFormat};
use super::output::Output;
use crate::report::Palette;

/// Starts logging for the rest of the process.
pub(super) fn start(global: &Global, output: Output) {
    let level = match (global.verbose, global.log_format) {
        // In JSON, progress is made of events too.
        (0, LogFormat::Text) => LevelFilter::WARN,
        (0 | 1, _) => LevelFilter::INFO,
        (2, _) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(output.notes == Palette::Colour)
        .with_writer(std::io::stderr);
    // An error means that a logger runs already, as in a test that calls `run` twice.
    let started = match global.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(started);
}
