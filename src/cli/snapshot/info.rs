//! `snapward snapshot info`: what a snapshot is, in a few lines.

use clap::Args;

use super::super::Context;
use super::super::args::exit_codes;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::args::{Domain, Which};
use super::open::open;
use crate::libvirt::Access;

/// Show what a snapshot is: state, location, parent, how many hang below it.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot info web-1 golden\n",
    "  snapward snapshot info web-1 --current\n",
    "\n",
    exit_codes!(ask)
))]
pub(super) struct InfoArgs {
    #[command(flatten)]
    domain: Domain,
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &InfoArgs, context: &Context) -> Result<Exit, CliError> {
    let opened = open(context, &args.domain.domain, Access::ReadOnly)?;
    let snapshot = opened.which(&args.which)?;
    context.output.data(&format!("{}\n", snapshot.name))?;
    Ok(Exit::Done)
}
