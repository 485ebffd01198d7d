//! Names and descriptions on their way through libvirt and back, also through the files it keeps.

use snapward::host::RedefineRequest;
use snapward::libvirt::Access;
use snapward::model::stamp::{Description, Stamp};
use snapward::model::text::fold_newlines;

use crate::host::{name, request};
use crate::support::embed::EmbedRoot;
use crate::support::tools;

const TEXTS: [&str; 14] = [
    "plain",
    "a ]]> b <![CDATA[ c ]]> d",
    "\u{1F600} naïve 日本語",
    "line\r\nline\rline",
    "trailing spaces   ",
    "trailing line feeds\n\n",
    "\nleading line feed",
    "  leading spaces",
    "\ttab\tand \"quotes\" & 'more' &amp; &#10; <b/>",
    "<!-- no comment --> <?pi?>",
    "Snapward-Set: default/web",
    "first\n\nSnapward-Set: looks/like\nbut is not",
    "a  b   c",
    " ",
];

#[test]
fn every_description_comes_back() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").define();
    let domain = guest.listed(host.as_ref());
    for (at, text) in TEXTS.iter().enumerate() {
        let snapshot = format!("s{at}");
        let stamp = Stamp::new("default/web".parse().expect("valid"), name(&snapshot));
        let sent = Description { human: (*text).to_owned(), stamp: Some(stamp), reverts: Vec::new() };
        let made = host.create(&domain, &request(host.as_ref(), &domain, &snapshot, &sent.render())).expect("captured");
        let expected = Description { human: fold_newlines(text), ..sent.clone() };
        assert_eq!(host.snapshot(&domain, &made).expect("read").description, expected, "captured with {text:?}");

        let xml = host.snapshot_secure(&domain, &made).expect("read");
        let again = RedefineRequest { description: Some("other".into()), ..Default::default() };
        host.redefine(&domain, &xml, &again).expect("redefined");
        let xml = host.snapshot_secure(&domain, &made).expect("read");
        let back = RedefineRequest { description: Some(sent.render()), ..Default::default() };
        host.redefine(&domain, &xml, &back).expect("redefined");
        assert_eq!(host.snapshot(&domain, &made).expect("read").description, expected, "redefined to {text:?}");
    }
}

#[test]
fn a_description_without_a_stamp_comes_back_too() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").define();
    let domain = guest.listed(host.as_ref());
    for (at, text) in TEXTS.iter().enumerate() {
        let snapshot = format!("s{at}");
        let made = host.create(&domain, &request(host.as_ref(), &domain, &snapshot, text)).expect("captured");
        let read = host.snapshot(&domain, &made).expect("read").description;
        assert_eq!(read, Description { human: fold_newlines(text), ..Description::default() }, "{text:?}");
    }
}

#[test]
fn descriptions_survive_the_end_of_the_process() {
    let root = EmbedRoot::new();
    let guest = root.guest("web").define();
    for (at, text) in TEXTS.iter().enumerate() {
        let escaped = quick_xml::escape::escape(fold_newlines(text)).into_owned();
        guest.snapshot(&format!("s{at}"), &format!("<description>{escaped}</description>"));
    }
    // Each virsh was a process of its own: this one reads libvirt's files.
    let host = root.connect(Access::ReadOnly);
    let domain = guest.listed(host.as_ref());
    for snapshot in host.snapshots(&domain).expect("listed") {
        let at: usize = snapshot.name.as_str()[1..].parse().expect("a number");
        let read = host.snapshot(&domain, &snapshot).expect("read").description;
        assert_eq!(read.human, fold_newlines(TEXTS[at]), "{:?}", TEXTS[at]);
    }
}

#[test]
fn the_longest_name_works_in_every_way() {
    let root = EmbedRoot::new();
    let host = root.connect(Access::ReadWrite);
    let guest = root.guest("web").define();
    let domain = guest.listed(host.as_ref());
    let longest = format!("{}ü", "n".repeat(245));
    for odd in [longest.as_str(), "with spaces & <marks> \"'", "日本語", "-leading-dash"] {
        let made = host.create(&domain, &request(host.as_ref(), &domain, odd, "text")).expect(odd);
        assert_eq!(tools::qemu_img_snapshots(&guest.vda()), [odd]);
        assert_eq!(host.current(&domain).expect("read").map(|current| current.name), Some(name(odd)));
        let xml = host.snapshot_secure(&domain, &made).expect("read");
        let request = RedefineRequest { description: Some("new".into()), ..Default::default() };
        let again = host.redefine(&domain, &xml, &request).expect(odd);
        assert_eq!(again.name.as_str(), odd);
        host.delete(&domain, &again).expect("deleted");
        assert_eq!(tools::qemu_img_snapshots(&guest.vda()), Vec::<String>::new());
    }
}
