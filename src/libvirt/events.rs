//! Events of a connection, which `virt` does not wrap: registered after it was opened, taken back before it is closed.
//!
//! libvirt calls back on the thread of its event loop, which serves all connections: what is done there is to read two fields
//! of an object and to call a listener that does not block.

#![allow(unsafe_code, reason = "src/libvirt/ is the home of libvirt's C interface; see the SAFETY comments")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::transmute;
use std::ptr;

use uuid::Uuid;
use virt::connect::Connect;
use virt::error::Error;
use virt::sys;

use super::handle::Owned;
use crate::host::{Event, Happened, Listener};
use crate::model::ledger::LEDGER_NAMESPACE;
use crate::model::names::DomainUuid;

/// What is registered on a connection. Each registration holds a reference to the connection, so that it is closed only when
/// this is dropped. That asks the server, as closing does, and like all calls it ends when keepalive gives the server up.
pub(super) struct Subscription {
    connection: Owned<Connect>,
    callbacks: Vec<c_int>,
    close: bool,
}

/// A callback of any kind of event, as libvirt takes it.
type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
type Lifecycle = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
type BlockJob = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, c_int, c_int, *mut c_void);
type Metadata = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *const c_char, *mut c_void);

impl Subscription {
    /// Has the listener told of what happens. What a driver does not know is left out: then polling finds it.
    pub(super) fn new(connection: &Connect, listener: &Listener) -> Self {
        let mut made =
            Self { connection: Owned::new(connection.clone()), callbacks: Vec::with_capacity(3), close: false };
        // SAFETY: libvirt calls a callback with the arguments of the event it was registered for (VIR_DOMAIN_EVENT_CALLBACK
        // is this very cast in C), and these three are what its documentation names for the three.
        let callbacks = unsafe {
            [
                (sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, transmute::<Lifecycle, Generic>(on_lifecycle)),
                (sys::VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, transmute::<BlockJob, Generic>(on_block_job)),
                (sys::VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, transmute::<Metadata, Generic>(on_metadata)),
            ]
        };
        for (event, callback) in callbacks {
            if let Err(error) = made.register(event, callback, listener) {
                tracing::warn!(event, error = error.message(), "libvirt tells of no such events; polling finds them");
            }
        }
        if let Err(error) = made.register_close(listener) {
            tracing::warn!(error = error.message(), "libvirt tells of no lost connection; polling finds it");
        }
        made
    }

    fn register(&mut self, event: c_uint, callback: Generic, listener: &Listener) -> Result<(), Error> {
        let context = context(listener);
        // The ids are small.
        let event = event as c_int;
        // SAFETY: the connection is open; the context is valid until libvirt gives it to `free`, which it does once, after
        // the last call of the callback. Without a domain it is told of all.
        let id = unsafe {
            sys::virConnectDomainEventRegisterAny(
                self.connection.as_ptr(),
                ptr::null_mut(),
                event,
                Some(callback),
                context,
                Some(free),
            )
        };
        if id < 0 {
            let error = Error::last_error();
            // SAFETY: libvirt keeps nothing of a registration that failed, and does not free its context.
            unsafe { free(context) };
            return Err(error);
        }
        self.callbacks.push(id);
        Ok(())
    }

    fn register_close(&mut self, listener: &Listener) -> Result<(), Error> {
        let context = context(listener);
        // SAFETY: as above. Drivers inside the process cannot lose their connection: they take the callback and forget it,
        // and the few bytes of its context with it.
        let done = unsafe {
            sys::virConnectRegisterCloseCallback(self.connection.as_ptr(), Some(on_close), context, Some(free))
        };
        if done < 0 {
            let error = Error::last_error();
            // SAFETY: as above.
            unsafe { free(context) };
            return Err(error);
        }
        self.close = true;
        Ok(())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Where the connection is lost the server cannot be told; libvirt forgets its own half first.
        for id in &self.callbacks {
            // SAFETY: the connection is valid as long as our reference is, and the id is one it gave.
            unsafe { sys::virConnectDomainEventDeregisterAny(self.connection.as_ptr(), *id) };
        }
        if self.close {
            // SAFETY: as above.
            unsafe { sys::virConnectUnregisterCloseCallback(self.connection.as_ptr(), Some(on_close)) };
        }
    }
}

/// A listener as a pointer that [`free`] takes back.
fn context(listener: &Listener) -> *mut c_void {
    Box::into_raw(Box::new(Listener::clone(listener))).cast()
}

unsafe extern "C" fn free(context: *mut c_void) {
    // SAFETY: it is a pointer of `context`, given back once.
    drop(unsafe { Box::from_raw(context.cast::<Listener>()) });
}

