//! The agent's Git source on real repositories: what it takes, what it refuses and says, and that nothing of a repository runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use snapward::agent::{self, Git, Revision, Source as _, SourceError};
use tokio::sync::Notify;

use crate::support::agent::{Agent, ready};
use crate::support::cmd::snapward;
use crate::support::fleet::Fleet;
use crate::support::lab::{set, snapshot};
use crate::support::remote::{Remote, script};
use crate::support::tools;

fn golden(name: &str) -> String {
    set("web", &format!("  domains: {{include: ['vm*']}}\n  snapshots:\n{}", snapshot(name, &[])))
}

/// A source on a remote, and what it tells of late answers through.
struct Follower<'a> {
    remote: &'a Remote,
    changed: Arc<Notify>,
    settings: agent::Remote,
}

impl<'a> Follower<'a> {
    fn new(remote: &'a Remote) -> Self {
        let settings = agent::Remote {
            url: remote.url(),
            branch: "main".to_owned(),
            path: PathBuf::from("."),
            interval: Duration::from_secs(60),
            allowed_signers: None,
        };
        Self { remote, changed: Arc::new(Notify::new()), settings }
    }

    fn signed(remote: &'a Remote) -> Self {
        let mut follower = Self::new(remote);
        follower.settings.allowed_signers = Some(remote.at("signers"));
        follower
    }

    fn open(&self) -> Git {
        let load = Box::new(|paths: &[PathBuf]| snapward::cli::sources::load(paths, &mut std::io::empty()));
        let state = self.remote.at("state");
        Git::open(self.settings.clone(), &state, load, Arc::clone(&self.changed)).expect("a directory of its own")
    }

    /// The one directory that belongs to the branch.
    fn home(&self) -> PathBuf {
        let mut homes = fs::read_dir(self.remote.at("state/git")).expect("made");
        homes.next().expect("one").expect("readable").path()
    }

    fn repository(&self) -> PathBuf {
        self.home().join("repository.git")
    }
}

#[track_caller]
fn read(source: &mut Git) -> String {
    source.read().unwrap_or_else(|error| panic!("refused: {}", error.text)).id
}

#[track_caller]
fn refused(source: &mut Git, words: &str) -> SourceError {
    let error = source.read().map(|Revision { id, .. }| id).expect_err("to be refused");
    assert!(error.text.contains(words), "{}", error.text);
    error
}

#[test]
fn a_new_commit_is_read_and_named() {
    let remote = Remote::new();
    let follower = Follower::new(&remote);
    let mut source = follower.open();
    refused(&mut source, "could not be fetched");
    remote.write("sets/web.yaml", &golden("golden"));
    let first = remote.commit(None);
    assert_eq!(read(&mut source), first);
    assert_eq!(source.verification().reason, "NotChecked");
    remote.write("sets/web.yaml", &golden("second"));
    let second = remote.commit(None);
    let revision = source.read().expect("good");
    assert_eq!(revision.id, second);
    assert_eq!(revision.desired.sets[0].value.spec.snapshots[0].name.as_str(), "second");
    let kept: Vec<_> = fs::read_dir(follower.home().join("checkouts")).expect("made").flatten().collect();
    assert_eq!(kept.len(), 1, "the files of older commits are gone: {kept:?}");
}

#[test]
fn only_the_signature_of_an_allowed_signer_counts() {
    let remote = Remote::new();
    let follower = Follower::signed(&remote);
    let mut source = follower.open();
    remote.write("web.yaml", &golden("golden"));
    let unsigned = remote.commit(None);
    assert_eq!(refused(&mut source, "carries no signature").id, Some(unsigned));
    let signed = remote.commit(Some("alice"));
    assert_eq!(read(&mut source), signed);
    let known = source.verification();
    assert!(known.verified && known.reason == "Signed" && known.message.contains(&signed), "{known:?}");
    let forged = remote.commit(Some("mallory"));
    assert_eq!(refused(&mut source, "is not signed by a key of").id, Some(forged));
    remote.commit(Some("alice"));
    read(&mut source);

    // A key that is taken out counts no more, nor does any without the file.
    fs::write(remote.at("signers"), "").expect("written");
    refused(&mut source, "is not signed by a key of");
    fs::remove_file(remote.at("signers")).expect("removed");
    refused(&mut source, "cannot be read");
}

