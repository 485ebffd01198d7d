//! The one place that reads the clock; everything else takes the time as an argument.

use jiff::Timestamp;

/// The time now, in whole seconds as libvirt counts.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
