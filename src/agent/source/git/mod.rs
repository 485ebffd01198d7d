//! Manifests in a Git repository: fetched with the system's git, checked before anything of it is used, laid out by commit.
//!
//! What a remote sends is not trusted. A commit counts only as a descendant of the last one that was used, and, where
//! signers are given, only with the signature of one of them. No filter that its attributes ask for runs, and no link leads
//! out of it. The remote is asked on a thread of its own: one that hangs must not hold up the schedules.

mod command;
mod remote;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::{Loader, Revision, Source, SourceError, Verification, checked};
use command::{Failure, git, run};
pub use remote::Remote;

/// How long a reading waits for the remote. What comes later is read when it is there.
const PATIENCE: Duration = Duration::from_secs(10);

/// The ref that the remote's branch is fetched to.
const FETCHED: &str = "refs/snapward/fetched";

/// The ref of the commit that was used last: it outlives the agent.
const APPLIED: &str = "refs/snapward/applied";

/// Of highest precedence (gitattributes(5)): files are laid out byte by byte as they were committed.
const ATTRIBUTES: &str = "* -filter -text -ident !eol !working-tree-encoding\n";

/// Manifests in a Git repository.
pub struct Git {
    remote: Remote,
    load: Loader,
    changed: Arc<Notify>,
    /// What is kept of this branch: the repository and the checkouts.
    home: PathBuf,
    /// Held as long as this is the one agent that uses `home`.
    _lock: File,
    /// The remote is being asked.
    asking: Option<Receiver<Result<String, SourceError>>>,
    /// Whether it was read since the start.
    begun: bool,
    verification: Verification,
}

