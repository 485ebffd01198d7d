//! `snapward retention compare`: what other tools would keep of the same list.

use clap::Args;

use super::input::{EngineName, Input};
use crate::cli::Context;
use crate::cli::args::{Format, exit_codes};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::model::kinds::Clock;
use crate::model::retention::Engine;
use crate::report::{json, text};
use crate::retention;

/// Show where restic, borg and PBS would keep something else under the same policy.
///
/// Fields of the policy that a tool has nothing like are left out for it, and named.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward retention compare --policy gfs.yaml --list snapshots.json\n",
    "  snapward retention compare --policy gfs.yaml --list snapshots.json --engine borg\n",
    "\n",
    exit_codes!(list)
))]
pub(super) struct CompareArgs {
    #[command(flatten)]
    input: Input,

    /// Compare snapward with these; may be given several times. Without it: with all.
    #[arg(long, value_name = "ENGINE")]
    engine: Vec<EngineName>,

    /// The form of the result.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: &CompareArgs, context: &Context) -> Result<Exit, CliError> {
    let asked = |engine: &Engine| {
        let named = args.engine.iter().any(|name| Engine::from(*name) == *engine);
        args.engine.is_empty() || *engine == Engine::Snapward || named
    };
    let engines: Vec<Engine> = Engine::ALL.into_iter().filter(asked).collect();
    let given = args.input.read(context)?;
    let max_future = Clock::default().max_future;
    let moment = retention::Context { now: given.now, max_future: &max_future };
    let comparison = retention::compare(&engines, &given.list, &given.name, &given.policy.spec, &moment)
        .map_err(|error| CliError::manifest(error.to_string()))?;
    let rendered = match args.output {
        Format::Text => text::comparison(&comparison, context.output.data),
        Format::Json => json::pretty(&comparison)?,
    };
    context.output.data(&rendered)?;
    Ok(Exit::Done)
}
