//! `snapward snapshot list`: the snapshots of a domain, chosen and shown in every way of virsh's, and as JSON.

use std::collections::BTreeMap;

use clap::Args;
use jiff::tz::TimeZone;

use super::super::Context;
use super::super::args::{Format, exit_codes};
use super::super::clock;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::args::Domain;
use super::open::{Opened, open};
use crate::host::{HostError, SnapshotQuery, SnapshotRef};
use crate::libvirt::Access;
use crate::model::listing::{SnapshotList, UnreadableSnapshot};
use crate::model::plan::FORMAT_VERSION;
use crate::model::status::StatusSnapshot;
use crate::observe::listing;
use crate::report::{json, text};

/// List the snapshots of a domain.
///
/// A table of name, creation time and state, as `virsh snapshot-list` prints it. The tree also shows which one is current, what
/// kind it is, its age, its size, and whose it is. Filters of different kinds add up; both of a kind, as --leaves and
/// --no-leaves, filter nothing.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot list web-1\n",
    "  snapward snapshot list web-1 --tree\n",
    "  snapward snapshot list web-1 --name --leaves --external\n",
    "  snapward snapshot list web-1 --from golden --descendants\n",
    "  snapward snapshot list web-1 -o json | jq -r '.snapshots[] | select(.owner == null) | .name'\n",
    "\n",
    exit_codes!(ask)
))]
pub(super) struct ListArgs {
    #[command(flatten)]
    domain: Domain,

    /// Show each one's parent, too.
    #[arg(long, conflicts_with_all = ["roots", "tree"])]
    parent: bool,

    /// Print names alone, one per line.
    #[arg(long, conflicts_with = "tree")]
    name: bool,

    /// Draw the tree.
    #[arg(long, conflicts_with_all = ["roots", "leaves", "no_leaves", "inactive", "active", "disk_only", "internal", "external"])]
    tree: bool,

    /// Parents before children, rather than by name.
    #[arg(long)]
    topological: bool,

    /// The form of the list; JSON has all there is to say of each.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,

    #[command(flatten)]
    chosen: Chosen,
}

/// Which snapshots are listed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
struct Chosen {
    /// Only the children of this snapshot; with --tree itself and all below.
    #[arg(long, value_name = "SNAPSHOT", conflicts_with_all = ["roots", "current"])]
    from: Option<String>,

    /// Only the children of the current snapshot; with --tree itself and all below.
    #[arg(long, conflicts_with = "roots")]
    current: bool,

    /// With --from or --current: all that hang below, not the children alone.
    #[arg(long)]
    descendants: bool,

    /// Only those without a parent.
    #[arg(long)]
    roots: bool,

    /// Only those without children.
    #[arg(long)]
    leaves: bool,

    /// Only those with children.
    #[arg(long)]
    no_leaves: bool,

    /// Only those that libvirt keeps metadata of, which stands in the way of undefining the domain: under QEMU all.
    #[arg(long)]
    metadata: bool,

    /// Only those that exist without metadata of libvirt's: under QEMU none.
    #[arg(long)]
    no_metadata: bool,

    /// Only those taken while the domain was off.
    #[arg(long)]
    inactive: bool,

    /// Only those taken of the running domain with its memory.
    #[arg(long)]
    active: bool,

    /// Only those taken of the running domain's disks alone.
    #[arg(long)]
    disk_only: bool,

    /// Only those inside the disk images.
    #[arg(long)]
    internal: bool,

    /// Only those with files of their own.
    #[arg(long)]
    external: bool,
}

impl ListArgs {
    /// What cannot be said in the arguments' own rules.
    fn check(&self) -> Result<(), CliError> {
        if self.chosen.descendants && self.chosen.from.is_none() && !self.chosen.current {
            return Err(CliError::usage("--descendants says how far below --from SNAPSHOT or --current the list goes")
                .hint("give one of them, or leave --descendants out: without them all snapshots are listed"));
        }
        if self.output == Format::Json && (self.parent || self.name || self.tree) {
            return Err(CliError::usage(
                "--parent, --name and --tree are forms of the text; JSON always has all of it",
            ));
        }
        Ok(())
    }

    fn query(&self, below: Option<SnapshotRef>) -> SnapshotQuery {
        let chosen = &self.chosen;
        SnapshotQuery {
            descendants: below.is_some() && (chosen.descendants || self.tree),
            below,
            roots: chosen.roots,
            leaves: chosen.leaves,
            no_leaves: chosen.no_leaves,
            metadata: chosen.metadata,
            no_metadata: chosen.no_metadata,
            inactive: chosen.inactive,
            active: chosen.active,
            disk_only: chosen.disk_only,
            internal: chosen.internal,
            external: chosen.external,
            topological: self.topological,
        }
    }
}

pub(super) fn run(args: &ListArgs, context: &Context) -> Result<Exit, CliError> {
    args.check()?;
    let opened = open(context, &args.domain.domain, Access::ReadOnly)?;
    let below = match &args.chosen.from {
        Some(name) => Some(opened.snapshot(name)?),
        None if args.chosen.current => Some(opened.current()?),
        None => None,
    };
    let query = args.query(below);
    if args.name && !args.parent {
        let names = listing::names(opened.host(), &opened.domain, &query)?;
        let text: String = names.iter().map(|snapshot| format!("{}\n", snapshot.name)).collect();
        context.output.data(&text)?;
        return Ok(Exit::Done);
    }
    let list = read(args, &opened, &query)?;
    let rendered = match args.output {
        Format::Json => json::pretty(&list)?,
        Format::Text if args.tree => text::snapshot_tree(&list, clock::now(), context.output.data),
        Format::Text if args.name => text::snapshot_parents(&list),
        Format::Text => text::snapshot_table(&list, args.parent, &TimeZone::system()),
    };
    context.output.data(&rendered)?;
    for snapshot in &list.unreadable {
        context.output.error(&CliError::failed(&snapshot.error));
    }
    Ok(if list.unreadable.is_empty() { Exit::Done } else { Exit::Partly })
}

/// Reads the list, and what only the tree and JSON show: which one is current, and sizes.
fn read(args: &ListArgs, opened: &Opened, query: &SnapshotQuery) -> Result<SnapshotList, CliError> {
    let (host, domain) = (opened.host(), &opened.domain);
    let start = query.below.as_ref().filter(|_| args.tree);
    let listed = listing::list(host, domain, query, start)?;
    let mut current = query.below.as_ref().filter(|_| args.chosen.current).map(|start| start.name.clone());
    let mut sizes = BTreeMap::new();
    if (args.tree || args.output == Format::Json) && !listed.snapshots.is_empty() {
        if current.is_none() {
            current = host.current(domain)?.map(|current| current.name);
        }
        sizes = listing::sizes(host, domain, &listed.snapshots);
    }
    let entry = |snapshot| {
        let entry = StatusSnapshot::of(snapshot, None, current.as_ref());
        StatusSnapshot { size: sizes.get(&entry.name).copied(), ..entry }
    };
    let unreadable = |(name, error): (_, HostError)| UnreadableSnapshot { name, error: error.to_string() };
    Ok(SnapshotList {
        format_version: FORMAT_VERSION,
        domain: opened.asked(),
        snapshots: listed.snapshots.iter().map(entry).collect(),
        unreadable: listed.unreadable.into_iter().map(unreadable).collect(),
    })
}
