//! `snapward snapshot current`: the current snapshot, or another one in its place.

use clap::Args;

use super::super::Context;
use super::super::args::exit_codes;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::act::{self, one};
use super::args::Domain;
use super::open::open;
use super::xml::Secrets;
use crate::libvirt::Access;
use crate::observe::Interest;
use crate::plan::order;

/// Print the XML or the name of the current snapshot, or make another one the current.
///
/// With SNAPSHOT the pointer moves, and nothing else: neither the disks nor the domain's state change, that is a revert. Where
/// there are external snapshots it moves only where that is proven to repair it: elsewhere libvirt would forget images that it
/// needs. /// A domain without a current snapshot is exit code 1, as with virsh.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot current web-1 --name\n",
    "  snapward snapshot current web-1 --security-info > current.xml\n",
    "  snapward snapshot current web-1 golden\n",
    "\n",
    exit_codes!(act)
))]
pub(super) struct CurrentArgs {
    #[command(flatten)]
    domain: Domain,

    /// Make this snapshot the current one.
    #[arg(value_name = "SNAPSHOT", conflicts_with_all = ["name", "security_info"])]
    snapshot: Option<String>,

    /// Print its name alone.
    #[arg(long, conflicts_with = "security_info")]
    name: bool,

    #[command(flatten)]
    secrets: Secrets,
}

pub(super) fn run(args: &CurrentArgs, context: &Context) -> Result<Exit, CliError> {
    if let Some(name) = &args.snapshot {
        let opened = open(context, &args.domain.domain, Access::ReadWrite)?;
        let snapshot = opened.snapshot(name)?;
        let seen = opened.observe(&Interest::default())?;
        let plan = order::set_current(&seen.scene(), &snapshot.name).map_err(|refusal| seen.refused(&one(refusal)))?;
        return plan.map_or(Ok(Exit::Done), |plan| act::carry_out(context, &opened, &seen, &plan));
    }
    let access = if args.name { Access::ReadOnly } else { args.secrets.access() };
    let opened = open(context, &args.domain.domain, access)?;
    let current = opened.current()?;
    let text = if args.name { format!("{}\n", current.name) } else { args.secrets.xml(&opened, &current)? };
    context.output.verbatim(&text)?;
    Ok(Exit::Done)
}
