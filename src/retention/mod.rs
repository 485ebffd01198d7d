//! Retention: when a snapshot's time is over. Pure functions of data and `now`.

mod age;
mod bounds;
mod calendar;
mod candidate;
mod decide;
pub mod engines;
mod reason;
mod rule;
mod walk;
mod wording;

pub use age::expires_at;
pub use bounds::{ages_contradict, coarsest, finest, most_kept, useless};
pub use calendar::Bucket;
pub use candidate::{Candidate, Context, SetAside};
pub use decide::{UnknownZone, decide};
pub use reason::{Change, Code, Decision, Reason};
pub use rule::{Period, Reach, Rule};
pub use wording::Wording;
