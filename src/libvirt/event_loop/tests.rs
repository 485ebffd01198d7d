//! The loop by itself: descriptors, timers, what is removed, and that a call wakes nobody.

use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use super::*;

const READABLE: c_int = sys::VIR_EVENT_HANDLE_READABLE as c_int;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Handle(c_int),
    Timer,
    Freed(Option<String>),
}

fn running() -> &'static EventLoop {
    let made: &'static EventLoop = Box::leak(Box::new(EventLoop::new().expect("made")));
    thread::Builder::new().name("loop".to_owned()).spawn(|| made.run()).expect("a thread");
    made
}

fn context() -> (Context, Receiver<Told>) {
    let (sender, receiver) = channel::<Told>();
    (Context { opaque: Box::into_raw(Box::new(sender)).cast(), free: Some(free) }, receiver)
}

unsafe extern "C" fn free(opaque: *mut c_void) {
    // SAFETY: of `context`, given back once.
    let sender = unsafe { Box::from_raw(opaque.cast::<Sender<Told>>()) };
    _ = sender.send(Told::Freed(thread::current().name().map(str::to_owned)));
}

unsafe extern "C" fn on_handle(_: c_int, _: c_int, events: c_int, opaque: *mut c_void) {
    // SAFETY: of `context`, not given back yet.
    _ = unsafe { &*opaque.cast::<Sender<Told>>() }.send(Told::Handle(events));
}

unsafe extern "C" fn on_timer(_: c_int, opaque: *mut c_void) {
    // SAFETY: as above.
    _ = unsafe { &*opaque.cast::<Sender<Told>>() }.send(Told::Timer);
}

/// Waits until the loop has gone round with all that happened before.
fn gone_round(events: &EventLoop) {
    for _ in 0..2 {
        let (context, told) = context();
        let timer = events.add_timeout(0, Some(on_timer), context);
        assert_eq!(told.recv_timeout(LONG), Ok(Told::Timer));
        assert!(events.remove_timeout(timer));
        while told.recv_timeout(LONG).is_ok() {}
    }
}

#[test]
fn a_descriptor_is_told_of_while_it_is_watched_and_not_else() {
    let events = running();
    let (mut near, mut far) = UnixStream::pair().expect("a pair");
    let (context, told) = context();
    let watch = events.add_handle(near.as_raw_fd(), 0, Some(on_handle), context).expect("added");
    far.write_all(b"x").expect("written");
    gone_round(events);
    assert!(told.try_recv().is_err(), "watched for nothing");
    events.update_handle(watch, READABLE);
    assert_eq!(told.recv_timeout(LONG), Ok(Told::Handle(READABLE)));
    events.update_handle(watch, 0);
    near.read_exact(&mut [0]).expect("read");
    gone_round(events);
    while told.try_recv().is_ok() {}
    drop(far);
    gone_round(events);
    assert!(told.try_recv().is_err(), "the other end went away, and nobody asked");
    events.update_handle(watch, READABLE);
    let Ok(Told::Handle(happened)) = told.recv_timeout(LONG) else { panic!("told of it") };
    assert_ne!(happened & sys::VIR_EVENT_HANDLE_HANGUP as c_int, 0, "{happened}");
    assert!(events.remove_handle(watch));
}

#[test]
fn a_descriptor_can_be_watched_twice() {
    let events = running();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    let both: Vec<_> = (0..2)
        .map(|_| {
            let (context, told) = context();
            (events.add_handle(near.as_raw_fd(), READABLE, Some(on_handle), context).expect("added"), told)
        })
        .collect();
    far.write_all(b"x").expect("written");
    for (watch, told) in both {
        assert_eq!(told.recv_timeout(LONG), Ok(Told::Handle(READABLE)));
        assert!(events.remove_handle(watch));
    }
}

#[test]
fn what_is_removed_is_given_back_once_by_the_loop() {
    let events = running();
    let (near, _far) = UnixStream::pair().expect("a pair");
    let (of_handle, told) = context();
    let watch = events.add_handle(near.as_raw_fd(), READABLE, Some(on_handle), of_handle).expect("added");
    let (of_timer, timer_told) = context();
    let timer = events.add_timeout(-1, Some(on_timer), of_timer);
    assert!(events.remove_handle(watch) && events.remove_timeout(timer));
    assert!(!events.remove_handle(watch) && !events.remove_timeout(timer), "gone");
    for told in [told, timer_told] {
        assert_eq!(told.recv_timeout(LONG), Ok(Told::Freed(Some("loop".to_owned()))));
        assert_eq!(told.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected), "once");
    }
}

#[test]
fn a_timer_goes_off_again_and_again_and_can_be_moved_and_switched_off() {
    let events = running();
    let (context, told) = context();
    let timer = events.add_timeout(-1, Some(on_timer), context);
    gone_round(events);
    assert!(told.try_recv().is_err(), "it is off");
    // The loop sleeps until an hour from now, and must wake for what comes before.
    events.set_timer(&mut events.state(), timer, 3_600_000);
    gone_round(events);
    events.set_timer(&mut events.state(), timer, 1);
    for _ in 0..3 {
        assert_eq!(told.recv_timeout(LONG), Ok(Told::Timer));
    }
    events.set_timer(&mut events.state(), timer, -1);
    gone_round(events);
    while told.try_recv().is_ok() {}
    gone_round(events);
    assert!(told.try_recv().is_err(), "it is off again");
}

/// What libvirt does around each call, and with each answer.
#[test]
fn a_call_wakes_nobody() {
    let events = EventLoop::new().expect("made");
    let (near, _far) = UnixStream::pair().expect("a pair");
    let (of_handle, _told) = context();
    let watch = events.add_handle(near.as_raw_fd(), READABLE, Some(on_handle), of_handle).expect("added");
    let (of_timer, _timer_told) = context();
    let timer = events.add_timeout(5000, Some(on_timer), of_timer);
    let due = events.state().next_due();
    events.state().sleeps = Some(due);
    for _ in 0..3 {
        events.update_handle(watch, 0);
        events.set_timer(&mut events.state(), timer, 5000);
        events.update_handle(watch, READABLE);
    }
    assert_eq!(read(&events.wake, &mut [0; 8]), Err(Errno::AGAIN));
    events.set_timer(&mut events.state(), timer, 1000);
    assert_eq!(read(&events.wake, &mut [0; 8]), Ok(8), "what comes before it wakes does wake it");
}
