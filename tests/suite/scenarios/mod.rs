//! What a user lives through, on the real QEMU driver: each test is one story.

mod anything;
mod captures;
mod command_line;
mod concurrent;
mod crashes;
mod definitions;
mod drift;
mod external;
mod hazards;
mod ownership;
mod quiesce;
mod reading;
mod removal;
mod reverts;
mod saved_plans;
mod selection;
mod text;
