//! `snapward agent`: reconciles until it is told to stop.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use listenfd::ListenFd;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::Context;
use super::agent_client::DEFAULT_SOCKET;
use super::agent_source::SourceArgs;
use super::args::exit_codes;
use super::connections::ForAgent;
use super::error::CliError;
use super::exit::Exit;
use super::progress::Events;
use super::{apply, clock, interrupt};
use crate::agent::supervisor::Systemd;
use crate::agent::{Agent, Handle, Parts, Settings, server};
use crate::libvirt;
use crate::model::kinds::TimeSpan;

/// How long the files must be quiet after a change: longer than an editor or `cp -r` pauses between two writes.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// How often everything is read again. What a redefine by others did to a description is found within it.
const SWEEP: Duration = Duration::from_secs(60 * 60);

/// How often memory is given back. What is used comes back in less than a millisecond.
const THRIFT: Duration = Duration::from_secs(10 * 60);

/// Threads for what blocks: four jobs for each of 250 hosts, whose windows may open together, and beside them the round, which
/// has to find one free. Each is there only while it works.
const BLOCKING_THREADS: usize = 1024;

/// A thread that waited so long for work ends: between two polls there is none.
const THREAD_IDLE: Duration = Duration::from_secs(2);

/// Follow the manifests and make the snapshots as declared, continuously.
///
/// Takes each scheduled snapshot on time, deletes what retention lets go, repairs drift, and follows every change of the
/// manifests, in files or in a branch of a Git repository. A change with an error is reported and the last good revision
/// stays in use, as it does when the branch is rewritten or a commit lacks its signature; nothing is deleted because
/// manifests are missing. SIGHUP reads them again, SIGTERM finishes the action at hand and starts none.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward agent /etc/snapward\n",
    "  snapward agent --git https://git.example/snapshots.git --allowed-signers /etc/snapward/signers\n",
    "  snapward agent --observe --listen 127.0.0.1:9750 sets/\n",
    "  snapward status --agent\n",
    "  curl --unix-socket /run/snapward/agent.sock http://localhost/metrics\n",
    "\n",
    exit_codes!(agent)
))]
pub(super) struct AgentArgs {
    #[command(flatten)]
    source: SourceArgs,

    /// Plan and report, and change nothing; read-only connections.
    #[arg(long)]
    observe: bool,

    /// How often snapshot names and current pointers are compared, and a branch is fetched, as 60s or 5m.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = interval)]
    interval: Duration,

    /// The unix socket for status, metrics and reload.
    ///
    /// Without it: what systemd passes, else agent.sock in $RUNTIME_DIRECTORY, else /run/snapward/agent.sock.
    #[arg(long, value_name = "SOCKET")]
    socket: Option<PathBuf>,

    /// Serve status and metrics on this loopback address too, as 127.0.0.1:9750.
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    listen: Option<SocketAddr>,
}

/// A span of fixed length that libvirt can bear to be asked in.
fn interval(text: &str) -> Result<Duration, String> {
    let span = TimeSpan::parse(text).map_err(|error| error.to_string())?;
    let end = span.after(Timestamp::UNIX_EPOCH).map(|end| end.duration_since(Timestamp::UNIX_EPOCH));
    match end {
        Some(time) if (SignedDuration::from_secs(1)..=SignedDuration::from_hours(24)).contains(&time) => {
            Ok(time.unsigned_abs())
        }
        _ => Err("an interval is between 1s and 24h".to_owned()),
    }
}

/// The interface has no passwords: it is for this machine.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "give an address with a port, as 127.0.0.1:9750".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("only loopback addresses: put a proxy with authentication before it to serve others".to_owned()),
    }
}

