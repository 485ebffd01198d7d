//! Several hosts in one run: those that answer are done, each of the others is one line.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use crate::support::cmd::snapward;
use crate::support::embed::EmbedRoot;
use crate::support::fleet::Fleet;
use crate::support::lab::{set, snapshot};
use crate::support::tools::text;

/// How long snapward waits for a connection, and as much again for everything else on a busy machine.
const TIME: Duration = Duration::from_secs(60);

#[test]
fn hosts_that_do_not_answer_do_not_hold_up_the_others() {
    let fleet = Fleet::start(&["db"]);
    let root = EmbedRoot::new();
    let guest = root.guest("vm").define();
    // Nobody listens on a port that was just given back.
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let socket = root.path().join("mute");
    // It takes connections, and nobody ever reads what they say.
    let _mute = UnixListener::bind(&socket).expect("a socket");
    let hosts = [
        ("embedded", root.uri()),
        ("daemon", fleet.uri()),
        ("driver", "test:///default".to_owned()),
        ("dead", format!("qemu+tcp://127.0.0.1:{port}/system")),
        ("mute", format!("qemu+unix:///session?socket={}", text(&socket))),
    ];
    let entries: String = hosts.iter().map(|(name, uri)| format!("    - {{name: {name}, uri: \"{uri}\"}}\n")).collect();
    let inventory =
        format!("apiVersion: snapward/v1\nkind: Inventory\nmetadata: {{name: all}}\nspec:\n  hosts:\n{entries}");
    let web = set("web", &format!("  domains: {{include: [vm, db, test]}}\n  snapshots:\n{}", snapshot("a", &[])));
    let file = root.file("web.yaml", &format!("{inventory}---\n{web}"));

    let begin = Instant::now();
    let ran = snapward(["apply", "--yes", &file]).run().exits(5);
    assert!(begin.elapsed() < TIME, "{:?}\n{ran}", begin.elapsed());
    for domain in ["embedded/vm", "daemon/db", "driver/test"] {
        assert!(ran.stdout.contains(&format!("{domain}: done")), "{domain}\n{ran}");
    }
    assert_eq!((guest.snapshots(), fleet.snapshots("db")), (vec!["a".to_owned()], vec!["a".to_owned()]));
    // Once in the plan, and once in what became of it.
    let (plan, outcome) = ran.stdout.split_once("\nPlan: ").expect("the plan, then the outcome");
    for part in [plan, outcome] {
        for (host, why) in [("dead", "refused"), ("mute", "did not answer within 30 s")] {
            let lines = part.lines().filter(|line| line.starts_with(&format!("  {host}: "))).count();
            assert!(lines == 1 && part.contains(why), "{host}\n{ran}");
        }
    }
}
