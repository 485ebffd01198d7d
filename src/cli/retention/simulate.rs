//! `snapward retention simulate`: what a policy would do to a list of snapshots.

use clap::Args;

use super::input::{EngineName, Input};
use crate::cli::Context;
use crate::cli::args::{Format, exit_codes};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::model::kinds::Clock;
use crate::report::{json, text};
use crate::retention;

/// Show what a policy would keep of a list of snapshots, and why.
///
/// The list is taken for one series, each snapshot complete and created at its time.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward retention simulate --policy gfs.yaml --list snapshots.json\n",
    "  snapward retention simulate --policy gfs.yaml --list - --at 2027-01-01 -o json < snapshots.json\n",
    "  snapward retention simulate --policy gfs.yaml --list snapshots.json --engine restic\n",
    "\n",
    exit_codes!(list)
))]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    input: Input,

    /// Who decides.
    #[arg(long, value_name = "ENGINE", default_value = "snapward")]
    engine: EngineName,

    /// The form of the result.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: &SimulateArgs, context: &Context) -> Result<Exit, CliError> {
    let given = args.input.read(context)?;
    let max_future = Clock::default().max_future;
    let moment = retention::Context { now: given.now, max_future: &max_future };
    let simulation = retention::simulate(args.engine.into(), &given.list, &given.name, &given.policy.spec, &moment)
        .map_err(|error| CliError::manifest(error.to_string()))?;
    let rendered = match args.output {
        Format::Text => text::simulation(&simulation, context.output.data),
        Format::Json => json::pretty(&simulation)?,
    };
    context.output.data(&rendered)?;
    Ok(Exit::Done)
}
