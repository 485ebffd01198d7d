//! Retention: when a snapshot's time is over. Pure functions of data and `now`.

mod age;
mod bounds;
mod calendar;
mod candidate;
mod decide;
mod engines;
mod reason;
mod rule;
mod said;
mod simulation;
#[cfg(test)]
mod tests;
mod walk;
mod wording;

pub use crate::model::retention::Code;
pub use age::expires_at;
pub use bounds::{ages_contradict, most_kept, useless};
pub use calendar::Bucket;
pub use candidate::{Candidate, Context, SetAside};
pub use decide::{UnknownZone, decide};
pub use reason::{Change, Decision, Reason};
pub use rule::{Period, Reach, Rule};
pub use said::Said;
pub use simulation::{Taken, compare, simulate};
pub use wording::Wording;
