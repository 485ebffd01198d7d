//! Hostile input: what the fuzzer's targets must hold for its corpus, and what the program makes of bombs, huge files,
//! paths that climb, links that lead out, and names that a terminal would obey. Each run has a limit on memory and on
//! processor time: one that hangs or grows is killed, however busy the machine is.

#[path = "../../../fuzz/targets.rs"]
mod targets;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use rstest::rstest;
use rustix::fs::CWD;
use tempfile::TempDir;

use crate::support::cmd::{Ran, ended, snapward, snapward_within};
use crate::support::embed::EmbedRoot;
use crate::support::lab::{manifest, snapshot};
use crate::support::terminal::Terminal;
use crate::support::tools::text;

/// Memory in bytes that a run may have: the program with libvirt is 200 MB of address space, and the largest manifest 4
/// MB.
const MEMORY: u64 = 512 << 20;
/// Seconds of a processor. The slowest of these runs takes half a second.
const SECONDS: u64 = 20;

/// Runs snapward with its limits.
fn run(args: &[&str]) -> Ran {
    snapward_within(MEMORY, SECONDS, args).run()
}

/// What is printed holds nothing that a terminal would obey.
#[track_caller]
fn assert_harmless(ran: &Ran) {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    let obeyed = |c: &char| {
        *c != '\n'
            && (c.is_control()
                || matches!(*c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}'))
    };
    assert_eq!(all.chars().find(obeyed), None, "{all:?}");
    assert!(!all.contains("panicked"), "{ran}");
}

#[test]
fn every_input_of_the_corpus_is_read() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::ALL {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(name)).expect("each target has its corpus") {
            let path = entry.expect("readable").path();
            println!("{}", path.display());
            target(&fs::read(path).expect("readable"));
            inputs += 1;
        }
        assert!(inputs >= 5, "{name}: {inputs} inputs");
    }
}

/// A manifest that must be refused: what it is, its text, what lies beside it, and words of what is said.
type Hostile = (&'static str, Vec<u8>, fn(&Path), &'static str);

fn nothing(_: &Path) {}

/// A set with one snapshot.
fn snapshot_with(fields: &str) -> Vec<u8> {
    manifest(&format!("  snapshots:\n    - {{{fields}}}\n")).into_bytes()
}

/// A set with one series.
fn series_with(schedule: &str, fields: &str) -> Vec<u8> {
    let capture = "capture: {content: full, location: internal}";
    manifest(&format!("  series:\n    - {{name: s, schedule: {{{schedule}}}, {capture}{fields}}}\n")).into_bytes()
}

fn bombs() -> Vec<Hostile> {
    let aliases: String = (1..30).map(|i| format!("b{i}: &b{i} [*a,*a,*a,*a]\n")).collect();
    let keys: String = (0..300_000).map(|n| format!("k{n}: 1\n")).collect();
    vec![
        ("aliases", format!("a: &a [x]\n{aliases}").into_bytes(), nothing, "anchor"),
        ("brackets", vec![b'['; 100_000], nothing, "recursion limit"),
        ("dashes", b"- ".repeat(2 << 20), nothing, "deep"),
        ("commas", [&b"["[..], &b"a,".repeat(2_000_000)].concat(), nothing, "more than"),
        ("keys", keys.into_bytes(), nothing, "more than"),
        ("NUL", b"apiVersion: snapward/v1\nkind: \0\n".to_vec(), nothing, "\\u{0}"),
        ("Latin-1", b"kind: caf\xe9\n".to_vec(), nothing, "not UTF-8"),
    ]
}

