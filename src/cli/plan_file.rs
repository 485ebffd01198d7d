//! The file of a saved plan: written whole or not at all, readable to its owner alone, and read back with a limit.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::sources;
use crate::model::desired::Definition;
use crate::model::plan::ReasonCode;
use crate::model::saved::{SavedPlan, sha256};
use crate::model::text::printable;
use crate::report::json;

/// The largest saved plan. An item takes some 500 bytes, so this is a plan of ten thousand domains with ten items each.
const MAX_BYTES: usize = 64 << 20;

/// What a refused file ends with.
const MAKE_ANEW: &str = "make a new one: snapward plan --out FILE PATH...";

/// Writes a saved plan to a file of mode 0600, in place of what was there. Manifests and names are not for everybody.
///
/// # Errors
/// When it cannot be written; what was there is still there then.
pub(super) fn write(path: &Path, saved: &SavedPlan) -> Result<(), CliError> {
    let shown = shown(path);
    let text = json::pretty(saved)?;
    if text.len() > MAX_BYTES {
        return Err(CliError::failed(format!("the plan has more than the {MAX_BYTES} bytes that apply reads back"))
            .hint("plan fewer domains at a time"));
    }
    replace(path, text.as_bytes())
        .map_err(|error| CliError::failed(format!("the plan could not be written to {shown}: {error}")))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match path.symlink_metadata() {
        // Renaming over /dev/stdout, or over a link, would take it away from others.
        Ok(found) if !found.is_file() => return Err(io::Error::other("it exists and is not a regular file")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let Some(name) = path.file_name() else { return Err(io::Error::other("it is not the name of a file")) };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = directory.join(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The error that matters is the first one.
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    // The name is on disk only when its directory is.
    File::open(directory)?.sync_all()
}

/// Reads a saved plan and the files that it restores snapshots from.
///
/// # Errors
/// When it is no saved plan, was changed, was made for another time, or restores from a file that changed since.
pub(super) fn read(path: &Path) -> Result<SavedPlan, CliError> {
    let shown = shown(path);
    let refused = |why: &str| CliError::manifest(format!("the plan {shown} {why}; nothing was done"));
    let bytes = contents(path).map_err(|error| refused(&format!("cannot be read: {error}")))?;
    if bytes.len() > MAX_BYTES {
        return Err(refused(&format!("has more than the {MAX_BYTES} bytes of the largest plan")).hint(MAKE_ANEW));
    }
    let mut saved = SavedPlan::parse(&bytes).map_err(|error| refused(&error.to_string()).hint(MAKE_ANEW))?;
    if let Some(at) = &saved.plan.source.at {
        let why = format!("was made as of {} (--at), so it cannot be applied", printable(at));
        return Err(refused(&why).hint("plan without --at"));
    }
    for definition in &saved.definitions {
        let what = format!("the definition of {}", definition.address);
        let refused = |why: &str| CliError::manifest(format!("{what} {why}; nothing was done")).hint(MAKE_ANEW);
        let xml = sources::definition_text(&PathBuf::from(&definition.path)).map_err(|error| refused(&error))?;
        if sha256(xml.as_bytes()) != definition.sha256 {
            return Err(refused(&format!("changed after the plan was made: {}", printable(&definition.path))));
        }
        let read = Definition { path: definition.path.as_str().into(), xml: xml.into() };
        for action in &mut saved.plan.actions {
            if action.reason.code == ReasonCode::Definition && action.address == definition.address {
                action.definition = Some(read.clone());
            }
        }
    }
    Ok(saved)
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    sources::read_capped(File::open(path)?, MAX_BYTES)
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_private_and_nothing_else_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        for other in [link.as_path(), dir.path(), Path::new("/dev/null"), &dir.path().join("none/plan")] {
            assert!(replace(other, b"x").is_err(), "{}", other.display());
        }
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file stays");
    }
}
