//! A Git remote with its author's working copy, and keys to sign with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::tools;

/// A bare repository with the branch `main`, and a working copy of it.
pub(crate) struct Remote {
    dir: TempDir,
}

impl Remote {
    /// An empty one, with the keys `alice` and `mallory`; only Alice is an allowed signer.
    pub(crate) fn new() -> Self {
        let remote = Self { dir: TempDir::new().expect("a directory") };
        remote.git(&["init", "-q", "--bare", "-b", "main", &remote.url()]);
        remote.git(&["init", "-q", "-b", "main", tools::text(&remote.at("work"))]);
        for name in ["alice", "mallory"] {
            tools::run(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", tools::text(&remote.at(name))],
            );
        }
        let key = fs::read_to_string(remote.at("alice.pub")).expect("made");
        fs::write(remote.at("signers"), format!("alice@example.org namespaces=\"git\" {key}")).expect("written");
        remote
    }

    /// A path in the directory of all this.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Where it is cloned from.
    pub(crate) fn url(&self) -> String {
        tools::text(&self.at("remote.git")).to_owned()
    }

    /// Writes a file of the working copy.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.at("work").join(path);
        fs::create_dir_all(path.parent().expect("below the copy")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// Commits all that the working copy holds and pushes it, signed by a key where one is named; returns the commit.
    pub(crate) fn commit(&self, key: Option<&str>) -> String {
        self.work(&["add", "-A"]);
        let sign = key.map_or("--no-gpg-sign".to_owned(), |key| format!("-S{}", tools::text(&self.at(key))));
        self.work(&["commit", "-q", "--allow-empty", "-m", "a change", &sign]);
        self.push()
    }

    /// Makes the branch what the working copy is at; returns the commit.
    pub(crate) fn push(&self) -> String {
        self.work(&["push", "-q", "--force", &self.url(), "HEAD:main"]);
        self.work(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// A git command in the working copy.
    pub(crate) fn work(&self, args: &[&str]) -> String {
        self.git(&[&["-C", tools::text(&self.at("work"))], args].concat())
    }

    /// A git command with no settings of the machine.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let settings =
            ["user.name=Alice", "user.email=alice@example.org", "gpg.format=ssh"].iter().flat_map(|set| ["-c", set]);
        let ran = Command::new("git")
            .args(settings)
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("the tests need git");
        assert!(ran.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).expect("UTF-8")
    }
}

/// Makes a program of a shell script.
pub(crate) fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
}
