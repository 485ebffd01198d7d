//! The asking verbs of `snapward snapshot` beyond what virsh answers: which host and domain, what was meant, what cannot be
//! read. On libvirt's test driver, which needs no images.

use tempfile::TempDir;

use crate::support::cmd::{Ran, snapward};

const UUID: &str = "5d8677c3-d479-41f1-b27f-1cc7902c13d3";

/// Metadata that libvirt takes and gives back, and that is not namespace-well-formed: a prefix without a declaration.
const TORN: &str = "<x:a xmlns:x='urn:x'><y:b/></x:a>";

/// A test driver with a domain `web` of two snapshots: `fine`, and below it `torn`, whose XML cannot be read.
fn host() -> (String, TempDir) {
    let domain = |metadata: &str, more: &str| {
        format!(
            "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>web</name>\
             <uuid>{UUID}</uuid>{metadata}<memory>8192</memory><vcpu>1</vcpu><os><type arch='i686'>hvm</type></os>{more}\
             </domain>"
        )
    };
    let snapshot = |name: &str, active: u8, more: &str| {
        format!(
            "<test:domainsnapshot><name>{name}</name><state>running</state><creationTime>1764000000</creationTime>\
             <active>{active}</active>{more}</test:domainsnapshot>"
        )
    };
    let torn = "<parent><name>fine</name></parent>".to_owned() + &domain(&format!("<metadata>{TORN}</metadata>"), "");
    let snapshots = snapshot("fine", 0, "") + &snapshot("torn", 1, &torn);
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("node.xml");
    std::fs::write(&file, format!("<node>{}</node>", domain("", &snapshots))).expect("written");
    (format!("test://{}", file.display()), dir)
}

fn ask(args: &[&str]) -> Ran {
    let (uri, _dir) = host();
    snapward([&["-c", uri.as_str(), "snapshot"], args].concat()).run()
}

#[test]
fn a_domain_is_found_by_name_uuid_and_id() {
    for domain in ["web", UUID, &UUID.to_uppercase(), "1"] {
        assert_eq!(ask(&["current", domain, "--name"]).exits(0).stdout, "torn\n", "{domain}");
    }
}

#[test]
fn what_is_not_there_comes_with_what_was_meant() {
    let ran = ask(&["list", "webb"]).exits(1);
    assert!(
        ran.stderr.contains("there is no domain webb on test:///") && ran.stderr.ends_with("hint: did you mean web?\n"),
        "{ran}"
    );
    for args in [
        &["info", "web", "fien"][..],
        &["xml", "web", "fien"],
        &["parent", "web", "fien"],
        &["list", "web", "--from", "fien"],
    ] {
        let ran = ask(args).exits(1);
        assert_eq!(
            ran.to_string(),
            "--- stderr ---\n\
             error: domain web has no snapshot fien; nothing was done\n\
             hint: did you mean fine?\n\
             --- exit 1 ---\n"
        );
    }
    assert!(ask(&["info", "web", "zzz"]).exits(1).stderr.ends_with("hint: it has fine, torn\n"));
}

#[test]
fn a_snapshot_that_cannot_be_read_is_never_left_out_in_silence() {
    for form in [&[][..], &["--parent"], &["--tree"], &["--name", "--parent"], &["-o", "json"]] {
        let ran = ask(&[&["list", "web"], form].concat()).exits(5);
        assert!(ran.stdout.contains("fine"), "{ran}");
        assert!(ran.stderr.contains("error: could not read snapshot torn of domain web: "), "{ran}");
    }
    let json = ask(&["list", "web", "-o", "json"]).json();
    assert_eq!(json["unreadable"][0]["name"], "torn", "{json}");
    ask(&["info", "web", "torn"]).exits(1);
    // What does not need its XML understood is answered.
    assert_eq!(ask(&["list", "web", "--name"]).exits(0).stdout, "fine\ntorn\n");
    assert!(ask(&["xml", "web", "torn"]).exits(0).stdout.contains("<y:b/>"));
    assert_eq!(ask(&["xml", "web", "torn", "--xpath", "/*/name"]).exits(0).stdout, "<name>torn</name>\n");
    assert!(ask(&["info", "web", "fine"]).exits(0).stdout.contains("Children:       1\n"));
}

#[test]
fn a_verb_is_about_one_host() {
    let ran = snapward(["-c", "test:///default", "-c", "test:///other", "snapshot", "list", "test"]).run().exits(64);
    assert!(ran.stderr.contains("names several: test:///default, test:///other\n"), "{ran}");
    // The same one twice is one.
    drop(snapward(["-c", "test:///default", "-c", "test:///default", "snapshot", "list", "test"]).run().exits(0));
    let nowhere = "qemu+unix:///system?socket=/nonexistent/libvirt-sock";
    let ran = snapward(["snapshot", "list", "web"]).env("LIBVIRT_DEFAULT_URI", nowhere).run().exits(1);
    assert!(ran.stderr.contains(nowhere) && ran.stderr.contains("nothing was done"), "{ran}");
}

#[test]
fn nodes_need_a_program_that_may_be_missing() {
    let args = ["-c", "test:///default", "snapshot", "xml", "test", "any", "--xpath", "//name"];
    let ran = snapward(args).env("PATH", "/nonexistent").run().exits(1);
    assert!(ran.stderr.contains("xmllint, which is not installed") && ran.stderr.contains("libxml2-utils"), "{ran}");
}

#[test]
fn forms_that_make_no_sense_together_are_wrong_usage() {
    let cases: [&[&str]; 6] = [
        &["list", "web", "--tree", "-o", "json"],
        &["list", "web", "--name", "-o", "json"],
        &["list", "web", "--descendants"],
        &["current", "web", "--name", "--security-info"],
        &["xml", "web"],
        &["list"],
    ];
    for args in cases {
        assert_eq!(ask(args).exits(64).stdout, "");
    }
}
