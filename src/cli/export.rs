//! `snapward export` and `snapward detach`: the snapshots of domains as files, to have them again on another host or after a
//! transient domain came back; and libvirt's records dropped, so that a domain can be undefined or migrated.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Context;
use super::apply::{confirmed, may_ask};
use super::args::exit_codes;
use super::clock;
use super::error::CliError;
use super::exit::Exit;
use super::manifests;
use super::snapshot::{Opened, Seen, carry_out, open};
use crate::libvirt::Access;
use crate::manifest::export;
use crate::model::desired::DesiredState;
use crate::model::text::printable;
use crate::observe::Interest;
use crate::plan::order;

/// Write the snapshots of domains to files.
///
/// A manifest per domain, and the XML of every snapshot. Applied where libvirt does not know the snapshots (another host to which the images were moved, a transient domain that came
/// back), the manifest restores its records: parents first, the current one last, external ones only as a whole tree that fits
/// the images. Files are made with mode 0600, and none is overwritten.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward export web-1 web-2 --dir saved\n",
    "  snapward export web-1 --dir saved --security-info\n",
    "  snapward -c qemu+ssh://kvm-018/system apply saved/web-1.yaml\n",
    "\n",
    exit_codes!(act)
))]
pub(super) struct ExportArgs {
    /// Domains: name, UUID, or id while it runs.
    #[arg(value_name = "DOMAIN", required = true)]
    domains: Vec<String>,

    /// The directory to write to.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// With the secrets in the domains' definitions, as a VNC password: without them a revert to what was restored loses them.
    #[arg(long)]
    security_info: bool,
}

/// Export snapshots, then have libvirt forget them.
///
/// So the domains can be undefined or migrated. Nothing in the images changes. The export holds the secrets of the domains' definitions, and nothing is forgotten before all
/// of it is written. A domain that a set is at work on is refused: with its snapshots gone from libvirt, the set would report them
/// as missing or capture new ones. Where its snapshots belong to sets, give their manifests: each must be suspended or exclude the
/// domain.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward detach web-1 --export saved --manifests sets/\n",
    "  snapward apply saved/web-1.yaml\n",
    "\n",
    exit_codes!(act)
))]
pub(super) struct DetachArgs {
    /// Domains: name, UUID, or id while it runs.
    #[arg(value_name = "DOMAIN", required = true)]
    domains: Vec<String>,

    /// The directory to export to.
    #[arg(long, value_name = "DIR")]
    export: PathBuf,

    /// The manifests that are applied to this host: none of their sets may be at work on the domains.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    manifests: Vec<PathBuf>,

