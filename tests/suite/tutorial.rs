//! The tutorial in README.md is run as it stands: its files are written, its commands run, its output compared.
//!
//! - A fenced block whose first line is a comment that names a file (`# web.yaml`) is that file, comment and all.
//! - In a block of kind `console`, `$ ` begins a command and the lines below it are what it prints.
//! - Times and durations may be others. `[..]` stands for any text within a line.
//!
//! `UPDATE=1 cargo nextest run -E 'test(tutorial)'` puts in what the commands print now; read the diff.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::embed::EmbedRoot;

/// The host's name in the tutorial; the machine of a test run has another.
const HOST: &str = "kvm1";

/// What the comment of a file block can end with.
const FILE_ENDINGS: [&str; 3] = [".yaml", ".xml", ".conf"];

#[test]
fn the_tutorial_prints_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let played = Stage::new().play(&readme);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &played.text).expect("README.md can be written");
        return;
    }
    assert!(played.commands >= 15, "only {} commands were found", played.commands);
    assert!(played.differences.is_empty(), "README.md is not what happens:\n{}", played.differences.join("\n"));
}

#[test]
fn the_plan_at_the_top_is_one_of_the_tutorial() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let (_, rest) = readme.split_once("```text\n").expect("a plan");
    let (plan, _) = rest.split_once("```").expect("ends");
    assert_eq!(readme.matches(plan).count(), 2, "the first block is not what the tutorial prints:\n{plan}");
}

/// A root of the embedded driver that is also the directory the reader works in.
struct Stage {
    root: EmbedRoot,
    host: String,
}

/// What became of a tutorial.
struct Played {
    /// The document with the output that commands printed where it was not as expected.
    text: String,
    differences: Vec<String>,
    commands: usize,
}

impl Stage {
    fn new() -> Self {
        let root = EmbedRoot::new();
        let host = root.virsh_ok(&["hostname"]).trim().to_owned();
        Self { root, host }
    }

    fn play(&self, document: &str) -> Played {
        let mut played = Played { text: String::new(), differences: Vec::new(), commands: 0 };
        let mut lines = document.lines();
        while let Some(line) = lines.next() {
            played.add(line);
            let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else { continue };
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if kind == "console" {
                self.play_block(&block, &mut played);
            } else {
                block.iter().for_each(|line| played.add(line));
                self.write_file(&block);
            }
            played.add("```");
        }
        played
    }

    fn write_file(&self, block: &[&str]) {
        let Some(name) = block.first().and_then(|line| file_name(line)) else { return };
        let path = self.root.path().join(name);
        fs::create_dir_all(path.parent().expect("within the root")).expect("made");
        fs::write(path, block.join("\n") + "\n").expect("written");
    }

    fn play_block(&self, block: &[&str], played: &mut Played) {
        let mut rest = block;
        while let Some((prompt, after)) = rest.split_first() {
            let command = prompt.strip_prefix("$ ").unwrap_or_else(|| panic!("no command before: {prompt}"));
            let end = after.iter().position(|line| line.starts_with("$ ")).unwrap_or(after.len());
            let (expected, next) = after.split_at(end);
            let actual = self.run(command);
            played.commands += 1;
            played.add(prompt);
            if same(expected, &actual) {
                expected.iter().for_each(|line| played.add(line));
            } else {
                let told = expected.join("\n");
                played.differences.push(format!("$ {command}\n--- told\n{told}\n--- is\n{}", actual.join("\n")));
                actual.iter().for_each(|line| played.add(line));
            }
            rest = next;
        }
    }

    /// What a command prints on stdout, as the reader of the tutorial would see it. stderr has the progress, which on a
    /// terminal is gone in the end; it is shown where a command failed without another word.
    fn run(&self, command: &str) -> Vec<String> {
        let binary = Path::new(env!("CARGO_BIN_EXE_snapward")).parent().expect("in a directory");
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").expect("a PATH"));
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(self.root.path())
            .env("PATH", path)
            .env("LIBVIRT_DEFAULT_URI", self.root.uri())
            .env("LIBVIRT_LOG_OUTPUTS", format!("3:file:{}/libvirt.log", self.root.path().display()))
            .env("XDG_RUNTIME_DIR", self.root.path())
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .output()
            .expect("sh");
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() && text.is_empty() {
            text.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        let text = text.replace(&format!("{}/", self.host), &format!("{HOST}/"));
        text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

impl Played {
    fn add(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// The name in a comment line, as `# web.yaml` or `<!-- web.xml -->`.
fn file_name(line: &str) -> Option<&str> {
    let comment = line.strip_prefix("# ").or_else(|| line.strip_prefix("<!-- ")?.strip_suffix(" -->"))?;
    FILE_ENDINGS.iter().any(|ending| comment.ends_with(ending)).then_some(comment)
}

fn same(expected: &[&str], actual: &[String]) -> bool {
    let expected = expected.join("\n");
    let expected: Vec<_> = expected.trim_end().lines().collect();
    expected.len() == actual.len() && expected.iter().zip(actual).all(|(told, is)| fits(&steady(told), &steady(is)))
}

/// Whether a line fits one with `[..]` in it.
fn fits(pattern: &str, line: &str) -> bool {
    let Some((head, tail)) = pattern.split_once("[..]") else { return pattern == line };
    let Some(rest) = line.strip_prefix(head) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| fits(tail, &rest[at..]))
}

/// A line with words in place of its times and durations.
fn steady(line: &str) -> String {
    let words: Vec<&str> = line.trim_end().split(' ').collect();
    let unit = |word: Option<&&str>| word.is_some_and(|word| matches!(*word, "ms)" | "s)" | "s" | "min"));
    let steady = |(index, word): (usize, &&str)| {
        let bare = word.trim_matches(['(', ')', ',']);
        if bare.parse::<jiff::Timestamp>().is_ok() {
            word.replace(bare, "TIME")
        } else if bare.parse::<f64>().is_ok() && unit(words.get(index + 1)) {
            word.replace(bare, "N")
        } else if unit(Some(word)) && index > 0 {
            word.replace("ms", "s")
        } else {
            (*word).to_owned()
        }
    };
    words.iter().enumerate().map(steady).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_varies_is_not_compared() {
    assert!(same(&["base (3 ms)", ""], &["base (1204 ms)".to_owned()]));
    assert!(same(&["at 2026-11-23T06:56:18Z, x"], &["at 2027-01-01T00:00:00Z, x".to_owned()]));
    assert!(same(&["id [..] of [..]."], &["id 17 of 20.".to_owned()]));
    assert!(!same(&["3 to create"], &["4 to create".to_owned()]));
    assert!(!same(&["a", "b"], &["a".to_owned()]));
    assert!(!fits("[..]x", "abc"));
}
