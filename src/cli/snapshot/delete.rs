//! `snapward snapshot delete`: deletes a snapshot, and what hangs below it.

use clap::Args;

use super::super::Context;
use super::super::apply::{confirmed, may_ask};
use super::super::args::exit_codes;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::act;
use super::args::{Domain, Which};
use super::open::open;
use crate::libvirt::Access;
use crate::model::plan::{Action, Plan};
use crate::model::text::{bytes, printable};
use crate::observe::Interest;
use crate::plan::order::{self, Scope};

/// Delete a snapshot, and with --children what hangs below it.
///
/// Everything that goes is shown before, in the order in which libvirt lets it go, with the images that are merged. Where one of
/// them cannot go, or is held or protected, none goes. The children of one that goes alone keep their content.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot delete web-1 before-upgrade\n",
    "  snapward snapshot delete web-1 golden --children --yes\n",
    "  snapward snapshot delete web-1 --current --metadata-only\n",
    "\n",
    exit_codes!(act)
))]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    domain: Domain,
    #[command(flatten)]
    which: Which,

    /// Also delete all that hangs below it.
    #[arg(long)]
    children: bool,

    /// Delete all that hangs below it, and leave the snapshot itself.
    #[arg(long, conflicts_with = "children")]
    children_only: bool,

    /// Delete libvirt's records alone; what was captured stays in the images.
    #[arg(long, alias = "metadata")]
    metadata_only: bool,

    /// Delete without asking; required where there is no terminal to ask on.
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(args: &DeleteArgs, context: &Context) -> Result<Exit, CliError> {
    may_ask(args.yes, "run it with --yes")?;
    let opened = open(context, &args.domain.domain, Access::ReadWrite)?;
    let snapshot = opened.which(&args.which)?;
    let seen = opened.observe(&Interest::default())?;
    let scope = match (args.children, args.children_only) {
        (true, _) => Scope::Children,
        (_, true) => Scope::ChildrenOnly,
        _ => Scope::One,
    };
    let plan = order::delete(&seen.scene(), &snapshot.name, scope, args.metadata_only)
        .map_err(|refusals| seen.refused(&refusals))?;
    if plan.actions.is_empty() {
        context.output.note(&format!("nothing hangs below snapshot {}; nothing was done\n", snapshot.name));
        return Ok(Exit::Done);
    }
    context.output.note(&shown(&plan));
    if !args.yes && !confirmed(context, "Delete?") {
        return Err(CliError::failed("not confirmed; nothing was changed"));
    }
    act::carry_out(context, &opened, &seen, &plan)
}

/// What goes, in its order.
fn shown(plan: &Plan) -> String {
    plan.actions.iter().map(line).collect()
}

fn line(action: &Action) -> String {
    let name = action.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
    let created = action.before.as_ref().and_then(|before| before.created.as_deref()).unwrap_or_default();
    let mut text = format!("- {name} ({created}): {}\n", action.risk.text);
    let after = action.after.as_ref();
    for merge in after.and_then(|after| after.merges.as_deref()).unwrap_or_default() {
        let size = merge.bytes.map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
        text.push_str(&format!("    merges {}{size} into {}\n", printable(&merge.from), printable(&merge.into)));
    }
    for file in after.and_then(|after| after.removes.as_deref()).unwrap_or_default() {
        text.push_str(&format!("    removes {}\n", printable(file)));
    }
    text
}
