//! Schedules: cron expressions in a time zone, their slots, when a slot is due, times in names, and the windows of a
//! SafetyPolicy. Pure functions of data and `now`.
//!
//! Own code and no library, because of what a change of the clocks does to a slot. `croner` 4.0, the nearest fit, takes only
//! a single hour with a single minute for a fixed time (`determine_job_type`): `0,30 2 * * *` would lose its day in spring
//! and have it twice in autumn. `cronexpr` 1.7 cannot look backwards, which is what a due-test asks, and `jiff-cron` 0.3
//! makes no difference between the two kinds of schedule. Five fields are five bit masks; the rest is in `slots`.

mod cron;
mod due;
mod pattern;
mod slots;
mod windows;

#[cfg(test)]
mod tests;

pub use cron::{Cron, CronError};
pub use due::{Due, Pace, Tempo, due, jitter};
pub use pattern::TimePattern;
pub use slots::{Slots, Timetable};
pub use windows::{closed_until, open, open_until};
