//! How a user sees a domain whose tree and images do not fit: in text, and in exit codes.

use crate::support::cmd::snapward;
use crate::support::embed::EmbedRoot;

use super::{absent, declared, linear};

/// The active image has a name that no snapshot knows.
#[test]
fn snapward_says_at_the_command_line_what_does_not_fit_and_does_nothing() {
    let root = EmbedRoot::new();
    let mut chain = linear(&root, &["e1", "e2"]);
    let run = |verb: &[&str], file: &str| snapward([&["-c", &root.uri()], verb, &[file]].concat()).run();
    let file = root.file("lab.yaml", &declared(&["e1", "e2"], ""));
    drop(run(&["apply", "--yes"], &file).exits(0));
    drop(run(&["status"], &file).exits(0));

    // The overlay goes to another place, as by a hand that moved it and edited the domain.
    let other = root.image("moved.qcow2");
    std::fs::rename(root.image("vm-vda.e2"), &other).expect("moved");
    let xml = chain.guest.xml().replace("vm-vda.e2", "moved.qcow2");
    root.virsh_ok(&["define", &root.file("vm.xml", &xml)]);
    let images = root.images();
    let file = root.file("lab.yaml", &declared(&["e1"], &absent("e2")));
    let ran = run(&["plan", "--detailed-exitcode"], &file).exits(3);
    for words in ["ChainInconsistent", "the current snapshot is e2", "moved.qcow2", "Delete and revert nothing"] {
        assert!(ran.stdout.contains(words), "{words} is not in\n{ran}");
    }
    let ran = run(&["apply", "--yes"], &file).exits(3);
    assert!(ran.stdout.contains("ChainInconsistent"), "{ran}");
    let ran = run(&["status"], &file).exits(3);
    assert!(ran.stdout.contains("ChainInconsistent"), "{ran}");
    assert_eq!((chain.guest.snapshots(), root.images()), (vec!["e1".to_owned(), "e2".to_owned()], images));

    std::fs::rename(&other, root.image("vm-vda.e2")).expect("moved back");
    let xml = chain.guest.xml().replace("moved.qcow2", "vm-vda.e2");
    root.virsh_ok(&["define", &root.file("vm.xml", &xml)]);
    drop(run(&["apply", "--yes"], &file).exits(0));
    assert_eq!(chain.guest.snapshots(), ["e1"]);
    chain.assert_intact();
    chain.write();
    chain.assert_intact();
}
