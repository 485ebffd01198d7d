//! Reads the manifests that PATHs name, and the files they refer to: the only I/O on the way to the desired state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::libvirt;
use crate::manifest::{self, Code, Diagnostic, Loaded, MAX_FILE_BYTES, Source};
use crate::model::desired::{DesiredState, SavedSnapshot};
use crate::model::text::printable;

/// The name of standard input, as a PATH and in findings.
pub const STDIN: &str = "-";

/// The largest file that `definition:` may name. libvirt itself reads a snapshot's file back only up to this size
/// (`virFileReadAll` in `qemuDomainSnapshotLoad`, 1024 * 1024 * 1).
pub const MAX_DEFINITION_BYTES: usize = 1 << 20;

/// The deepest directory followed below a PATH. Repositories are far flatter; a bind mount of a parent is not.
const MAX_DIRECTORY_DEPTH: usize = 64;

/// The manifests of one run, as they were read.
#[derive(Debug, Default)]
pub struct Collected {
    /// In the order of the PATHs, directories by path.
    pub sources: Vec<Source>,
    /// What could not be read.
    pub diagnostics: Vec<Diagnostic>,
    places: BTreeMap<Arc<str>, Place>,
    seen: BTreeSet<PathBuf>,
}

/// Where a manifest lies.
#[derive(Debug)]
struct Place {
    /// Its directory: paths in it are relative to this.
    directory: PathBuf,
    /// The given root, links resolved: nothing outside it is read.
    root: PathBuf,
}

/// Reads and loads the manifests of all PATHs, and the files that their `definition:` fields name.
pub fn load(paths: &[PathBuf], stdin: &mut dyn Read) -> (Vec<Source>, Loaded) {
    let mut collected = collect(paths, stdin);
    let mut loaded = manifest::load(&collected.sources);
    if !collected.diagnostics.is_empty() {
        // What a reference names may be in a file that could not be read.
        loaded.diagnostics.retain(|d| !matches!(d.code, Code::Unresolved | Code::NoManifest));
    }
    if !loaded.has_errors() {
        let found = read_definitions(&collected, &mut loaded.desired);
        loaded.diagnostics.extend(found);
    }
    collected.diagnostics.append(&mut loaded.diagnostics);
    loaded.diagnostics = collected.diagnostics;
    (collected.sources, loaded)
}

/// Reads the manifests of all PATHs: files, directories, `-`. A file that two PATHs reach is read once.
pub fn collect(paths: &[PathBuf], stdin: &mut dyn Read) -> Collected {
    let mut collected = Collected::default();
    for path in paths {
        if path.as_os_str() == STDIN {
            collected.stdin(stdin);
        } else {
            collected.path(path);
        }
    }
    collected
}

impl Collected {
    fn stdin(&mut self, stdin: &mut dyn Read) {
        if self.places.contains_key(STDIN) {
            return;
        }
        let here = PathBuf::from(".");
        match read_capped(stdin, MAX_FILE_BYTES) {
            Ok(text) => self.add(STDIN.into(), text, here.clone(), here),
            Err(error) => self.unreadable(STDIN, &format!("cannot read standard input: {error}"), ""),
        }
    }