pub(super) fn run(args: &AgentArgs, context: &Context) -> Result<Exit, CliError> {
    let changed = Arc::new(Notify::new());
    let source = args.source.open(args.interval, &changed)?;
    libvirt::initialize().map_err(|error| CliError::failed(format!("{error}; nothing was done")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(THREAD_IDLE)
        .build()
        .map_err(|error| CliError::failed(format!("the agent could not start: {error}")))?;
    let parts = Parts {
        source,
        changed,
        hosts: Arc::new(ForAgent { connect: context.global.connect.clone() }),
        clock: Arc::new(clock::now),
        progress: Arc::new(Events),
        supervisor: Box::new(Systemd::from_environment()),
    };
    let settings = Settings {
        poll: args.interval,
        sweep: SWEEP,
        debounce: DEBOUNCE,
        observe: args.observe,
        lock_dir: apply::lock_dir(),
    };
    let ended = runtime.block_on(serve(args, context, settings, parts));
    // A read that hangs in libvirt must not hold up the end; nothing that writes runs any more.
    runtime.shutdown_background();
    ended
}

async fn serve(args: &AgentArgs, context: &Context, settings: Settings, parts: Parts) -> Result<Exit, CliError> {
    let (agent, handle) = Agent::new(settings, parts);
    let sockets = Sockets::open(args).await?;
    let signals = watch_signals(handle.clone(), context)?;
    let servers = sockets.serve(&handle);
    let thrift = tokio::spawn(be_thrifty(handle));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the agent starts");
    let ended = agent.run().await;
    signals.abort();
    thrift.abort();
    servers.iter().for_each(tokio::task::JoinHandle::abort);
    ended.map(|()| Exit::Done).map_err(|defect| CliError::failed(defect.to_string()))
}

/// Gives back the memory of what only the start, or a rare action, needed.
async fn be_thrifty(mut handle: Handle) {
    while handle.view().plan.is_none() {
        if !handle.changed().await {
            return;
        }
    }
    loop {
        libvirt::give_back_text();
        tokio::time::sleep(THRIFT).await;
    }
}

/// SIGHUP reads again; SIGTERM and SIGINT end, the second of them at once.
fn watch_signals(handle: Handle, context: &Context) -> Result<tokio::task::JoinHandle<()>, CliError> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| CliError::failed(format!("could not watch for signals: {error}; nothing was done")))
    };
    let mut hangups = listen(SignalKind::hangup())?;
    let mut interrupts = listen(SignalKind::interrupt())?;
    let mut terminations = listen(SignalKind::terminate())?;
    let output = context.output;
    Ok(tokio::spawn(async move {
        let mut ending = false;
        loop {
            tokio::select! {
                _ = hangups.recv() => {
                    let handle = handle.clone();
                    // What becomes of it is in the log and the status.
                    tokio::spawn(async move { drop(handle.reload().await) });
                    continue;
                }
                _ = interrupts.recv() => {}
                _ = terminations.recv() => {}
            }
            if ending {
                output.note("\nInterrupted.\n");
                interrupt::end();
            }
            ending = true;
            handle.stop();
        }
    }))
}

/// Where the agent listens.
struct Sockets {
    unix: UnixListener,
    /// The socket's file, where this process made it.
    made: Option<PathBuf>,
    tcp: Option<TcpListener>,
}

impl Sockets {
    async fn open(args: &AgentArgs) -> Result<Self, CliError> {
        let tcp = match args.listen {
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|error| CliError::failed(format!("could not listen on {address}: {error}")))?)
            }
            None => None,
        };
        let passed = ListenFd::from_env().take_unix_listener(0).ok().flatten();
        if let (Some(listener), None) = (passed, &args.socket) {
            let unix = listener
                .set_nonblocking(true)
                .and_then(|()| UnixListener::from_std(listener))
                .map_err(|error| CliError::failed(format!("the socket that systemd passed cannot be used: {error}")))?;
            return Ok(Self { unix, made: None, tcp });
        }
        let path = args.socket.clone().unwrap_or_else(default_socket);
        let unix = bind(&path).map_err(|error| {
            CliError::failed(format!("could not listen on {}: {error}", path.display()))
                .hint("--socket gives another path; the directory must be there and writable for this user")
        })?;
        Ok(Self { unix, made: Some(path), tcp })
    }

    fn serve(self, handle: &Handle) -> Vec<tokio::task::JoinHandle<()>> {
        let guard = self.made.map(Made);
        let (unix, agent) = (self.unix, handle.clone());
        let mut servers = vec![tokio::spawn(async move {
            let _guard = guard;
            server::serve_unix(unix, agent).await;
        })];
        servers.extend(self.tcp.map(|tcp| tokio::spawn(server::serve_tcp(tcp, handle.clone()))));
        servers
    }
}

/// Removes the socket's file with its server.
struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn default_socket() -> PathBuf {
    // systemd sets it for RuntimeDirectory=; several are separated by colons.
    let given = std::env::var("RUNTIME_DIRECTORY").ok().filter(|dirs| !dirs.is_empty());
    match given.as_deref().and_then(|dirs| dirs.split(':').next()) {
        Some(dir) => Path::new(dir).join("agent.sock"),
        None => PathBuf::from(DEFAULT_SOCKET),
    }
}

/// Binds the socket for its owner and group. One that a killed agent left is replaced; one that answers is not.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
    if path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(std::io::Error::other("another agent serves there"));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}
