//! `snapward snapshot create`: captures a snapshot, or gives libvirt the record of one.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::super::Context;
use super::super::args::exit_codes;
use super::super::clock;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::sources::STDIN;
use super::act::{self, one};
use super::args::Domain;
use super::open::{Opened, open};
use super::spec;
use crate::libvirt::{self, Access};
use crate::model::act::{Act, CaptureSpec, MemorySpec};
use crate::model::kinds::{Capture, CaptureDisk, Consistency, DiskLocation};
use crate::model::names::SnapshotName;
use crate::model::text::printable;
use crate::observe::Interest;
use crate::plan::order::{self, CaptureOrder};

/// The most that virsh reads of a file (`VSH_MAX_XML_FILE`).
const XML_LIMIT: u64 = 10 * 1024 * 1024;

/// Capture a snapshot, or give libvirt the record of one.
///
/// Without options: internal, with memory where the domain runs, named by the second. What libvirt would refuse, some of it only
/// after it changed an image, is refused before. The snapshot is nobody's: no set deletes it. An overlay without a path is put
/// beside the disk's image, named DOMAIN.DISK.SNAPSHOT.qcow2.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot create web-1 before-upgrade --description 'as installed'\n",
    "  snapward snapshot create web-1 nightly --disk-only --quiesce\n",
    "  snapward snapshot create web-1 full --memspec file=/images/web,,1.memory --diskspec vda,file=/images/web-full.qcow2\n",
    "  snapward snapshot create web-1 --xml request.xml\n",
    "  snapward snapshot create web-1 --xml golden.xml --redefine --current\n",
    "\n",
    exit_codes!(act)
))]
pub(super) struct CreateArgs {
    #[command(flatten)]
    domain: Domain,

    /// The snapshot's name; without it, the seconds since 1970.
    #[arg(value_name = "NAME", conflicts_with = "xml")]
    name: Option<String>,

    /// What it is for.
    #[arg(long, value_name = "TEXT", conflicts_with = "xml")]
    description: Option<String>,

    /// Where the memory goes: [file=]PATH[,snapshot=no|internal|external]; a comma in the path is doubled.
    #[arg(long, value_name = "SPEC", value_parser = spec::memspec, conflicts_with_all = ["xml", "disk_only"])]
    memspec: Option<MemorySpec>,

    /// What becomes of a disk: DISK[,snapshot=no|internal|external|manual][,driver=FORMAT][,stype=file|block][,file=PATH]; may be given
    /// several times.
    #[arg(long, value_name = "SPEC", value_parser = spec::diskspec, conflicts_with = "xml")]
    diskspec: Vec<CaptureDisk>,

    /// Read what to capture from XML, as virsh takes it; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    xml: Option<PathBuf>,

    /// Print the XML that describes the capture, and do nothing.
    #[arg(long, conflicts_with_all = ["xml", "no_metadata", "halt"])]
    print_xml: bool,

    #[command(flatten)]
    how: How,

    #[command(flatten)]
    record: Record,
}

/// How it is captured.
#[derive(Debug, Args)]
#[command(next_help_heading = "How it is captured")]
struct How {
    /// Capture the disks alone, without the memory of a running domain.
    #[arg(long)]
    disk_only: bool,

    /// Freeze the guest's filesystems meanwhile, through its agent; with --disk-only. Without an agent nothing is captured.
    #[arg(long, requires = "disk_only")]
    quiesce: bool,

    /// Leave the domain off afterwards. With --disk-only, what the guest had not yet written is lost.
    #[arg(long)]
    halt: bool,

    /// Let the guest run on while its memory is written; with --memspec.
    #[arg(long)]
    live: bool,

    /// Have libvirt promise all or nothing; for QEMU it always is.
    #[arg(long)]
    atomic: bool,

    /// Use overlays that are there: empty ones on the disks' active images.
    #[arg(long)]
    reuse_external: bool,

    /// Capture without libvirt listing the snapshot.
    #[arg(long)]
    no_metadata: bool,

    /// Have libvirt check the XML against its schema; also with --redefine.
    #[arg(long)]
    validate: bool,
}

/// Giving libvirt a record.
#[derive(Debug, Args)]
#[command(next_help_heading = "Giving libvirt the record of a snapshot")]
struct Record {
    /// Capture nothing: give libvirt the record of a snapshot that is in the images, from --xml.
    #[arg(long, requires = "xml", conflicts_with_all = ["disk_only", "halt", "live", "reuse_external", "no_metadata"])]
    redefine: bool,

    /// With --redefine: make it the current snapshot.
    #[arg(long, requires = "redefine")]
    current: bool,
}

