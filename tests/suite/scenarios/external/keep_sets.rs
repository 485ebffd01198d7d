//! Case E: a linear external chain of five, thinned out to every keep-set there is.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, set};

/// In which order snapshots are deleted, for ten domains. Each prefix is a set of deleted ones, and the prefixes of all are
/// every set there is (a symmetric chain decomposition of the 32 subsets), which the test counts.
const ORDERS: [&[u8]; 10] = [
    &[5, 4, 3, 2, 1],
    &[1, 5, 4, 3],
    &[2, 5, 4, 1],
    &[3, 5, 2, 1],
    &[4, 3, 2, 1],
    &[2, 1, 5],
    &[3, 1, 5],
    &[4, 1, 3],
    &[3, 2, 1],
    &[4, 2, 1],
];

/// Case E: a domain with e1 to e5, current e5.
fn case_e<'a>(root: &'a EmbedRoot, name: &str, targets: &'static [&'static str]) -> Chain<'a> {
    let mut chain = Chain::with_disks(root, name, targets);
    for number in 1..=5 {
        chain.capture(&format!("e{number}"));
    }
    chain.write();
    chain
}

/// Deletes one by one; after each, what is left holds what it captured, and no file is left over.
fn thin_out(targets: &'static [&'static str], active: bool) {
    let root = EmbedRoot::new();
    root.hold();
    let seen = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for (number, order) in ORDERS.iter().enumerate() {
            let (root, seen) = (&root, &seen);
            scope.spawn(move || {
                let chain = case_e(root, &format!("vm{number}"), targets);
                if active {
                    chain.guest.start_paused();
                }
                let mut kept: BTreeSet<u8> = (1..=5).collect();
                for deleted in *order {
                    chain.guest.delete_snapshot(&format!("e{deleted}"));
                    kept.remove(deleted);
                    let names: Vec<_> = kept.iter().map(|number| format!("e{number}")).collect();
                    assert_eq!(chain.guest.snapshots(), names);
                    chain.assert_intact();
                    seen.lock().expect("no panic").insert(kept.clone());
                }
                assert_eq!(chain.files("vda").len(), 6 - order.len());
            });
        }
    });
    assert_eq!(seen.lock().expect("no panic").len(), 31, "every keep-set but the whole");
    let files = ORDERS.iter().map(|order| targets.len() * (6 - order.len())).sum::<usize>();
    assert_eq!(root.images().len(), files, "no file is left over");
}

/// Case E, stopped. libvirt refuses no single delete, loses nothing, and leaves no file.
#[test]
fn a_stopped_linear_chain_can_be_thinned_out_to_any_set() {
    thin_out(&["vda"], false);
}

/// Case E, with a QEMU that has two disks open.
#[test]
fn a_linear_chain_in_use_can_be_thinned_out_to_any_set() {
    thin_out(&["vda", "vdb"], true);
}

/// Case E. snapward thins out to any set too, in one pass for each domain.
#[test]
fn snapward_thins_a_linear_chain_out_to_any_set() {
    let root = EmbedRoot::new();
    root.hold();
    let lab = Lab::new(&root);
    let keeps = |kept: u8, number: u8| kept & 1 << (number - 1) != 0;
    let manifest = |all: bool| -> String {
        let entry = |kept, number| {
            if all || keeps(kept, number) {
                format!("    - {{name: e{number}, capture: {{content: disks, location: external}}, adopt: true}}\n")
            } else {
                format!("    - {{name: e{number}, state: absent}}\n")
            }
        };
        let one = |kept| {
            let list: String = (1..=5).map(|number| entry(kept, number)).collect();
            set(&format!("lab{kept}"), &format!("  domains: {{include: [vm{kept}]}}\n  snapshots:\n{list}"))
        };
        (0..31_u8).map(one).collect::<Vec<_>>().join("---\n")
    };
    let chains: Vec<_> = std::thread::scope(|scope| {
        let prepare = |kept: u8| {
            let root = &root;
            scope.spawn(move || {
                let chain = case_e(root, &format!("vm{kept}"), &["vda"]);
                chain.guest.start_paused();
                chain
            })
        };
        let preparing: Vec<_> = (0..31_u8).map(prepare).collect();
        preparing.into_iter().map(|thread| thread.join().expect("prepared")).collect()
    });
    lab.apply(&manifest(true));
    lab.apply(&manifest(false));
    lab.settled(&manifest(false));
    std::thread::scope(|scope| {
        for (kept, chain) in (0..31_u8).zip(&chains) {
            scope.spawn(move || {
                let names: Vec<_> =
                    (1..=5).filter(|number| keeps(kept, *number)).map(|number| format!("e{number}")).collect();
                assert_eq!(chain.guest.snapshots(), names);
                chain.assert_intact();
                assert_eq!(chain.files("vda").len(), 1 + names.len());
            });
        }
    });
}
