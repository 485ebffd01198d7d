//! The event loop that libvirt asks a program for (`virEventRegisterImpl`), on epoll(7).
//!
//! Around each call libvirt takes the socket of its connection out of the loop and puts it back, and each answer moves the
//! keepalive timer. libvirt's own loop wakes its thread for every such change. Here the kernel is told, which holds at once
//! and wakes nobody, and a timer that moves away is noticed when the loop next wakes.

#![allow(unsafe_code, reason = "src/libvirt/ is the home of libvirt's C interface; see the SAFETY comments")]

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::{Errno, fcntl_dupfd_cloexec, read, write};
use rustix::net::{Shutdown, shutdown};
use virt::sys;

/// The loop of the process: libvirt keeps one, and its functions are given no context.
static LOOP: OnceLock<EventLoop> = OnceLock::new();

/// The data of the descriptor that wakes the loop; watches have positive numbers.
const WAKE: u64 = 0;

/// The smallest number of a descriptor's copy: 0 to 2 are left alone also where the program was started without them.
const FIRST_COPY: c_int = 3;

/// Makes the loop, and gives it to libvirt and to a thread of its own. Called once, before the first connection that needs
/// it is opened: libvirt takes its loop without a lock.
///
/// # Errors
/// A text, where descriptors or threads have run out.
pub(super) fn start() -> Result<(), String> {
    let made = EventLoop::new().map_err(|error| format!("libvirt's event loop cannot be made: {error}"))?;
    let events = LOOP.get_or_init(|| made);
    thread::Builder::new()
        .name("libvirt-events".to_owned())
        .spawn(|| events.run())
        .map_err(|error| format!("libvirt's event loop gets no thread: {error}"))?;
    // SAFETY: the functions do what `virEventRegisterImpl` documents of each, from any thread, and live as long as the process.
    unsafe {
        sys::virEventRegisterImpl(
            Some(add_handle),
            Some(update_handle),
            Some(remove_handle),
            Some(add_timeout),
            Some(update_timeout),
            Some(remove_timeout),
        );
    }
    Ok(())
}

thread_local! {
    /// Where this thread opens a connection that is not to be watched: its socket, once libvirt has named it.
    static UNWATCHED: RefCell<Option<Option<Socket>>> = const { RefCell::new(None) };
}

/// The socket of a connection that is not watched.
pub(super) struct Socket(OwnedFd);

impl Socket {
    /// Cuts it: all calls fail from now on, and so does the one that waits for an answer.
    pub(super) fn cut(&self) {
        if let Err(error) = shutdown(&self.0, Shutdown::Both) {
            tracing::debug!(%error, "the connection was cut already");
        }
    }
}

/// Opens a connection that the loop does not watch: it has no events and no keepalive, and its calls are cheaper. Without
/// keepalive a server that hangs is waited for without end, also by the closing: who opens it must cut its socket then.
/// libvirt registers a connection's socket in the thread that opens it, and does without where that is refused
/// (`virNetClientRegisterAsyncIO`).
pub(super) fn unwatched<T>(open: impl FnOnce() -> T) -> (T, Option<Socket>) {
    UNWATCHED.set(Some(None));
    let opened = open();
    (opened, UNWATCHED.take().flatten())
}

/// Whether this thread opens a connection that is not to be watched; then its socket is noted.
fn leaves_out(fd: c_int) -> bool {
    UNWATCHED.with_borrow_mut(|unwatched| {
        if let Some(socket) = unwatched {
            *socket = copy(fd).ok().map(Socket);
        }
        unwatched.is_some()
    })
}

/// A copy of a descriptor of libvirt's.
fn copy(fd: c_int) -> Result<OwnedFd, Errno> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: libvirt's descriptor is open during the call in which it names it.
    fcntl_dupfd_cloexec(unsafe { BorrowedFd::borrow_raw(fd) }, FIRST_COPY)
}

/// What libvirt gives with a callback, and how it is given back.
#[derive(Clone, Copy)]
struct Context {
    opaque: *mut c_void,
    free: sys::virFreeCallback,
}

// SAFETY: libvirt's contract is that callbacks, and the functions that free what they are given, run on the loop's thread,
// whichever thread registered them.
unsafe impl Send for Context {}

/// A descriptor that is watched.
struct Watched {
    /// As libvirt knows it.
    fd: c_int,
    /// A copy of our own: the kernel takes a descriptor once, and libvirt may have it watched twice.
    copy: OwnedFd,
    /// What it is watched for; where that is nothing, the kernel does not know it.
    interest: EventFlags,
    callback: sys::virEventHandleCallback,
    context: Context,
}

/// A timer. It goes off again and again until it is updated or removed.
struct Timer {
    /// None while it is switched off.
    every: Option<Duration>,
    due: Option<Instant>,
    callback: sys::virEventTimeoutCallback,
    context: Context,
}

impl Timer {
    /// Begins anew. libvirt counts in milliseconds, a negative number switches off.
    fn set(&mut self, milliseconds: c_int, now: Instant) {
        self.every = u64::try_from(milliseconds).ok().map(Duration::from_millis);
        self.due = self.every.map(|every| now + every);
    }
}

