//! Reading manifests from PATHs: what is found, skipped and refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use snapward::cli::sources::{self, MAX_DEFINITION_BYTES};
use snapward::manifest::{Code, MAX_FILE_BYTES};
use tempfile::TempDir;

fn set(name: &str, snapshot: &str) -> String {
    format!(
        "apiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {{name: {name}}}\nspec:\n  domains: {{include: [{name}]}}\n  snapshots:\n    - {snapshot}\n"
    )
}

fn write(root: &TempDir, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().expect("below the root")).expect("created");
    fs::write(&path, text).expect("written");
    path
}

fn root() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// The names of what was collected, below the root, and the codes of what was not.
fn collected(root: &TempDir, paths: &[&Path]) -> (Vec<String>, Vec<Code>) {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    let collected = sources::collect(&paths, &mut std::io::empty());
    let prefix = format!("{}/", root.path().display());
    let names = collected.sources.iter().map(|s| s.name.trim_start_matches(&prefix).to_owned()).collect();
    (names, collected.diagnostics.iter().map(|d| d.code).collect())
}

#[test]
fn a_directory_is_read_in_order_without_dot_files() {
    let root = root();
    for path in ["b.yaml", "a/z.yml", "a/.hidden.yaml", ".git/x.yaml", "notes.txt", "a/y.json"] {
        write(&root, path, "");
    }
    assert_eq!(collected(&root, &[root.path()]), (vec!["a/z.yml".to_owned(), "b.yaml".to_owned()], vec![]));
}

#[test]
fn a_file_reached_twice_is_read_once() {
    let root = root();
    let file = write(&root, "a.yaml", "");
    symlink(&file, root.path().join("b.yaml")).expect("linked");
    assert_eq!(collected(&root, &[&file, root.path()]).0, ["a.yaml"]);
}

#[test]
fn links_are_followed_inside_the_root_and_refused_outside() {
    let (root, other) = (root(), root());
    // How Kubernetes mounts a ConfigMap.
    write(&root, "..data/a.yaml", "");
    symlink("..data/a.yaml", root.path().join("a.yaml")).expect("linked");
    symlink(".", root.path().join("loop")).expect("linked");
    assert_eq!(collected(&root, &[root.path()]), (vec!["a.yaml".to_owned()], vec![]));
    let outside = write(&other, "b.yaml", "");
    symlink(&outside, root.path().join("b.yaml")).expect("linked");
    symlink(other.path(), root.path().join("dir")).expect("linked");
    assert_eq!(collected(&root, &[root.path()]).1, [Code::Unreadable, Code::Unreadable]);
}

#[test]
fn what_is_not_there_is_said() {
    let root = root();
    assert_eq!(collected(&root, &[&root.path().join("none.yaml")]).1, [Code::Unreadable]);
    assert_eq!(collected(&root, &[root.path()]).1, [Code::NoManifest]);
}

#[test]
fn a_file_over_the_cap_is_not_read() {
    let root = root();
    let file = write(&root, "big.yaml", vec![b'#'; MAX_FILE_BYTES + 1]);
    assert_eq!(collected(&root, &[&file]), (vec![], vec![Code::Limit]));
}

#[test]
fn standard_input_is_a_source_of_its_own() {
    let text = set("web", "{name: golden, create: never}");
    let (sources, loaded) = sources::load(&["-".into()], &mut text.as_bytes());
    assert_eq!(&*sources[0].name, "-");
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    assert_eq!(loaded.desired.sets.len(), 1);
}

#[test]
fn definitions_are_read_from_beside_the_manifest() {
    let root = root();
    write(&root, "sets/web.yaml", set("web", "{name: golden, definition: ../xml/golden.xml}"));
    let xml = "<domainsnapshot><name>golden</name><creationTime>7</creationTime></domainsnapshot>";
    write(&root, "xml/golden.xml", xml);
    let (_, loaded) = sources::load(&[root.path().to_owned()], &mut std::io::empty());
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    let file = loaded.desired.sets[0].file.clone();
    let saved = &loaded.desired.definitions[&(file, "../xml/golden.xml".to_owned())];
    assert_eq!((&*saved.xml.xml, saved.snapshot.created, saved.domain), (xml, 7, None));
}

#[test]
fn a_definition_that_cannot_be_used_is_a_finding_at_its_line() {
    let (root, other) = (root(), root());
    let outside = write(&other, "secret.xml", "<domainsnapshot/>");
    symlink(&outside, root.path().join("link.xml")).expect("linked");
    write(&root, "big.xml", vec![b' '; MAX_DEFINITION_BYTES + 1]);
    write(&root, "latin.xml", b"caf\xe9");
    fs::create_dir(root.path().join("dir.xml")).expect("created");
    for (definition, words) in [
        ("link.xml", "lies outside the given directory"),
        ("../../etc/hostname", "cannot be read from"),
        ("none.xml", "cannot be read from"),
        ("big.xml", "has more than the 1048576 bytes"),
        ("latin.xml", "is not UTF-8"),
        ("dir.xml", "is not a regular file"),
    ] {
        write(&root, "web.yaml", set("web", &format!("{{name: golden, definition: {definition}}}")));
        let (_, loaded) = sources::load(&[root.path().join("web.yaml")], &mut std::io::empty());
        assert!(loaded.has_errors());
        let found = &loaded.diagnostics[0];
        assert_eq!((found.code, found.line), (Code::Unreadable, 7), "{found:?}");
        let outside = definition.starts_with("..") && found.message.contains("lies outside");
        assert!(found.message.contains(words) || outside, "{found:?}");
    }
}
