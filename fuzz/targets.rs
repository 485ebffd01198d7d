//! What is read from outside, each with what must hold whatever it says: no panic, and nothing printed that a terminal
//! would obey. `scripts/fuzz` runs them under libFuzzer, the tests over the corpus.

use jiff::Timestamp;
use snapward::libvirt;
use snapward::manifest::{self, Source};
use snapward::model::names::SnapshotName;
use snapward::model::observed::ObservedState;
use snapward::model::plan::{Plan, PlanSource};
use snapward::model::saved::{SavedPlan, sha256};
use snapward::model::series;
use snapward::model::stamp::{Description, join};
use snapward::plan;
use snapward::report::style::Palette;
use snapward::report::{markdown, text};
use snapward::schedule::Timetable;

/// Reads one input.
pub(crate) type Target = fn(&[u8]);

/// Each target, by the name of its folder in the corpus.
pub(crate) const ALL: [(&str, Target); 6] = [
    ("manifest", read_manifest),
    ("snapshot-xml", read_snapshot_xml),
    ("stamp", read_stamp),
    ("plan-file", read_plan_file),
    ("cron", read_cron),
    ("template", read_template),
];

/// The target of that name.
#[allow(dead_code, reason = "the fuzzer chooses one, the tests take all")]
pub(crate) fn named(name: &str) -> Target {
    ALL.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no target {name:?}")).1
}

/// In the middle of what manifests of the corpus are about.
fn now() -> Timestamp {
    "2026-11-27T12:00:00Z".parse().expect("an instant")
}

/// What is printed for people holds no character that a terminal would obey, and no other line ends than ours.
fn assert_harmless(printed: &str) {
    let bad = printed
        .chars()
        .find(|&c| c != '\n' && (c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')));
    assert!(bad.is_none(), "{bad:?} is printed in {printed:?}");
}

fn assert_plan_is_harmless(plan: &Plan) {
    assert_harmless(&text::plan(plan, Palette::Plain));
    assert_harmless(&markdown::plan(plan));
}

/// A manifest: findings about it, or what it wants of a host without domains.
fn read_manifest(data: &[u8]) {
    let source = Source { name: "fuzz.yaml".into(), text: data.to_vec() };
    let loaded = manifest::load(std::slice::from_ref(&source));
    assert_harmless(&manifest::render(&loaded.diagnostics, &[source], false));
    if !loaded.has_errors() {
        assert_plan_is_harmless(&plan::plan(&loaded.desired, &ObservedState::default(), now(), PlanSource::default()));
    }
}

/// The XML of a snapshot, and of a capture.
fn read_snapshot_xml(data: &[u8]) {
    let Ok(xml) = std::str::from_utf8(data) else { return };
    if let Ok(saved) = libvirt::read_saved_snapshot("fuzz.xml", xml) {
        // It can be written again as it was read.
        let written = saved.snapshot.description.render();
        assert_eq!(Description::parse(&written), saved.snapshot.description, "{written:?}");
    }
    if let Err(error) = libvirt::read_capture(xml) {
        assert_harmless(&error);
    }
}

/// A snapshot's description with its stamp.
fn read_stamp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = Description::parse(text);
    let written = read.render();
    assert_eq!(Description::parse(&written), read, "{text:?} was written as {written:?}");
    // What is declared beside a stamp stays what it is, and no stamp comes of it.
    let joined = Description::parse(&join(&read.human, &read.lines()));
    assert_eq!((&joined.human, &joined.stamp), (&read.human, &read.stamp), "{text:?}");
}

/// A saved plan, also one that was edited by hand and given the checksum that fits.
fn read_plan_file(data: &[u8]) {
    let forged = serde_json::from_slice::<serde_json::Value>(data).ok().and_then(|mut value| {
        let document = value.as_object_mut()?;
        document.remove("checksum");
        let checksum = sha256(value.to_string().as_bytes());
        value.as_object_mut()?.insert("checksum".to_owned(), checksum.into());
        Some(value.to_string().into_bytes())
    });
    for data in [Some(data), forged.as_deref()].into_iter().flatten() {
        match SavedPlan::parse(data) {
            Ok(saved) => assert_plan_is_harmless(&saved.plan),
            Err(error) => assert_harmless(&error.to_string()),
        }
    }
}

/// A cron line, and behind a newline the zone.
fn read_cron(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let (cron, zone) = input.split_once('\n').map_or((input, None), |(cron, zone)| (cron, Some(zone)));
    match Timetable::new(cron, zone) {
        Ok(timetable) => {
            let slots: Vec<_> = timetable.after(now()).take(50).collect();
            assert!(slots.is_sorted() && slots.iter().all(|slot| *slot > now()), "{input:?}: {slots:?}");
            let newest = timetable.newest_at(now());
            assert!(newest.is_none_or(|newest| newest <= now()), "{input:?}: {newest:?}");
            let _ = timetable.shortest_gap();
        }
        Err(error) => assert_harmless(&error.to_string()),
    }
}

/// The template of a name, and a name.
fn read_template(data: &[u8]) {
    let Ok(template) = std::str::from_utf8(data) else { return };
    let filled = series::fill(template, "web", "hourly", &series::slot_name(now()));
    match SnapshotName::parse(&filled) {
        Ok(name) => assert!(name.as_str().len() <= 247 && !name.as_str().contains(['/', '\n', '\0']), "{name:?}"),
        Err(error) => assert_harmless(&error.to_string()),
    }
    if let Some(slot) = series::slot_of_name(template) {
        assert_eq!(series::slot_name(slot), template);
    }
}
