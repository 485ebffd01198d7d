//! `snapward snapshot revert`: one domain goes back to a snapshot, by the same plan, proof and guard as a RevertRequest.

use clap::Args;

use super::super::args::{Format, exit_codes};
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::{Context, apply, clock};
use super::args::{Domain, Which};
use super::open::open;
use crate::apply::Target;
use crate::libvirt::Access;
use crate::model::kinds::Power;
use crate::model::text::printable;
use crate::observe;
use crate::plan::revert::{Order, Wanted, ordered};

/// Revert a domain to a snapshot.
///
/// What was written since is discarded, the definition goes back too, and QEMU is stopped and started anew. So the state
/// there is now is captured first (before-revert-TIME), what libvirt finds out only after it stopped the domain is looked
/// for before, and the plan is shown and confirmed. Where it fails, the output says how the domain stands and how to get it
/// back.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot revert web-1 golden\n",
    "  snapward snapshot revert web-1 golden --running --yes\n",
    "  snapward snapshot revert runner-3 clean --no-guard --yes\n",
    "\n",
    exit_codes!(apply)
))]
pub(super) struct RevertArgs {
    #[command(flatten)]
    domain: Domain,
    #[command(flatten)]
    which: Which,

    /// Leave the domain running, whatever state was captured.
    #[arg(long, conflicts_with = "paused")]
    running: bool,

    /// Leave the domain paused, whatever state was captured.
    #[arg(long)]
    paused: bool,

    /// Go on where libvirt calls the revert risky.
    ///
    /// What would destroy other captures stays refused, and so does a managed save.
    #[arg(long)]
    force: bool,

    /// Take the firmware's variables (NVRAM) from their template anew.
    #[arg(long)]
    reset_nvram: bool,

    /// Capture the present state first; this is the default.
    #[arg(long, conflicts_with = "no_guard")]
    guard: bool,

    /// Capture nothing first: what was written since is gone for good.
    #[arg(long)]
    no_guard: bool,

    /// Revert without asking; required where there is no terminal to ask on.
    #[arg(short, long)]
    yes: bool,

    /// The form of the outcome; with json the plan goes to stderr.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: &RevertArgs, context: &Context) -> Result<Exit, CliError> {
    apply::may_ask(args.yes, "run it with --yes")?;
    let opened = open(context, &args.domain.domain, Access::ReadWrite)?;
    let target = opened.which(&args.which)?.name;
    let power = match (args.running, args.paused) {
        (true, _) => Power::Running,
        (false, true) => Power::Paused,
        (false, false) => Power::AsCaptured,
    };
    let order = Order {
        target,
        wanted: Wanted { power, force: args.force, reset_nvram: args.reset_nvram },
        guard: !args.no_guard,
    };
    let host = observe::observe_to_revert(&opened.connection, opened.domain.uuid)
        .map_err(|error| CliError::failed(format!("{error}; nothing was done")))?;
    let Some(plan) = ordered(&host, opened.domain.uuid, &order, clock::now()) else {
        let why = host.unreadable.first().map_or("it is gone", |domain| domain.error.as_str());
        let domain = printable(&opened.domain.name);
        return Err(CliError::failed(format!("domain {domain} could not be read: {why}; nothing was done")));
    };
    let targets = [Target { info: host.info, host: opened.connection.host.clone() }];
    apply::carry_out(&plan, &targets, &opened.interrupt, (args.yes, args.output), context)
}
