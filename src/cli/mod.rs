//! The command line tool: parses, runs one verb, prints, and turns what happened into an exit code.

mod agent;
mod agent_client;
mod agent_source;
mod apply;
mod args;
mod clock;
mod completions;
mod connections;
mod error;
mod exit;
mod export;
mod interrupt;
mod linked;
mod logging;
mod man;
mod manifests;
mod output;
mod plan;
mod plan_file;
mod planned_hosts;
mod progress;
mod reading;
mod retention;
mod schema;
mod snapshot;
pub mod sources;
mod status;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

pub use exit::Exit;

use args::{Cli, Global, Verb};
use error::CliError;
use output::Output;

/// What every verb is given.
struct Context {
    global: Global,
    output: Output,
}

/// How the verbs that reach a host are carried out.
type OnHosts = fn(&Verb, &Context, &[OsString]) -> Result<Exit, CliError>;

/// Runs the command line of `snapward`. It hands the verbs that reach a host to `snapward-libvirt`: loading libvirt and the
/// some sixty libraries it needs takes several times as long as everything else that `--help` or `validate` do.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    start(&args.into_iter().collect::<Vec<_>>(), linked::hand_over)
}

/// Runs the command line of `snapward-libvirt`, which can do everything itself.
pub fn run_linked(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    start(&args.into_iter().collect::<Vec<_>>(), |verb, context, _| match verb {
        Verb::Plan(args) => plan::run(args, context),
        Verb::Apply(args) => apply::run(args, context),
        Verb::Status(args) => status::run(args, context),
        Verb::Agent(args) => agent::run(args, context),
        Verb::Retention(args) => retention::explain(args, context),
        Verb::Snapshot(args) => snapshot::run(args, context),
        Verb::Export(args) => export::run(args, context),
        Verb::Detach(args) => export::detach(args, context),
        _ => Err(CliError::usage("this verb needs no libvirt; run snapward")),
    })
}

/// Nothing but parsing happens before the command line is understood.
fn start(args: &[OsString], on_hosts: OnHosts) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is a usage error; a reader that went away is none.
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    let context = Context { output: Output::new(cli.global.color), global: cli.global };
    logging::start(&context.global, matches!(cli.verb, Verb::Agent(_)), context.output);
    let result = match &cli.verb {
        Verb::Status(args) if args.agent.is_some() => status::of_agent(args, &context),
        verb @ (Verb::Plan(_)
        | Verb::Apply(_)
        | Verb::Status(_)
        | Verb::Agent(_)
        | Verb::Snapshot(_)
        | Verb::Export(_)
        | Verb::Detach(_)) => on_hosts(verb, &context, args),
        Verb::Validate(args) => validate::run(args, &context),
        verb @ Verb::Retention(given) if given.reaches_hosts() => on_hosts(verb, &context, args),
        Verb::Retention(args) => retention::run(args, &context),
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
