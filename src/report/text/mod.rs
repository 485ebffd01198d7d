//! Reports as text for people.

mod layout;
mod outcome;
mod plan;
mod status;
mod value;

pub use outcome::outcome;
pub use plan::{plan, plan_summary};
pub use status::status;
pub use value::millis;

/// `1 domain`, `2 domains`.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
