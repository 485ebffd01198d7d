//! The time of day, as an argument: the loop is tested on a clock of the test's own.

use jiff::Timestamp;

/// Tells the time of day. How long something takes is tokio's matter, whose clock tests can pause.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

impl<F: Fn() -> Timestamp + Send + Sync> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}
