//! External snapshots: what libvirt does to them when it is asked directly. Each case begins with a function that prepares
//! the state before the damaging call, in which snapward can be asked for the same.

pub(super) mod crash;
mod keep_sets;
mod long_chains;
mod mixed;
mod pointer;
mod records;
mod reverts;
mod shared;
mod trees;
mod writes;

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;

/// A stopped domain `vm` with these snapshots one after the other, each of another state, and writes since.
fn linear<'a>(root: &'a EmbedRoot, names: &[&str]) -> Chain<'a> {
    let mut chain = Chain::new(root, "vm");
    for name in names {
        chain.capture(name);
    }
    chain.write();
    chain
}

/// What a stopped domain says that cannot start because a file of its chain is gone.
#[track_caller]
fn assert_chain_is_broken(chain: &Chain<'_>, missing: &str) {
    let error = chain.guest.try_start().expect_err("a file of its chain is gone");
    assert!(error.contains("Cannot access backing file") && error.contains(&format!("/{missing}'")), "{error}");
    let error = chain.state().expect_err("as QEMU says");
    assert!(error.contains(&format!("/{missing}': No such file")), "{error}");
}
