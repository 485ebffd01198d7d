//! `snapward snapshot list` beside `virsh snapshot-list`.

use super::ask::assert_fits;
use super::help;
use super::twins::{Bed, DOM, State, Twins};
use crate::support::cmd::snapward;
use crate::support::tools;

/// Every filter and form but the tree, with names that each of the domains below has.
const FORMS: &[&[&str]] = &[
    &[],
    &["--parent"],
    &["--name"],
    &["--name", "--parent"],
    &["--topological"],
    &["--name", "--topological"],
    &["--roots"],
    &["--roots", "--name"],
    &["--leaves"],
    &["--no-leaves"],
    &["--leaves", "--no-leaves"],
    &["--metadata"],
    &["--no-metadata"],
    &["--metadata", "--no-metadata"],
    &["--inactive"],
    &["--active"],
    &["--disk-only"],
    &["--inactive", "--disk-only"],
    &["--internal"],
    &["--external"],
    &["--internal", "--external"],
    &["--internal", "--active", "--leaves"],
    &["--from", "base"],
    &["--from", "base", "--parent"],
    &["--from", "base", "--descendants"],
    &["--from", "base", "--descendants", "--leaves", "--name"],
    &["--from", "base", "--descendants", "--topological"],
    &["--current"],
    &["--current", "--descendants", "--name"],
    &["--from", "nothing"],
];

/// A domain with internal snapshots of each run state, two branches, and names that differ in case.
pub(super) fn internal(bed: &Bed) -> Twins<'_> {
    let twins = bed.only("int", State::Stopped, &["vda"], "");
    twins.by_hand(&["snapshot-create-as", DOM, "base"]).by_hand(&["start", DOM]);
    twins.by_hand(&["snapshot-create-as", DOM, "Running"]).by_hand(&["suspend", DOM]);
    twins.by_hand(&["snapshot-create-as", DOM, "paused"]).by_hand(&["snapshot-revert", DOM, "base"]);
    twins.by_hand(&["snapshot-create-as", DOM, "branch"]).by_hand(&["snapshot-create-as", DOM, "Tip"]);
    twins.by_hand(&["snapshot-current", DOM, "branch"]);
    twins
}

/// A domain with two disks and external snapshots: taken off, of the disks alone, and with memory.
pub(super) fn external(bed: &Bed) -> Twins<'_> {
    let twins = bed.only("ext", State::Stopped, &["vda", "vdb"], "");
    twins.by_hand(&["snapshot-create-as", DOM, "base", "--disk-only"]).by_hand(&["start", DOM]);
    twins.by_hand(&["snapshot-create-as", DOM, "disks", "--disk-only"]);
    let memory = bed.image("DOM.memory");
    twins.by_hand(&["snapshot-create-as", DOM, "full", "--memspec", &format!("file={memory}")]);
    twins
}

/// A transient domain with one internal snapshot, and one that hangs below it.
fn transient(bed: &Bed) -> Twins<'_> {
    let twins = bed.only("transient", State::Transient, &["vda"], "");
    twins.by_hand(&["snapshot-create-as", DOM, "base"]).by_hand(&["snapshot-create-as", DOM, "x"]);
    twins.by_hand(&["snapshot-current", DOM, "base"]);
    twins
}

#[test]
fn every_filter_and_form() {
    let bed = Bed::new();
    for twins in [internal(&bed), external(&bed), transient(&bed), bed.only("none", State::Paused, &["vda"], "")] {
        for form in FORMS {
            let (theirs, ours) =
                twins.answers(&[&["snapshot-list", DOM], *form].concat(), &[&["list", DOM], *form].concat());
            let ours = ours.exits(if theirs.status.success() { 0 } else { 1 });
            let theirs = String::from_utf8_lossy(&theirs.stdout);
            // virsh ends what it prints with one more empty line.
            assert_eq!(
                theirs.trim_end_matches('\n'),
                ours.stdout.trim_end_matches('\n'),
                "{form:?} of {}",
                twins.first()
            );
        }
    }
}

/// What a drawn tree says: how deep each name hangs, in the order of the lines. `depth` is that of a name so many characters
/// from the left.
fn drawn(text: &str, branch: &[char], depth: fn(usize) -> usize) -> Vec<(usize, String)> {
    let lines = text.lines().filter(|line| line.chars().any(char::is_alphanumeric));
    let node = |line: &str| {
        let name: String = line.trim_start_matches(branch).split_whitespace().next().expect("a name").to_owned();
        (depth(line.chars().take_while(|c| branch.contains(c)).count()), name)
    };
    lines.map(node).collect()
}

