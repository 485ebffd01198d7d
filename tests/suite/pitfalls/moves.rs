//! A domain with snapshots cannot be moved, so people drop what libvirt knows of them.

use crate::support::chain::Chain;
use crate::support::cmd::snapward;
use crate::support::daemon::PrivateDaemon;
use crate::support::embed::EmbedRoot;
use crate::support::lab::{set, snapshot};
use crate::support::tools::qemu_img_snapshots;

/// After the metadata of all snapshots was dropped, virsh captures them again under the old names. snapward does not take
/// snapshots that are gone all at once for snapshots that are still to be made.
#[test]
fn snapshots_that_are_gone_all_at_once_are_not_captured_again() {
    let root = EmbedRoot::new();
    let elsewhere = PrivateDaemon::start();
    let inside = root.guest("inside").define();
    let mut beside = Chain::new(&root, "beside");
    let external = |name: &str| format!("    - {{name: {name}, capture: {{content: disks, location: external}}}}\n");
    let sets = [("inside", snapshot("a", &[]) + &snapshot("b", &[])), ("beside", external("a") + &external("b"))]
        .map(|(name, list)| set(name, &format!("  domains: {{include: [{name}]}}\n  snapshots:\n{list}")));
    let file = root.file("pitfall.yaml", &sets.join("---\n"));
    let apply = || snapward(["-c", &root.uri(), "apply", "--yes", &file]).run();
    beside.write();
    drop(apply().exits(0));

    let refused = root.virsh(&["migrate", "inside", &elsewhere.uri(), "--offline", "--persistent"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("cannot migrate domain with 2 snapshots"), "{said}");
    for domain in ["inside", "beside"] {
        for name in ["b", "a"] {
            root.virsh_ok(&["snapshot-delete", domain, name, "--metadata"]);
        }
    }
    let (images, state) = (root.images(), beside.state());
    let ran = apply().exits(3);
    assert_eq!(ran.stdout.matches(": Missing").count(), 4, "{ran}");
    assert_eq!(qemu_img_snapshots(&inside.vda()), ["a", "b"]);
    assert_eq!((root.images(), beside.state()), (images, state));
}
