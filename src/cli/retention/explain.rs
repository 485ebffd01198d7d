//! `snapward retention explain`: why each snapshot of a series stays or goes.

use clap::Args;
use jiff::Timestamp;

use crate::cli::args::{Format, Paths, exit_codes};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::{Context, clock, manifests, reading};
use crate::libvirt::Access;
use crate::model::kinds::DateOrInstant;
use crate::model::plan::PlanSource;
use crate::model::text::printable;
use crate::plan;
use crate::report::{json, text};

/// Show why each snapshot of a series stays or goes, and when.
///
/// Reads the hosts over read-only connections. What is shown is what plan decides: of each kept snapshot all its reasons
/// and when it will go, of each other one what took its place and the smallest change of policy that would keep it.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward retention explain sets/\n",
    "  snapward retention explain --domain web-1 sets/\n",
    "  snapward retention explain --at 2027-01-01 -o json sets/\n",
    "\n",
    exit_codes!(explain)
))]
pub(in crate::cli) struct ExplainArgs {
    #[command(flatten)]
    paths: Paths,

    /// Only this domain; may be given several times.
    #[arg(long, value_name = "NAME")]
    domain: Vec<String>,

    /// Decide as if it were this time (2027-01-01 or 2027-01-01T08:00:00Z).
    #[arg(long, value_name = "TIME", value_parser = DateOrInstant::parse)]
    at: Option<DateOrInstant>,

    /// The form of the explanation.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: &ExplainArgs, context: &Context) -> Result<Exit, CliError> {
    let desired = manifests::desired(&args.paths.paths, context)?;
    let _interrupt = reading::prepare(context.output)?;
    let at: Option<Timestamp> = args.at.as_ref().map(DateOrInstant::timestamp);
    let now = at.unwrap_or_else(clock::now);
    let source = PlanSource { paths: args.paths.names(), at: None };
    let mut read = reading::read(&desired, &context.global.connect, Access::ReadOnly, now, source)?;
    if !args.domain.is_empty() {
        let known = |name: &&String| {
            let unread =
                read.plan.unreadable.iter().any(|item| item.domain.as_ref().is_none_or(|domain| domain == *name));
            unread || read.plan.domains.iter().any(|domain| domain.domain == **name)
        };
        if let Some(name) = args.domain.iter().find(|name| !known(name)) {
            return Err(CliError::usage(format!("no set selects a domain named {}", printable(name))));
        }
        for host in &mut read.observed.hosts {
            host.domains.retain(|domain| args.domain.contains(&domain.name));
        }
    }
    let unread = !read.plan.unreadable.is_empty();
    let explanation = plan::explain(&desired, &read.observed, now, &read.plan);
    let rendered = match args.output {
        Format::Text => text::explanation(&explanation, context.output.data),
        Format::Json => json::pretty(&explanation)?,
    };
    context.output.data(&rendered)?;
    Ok(if unread { Exit::Partly } else { Exit::Done })
}