#[test]
fn a_signature_of_another_kind_is_not_one() {
    let remote = Remote::new();
    let marker = remote.at("ran");
    let fake = remote.at("gpg");
    // It finds every signature good, as a keyring that trusts everybody does.
    let good = "case \"$*\" in *--verify*) echo '[GNUPG:] NEWSIG'; echo '[GNUPG:] GOODSIG 1 x'; echo '[GNUPG:] TRUST_ULTIMATE 0';; *) echo '\n[GNUPG:] \
                SIG_CREATED ' >&2; echo '-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----';; esac";
    // It reads what it is given: git takes a program that does not for one that failed, where it ends before git has written.
    script(&fake, &format!("cat >/dev/null; touch {}; {good}", tools::text(&marker)));
    remote.write("web.yaml", &golden("golden"));
    let program = format!("gpg.openpgp.program={}", tools::text(&fake));
    remote.work(&["add", "-A"]);
    remote.work(&["-c", "gpg.format=openpgp", "-c", &program, "commit", "-q", "-m", "x", "-Skey"]);
    remote.work(&["-c", &program, "verify-commit", "HEAD"]);
    fs::remove_file(&marker).expect("it was asked");
    remote.push();
    let follower = Follower::signed(&remote);
    let mut source = follower.open();
    refused(&mut source, "signature");
    remote.git(&[
        "--git-dir",
        tools::text(&follower.repository()),
        "config",
        "gpg.openpgp.program",
        tools::text(&fake),
    ]);
    refused(&mut source, "signature");
    assert!(!marker.exists(), "the machine's gpg is not asked");
}

#[test]
fn rewritten_history_is_refused_until_a_person_accepts_it() {
    let remote = Remote::new();
    let follower = Follower::new(&remote);
    let mut source = follower.open();
    remote.write("web.yaml", &golden("golden"));
    let first = remote.commit(None);
    remote.write("web.yaml", &golden("second"));
    let second = remote.commit(None);
    assert_eq!(read(&mut source), second);
    // Set back, and then written anew.
    remote.work(&["reset", "-q", "--hard", &first]);
    remote.push();
    assert_eq!(refused(&mut source, "the branch was rewritten").id, Some(first));
    remote.write("web.yaml", &golden("third"));
    let third = remote.commit(None);
    let error = refused(&mut source, "the branch was rewritten");

    // What was used before still is after a start, and the refusal follows.
    drop(source);
    let mut source = follower.open();
    assert_eq!(read(&mut source), second);
    refused(&mut source, "the branch was rewritten");

    // The command that the message names accepts exactly this commit.
    let (_, way_out) = error.text.split_once("run: git ").expect("a way out");
    remote.git(&way_out.split(' ').collect::<Vec<_>>());
    assert_eq!(read(&mut source), third);
}

#[test]
fn what_was_used_last_is_not_forgotten_by_a_damaged_repository() {
    let remote = Remote::new();
    let follower = Follower::new(&remote);
    let mut source = follower.open();
    remote.write("web.yaml", &golden("golden"));
    read_after(&remote, &mut source);
    let applied = follower.repository().join("refs/snapward/applied");
    fs::write(&applied, format!("{}\n", "1".repeat(40))).expect("written");
    refused(&mut source, "refs/snapward/applied");
}

