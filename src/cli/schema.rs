//! `snapward schema`: the JSON Schemas of manifests and outputs.

use clap::Args;
use schemars::Schema;

use super::Context;
use super::args::exit_codes;
use super::error::CliError;
use super::exit::Exit;
use crate::manifest::schema::{KINDS, schema_for};
use crate::model::text::printable;
use crate::report::{self, json};

/// Print the JSON Schema of a manifest kind or of an output.
///
/// Without KIND, lists what there is: the manifest kinds, then the JSON outputs.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward schema\n",
    "  snapward schema SnapshotSet > SnapshotSet.json\n",
    "  snapward schema plan\n",
    "\n",
    exit_codes!(print)
))]
pub(super) struct SchemaArgs {
    /// A manifest kind, as SnapshotSet, or an output, as plan.
    #[arg(value_name = "KIND")]
    kind: Option<String>,
}

pub(super) fn run(args: &SchemaArgs, context: &Context) -> Result<Exit, CliError> {
    let text = match &args.kind {
        None => names().iter().map(|name| format!("{name}\n")).collect(),
        Some(kind) => {
            let schema = find(kind).ok_or_else(|| unknown(kind))?;
            json::pretty(&schema)?
        }
    };
    context.output.data(&text)?;
    Ok(Exit::Done)
}

/// The outputs by the first part of their schema's file name.
fn outputs() -> impl Iterator<Item = (&'static str, Schema)> {
    report::schemas().into_iter().map(|(file, schema)| (file.split('.').next().unwrap_or(file), schema))
}

fn names() -> Vec<&'static str> {
    KINDS.iter().copied().chain(outputs().map(|(name, _)| name)).collect()
}

fn find(kind: &str) -> Option<Schema> {
    schema_for(kind).or_else(|| outputs().find(|(name, _)| *name == kind).map(|(_, schema)| schema))
}

fn unknown(kind: &str) -> CliError {
    let names = names();
    let nearest = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&name.to_lowercase(), &kind.to_lowercase()), name))
        .min_by_key(|(distance, _)| *distance)
        // Further away than this, a suggestion is a guess.
        .filter(|(distance, _)| *distance <= 3);
    let error = CliError::usage(format!("there is no kind or output `{}`", printable(kind)));
    match nearest {
        Some((_, name)) => error.hint(format!("did you mean {name}?")),
        None => error.hint(format!("there are: {}", names.join(", "))),
    }
}
