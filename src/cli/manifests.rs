//! From the PATHs of the command line to the desired state, with findings shown as they should be.

use std::path::PathBuf;

use super::Context;
use super::error::CliError;
use super::sources;
use crate::manifest::{self, Loaded, Source};
use crate::model::desired::DesiredState;
use crate::report::Palette;

/// The manifests of a run and what was found in them.
pub(super) struct Manifests {
    /// The files as read.
    pub(super) sources: Vec<Source>,
    /// What they say, and what is wrong with it.
    pub(super) loaded: Loaded,
}

impl Manifests {
    /// The findings for people.
    pub(super) fn findings(&self, palette: Palette) -> String {
        manifest::render(&self.loaded.diagnostics, &self.sources, palette == Palette::Colour)
    }
}

/// Reads and checks everything. What is wrong is a finding.
pub(super) fn read(paths: &[PathBuf]) -> Manifests {
    let (sources, loaded) = sources::load(paths, &mut std::io::stdin().lock());
    Manifests { sources, loaded }
}

/// The desired state, or, after showing what is wrong, the error that ends the run.
///
/// # Errors
/// When a manifest has an error.
pub(super) fn desired(paths: &[PathBuf], context: &Context) -> Result<DesiredState, CliError> {
    let manifests = read(paths);
    context.output.note(&manifests.findings(context.output.notes));
    match manifests.loaded.diagnostics.iter().filter(|finding| finding.is_error()).count() {
        0 => Ok(manifests.loaded.desired),
        errors => Err(CliError::manifest(format!(
            "the manifests have {}; no host was contacted and nothing was changed",
            count(errors, "error")
        ))),
    }
}

/// `1 error`, `2 errors`.
pub(super) fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
