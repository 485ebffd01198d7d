//! `snapward snapshot info`, `xml`, `parent` and `current` beside virsh's commands, and what all of them cost.

use std::process::Output;

use super::list::{external, internal};
use super::twins::{Bed, DOM, State, Twins};
use crate::support::cmd::Ran;

/// Asserts that a JSON answer is as its published schema says.
#[track_caller]
pub(super) fn assert_fits(answer: &serde_json::Value, schema: &str) {
    let (_, schema) = snapward::report::schemas().into_iter().find(|(file, _)| file == schema).expect("published");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let error = validator.iter_errors(answer).map(|error| error.to_string()).next();
    assert_eq!(error, None, "{answer}");
}

/// Asserts that both answered, and the same but for empty lines at the end; or that both failed.
#[track_caller]
fn assert_same(answers: (Output, Ran)) -> String {
    let (theirs, ours) = answers;
    let ours = ours.exits(if theirs.status.success() { 0 } else { 1 });
    let theirs = String::from_utf8_lossy(&theirs.stdout);
    assert_eq!(theirs.trim_end_matches('\n'), ours.stdout.trim_end_matches('\n'));
    assert!(ours.stdout.is_empty() != ours.stderr.is_empty(), "an answer or an error\n{ours}");
    ours.stdout
}

/// A running domain with a secret in its definition and in that of its snapshot.
fn secretive(bed: &Bed) -> Twins<'_> {
    let socket = bed.image("DOM.vnc");
    let vnc = format!("<graphics type='vnc' socket='{socket}' passwd='hush'/><video><model type='vga'/></video>");
    let twins = bed.only("vnc", State::Running, &["vda"], &vnc);
    twins.by_hand(&["snapshot-create-as", DOM, "with", "a < b & c"]);
    twins
}

#[test]
fn every_question() {
    let bed = Bed::new();
    let none = bed.only("none", State::Paused, &["vda"], "");
    for twins in [internal(&bed), external(&bed), secretive(&bed), none] {
        let mut names = twins.snapshots(twins.first());
        names.push("nothing".to_owned());
        for name in &names {
            assert_same(twins.answers(&["snapshot-info", DOM, name], &["info", DOM, name]));
            assert_same(twins.answers(&["snapshot-parent", DOM, name], &["parent", DOM, name]));
            assert_same(twins.answers(&["snapshot-dumpxml", DOM, name], &["xml", DOM, name]));
            let (theirs, ours) =
                (["snapshot-dumpxml", DOM, name, "--security-info"], ["xml", DOM, name, "--security-info"]);
            let xml = assert_same(twins.answers(&theirs, &ours));
            assert_eq!(xml.contains("passwd='hush'"), name == "with", "{xml}");
        }
        assert_same(twins.answers(&["snapshot-info", DOM, "--current"], &["info", DOM, "--current"]));
        assert_same(twins.answers(&["snapshot-parent", DOM, "--current"], &["parent", DOM, "--current"]));
        let forms: [&[&str]; 3] = [&[], &["--name"], &["--security-info"]];
        for form in forms {
            assert_same(
                twins.answers(&[&["snapshot-current", DOM], form].concat(), &[&["current", DOM], form].concat()),
            );
        }
    }
}

