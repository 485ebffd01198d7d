//! Changes a snapshot's description, parent or revertDisks in the text libvirt gave, and not one byte more.
//!
//! A REDEFINE takes everything as it is sent, and what is missing is lost: revertDisks, cookie, secrets. So the document
//! is never written anew.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use quick_xml::escape::escape;
use roxmltree::{Attribute, Node};

use super::{XmlError, child, children, own_name, parse, root, text};
use crate::host::{MergedDisk, RedefineRequest};
use crate::model::names::SnapshotName;
use crate::model::text::{first_forbidden, fold_newlines};

/// The document to send back.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::libvirt) struct Spliced<'a> {
    /// The whole XML.
    pub(in crate::libvirt) xml: Cow<'a, str>,
    /// The name in it.
    pub(in crate::libvirt) name: SnapshotName,
}

/// Applies a request to a snapshot's XML.
pub(in crate::libvirt) fn splice<'a>(xml: &'a str, request: &RedefineRequest) -> Result<Spliced<'a>, XmlError> {
    let document = parse(xml)?;
    let root = root(&document)?;
    let name_element = child(root, "name");
    let name = own_name(name_element.map(text))?;
    // New elements go right behind the name; the order of elements means nothing to libvirt here.
    let behind_name = name_element.map_or(0, |element| element.range().end);
    let place = |element: &str| child(root, element).map_or(behind_name..behind_name, |node| node.range());

    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    if let Some(description) = &request.description {
        check(description, "the description")?;
        edits.push((place("description"), format!("<description>{}</description>", escaped(description))));
    }
    match &request.parent {
        None => {}
        Some(None) => edits.push((place("parent"), String::new())),
        Some(Some(parent)) => {
            check(parent.as_str(), "the parent's name")?;
            edits.push((place("parent"), format!("<parent><name>{}</name></parent>", escaped(parent.as_str()))));
        }
    }
    if let Some(overlays) = &request.revert_overlays {
        edits.push((place("revertDisks"), revert_disks(overlays)?));
    }
    for disk in &request.merged {
        check(&disk.target, "a disk's name")?;
        check(&disk.into, "an image's path")?;
        edits.extend(merged(root, disk));
    }
    // From the end, so that earlier ranges stay true. Stable: two insertions at one place keep their order.
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut out = Cow::Borrowed(xml);
    for (range, text) in edits {
        out.to_mut().replace_range(range, &text);
    }
    Ok(Spliced { xml: out, name })
}

/// The element that names the overlays of a revert, as libvirt writes it. A revert makes files only, in qcow2
/// (`qemuSnapshotRevertExternalPrepare`).
fn revert_disks(overlays: &BTreeMap<String, String>) -> Result<String, XmlError> {
    if overlays.is_empty() {
        return Ok(String::new());
    }
    let mut out = "<revertDisks>".to_owned();
    for (target, file) in overlays {
        check(target, "a disk's name")?;
        check(file, "an overlay's path")?;
        out.push_str(&format!(
            "<disk name=\"{}\" snapshot=\"external\" type=\"file\"><driver type=\"qcow2\"/><source file=\"{}\"/></disk>",
            escaped(target),
            escaped(file)
        ));
    }
    out.push_str("</revertDisks>");
    Ok(out)
}

/// What libvirt does to a snapshot's records when it has merged a disk (`qemuSnapshotUpdateDisksSingle`): the disk leaves
/// the snapshot that goes; in definitions of the domain the overlay gives its place to the image below, as the disk's
/// source or within its chain.
fn merged(root: Node<'_, '_>, merged: &MergedDisk) -> Vec<(Range<usize>, String)> {
    let mut edits = Vec::new();
    let is_on = |node: Node<'_, '_>, path: &str| {
        child(node, "source").is_some_and(|s| source(s).is_some_and(|a| a.value() == path))
    };
    for disk in child(root, "disks").into_iter().flat_map(|disks| children(disks, "disk")) {
        if disk.attribute("name") == Some(&merged.target) && is_on(disk, &merged.from) {
            edits.push((disk.range(), format!("<disk name=\"{}\" snapshot=\"no\"/>", escaped(&merged.target))));
        }
    }
    let domains = ["domain", "inactiveDomain"].into_iter().filter_map(|name| child(root, name));
    for disk in domains.filter_map(|domain| child(domain, "devices")).flat_map(|devices| children(devices, "disk")) {
        if child(disk, "target").and_then(|target| target.attribute("dev")) != Some(&merged.target) {
            continue;
        }
        // Within the chain, the element of what is gone makes way for the one below it.
        let mut gone = &merged.from;
        if is_on(disk, &merged.from) {
            gone = &merged.into;
            let path = child(disk, "source").and_then(source);
            edits.extend(path.map(|path| (path.range_value(), escaped(&merged.into))));
            let format = child(disk, "driver").and_then(|driver| driver.attribute_node("type"));
            edits.extend(format.map(|format| (format.range_value(), escaped(&merged.format))));
        }
        let chain = disk.descendants().filter(|node| node.has_tag_name("backingStore"));
        for image in chain.filter(|image| is_on(*image, gone)) {
            let below =
                child(image, "backingStore").map(|below| image.document().input_text()[below.range()].to_owned());
            edits.push((image.range(), below.unwrap_or_default()));
        }
    }
    edits
}