#[derive(Default)]
struct State {
    handles: HashMap<c_int, Watched>,
    timers: HashMap<c_int, Timer>,
    /// The last number given to a handle or timer.
    last: c_int,
    /// What was removed and is to be given back.
    removed: Vec<Context>,
    /// While the loop sleeps: until when, at the latest.
    sleeps: Option<Option<Instant>>,
}

impl State {
    fn next(&mut self) -> c_int {
        self.last += 1;
        self.last
    }

    fn next_due(&self) -> Option<Instant> {
        self.timers.values().filter_map(|timer| timer.due).min()
    }
}

struct EventLoop {
    epoll: OwnedFd,
    wake: OwnedFd,
    state: Mutex<State>,
}

impl EventLoop {
    fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self { epoll, wake, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is called while it is held, so it is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the loop where it sleeps for longer than until an instant, or at all.
    fn wake(&self, state: &State, before: Option<Instant>) {
        let too_long = |until: Option<Instant>| before.is_none_or(|before| until.is_none_or(|until| before < until));
        if state.sleeps.is_some_and(too_long) {
            // It fails where it was written four billion times unread, and then it wakes all the more.
            _ = write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    fn run(&self) -> ! {
        let mut buffer = [MaybeUninit::uninit(); 64];
        loop {
            let due = self.free_removed_and_rest();
            let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            let happened: Vec<(u64, EventFlags)> = match epoll::wait(&self.epoll, &mut buffer, timeout.as_ref()) {
                Ok((happened, _)) => happened.iter().map(|event| (event.data.u64(), event.flags)).collect(),
                Err(Errno::INTR) => Vec::new(),
                Err(_) => {
                    // For lack of memory, if at all. Not at full speed until that is over.
                    thread::sleep(Duration::from_secs(1));
                    Vec::new()
                }
            };
            self.state().sleeps = None;
            for (number, flags) in happened {
                match c_int::try_from(number) {
                    Ok(watch) if number != WAKE => self.tell_handle(watch, flags),
                    _ => drop(read(&self.wake, &mut [0; 8])),
                }
            }
            self.tell_timers();
        }
    }

    /// Calls back for a descriptor, unless it was removed or is not watched for that any more.
    fn tell_handle(&self, watch: c_int, flags: EventFlags) {
        let (callback, fd, opaque) = {
            let state = self.state();
            let Some(watched) = state.handles.get(&watch) else { return };
            // The kernel tells of errors and of the other end's going away without being asked.
            if !flags.intersects(watched.interest | EventFlags::ERR | EventFlags::HUP) || watched.interest.is_empty() {
                return;
            }
            (watched.callback, watched.fd, watched.context.opaque)
        };
        if let Some(callback) = callback {
            // SAFETY: libvirt's callback with libvirt's arguments, on the loop's thread, which alone frees the context.
            unsafe { callback(watch, fd, events_of(flags), opaque) };
        }
    }

    fn tell_timers(&self) {
        let now = Instant::now();
        let due: Vec<c_int> = {
            let state = self.state();
            let due = state.timers.iter().filter(|(_, timer)| timer.due.is_some_and(|due| due <= now));
            due.map(|(number, _)| *number).collect()
        };
        for number in due {
            let (callback, opaque) = {
                let mut state = self.state();
                // One that was called before may have moved or removed it.
                let Some(timer) = state.timers.get_mut(&number) else { continue };
                if timer.due.is_none_or(|due| due > now) {
                    continue;
                }
                timer.due = timer.every.map(|every| now + every);
                (timer.callback, timer.context.opaque)
            };
            if let Some(callback) = callback {
                // SAFETY: as for a handle.
                unsafe { callback(number, opaque) };
            }
        }
    }

    /// Gives back what was removed: never inside of the removal, which libvirt may ask for while it holds locks of its own.
    /// When nothing is left the loop counts as asleep, until the instant that is returned. Both under one lock: what is
    /// removed in between would wait for the next wake.
    fn free_removed_and_rest(&self) -> Option<Instant> {
        loop {
            let removed = {
                let mut state = self.state();
                if state.removed.is_empty() {
                    let due = state.next_due();
                    state.sleeps = Some(due);
                    return due;
                }
                std::mem::take(&mut state.removed)
            };
            for context in removed {
                if let Some(free) = context.free {
                    // SAFETY: it was removed, so it is given back once; its callback does not run, for it runs on this thread.
                    unsafe { free(context.opaque) };
                }
            }
        }
    }

    fn add_handle(
        &self,
        fd: c_int,
        events: c_int,
        callback: sys::virEventHandleCallback,
        context: Context,
    ) -> Result<c_int, Errno> {
        let copy = copy(fd)?;
        let mut state = self.state();
        let watch = state.next();
        let interest = interest_of(events);
        self.tell_kernel(watch, &copy, EventFlags::empty(), interest)?;
        state.handles.insert(watch, Watched { fd, copy, interest, callback, context });
        Ok(watch)
    }

    fn update_handle(&self, watch: c_int, events: c_int) {
        let mut state = self.state();
        let Some(watched) = state.handles.get_mut(&watch) else { return };
        let interest = interest_of(events);
        match self.tell_kernel(watch, &watched.copy, watched.interest, interest) {
            Ok(()) => watched.interest = interest,
            Err(error) => {
                tracing::warn!(%error, "libvirt's connection is not watched as it should be; polling goes on");
            }
        }
    }

    fn remove_handle(&self, watch: c_int) -> bool {
        let mut state = self.state();
        let Some(watched) = state.handles.remove(&watch) else { return false };
        // Its copy is closed here, and libvirt's own may live on: the kernel forgets it when it is told to.
        _ = self.tell_kernel(watch, &watched.copy, watched.interest, EventFlags::empty());
        state.removed.push(watched.context);
        self.wake(&state, None);
        true
    }

    /// One that is watched for nothing is unknown to the kernel, which would tell of the other end's going away in any case.
    fn tell_kernel(&self, watch: c_int, fd: &OwnedFd, was: EventFlags, is: EventFlags) -> Result<(), Errno> {
        let data = EventData::new_u64(u64::from(watch.unsigned_abs()));
        match (was.is_empty(), is.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => epoll::add(&self.epoll, fd, data, is),
            (false, true) => epoll::delete(&self.epoll, fd),
            (false, false) => epoll::modify(&self.epoll, fd, data, is),
        }
    }

    fn add_timeout(&self, milliseconds: c_int, callback: sys::virEventTimeoutCallback, context: Context) -> c_int {
        let mut state = self.state();
        let number = state.next();
        state.timers.insert(number, Timer { every: None, due: None, callback, context });
        self.set_timer(&mut state, number, milliseconds);
        number
    }

    fn set_timer(&self, state: &mut State, number: c_int, milliseconds: c_int) {
        let Some(timer) = state.timers.get_mut(&number) else { return };
        timer.set(milliseconds, Instant::now());
        if let Some(due) = timer.due {
            self.wake(state, Some(due));
        }
    }

    fn remove_timeout(&self, number: c_int) -> bool {
        let mut state = self.state();
        let Some(timer) = state.timers.remove(&number) else { return false };
        state.removed.push(timer.context);
        self.wake(&state, None);
        true
    }
}

const FLAGS: [(c_uint, EventFlags); 4] = [
    (sys::VIR_EVENT_HANDLE_READABLE, EventFlags::IN),
    (sys::VIR_EVENT_HANDLE_WRITABLE, EventFlags::OUT),
    (sys::VIR_EVENT_HANDLE_ERROR, EventFlags::ERR),
    (sys::VIR_EVENT_HANDLE_HANGUP, EventFlags::HUP),
];

fn interest_of(events: c_int) -> EventFlags {
    let asked = FLAGS.iter().filter(|(event, _)| events.unsigned_abs() & event != 0);
    asked.fold(EventFlags::empty(), |all, (_, flag)| all | *flag)
}

fn events_of(flags: EventFlags) -> c_int {
    let happened = FLAGS.iter().filter(|(_, flag)| flags.contains(*flag));
    // Four bits.
    happened.fold(0, |all, (event, _)| all | *event as c_int)
}

unsafe extern "C" fn add_handle(
    fd: c_int,
    events: c_int,
    callback: sys::virEventHandleCallback,
    opaque: *mut c_void,
    free: sys::virFreeCallback,
) -> c_int {
    let added = LOOP
        .get()
        .filter(|_| !leaves_out(fd))
        .map(|of_process| of_process.add_handle(fd, events, callback, Context { opaque, free }));
    match added {
        Some(Ok(watch)) => watch,
        _ => -1,
    }
}

unsafe extern "C" fn update_handle(watch: c_int, events: c_int) {
    if let Some(of_process) = LOOP.get() {
        of_process.update_handle(watch, events);
    }
}

unsafe extern "C" fn remove_handle(watch: c_int) -> c_int {
    result(LOOP.get().is_some_and(|of_process| of_process.remove_handle(watch)))
}

unsafe extern "C" fn add_timeout(
    milliseconds: c_int,
    callback: sys::virEventTimeoutCallback,
    opaque: *mut c_void,
    free: sys::virFreeCallback,
) -> c_int {
    LOOP.get().map_or(-1, |of_process| of_process.add_timeout(milliseconds, callback, Context { opaque, free }))
}

unsafe extern "C" fn update_timeout(number: c_int, milliseconds: c_int) {
    if let Some(of_process) = LOOP.get() {
        of_process.set_timer(&mut of_process.state(), number, milliseconds);
    }
}

unsafe extern "C" fn remove_timeout(number: c_int) -> c_int {
    result(LOOP.get().is_some_and(|of_process| of_process.remove_timeout(number)))
}

fn result(done: bool) -> c_int {
    if done { 0 } else { -1 }
}
