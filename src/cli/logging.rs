//! Log lines on stderr or in the journal: warnings always, more with `-v`, and in the agent, whose log is all there is to see.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::args::{Global, LogFormat};
use super::output::Output;
use crate::report::Palette;

/// Starts logging for the rest of the process. `talkative` is for a run that tells how it goes in its log alone.
pub(super) fn start(global: &Global, talkative: bool, output: Output) {
    let level = match (global.verbose, global.log_format) {
        // In JSON, progress is made of events too.
        (0, LogFormat::Text) if !talkative => LevelFilter::WARN,
        (0, _) => LevelFilter::INFO,
        (1, _) if !talkative => LevelFilter::INFO,
        (1 | 2, _) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // A watched directory that is removed is no news to whoever reads it again.
    let filter = Targets::new().with_default(level).with_target("notify", level.min(LevelFilter::ERROR));
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(output.notes == Palette::Colour)
        .with_writer(std::io::stderr);
    // An error means that a logger runs already, as in a test that calls `run` twice.
    let started = match global.log_format {
        LogFormat::Text => builder.finish().with(filter).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().with(filter).try_init(),
        LogFormat::Journald => match tracing_journald::layer() {
            Ok(journal) => tracing_subscriber::registry().with(journal).with(filter).try_init(),
            Err(error) => {
                output.note(&format!("warning: no journal to log to ({error}); logging to standard error\n"));
                builder.finish().with(filter).try_init()
            }
        },
    };
    drop(started);
}
