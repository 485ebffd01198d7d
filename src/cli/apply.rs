//! `snapward apply`: shows the plan, asks, carries it out, shows what became of it.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::args::{Format, Paths, exit_codes};
use super::error::CliError;
use super::exit::Exit;
use super::sources::STDIN;
use super::{clock, manifests, progress, reading};
use crate::apply;
use crate::libvirt::Access;
use crate::model::outcome::DomainResult;
use crate::model::plan::PlanSource;
use crate::report::{json, text};

/// Make the snapshots as declared.
///
/// Shows the plan and asks before it changes anything. Each domain is locked, read again, and left alone where it
/// changed after the plan was made; every change is verified. A failure ends the work on its domain and leaves the
/// others to go on.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward apply sets/\n",
    "  snapward apply --yes -o json sets/ > outcome.json\n",
    "  snapward -c qemu:///session apply sets/web.yaml\n",
    "\n",
    exit_codes!(apply)
))]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    paths: Paths,

    /// Apply without asking; required where there is no terminal to ask on.
    #[arg(short, long)]
    yes: bool,

    /// The form of the outcome; with json the plan goes to stderr.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: &ApplyArgs, context: &Context) -> Result<Exit, CliError> {
    let output = context.output;
    may_ask(args)?;
    let desired = manifests::desired(&args.paths.paths, context)?;
    let interrupt = reading::prepare(output)?;
    let source = PlanSource { paths: args.paths.names(), at: None };
    let read = reading::read(&desired, &context.global.connect, Access::ReadWrite, clock::now(), source)?;
    match args.output {
        Format::Text => output.data(&text::plan(&read.plan, output.data))?,
        Format::Json => output.note(&text::plan(&read.plan, output.notes)),
    }
    let has_changes = read.plan.summary.has_changes;
    if has_changes && !args.yes && !confirmed(context) {
        return Err(CliError::failed("not confirmed; nothing was changed"));
    }
    let stop = apply::Stop::new();
    interrupt.stops(stop.clone());
    let progress = progress::choose(context, read.plan.actions.len());
    let options = apply::Options { lock_dir: lock_dir(), progress: &*progress, stop };
    let outcome = apply::apply(&desired, &read.plan, &read.hosts.targets(&read.observed), &options);
    drop(progress);
    let shown = match args.output {
        Format::Json => json::pretty(&outcome).map_err(CliError::from).and_then(|text| output.data(&text)),
        // The plan has just said that there was nothing to do.
        Format::Text if !has_changes && outcome.domains.iter().all(|domain| domain.result == DomainResult::Done) => {
            Ok(())
        }
        Format::Text => output.data(&format!("\n{}", text::outcome(&outcome, output.data))),
    };
    let exit = Exit::of_outcome(&outcome);
    match shown {
        Ok(()) => Ok(exit),
        Err(error) => {
            // Not "failed, nothing was done": something may have been.
            output.error(&error.hint("the plan was applied; `snapward status` shows how things stand"));
            Ok(Exit::foremost(&[exit, Exit::Partly]))
        }
    }
}

/// Whether the question can be asked, found out before any work: a run must not end differently because there happened
/// to be nothing to do.
fn may_ask(args: &ApplyArgs) -> Result<(), CliError> {
    if args.yes {
        return Ok(());
    }
    if args.paths.paths.iter().any(|path| path.as_os_str() == STDIN) {
        return Err(CliError::usage(
            "the manifests come from standard input, so the question cannot be answered there",
        )
        .hint("give --yes to apply without a question, after reading the plan: `snapward plan -`"));
    }
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        return Ok(());
    }
    Err(CliError::usage("there is no terminal to ask on, and --yes was not given; nothing was done")
        .hint("read the plan with `snapward plan`, then run `snapward apply --yes`"))
}

/// Where the locks of this machine are.
fn lock_dir() -> PathBuf {
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    apply::lock::default_dir(runtime_dir.as_deref())
}

fn confirmed(context: &Context) -> bool {
    context.output.note("\nApply these changes? Only 'yes' is accepted: ");
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(_) => answer.trim() == "yes",
        Err(_) => false,
    }
}
