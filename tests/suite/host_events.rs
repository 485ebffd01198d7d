//! Events of a connection: told from the moment it is open until it is dropped, and not a moment longer.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use snapward::host::{ErrorClass, Event, Happened, Listener};
use snapward::libvirt::{Access, connect};

use crate::support::agent::PATIENCE;
use crate::support::fleet::Fleet;
use crate::support::gate::wait_until;

fn listener() -> (Listener, Receiver<Event>) {
    let (sender, told) = channel();
    (Arc::new(move |event| drop(sender.send(event))), told)
}

#[track_caller]
fn next(told: &Receiver<Event>) -> Event {
    told.recv_timeout(PATIENCE).expect("an event")
}

/// Each registration holds the listener: none is left once libvirt has freed them all.
#[track_caller]
fn is_freed(listener: &Listener) {
    wait_until("the callbacks to be freed", || Arc::strong_count(listener) == 1);
}

#[test]
fn events_are_told_until_the_connection_is_dropped() {
    let fleet = Fleet::start(&[]);
    let (listener, told) = listener();
    let host = connect(&fleet.uri(), Access::ReadOnly, Some(&listener)).expect("opened");
    assert!(Arc::strong_count(&listener) > 1);
    fleet.define("vm1");
    let uuid = host.domains().expect("listed")[0].uuid;
    assert_eq!(next(&told), Event::Domain { name: "vm1".to_owned(), uuid, what: Happened::Defined });
    drop(host);
    is_freed(&listener);
    fleet.virsh(&["undefine", "vm1"]);

    // The next connection tells of what comes then, once.
    let host = connect(&fleet.uri(), Access::ReadOnly, Some(&listener)).expect("opened");
    fleet.define("vm2");
    assert!(matches!(next(&told), Event::Domain { name, what: Happened::Defined, .. } if name == "vm2"));
    fleet.virsh(&["undefine", "vm2"]);
    assert!(matches!(next(&told), Event::Domain { what: Happened::Undefined, .. }));
    drop(host);
    assert!(told.try_recv().is_err());
}

#[test]
fn a_lost_connection_is_told_of_and_leaves_no_callback() {
    let mut fleet = Fleet::start(&[]);
    let (listener, told) = listener();
    let host = connect(&fleet.uri(), Access::ReadOnly, Some(&listener)).expect("opened");
    fleet.daemon.kill();
    assert_eq!(next(&told), Event::Closed);
    assert!(host.domains().is_err());
    drop(host);
    is_freed(&listener);
    assert!(told.try_recv().is_err(), "told once");
}

/// What is read through has no keepalive of its own.
#[test]
fn a_daemon_that_hangs_ends_the_call_that_waits_for_it() {
    let fleet = Fleet::start(&["vm1"]);
    let (listener, told) = listener();
    let host = connect(&fleet.uri(), Access::ReadOnly, Some(&listener)).expect("opened");
    let domains = host.domains().expect("listed");
    let daemon = Pid::from_raw(fleet.daemon.pid()).expect("it runs");
    kill_process(daemon, Signal::STOP).expect("stopped");
    let error = host.snapshots(&domains[0]).expect_err("cut");
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert_eq!(next(&told), Event::Closed);
    // Nor does closing it wait, nor the handles that are left of it.
    drop((host, domains));
    is_freed(&listener);
    kill_process(daemon, Signal::CONT).expect("it goes on");
}