#[test]
fn what_is_missing_or_wrong_in_a_commit_is_named() {
    let remote = Remote::new();
    let mut follower = Follower::new(&remote);
    follower.settings.path = PathBuf::from("sets");
    let mut source = follower.open();
    remote.write("sets/web.yaml", &golden("golden"));
    read_after(&remote, &mut source);
    remote.write("sets/web.yaml", &golden("golden").replace("domains", "domain"));
    let broken = remote.commit(None);
    assert_eq!(refused(&mut source, "web.yaml:5").id, Some(broken));
    remote.work(&["rm", "-q", "-r", "sets"]);
    remote.write("README", "nothing else");
    remote.commit(None);
    refused(&mut source, "sets of commit");
    remote.work(&["rm", "-q", "README"]);
    remote.commit(None);
    refused(&mut source, "holds no files");
    remote.git(&["--git-dir", &remote.url(), "update-ref", "-d", "refs/heads/main"]);
    refused(&mut source, "could not be fetched");
    remote.write("sets/web.yaml", &golden("golden"));
    read_after(&remote, &mut source);
}

#[track_caller]
fn read_after(remote: &Remote, source: &mut Git) {
    let commit = remote.commit(None);
    assert_eq!(read(source), commit);
}

#[test]
fn links_lead_nowhere_outside() {
    let remote = Remote::new();
    fs::create_dir(remote.at("secret")).expect("made");
    fs::write(remote.at("secret/web.yaml"), golden("golden")).expect("written");
    let mut follower = Follower::new(&remote);
    follower.settings.path = PathBuf::from("sets");
    let mut source = follower.open();
    remote.write("README", "a link beside it");
    symlink(remote.at("secret"), remote.at("work/sets")).expect("made");
    remote.commit(None);
    refused(&mut source, "a link that leads out");
    fs::remove_file(remote.at("work/sets")).expect("removed");
    fs::create_dir(remote.at("work/sets")).expect("made");
    symlink(remote.at("secret/web.yaml"), remote.at("work/sets/web.yaml")).expect("made");
    remote.commit(None);
    refused(&mut source, "leads out of the given directory");
    fs::remove_file(remote.at("work/sets/web.yaml")).expect("removed");
    remote.write("sets/real.yaml", &golden("golden"));
    symlink("real.yaml", remote.at("work/sets/web.yaml")).expect("made");
    read_after(&remote, &mut source);
}

#[test]
fn no_filter_and_no_hook_runs() {
    let remote = Remote::new();
    let follower = Follower::new(&remote);
    let mut source = follower.open();
    remote.write("web.yaml", &golden("golden"));
    read_after(&remote, &mut source);
    // As the configuration of the machine could have it.
    let marker = remote.at("ran");
    let repository = follower.repository();
    let touch = format!("touch {}", tools::text(&marker));
    remote.git(&["--git-dir", tools::text(&repository), "config", "filter.evil.smudge", &format!("{touch}; cat")]);
    fs::create_dir_all(repository.join("hooks")).expect("made");
    for hook in ["reference-transaction", "post-checkout", "post-merge", "pre-auto-gc"] {
        script(&repository.join("hooks").join(hook), &touch);
    }
    remote.write(".gitattributes", "*.yaml filter=evil text eol=crlf working-tree-encoding=ISO-8859-1\n");
    remote.write("web.yaml", &format!("# \u{e9}\n{}", golden("golden")));
    remote.work(&["config", "filter.evil.clean", "cat"]);
    let commit = remote.commit(None);
    // Read as another encoding; laid out as text it would be converted back, and its lines would end in CRLF.
    let stored = remote.work(&["show", "HEAD:web.yaml"]);
    assert_eq!(read(&mut source), commit);
    let laid_out = fs::read(follower.home().join("checkouts").join(&commit).join("web.yaml")).expect("laid out");
    assert_eq!(laid_out, stored.into_bytes());
    assert!(!marker.exists(), "something of the repository ran");
}

#[test]
fn a_url_starts_no_program() {
    let remote = Remote::new();
    let marker = remote.at("ran");
    let mut follower = Follower::new(&remote);
    follower.settings.url = format!("ext::touch {}", tools::text(&marker));
    let mut source = follower.open();
    refused(&mut source, "could not be fetched");
    let allow = ["config", "protocol.ext.allow", "always"];
    remote.git(&[&["--git-dir", tools::text(&follower.repository())], &allow[..]].concat());
    refused(&mut source, "transport 'ext' not allowed");
    assert!(!marker.exists(), "it ran");
}

