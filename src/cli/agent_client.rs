//! Asks a running agent, over its unix socket.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::error::CliError;

/// Where the agent that systemd runs listens.
pub(super) const DEFAULT_SOCKET: &str = "/run/snapward/agent.sock";

/// How long the agent may take: it answers from memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer that is read: a status of thousands of domains is far smaller.
const MAX_ANSWER: usize = 64 << 20;

/// What the agent answers to a GET.
///
/// # Errors
/// When it does not answer, or with something else than a good answer.
pub(super) fn get(socket: &Path, path: &str) -> Result<String, CliError> {
    let failed = |error: String| {
        CliError::failed(format!("the agent at {} cannot be asked: {error}", socket.display())).hint(
            "is it running (systemctl status snapward-agent), and may this user open the socket (root, group libvirt)?",
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let (status, text) = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, ask(socket, path)).await })
        .map_err(|_| failed(format!("no answer within {} s", PATIENCE.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if status == StatusCode::OK { Ok(text) } else { Err(failed(format!("{status}: {}", text.trim_end()))) }
}

async fn ask(socket: &Path, path: &str) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(hyper::header::HOST, "localhost").body(Empty::<Bytes>::new())?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let bytes = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
    Ok((head.status, String::from_utf8(bytes.into())?))
}