fn climbing() -> Vec<Hostile> {
    let hourly = "cron: '0 * * * *'";
    let disk = |file: &str| {
        snapshot_with(&format!(
            "name: a, capture: {{content: disks, location: external, disks: [{{target: vda, file: {file}}}]}}"
        ))
    };
    let memory = "name: a, capture: {content: full, location: external, memory: {file: /images/../etc/a}}";
    vec![
        ("name", snapshot_with("name: ../../etc/cron.d/a, create: never"), nothing, "must not hold '/'"),
        ("name with NUL", snapshot_with(r#"name: "a\0b", create: never"#), nothing, "\\u{0}"),
        ("template", series_with(hourly, ", nameTemplate: '../{slot}'"), nothing, "must not hold '/'"),
        ("zone", series_with("cron: '0 * * * *', timeZone: ../../etc/passwd", ""), nothing, "timeZone"),
        ("cron with escape", series_with(r#"cron: "5/1\u009b2J5 * * * *""#, ""), nothing, "a step"),
        ("relative file", disk("../a"), nothing, "absolute"),
        ("file", disk("/images/../../etc/a"), nothing, "`..`"),
        ("memory file", snapshot_with(memory), nothing, "`..`"),
    ]
}

fn definitions() -> Vec<Hostile> {
    fn xml(dir: &Path, text: &str) {
        fs::write(dir.join("a.xml"), text).expect("written");
    }
    fn bomb(dir: &Path) {
        let next = |n: i32| format!("<!ENTITY e{} '&e{n};&e{n};&e{n};&e{n};'>", n + 1);
        let entities: String = (0..30).map(next).collect();
        xml(
            dir,
            &format!("<!DOCTYPE x [<!ENTITY e0 'x'>{entities}]><domainsnapshot><name>&e30;</name></domainsnapshot>"),
        );
    }
    let of = |path: &str| snapshot_with(&format!("name: a, create: never, definition: {path}"));
    let outside = |dir: &Path| fs::write(dir.join("../outside.xml"), "<domainsnapshot/>").expect("written");
    let link = |dir: &Path| symlink("/etc/passwd", dir.join("a.xml")).expect("a link");
    let huge = |dir: &Path| File::create(dir.join("a.xml")).and_then(|file| file.set_len(100 << 20)).expect("made");
    vec![
        ("that climbs", of("../outside.xml"), outside, "outside the given directory"),
        ("by a link", of("a.xml"), link, "outside the given directory"),
        ("with an escape", of("a.xml"), |dir| xml(dir, "<domainsnapshot \u{1b}[2J/>"), "is not a snapshot's XML"),
        ("bomb", of("a.xml"), bomb, "is not a snapshot's XML"),
        ("of 100 MB", of("a.xml"), huge, "has more than"),
        ("pipe", of("a.xml"), |dir| pipe(&dir.join("a.xml")), "not a regular file"),
    ]
}

#[rstest]
#[case::bombs(bombs())]
#[case::climbing(climbing())]
#[case::definitions(definitions())]
fn hostile_manifests_are_refused_in_bounds(#[case] hostile: Vec<Hostile>) {
    for (what, yaml, beside, words) in hostile {
        let dir = TempDir::new().expect("a directory");
        let root = dir.path().join("root");
        fs::create_dir(&root).expect("made");
        fs::write(root.join("a.yaml"), yaml).expect("written");
        beside(&root);
        let ran = run(&["validate", text(&root)]).exits(65);
        assert_harmless(&ran);
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(all.contains(words), "{what}: {words:?} in: {}", &all[..all.len().min(2000)]);
        assert!(all.len() < 1 << 20, "{what}: {} bytes are printed", all.len());
        assert_harmless(&run(&["validate", "-o", "json", text(&root)]).exits(65));
    }
}

fn pipe(path: &Path) {
    let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(CWD, path, fifo, mode, 0).expect("a pipe");
}

/// What lies in a directory of manifests beside one that is right.
#[test]
fn hostile_directories_are_read_in_bounds() {
    let endless: fn(&Path) = |dir| symlink("/dev/zero", dir.join("z.yaml")).expect("a link");
    let huge: fn(&Path) =
        |dir| File::create(dir.join("h.yaml")).and_then(|file| file.set_len(100 << 20)).expect("made");
    let out: fn(&Path) = |dir| symlink("/etc", dir.join("etc")).expect("a link");
    let again: fn(&Path) = |dir| symlink(".", dir.join("again")).expect("a link");
    let deep: fn(&Path) = |dir| {
        let path = (0..200).fold(dir.to_owned(), |path, _| path.join("d"));
        fs::create_dir_all(path).expect("made");
    };
    let escape: fn(&Path) = |dir| fs::write(dir.join("a\u{1b}[2J\u{9b}2J.yaml"), "a: [").expect("written");
    for (make, code, words) in [
        ((|dir| pipe(&dir.join("p.yaml"))) as fn(&Path), 65, "not a regular file"),
        (endless, 65, "leads out"),
        (huge, 65, "104857600 bytes"),
        (out, 65, "leads out"),
        (again, 0, ""),
        (deep, 65, "nested more than 64 deep"),
        (escape, 65, "\\u{1b}"),
    ] {
        let dir = TempDir::new().expect("a directory");
        let good = manifest(&format!("  snapshots:\n{}", snapshot("a", &[])));
        fs::write(dir.path().join("a.yaml"), good).expect("written");
        make(dir.path());
        let ran = run(&["validate", text(dir.path())]).exits(code);
        assert_harmless(&ran);
        assert!(ran.to_string().contains(words), "{ran}");
    }
}

#[test]
fn endless_standard_input_is_given_up() {
    for args in [&["validate", "-"][..], &["retention", "simulate", "--policy", "-", "--list", "/dev/null"][..]] {
        let mut endless = Command::new("yes").stdout(Stdio::piped()).spawn().expect("coreutils");
        let stream = endless.stdout.take().expect("piped");
        let ran = snapward_within(MEMORY, SECONDS, args).reading(stream);
        drop(endless.kill());
        drop(endless.wait());
        assert!(matches!(ran.code, Some(64 | 65)), "{ran}");
        assert_harmless(&ran);
    }
}

/// A plan that was edited by hand is refused, whatever was edited: libvirt is not even asked.
#[test]
fn a_hostile_plan_file_is_refused_in_bounds() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("plan");
    let whole =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/plan-file/create")).expect("there");
    let refused = |what: &str, bytes: &[u8]| {
        let mut file = File::create(&path).expect("made");
        file.write_all(bytes).expect("written");
        let ran = run(&["-c", "qemu:///embed?root=/nonexistent", "apply", "--yes", "--plan", text(&path)]).exits(65);
        assert_harmless(&ran);
        assert!(ran.stderr.contains("nothing was done"), "{what}: {ran}");
    };
    refused("another snapshot", whole.replacen("\"b\"", "\"golden\"", 1).as_bytes());
    refused("another action", whole.replacen("\"create\"", "\"delete\"", 1).as_bytes());
    refused("an escape", whole.replacen("\"b\"", "\"\\u001b[2J\"", 1).as_bytes());
    refused("nesting", &b"[".repeat(1 << 20));
    refused("nothing", b"");
    refused("NUL", &[0; 4096]);
    File::create(&path).and_then(|file| file.set_len(200 << 20)).expect("made");
    let ran = run(&["apply", "--yes", "--plan", text(&path)]).exits(65);
    assert!(ran.stderr.contains("nothing was done"), "{ran}");
}

/// Names and texts by another hand that XML can hold and a terminal obeys: C1 controls, overrides of the writing
/// direction, markup, and line ends.
#[test]
fn what_others_wrote_reaches_no_terminal() {
    let root = EmbedRoot::new();
    let guest = root.guest("vm").description("a\u{9b}31m\u{202e}b &lt;b&gt; &amp;amp;").define();
    let (name, human) = ("a\u{9b}2J\u{202e}b &amp;lt;", "first\u{85}\u{9d}0;title\u{9c}\n\u{2066}x &lt;script&gt; | a");
    guest.snapshot(name, &format!("<description>{human}</description>"));
    let uri = root.uri();
    let file = root.file("web.yaml", &manifest(&format!("  snapshots:\n{}", snapshot("b", &[]))));
    let raw = guest.snapshots().pop().expect("listed");
    assert!(raw.contains('\u{9b}'), "the name is what it is: {raw:?}");
    // For programs XML is byte by byte as libvirt has it.
    for args in [&["current", "vm"][..], &["xml", "vm", &raw]] {
        let args = [&["-c", &uri, "snapshot"], args].concat();
        assert!(snapward(args.clone()).run().exits(0).stdout.contains('\u{9d}'), "{args:?}");
        assert_harmless(&Terminal::run(&args).exits(0));
    }
    for args in [
        &["plan", &file][..],
        &["plan", "-o", "markdown", &file],
        &["status", &file],
        &["snapshot", "list", "vm"],
        &["snapshot", "list", "vm", "--tree"],
        &["snapshot", "info", "vm", &raw],
        &["snapshot", "current", "vm", "--name"],
        &["apply", "--yes", "-vvv", &file],
        &["snapshot", "parent", "vm", "b"],
        &["snapshot", "delete", "vm", "a\u{9b}2J", "--yes"],
        &["export", "vm", "--dir", text(&root.path().join("out"))],
    ] {
        let ran = ended(snapward_within(4 * MEMORY, SECONDS, &[&["-c", &uri], args].concat()).spawn());
        println!("{args:?}: {ran}");
        assert_harmless(&ran);
    }
}
