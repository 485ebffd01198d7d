//! `snapward retention simulate`: what a policy would do to a list of snapshots, or what series come to in months.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::input::{EngineName, Input};
use crate::cli::args::exit_codes;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::{Context, manifests};
use crate::model::kinds::{Clock, DateOrInstant};
use crate::plan::forecast;
use crate::report::{json, svg, text};
use crate::retention;

/// Show what a policy would keep of a list of snapshots, and why; or what series come to in the months ahead.
///
/// With --policy and --list: the list is taken for one series, each snapshot complete and created at its time.
///
/// With --from, --to and PATHs: every series of the sets, and every SeriesTemplate that has a schedule and a policy, runs on a
/// clock of its own. Every slot is taken, and retention deletes right after it, as if `prune` were true.
#[derive(Debug, Args)]
#[command(override_usage = concat!(
    "snapward retention simulate [OPTIONS] --policy <FILE> --list <FILE>\n",
    "       snapward retention simulate [OPTIONS] --from <TIME> --to <TIME> <PATH>..."
))]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward retention simulate --policy gfs.yaml --list snapshots.json\n",
    "  snapward retention simulate --policy gfs.yaml --list - --at 2027-01-01 -o json < snapshots.json\n",
    "  snapward retention simulate --policy gfs.yaml --list snapshots.json --engine restic\n",
    "  snapward retention simulate --from 2027-01-01 --to 2029-01-01 policies/gfs.yaml\n",
    "  snapward retention simulate --from 2027-01-01 --to 2028-01-01 -o svg sets/ > year.svg\n",
    "\n",
    exit_codes!(list)
))]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    input: Option<Input>,

    /// Who decides on the list [default: snapward].
    #[arg(long, value_name = "ENGINE", conflicts_with = "from")]
    engine: Option<EngineName>,

    /// Run series from this time on (2027-01-01 or 2027-01-01T08:00:00Z).
    #[arg(long, value_name = "TIME", value_parser = DateOrInstant::parse, requires_all = ["to", "paths"])]
    from: Option<DateOrInstant>,

    /// Run them up to this time.
    #[arg(long, value_name = "TIME", value_parser = DateOrInstant::parse, requires = "from")]
    to: Option<DateOrInstant>,

    /// Manifests with the series: files, directories (all *.yaml and *.yml below them), or `-` for standard input.
    #[arg(value_name = "PATH", requires = "from", conflicts_with_all = ["policy", "list", "at"])]
    paths: Vec<PathBuf>,

    /// The form of the result.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: SimulationFormat,
}

/// The form of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SimulationFormat {
    /// For people.
    Text,
    /// For programs; `snapward schema` has the schemas.
    Json,
    /// A timeline, with --from and --to.
    Svg,
}

pub(super) fn run(args: &SimulateArgs, context: &Context) -> Result<Exit, CliError> {
    let rendered = match (&args.input, &args.from, &args.to) {
        (None, Some(from), Some(to)) => series(args, from, to, context)?,
        (Some(input), ..) => list(args, input, context)?,
        _ => {
            let error = CliError::usage("nothing to simulate");
            return Err(error.hint("give --policy and --list, or --from, --to and manifests with series"));
        }
    };
    context.output.data(&rendered)?;
    Ok(Exit::Done)
}

fn list(args: &SimulateArgs, input: &Input, context: &Context) -> Result<String, CliError> {
    if args.output == SimulationFormat::Svg {
        return Err(CliError::usage("a list has no timeline").hint("-o svg goes with --from and --to"));
    }
    let given = input.read(context)?;
    let max_future = Clock::default().max_future;
    let moment = retention::Context { now: given.now, max_future: &max_future };
    let engine = args.engine.unwrap_or(EngineName::Snapward).into();
    let simulation = retention::simulate(engine, &given.list, &given.name, &given.policy.spec, &moment)
        .map_err(|error| CliError::manifest(error.to_string()))?;
    Ok(match args.output {
        SimulationFormat::Json => json::pretty(&simulation)?,
        _ => text::simulation(&simulation, context.output.data),
    })
}

fn series(
    args: &SimulateArgs,
    from: &DateOrInstant,
    to: &DateOrInstant,
    context: &Context,
) -> Result<String, CliError> {
    let (from, to) = (from.timestamp(), to.timestamp());
    if to <= from {
        return Err(CliError::usage("--to is not after --from"));
    }
    let desired = manifests::desired(&args.paths, context)?;
    let forecast = forecast::forecast(&desired, from, to).map_err(|error| CliError::manifest(error.to_string()))?;
    Ok(match args.output {
        SimulationFormat::Text => text::forecast(&forecast, context.output.data),
        SimulationFormat::Json => json::pretty(&forecast)?,
        SimulationFormat::Svg => svg::forecast(&forecast),
    })
}