#[test]
fn nodes_by_xpath() {
    let bed = Bed::new();
    let twins = secretive(&bed);
    let ask = |expression: &str, more: &[&'static str]| {
        let xpath = ["--xpath", expression];
        let (theirs, ours) = (["snapshot-dumpxml", DOM, "with"], ["xml", DOM, "with"]);
        twins.answers(&[&theirs, &xpath[..], more].concat(), &[&ours, &xpath[..], more].concat())
    };
    let elements =
        ["/domainsnapshot/domain/os", "//name | //os", "//disk[@type='file']", "/domainsnapshot", "//name/text()"];
    let others = ["//disk/@type", "/", "//text()", "(//disk)[1]/node()[1]", "//comment()", "//inactiveDomain"];
    for expression in elements.iter().chain(&others) {
        let (theirs, ours) = ask(expression, &[]);
        assert_eq!(theirs.status.code(), Some(0), "{expression}");
        let theirs = String::from_utf8_lossy(&theirs.stdout).into_owned();
        assert_eq!(theirs.trim_end_matches('\n'), ours.exits(0).stdout.trim_end_matches('\n'), "{expression}");
    }
    for expression in elements.iter().chain(&["//nope"]) {
        assert!(assert_same(ask(expression, &["--wrap"])).starts_with("<nodes"), "{expression}");
    }
    // The description, with what XML escapes.
    assert_eq!(assert_same(ask("/domainsnapshot/description/text()", &[])), "a &lt; b &amp; c\n");
    // No node: nothing, and no error.
    assert_eq!(ask("//nope", &[]).1.exits(0).stdout, "");
    // Secrets as without --xpath.
    assert_eq!(ask("//@passwd", &[]).1.exits(0).stdout, "");
    assert_eq!(assert_same(ask("/domainsnapshot/domain//@passwd", &["--security-info"])), " passwd=\"hush\"\n");

    // Where virsh fails, or says nothing of an error in its exit code.
    let wrong = [
        ("count(//disk)", "not a set of nodes"),
        ("'disk'", "not a set of nodes"),
        ("//[", "Invalid expression"),
        ("x:disk", "namespace prefix"),
        ("", "Invalid expression"),
        ("//a) + count(//b", ""),
    ];
    for (expression, reason) in wrong {
        let ours = ask(expression, &[]).1.exits(64);
        assert!(ours.stderr.contains("XPath") && ours.stderr.contains(reason) && ours.stdout.is_empty(), "{ours}");
    }
    // virsh makes them attributes of <nodes>, and of those with the same name keeps the last.
    let (theirs, ours) = ask("//disk/@type | //target/@dev", &["--wrap"]);
    assert!(String::from_utf8_lossy(&theirs.stdout).starts_with("<nodes type="), "{theirs:?}");
    assert!(ours.exits(64).stderr.contains("attributes"));
    drop(bed.snapward(&["xml", twins.first(), "with", "--wrap"]).exits(64));
}

#[test]
fn info_in_json_says_the_same() {
    let bed = Bed::new();
    let twins = internal(&bed);
    for name in twins.snapshots(twins.first()) {
        let json = bed.snapward(&["info", twins.first(), &name, "-o", "json"]).exits(0).json();
        assert_fits(&json, "snapshot-info.v1.json");
        let said = bed.snapward(&["info", twins.first(), &name]).exits(0).stdout;
        assert!(said.contains(&format!("Descendants:    {}\n", json["descendants"])), "{said}{json}");
    }
    // A name and --current exclude each other, and one of them is needed.
    for args in [&["info", twins.first(), "a", "--current"][..], &["info", twins.first()]] {
        drop(bed.snapward(args).exits(64));
    }
}

/// The calls to libvirt that a run says it made.
#[track_caller]
fn calls(ran: &Ran) -> u64 {
    let (_, number) = ran.stderr.rsplit_once("libvirt_calls=").unwrap_or_else(|| panic!("{ran}"));
    let digits = number.find(|c: char| !c.is_ascii_digit()).map_or(number, |end| &number[..end]);
    digits.parse().unwrap_or_else(|_| panic!("{ran}"))
}

#[test]
fn answers_cost_as_few_calls_as_they_can() {
    let bed = Bed::new();
    let twins = internal(&bed);
    let snapshots = twins.snapshots(twins.first()).len() as u64;
    assert_eq!(snapshots, 5);
    let cases: &[(&[&str], u64)] = &[
        // The domains, with their names, UUIDs and ids; then the names of its snapshots, filtered by libvirt.
        (&["list", DOM, "--name"], 2),
        (&["list", DOM, "--name", "--internal", "--leaves"], 2),
        (&["list", DOM, "--name", "--current"], 3),
        (&["list", DOM, "--name", "--from", "base"], 3),
        // Each snapshot once.
        (&["list", DOM], 2 + snapshots),
        (&["list", DOM, "--parent", "--leaves"], 2 + 2),
        // The pointer, and the definition with the disks that have the sizes.
        (&["list", DOM, "--tree"], 4 + snapshots),
        (&["list", DOM, "-o", "json"], 4 + snapshots),
        (&["info", DOM, "base"], 6),
        (&["info", DOM, "Tip"], 5),
        (&["info", DOM, "--current"], 5),
        (&["xml", DOM, "base"], 3),
        (&["parent", DOM, "base"], 3),
        (&["parent", DOM, "--current"], 3),
        (&["current", DOM, "--name"], 2),
        (&["current", DOM], 3),
    ];
    for (args, expected) in cases {
        let args: Vec<_> = args.iter().map(|arg| arg.replace(DOM, twins.first())).collect();
        let args: Vec<_> = args.iter().map(String::as_str).chain(["-v"]).collect();
        assert_eq!(calls(&bed.snapward(&args)), *expected, "{args:?}");
    }
}
