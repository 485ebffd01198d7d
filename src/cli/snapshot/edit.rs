//! `snapward snapshot edit`: libvirt's record of a snapshot in an editor, checked before it is given back.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use super::super::Context;
use super::super::args::exit_codes;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::act::{self, Seen, one};
use super::args::Domain;
use super::open::open;
use crate::libvirt::{self, Access};
use crate::model::act::Act;
use crate::model::desired::SavedSnapshot;
use crate::model::names::SnapshotName;
use crate::model::plan::Plan;
use crate::model::text::printable;
use crate::observe::Interest;
use crate::plan::order::{self, Edit};

/// Change libvirt's record of a snapshot in $VISUAL or $EDITOR.
///
/// What would make the snapshot unusable or its tree lie is refused, and the editor opens again where there is a terminal to ask
/// on. A text that was not taken over is kept in a file, which the error names.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward snapshot edit web-1 golden\n",
    "  snapward snapshot edit web-1 --current\n",
    "  EDITOR='sed -i s/old/new/' snapward snapshot edit web-1 old --rename\n",
    "\n",
    exit_codes!(act)
))]
pub(super) struct EditArgs {
    #[command(flatten)]
    domain: Domain,

    /// The snapshot's name.
    #[arg(value_name = "SNAPSHOT", required_unless_present = "current")]
    snapshot: Option<String>,

    /// Edit the current snapshot; with SNAPSHOT: make that the current one, too.
    #[arg(long)]
    current: bool,

    /// Allow another name; not for internal snapshots, whose content is found by it.
    #[arg(long, conflicts_with = "clone")]
    rename: bool,

    /// Make a second record under another name.
    #[arg(long)]
    clone: bool,
}

pub(super) fn run(args: &EditArgs, context: &Context) -> Result<Exit, CliError> {
    let opened = open(context, &args.domain.domain, Access::ReadWrite)?;
    let snapshot = match &args.snapshot {
        Some(name) => opened.snapshot(name)?,
        None => opened.current()?,
    };
    let xml = opened.host().snapshot_secure(&opened.domain, &snapshot)?;
    let how = match (args.rename, args.clone) {
        (true, _) => Edit::Rename,
        (_, true) => Edit::Clone,
        _ => Edit::KeepName,
    };
    let act = Act { make_current: args.current && args.snapshot.is_some(), ..Act::default() };
    let mut draft = Draft::new(&xml.0)?;
    loop {
        draft.edit()?;
        let text = draft.read()?;
        if text == *xml.0 && !act.make_current {
            draft.discard();
            context.output.note(&format!("snapshot {} was not changed\n", snapshot.name));
            return Ok(Exit::Done);
        }
        let checked = check(&draft, &text).and_then(|saved| {
            // The name in the text decides what of the images is looked at.
            let names = BTreeSet::from([&saved.snapshot.name]);
            let seen = opened.observe(&Interest { declared: names, ..Interest::default() })?;
            let plan = planned(&seen, &snapshot.name, &saved, how, act)?;
            Ok((seen, plan))
        });
        match checked {
            Ok((seen, plan)) => {
                let exit = act::carry_out(context, &opened, &seen, &plan)?;
                if exit == Exit::Done {
                    draft.discard();
                } else {
                    context.output.note(&format!("the text is kept in {}\n", draft.shown()));
                }
                return Ok(exit);
            }
            Err(error) => {
                if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
                    return Err(error.hint(format!("the text is kept in {}", draft.shown())));
                }
                context.output.error(&error);
                if !again(context) {
                    return Err(CliError::failed("given up; nothing was done")
                        .hint(format!("the text is kept in {}", draft.shown())));
                }
            }
        }
    }
}

fn check(draft: &Draft, text: &str) -> Result<SavedSnapshot, CliError> {
    libvirt::read_saved_snapshot(&draft.shown(), text)
        .map_err(|error| CliError::failed(format!("the text is not the XML of a snapshot: {error}; nothing was done")))
}

fn planned(seen: &Seen, old: &SnapshotName, saved: &SavedSnapshot, how: Edit, act: Act) -> Result<Plan, CliError> {
    order::edit(&seen.scene(), old, saved, how, act).map_err(|refusal| seen.refused(&one(refusal)))
}

/// As visudo: what now?
fn again(context: &Context) -> bool {
    context.output.note("Edit again? [Y/n] ");
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(0) | Err(_) => false,
        Ok(_) => !matches!(answer.trim(), "n" | "N" | "no"),
    }
}

/// The text while it is edited, in a file of its own that only its owner reads: it holds secrets.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn new(xml: &str) -> Result<Self, CliError> {
        let failed =
            |error: std::io::Error| CliError::failed(format!("no file for the editor: {error}; nothing was done"));
        let (path, mut file) = Self::file().map_err(failed)?;
        file.write_all(xml.as_bytes()).map_err(failed)?;
        Ok(Self { path })
    }

    /// A new file; never one that is there already, or a link to one.
    fn file() -> std::io::Result<(PathBuf, File)> {
        let dir = std::env::temp_dir();
        let mut last = std::io::Error::other("no free name");
        for n in 0..100 {
            let path = dir.join(format!("snapward-edit-{}-{n}.xml", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Runs the editor; its command may have arguments, as with virsh and git.
    fn edit(&self) -> Result<(), CliError> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned());
        let ended = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(&self.path).status();
        let why = match ended {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("ended with {status}"),
            Err(error) => format!("could not be started: {error}"),
        };
        let text = format!("the editor ({}) {why}; nothing was done", printable(&editor));
        Err(CliError::failed(text).hint(format!("the text is kept in {}", self.shown())))
    }

    fn read(&self) -> Result<String, CliError> {
        std::fs::read_to_string(&self.path)
            .map_err(|error| CliError::failed(format!("{} cannot be read: {error}; nothing was done", self.shown())))
    }

    fn shown(&self) -> String {
        printable(&self.path.to_string_lossy())
    }

    /// The text is no longer needed.
    fn discard(&mut self) {
        // What cannot be removed is a file of the user's own, with mode 0600.
        drop(std::fs::remove_file(Path::new(&self.path)));
    }
}
