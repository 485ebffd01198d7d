//! `snapward apply`: shows the plan, asks, carries it out, shows what became of it.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;

use super::Context;
use super::args::{Format, exit_codes, path_names};
use super::error::CliError;
use super::exit::Exit;
use super::interrupt::Interrupt;
use super::sources::STDIN;
use super::{clock, manifests, plan_file, planned_hosts, progress, reading};
use crate::apply::{self, Target};
use crate::libvirt::Access;
use crate::model::outcome::DomainResult;
use crate::model::plan::{Plan, PlanSource};
use crate::model::text::printable;
use crate::plan;
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
    "  snapward apply --plan web.plan\n",
    "  snapward -c qemu:///session apply sets/web.yaml\n",
    "\n",
    exit_codes!(apply)
))]
pub(super) struct ApplyArgs {
    /// Manifest files, directories (all *.yaml and *.yml below them), or `-` for standard input.
    #[arg(value_name = "PATH", required_unless_present = "plan")]
    paths: Vec<PathBuf>,

    /// Apply the plan that `snapward plan --out FILE` saved, and nothing else.
    ///
    /// A domain that changed since is left alone. The hosts are those of the plan; -c reaches one of them by another URI.
    #[arg(long, value_name = "FILE", conflicts_with = "paths")]
    plan: Option<PathBuf>,

    /// Apply only if the plan has this id, which approves the deletions that its SafetyPolicy holds back.
    #[arg(long, value_name = "ID", value_parser = plan_id)]
    expect_plan: Option<String>,

    /// Apply without asking; required where there is no terminal to ask on.
    #[arg(short, long)]
    yes: bool,