    /// Detach without asking; required where there is no terminal to ask on.
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(args: &ExportArgs, context: &Context) -> Result<Exit, CliError> {
    let access = if args.security_info { Access::ReadWrite } else { Access::ReadOnly };
    for opened in all(context, &args.domains, access)? {
        let seen = opened.observe(&Interest::default())?;
        if let Some(refusal) = order::export_obstacle(&seen.scene()) {
            // What there is is written; restored like that it would be refused.
            context
                .output
                .error(&seen.refused(&[refusal]).hint("the export is written, and cannot be restored as it is"));
        }
        let file = write(&opened, &seen, &args.dir, args.security_info)?;
        context.output.data(&format!("{file}\n"))?;
    }
    Ok(Exit::Done)
}

pub(super) fn detach(args: &DetachArgs, context: &Context) -> Result<Exit, CliError> {
    may_ask(args.yes, "run it with --yes")?;
    let desired = match args.manifests.as_slice() {
        [] => None,
        paths => Some(manifests::desired(paths, context)?),
    };
    let mut ready = Vec::new();
    for opened in all(context, &args.domains, Access::ReadWrite)? {
        let seen = opened.observe(&Interest::default())?;
        not_at_work(&seen, desired.as_ref())?;
        if let Some(refusal) = order::export_obstacle(&seen.scene()) {
            return Err(seen.refused(&[refusal]).hint("detached like that, the snapshots could not be restored"));
        }
        ready.push((opened, seen));
    }
    for (_, seen) in &ready {
        let count = crate::model::text::count(seen.domain.tree.len(), "snapshot", "snapshots");
        context.output.note(&format!("- {}: libvirt forgets {count}\n", printable(&seen.domain.name)));
    }
    if !args.yes && !confirmed(context, "Export and detach?") {
        return Err(CliError::failed("not confirmed; nothing was changed"));
    }
    for (opened, seen) in &ready {
        let file = write(opened, seen, &args.export, true)?;
        context.output.data(&format!("{file}\n"))?;
    }
    let mut exits = Vec::new();
    for (opened, seen) in &ready {
        let plan = order::forget_all(&seen.scene());
        exits.push(if plan.actions.is_empty() { Exit::Done } else { carry_out(context, opened, seen, &plan)? });
    }
    Ok(Exit::foremost(&exits))
}

/// The domains on the one connection.
fn all(context: &Context, domains: &[String], access: Access) -> Result<Vec<Opened>, CliError> {
    let mut opened: Vec<Opened> = Vec::with_capacity(domains.len());
    for domain in domains {
        let next = match opened.first() {
            Some(first) => first.another(domain)?,
            None => open(context, domain, access)?,
        };
        opened.push(next);
    }
    Ok(opened)
}

/// Makes sure that no set would find its snapshots missing.
fn not_at_work(seen: &Seen, desired: Option<&DesiredState>) -> Result<(), CliError> {
    let domain = printable(&seen.domain.name);
    if let Some(desired) = desired {
        let sets: Vec<String> = order::sets_at_work(desired, &seen.scene()).iter().map(ToString::to_string).collect();
        if sets.is_empty() {
            return Ok(());
        }
        let text = format!("set {} is at work on domain {domain}; nothing was done", sets.join(", "));
        return Err(
            CliError::failed(text).hint("suspend the set (spec.suspend), or exclude the domain, and apply first")
        );
    }
    let owner = seen.domain.tree.iter().find_map(|snapshot| Some((&snapshot.name, &snapshot.own_stamp()?.set)));
    match owner {
        None => Ok(()),
        Some((snapshot, set)) => {
            let text = format!("snapshot {snapshot} of domain {domain} belongs to set {set}; nothing was done");
            Err(CliError::failed(text)
                .hint("give the manifests of its set (--manifests PATH), suspended or without the domain"))
        }
    }
}

/// Writes what there is of a domain; gives the manifest's path.
fn write(opened: &Opened, seen: &Seen, dir: &Path, secrets: bool) -> Result<String, CliError> {
    let name = export::file_name(&seen.domain.name);
    let folder = dir.join(&name);
    make_dir(dir)?;
    make_dir(&folder)?;
    for snapshot in opened.host().snapshots(&opened.domain)? {
        let xml = if secrets {
            opened.host().snapshot_secure(&opened.domain, &snapshot)?.0.to_string()
        } else {
            opened.host().snapshot_xml(&opened.domain, &snapshot)?
        };
        put(&folder.join(format!("{}.xml", snapshot.name)), &xml)?;
    }
    let text = export::manifest(&seen.domain, clock::now())
        .map_err(|error| CliError::failed(format!("could not write YAML: {error}; this is a bug in snapward")))?;
    let file = dir.join(format!("{name}.yaml"));
    put(&file, &text)?;
    Ok(printable(&file.to_string_lossy()))
}

fn make_dir(dir: &Path) -> Result<(), CliError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| unwritten(dir, &error))
}

/// Writes a new file for its owner alone.
fn put(path: &Path, text: &str) -> Result<(), CliError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        // libvirt's own record may be dropped next.
        file.sync_all()
    };
    write().map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> CliError {
    let text = format!("{} cannot be written: {error}; no domain was changed", printable(&path.to_string_lossy()));
    CliError::failed(text).hint("give a directory that does not hold an export yet")
}