unsafe extern "C" fn on_close(_: sys::virConnectPtr, _: c_int, context: *mut c_void) {
    // SAFETY: a pointer of `context`, not freed before the last call.
    let listener = unsafe { &*context.cast::<Listener>() };
    listener(Event::Closed);
}

unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    context: *mut c_void,
) -> c_int {
    if let Some(what) = lifecycle(event as c_uint, detail as c_uint) {
        // SAFETY: libvirt's domain is valid during the call, the context until it is freed.
        unsafe { tell(domain, what, context) };
    }
    0
}

unsafe extern "C" fn on_block_job(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: *const c_char,
    _: c_int,
    status: c_int,
    context: *mut c_void,
) {
    // One that is ready has still to end.
    if status as c_uint != sys::VIR_DOMAIN_BLOCK_JOB_READY {
        // SAFETY: as for a lifecycle event.
        unsafe { tell(domain, Happened::BlockJob, context) };
    }
}

unsafe extern "C" fn on_metadata(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _: c_int,
    namespace: *const c_char,
    context: *mut c_void,
) {
    // A title or description has no namespace, and other programs write in theirs as often as they like.
    // SAFETY: where there is a namespace, it is a C string during the call.
    if !namespace.is_null() && unsafe { CStr::from_ptr(namespace) }.to_bytes() == LEDGER_NAMESPACE.as_bytes() {
        // SAFETY: as for a lifecycle event.
        unsafe { tell(domain, Happened::Ledger, context) };
    }
}

/// What an event of `virDomainEventType` and its detail mean; none for what another event follows.
fn lifecycle(event: c_uint, detail: c_uint) -> Option<Happened> {
    let from_snapshot = match event {
        sys::VIR_DOMAIN_EVENT_DEFINED => detail == sys::VIR_DOMAIN_EVENT_DEFINED_FROM_SNAPSHOT,
        sys::VIR_DOMAIN_EVENT_STARTED => detail == sys::VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT,
        sys::VIR_DOMAIN_EVENT_SUSPENDED => detail == sys::VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT,
        sys::VIR_DOMAIN_EVENT_RESUMED => detail == sys::VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT,
        sys::VIR_DOMAIN_EVENT_STOPPED => detail == sys::VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT,
        _ => false,
    };
    if from_snapshot {
        return Some(Happened::FromSnapshot);
    }
    match event {
        sys::VIR_DOMAIN_EVENT_DEFINED => Some(Happened::Defined),
        sys::VIR_DOMAIN_EVENT_UNDEFINED => Some(Happened::Undefined),
        sys::VIR_DOMAIN_EVENT_STARTED => Some(Happened::Started),
        sys::VIR_DOMAIN_EVENT_SUSPENDED | sys::VIR_DOMAIN_EVENT_PMSUSPENDED => Some(Happened::Paused),
        sys::VIR_DOMAIN_EVENT_RESUMED => Some(Happened::Resumed),
        sys::VIR_DOMAIN_EVENT_STOPPED | sys::VIR_DOMAIN_EVENT_CRASHED => Some(Happened::Stopped),
        // The guest has shut down and QEMU is about to end: stopped comes next.
        _ => None,
    }
}

/// Tells the listener of a domain.
///
/// # Safety
/// The domain is valid, and the context is a pointer of [`context`] that was not freed.
unsafe fn tell(domain: sys::virDomainPtr, what: Happened, context: *mut c_void) {
    let mut uuid = [0; 16];
    // SAFETY: the domain is valid; both fields are in the object, a UUID has VIR_UUID_BUFLEN (16) bytes, and the name lives
    // as long as the object.
    let (found, name) = unsafe { (sys::virDomainGetUUID(domain, uuid.as_mut_ptr()), sys::virDomainGetName(domain)) };
    if found < 0 || name.is_null() {
        return;
    }
    // SAFETY: libvirt's names are C strings.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    // SAFETY: the caller's promise.
    let listener = unsafe { &*context.cast::<Listener>() };
    listener(Event::Domain { name, uuid: DomainUuid(Uuid::from_bytes(uuid)), what });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_a_snapshot_is_told_apart() {
        let from_snapshot = [(0, 3), (2, 3), (3, 5), (4, 2), (5, 6)];
        for (event, detail) in from_snapshot {
            assert_eq!(lifecycle(event, detail), Some(Happened::FromSnapshot), "{event} {detail}");
        }
        assert_eq!(lifecycle(2, 0), Some(Happened::Started));
        assert_eq!(lifecycle(5, 3), Some(Happened::Stopped), "migrated away");
        assert_eq!(lifecycle(6, 0), None, "shutdown, before stopped");
        assert_eq!(lifecycle(99, 0), None, "what newer versions add");
    }
}
