//! `snapward validate`: the manifests alone, no hypervisor.

use clap::Args;

use super::Context;
use super::args::{Format, Paths, exit_codes};
use super::error::CliError;
use super::exit::Exit;
use super::manifests::{self, Manifests};
use crate::manifest::Validation;
use crate::report::json;

/// Check manifests, without a hypervisor.
///
/// Reads all files, reports every error of all of them with file, line and column, and opens no connection.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward validate sets/ policies/gfs.yaml\n",
    "  snapward validate -o json sets/ > findings.json\n",
    "  generate-sets | snapward validate -\n",
    "\n",
    exit_codes!(validate)
))]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    paths: Paths,

    /// The form of the result.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: &ValidateArgs, context: &Context) -> Result<Exit, CliError> {
    let manifests = manifests::read(&args.paths.paths);
    let rendered = manifests.findings(context.output.notes);
    let exit = if manifests.loaded.has_errors() { Exit::BadManifest } else { Exit::Done };
    let Manifests { sources, loaded } = manifests;
    let validation = Validation::new(sources.len(), loaded.documents, loaded.diagnostics);
    match args.output {
        Format::Json => context.output.data(&json::pretty(&validation)?)?,
        Format::Text => {
            context.output.note(&rendered);
            let summary = validation.summary;
            context.output.data(&format!(
                "{}: {} in {}, {}, {}.\n",
                if summary.errors == 0 { "Valid" } else { "Not valid" },
                manifests::count(summary.documents, "document"),
                manifests::count(summary.files, "file"),
                manifests::count(summary.errors, "error"),
                manifests::count(summary.warnings, "warning"),
            ))?;
        }
    }
    Ok(exit)
}
