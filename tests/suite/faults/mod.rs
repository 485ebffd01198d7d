//! What goes wrong, and what becomes of it: faults of libvirt, of the machine, of other hands and of what is read.
#![allow(
    clippy::print_stdout,
    reason = "where a case of many fails, what was printed before says which; and `make proof` shows the counts"
)]

mod calls;
mod crash;
mod hostile;
mod machine;
mod privilege;
pub(crate) mod table;
mod worlds;
mod writers;

/// Whether everything is tried, as in `make proof`, or what `make test` has time for.
fn is_proof() -> bool {
    std::env::var_os("SNAPWARD_PROOF").is_some()
}
