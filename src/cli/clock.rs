//! The one place that reads the clock; everything else takes the time as an argument.

use jiff::Timestamp;

/// The time now.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}
