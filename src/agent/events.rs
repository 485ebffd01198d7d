//! What hosts tell by themselves: on its way from libvirt's thread to the loop, which of it matters, and when its domain is
//! looked at.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Agent, Key};
use crate::host::{Event, Happened, Listener};
use crate::model::plan::Plan;

/// How long after an event, or the end of a job, a domain is looked at. A revert or a start tells of itself several times in a
/// row, and a job's last events arrive when its calls have returned: one look is for all of them.
pub(super) const SETTLE: Duration = Duration::from_millis(200);

/// Takes events from any thread to the loop, with the name of their host.
#[derive(Clone)]
pub(super) struct Events(mpsc::UnboundedSender<(String, Event)>);

impl Events {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<(String, Event)>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// A listener for a connection, and the place for the name that its host tells. What happens before that is dropped:
    /// everything is read after it.
    pub(super) fn listener(&self) -> (Listener, Arc<OnceLock<String>>) {
        let (sender, name) = (self.0.clone(), Arc::new(OnceLock::<String>::new()));
        let host = Arc::clone(&name);
        let listener: Listener = Arc::new(move |event| {
            if let Some(host) = host.get() {
                // The loop is gone: so is the agent.
                drop(sender.send((host.clone(), event)));
            }
        });
        (listener, name)
    }
}

impl Agent {
    /// Something happened on a host.
    pub(super) fn event(&mut self, host: String, event: Event) {
        self.counters.event(&event);
        let (name, uuid, what) = match event {
            Event::Closed => {
                tracing::debug!(host, "the connection is closed");
                self.closed = true;
                return;
            }
            Event::Domain { name, uuid, what } => (name, uuid, what),
        };
        let key = (host, uuid);
        if !self.concerns(&key, &name) {
            return;
        }
        // Of one revert several are told, and of our own the last when the job has ended: a look is to come then.
        let ours_or_known = self.queue.is_running(&key) || self.queue.is_wanted(&key);
        if what == Happened::FromSnapshot && !ours_or_known {
            tracing::info!(
                host = key.0,
                domain = name,
                "reverted, or stopped by a capture; not by a pass that runs now"
            );
        } else {
            tracing::debug!(host = key.0, domain = name, ?what, "event");
        }
        self.queue.want(key, Instant::now() + SETTLE);
    }

    /// Whether anything declared selects a domain, or did in the last round. The rest of a host comes and goes as it likes.
    fn concerns(&self, key: &Key, name: &str) -> bool {
        let known = |plan: &Arc<Plan>| plan.domains.iter().any(|of| of.uuid == key.1 && of.host == key.0);
        if self.plan.as_ref().is_some_and(known) {
            return true;
        }
        // A host that no round has ended on yet is being read just now.
        let Some(host) = self.infos.get(&key.0) else { return true };
        !self.chooser.choosing(host, name, key.1).is_empty()
    }
}