#[test]
fn the_tree_hangs_as_virsh_draws_it() {
    let bed = Bed::new();
    let (internal, external) = (internal(&bed), external(&bed));
    for twins in [&internal, &external, &bed.only("none", State::Stopped, &["vda"], "")] {
        let forms: [&[&str]; 5] = [
            &[],
            &["--topological"],
            &["--from", "base", "--descendants"],
            &["--current", "--descendants"],
            &["--metadata"],
        ];
        for form in forms {
            let (theirs, ours) = twins.answers(
                &[&["snapshot-list", DOM, "--tree"], form].concat(),
                &[&["list", DOM, "--tree"], form].concat(),
            );
            let ours = ours.exits(if theirs.status.success() { 0 } else { 1 });
            let theirs = drawn(&String::from_utf8_lossy(&theirs.stdout), &[' ', '|', '+', '-'], |column| column / 4);
            assert_eq!(
                theirs,
                drawn(&ours.stdout, &[' ', '│', '├', '└', '─'], |column| column / 3),
                "{form:?} of {}",
                twins.first()
            );
        }
    }
    // virsh's manual says that a tree shows all that hangs below; virsh itself draws the children alone.
    let below = |args: &[&str]| {
        let tree = bed.snapward(&[&["list", internal.first(), "--tree", "--from", "base"], args].concat());
        drawn(&tree.exits(0).stdout, &[' ', '│', '├', '└', '─'], |column| column / 3)
    };
    assert_eq!(below(&[]), below(&["--descendants"]));
    let tree = bed.snapward(&["list", internal.first(), "--tree"]).exits(0).stdout;
    let line = |tree: &str, name: &str| tree.lines().find(|line| line.contains(name)).expect("drawn").to_owned();
    assert!(line(&tree, "branch").contains("branch * current  internal, shutoff, "), "{tree}");
    assert!(line(&tree, "Running").contains("iB, unmanaged"), "its memory has a size\n{tree}");
    assert!(!line(&tree, "Tip").contains("iB"), "there is nothing of its own to be seen\n{tree}");
    let tree = bed.snapward(&["list", external.first(), "--tree"]).exits(0).stdout;
    assert!(line(&tree, "full").contains("full * current  external, running, "), "{tree}");
    assert!(
        line(&tree, "disks").contains("external, disk-snapshot, ") && line(&tree, "disks").contains("KiB"),
        "{tree}"
    );
}

#[test]
fn json_has_what_the_table_has_and_more() {
    let bed = Bed::new();
    for twins in [internal(&bed), external(&bed)] {
        let (table, json) = twins.answers(&["snapshot-list", DOM, "--name", "--parent"], &["list", DOM, "-o", "json"]);
        let list = json.exits(0).json();
        assert_fits(&list, "snapshot-list.v1.json");
        let row = |snapshot: &serde_json::Value| {
            let text = |field: &str| snapshot[field].as_str().map(str::to_owned);
            text("name").into_iter().chain(text("parent")).collect::<Vec<_>>().join("\t")
        };
        let rows: Vec<_> = list["snapshots"].as_array().expect("a list").iter().map(row).collect();
        assert_eq!(String::from_utf8_lossy(&table.stdout).trim_end(), rows.join("\n"));
        assert_eq!((&list["domain"], &list["connection"]), (&twins.first().into(), &"qemu:///session".into()));
        let current: Vec<_> =
            list["snapshots"].as_array().expect("a list").iter().filter(|s| s["current"] == true).collect();
        assert_eq!(current.len(), 1, "{list}");
        let (_, filtered) = twins.answers(&["snapshot-list", DOM, "--roots"], &["list", DOM, "--roots", "-o", "json"]);
        assert_eq!(filtered.exits(0).json()["snapshots"].as_array().map(Vec::len), Some(1));
    }
}

/// Which options go together: for each pair, both programs take it or both refuse it. On libvirt's test driver, which costs
/// nothing to open and has no part in the answer.
#[test]
fn the_same_options_exclude_each_other() {
    let flags = help::flags("snapshot-list");
    let options: Vec<Vec<&str>> = flags
        .iter()
        .filter(|flag| flag.name != "--domain")
        .map(|flag| if flag.name == "--from" { vec!["--from", "s"] } else { vec![flag.name.as_str()] })
        .collect();
    let uri = node(&format!("<test:domainsnapshot>{}</test:domainsnapshot>", snapshot("s", 1)));
    for (at, one) in options.iter().enumerate() {
        for other in &options[at + 1..] {
            let pair = [one.as_slice(), other.as_slice()].concat();
            let theirs = tools::output("virsh", &[&["-q", "-c", &uri.0, "snapshot-list", "web"], &pair[..]].concat());
            let ours = snapward([&["-c", uri.0.as_str(), "snapshot", "list", "web"], &pair[..]].concat()).run();
            let code = if theirs.status.success() { 0 } else { 64 };
            assert_eq!(ours.code, Some(code), "{pair:?}: {}{ours}", String::from_utf8_lossy(&theirs.stderr));
        }
    }
}

/// A snapshot of libvirt's test driver.
fn snapshot(name: &str, active: u8) -> String {
    format!("<name>{name}</name><state>running</state><creationTime>1764000000</creationTime><active>{active}</active>")
}

/// A test driver with one domain, `web`, and what is given inside it.
fn node(inside: &str) -> (String, tempfile::TempDir) {
    let dir = tempfile::TempDir::new().expect("a directory");
    let xml = format!(
        "<node><domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>web</name>\
         <memory>8192</memory><vcpu>1</vcpu><os><type arch='i686'>hvm</type></os>{inside}</domain></node>"
    );
    let file = dir.path().join("node.xml");
    std::fs::write(&file, xml).expect("written");
    (format!("test://{}", file.display()), dir)
}