impl Git {
    /// Follows a remote, keeps what it needs below `state`, and tells `changed` of answers that come late.
    ///
    /// # Errors
    /// When the directory cannot be used, or another agent uses it for the same branch.
    pub fn open(remote: Remote, state: &Path, load: Loader, changed: Arc<Notify>) -> io::Result<Self> {
        let home = std::path::absolute(state)?.join("git").join(remote.key());
        // git makes its files for everybody, and the repository may be a private one.
        DirBuilder::new().recursive(true).mode(0o700).create(&home)?;
        let lock = File::create(home.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another agent follows the same branch there"),
            TryLockError::Error(error) => error,
        })?;
        let git = Self {
            remote,
            load,
            changed,
            home,
            _lock: lock,
            asking: None,
            begun: false,
            verification: Verification {
                verified: false,
                reason: "NotRead",
                message: "the repository was not read yet".to_owned(),
            },
        };
        // After a crash of the machine, files that were not written to the end can be among them.
        remove(&git.checkouts())?;
        Ok(git)
    }

    fn repository(&self) -> PathBuf {
        self.home.join("repository.git")
    }

    fn checkouts(&self) -> PathBuf {
        self.home.join("checkouts")
    }

    /// Asks the remote for the commit its branch points to.
    fn ask(&mut self) -> Result<String, SourceError> {
        let (answer, wait) = match self.asking.take() {
            Some(answer) => (answer, Duration::ZERO),
            None => (self.begin_to_ask(), PATIENCE),
        };
        match answer.recv_timeout(wait) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                self.asking = Some(answer);
                let name = self.remote.name();
                Err(refused(None, format!("{name} has not answered yet; it is used as soon as it does")))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(refused(None, "fetching ended in a defect of snapward".to_owned()))
            }
        }
    }

    fn begin_to_ask(&self) -> Receiver<Result<String, SourceError>> {
        let (sender, answer) = channel();
        let (remote, repository, changed) = (self.remote.clone(), self.repository(), Arc::clone(&self.changed));
        thread::spawn(move || {
            let begun = Instant::now();
            let fetched = fetch(&remote, &repository).map_err(|failure| {
                let text = format!("{} could not be fetched: {}", remote.name(), remote.redacted(&failure.said()));
                refused(None, text)
            });
            let late = begun.elapsed() >= PATIENCE;
            // Nobody waits any more where the agent has ended.
            drop(sender.send(fetched));
            if late {
                changed.notify_one();
            }
        });
        answer
    }

    /// The commit that was used last, by this agent or an earlier one. That there is none is what lets any history count, so
    /// it is not concluded from a failure.
    fn applied(&self) -> Result<Option<String>, SourceError> {
        match run(git(&self.repository()).args(["rev-parse", "--verify", "--quiet", APPLIED])) {
            Ok(commit) => Ok(Some(commit)),
            Err(Failure { code: Some(1), .. }) => Ok(None),
            Err(failure) => {
                let said = failure.said();
                Err(refused(None, format!("the commit that was used last could not be looked up: {said}")))
            }
        }
    }

    /// Whether a commit may be used: it follows the last one, and is signed where it must be.
    fn check(&self, commit: &str) -> Result<(), SourceError> {
        let repository = self.repository();
        if let Some(applied) = self.applied()?.filter(|applied| applied != commit) {
            let follows = run(git(&repository).args(["merge-base", "--is-ancestor", &applied, commit]));
            follows.map_err(|failure| {
                let text = match failure.code {
                    Some(1) => format!(
                        "the branch was rewritten: commit {commit} does not follow {applied}, which was used last. To \
                         accept it, run: git --git-dir={} update-ref {APPLIED} {commit}",
                        repository.display()
                    ),
                    _ => format!("commit {commit} could not be compared with {applied}: {}", failure.said()),
                };
                refused(Some(commit), text)
            })?;
        }
        let Some(signers) = &self.remote.allowed_signers else { return Ok(()) };
        let signers_shown = signers.display();
        File::open(signers).map_err(|error| {
            refused(Some(commit), format!("the allowed signers {signers_shown} cannot be read: {error}"))
        })?;
        let file = format!("gpg.ssh.allowedSignersFile={signers_shown}");
        let mut command = git(&repository);
        // A signature of another kind would be checked against the keyring of whoever runs the agent.
        command.args(["-c", "gpg.program=/bin/false", "-c", "gpg.openpgp.program=/bin/false"]);
        command.args(["-c", "gpg.x509.program=/bin/false", "-c", "gpg.minTrustLevel=fully", "-c", &file]);
        run(command.args(["verify-commit", commit])).map(drop).map_err(|failure| {
            let text = match failure.text.as_str() {
                "" => format!("commit {commit} carries no signature; the allowed signers are those of {signers_shown}"),
                said => format!("commit {commit} is not signed by a key of {signers_shown}: {said}"),
            };
            refused(Some(commit), text)
        })
    }

    /// Lays a commit's files out in a directory of its own, and removes those of other commits.
    fn check_out(&self, commit: &str) -> Result<PathBuf, SourceError> {
        let (checkouts, repository) = (self.checkouts(), self.repository());
        let place = checkouts.join(commit);
        if !place.exists() {
            let failed = |path: &Path, error: &io::Error| {
                refused(Some(commit), format!("commit {commit} could not be laid out at {}: {error}", path.display()))
            };
            let (unfinished, index) = (checkouts.join("unfinished"), self.home.join("index"));
            let attributes = repository.join("info/attributes");
            remove(&unfinished).map_err(|error| failed(&unfinished, &error))?;
            remove(&index).map_err(|error| failed(&index, &error))?;
            fs::create_dir_all(&unfinished).map_err(|error| failed(&unfinished, &error))?;
            fs::create_dir_all(repository.join("info"))
                .and_then(|()| fs::write(&attributes, ATTRIBUTES))
                .map_err(|error| failed(&attributes, &error))?;
            let mut command = git(&repository);
            command.env("GIT_INDEX_FILE", &index).current_dir(&unfinished).arg("--work-tree").arg(&unfinished);
            run(command.args(["checkout", "--quiet", "--force", commit, "--", "."])).map_err(|failure| {
                refused(Some(commit), format!("commit {commit} could not be laid out: {}", failure.said()))
            })?;
            fs::rename(&unfinished, &place).map_err(|error| failed(&place, &error))?;
        }
        for other in fs::read_dir(&checkouts).into_iter().flatten().flatten().filter(|entry| entry.path() != place) {
            // What cannot be removed now is removed next time; the one in use is another directory.
            drop(remove(&other.path()));
        }
        Ok(place)
    }

    /// Reads the manifests of a commit.
    fn read_commit(&mut self, commit: &str) -> Result<Revision, SourceError> {
        let tree = format!("{commit}^{{tree}}");
        let listed = run(git(&self.repository()).args(["ls-tree", "--name-only", &tree]));
        if listed.is_ok_and(|names| names.is_empty()) {
            return Err(refused(Some(commit), format!("commit {commit} holds no files")));
        }
        let place = self.check_out(commit)?;
        let path = place.join(&self.remote.path);
        let shown = self.remote.path.display();
        let (inside, root) = match (path.canonicalize(), place.canonicalize()) {
            (Ok(inside), Ok(root)) => (inside, root),
            (Err(error), _) | (_, Err(error)) => {
                return Err(refused(Some(commit), format!("{shown} of commit {commit} cannot be read: {error}")));
            }
        };
        if !inside.starts_with(&root) {
            return Err(refused(Some(commit), format!("{shown} of commit {commit} is a link that leads out of it")));
        }
        let (texts, loaded) = (self.load)(&[path]);
        checked(commit.to_owned(), &texts, loaded)
            .map_err(|text| refused(Some(commit), format!("commit {commit}: {text}")))
    }

    fn newest(&mut self) -> Result<Revision, SourceError> {
        let commit = self.ask()?;
        self.check(&commit)?;
        let revision = self.read_commit(&commit)?;
        run(git(&self.repository()).args(["update-ref", APPLIED, &commit])).map_err(|failure| {
            refused(Some(&commit), format!("commit {commit} could not be noted as used: {}", failure.said()))
        })?;
        self.note(&commit);
        Ok(revision)
    }

    /// Notes what is known of the origin of the commit in use.
    fn note(&mut self, commit: &str) {
        self.verification = match &self.remote.allowed_signers {
            Some(signers) => Verification {
                verified: true,
                reason: "Signed",
                message: format!("commit {commit} is signed by a key of {}", signers.display()),
            },
            None => Verification {
                verified: false,
                reason: "NotChecked",
                message: "no allowed signers are given; who may push to the branch decides".to_owned(),
            },
        };
    }
}

