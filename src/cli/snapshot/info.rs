//! `snapward snapshot info`: what a snapshot is, in a few lines.

use clap::Args;

use super::super::Context;
use super::super::args::{Format, exit_codes};
use super::super::error::CliError;
use super::super::exit::Exit;
use super::args::{Domain, Which};
use super::open::open;
use crate::host::SnapshotQuery;
use crate::libvirt::Access;
use crate::model::listing::SnapshotInfo;
use crate::model::plan::FORMAT_VERSION;
use crate::model::status::StatusSnapshot;
use crate::report::{json, text};

/// Show what a snapshot is: state, location, parent, how many hang below it.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot info web-1 golden\n",
    "  snapward snapshot info web-1 --current\n",
    "\n",
    exit_codes!(ask)
))]
pub(super) struct InfoArgs {
    #[command(flatten)]
    domain: Domain,
    #[command(flatten)]
    which: Which,

    /// The form of the answer; JSON has the description, too.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: &InfoArgs, context: &Context) -> Result<Exit, CliError> {
    let opened = open(context, &args.domain.domain, Access::ReadOnly)?;
    let (host, domain) = (opened.host(), &opened.domain);
    let snapshot = opened.which(&args.which)?;
    let read = host.snapshot(domain, &snapshot)?;
    let current = if args.which.current {
        Some(snapshot.name.clone())
    } else {
        host.current(domain)?.map(|current| current.name)
    };
    let below = |descendants| {
        let query = SnapshotQuery { below: Some(snapshot.clone()), descendants, ..SnapshotQuery::default() };
        host.select(domain, &query).map(|below| below.len()).map_err(CliError::from)
    };
    let children = below(false)?;
    let info = SnapshotInfo {
        format_version: FORMAT_VERSION,
        domain: opened.asked(),
        snapshot: StatusSnapshot::of(&read, None, current.as_ref()),
        children,
        // Where nothing is, nothing is below it.
        descendants: if children == 0 { 0 } else { below(true)? },
        description: read.description.human,
        // Of libvirt's drivers, those that snapward is for keep metadata of every snapshot
        // (qemuDomainSnapshotHasMetadata, testDomainSnapshotHasMetadata: always 1).
        metadata: true,
    };
    let rendered = match args.output {
        Format::Text => text::snapshot_info(&info),
        Format::Json => json::pretty(&info)?,
    };
    context.output.data(&rendered)?;
    Ok(Exit::Done)
}
