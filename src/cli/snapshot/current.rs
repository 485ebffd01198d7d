//! `snapward snapshot current`: the current snapshot.

use clap::Args;

use super::super::Context;
use super::super::args::exit_codes;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::args::Domain;
use super::open::open;
use super::xml::Secrets;
use crate::libvirt::Access;

/// Print the XML or the name of the current snapshot.
///
/// A domain without a current snapshot is exit code 1, as with virsh.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot current web-1 --name\n",
    "  snapward snapshot current web-1 --security-info > current.xml\n",
    "\n",
    exit_codes!(ask)
))]
pub(super) struct CurrentArgs {
    #[command(flatten)]
    domain: Domain,

    /// Print its name alone.
    #[arg(long, conflicts_with = "security_info")]
    name: bool,

    #[command(flatten)]
    secrets: Secrets,
}

pub(super) fn run(args: &CurrentArgs, context: &Context) -> Result<Exit, CliError> {
    let access = if args.name { Access::ReadOnly } else { args.secrets.access() };
    let opened = open(context, &args.domain.domain, access)?;
    let current = opened.current()?;
    let text = if args.name { format!("{}\n", current.name) } else { args.secrets.xml(&opened, &current)? };
    context.output.data(&text)?;
    Ok(Exit::Done)
}
