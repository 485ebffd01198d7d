//! Manifests in a directory or in files, watched by inotify and read again every few minutes.
//!
//! The watch is a hint. It is armed anew before each reading, so that no change falls between, and what a path leads to now is
//! what is watched: a symlink may be swapped, as git-sync does, or a directory replaced. It is on the directory with what lies
//! and leads below, and on its parent, which alone tells when the directory itself is replaced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{Event, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use super::{Loader, Revision, Source, SourceError, Verification, checked};
use crate::manifest::{Loaded, Source as Text};
use crate::model::text::hex;

/// How often the files are read when no event comes: what a network filesystem changes raises none.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How much of the hash names a revision: as much as of a plan.
const ID_BYTES: usize = 16;

/// Manifests in a directory or in files.
pub struct Directory {
    paths: Vec<PathBuf>,
    load: Loader,
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
}

impl Directory {
    /// Reads the paths with `load`, and tells `changed` of what happens below them.
    pub fn new(paths: Vec<PathBuf>, load: Loader, changed: Arc<Notify>) -> Self {
        Self { paths, load, changed, watcher: None }
    }

    /// Watches what the paths lead to now.
    fn arm(&mut self) {
        self.watcher = match watch(&self.paths, Arc::clone(&self.changed)) {
            Ok(watcher) => Some(watcher),
            // As where the user's inotify watches are used up (fs.inotify.max_user_watches).
            Err(error) => {
                tracing::warn!(%error, "cannot watch the manifests; they are read every {} s", INTERVAL.as_secs());
                None
            }
        };
    }
}

impl Source for Directory {
    fn paths(&self) -> Vec<String> {
        self.paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
    }

    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn read(&mut self) -> Result<Revision, SourceError> {
        self.arm();
        let (texts, loaded) = (self.load)(&self.paths);
        let id = revision(&texts, &loaded);
        let named = (!texts.is_empty()).then(|| id.clone());
        checked(id, &texts, loaded).map_err(|text| SourceError { id: named, text })
    }

    fn verification(&self) -> Verification {
        let message = "a directory carries no signature; who may write to it decides".to_owned();
        Verification { verified: false, reason: "NotSigned", message }
    }
}

/// A hash of the manifests and of the files they refer to.
fn revision(texts: &[Text], loaded: &Loaded) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update(bytes);
        hash.update((bytes.len() as u64).to_le_bytes());
    };
    for text in texts {
        part(text.name.as_bytes());
        part(&text.text);
    }
    let definitions: BTreeMap<_, _> =
        loaded.desired.definitions.values().map(|saved| (&saved.xml.path, &saved.xml.xml)).collect();
    for (path, xml) in definitions {
        part(path.as_bytes());
        part(xml.as_bytes());
    }
    hex(&hash.finalize()[..ID_BYTES])
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) => PathBuf::from("."),
        None => path.to_owned(),
    }
}

fn watch(paths: &[PathBuf], changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let roots = paths.to_vec();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // An error says that events were lost.
        if event.map_or(true, |event| matters(&event, &roots)) {
            changed.notify_one();
        }
    })?;
    for path in paths {
        // Where the parent is missing too there is nothing to watch: the interval finds what comes.
        drop(watcher.watch(&parent(path), RecursiveMode::NonRecursive));
        if path.is_dir() {
            watcher.watch(path, RecursiveMode::Recursive)?;
        }
    }
    Ok(watcher)
}

