//! Which branch of which repository is followed, and how it is named without the secrets that a URL can hold.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::model::text::{hex, printable};

/// How much of the hash names a branch's directory.
const KEY_BYTES: usize = 8;

/// Where manifests are fetched from.
#[derive(Debug, Clone)]
pub struct Remote {
    /// A URL or path that git fetches from, as [`Remote::check_url`] accepts it.
    pub url: String,
    /// The branch, as [`Remote::check_branch`] accepts it.
    pub branch: String,
    /// The directory or file in the repository, as [`Remote::check_path`] accepts it.
    pub path: PathBuf,
    /// How often it is asked.
    pub interval: Duration,
    /// The allowed signers (ssh-keygen(1)), absolute; with them, only commits signed by one of their keys are used.
    pub allowed_signers: Option<PathBuf>,
}

impl Remote {
    /// Whether a URL names a repository, and not an option or a program to run.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_url(url: &str) -> Result<(), String> {
        // gitremote-helpers(7): `ext::sh -c ...` and others of that form.
        let helper = url.split_once("::").is_some_and(|(name, _)| !name.contains(['/', ':', '[', '@']));
        match url {
            "" => Err("give the URL of a repository".to_owned()),
            _ if url.starts_with('-') => Err("a URL cannot begin with `-`".to_owned()),
            _ if helper => {
                Err("URLs that name a program (ext::) are not used; give file, http, https or ssh".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether a name can be a branch's: git refuses the rest by itself, but not what means something else to it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_branch(branch: &str) -> Result<(), String> {
        let special = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
        match branch.is_empty() || branch.starts_with('-') || branch.contains(special) {
            true => Err("this is no name of a branch, as git-check-ref-format(1) defines them".to_owned()),
            false => Ok(()),
        }
    }

    /// Whether a path stays inside the repository.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_path(path: &Path) -> Result<(), String> {
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        match path.components().all(inside) && path.components().next().is_some() {
            true => Ok(()),
            false => Err("give a path below the root of the repository, without `..`".to_owned()),
        }
    }

    /// How it is named for people: URL, branch and path.
    pub(super) fn name(&self) -> String {
        match self.path == Path::new(".") {
            true => self.branch_name(),
            false => format!("{}:{}", self.branch_name(), printable(&self.path.to_string_lossy())),
        }
    }

    /// The name of the directory that belongs to this branch of this repository. Another password is the same branch.
    pub(super) fn key(&self) -> String {
        hex(&Sha256::digest(self.branch_name().as_bytes())[..KEY_BYTES])
    }

    /// git's words without the secrets of the URL.
    pub(super) fn redacted(&self, said: &str) -> String {
        match secret(&self.url) {
            Some(secret) => said.replace(secret, ""),
            None => said.to_owned(),
        }
    }

    fn branch_name(&self) -> String {
        format!("{}#{}", printable(&self.redacted(&self.url)), printable(&self.branch))
    }
}

/// What must not be shown of a URL: for http all before the `@`, as tokens take the user's place there too; else the
/// password.
fn secret(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let at = authority.rfind('@')?;
    match scheme.starts_with("http") {
        true => authority.get(..=at),
        false => authority.get(authority.find(':').filter(|colon| *colon < at)?..at),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn remote(url: &str) -> Remote {
        Remote {
            url: url.to_owned(),
            branch: "main".to_owned(),
            path: PathBuf::from("."),
            interval: Duration::from_secs(60),
            allowed_signers: None,
        }
    }

    #[rstest]
    #[case("https://me:pa%20ss@git.example/a.git", "https://git.example/a.git#main")]
    #[case("https://ghp_token@git.example/a.git", "https://git.example/a.git#main")]
    #[case("https://git.example/a@b.git", "https://git.example/a@b.git#main")]
    #[case("ssh://git:pw@git.example:22/a.git", "ssh://git@git.example:22/a.git#main")]
    #[case("git@git.example:a.git", "git@git.example:a.git#main")]
    #[case("/srv/a.git", "/srv/a.git#main")]
    fn names_hold_no_secret(#[case] url: &str, #[case] name: &str) {
        assert_eq!(remote(url).name(), name);
    }

    #[test]
    fn gits_own_words_are_shown_without_the_password() {
        let said = remote("https://me:pw@h/a").redacted("unable to access 'https://me:pw@h/a/': no route");
        assert_eq!(said, "unable to access 'https://h/a/': no route");
    }

    #[test]
    fn another_password_is_the_same_branch_and_another_branch_is_not() {
        let key = remote("https://a:1@h/a").key();
        assert_eq!(key, remote("https://b:2@h/a").key());
        assert_ne!(key, Remote { branch: "next".to_owned(), ..remote("https://a:1@h/a") }.key());
    }

    #[rstest]
    #[case("ext::sh -c true", false)]
    #[case("foo::bar", false)]
    #[case("--upload-pack=x", false)]
    #[case("", false)]
    #[case("ssh://[::1]/a.git", true)]
    #[case("git@[fe80::1]:a.git", true)]
    #[case("../a.git", true)]
    fn urls_name_repositories(#[case] url: &str, #[case] good: bool) {
        assert_eq!(Remote::check_url(url).is_ok(), good);
    }

    #[rstest]
    #[case("release/1.0", true)]
    #[case("*", false)]
    #[case("a:refs/heads/b", false)]
    #[case("-x", false)]
    fn branches_are_names(#[case] branch: &str, #[case] good: bool) {
        assert_eq!(Remote::check_branch(branch).is_ok(), good);
    }

    #[rstest]
    #[case("sets/prod", true)]
    #[case(".", true)]
    #[case("/etc", false)]
    #[case("a/../../b", false)]
    #[case("", false)]
    fn paths_stay_inside(#[case] path: &str, #[case] good: bool) {
        assert_eq!(Remote::check_path(Path::new(path)).is_ok(), good);
    }
}
