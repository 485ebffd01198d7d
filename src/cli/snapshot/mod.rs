//! `snapward snapshot`: what virsh's snapshot commands do, for one domain and named snapshots. One file per verb.

mod act;
mod args;
mod create;
mod current;
mod delete;
mod edit;
mod hold;
mod info;
mod list;
mod open;
mod parent;
mod revert;
mod spec;
mod xml;
mod xpath;

pub(super) use act::{Seen, carry_out};
use clap::{Args, Subcommand};
pub(super) use open::{Opened, open};

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
        "  snapward snapshot create web-1 before-upgrade\n",
        "  snapward snapshot delete web-1 before-upgrade --yes\n",
        "\n",
        exit_codes!(act)
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
    Create(create::CreateArgs),
    Edit(edit::EditArgs),
    Delete(delete::DeleteArgs),
    Hold(hold::HoldArgs),
    Unhold(hold::UnholdArgs),
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
        SnapshotVerb::Create(args) => create::run(args, context),
        SnapshotVerb::Edit(args) => edit::run(args, context),
        SnapshotVerb::Delete(args) => delete::run(args, context),
        SnapshotVerb::Hold(args) => hold::run(args, context),
        SnapshotVerb::Unhold(args) => hold::lift(args, context),
        SnapshotVerb::Revert(args) => revert::run(args, context),
    }
}
