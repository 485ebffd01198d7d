//! What a user lives through, on the real QEMU driver: each test is one story.

mod anything;
mod captures;
mod command_line;
mod concurrent;
mod definitions;
mod drift;
mod export;
mod external;
mod external_captures;
pub(crate) mod external_deletions;
mod external_interrupted;
mod external_partial;
mod hazards;
mod holds;
mod many_hosts;
mod ownership;
mod quiesce;
mod reading;
mod removal;
mod reverts;
mod saved_plans;
mod selection;
mod series;
mod series_external;
mod text;
