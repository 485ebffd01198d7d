//! The shared words: names, manifest kinds, desired and observed state, the stamp, the ledger, the plan. No I/O, and no
//! imports from the rest of snapward.

pub mod act;
pub mod agent;
pub mod codes;
pub mod desired;
pub mod explanation;
pub mod image;
pub mod kinds;
pub mod ledger;
pub mod lines;
pub mod listing;
pub mod names;
pub mod observed;
pub mod outcome;
pub mod plan;
pub mod retention;
pub mod revert;
pub mod saved;
pub mod selector;
pub mod series;
pub mod shared;
pub mod snapshot;
pub mod stamp;
pub mod status;
pub mod text;
pub mod tree;
