//! Case J: a file that another domain uses too.

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;
use crate::support::guest::Guest;
use crate::support::tools::{run, text};

use super::{absent, adopt, assert_refused, declared, linear};

/// Case J: golden on `vm`, and `clone`, whose disk is backed by the file frozen under golden.
fn case_j(root: &EmbedRoot) -> (Chain<'_>, Guest<'_>) {
    let chain = linear(root, &["golden"]);
    let clone = root.guest("clone").define();
    let base = chain.frozen("golden", "vda");
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", text(&base), text(&clone.vda())]);
    (chain, clone)
}

/// Case J. Deleting golden commits what was written since into the file under it, and thereby into the clone.
#[test]
fn deleting_what_a_linked_clone_is_backed_by_changes_the_clone() {
    let root = EmbedRoot::new();
    root.hold();
    let (chain, clone) = case_j(&root);
    assert_eq!(chain.contents(&clone.vda()), Ok(1));
    chain.guest.delete_snapshot("golden");
    chain.assert_intact();
    assert_eq!(chain.contents(&clone.vda()), Ok(2), "the clone has what was written to the other domain");
    clone.start_paused();
}

/// Case J. snapward names the other domain, and leaves the file alone.
#[test]
fn snapward_merges_nothing_into_a_file_of_another_domain() {
    let root = EmbedRoot::new();
    root.hold();
    let (chain, clone) = case_j(&root);
    let lab = adopt(&root, &["golden"]);
    let asked = declared(&[], &absent("golden"));
    assert_refused(&lab, &root, &chain, &asked, &["SharedBase golden"], &["clone", "vm-vda.qcow2"]);
    assert_eq!(chain.contents(&clone.vda()), Ok(1));
}
