//! Descriptions and names that trip a shell script.

use crate::support::embed::EmbedRoot;
use crate::support::lab::{Lab, actions, manifest, snapshot};

/// A YAML double-quoted scalar is JSON's.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

#[test]
fn every_description_comes_back_as_declared() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let texts = [
        "]]> and <![CDATA[ and &amp; <b>",
        "emoji 😀, ünïcode, \u{202e}bidi",
        "two\r\nlines\rand\nthree",
        "  leading and trailing spaces  ",
        "\n\nblank lines around\n\n",
        "Set: default/web\nSnapshot: x",
        "a\n\nSigned-off-by: me",
        "it's \"quoted\"\tand tabbed",
    ];
    for (index, text) in texts.iter().enumerate() {
        let declared = manifest(&format!(
            "  snapshots:\n{}",
            snapshot(&format!("s{index}"), &[&format!("description: {}", quoted(text))])
        ));
        lab.apply(&declared);
        lab.settled(&declared);
    }
    // Read back by a driver that starts anew from the files: CR is folded by then, and that is no drift.
    for (index, text) in texts.iter().enumerate() {
        let name = format!("s{index}");
        guest.edit_snapshot(&name, false, |xml| xml.replace("Snapward-Consistency: offline", "Snapward-Protect: true"));
        let declared = manifest(&format!(
            "  snapshots:\n{}",
            snapshot(&name, &["protect: false", &format!("description: {}", quoted(text))])
        ));
        assert_eq!(actions(&lab.apply(&declared).plan), [format!("redefine {name}")]);
        lab.settled(&declared);
    }
}

#[test]
fn a_name_of_247_bytes_works_and_one_of_248_is_refused_in_the_manifest() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let long = "n".repeat(247);
    let declared = manifest(&format!("  snapshots:\n{}", snapshot(&long, &[])));
    lab.apply(&declared);
    lab.settled(&declared);
    assert_eq!(guest.snapshots(), [long]);

    let too_long = manifest(&format!("  snapshots:\n{}", snapshot(&"n".repeat(248), &[])));
    let source = snapward::manifest::Source { name: "lab.yaml".into(), text: too_long.into_bytes() };
    let loaded = snapward::manifest::load(&[source]);
    assert!(loaded.diagnostics[0].message.contains("247"), "{}", loaded.diagnostics[0].message);
    assert_eq!(guest.current(), "n".repeat(247), "and libvirt was never asked");
}

#[test]
fn names_with_spaces_commas_and_markup_work() {
    let root = EmbedRoot::new();
    let lab = Lab::new(&root);
    let guest = root.guest("vm").define();
    let names = ["before 2.0, final", "<b>&amp;'\"", "ünïcode 😀"];
    let list: String = names.iter().map(|name| snapshot(&quoted(name), &[])).collect();
    let declared = manifest(&format!("  snapshots:\n{list}"));
    lab.apply(&declared);
    lab.settled(&declared);
    assert_eq!(guest.snapshots().len(), 3);
}