    /// The form of the outcome; with json the plan goes to stderr.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// A plan and the hosts to carry it out on.
struct Ready {
    plan: Plan,
    targets: Vec<Target>,
}

pub(super) fn run(args: &ApplyArgs, context: &Context) -> Result<Exit, CliError> {
    if !args.yes {
        not_from_stdin(args)?;
    }
    may_ask(args.yes, "read the plan with `snapward plan`, then run `snapward apply --yes`")?;
    let (ready, interrupt) = match &args.plan {
        Some(file) => from_file(file, args, context)?,
        None => from_manifests(args, context)?,
    };
    carry_out(&ready.plan, &ready.targets, &interrupt, (args.yes, args.output), context)
}

/// Shows a plan, asks, carries it out and shows what became of it. For every verb that acts.
pub(super) fn carry_out(
    plan: &Plan,
    targets: &[Target],
    interrupt: &Interrupt,
    (yes, format): (bool, Format),
    context: &Context,
) -> Result<Exit, CliError> {
    let output = context.output;
    match format {
        Format::Text => output.data(&text::plan(plan, output.data))?,
        Format::Json => output.note(&text::plan(plan, output.notes)),
    }
    let has_changes = plan.summary.has_changes;
    if has_changes && !yes && !confirmed(context, "Apply these changes?") {
        return Err(CliError::failed("not confirmed; nothing was changed"));
    }
    let stop = apply::Stop::new();
    interrupt.stops(stop.clone());
    let progress = progress::choose(context, plan.actions.len());
    let options = apply::Options { lock_dir: lock_dir(), progress: &*progress, stop, clock: &clock::now };
    let outcome = apply::apply(plan, targets, &options);
    drop(progress);
    let shown = match format {
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

fn from_manifests(args: &ApplyArgs, context: &Context) -> Result<(Ready, Interrupt), CliError> {
    let desired = manifests::desired(&args.paths, context)?;
    let interrupt = reading::prepare(context.output)?;
    let source = PlanSource { paths: path_names(&args.paths), at: None };
    let mut read = reading::read(&desired, &context.global.connect, Access::ReadWrite, clock::now(), source)?;
    expected(args, &read.plan, "what is declared, or the state of a domain, is another than when that plan was made")?;
    if args.expect_plan.is_some() {
        plan::release(&mut read.plan);
    }
    let targets = read.hosts.targets(&read.observed);
    Ok((Ready { plan: read.plan, targets }, interrupt))
}

fn from_file(file: &Path, args: &ApplyArgs, context: &Context) -> Result<(Ready, Interrupt), CliError> {
    let saved = plan_file::read(file)?;
    let mut plan = saved.plan;
    expected(args, &plan, "the file holds another plan")?;
    still_good(&plan, clock::now())?;
    // Whoever is asked sees the deletions and answers for them. With --yes nobody is, and a job that saves and applies
    // by itself must not get past the breaker: there the id has to be named.
    if !args.yes || args.expect_plan.is_some() {
        plan::release(&mut plan);
    }
    context.output.note(&format!("Plan {}, made {}\n", printable(&plan.plan_id), printable(&plan.created_at)));
    let interrupt = reading::prepare(context.output)?;
    let targets = planned_hosts::open(&saved.hosts, &mut plan, &context.global.connect)?;
    Ok((Ready { plan, targets }, interrupt))
}

/// Makes sure that what the plan does is still to be done: a slot has its time, and a window closes.
fn still_good(plan: &Plan, now: Timestamp) -> Result<(), CliError> {
    let Some(end) = plan.ends().filter(|end| *end <= now) else {
        return Ok(());
    };
    let text = format!(
        "the plan was good until {end}: a slot that it captures is over, or a window in which it deletes or reverts is closed; nothing was \
         done"
    );
    Err(CliError::stale(text).hint("make a new plan"))
}

/// Makes sure that the plan is the one that was asked for.
fn expected(args: &ApplyArgs, plan: &Plan, otherwise: &str) -> Result<(), CliError> {
    match &args.expect_plan {
        Some(id) if *id != plan.plan_id => Err(CliError::stale(format!(
            "this is plan {} ({}) and not {id}: {otherwise}; nothing was done",
            plan.plan_id,
            text::plan_summary(plan).trim_end_matches('.')
        ))
        .hint("look at it with `snapward plan`, and approve it by its own id")),
        _ => Ok(()),
    }
}

/// The id of a plan as it is shown: in full, so that no other plan can be meant.
fn plan_id(text: &str) -> Result<String, String> {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if text.len() == plan::ID_DIGITS && text.chars().all(hex) {
        return Ok(text.to_owned());
    }
    Err(format!("a plan's id has {} digits, 0 to 9 and a to f; `snapward plan -o json` shows it", plan::ID_DIGITS))
}

/// Whether the question can be asked, found out before any work: a run must not end differently because there happened
/// to be nothing to do.
pub(super) fn may_ask(yes: bool, hint: &str) -> Result<(), CliError> {
    if yes || std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        return Ok(());
    }
    Err(CliError::usage("there is no terminal to ask on, and --yes was not given; nothing was done").hint(hint))
}

/// Whether standard input is there for the answer.
fn not_from_stdin(args: &ApplyArgs) -> Result<(), CliError> {
    if args.paths.iter().any(|path| path.as_os_str() == STDIN) {
        return Err(CliError::usage(
            "the manifests come from standard input, so the question cannot be answered there",
        )
        .hint("give --yes to apply without a question, after reading the plan: `snapward plan -`"));
    }
    Ok(())
}

/// Where the locks of this machine are.
pub(super) fn lock_dir() -> PathBuf {
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    apply::lock::default_dir(runtime_dir.as_deref())
}

/// Asks on the terminal.
pub(super) fn confirmed(context: &Context, question: &str) -> bool {
    context.output.note(&format!("\n{question} Only 'yes' is accepted: "));
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(_) => answer.trim() == "yes",
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn a_saved_plan_whose_time_is_over_is_refused() {
        let at = |text: &str| text.parse::<Timestamp>().expect(text);
        let mut plan = samples::create();
        assert!(still_good(&plan, at("2030-01-01T00:00:00Z")).is_ok(), "bound to no time");
        plan.good_until = Some("2026-11-23T04:30:00Z".to_owned());
        assert!(still_good(&plan, at("2026-11-23T04:29:59Z")).is_ok());
        let refused = still_good(&plan, at("2026-11-23T04:30:00Z")).expect_err("over");
        assert_eq!(refused.exit, Exit::Stale);
    }
}