#[test]
fn one_agent_at_a_time_follows_a_branch_in_a_directory() {
    let remote = Remote::new();
    let follower = Follower::new(&remote);
    let _first = follower.open();
    let (url, state) = (remote.url(), remote.at("state"));
    let args = ["agent", "--git", &url, "--state-dir", tools::text(&state)];
    let ran = snapward(args).run().exits(1);
    assert!(ran.stderr.contains("another agent follows the same branch"), "{ran}");
}

#[test]
fn the_command_line_is_checked() {
    for (args, words) in [
        (&["--git", "ext::sh -c true"][..], "name a program"),
        (&["--git=--upload-pack=x"], "cannot begin with"),
        (&["--git", "a.git", "--path", "../b"], "below the root"),
        (&["--git", "a.git", "--branch", "*"], "no name of a branch"),
        (&["--git", "a.git", "sets/"], "cannot be used with"),
        (&["--branch", "main", "sets/"], "--git"),
        (&["--allowed-signers", "x", "sets/"], "--git"),
        (&[], "<PATH>"),
    ] {
        let ran = snapward([&["agent"], args].concat()).run().exits(64);
        assert!(ran.stderr.contains(words), "{args:?}: {ran}");
    }
}

#[test]
fn the_agent_follows_a_signed_branch_and_reports_what_it_refuses() {
    let fleet = Fleet::start(&["vm1"]);
    let remote = Remote::new();
    let (state, signers) = (remote.at("state"), remote.at("signers"));
    let url = remote.url();
    let args = ["--git", &url, "--allowed-signers", tools::text(&signers), "--state-dir", tools::text(&state)];
    // Only what asks at once sees anything within the test.
    let args = [&args[..], &["--interval", "24h"]].concat();
    let templates = remote.at("templates");
    fs::create_dir_all(templates.join("hooks")).expect("made");
    let marker = remote.at("ran");
    script(&templates.join("hooks/reference-transaction"), &format!("touch {}", tools::text(&marker)));
    remote.write("web.yaml", &golden("golden"));
    let first = remote.commit(Some("alice"));
    let agent = Agent::start_with(&fleet, &args, |program| program.env("GIT_TEMPLATE_DIR", &templates));
    let status = agent.until("Ready", ready);
    assert_eq!(status["source"]["revision"], first);
    let verified = condition(&status, "SourceVerified");
    assert!(verified["status"] == true && verified["message"].as_str().is_some_and(|text| text.contains(&first)));
    assert_eq!(fleet.snapshots("vm1"), ["golden"]);

    // Refused, each with its reason; nothing is deleted.
    remote.write("web.yaml", &golden("second"));
    let unsigned = remote.commit(None);
    let (head, body) = agent.ask("POST", "/api/v1/reload");
    assert!(head.contains("422") && body.contains("carries no signature"), "{head}\n{body}");
    remote.work(&["rm", "-q", "-r", "."]);
    let emptied = remote.commit(Some("alice"));
    agent.signal(Signal::HUP);
    let status = agent.until("emptied", |status| status["source"]["attempted"] == emptied);
    assert!(status["source"]["error"].as_str().is_some_and(|text| text.contains("holds no files")), "{status:#}");
    assert_eq!(status["source"]["revision"], first);
    assert_ne!(status["source"]["attempted"], unsigned);
    assert_eq!(condition(&status, "Stalled")["status"], true);
    assert_eq!(fleet.snapshots("vm1"), ["golden"]);

    // Repaired, and taken as soon as it is asked for.
    remote.write("web.yaml", &golden("second"));
    let repaired = remote.commit(Some("alice"));
    let (head, body) = agent.ask("POST", "/api/v1/reload");
    assert!(head.contains("200") && body.contains(&repaired), "{head}\n{body}");
    agent.until("Ready", ready);
    assert!(fleet.snapshots("vm1").contains(&"second".to_owned()));
    assert!(!marker.exists(), "the template's hook ran");
    agent.stop();

    // Without its remote it goes on with what it used last, and says so.
    fs::rename(&url, remote.at("away")).expect("moved");
    let agent = Agent::start(&fleet, &args);
    let status = agent.until("asked again", |status| status["source"]["error"].is_string());
    assert_eq!(status["source"]["revision"], repaired);
    assert!(fleet.snapshots("vm1").contains(&"second".to_owned()));
    agent.stop();
}

