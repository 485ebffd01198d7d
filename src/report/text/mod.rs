//! Reports as text for people.

mod agent;
mod explanation;
mod layout;
mod outcome;
mod plan;
mod retention;
mod status;
mod value;

pub use agent::agent;
pub use explanation::explanation;
pub use outcome::outcome;
pub use plan::{plan, plan_summary};
pub use retention::{comparison, forecast, simulation};
pub use status::status;
pub use value::millis;

use crate::model::desired::Origin;

/// Manifest lines, as `web.yaml:9, ci.yaml:4`.
fn origins(origins: &[Origin]) -> String {
    origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