/// Reading raises events too, our own among them. Beside a watched path its neighbours do not matter.
fn matters(event: &Event, roots: &[PathBuf]) -> bool {
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    event.need_rescan() || event.paths.is_empty() || {
        let named = |path: &PathBuf| roots.iter().any(|root| path.starts_with(root) || path.ends_with(root));
        event.paths.iter().any(named)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const SET: &str =
        "apiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {name: web}\nspec:\n  domains: {include: [web]}\n";

    fn loader() -> Loader {
        Box::new(|paths| crate::cli::sources::load(paths, &mut std::io::empty()))
    }

    struct Lab {
        dir: tempfile::TempDir,
        changed: Arc<Notify>,
        source: Directory,
    }

    impl Lab {
        fn new(path: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let changed = Arc::new(Notify::new());
            let source = Directory::new(vec![dir.path().join(path)], loader(), Arc::clone(&changed));
            Self { dir, changed, source }
        }

        fn at(&self, path: &str) -> PathBuf {
            self.dir.path().join(path)
        }

        fn write(&self, path: &str, text: &str) {
            fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
            fs::write(self.at(path), text).unwrap();
        }

        /// Reads a revision that differs from the one before, once the watch has told of a change.
        async fn changes(&mut self, before: &str) -> String {
            let told = tokio::time::timeout(Duration::from_secs(20), self.changed.notified()).await;
            assert!(told.is_ok(), "no event");
            loop {
                match self.source.read() {
                    Ok(revision) if revision.id != before => return revision.id,
                    // Replacing takes two steps, and each is told of.
                    _ => tokio::time::timeout(Duration::from_secs(20), self.changed.notified()).await.unwrap(),
                }
            }
        }
    }

    #[tokio::test]
    async fn writes_renames_and_new_folders_are_told_of() {
        let mut lab = Lab::new("m");
        lab.write("m/a.yaml", SET);
        let first = lab.source.read().expect("valid").id;
        lab.write("m/a.yaml", &format!("# changed\n{SET}"));
        let second = lab.changes(&first).await;
        lab.write("a.new", &format!("# an editor's\n{SET}"));
        fs::rename(lab.at("a.new"), lab.at("m/a.yaml")).unwrap();
        let third = lab.changes(&second).await;
        lab.write("m/sub/b.yaml", &SET.replace("name: web", "name: other"));
        assert_ne!(lab.changes(&third).await, first);
    }

    #[tokio::test]
    async fn a_swapped_link_is_followed_and_watched_again() {
        let mut lab = Lab::new("current");
        for n in ["1", "2"] {
            lab.write(&format!("rev-{n}/a.yaml"), &format!("# {n}\n{SET}"));
        }
        symlink("rev-1", lab.at("current")).unwrap();
        let first = lab.source.read().expect("valid").id;
        symlink("rev-2", lab.at("next")).unwrap();
        fs::rename(lab.at("next"), lab.at("current")).unwrap();
        let second = lab.changes(&first).await;
        lab.write("rev-2/a.yaml", &format!("# 3\n{SET}"));
        assert_ne!(lab.changes(&second).await, first, "the new target is watched");
    }

    #[tokio::test]
    async fn a_mounted_config_map_is_followed() {
        let mut lab = Lab::new("m");
        for n in ["1", "2"] {
            lab.write(&format!("m/..{n}/a.yaml"), &format!("# {n}\n{SET}"));
        }
        symlink("..1", lab.at("m/..data")).unwrap();
        symlink("..data/a.yaml", lab.at("m/a.yaml")).unwrap();
        let first = lab.source.read().expect("valid").id;
        symlink("..2", lab.at("m/..data_tmp")).unwrap();
        fs::rename(lab.at("m/..data_tmp"), lab.at("m/..data")).unwrap();
        lab.changes(&first).await;
    }

    #[tokio::test]
    async fn an_editor_that_moves_the_old_file_away_is_followed() {
        // vim's way: the old file becomes the backup, and a new one is written.
        for path in ["m", "m/a.yaml"] {
            let mut lab = Lab::new(path);
            lab.write("m/a.yaml", SET);
            let first = lab.source.read().expect("valid").id;
            fs::rename(lab.at("m/a.yaml"), lab.at("m/a.yaml~")).unwrap();
            assert!(lab.source.read().is_err(), "nothing there for a moment");
            lab.write("m/a.yaml", &format!("# saved\n{SET}"));
            fs::remove_file(lab.at("m/a.yaml~")).unwrap();
            let second = lab.changes(&first).await;
            lab.write("a.new", &format!("# renamed\n{SET}"));
            fs::rename(lab.at("a.new"), lab.at("m/a.yaml")).unwrap();
            lab.changes(&second).await;
        }
    }

    #[tokio::test]
    async fn a_replaced_root_is_followed_and_watched_again() {
        let mut lab = Lab::new("m");
        lab.write("m/a.yaml", SET);
        let first = lab.source.read().expect("valid").id;
        lab.write("new/a.yaml", &format!("# new\n{SET}"));
        fs::rename(lab.at("m"), lab.at("old")).unwrap();
        fs::rename(lab.at("new"), lab.at("m")).unwrap();
        let second = lab.changes(&first).await;
        lab.write("m/a.yaml", &format!("# newer\n{SET}"));
        lab.changes(&second).await;
    }

    #[tokio::test]
    async fn a_root_whose_parent_was_missing_too_is_watched_again_from_the_next_reading_on() {
        let mut lab = Lab::new("p/m");
        lab.write("p/m/a.yaml", SET);
        let first = lab.source.read().expect("valid").id;
        fs::remove_dir_all(lab.at("p")).unwrap();
        assert!(lab.source.read().is_err());
        // Nobody is told of this: the agent reads again after a pause.
        lab.write("p/m/a.yaml", &format!("# back\n{SET}"));
        let second = lab.source.read().expect("back").id;
        assert_ne!(second, first);
        lab.write("p/m/a.yaml", &format!("# changed\n{SET}"));
        lab.changes(&second).await;
    }

    #[tokio::test]
    async fn reading_wakes_nobody() {
        let mut lab = Lab::new("m");
        lab.write("m/a.yaml", SET);
        for _ in 0..3 {
            lab.source.read().expect("valid");
        }
        fs::read_to_string(lab.at("m/a.yaml")).unwrap();
        fs::read_dir(lab.at("m")).unwrap().for_each(drop);
        // Events come within some milliseconds.
        let told = tokio::time::timeout(Duration::from_millis(300), lab.changed.notified()).await;
        assert!(told.is_err(), "told of a reading");
    }

    #[tokio::test]
    async fn a_missing_or_emptied_root_is_an_error_until_it_is_back() {
        let mut lab = Lab::new("m");
        assert!(lab.source.read().is_err(), "not there yet");
        lab.write("m/a.yaml", SET);
        let first = lab.changes("").await;
        fs::rename(lab.at("m"), lab.at("away")).unwrap();
        let error = lab.source.read().expect_err("gone");
        assert!(error.text.contains("no such file or directory") && error.id.is_none(), "{}", error.text);
        fs::create_dir(lab.at("m")).unwrap();
        assert!(lab.source.read().is_err(), "an empty directory declares nothing, and is no revision");
        lab.write("m/a.yaml", &format!("# back\n{SET}"));
        assert_ne!(lab.changes(&first).await, first);
    }

    #[tokio::test]
    async fn an_invalid_change_names_what_is_wrong() {
        let mut lab = Lab::new("m/a.yaml");
        lab.write("m/a.yaml", SET);
        lab.source.read().expect("valid");
        lab.write("m/a.yaml", &SET.replace("domains", "domain"));
        let error = lab.source.read().expect_err("a misspelt key");
        assert!(error.id.is_some() && error.text.contains("a.yaml:5"), "{}", error.text);
    }

    #[test]
    fn reading_and_neighbours_do_not_count_as_changes() {
        let roots = [PathBuf::from("/m")];
        let event = |kind, path: &str| Event::new(kind).add_path(PathBuf::from(path));
        let modified = EventKind::Modify(notify::event::ModifyKind::Any);
        assert!(matters(&event(modified, "/m/a.yaml"), &roots));
        assert!(!matters(&event(modified, "/other"), &roots));
        assert!(!matters(&event(EventKind::Access(notify::event::AccessKind::Any), "/m/a.yaml"), &roots));
    }
}
