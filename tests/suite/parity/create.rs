//! `snapward snapshot create` beside `virsh snapshot-create` and `snapshot-create-as`.

use rstest::rstest;

use super::twins::{Bed, DOM, State};

const ONE: &[&str] = &["vda"];
const TWO: &[&str] = &["vda", "vdb"];

#[rstest]
#[case::running(State::Running, ONE)]
#[case::running_two(State::Running, TWO)]
#[case::paused(State::Paused, ONE)]
#[case::stopped(State::Stopped, ONE)]
#[case::stopped_two(State::Stopped, TWO)]
#[case::transient(State::Transient, TWO)]
fn internal(#[case] state: State, #[case] disks: &'static [&'static str]) {
    let bed = Bed::new();
    let twins = bed.twins("int", state, disks);
    let text = "as <installed> & \"patched\"\nsecond line";
    twins.same(
        &["snapshot-create-as", DOM, "--name", "s-1", "--description", text],
        &["create", DOM, "s-1", "--description", text],
    );
    twins.same(
        &["snapshot-create-as", DOM, "s2", "--atomic", "--validate"],
        &["create", DOM, "s2", "--atomic", "--validate"],
    );
}

#[rstest]
#[case::running(State::Running, ONE)]
#[case::running_two(State::Running, TWO)]
#[case::paused(State::Paused, TWO)]
#[case::stopped(State::Stopped, ONE)]
#[case::stopped_two(State::Stopped, TWO)]
#[case::transient(State::Transient, ONE)]
fn disk_only(#[case] state: State, #[case] disks: &'static [&'static str]) {
    let bed = Bed::new();
    let twins = bed.twins("disks", state, disks);
    // With a comma in a path, virsh leaves a domain that is off without its disk.
    let comma = if state == State::Stopped { "" } else { ",," };
    for name in ["d1", "d2"] {
        let specs: Vec<String> = disks
            .iter()
            .map(|disk| {
                format!(
                    "{disk},snapshot=external,driver=qcow2,file={}",
                    bed.image(&format!("DOM{comma} {disk}.{name}"))
                )
            })
            .collect();
        let with = |head: &[&str]| -> Vec<String> {
            let specs = specs.iter().flat_map(|spec| ["--diskspec".to_owned(), spec.clone()]);
            head.iter().map(|word| (*word).to_owned()).chain(specs).collect()
        };
        let (theirs, ours) =
            (with(&["snapshot-create-as", DOM, name, "--disk-only"]), with(&["create", DOM, name, "--disk-only"]));
        twins.same(
            &theirs.iter().map(String::as_str).collect::<Vec<_>>(),
            &ours.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
}

/// libvirt pauses a guest that runs and leaves it so, for the disk to be captured where it is stored.
#[rstest]
#[case::running(State::Running)]
#[case::paused(State::Paused)]
#[case::stopped(State::Stopped)]
#[case::transient(State::Transient)]
fn a_disk_left_to_other_means(#[case] state: State) {
    let bed = Bed::new();
    let twins = bed.twins("manual", state, TWO);
    let external = format!("vda,snapshot=external,file={}", bed.image("DOM.m1"));
    let specs = ["--disk-only", "--diskspec", external.as_str(), "--diskspec", "vdb,snapshot=manual"];
    twins.same(
        &[&["snapshot-create-as", DOM, "m1"], specs.as_slice()].concat(),
        &[&["create", DOM, "m1"], specs.as_slice()].concat(),
    );
    // The disk that libvirt captured is merged, the other one was never libvirt's.
    twins.same(&["snapshot-delete", DOM, "m1"], &["delete", DOM, "m1", "--yes"]);
    if state == State::Running {
        let memory = format!("file={},snapshot=external", bed.image("DOM.memory"));
        let all =
            ["--memspec", memory.as_str(), "--diskspec", "vda,snapshot=manual", "--diskspec", "vdb,snapshot=manual"];
        twins.by_hand(&["resume", DOM]);
        twins.same(
            &[&["snapshot-create-as", DOM, "m2"], all.as_slice()].concat(),
            &[&["create", DOM, "m2"], all.as_slice()].concat(),
        );
    }
}

#[rstest]
#[case::running(State::Running, &[])]
#[case::live(State::Running, &["--live"])]
#[case::paused(State::Paused, &[])]
#[case::transient(State::Transient, &[])]
fn memory_in_a_file(#[case] state: State, #[case] how: &[&str]) {
    let bed = Bed::new();
    let twins = bed.twins("mem", state, ONE);
    let memory = format!("file={},snapshot=external", bed.image("DOM,,1.memory"));
    let disk = format!("vda,file={}", bed.image("DOM-full.qcow2"));
    let specs = [&["--memspec", memory.as_str(), "--diskspec", disk.as_str()], how].concat();
    twins.same(
        &[&["snapshot-create-as", DOM, "full"], specs.as_slice()].concat(),
        &[&["create", DOM, "full"], specs.as_slice()].concat(),
    );
}

#[rstest]
#[case::internal(&[])]
#[case::disks(&["--disk-only"])]
fn halted(#[case] how: &[&str]) {
    let bed = Bed::new();
    let twins = bed.twins("halt", State::Running, ONE);
    let disk = format!("vda,file={}", bed.image("DOM.h"));
    let how = if how.is_empty() { Vec::new() } else { [how, &["--diskspec", &disk]].concat() };
    twins.same(
        &[&["snapshot-create-as", DOM, "h", "--halt"], how.as_slice()].concat(),
        &[&["create", DOM, "h", "--halt"], how.as_slice()].concat(),
    );
}

#[test]
fn a_transient_domain_is_not_halted() {
    let bed = Bed::new();
    let twins = bed.twins("halt", State::Transient, ONE);
    let (theirs, ours) = twins.drive(&["snapshot-create-as", DOM, "h", "--halt"], &["create", DOM, "h", "--halt"]);
    assert!(!theirs.status.success());
    let ran = ours.exits(1);
    assert!(ran.stderr.contains("transient") && ran.stderr.contains("nothing was done"), "{ran}");
    assert!(twins.snapshots(twins.second()).is_empty());
}

/// With a real agent: `scenarios::quiesce`.
#[test]
fn without_an_agent_nothing_is_frozen() {
    let bed = Bed::new();
    let twins = bed.twins("frozen", State::Running, ONE);
    let how: &[&str] = &["--disk-only", "--quiesce"];
    let request = bed.file("f.xml", "<domainsnapshot><name>f</name></domainsnapshot>");
    let forms: [(&[&str], &[&str]); 2] = [
        (&["snapshot-create-as", DOM, "f"], &["create", DOM, "f"]),
        (&["snapshot-create", DOM, &request], &["create", DOM, "--xml", &request]),
    ];
    for (theirs, ours) in forms {
        let (theirs, ours) = twins.drive(&[theirs, how].concat(), &[ours, how].concat());
        assert!(!theirs.status.success());
        let ran = ours.exits(1);
        assert!(
            ran.stderr.contains("no channel for a guest agent") && ran.stderr.contains("nothing was done"),
            "{ran}"
        );
        twins.assert_same();
        assert!(twins.snapshots(twins.second()).is_empty());
    }
    // libvirt freezes for captures of the disks alone.
    bed.snapward(&["create", twins.second(), "f", "--quiesce"]).exits(64);
}

#[rstest]
#[case::internal(State::Running, false)]
#[case::internal_off(State::Stopped, false)]
#[case::disks(State::Running, true)]
fn without_metadata(#[case] state: State, #[case] external: bool) {
    let bed = Bed::new();
    let twins = bed.twins("bare", state, ONE);
    let disk = format!("vda,file={}", bed.image("DOM.n"));
    let how: &[&str] = if external { &["--disk-only", "--diskspec", &disk] } else { &[] };
    twins.same(
        &[&["snapshot-create-as", DOM, "n", "--no-metadata"], how].concat(),
        &[&["create", DOM, "n", "--no-metadata"], how].concat(),
    );
    assert!(twins.snapshots(twins.second()).is_empty());
}

#[rstest]
#[case::running(State::Running)]
#[case::stopped(State::Stopped)]
fn onto_overlays_that_are_there(#[case] state: State) {
    let bed = Bed::new();
    let twins = bed.twins("reuse", state, ONE);
    let file = bed.image("DOM-there.qcow2");
    let disk = format!("vda,file={file}");
    let how = ["--disk-only", "--diskspec", disk.as_str()];
    twins.overlay("vda", &file);
    // Without being told to use it, neither does.
    let (theirs, ours) = twins
        .drive(&[&["snapshot-create-as", DOM, "r"], &how[..]].concat(), &[&["create", DOM, "r"], &how[..]].concat());
    assert!(!theirs.status.success());
    drop(ours.exits(1));
    let reuse = [&how[..], &["--reuse-external"]].concat();
    twins.same(
        &[&["snapshot-create-as", DOM, "r"], reuse.as_slice()].concat(),
        &[&["create", DOM, "r"], reuse.as_slice()].concat(),
    );
}

#[test]
fn the_xml_of_the_options() {
    let bed = Bed::new();
    let twins = bed.twins("print", State::Stopped, ONE);
    for words in [
        &[][..],
        &["--description", "a & <b> 'c'"],
        &["--memspec", "file=/m,,1,snapshot=external"],
        &["--memspec", "snapshot=no"],
        &["--diskspec", "vda,snapshot=no"],
        &["--diskspec", "vda,snapshot=external,driver=qcow2,file=/x y", "--diskspec", "vdb,file=/z"],
        &["--diskspec", "vda,stype=block,file=/dev/x", "--disk-only"],
    ] {
        let theirs = ["snapshot-create-as", DOM, "--print-xml", "--name", "n"];
        let (theirs, ours) =
            twins.answers(&[&theirs, words].concat(), &[&["create", DOM, "n", "--print-xml"], words].concat());
        assert_eq!(String::from_utf8_lossy(&theirs.stdout).trim_end(), ours.exits(0).stdout.trim_end(), "{words:?}");
    }
}

#[rstest]
#[case::running(State::Running)]
#[case::stopped(State::Stopped)]
fn from_a_file(#[case] state: State) {
    let bed = Bed::new();
    let twins = bed.twins("file", state, TWO);
    let xml = "<domainsnapshot><name>f1</name><description>from a file</description></domainsnapshot>";
    let file = bed.file("request.xml", xml);
    twins.same(&["snapshot-create", DOM, "--xmlfile", &file], &["create", DOM, "--xml", &file]);
    let file = bed.file("other.xml", &xml.replace("f1", "f2"));
    twins.same(
        &["snapshot-create", DOM, &file, "--atomic", "--validate"],
        &["create", DOM, "--xml", &file, "--atomic", "--validate"],
    );
}

#[rstest]
#[case::live("--live")]
#[case::halt("--halt")]
fn from_a_file_with_memory(#[case] flag: &str) {
    let bed = Bed::new();
    let twins = bed.twins("file", State::Running, ONE);
    // Each its own paths: the file is the same for both but for those.
    let request = |twin: &str| {
        let (memory, disk) = (bed.image(&format!("{twin}.memory")), bed.image(&format!("{twin}.f")));
        bed.file(
            &format!("{twin}.xml"),
            &format!(
                "<domainsnapshot><name>f</name><memory snapshot='external' file='{memory}'/><disks>\
                 <disk name='vda' snapshot='external'><source file='{disk}'/></disk></disks></domainsnapshot>"
            ),
        )
    };
    let (theirs, ours) = (request(twins.first()), request(twins.second()));
    twins.same(&["snapshot-create", DOM, &theirs, flag], &["create", DOM, "--xml", &ours, flag]);
}

#[rstest]
#[case::disk_only("--disk-only")]
#[case::unlisted("--no-metadata")]
#[case::reuse("--reuse-external")]
fn from_a_file_of_disks(#[case] flag: &str) {
    let bed = Bed::new();
    let twins = bed.twins("file", State::Stopped, ONE);
    let request = |twin: &str| {
        let disk = bed.image(&format!("{twin}.f"));
        bed.file(
            &format!("{twin}.xml"),
            &format!(
                "<domainsnapshot><name>f</name><memory snapshot='no'/><disks><disk name='vda' snapshot='external'>\
                 <source file='{disk}'/></disk></disks></domainsnapshot>"
            ),
        )
    };
    if flag == "--reuse-external" {
        twins.overlay("vda", &bed.image("DOM.f"));
    }
    let (theirs, ours) = (request(twins.first()), request(twins.second()));
    twins.same(&["snapshot-create", DOM, &theirs, flag], &["create", DOM, "--xml", &ours, flag]);
}

#[rstest]
#[case::internal(false)]
#[case::external(true)]
fn records_that_are_given_back(#[case] external: bool) {
    let bed = Bed::new();
    let twins = bed.twins("again", State::Stopped, ONE);
    for name in ["r1", "r2"] {
        let disk = format!("vda,file={}", bed.image(&format!("DOM.{name}")));
        let how: &[&str] = if external { &["--disk-only", "--diskspec", &disk] } else { &[] };
        twins.by_hand(&[&["snapshot-create-as", DOM, name], how].concat());
    }
    let saved = |name: &str| {
        let save = |twin: &str| {
            let xml = bed.virsh_ok(&["snapshot-dumpxml", twin, name, "--security-info"]);
            bed.file(&format!("{twin}.{name}.xml"), &xml)
        };
        (save(twins.first()), save(twins.second()))
    };
    let (first, second) = (saved("r1"), saved("r2"));
    twins.by_hand(&["snapshot-delete", DOM, "r1", "--children", "--metadata"]);
    twins.same(&["snapshot-create", DOM, &first.0, "--redefine"], &["create", DOM, "--xml", &first.1, "--redefine"]);
    twins.same(
        &["snapshot-create", DOM, &second.0, "--redefine", "--current", "--validate"],
        &["create", DOM, "--xml", &second.1, "--redefine", "--current", "--validate"],
    );
    if external {
        // Said again, virsh makes libvirt forget what a revert noted; snapward says that it is there already.
        let ran = bed.snapward(&["create", twins.second(), "--xml", &second.1, "--redefine", "--current"]).exits(1);
        assert!(ran.stderr.contains("already"), "{ran}");
    }
}

#[test]
fn a_phantom_is_not_taken_for_a_snapshot() {
    let bed = Bed::new();
    let twins = bed.twins("phantom", State::Stopped, ONE);
    twins.by_hand(&["snapshot-create-as", DOM, "real"]);
    let save = |twin: &str| {
        let xml = bed.virsh_ok(&["snapshot-dumpxml", twin, "real"]);
        bed.file(&format!("{twin}.xml"), &xml.replace("<name>real</name>", "<name>phantom</name>"))
    };
    let (theirs, ours) = (save(twins.first()), save(twins.second()));
    let (theirs, ours) =
        twins.drive(&["snapshot-create", DOM, &theirs, "--redefine"], &["create", DOM, "--xml", &ours, "--redefine"]);
    assert!(theirs.status.success(), "virsh takes it, and a revert to it fails");
    let ran = ours.exits(1);
    assert!(ran.stderr.contains("holds no internal snapshot of this name"), "{ran}");
}

#[test]
fn another_one_as_the_current() {
    let bed = Bed::new();
    let twins = bed.twins("pointer", State::Stopped, ONE);
    twins.by_hand(&["snapshot-create-as", DOM, "a"]).by_hand(&["snapshot-create-as", DOM, "b"]);
    twins.same(&["snapshot-current", DOM, "a"], &["current", DOM, "a"]);
    twins.same(&["snapshot-current", DOM, "a"], &["current", DOM, "a"]);
}

#[test]
fn a_comma_that_virsh_doubles() {
    let bed = Bed::new();
    let twins = bed.twins("comma", State::Stopped, ONE);
    let disk = format!("vda,file={}", bed.image("DOM,,1.qcow2"));
    let how = ["--disk-only", "--diskspec", disk.as_str()];
    let (theirs, ours) = twins
        .drive(&[&["snapshot-create-as", DOM, "c"], &how[..]].concat(), &[&["create", DOM, "c"], &how[..]].concat());
    assert!(theirs.status.success());
    assert!(!twins.disk(twins.first(), "vda").exists(), "libvirt mends it: the refusal can go");
    let ran = ours.exits(1);
    assert!(ran.stderr.contains("comma") && ran.stderr.contains("nothing was done"), "{ran}");
    assert!(twins.disk(twins.second(), "vda").exists());
}

#[test]
fn a_name_that_qemu_does_not_take() {
    let bed = Bed::new();
    let twins = bed.twins("name", State::Running, ONE);
    let (theirs, ours) = twins.drive(&["snapshot-create-as", DOM, "a b"], &["create", DOM, "a b"]);
    assert!(String::from_utf8_lossy(&theirs.stderr).contains("Invalid job ID"));
    let ran = ours.exits(1);
    assert!(ran.stderr.contains("letters, digits") && !ran.stderr.contains("job ID"), "{ran}");
    let off = bed.twins("off", State::Stopped, ONE);
    off.same(&["snapshot-create-as", DOM, "a b"], &["create", DOM, "a b"]);
}
