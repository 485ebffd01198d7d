//! `snapward snapshot`: what virsh's snapshot commands do, for one domain and named snapshots. One file per verb.

mod args;
mod current;
mod info;
mod list;
mod open;
mod parent;
mod revert;
mod xml;
mod xpath;

use clap::{Args, Subcommand};

use super::Context;
use super::args::exit_codes;
use super::error::CliError;
use super::exit::Exit;

/// Ask about or act on the snapshots of one domain, as virsh's snapshot commands do.
///
/// The domain is on the host of -c, else of $LIBVIRT_DEFAULT_URI, else of qemu:///system, and is given by name, UUID or id.
/// No manifest is read.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    after_help = concat!(
        "Examples:\n",
        "  snapward snapshot list web-1 --tree\n",
        "  snapward -c qemu+ssh://kvm-017/system snapshot info web-1 golden\n",
        "  snapward snapshot xml web-1 golden > golden.xml\n",
        "\n",
        exit_codes!(ask)
    )
)]
pub(super) struct SnapshotArgs {
    #[command(subcommand)]
    verb: SnapshotVerb,
}

/// What to ask or do.
#[derive(Debug, Subcommand)]
enum SnapshotVerb {
    List(list::ListArgs),
    Info(info::InfoArgs),
    Xml(xml::XmlArgs),
    Parent(parent::ParentArgs),
    Current(current::CurrentArgs),
    Revert(revert::RevertArgs),
}

/// Runs a verb; all of them reach a host.
pub(super) fn run(args: &SnapshotArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.verb {
        SnapshotVerb::List(args) => list::run(args, context),
        SnapshotVerb::Info(args) => info::run(args, context),
        SnapshotVerb::Xml(args) => xml::run(args, context),
        SnapshotVerb::Parent(args) => parent::run(args, context),
        SnapshotVerb::Current(args) => current::run(args, context),
        SnapshotVerb::Revert(args) => revert::run(args, context),
    }
}
