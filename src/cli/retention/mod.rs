//! `snapward retention`: policies tried on lists of snapshots. No verb here reaches a host.

mod compare;
mod input;
mod simulate;

use clap::{Args, Subcommand};

use super::Context;
use super::error::CliError;
use super::exit::Exit;

/// Try retention policies on lists of snapshots.
///
/// Nothing is deleted and no host is reached: these verbs read a policy and a list, and say what would be kept, and why.
#[derive(Debug, Args)]
pub(super) struct RetentionArgs {
    #[command(subcommand)]
    verb: RetentionVerb,
}

#[derive(Debug, Subcommand)]
enum RetentionVerb {
    Simulate(simulate::SimulateArgs),
    Compare(compare::CompareArgs),
}

pub(super) fn run(args: &RetentionArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.verb {
        RetentionVerb::Simulate(args) => simulate::run(args, context),
        RetentionVerb::Compare(args) => compare::run(args, context),
    }
}