    fn path(&mut self, path: &Path) {
        let name = path.to_string_lossy();
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.unreadable(&name, "no such file or directory", "give a file, a directory or -");
            }
            Err(error) => return self.unreadable(&name, &format!("cannot be read: {error}"), ""),
        };
        if metadata.is_dir() {
            return self.directory(path);
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        self.file(path, &directory);
    }

    fn directory(&mut self, root: &Path) {
        let name = root.to_string_lossy();
        let resolved = match root.canonicalize() {
            Ok(resolved) => resolved,
            Err(error) => return self.unreadable(&name, &format!("cannot be read: {error}"), ""),
        };
        let before = self.diagnostics.len();
        let files = self.walk(root, &resolved);
        if files.is_empty() && self.diagnostics.len() == before {
            let message = "the directory holds no *.yaml or *.yml file; names that begin with a dot are skipped";
            self.diagnostics.push(Diagnostic::about_file(Code::NoManifest, &name, message));
        }
        for file in files {
            self.file(&file, root);
        }
    }

    /// The manifests below a directory, by path. Links are followed as long as they stay inside it.
    fn walk(&mut self, root: &Path, resolved_root: &Path) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        let mut visited = BTreeSet::from([resolved_root.to_owned()]);
        let mut open = vec![(root.to_owned(), 0)];
        while let Some((directory, depth)) = open.pop() {
            let entries = match fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
                Ok(entries) => entries,
                Err(error) => {
                    self.unreadable(&directory.to_string_lossy(), &format!("cannot be listed: {error}"), "");
                    continue;
                }
            };
            for entry in entries {
                if entry.file_name().as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                let path = entry.path();
                let is_manifest = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
                // Follows a link; one that dangles matters only under a manifest's name.
                let metadata = match fs::metadata(&path) {
                    Ok(metadata) => metadata,
                    Err(error) if is_manifest => {
                        self.unreadable(&path.to_string_lossy(), &format!("cannot be read: {error}"), "");
                        continue;
                    }
                    Err(_) => continue,
                };
                if !metadata.is_dir() && !is_manifest {
                    continue;
                }
                let Ok(resolved) = path.canonicalize() else { continue };
                if !resolved.starts_with(resolved_root) {
                    let message = format!("a link that leads out of the given directory, to {}", shown(&resolved));
                    self.unreadable(&path.to_string_lossy(), &message, "give its target as a PATH of its own");
                } else if metadata.is_file() {
                    files.insert(path);
                } else if !metadata.is_dir() {
                    self.unreadable(&path.to_string_lossy(), "not a regular file", "");
                } else if depth == MAX_DIRECTORY_DEPTH {
                    let message = format!("directories are nested more than {MAX_DIRECTORY_DEPTH} deep");
                    self.unreadable(&path.to_string_lossy(), &message, "");
                } else if visited.insert(resolved) {
                    open.push((path, depth + 1));
                }
            }
        }
        files
    }

    fn file(&mut self, path: &Path, root: &Path) {
        // A pipe (`<(...)`) has no path to resolve and is never given twice.
        let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if !self.seen.insert(resolved) {
            return;
        }
        let name = path.to_string_lossy();
        let read = File::open(path).and_then(|file| {
            let bytes = file.metadata()?.len();
            if bytes > MAX_FILE_BYTES as u64 { Ok(Err(bytes)) } else { read_capped(file, MAX_FILE_BYTES).map(Ok) }
        });
        match read {
            Ok(Ok(text)) => {
                let directory = path.parent().unwrap_or(root).to_owned();
                self.add(name.into(), text, directory, root.to_owned());
            }
            Ok(Err(bytes)) => self.diagnostics.push(manifest::too_large(&name, bytes)),
            Err(error) => self.unreadable(&name, &format!("cannot be read: {error}"), ""),
        }
    }

    fn add(&mut self, name: Arc<str>, text: Vec<u8>, directory: PathBuf, root: PathBuf) {
        self.places.insert(Arc::clone(&name), Place { directory, root });
        self.sources.push(Source { name, text });
    }

    fn unreadable(&mut self, name: &str, message: &str, help: &str) {
        let found = Diagnostic::about_file(Code::Unreadable, name, message);
        self.diagnostics.push(if help.is_empty() { found } else { found.help(help) });
    }
}

/// Reads the files that `definition:` fields name into the desired state. What fails is a finding at the field.
pub fn read_definitions(collected: &Collected, desired: &mut DesiredState) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for document in &desired.sets {
        for (i, snapshot) in document.value.spec.snapshots.iter().enumerate() {
            let Some(definition) = &snapshot.definition else { continue };
            let key = (Arc::clone(&document.file), definition.clone());
            if desired.definitions.contains_key(&key) {
                continue;
            }
            let Some(place) = collected.places.get(&document.file) else { continue };
            match read_definition(place, definition) {
                Ok(saved) => {
                    desired.definitions.insert(key, saved);
                }
                Err(reason) => {
                    let line = document.origin(&format!("/spec/snapshots/{i}/definition")).line;
                    let message = format!("the definition of snapshot `{}` {reason}", snapshot.name);
                    if let Some(source) = collected.sources.iter().find(|source| source.name == document.file) {
                        let help = "give a file with the snapshot's XML, as `virsh snapshot-dumpxml --security-info` prints it";
                        found.push(Diagnostic::at_line(Code::Unreadable, source, line, message).help(help));
                    }
                }
            }
        }
    }
    found
}

fn read_definition(place: &Place, definition: &str) -> Result<SavedSnapshot, String> {
    let path = place.directory.join(definition);
    let shown_path = shown(&path);
    let resolve =
        |path: &Path| path.canonicalize().map_err(|error| format!("cannot be read from {shown_path}: {error}"));
    let resolved = resolve(&path)?;
    if !resolved.starts_with(resolve(&place.root)?) {
        return Err(format!("lies outside the given directory, at {}", shown(&resolved)));
    }
    let text = definition_text(&resolved)?;
    libvirt::read_saved_snapshot(&path.to_string_lossy(), &text)
        .map_err(|error| format!("is not a snapshot's XML ({error}): {shown_path}"))
}

/// What a file that `definition:` names holds.
///
/// # Errors
/// Why it cannot be used, to follow the words "the definition ...".
pub(super) fn definition_text(path: &Path) -> Result<String, String> {
    let shown_path = shown(path);
    let unreadable = |error| format!("cannot be read from {shown_path}: {error}");
    // Before it is opened: a pipe would wait for its writer.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(format!("is not a regular file: {shown_path}"));
    }
    let bytes = File::open(path).and_then(|file| read_capped(file, MAX_DEFINITION_BYTES)).map_err(unreadable)?;
    if bytes.len() > MAX_DEFINITION_BYTES {
        return Err(format!("has more than the {MAX_DEFINITION_BYTES} bytes libvirt reads back: {shown_path}"));
    }
    String::from_utf8(bytes).map_err(|_| format!("is not UTF-8: {shown_path}"))
}

/// Reads at most one byte more than the cap, which shows that there is more.
pub(super) fn read_capped(from: impl Read, cap: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(cap as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}
