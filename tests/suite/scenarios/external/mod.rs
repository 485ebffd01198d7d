//! External snapshots: what libvirt does to them when it is asked directly. Each case begins with a function that prepares
//! the state before the damaging call, in which snapward can be asked for the same.

pub(super) mod crash;
mod keep_sets;
mod long_chains;
mod mixed;
mod pointer;
mod records;
mod reverts;
mod seen;
mod shared;
mod trees;
mod unsaved;
mod writes;

use crate::support::chain::{Chain, linear};
use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, actions, blocks, manifest};

/// What a stopped domain says that cannot start because a file of its chain is gone.
#[track_caller]
fn assert_chain_is_broken(chain: &Chain<'_>, missing: &str) {
    let error = chain.guest.try_start().expect_err("a file of its chain is gone");
    assert!(error.contains("Cannot access backing file") && error.contains(&format!("/{missing}'")), "{error}");
    let error = chain.state().expect_err("as QEMU says");
    assert!(error.contains(&format!("/{missing}': No such file")), "{error}");
}

/// These snapshots declared as they are, and adopted; `more` is further entries of the list, and keys after it.
fn declared(names: &[&str], more: &str) -> String {
    let adopted =
        |name: &&str| format!("    - {{name: {name}, capture: {{content: disks, location: external}}, adopt: true}}\n");
    manifest(&format!("  snapshots:\n{}{more}", names.iter().map(adopted).collect::<String>()))
}

/// An entry of [`declared`] for one that shall go.
fn absent(name: &str) -> String {
    format!("    - {{name: {name}, state: absent}}\n")
}

/// snapward on a root on which these snapshots are its own.
fn adopt<'a>(root: &'a EmbedRoot, names: &[&str]) -> Lab<'a> {
    let lab = Lab::new(root);
    lab.apply(&declared(names, ""));
    let plan = lab.settled(&declared(names, ""));
    assert_eq!(blocks(&plan), Vec::<String>::new());
    lab
}

/// Asks snapward for something: it plans nothing, names these reasons and says these words, and applying that plan
/// changes neither snapshots nor files.
#[track_caller]
fn assert_refused(lab: &Lab<'_>, root: &EmbedRoot, chain: &Chain<'_>, yaml: &str, codes: &[&str], says: &[&str]) {
    let before = (chain.guest.snapshots(), chain.guest.try_current(), root.images());
    let planned = lab.plan(yaml);
    assert_eq!(
        (actions(&planned.plan).as_slice(), blocks(&planned.plan)),
        (&[][..], codes.to_vec().iter().map(|c| (*c).to_owned()).collect())
    );
    let text: String = planned.plan.blocked.iter().map(|item| format!("{}\n{}\n", item.text, item.way_out)).collect();
    for words in says {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
    lab.carry_out(&planned);
    assert_eq!((chain.guest.snapshots(), chain.guest.try_current(), root.images()), before);
    chain.assert_intact();
}
