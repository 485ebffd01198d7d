//! `snapward plan`: what would change, and why.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;

use super::Context;
use super::args::{Paths, PlanFormat, exit_codes};
use super::error::CliError;
use super::exit::Exit;
use super::reading::Read;
use super::sources::STDIN;
use super::{clock, manifests, plan_file, reading};
use crate::libvirt::Access;
use crate::model::kinds::DateOrInstant;
use crate::model::plan::PlanSource;
use crate::model::saved::SavedPlan;
use crate::model::text::printable;
use crate::report::{json, markdown, text};

/// Show what would change, and why.
///
/// Reads the hosts over read-only connections and changes nothing on them. Every action has its reason, its risk and its
/// manifest line; what is blocked stands beside the rest with the way out. With -v the hosts are printed too.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward plan sets/\n",
    "  snapward plan -o markdown sets/ > comment.md\n",
    "  snapward plan --detailed-exitcode sets/ || echo \"not as declared: $?\"\n",
    "  snapward plan --out web.plan sets/ && snapward apply --plan web.plan\n",
    "  snapward plan --at 2027-01-01 sets/\n",
    "\n",
    exit_codes!(plan)
))]
pub(super) struct PlanArgs {
    #[command(flatten)]
    paths: Paths,

    /// Also save the plan to this file, for `snapward apply --plan FILE`; only its owner may read it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Plan as if it were this time (2027-01-01 or 2027-01-01T08:00:00Z); such a plan cannot be applied.
    #[arg(long, value_name = "TIME", value_parser = DateOrInstant::parse)]
    at: Option<DateOrInstant>,

    /// Exit with 2 when actions are pending, with 3 when there are none but something is blocked.
    #[arg(long)]
    detailed_exitcode: bool,

    /// The form of the plan.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: PlanFormat,
}

pub(super) fn run(args: &PlanArgs, context: &Context) -> Result<Exit, CliError> {
    if args.out.as_deref() == Some(Path::new(STDIN)) {
        return Err(CliError::usage("--out saves to a file; - is none").hint("-o json prints the plan"));
    }
    let desired = manifests::desired(&args.paths.paths, context)?;
    let _interrupt = reading::prepare(context.output)?;
    let at: Option<Timestamp> = args.at.as_ref().map(DateOrInstant::timestamp);
    let source = PlanSource { paths: args.paths.names(), at: at.map(|at| at.to_string()) };
    let read =
        reading::read(&desired, &context.global.connect, Access::ReadOnly, at.unwrap_or_else(clock::now), source)?;
    let rendered = match args.output {
        PlanFormat::Text if context.global.verbose > 0 => {
            let palette = context.output.data;
            text::hosts(&read.plan, palette) + "\n" + &text::plan(&read.plan, palette)
        }
        PlanFormat::Text => text::plan(&read.plan, context.output.data),
        PlanFormat::Json => json::pretty(&read.plan)?,
        PlanFormat::Markdown => markdown::plan(&read.plan),
    };
    context.output.data(&rendered)?;
    let exit = Exit::of_plan(&read.plan, args.detailed_exitcode);
    if let Some(out) = &args.out {
        save(out, read, context)?;
    }
    Ok(exit)
}

fn save(out: &Path, read: Read, context: &Context) -> Result<(), CliError> {
    let saved = SavedPlan::new(read.plan, read.observed.hosts.iter().map(|host| &host.info))?;
    plan_file::write(out, &saved)?;
    let out = printable(&out.to_string_lossy());
    let how = match saved.plan.source.at {
        Some(_) => "it was made with --at, so it cannot be applied".to_owned(),
        None => format!("to apply exactly this: snapward apply --plan {out}"),
    };
    context.output.note(&format!("Plan {} is saved in {out}; {how}\n", saved.plan.plan_id));
    Ok(())
}
