//! A decorator that refuses every write.

use std::sync::Arc;

use super::Host;

/// Refuses every write.
pub struct ReadOnly {
    _inner: Arc<dyn Host>,
}
