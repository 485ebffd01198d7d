//! Case Z: how long a chain may be.

use crate::support::chain::Chain;
use crate::support::embed::EmbedRoot;

/// Case Z: a domain with a chain of 24 overlays.
fn case_z(root: &EmbedRoot) -> Chain<'_> {
    let mut chain = Chain::new(root, "vm");
    chain.write();
    for number in 1..=24 {
        chain.capture_as_is(&format!("s{number:02}"));
    }
    chain
}

/// Case Z. With 24 overlays a domain starts. Running, it takes more; and once stopped with them, it neither starts nor lets
/// a single snapshot be deleted.
#[test]
fn a_chain_of_25_overlays_can_neither_be_started_nor_shortened() {
    let root = EmbedRoot::new();
    root.hold();
    let mut chain = case_z(&root);
    chain.guest.start();
    chain.capture_as_is("s25");
    chain.guest.destroy();
    assert_eq!(chain.files("vda").len(), 26);
    println!("{:?}", chain.guest.try_start());
    for name in ["s01", "s12", "s25"] {
        println!("{:?}", chain.guest.try_delete(name));
    }
    chain.assert_intact();
}
