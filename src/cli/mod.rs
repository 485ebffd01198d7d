//! The command line tool: parses, runs one verb, prints, and turns what happened into an exit code.

mod apply;
mod args;
mod clock;
mod completions;
mod connections;
mod error;
mod exit;
mod interrupt;
mod logging;
mod man;
mod manifests;
mod output;
mod plan;
mod plan_file;
mod planned_hosts;
mod progress;
mod reading;
mod schema;
pub mod sources;
mod status;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

pub use exit::Exit;

use args::{Cli, Global, Verb};
use output::Output;

/// What every verb is given.
struct Context {
    global: Global,
    output: Output,
}

/// Runs the command line. Nothing but parsing happens before it is understood: `--help` starts no runtime and touches
/// no libvirt.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is a usage error; a reader that went away is none.
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    let context = Context { output: Output::new(cli.global.color), global: cli.global };
    logging::start(&context.global, context.output);
    let result = match &cli.verb {
        Verb::Validate(args) => validate::run(args, &context),
        Verb::Plan(args) => plan::run(args, &context),
        Verb::Apply(args) => apply::run(args, &context),
        Verb::Status(args) => status::run(args, &context),
        Verb::Schema(args) => schema::run(args, &context),
        Verb::Completions(args) => completions::run(args, &context),
        Verb::Man(args) => man::run(args, &context),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            context.output.error(&error);
            error.exit.into()
        }
    }
}
