//! Opens connections: checks the URI, prepares libvirt once per process, and explains what went wrong.

#![allow(unsafe_code, reason = "one environment variable is set before libvirt reads it; see the SAFETY comment")]

use std::ffi::OsStr;
use std::sync::{Arc, OnceLock};

use virt::connect::Connect;
use virt::error::{Error, ErrorNumber, clear_error_callback};

use super::error::{classify, code_of};
use super::event_loop;
use super::events::Subscription;
use super::handle::Owned;
use super::host::{Images, LibvirtHost};
use crate::host::{ErrorClass, Event, Host, HostError, Listener, Result};
use crate::model::text::printable;

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads without secrets, all that `plan` and `status` need. libvirt refuses everything else.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// Seconds of silence before the server is asked for a sign of life, as libvirt's own clients do.
const KEEPALIVE_SECONDS: i32 = 5;

/// Unanswered questions before the connection counts as lost: after 20 s, well below the deadline of any call.
const KEEPALIVE_COUNT: u32 = 3;

/// Opens a connection. It never asks for a password: what cannot be had without one is an error. Where there is a listener,
/// it is told of all that happens from then on until the connection is dropped.
///
/// # Errors
/// [`ErrorClass::Refused`] for a URI that cannot work, [`ErrorClass::Denied`] where the user may not connect,
/// [`ErrorClass::Transient`] where nobody answers. The text says what to do.
pub fn connect(uri: &str, access: Access, listener: Option<&Listener>) -> Result<Arc<dyn Host>> {
    let target = Target::parse(uri)?;
    prepare();
    if target.needs_events || listener.is_some() {
        initialize().map_err(|error| HostError::new(ErrorClass::Bug, target.operation(), error))?;
    }
    let open = match access {
        Access::ReadOnly => Connect::open_read_only,
        Access::ReadWrite => Connect::open,
    };
    let open = || {
        let connection = open(Some(&target.opened)).map(Owned::new).map_err(|error| target.error(&error))?;
        // Drivers inside the process and old servers know no keepalive, and say so; nothing is lost by that.
        drop(connection.set_keep_alive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT));
        Ok(connection)
    };
    let (connection, subscription) = match listener {
        Some(listener) if target.on_socket => {
            let (reads, socket) = event_loop::unwatched(open);
            let (reads, told) = (reads?, open()?);
            let listener = Listener::clone(listener);
            let of_both: Listener = Arc::new(move |event| {
                if let (Event::Closed, Some(socket)) = (&event, &socket) {
                    socket.cut();
                }
                listener(event);
            });
            (reads, Some(Subscription::new(&told, &of_both)))
        }
        Some(listener) => {
            let connection = open()?;
            let subscription = Subscription::new(&connection, listener);
            (connection, Some(subscription))
        }
        None => (open()?, None),
    };
    Ok(Arc::new(LibvirtHost::new(connection, subscription, target.images)))
}

/// Silences libvirt's log and error printing in this process: errors reach the caller as values. [`connect`] does this by
/// itself; a program that starts threads of its own calls it before.
pub fn prepare() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        silence_log();
        clear_error_callback();
    });
}

/// [`prepare`], and libvirt's event loop in a thread of its own: for connections that need it, and for events. It must run
/// before such a connection is opened; those opened before do without it.
///
/// # Errors
/// A text, where descriptors or threads have run out. Later calls give the same answer.
pub fn initialize() -> std::result::Result<(), String> {
    static DONE: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| {
        super::pages::note_text();
        prepare();
        event_loop::start()
    })
    .clone()
}

/// Starts the event loop where one of these connections will need it. Called before several are opened at once: libvirt
/// takes its loop without a lock.
///
/// # Errors
/// As [`initialize`].
pub fn prepare_for<'a>(mut uris: impl Iterator<Item = &'a str>) -> std::result::Result<(), String> {
    prepare();
    let needed = uris.any(|uri| Target::parse(uri).is_ok_and(|target| target.needs_events));
    if needed { initialize() } else { Ok(()) }
}