pub(super) fn run(args: &CreateArgs, context: &Context) -> Result<Exit, CliError> {
    let text = args.xml.as_deref().map(read_xml).transpose()?;
    if let (Some(text), Some(file), true) = (&text, &args.xml, args.record.redefine) {
        return redefine(args, file, text, context);
    }
    let spec = match (&text, &args.xml) {
        (Some(text), Some(file)) => libvirt::read_capture(text).map_err(|error| unusable(file, &error))?,
        _ => CaptureSpec {
            name: args.name.clone(),
            description: args.description.clone(),
            memory: args.memspec.clone(),
            disks: args.diskspec.clone(),
        },
    };
    if args.print_xml {
        return context.output.data(&spec::xml(&spec)).map(|()| Exit::Done);
    }
    let name = spec.name.clone().unwrap_or_else(|| clock::now().as_second().to_string());
    let name = SnapshotName::parse(&name).map_err(|error| CliError::usage(error.to_string()))?;
    let opened = open(context, &args.domain.domain, Access::ReadWrite)?;
    may_halt(args, &opened)?;
    let mut wanted = Interest { declared: BTreeSet::from([&name]), ..Interest::default() };
    wanted.files.extend(spec.disks.iter().filter_map(|disk| disk.file.as_deref()));
    wanted.files.extend(spec.memory.iter().filter_map(|memory| memory.file.as_deref()));
    let external = |disk: &CaptureDisk| disk.format.is_some() || disk.location == Some(DiskLocation::External);
    wanted.external = args.how.disk_only || !wanted.files.is_empty() || spec.disks.iter().any(external);
    let seen = opened.observe(&wanted)?;
    let refused = |refusal| seen.refused(&one(refusal));
    let consistency = if args.how.quiesce { Consistency::Filesystem } else { Consistency::Crash };
    let capture = order::resolve(&spec, args.how.disk_only, &seen.domain).map_err(refused)?;
    let order = CaptureOrder {
        name: name.clone(),
        description: spec.description.clone().unwrap_or_default(),
        capture: Capture { consistency, ..capture },
        reuse: args.how.reuse_external,
        act: Act {
            halt: args.how.halt,
            live: args.how.live,
            atomic: args.how.atomic,
            no_metadata: args.how.no_metadata,
            validate: args.how.validate,
            ..Act::default()
        },
    };
    let plan = order::create(&seen.scene(), &order).map_err(refused)?;
    act::carry_out(context, &opened, &seen, &plan)
}

fn redefine(args: &CreateArgs, file: &Path, text: &str, context: &Context) -> Result<Exit, CliError> {
    let path = file.to_string_lossy();
    let saved = libvirt::read_saved_snapshot(&path, text).map_err(|error| unusable(file, &error))?;
    let opened = open(context, &args.domain.domain, Access::ReadWrite)?;
    let name = saved.snapshot.name.clone();
    let external = saved.snapshot.is_external();
    let wanted = Interest { declared: BTreeSet::from([&name]), external, ..Interest::default() };
    let seen = opened.observe(&wanted)?;
    let act = Act { make_current: args.record.current, validate: args.how.validate, ..Act::default() };
    let plan = order::redefine(&seen.scene(), &saved, act).map_err(|refusal| seen.refused(&one(refusal)))?;
    act::carry_out(context, &opened, &seen, &plan)
}

/// A transient domain that is switched off is gone, and its snapshots with it.
fn may_halt(args: &CreateArgs, opened: &Opened) -> Result<(), CliError> {
    if !args.how.halt || opened.host().is_persistent(&opened.domain)? {
        return Ok(());
    }
    let domain = printable(&opened.domain.name);
    let text = format!("domain {domain} is transient: switched off it is gone, with its snapshots; nothing was done");
    Err(CliError::failed(text).hint("leave --halt out, or make the domain persistent first (virsh define)"))
}

fn unusable(file: &Path, error: &str) -> CliError {
    let text = format!("{}: not the XML of a snapshot: {error}; nothing was done", printable(&file.to_string_lossy()));
    CliError::failed(text)
}

/// Reads a file as virsh does: all of it, up to its limit.
fn read_xml(file: &Path) -> Result<String, CliError> {
    let shown = printable(&file.to_string_lossy());
    let failed = |error: std::io::Error| CliError::failed(format!("{shown} cannot be read: {error}; nothing was done"));
    let reader: Box<dyn std::io::Read> = if file.as_os_str() == STDIN {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(failed)?)
    };
    let mut text = String::new();
    reader.take(XML_LIMIT + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > XML_LIMIT {
        return Err(CliError::failed(format!(
            "{shown} is larger than 10 MiB, which is virsh's limit; nothing was done"
        )));
    }
    Ok(text)
}
