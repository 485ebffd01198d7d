//! What the retention verbs read: one policy, a list of snapshots, a time.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::cli::error::CliError;
use crate::cli::sources::{STDIN, read_capped};
use crate::cli::{Context, clock, manifests};
use crate::model::kinds::{DateOrInstant, RetentionPolicy};
use crate::model::retention::{Engine, Listed};
use crate::model::text::printable;
use crate::retention::Taken;

/// The largest list read, in bytes: some millions of snapshots, and far below what would fill a machine's memory.
const MAX_LIST_BYTES: usize = 256 << 20;

/// The policy, the list and the time.
#[derive(Debug, Args)]
pub(super) struct Input {
    /// A file with one RetentionPolicy.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,

    /// The snapshots as JSON: [{"name": "a", "time": "2026-11-20T04:00:00Z"}]; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    list: PathBuf,

    /// Decide as if it were this time (2027-01-01 or 2027-01-01T08:00:00Z).
    #[arg(long, value_name = "TIME", value_parser = DateOrInstant::parse)]
    at: Option<DateOrInstant>,
}

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineName {
    /// Snapward's own algorithm, the only one that deletes.
    Snapward,
    /// `restic forget` of 0.16 to 0.18.
    Restic,
    /// `borg prune` of 1.2 to 1.4.
    Borg,
    /// The prune of Proxmox Backup Server.
    Pbs,
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Snapward => Self::Snapward,
            EngineName::Restic => Self::Restic,
            EngineName::Borg => Self::Borg,
            EngineName::Pbs => Self::Pbs,
        }
    }
}

/// What was read.
pub(super) struct Given {
    /// The policy as namespace/name.
    pub(super) name: String,
    pub(super) policy: RetentionPolicy,
    pub(super) list: Vec<Taken>,
    pub(super) now: Timestamp,
}

impl Input {
    /// Reads all of it.
    ///
    /// # Errors
    /// When a file cannot be read or says something else.
    pub(super) fn read(&self, context: &Context) -> Result<Given, CliError> {
        let stdin = Path::new(STDIN);
        if self.policy == stdin && self.list == stdin {
            return Err(CliError::usage("--policy and --list cannot both be standard input").hint("give one as a file"));
        }
        let desired = manifests::desired(std::slice::from_ref(&self.policy), context)?;
        let file = printable(&self.policy.to_string_lossy());
        let mut policies = desired.retention.into_iter();
        let (id, document) = match (policies.next(), policies.next()) {
            (Some(one), None) => one,
            (None, _) => return Err(CliError::manifest(format!("{file} holds no RetentionPolicy"))),
            (Some((a, _)), Some((b, _))) => {
                let error = CliError::manifest(format!("{file} holds more than one RetentionPolicy: {a}, {b}"));
                return Err(error.hint("give a file with the one that is meant"));
            }
        };
        Ok(Given {
            name: id.to_string(),
            policy: document.value,
            list: self.list()?,
            now: self.at.as_ref().map_or_else(clock::now, DateOrInstant::timestamp),
        })
    }

    fn list(&self) -> Result<Vec<Taken>, CliError> {
        let file = match self.list.as_os_str() == STDIN {
            true => "standard input".to_owned(),
            false => printable(&self.list.to_string_lossy()),
        };
        let read = match self.list.as_os_str() == STDIN {
            true => read_capped(std::io::stdin().lock(), MAX_LIST_BYTES),
            false => File::open(&self.list).and_then(|file| read_capped(file, MAX_LIST_BYTES)),
        };
        let bytes =
            read.map_err(|error| CliError::manifest(format!("the list cannot be read from {file}: {error}")))?;
        if bytes.len() > MAX_LIST_BYTES {
            return Err(CliError::manifest(format!("the list in {file} has more than {MAX_LIST_BYTES} bytes")));
        }
        parse(&bytes).map_err(|fault| {
            CliError::manifest(format!("the list in {file} {fault}"))
                .hint(r#"a list looks like [{"name": "a", "time": "2026-11-20T04:00:00Z"}]"#)
        })
    }
}

/// Reads the list; what is wrong follows the words "the list in FILE ...".
fn parse(bytes: &[u8]) -> Result<Vec<Taken>, String> {
    let listed: Vec<Listed> = serde_json::from_slice(bytes)
        .map_err(|error| format!("is not a list of snapshots: {}", printable(&error.to_string())))?;
    let mut names = BTreeSet::new();
    if let Some(twice) = listed.iter().find(|item| !names.insert(item.name.as_str())) {
        return Err(format!("has two snapshots named `{}`", printable(&twice.name)));
    }
    let taken = |listed: Listed| match listed.time.parse() {
        Ok(at) => Ok(Taken { listed, at }),
        Err(_) => Err(format!(
            "gives `{}` the time `{}`; write it with its offset, as 2026-11-20T04:00:00Z",
            printable(&listed.name),
            printable(&listed.time)
        )),
    };
    listed.into_iter().map(taken).collect()
}
