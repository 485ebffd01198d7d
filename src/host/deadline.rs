//! A decorator that gives up on calls that take too long.

use std::sync::Arc;
use std::time::Duration;

use super::Host;

/// How long calls may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For calls that only read.
    pub read: Duration,
    /// For calls that change something.
    pub write: Duration,
}

/// Gives up on calls that take too long.
pub struct Deadline {
    _inner: Arc<dyn Host>,
}
