//! `snapward schema`: the JSON Schemas of manifests and outputs.

use clap::Args;
use serde_json::Value;

use super::Context;
use super::args::exit_codes;
use super::error::CliError;
use super::exit::Exit;
use crate::manifest::Validation;
use crate::manifest::schema::published;
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
    let all = all();
    let text = match &args.kind {
        None => all.iter().map(|(name, _)| format!("{name}\n")).collect(),
        Some(kind) => match all.iter().find(|(name, _)| name == kind) {
            Some((_, schema)) => json::pretty(schema)?,
            None => return Err(unknown(kind, &all)),
        },
    };
    context.output.data(&text)?;
    Ok(Exit::Done)
}

/// Every schema, by the first part of its file's name below `schemas/`.
fn all() -> Vec<(String, Value)> {
    let validation = ("validation.v1.json", json::schema::<Validation>());
    let outputs = report::schemas().into_iter().chain([validation]);
    let outputs = outputs.map(|(file, schema)| (file.to_owned(), schema.to_value()));
    let name = |file: String| file.split('.').next().unwrap_or_default().to_owned();
    published().into_iter().chain(outputs).map(|(file, schema)| (name(file), schema)).collect()
}

fn unknown(kind: &str, all: &[(String, Value)]) -> CliError {
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
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