/// In embedded mode libvirt logs to this process's stderr unless it is told otherwise. A user who asks libvirt for its
/// log gets it.
fn silence_log() {
    const ASKED: [&str; 3] = ["LIBVIRT_LOG_OUTPUTS", "LIBVIRT_LOG_FILTERS", "LIBVIRT_DEBUG"];
    if ASKED.iter().any(|name| std::env::var_os(name).is_some_and(|value| value != OsStr::new(""))) {
        return;
    }
    // SAFETY: setting a variable races with C code that reads the environment in another thread. This runs once, before
    // libvirt is initialised and so before it has threads; Rust's own readers share a lock with the writer; and programs
    // with other C code in threads call `prepare` before they start them, as its documentation says.
    unsafe { std::env::set_var("LIBVIRT_LOG_OUTPUTS", "1:file:/dev/null") };
}

/// A URI that can be handed to libvirt.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// As the user wrote it.
    uri: String,
    /// As it is opened.
    opened: String,
    images: Images,
    /// Whether libvirt needs its event loop: the embedded driver does, and the keepalive over a network, where a peer can
    /// vanish in silence. A daemon of this machine that dies closes its socket, and one that hangs is given up at the
    /// deadline of the call.
    needs_events: bool,
    /// Whether it leads to a daemon by a socket of this machine. Where events are asked for they come through a connection of
    /// their own then, and no loop watches the one that is read through: libvirt takes the socket of a connection out of the
    /// loop around each call and puts it back, and an answer that comes in between wakes the loop for nothing. Keepalive
    /// of the one is for both.
    on_socket: bool,
}

