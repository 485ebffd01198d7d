//! `snapward snapshot parent`: the name of a snapshot's parent.

use clap::Args;

use super::super::Context;
use super::super::args::exit_codes;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::args::{Domain, Which};
use super::open::open;
use crate::libvirt::Access;
use crate::model::text::printable;

/// Print the name of a snapshot's parent.
///
/// A root has none: that is exit code 1, as with virsh.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot parent web-1 golden\n",
    "  snapward snapshot parent web-1 --current\n",
    "\n",
    exit_codes!(ask)
))]
pub(super) struct ParentArgs {
    #[command(flatten)]
    domain: Domain,
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &ParentArgs, context: &Context) -> Result<Exit, CliError> {
    let opened = open(context, &args.domain.domain, Access::ReadOnly)?;
    let snapshot = opened.which(&args.which)?;
    let read = opened.host().snapshot(&opened.domain, &snapshot)?;
    let Some(parent) = read.parent else {
        let (name, domain) = (&snapshot.name, printable(&opened.domain.name));
        return Err(CliError::failed(format!("snapshot {name} of domain {domain} has no parent: it is a root")));
    };
    context.output.data(&format!("{parent}\n"))?;
    Ok(Exit::Done)
}
