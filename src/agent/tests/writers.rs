//! The connections for writers: to which machine, shared by whom, and that one which hangs holds up no other.

use std::sync::mpsc::channel;
use std::thread;

use super::*;
use crate::agent::Hosts;
use crate::agent::hosts::Opened;
use crate::agent::jobs::{Job, Writers};
use crate::host::Listener;
use crate::libvirt::Access;
use crate::model::desired::DesiredState;
use crate::model::names::DomainUuid;
use crate::model::observed::HostInfo;
use crate::model::plan::{Plan, PlanSource};
use crate::observe::Endpoint;

/// Notes which URIs were opened; one of them hangs.
struct Noting {
    hosts: ModelHosts,
    opened: Mutex<Vec<String>>,
    hang: Hang,
}

impl Noting {
    fn new() -> Arc<Self> {
        let model = Model::new(SimClock::new(), &["vm1"]);
        Arc::new(Self { hosts: ModelHosts::new(&model, &[]), opened: Mutex::default(), hang: Hang::default() })
    }

    fn opened(&self) -> Vec<String> {
        self.opened.lock().expect("whole").clone()
    }
}

impl Hosts for Noting {
    fn endpoints(&self, _: &DesiredState) -> Vec<Endpoint> {
        Vec::new()
    }

    fn open(&self, endpoint: &Endpoint, access: Access, listener: Option<&Listener>) -> Result<Opened, String> {
        self.opened.lock().expect("whole").push(endpoint.uri.clone());
        if endpoint.uri.contains("hangs") {
            hang_at(&self.hang);
        }
        self.hosts.open(endpoint, access, listener)
    }
}

/// A job on a host of that name.
fn job(name: &str, uri: &str) -> Job {
    Job {
        key: (name.to_owned(), DomainUuid(uuid::Uuid::nil())),
        plan: Plan::new(String::new(), PlanSource { paths: Vec::new(), at: None }),
        info: HostInfo {
            name: name.to_owned(),
            uri: uri.to_owned(),
            hostname: name.to_owned(),
            labels: Default::default(),
            libvirt_version: 11_003_000,
            external_snapshots: true,
        },
        endpoint: Endpoint::planned(name, uri),
        approved: false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_given_to_another_machine_is_written_to_there() {
    let hosts = Noting::new();
    let writers = Writers::new(hosts.clone());
    for uri in ["qemu+ssh://old/system", "qemu+ssh://old/system", "qemu+ssh://new/system"] {
        writers.host(&job("kvm", uri)).expect("opened");
    }
    assert_eq!(hosts.opened(), ["qemu+ssh://old/system", "qemu+ssh://new/system"]);
    writers.retain(|name, uri| (name, uri) == ("kvm", "qemu+ssh://new/system"));
    for uri in ["qemu+ssh://new/system", "qemu+ssh://old/system"] {
        writers.host(&job("kvm", uri)).expect("opened");
    }
    assert_eq!(hosts.opened()[2..], ["qemu+ssh://old/system"], "what is no more was closed");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_hangs_holds_up_neither_other_hosts_nor_the_loop() {
    let hosts = Noting::new();
    let writers = Arc::new(Writers::new(hosts.clone()));
    let (release, until) = channel();
    *hosts.hang.lock().expect("whole") = Some(until);
    let own = Arc::clone(&writers);
    let hanging = thread::spawn(move || own.host(&job("a", "qemu+ssh://hangs/system")).is_ok());
    while hosts.opened().is_empty() {
        thread::yield_now();
    }
    let (done, other) = channel();
    thread::spawn(move || {
        writers.retain(|name, _| name == "b");
        done.send(writers.host(&job("b", "qemu:///system")).is_ok())
    });
    // Far more than it takes, to fail and not to hang.
    assert_eq!(other.recv_timeout(Duration::from_secs(20)), Ok(true));
    drop(release);
    assert!(hanging.join().expect("no panic"));
}
