//! The twenty pitfalls of virsh's snapshot commands: each is walked into with virsh, and then asked of snapward. Most are
//! shown by tests elsewhere; [`registry`] says by which, and those that no other test shows are here.

mod captures;
mod jobs;
mod moves;
mod registry;
pub(crate) mod table;