#[test]
fn a_remote_that_asks_for_a_password_is_answered_by_nobody() {
    let fleet = Fleet::start(&["vm1"]);
    let remote = Remote::new();
    let (ssh, seen, state) = (remote.at("ssh"), remote.at("seen"), remote.at("state"));
    let asked = format!("env > {}; exec \"$SSH_ASKPASS\"", tools::text(&seen));
    script(&ssh, &asked);
    let args = ["--git", "ssh://me:secret@git.invalid/a.git", "--state-dir", tools::text(&state)];
    let agent = Agent::start_with(&fleet, &args, |program| {
        program.env("GIT_SSH_COMMAND", &ssh).env("GIT_SSH_VARIANT", "simple")
    });
    let status = agent.until("refused", |status| status["source"]["error"].is_string());
    assert!(!status.to_string().contains("secret"), "{status:#}");
    let environment = fs::read_to_string(&seen).expect("ssh was started");
    for setting in ["GIT_TERMINAL_PROMPT=0", "SSH_ASKPASS_REQUIRE=force", "SSH_ASKPASS=/bin/false"] {
        assert!(environment.lines().any(|line| line == setting), "{setting} in\n{environment}");
    }
    agent.stop();
}

#[test]
fn a_remote_that_hangs_holds_up_nothing_and_is_used_when_it_answers() {
    let fleet = Fleet::start(&["vm1"]);
    let remote = Remote::new();
    let (ssh, hangs) = (remote.at("ssh"), remote.at("hangs"));
    // Beside it, as a host that a firewall cuts off: it neither answers nor refuses.
    let waits = format!("while [ -e {} ]; do sleep 0.1; done; exec sh -c \"$2\"", tools::text(&hangs));
    script(&ssh, &waits);
    let (url, state) = (format!("ssh://host{}", remote.url()), remote.at("state"));
    let args = ["--git", &url, "--state-dir", tools::text(&state), "--interval", "1s"];
    remote.write("web.yaml", &golden("golden"));
    let first = remote.commit(None);
    let agent = Agent::start_with(&fleet, &args, |program| {
        program.env("GIT_SSH_COMMAND", &ssh).env("GIT_SSH_VARIANT", "simple")
    });
    agent.until("Ready", ready);
    fs::write(&hangs, "").expect("written");
    remote.write("web.yaml", &golden("golden").replace("name: golden\n", "name: golden\n      description: patched\n"));
    let second = remote.commit(None);
    let waiting = |status: &Value| status["source"]["error"].as_str().is_some_and(|text| text.contains("not answered"));
    let status = agent.until("waiting", waiting);
    assert_eq!(status["source"]["revision"], first);
    fleet.virsh(&["snapshot-delete", "vm1", "golden", "--metadata"]);
    agent.until("seen", |status| waiting(status) && !ready(status) && drifted(status));
    fs::remove_file(&hangs).expect("removed");
    agent.until("used", |status| status["source"]["revision"] == second && status["source"]["error"].is_null());
    agent.stop();
}

/// Whether the agent saw that its one domain is not as declared.
fn drifted(status: &Value) -> bool {
    status["domains"][0]["conditions"][0]["status"] == false
}

fn condition(status: &Value, kind: &str) -> Value {
    let conditions = status["conditions"].as_array().expect("a list");
    conditions.iter().find(|condition| condition["type"] == kind).expect(kind).clone()
}
