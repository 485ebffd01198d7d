//! Where manifests come from: a seam that a directory fills, and a Git repository.

mod directory;
mod git;

use std::path::PathBuf;
use std::time::Duration;

pub use directory::Directory;
pub use git::{Git, Remote};

use crate::manifest::{self, Loaded, Source as Text};
use crate::model::desired::DesiredState;
use crate::model::text::count;

/// Reads and checks the manifests of some paths.
pub type Loader = Box<dyn FnMut(&[PathBuf]) -> (Vec<Text>, Loaded) + Send>;

/// What the manifests said when they were read.
#[derive(Debug, Clone)]
pub struct Revision {
    /// What names it: a commit, or a hash of what the files hold.
    pub id: String,
    /// What is declared.
    pub desired: DesiredState,
    /// Findings that are no errors, for people.
    pub warnings: Vec<String>,
}

/// Why there is no revision to use. The last good one stays in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// What names the revision that was refused, where it has a name.
    pub id: Option<String>,
    /// What is wrong, for people.
    pub text: String,
}

/// How far a source proves where a revision comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Whether the signature of the revision in use was checked and is good.
    pub verified: bool,
    /// For programs: one word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Where manifests come from.
///
/// A source tells of changes through the [`tokio::sync::Notify`] it was made with. That is a hint: it is read every
/// [`Source::interval`] all the same.
pub trait Source: Send {
    /// How it is named in plans and in the status.
    fn paths(&self) -> Vec<String>;

    /// How often it is read when nothing tells of a change.
    fn interval(&self) -> Duration;

    /// Reads what is there now. Blocks.
    ///
    /// # Errors
    /// When there is nothing that may be used: it cannot be read, has errors, is not signed.
    fn read(&mut self) -> Result<Revision, SourceError>;

    /// What is known of the origin of the revision read last.
    fn verification(&self) -> Verification;
}

/// What was loaded as a revision, or its errors for people.
fn checked(id: String, texts: &[Text], loaded: Loaded) -> Result<Revision, String> {
    let errors = loaded.diagnostics.iter().filter(|found| found.is_error()).count();
    if errors > 0 {
        let findings = manifest::render(&loaded.diagnostics, texts, false);
        return Err(format!("{}:\n{}", count(errors, "error", "errors"), findings.trim_end()));
    }
    let warnings = loaded.diagnostics.into_iter().map(|found| found.message).collect();
    Ok(Revision { id, desired: loaded.desired, warnings })
}
