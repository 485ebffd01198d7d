//! `snapward schema`: the JSON Schemas of manifests and outputs.

use clap::Args;
use serde_json::Value;

use super::Context;
use super::args::exit_codes;
use super::error::CliError;
use super::exit::Exit;
use crate::manifest;
use crate::model::text::{printable, suggestion};
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
        None => all().map(|(name, _)| format!("{name}\n")).collect(),
        Some(kind) => {
            let (_, schema) = all().find(|(name, _)| name == kind).ok_or_else(|| unknown(kind))?;
            json::pretty(&schema)?
        }
    };
    context.output.data(&text)?;
    Ok(Exit::Done)
}

/// All schemas by the first part of their file names.
fn all() -> impl Iterator<Item = (String, Value)> {
    let files = manifest::schema::published().into_iter().chain(report::schemas());
    files.map(|(file, schema)| (file.split('.').next().unwrap_or(&file).to_owned(), schema))
}

fn unknown(kind: &str) -> CliError {
    let names: Vec<_> = all().map(|(name, _)| name).collect();
    let error = CliError::usage(format!("there is no kind or output `{}`", printable(kind)));
    match suggestion(kind, names.iter().map(String::as_str)) {
        Some(name) => error.hint(format!("did you mean {name}?")),
        None => error.hint(format!("there are: {}", names.join(", "))),
    }
}
