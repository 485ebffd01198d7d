//! A decorator that counts calls.

use std::sync::Arc;

use super::Host;

/// Counts the libvirt calls made through it.
pub struct Counting {
    _inner: Arc<dyn Host>,
}