impl Target {
    fn parse(uri: &str) -> Result<Self> {
        let operation = || format!("connect to {}", printable(uri));
        let refuse = |text: String| Err(HostError::new(ErrorClass::Refused, operation(), text));
        // libvirt would take an empty URI for its own default, and `virt` panics on NUL.
        if let Some(c) = uri.chars().find(|c| c.is_control() || c.is_whitespace()) {
            return refuse(format!("a connection URI cannot hold {}", c.escape_unicode()));
        }
        let Some((scheme, rest)) = uri.split_once("://") else {
            return refuse(
                "not a connection URI; write for example qemu:///system or qemu+ssh://host/system".to_owned(),
            );
        };
        let (driver, transport) = scheme.split_once('+').unwrap_or((scheme, ""));
        if driver.is_empty() || !driver.bytes().all(|c| c.is_ascii_alphanumeric()) {
            return refuse("the URI names no driver; write for example qemu:///system".to_owned());
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let has = |key: &str| query.split('&').any(|pair| pair.split('=').next() == Some(key));
        let in_process = driver == "test" && transport.is_empty();
        let embedded = place.starts_with("/embed");
        let on_this_machine = place.starts_with('/') && matches!(transport, "" | "unix");
        let on_socket = on_this_machine && !embedded && !in_process;
        // A socket of one's own choice can lead anywhere.
        let local = on_this_machine && !has("socket");
        let images = match (driver, local) {
            ("test", _) => Images::Imaginary,
            (_, true) => Images::Local,
            (_, false) => Images::Remote,
        };
        // The ssh that libvirt starts would ask on the terminal; `no_tty` turns that into an error.
        let opened = if transport == "ssh" && !has("no_tty") {
            format!("{uri}{}no_tty=1", if rest.contains('?') { '&' } else { '?' })
        } else {
            uri.to_owned()
        };
        let needs_events = !(on_socket || in_process);
        Ok(Self { uri: uri.to_owned(), opened, images, needs_events, on_socket })
    }

    fn operation(&self) -> String {
        format!("connect to {}", printable(&self.uri))
    }

    fn error(&self, error: &Error) -> HostError {
        let (class, hint) = self.explain(error);
        let mut message = error.message().trim_end().to_owned();
        if let Some(hint) = hint {
            message.push_str("; ");
            message.push_str(&hint);
        }
        HostError { class, operation: self.operation(), message, code: Some(code_of(error)) }
    }

    /// libvirt reports most of these as one number (38, a system error): its text has to tell them apart. It is not
    /// translated, because snapward sets no locale.
    fn explain(&self, error: &Error) -> (ErrorClass, Option<String>) {
        let text = error.message();
        let ssh = self.uri.split("://").next().is_some_and(|scheme| scheme.ends_with("+ssh"));
        let socket = text.contains("connect socket");
        match error.code().known() {
            Some(ErrorNumber::AuthFailed | ErrorNumber::AuthCancelled | ErrorNumber::AuthUnavailable) => {
                let hint = "snapward cannot type a password: let the server accept this user without one, for a local \
                            daemon by membership in group libvirt";
                (ErrorClass::Denied, Some(hint.to_owned()))
            }
            Some(ErrorNumber::NoConnect) => {
                let hint = "no driver of this libvirt takes the URI; is its package installed, is the URI spelt right?";
                (ErrorClass::Refused, Some(hint.to_owned()))
            }
            _ if ssh && (text.contains("Permission denied") || text.contains("Host key verification failed")) => {
                let hint = "ssh may not ask here: try `ssh HOST true` by hand until it works without a question (key or \
                            agent, known host)";
                (ErrorClass::Denied, Some(hint.to_owned()))
            }
            _ if socket && text.contains("Permission denied") => {
                let hint = "this user may not use the socket: join group libvirt and log in again, or run as root";
                (ErrorClass::Denied, Some(hint.to_owned()))
            }
            _ if socket && (text.contains("No such file") || text.contains("Connection refused")) => {
                let hint = "no libvirt daemon listens there: is it installed and running (`systemctl start \
                            virtqemud.socket`, or libvirtd), and is the URI spelt right?";
                (ErrorClass::Transient, Some(hint.to_owned()))
            }
            _ if self.uri.contains(":///embed") && text.contains("pid file") => {
                let hint = "another process has this root open; only one may at a time";
                (ErrorClass::Transient, Some(hint.to_owned()))
            }
            _ => (classify(error, false), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(uri: &str) -> Images {
        Target::parse(uri).expect(uri).images
    }

    #[test]
    fn images_are_read_only_where_they_are_this_machines() {
        for uri in ["qemu:///system", "qemu:///session", "qemu:///embed?root=/r", "qemu+unix:///system"] {
            assert_eq!(images(uri), Images::Local, "{uri}");
        }
        for uri in ["qemu+ssh://h/system", "qemu://h/system", "qemu+tls:///system", "qemu+unix:///system?socket=/s"] {
            assert_eq!(images(uri), Images::Remote, "{uri}");
        }
        assert_eq!(images("test:///default"), Images::Imaginary);
    }

    #[test]
    fn the_event_loop_runs_for_networks_and_the_embedded_driver() {
        let needs = |uri| Target::parse(uri).expect("valid").needs_events;
        for uri in ["qemu:///embed?root=/r", "qemu+ssh://h/system", "qemu://h/system", "qemu+tls:///system"] {
            assert!(needs(uri), "{uri}");
        }
        for uri in ["qemu:///system", "qemu+unix:///session?socket=/s", "test:///default"] {
            assert!(!needs(uri), "{uri}");
        }
    }

    #[test]
    fn ssh_never_asks() {
        let opened = |uri| Target::parse(uri).expect("valid").opened;
        assert_eq!(opened("qemu+ssh://h/system"), "qemu+ssh://h/system?no_tty=1");
        assert_eq!(opened("qemu+ssh://h/system?keyfile=/k"), "qemu+ssh://h/system?keyfile=/k&no_tty=1");
        assert_eq!(opened("qemu+ssh://h/system?no_tty=0"), "qemu+ssh://h/system?no_tty=0");
        assert_eq!(opened("qemu:///system"), "qemu:///system");
    }

    #[test]
    fn text_that_is_no_uri_is_refused_before_libvirt_sees_it() {
        for uri in ["", "qemu", "a\0b:///x", "qemu:///system\n", "://x", "qe mu:///x", "+ssh://h/system"] {
            let error = connect(uri, Access::ReadOnly, None).err().expect(uri);
            assert_eq!((error.class, error.code), (ErrorClass::Refused, None), "{error}");
        }
    }

    #[test]
    fn a_missing_daemon_is_told_from_a_missing_driver() {
        let uri = "qemu+unix:///system?socket=/nonexistent/sock";
        let error = connect(uri, Access::ReadOnly, None).err().expect("no socket");
        assert_eq!(error.class, ErrorClass::Transient, "{error}");
        assert!(error.message.contains("no libvirt daemon listens there"), "{error}");
    }
}
