//! Reports as text for people.

mod layout;
mod listing;
mod outcome;
mod plan;
mod retention;
mod status;
mod tree;
mod value;

pub use listing::{snapshot_info, snapshot_parents, snapshot_table, snapshot_tree};
pub use outcome::outcome;
pub use plan::{plan, plan_summary};
pub use retention::{comparison, simulation};
pub use status::status;
pub use value::millis;

use crate::model::desired::Origin;

/// Manifest lines, as `web.yaml:9, ci.yaml:4`.
fn origins(origins: &[Origin]) -> String {
    origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
