//! What ends a run early: for people a sentence and hints, for scripts the exit code.

use super::exit::Exit;
use crate::host::HostError;

/// A run that could not go on.
#[derive(Debug)]
pub(super) struct CliError {
    /// The code it ends with.
    pub(super) exit: Exit,
    /// What happened.
    pub(super) text: String,
    /// What to do, one sentence each.
    pub(super) hints: Vec<String>,
}

impl CliError {
    /// The command line makes no sense.
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, text: text.into(), hints: Vec::new() }
    }

    /// A manifest or saved plan has an error.
    pub(super) fn manifest(text: impl Into<String>) -> Self {
        Self { exit: Exit::BadManifest, text: text.into(), hints: Vec::new() }
    }

    /// The plan is not the one that was approved, or nothing it is about is as it was.
    pub(super) fn stale(text: impl Into<String>) -> Self {
        Self { exit: Exit::Stale, text: text.into(), hints: Vec::new() }
    }

    /// Nothing was done.
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, text: text.into(), hints: Vec::new() }
    }

    /// With one more hint.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::failed(format!("could not write JSON: {error}; this is a bug in snapward"))
    }
}

impl From<HostError> for CliError {
    fn from(error: HostError) -> Self {
        Self::failed(error.to_string())
    }
}
