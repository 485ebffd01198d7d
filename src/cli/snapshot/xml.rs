//! `snapward snapshot xml`: a snapshot's XML as libvirt writes it, or nodes of it.

use clap::Args;

use super::super::Context;
use super::super::args::exit_codes;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::args::Domain;
use super::open::{Opened, open};
use super::xpath::Selection;
use crate::host::SnapshotRef;
use crate::libvirt::Access;

/// Print a snapshot's XML as libvirt writes it.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot xml web-1 golden\n",
    "  snapward snapshot xml web-1 golden --security-info > golden.xml\n",
    "  snapward snapshot xml web-1 golden --xpath //disk --wrap\n",
    "\n",
    exit_codes!(ask)
))]
pub(super) struct XmlArgs {
    #[command(flatten)]
    domain: Domain,

    /// The snapshot's name.
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,

    #[command(flatten)]
    secrets: Secrets,

    /// Print only the nodes that this XPath 1.0 expression selects, one after the other; none is no error. Needs xmllint.
    #[arg(long, value_name = "EXPRESSION", allow_hyphen_values = true)]
    xpath: Option<String>,

    /// Put the selected nodes into one <nodes> element.
    #[arg(long, requires = "xpath")]
    wrap: bool,
}

/// Whether secrets are printed.
#[derive(Debug, Args)]
pub(super) struct Secrets {
    /// With the secrets in the domain's definition, as a VNC password; needs a connection that may write.
    #[arg(long)]
    security_info: bool,
}

impl Secrets {
    /// The least access that answers.
    pub(super) fn access(&self) -> Access {
        if self.security_info { Access::ReadWrite } else { Access::ReadOnly }
    }

    /// A snapshot's XML: one call.
    ///
    /// # Errors
    /// When the snapshot is gone.
    pub(super) fn xml(&self, opened: &Opened, snapshot: &SnapshotRef) -> Result<String, CliError> {
        let (host, domain) = (opened.host(), &opened.domain);
        if self.security_info {
            host.snapshot_secure(domain, snapshot).map(|xml| xml.0.to_string()).map_err(CliError::from)
        } else {
            host.snapshot_xml(domain, snapshot).map_err(CliError::from)
        }
    }
}

pub(super) fn run(args: &XmlArgs, context: &Context) -> Result<Exit, CliError> {
    let selection = args.xpath.as_deref().map(|expression| Selection::new(expression, args.wrap)).transpose()?;
    let opened = open(context, &args.domain.domain, args.secrets.access())?;
    let snapshot = opened.snapshot(&args.snapshot)?;
    let xml = args.secrets.xml(&opened, &snapshot)?;
    let printed = match selection {
        Some(selection) => selection.of(&xml)?,
        None => xml,
    };
    context.output.verbatim(&printed)?;
    Ok(Exit::Done)
}
