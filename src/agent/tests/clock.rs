//! The clock that the model and the agent share: tokio's, which the tests pause, and a leap.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::agent::Clock;

/// 2026-11-23T04:00:30Z: half a minute after a full hour.
pub(super) const START: &str = "2026-11-23T04:00:30Z";

/// The time of day, as far as tokio's clock and leaps have brought it.
pub(super) struct SimClock {
    runtime: tokio::runtime::Handle,
    begin: Instant,
    leap: AtomicI64,
}

impl SimClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { runtime: tokio::runtime::Handle::current(), begin: Instant::now(), leap: AtomicI64::new(0) })
    }

    /// The clock is set, by that many seconds.
    pub(super) fn leap(&self, seconds: i64) {
        self.leap.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Arc<SimClock> {
    fn now(&self) -> Timestamp {
        // Apply's threads are none of tokio's.
        let _context = self.runtime.enter();
        let start: Timestamp = START.parse().expect("an instant");
        let passed = SignedDuration::try_from(self.begin.elapsed()).expect("a span");
        start + passed + SignedDuration::from_secs(self.leap.load(Ordering::SeqCst))
    }
}
