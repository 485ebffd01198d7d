//! A thousand broken manifests, made from valid ones by seeded mutations, and the hostile ones.

use snapward::manifest::{self, Diagnostic, Loaded, MAX_FILE_BYTES, Source};

fn load(text: impl Into<Vec<u8>>) -> (Source, Loaded) {
    let source = Source { name: "broken.yaml".into(), text: text.into() };
    let loaded = manifest::load(std::slice::from_ref(&source));
    (source, loaded)
}

/// A generator of the split-mix family: the same numbers everywhere, without a dependency.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

fn valid() -> Vec<String> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/manifests/valid");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).expect("exists").map(|e| e.expect("readable").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read_to_string(path).expect("UTF-8")).collect()
}

/// The lines that hold a key, by index.
fn keyed(lines: &[&str]) -> Vec<usize> {
    (0..lines.len()).filter(|&i| lines[i].contains(": ") && !lines[i].trim_start().starts_with('#')).collect()
}

/// One mutation. Not every one breaks the manifest: the caller draws until one does.
fn mutated(text: &str, numbers: &mut Numbers) -> Vec<u8> {
    let mut lines: Vec<&str> = text.lines().collect();
    let keyed = keyed(&lines);
    let at = keyed[numbers.below(keyed.len())];
    let line = lines[at].to_owned();
    let byte = numbers.below(text.len());
    let replaced = match numbers.below(14) {
        // A letter of the key is lost.
        0 => line.replacen(|c: char| c.is_ascii_lowercase(), "", 1),
        // The value is lost, or another one.
        1 => line[..line.find(": ").unwrap_or(0) + 1].to_owned(),
        2 => line[..line.find(": ").unwrap_or(0) + 1].to_owned() + " [a, {b: c}]",
        3 => line[..line.find(": ").unwrap_or(0) + 1].to_owned() + " yes",
        4 => line[..line.find(": ").unwrap_or(0) + 1].to_owned() + " -7",
        // The line twice, too deep, or with a tab.
        5 => format!("{line}\n{line}"),
        6 => format!("   {line}"),
        7 => format!("\t{line}"),
        8 => line.replacen(": ", ": &a ", 1),
        9 => line.replacen(": ", ": !t ", 1),
        10 => line.replacen(['}', ']', '"'], "", 1),
        11 => line.replacen(": ", ": \"\u{7}\" ", 1),
        // A byte is another, or the end is missing.
        12 => {
            let mut bytes = text.as_bytes().to_vec();
            bytes[byte] = [0xFF, 0x00, b'{', b':', b'*', b'\''][numbers.below(6)];
            return bytes;
        }
        _ => return text.as_bytes()[..byte].to_vec(),
    };
    lines[at] = &replaced;
    (lines.join("\n") + "\n").into_bytes()
}

fn assert_located(source: &Source, diagnostics: &[Diagnostic]) {
    let lines =
        String::from_utf8_lossy(&source.text).split('\n').count() + source.text.iter().filter(|&&b| b == b'\r').count();
    for diagnostic in diagnostics {
        assert!((1..=lines).contains(&diagnostic.line), "{diagnostic:?}\n{}", String::from_utf8_lossy(&source.text));
        assert!(diagnostic.range.start <= diagnostic.range.end && diagnostic.range.end <= source.text.len() * 3);
        assert!(!diagnostic.message.is_empty() && !diagnostic.message.ends_with('.'), "{diagnostic:?}");
        assert!(!diagnostic.message.contains(['\n', '\u{1b}']), "{diagnostic:?}");
    }
}

#[test]
fn a_thousand_broken_manifests_give_a_thousand_located_errors() {
    let valid = valid();
    let mut numbers = Numbers(17);
    let (mut broken, mut drawn) = (0, 0);
    while broken < 1000 {
        drawn += 1;
        assert!(drawn < 4000, "the mutations break too little: {broken} of {drawn}");
        let text = mutated(&valid[numbers.below(valid.len())], &mut numbers);
        let (source, loaded) = load(text);
        let located: Vec<_> = loaded.diagnostics.into_iter().filter(|d| d.line > 0).collect();
        if located.iter().any(Diagnostic::is_error) {
            broken += 1;
            assert_located(&source, &located);
            let text = manifest::render(&located, &[source], false);
            assert!(text.contains("broken.yaml:"), "{text}");
        }
    }
}

