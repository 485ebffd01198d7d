//! `snapward snapshot list`: the snapshots of a domain.

use clap::Args;

use super::super::Context;
use super::super::args::exit_codes;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::args::Domain;
use super::open::{failed, open};
use crate::host::SnapshotQuery;
use crate::libvirt::Access;

/// List the snapshots of a domain.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot list web-1\n",
    "  snapward snapshot list web-1 --tree\n",
    "\n",
    exit_codes!(ask)
))]
pub(super) struct ListArgs {
    #[command(flatten)]
    domain: Domain,

    /// Print names alone, one per line.
    #[arg(long)]
    name: bool,
}

pub(super) fn run(args: &ListArgs, context: &Context) -> Result<Exit, CliError> {
    let opened = open(context, &args.domain.domain, Access::ReadOnly)?;
    let listed = opened.host().select(&opened.domain, &SnapshotQuery::default()).map_err(failed)?;
    let text: String = listed.iter().map(|snapshot| format!("{}\n", snapshot.name)).collect();
    context.output.data(&text)?;
    Ok(Exit::Done)
}
