//! `snapward snapshot hold` and `unhold`: exempt a snapshot from deletion by hand.

use clap::Args;

use super::super::Context;
use super::super::args::exit_codes;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::act::{self, one};
use super::args::Domain;
use super::open::open;
use crate::libvirt::Access;
use crate::model::kinds::DateOrInstant;
use crate::model::stamp::StampHold;
use crate::observe::Interest;
use crate::plan::order;

/// Keep a set's snapshot, whatever its rules say, until the hold is lifted or ends.
///
/// The hold is written on the snapshot and stays when the manifest is applied; holds in a manifest (spec.holds) stand beside it.
/// A snapshot that belongs to no set cannot be held: no rule would delete it.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot hold web-1 web-hourly-20261123T040000Z --reason 'audit 2026'\n",
    "  snapward snapshot hold web-1 golden --reason migration --until 2027-01-01\n",
    "\n",
    exit_codes!(act)
))]
pub(super) struct HoldArgs {
    #[command(flatten)]
    domain: Domain,

    /// The snapshot's name.
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,

    /// Why; one line, without `;`.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,

    /// Until when: a day (its first instant, UTC) or an instant; without it, until it is lifted.
    #[arg(long, value_name = "TIME", value_parser = DateOrInstant::parse)]
    until: Option<DateOrInstant>,
}

/// Lift the hold that `snapward snapshot hold` set.
#[derive(Debug, Args)]
#[command(after_help = concat!("Examples:\n", "  snapward snapshot unhold web-1 golden\n", "\n", exit_codes!(act)))]
pub(super) struct UnholdArgs {
    #[command(flatten)]
    domain: Domain,

    /// The snapshot's name.
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,
}

/// As in a manifest: what separates reason and end in the stamp is not part of a reason.
fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.contains(';') || text.chars().any(char::is_control) {
        return Err("a reason is one line of text without `;`".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn run(args: &HoldArgs, context: &Context) -> Result<Exit, CliError> {
    let until = args.until.as_ref().map(|until| until.as_str().to_owned());
    let hold = StampHold { reason: args.reason.clone(), until };
    let opened = open(context, &args.domain.domain, Access::ReadWrite)?;
    let snapshot = opened.snapshot(&args.snapshot)?;
    let seen = opened.observe(&Interest::default())?;
    let plan = order::hold(&seen.scene(), &snapshot.name, hold).map_err(|refusal| seen.refused(&one(refusal)))?;
    act::carry_out(context, &opened, &seen, &plan)
}

pub(super) fn lift(args: &UnholdArgs, context: &Context) -> Result<Exit, CliError> {
    let opened = open(context, &args.domain.domain, Access::ReadWrite)?;
    let snapshot = opened.snapshot(&args.snapshot)?;
    let seen = opened.observe(&Interest::default())?;
    let plan = order::unhold(&seen.scene(), &snapshot.name).map_err(|refusal| seen.refused(&one(refusal)))?;
    act::carry_out(context, &opened, &seen, &plan)
}