#[test]
fn hostile_files_are_refused_in_bounds() {
    let bomb = format!("a: &a [x]\n{}", (1..9).map(|i| format!("b{i}: &b{i} [*a,*a,*a,*a]\n")).collect::<String>());
    let many_faults = format!(
        "apiVersion: snapward/v1\nkind: SnapshotSet\n{}",
        (0..50_000).map(|i| format!("k{i}: 1\n")).collect::<String>()
    );
    let one_line = format!(
        "{{apiVersion: snapward/v1, kind: SnapshotSet, {}}}",
        (0..50_000).map(|i| format!("k{}: 1,", i % 7)).collect::<String>()
    );
    let head = |kind: &str| {
        format!("apiVersion: snapward/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec:\n  domains: {{include: [web]}}\n")
    };
    let holds = (0..30_000).map(|i| format!("    - {{snapshot: s{i}, reason: a}}\n")).collect::<String>();
    let snapshots = (0..15_000).map(|i| format!("    - {{name: n{i}, create: never}}\n")).collect::<String>();
    let series = (0..15_000).map(|i| format!("    - {{name: s{i}, template: t{i}}}\n")).collect::<String>();
    let globs = (0..30_000).map(|i| format!("w{i}*,")).collect::<String>();
    let names = (0..30_000).map(|i| format!("w{i},")).collect::<String>();
    let selectors = head("SnapshotSet").replace("include: [web]", &format!("include: [{names}], exclude: [{globs}]"));
    let hostile = [
        ("selectors", selectors + "  current: ''\n"),
        ("holds", head("SnapshotSet") + "  snapshots:\n" + &snapshots + "  holds:\n" + &holds),
        ("series", head("SnapshotSet") + "  series:\n" + &series),
        ("bomb", bomb),
        ("brackets", "[".repeat(100_000)),
        ("braces", "{a: ".repeat(100_000)),
        ("dashes", "- ".repeat(20_000)),
        ("question marks", "? ".repeat(20_000)),
        ("commas", format!("[{}]", "a,".repeat(300_000))),
        ("documents", "---\na: b\n".repeat(20_000)),
        ("many faults", many_faults),
        ("one line", one_line),
        ("long text", format!("apiVersion: {}\n", "x".repeat(1 << 20))),
        ("escapes", "\u{1b}[2J: \u{202e}\n".repeat(10)),
    ];
    for (what, text) in hostile {
        let (source, loaded) = load(text);
        assert!(loaded.has_errors(), "{what}");
        assert!(loaded.diagnostics.len() <= 100_000, "{what}: {}", loaded.diagnostics.len());
        assert_located(&source, &loaded.diagnostics);
        let printed = manifest::render(&loaded.diagnostics, &[source], false);
        assert!(printed.len() < 200_000, "{what}: {} bytes", printed.len());
        assert!(!printed.contains('\u{1b}'), "{what}");
    }
}

#[test]
fn a_huge_file_is_refused_before_it_is_parsed() {
    let (_, loaded) = load(vec![b'['; MAX_FILE_BYTES + 1]);
    assert_eq!(loaded.diagnostics.len(), 1);
    assert!(loaded.diagnostics[0].message.contains("more than the 4194304"), "{:?}", loaded.diagnostics);
}

#[test]
fn a_file_that_is_not_utf_8_names_the_place() {
    let (source, loaded) = load(b"apiVersion: snapward/v1\nkind: caf\xe9\n".to_vec());
    assert_eq!((loaded.diagnostics[0].line, loaded.diagnostics[0].column), (2, 10));
    assert!(manifest::render(&loaded.diagnostics, &[source], false).contains("broken.yaml:2:10"));
}
