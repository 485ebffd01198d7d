//! `snapward retention`: why snapshots stay or go, and policies tried on lists.

mod compare;
mod explain;
mod input;
mod simulate;

use clap::{Args, Subcommand};

use super::Context;
use super::error::CliError;
use super::exit::Exit;

/// Explain retention, and try policies on lists of snapshots.
///
/// Nothing is deleted. `explain` reads the hosts; the other verbs reach none: they read a policy and a list, and say what
/// would be kept, and why.
#[derive(Debug, Args)]
pub(super) struct RetentionArgs {
    #[command(subcommand)]
    verb: RetentionVerb,
}

#[derive(Debug, Subcommand)]
enum RetentionVerb {
    Explain(explain::ExplainArgs),
    Simulate(simulate::SimulateArgs),
    Compare(compare::CompareArgs),
}

impl RetentionArgs {
    /// Whether it is done by `snapward-libvirt`.
    pub(super) fn reaches_hosts(&self) -> bool {
        matches!(self.verb, RetentionVerb::Explain(_))
    }
}

/// Explains: the one verb here that reaches hosts, and all that `snapward-libvirt` needs of them.
pub(super) fn explain(args: &RetentionArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.verb {
        RetentionVerb::Explain(args) => explain::run(args, context),
        _ => run(args, context),
    }
}

/// Tries a policy on a list.
pub(super) fn run(args: &RetentionArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.verb {
        RetentionVerb::Explain(_) => Err(CliError::usage("this verb needs libvirt; run snapward")),
        RetentionVerb::Simulate(args) => simulate::run(args, context),
        RetentionVerb::Compare(args) => compare::run(args, context),
    }
}