impl Source for Git {
    fn paths(&self) -> Vec<String> {
        vec![self.remote.name()]
    }

    fn interval(&self) -> Duration {
        self.remote.interval
    }

    fn read(&mut self) -> Result<Revision, SourceError> {
        let first = !std::mem::replace(&mut self.begun, true);
        let newest = self.newest();
        let (true, Err(error), Ok(Some(applied))) = (first, &newest, self.applied()) else { return newest };
        tracing::warn!(error = error.text, commit = applied, "going on with the commit that was used last");
        self.check(&applied)?;
        let revision = self.read_commit(&applied)?;
        self.note(&applied);
        // What is wrong with the newest one belongs into the status: it is read again at once.
        self.changed.notify_one();
        Ok(revision)
    }

    fn verification(&self) -> Verification {
        self.verification.clone()
    }
}

impl Failure {
    /// What is to be said of it.
    fn said(&self) -> String {
        match (self.text.as_str(), self.code) {
            ("", Some(code)) => format!("git ended with code {code} and said nothing"),
            ("", None) => "git was ended by a signal".to_owned(),
            (text, _) => text.to_owned(),
        }
    }
}

/// Fetches the branch; gives the commit it points to.
fn fetch(remote: &Remote, repository: &Path) -> Result<String, Failure> {
    // Does nothing where it is there. Without a template, which could hold hooks and settings.
    run(git(repository).args(["init", "--quiet", "--bare", "--template="]))?;
    let refspec = format!("+refs/heads/{}:{FETCHED}", remote.branch);
    let args = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", &remote.url, &refspec];
    run(git(repository).args(args))?;
    run(git(repository).args(["rev-parse", "--verify", "--quiet", &format!("{FETCHED}^{{commit}}")]))
}

fn refused(commit: Option<&str>, text: String) -> SourceError {
    SourceError { id: commit.map(str::to_owned), text }
}

fn remove(path: &Path) -> io::Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    gone.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
