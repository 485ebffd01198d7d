//! The agent's HTTP interface, on a unix socket and, when asked, on loopback.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::{Handle, metrics};
use crate::report::json;

/// A loop that is silent for longer hangs: it comes round at least every minute.
const SILENCE: Duration = Duration::from_secs(150);

/// A round that runs for longer hangs, as in files on a server that is gone, and no schedule is kept meanwhile. A call to a host
/// is given up after less than a minute, and the largest hosts that were measured are read within seconds.
const LONGEST_ROUND: Duration = Duration::from_secs(15 * 60);

/// How long a client may take to send its request.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// Connections at a time: a scraper, a probe and some people.
const CONNECTIONS: usize = 32;

/// Whether a way in may change anything: the socket's own permissions guard it, loopback is open to every local user and to
/// what a browser can be made to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Socket,
    Loopback,
}

/// Serves on a unix socket until the task is dropped.
pub async fn serve_unix(listener: UnixListener, agent: Handle) {
    listen(|context| listener.poll_accept(context).map_ok(|(stream, _)| stream), agent, Way::Socket).await;
}

/// Serves on loopback, what only reads, until the task is dropped.
pub async fn serve_tcp(listener: TcpListener, agent: Handle) {
    listen(|context| listener.poll_accept(context).map_ok(|(stream, _)| stream), agent, Way::Loopback).await;
}

async fn listen<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>>,
    agent: Handle,
    way: Way,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match poll_fn(&mut accept).await {
            Ok(stream) => {
                let agent = agent.clone();
                tokio::spawn(async move {
                    serve(stream, agent, way).await;
                    drop(permit);
                });
            }
            Err(error) => refused(&error).await,
        }
    }
}

/// As where file descriptors are used up. Not at full speed until that is over.
async fn refused(error: &io::Error) {
    tracing::warn!(%error, "a connection to the agent could not be taken");
    tokio::time::sleep(Duration::from_secs(1)).await;
}

pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, agent: Handle, way: Way) {
    let service = service_fn(move |request| {
        let agent = agent.clone();
        async move { Ok::<_, Infallible>(answer(&request, &agent, way).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a client of the agent went away");
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: &Request<Incoming>, agent: &Handle, way: Way) -> Answer {
    // A page in a browser can reach loopback under a name of its own (DNS rebinding), never under this one.
    if way == Way::Loopback && !request.headers().get(HOST).is_some_and(|host| is_loopback(host.as_bytes())) {
        return plain(StatusCode::MISDIRECTED_REQUEST, "ask for 127.0.0.1, [::1] or localhost\n".to_owned());
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, path) => read(path, agent),
        (&Method::POST, "/api/v1/reload") if way == Way::Socket => match agent.reload().await {
            Ok(revision) => json_answer(StatusCode::OK, &serde_json::json!({ "revision": revision })),
            Err(error) => json_answer(StatusCode::UNPROCESSABLE_ENTITY, &serde_json::json!({ "error": error })),
        },
        (&Method::POST, "/api/v1/reload") => {
            plain(StatusCode::FORBIDDEN, "reload goes through the unix socket, or SIGHUP\n".to_owned())
        }
        _ => {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "GET, or POST /api/v1/reload\n".to_owned());
            answer.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD, POST"));
            answer
        }
    }
}

fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|c| c.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    ["127.0.0.1", "[::1]", "localhost"].contains(&name)
}

fn read(path: &str, agent: &Handle) -> Answer {
    let view = agent.view();
    match path {
        "/metrics" => {
            let mut answer = plain(StatusCode::OK, metrics::render(&view.status, &view.counters));
            let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            answer.headers_mut().insert(CONTENT_TYPE, kind);
            answer
        }
        "/healthz" => match (agent.silent(), agent.round()) {
            (silent, _) if silent >= SILENCE => {
                plain(StatusCode::SERVICE_UNAVAILABLE, format!("the loop is silent for {} s\n", silent.as_secs()))
            }
            (_, Some(round)) if round >= LONGEST_ROUND => {
                plain(StatusCode::SERVICE_UNAVAILABLE, format!("a round has run for {} s\n", round.as_secs()))
            }
            _ => plain(StatusCode::OK, "ok\n".to_owned()),
        },
        // It serves once it knows what is declared and how a host stands; that a domain needs a person is no matter of
        // whether the agent works.
        "/readyz" => match (&view.plan, view.status.hosts.iter().any(|host| host.connected)) {
            (Some(_), true) => plain(StatusCode::OK, "ok\n".to_owned()),
            (None, _) => plain(StatusCode::SERVICE_UNAVAILABLE, "the first round has not ended\n".to_owned()),
            (_, false) => plain(StatusCode::SERVICE_UNAVAILABLE, "no host can be reached\n".to_owned()),
        },
        "/api/v1/status" => json_answer(StatusCode::OK, &view.status),
        "/api/v1/plan" => match &view.plan {
            Some(plan) => json_answer(StatusCode::OK, plan),
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "the first round has not ended\n".to_owned()),
        },
        _ => plain(
            StatusCode::NOT_FOUND,
            "/metrics, /healthz, /readyz, /api/v1/status, /api/v1/plan; POST /api/v1/reload\n".to_owned(),
        ),
    }
}

fn plain(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn json_answer(status: StatusCode, value: &impl serde::Serialize) -> Answer {
    match json::pretty(value) {
        Ok(text) => {
            let mut answer = plain(status, text);
            answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
            answer
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