/// The attribute of a `<source>` that names its file or device.
fn source<'a, 'i>(source: Node<'a, 'i>) -> Option<Attribute<'a, 'i>> {
    ["file", "dev"].iter().find_map(|name| source.attribute_node(*name))
}

fn check(text: &str, what: &str) -> Result<(), XmlError> {
    match first_forbidden(text) {
        Some(c) => Err(XmlError::new(format!("{what} holds {}, which XML cannot hold", c.escape_unicode()))),
        None => Ok(()),
    }
}

fn escaped(text: &str) -> String {
    escape(fold_newlines(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::snapshot::read;
    use super::*;

    /// Everything that must not change, with look-alikes at every depth, odd quoting and odd whitespace.
    const HEAD: &str = "<?xml version=\"1.0\"?>\n<!-- <description>no</description> -->\n<domainsnapshot >\n  <cookie><description>no</description></cookie>\n  <name>s1</name>";
    const TAIL: &str = "\n  <state>running</state>\n\t<creationTime>1</creationTime>\r\n<domain type=\"kvm\"><name>d</name><title>&#10;</title><description>deep &amp; <![CDATA[<parent>]]></description><parent><name>deep</name></parent><graphics type='vnc' passwd='s&quot;ecret'/></domain><revertDisks><disk name='vda'/></revertDisks>\n</domainsnapshot>\n";

    fn describe(text: &str) -> RedefineRequest {
        RedefineRequest { description: Some(text.to_owned()), ..RedefineRequest::default() }
    }

    fn parent(name: Option<&str>) -> RedefineRequest {
        RedefineRequest { parent: Some(name.map(SnapshotName::observed)), ..RedefineRequest::default() }
    }

    #[test]
    fn only_the_description_changes_whatever_form_it_had() {
        for old in [
            "",
            "<description/>",
            "<description></description>",
            "<description>plain</description>",
            "<description><![CDATA[<description>x</description>]]></description>",
            "<description>a<!-- </description> -->b</description>",
            "<description \n>a</description\n>",
        ] {
            let xml = format!("{HEAD}{old}{TAIL}");
            let spliced = splice(&xml, &describe("new <&> ]]> \u{1F600}\"'")).expect("valid");
            let body =
                spliced.xml.strip_prefix(HEAD).and_then(|x| x.strip_suffix(TAIL)).expect("the rest is untouched");
            assert_eq!(body, "<description>new &lt;&amp;&gt; ]]&gt; \u{1F600}&quot;&apos;</description>");
            assert_eq!(read(&spliced.xml).expect("valid").description.human, "new <&> ]]> \u{1F600}\"'");
            assert_eq!(spliced.name.as_str(), "s1");
        }
    }

    #[test]
    fn only_the_parent_changes() {
        let old = "<parent><name>old</name></parent>";
        let with = format!("{HEAD}{old}{TAIL}");
        let without = format!("{HEAD}{TAIL}");
        let new = format!("{HEAD}<parent><name>a &amp; b</name></parent>{TAIL}");
        assert_eq!(splice(&with, &parent(Some("a & b"))).expect("valid").xml, new);
        assert_eq!(splice(&without, &parent(Some("a & b"))).expect("valid").xml, new);
        assert_eq!(splice(&with, &parent(None)).expect("valid").xml, without);
        assert_eq!(splice(&without, &parent(None)).expect("valid").xml, without);
    }

    #[test]
    fn only_the_overlays_of_a_revert_change() {
        let old = "<revertDisks><disk name='vda'/></revertDisks>";
        let new = "<revertDisks><disk name=\"vda\" snapshot=\"external\" type=\"file\"><driver type=\"qcow2\"/>\
                   <source file=\"/a &amp; b.17\"/></disk></revertDisks>";
        let overlays = |pairs: &[(&str, &str)]| RedefineRequest {
            revert_overlays: Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ..RedefineRequest::default()
        };
        let with = format!("{HEAD}{TAIL}");
        let without = with.replace(old, "");
        let asked = overlays(&[("vda", "/a & b.17")]);
        assert_eq!(splice(&with, &asked).expect("valid").xml, with.replace(old, new));
        assert_eq!(
            splice(&without, &asked).expect("valid").xml,
            without.replacen("s1</name>", &format!("s1</name>{new}"), 1)
        );
        assert_eq!(splice(&with, &overlays(&[])).expect("valid").xml, without);
        assert!(splice(&with, &overlays(&[("vda", "/a\0")])).is_err());
    }

    #[test]
    fn a_merged_disk_leaves_the_snapshot_and_the_definitions() {
        let chain = |file: &str, below: &str| {
            format!("<backingStore type='file'><format type='qcow2'/><source file='{file}'/>{below}</backingStore>")
        };
        let disk = |file: &str, format: &str, below: &str, target: &str| {
            format!(
                "<disk><driver name='qemu' type='{format}'/><source file='{file}'/>{below}<target dev='{target}'/></disk>"
            )
        };
        let xml = |disks: &str, domain: &str| {
            format!(
                "<domainsnapshot><name>s</name><disks>{disks}</disks><domain><devices>{domain}</devices></domain></domainsnapshot>"
            )
        };
        let request = RedefineRequest {
            merged: vec![MergedDisk {
                target: "vda".into(),
                from: "/a.2".into(),
                into: "/a & b".into(),
                format: "raw".into(),
            }],
            ..RedefineRequest::default()
        };
        let end = "<backingStore/>";
        let other = "<disk name='vdb' snapshot='external'><source file='/a.2'/></disk>";
        // The one that goes: its overlay was /a.2. One above: its frozen image was, or it has it deeper in its chain.
        let going = format!("<disk name='vda' snapshot='external'><source file='/a.2'/></disk>{other}");
        let before = xml(
            &going,
            &(disk("/a & b".replace('&', "&amp;").as_str(), "raw", end, "vda") + &disk("/a.2", "qcow2", "", "vdb")),
        );
        let after = before.replacen(
            "<disk name='vda' snapshot='external'><source file='/a.2'/></disk>",
            "<disk name=\"vda\" snapshot=\"no\"/>",
            1,
        );
        assert_eq!(splice(&before, &request).expect("valid").xml, after);
        let above = xml(other, &disk("/a.2", "qcow2", &chain("/a &amp; b", end), "vda"));
        assert_eq!(splice(&above, &request).expect("valid").xml, xml(other, &disk("/a &amp; b", "raw", end, "vda")));
        let higher = xml(other, &disk("/a.3", "qcow2", &chain("/a.2", &chain("/a &amp; b", end)), "vda"));
        assert_eq!(
            splice(&higher, &request).expect("valid").xml,
            xml(other, &disk("/a.3", "qcow2", &chain("/a &amp; b", end), "vda"))
        );
    }

    #[test]
    fn nothing_asked_is_nothing_changed() {
        let xml = format!("{HEAD}{TAIL}");
        let spliced = splice(&xml, &RedefineRequest { make_current: true, ..Default::default() }).expect("valid");
        assert!(matches!(spliced.xml, Cow::Borrowed(_)));
        assert_eq!(spliced.xml, xml);
    }

    #[test]
    fn both_at_once_where_neither_was_there() {
        let xml = format!("{HEAD}{TAIL}");
        let request = RedefineRequest { parent: Some(Some(SnapshotName::observed("p"))), ..describe("d") };
        let read = read(&splice(&xml, &request).expect("valid").xml).expect("valid");
        assert_eq!((read.parent, read.description.human.as_str()), (Some(SnapshotName::observed("p")), "d"));
    }

    #[test]
    fn what_xml_cannot_hold_is_refused() {
        let xml = format!("{HEAD}{TAIL}");
        for bad in ["a\0b", "\u{1b}[31m", "\u{FFFE}"] {
            assert!(splice(&xml, &describe(bad)).is_err());
            assert!(splice(&xml, &parent(Some(bad))).is_err());
        }
        assert!(splice("<domain><name>x</name></domain>", &describe("d")).is_err());
        assert!(splice("<domainsnapshot/>", &describe("d")).is_err());
    }

    proptest! {
        #[test]
        fn every_text_comes_back_and_the_rest_stays(text in "[ -~\n\r\t\u{e9}\u{1F600}]{0,60}", old in "[a-z ]{0,9}") {
            let xml = format!("{HEAD}<description>{old}</description>{TAIL}");
            let spliced = splice(&xml, &describe(&text)).expect("valid").xml.into_owned();
            prop_assert!(spliced.starts_with(HEAD) && spliced.ends_with(TAIL));
            prop_assert_eq!(read(&spliced).expect("valid").description, crate::model::stamp::Description::parse(&text));
        }
    }
}
