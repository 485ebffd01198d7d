//! Reports as text for people.

mod agent;
mod explanation;
mod layout;
mod listing;
mod outcome;
mod plan;
mod retention;
mod status;
mod tree;
mod value;

pub use agent::agent;
pub use explanation::explanation;
pub use listing::{snapshot_info, snapshot_parents, snapshot_table, snapshot_tree};
pub use outcome::outcome;
pub use plan::{hosts, plan, plan_summary};
pub use retention::{comparison, forecast, simulation};
pub use status::status;
pub use value::millis;

use crate::model::desired::Origin;
use crate::model::plan::Warning;
use crate::report::style::Role;

/// Manifest lines, as `web.yaml:9, ci.yaml:4`.
fn origins(origins: &[Origin]) -> String {
    origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Remarks that block nothing.
fn warnings(page: &mut layout::Page, warnings: &[Warning]) {
    if warnings.is_empty() {
        return;
    }
    page.section();
    page.painted(0, Role::Heading, "Warnings:");
    for warning in warnings {
        page.wrapped(2, "", Some(Role::Change), &format!("{} ({})", warning.text, warning.origin));
    }
}
