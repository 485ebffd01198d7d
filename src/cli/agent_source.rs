//! What the agent follows: files, or a branch of a Git repository.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::Notify;

use super::error::CliError;
use super::sources::{self, STDIN};
use crate::agent::{Directory, Git, Remote, Source};

/// Where systemd's `StateDirectory=snapward` is.
const STATE_DIR: &str = "/var/lib/snapward";

/// What the agent follows.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// Manifest files or directories (all *.yaml and *.yml below them).
    #[arg(value_name = "PATH", required_unless_present = "git", conflicts_with = "git")]
    paths: Vec<PathBuf>,

    /// Follow a branch of this Git repository, given by URL or path, and not PATHs.
    #[arg(long, value_name = "URL", value_parser = url)]
    git: Option<String>,

    /// The branch to follow.
    #[arg(long, value_name = "BRANCH", default_value = "main", requires = "git", conflicts_with = "paths", value_parser = branch)]
    branch: String,

    /// The directory or file in the repository that holds the manifests.
    #[arg(long, value_name = "PATH", default_value = ".", requires = "git", conflicts_with = "paths", value_parser = inside)]
    path: PathBuf,

    /// Use only commits that are signed by a key of this file (SSH signatures; ssh-keygen(1), ALLOWED SIGNERS).
    #[arg(long, value_name = "FILE", requires = "git", conflicts_with = "paths")]
    allowed_signers: Option<PathBuf>,

    /// Where the repository is kept.
    ///
    /// Without it: $STATE_DIRECTORY, as systemd sets it, else /var/lib/snapward.
    #[arg(long, value_name = "DIR", requires = "git", conflicts_with = "paths")]
    state_dir: Option<PathBuf>,
}

impl SourceArgs {
    /// Makes the source.
    ///
    /// # Errors
    /// When the command line makes no sense, or the state directory cannot be used.
    pub(super) fn open(&self, interval: Duration, changed: &Arc<Notify>) -> Result<Box<dyn Source>, CliError> {
        let load = Box::new(|paths: &[PathBuf]| sources::load(paths, &mut std::io::empty()));
        let changed = Arc::clone(changed);
        let Some(url) = &self.git else {
            if self.paths.iter().any(|path| path.as_os_str() == STDIN) {
                return Err(CliError::usage("the agent follows files; standard input cannot change"));
            }
            return Ok(Box::new(Directory::new(self.paths.clone(), load, changed)));
        };
        let absolute = |path: &PathBuf| {
            std::path::absolute(path).map_err(|error| CliError::failed(format!("{}: {error}", path.display())))
        };
        let remote = Remote {
            url: url.clone(),
            branch: self.branch.clone(),
            path: self.path.clone(),
            interval,
            allowed_signers: self.allowed_signers.as_ref().map(absolute).transpose()?,
        };
        let state = self.state_dir.clone().unwrap_or_else(default_state_dir);
        let opened = Git::open(remote, &state, load, changed).map_err(|error| {
            CliError::failed(format!("the state directory {} cannot be used: {error}", state.display()))
                .hint("--state-dir gives another one; nothing was done")
        })?;
        Ok(Box::new(opened))
    }
}

fn default_state_dir() -> PathBuf {
    // systemd sets it for StateDirectory=; several are separated by colons.
    let given = std::env::var("STATE_DIRECTORY").ok().filter(|dirs| !dirs.is_empty());
    given.as_deref().and_then(|dirs| dirs.split(':').next()).map_or_else(|| PathBuf::from(STATE_DIR), PathBuf::from)
}

fn url(text: &str) -> Result<String, String> {
    Remote::check_url(text).map(|()| text.to_owned())
}

fn branch(text: &str) -> Result<String, String> {
    Remote::check_branch(text).map(|()| text.to_owned())
}

fn inside(text: &str) -> Result<PathBuf, String> {
    Remote::check_path(Path::new(text)).map(|()| PathBuf::from(text))
}
