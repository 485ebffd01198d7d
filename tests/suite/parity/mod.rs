//! What virsh's snapshot commands do, snapward does too: each flag of theirs is exercised by a test beside virsh itself, on
//! domains that are alike, and the table in docs/parity.md says which.
//!
//! A test drives a [`twins::Bed`]. The bed notes every flag of every virsh command that the test runs, and at the end of the
//! test holds it against [`registry`]: a flag that is registered for the test and was not used fails it.

mod ask;
mod coverage;
mod create;
mod delete;
mod edit;
mod help;
mod list;
mod registry;
mod revert;
mod table;
mod twins;
