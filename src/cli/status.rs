//! `snapward status`: how the selected domains stand.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::Context;
use super::agent_client::{self, DEFAULT_SOCKET};
use super::args::{Format, exit_codes, path_names};
use super::error::CliError;
use super::exit::Exit;
use super::{clock, manifests, reading};
use crate::libvirt::Access;
use crate::model::agent::AgentStatus;
use crate::model::desired::DesiredState;
use crate::model::kinds::TimeSpan;
use crate::model::plan::PlanSource;
use crate::model::status::Status;
use crate::plan;
use crate::report::{json, text};

/// How long `--wait` pauses between two readings: short beside any capture, long beside a reading of some hundred
/// domains.
const POLL: Duration = Duration::from_secs(2);

/// Show how the domains stand, and their snapshot trees.
///
/// Per domain: whether it is Ready (everything as declared, nothing blocked, nothing suspended), why not, the newest
/// good snapshot, and the tree. Uses read-only connections.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward status sets/\n",
    "  snapward status --wait --timeout 10m sets/\n",
    "  snapward status --agent               what the agent on this host says\n",
    "  snapward status -o json sets/ | jq '.domains[] | {domain, newestGood}'\n",
    "\n",
    exit_codes!(status)
))]
pub(super) struct StatusArgs {
    /// Manifest files, directories (all *.yaml and *.yml below them), or `-` for standard input.
    #[arg(value_name = "PATH", required_unless_present = "agent")]
    paths: Vec<PathBuf>,

    /// Ask a running agent instead, at its socket: what it last saw, and what it is doing.
    #[arg(
        long,
        value_name = "SOCKET",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = DEFAULT_SOCKET,
        conflicts_with_all = ["paths", "wait"]
    )]
    pub(super) agent: Option<PathBuf>,

    /// Wait until all are Ready, or the timeout is over.
    #[arg(long)]
    wait: bool,

    /// How long to wait, as 90s, 10m or 1h30m.
    #[arg(long, value_name = "SPAN", default_value = "5m", value_parser = TimeSpan::parse, requires = "wait")]
    timeout: TimeSpan,

    /// The form of the status.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let desired = manifests::desired(&args.paths, context)?;
    let _interrupt = reading::prepare(context.output)?;
    let end = if args.wait { args.timeout.after(clock::now()) } else { None };
    let (status, now) = loop {
        let now = clock::now();
        let over = end.is_none_or(|end| now >= end);
        match read(args, context, &desired, now) {
            Ok(status) if over || status.summary.all_ready => break (status, now),
            Err(error) if over => return Err(error),
            Ok(_) | Err(_) => thread::sleep(POLL),
        }
    };
    let rendered = match args.output {
        Format::Text => text::status(&status, now, context.output.data),
        Format::Json => json::pretty(&status)?,
    };
    context.output.data(&rendered)?;
    Ok(Exit::of_status(&status))
}

/// What a running agent says of itself.
pub(super) fn of_agent(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let socket = args.agent.as_deref().unwrap_or(Path::new(DEFAULT_SOCKET));
    let text = agent_client::get(socket, "/api/v1/status")?;
    let status: AgentStatus = serde_json::from_str(&text).map_err(|error| {
        CliError::failed(format!("the agent at {} gave no status that this version reads: {error}", socket.display()))
            .hint("the agent may be of another version: restart it after an update")
    })?;
    match args.output {
        Format::Text => context.output.data(&text::agent(&status, clock::now(), context.output.data))?,
        Format::Json => context.output.data(&text)?,
    }
    Ok(match status.is_ready() {
        true => Exit::Done,
        false if !status.unreadable.is_empty() => Exit::Partly,
        false => Exit::NeedsPerson,
    })
}

/// One reading, over connections of its own: one that broke while waiting must not stay broken.
fn read(args: &StatusArgs, context: &Context, desired: &DesiredState, now: Timestamp) -> Result<Status, CliError> {
    let source = PlanSource { paths: path_names(&args.paths), at: None };
    let read = reading::read(desired, &context.global.connect, Access::ReadOnly, now, source)?;
    Ok(plan::status(&read.observed, &read.plan))
}
