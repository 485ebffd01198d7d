//! What virsh says of its own commands.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::support::tools;

/// An option of a virsh command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flag {
    /// As `--roots`.
    pub(super) name: String,
    /// Whether its value may stand alone, without the name.
    positional: bool,
    /// Whether it has a value.
    takes_value: bool,
}

/// The snapshot commands, in virsh's order.
pub(super) fn commands() -> Vec<String> {
    let help = tools::run("virsh", &["help", "snapshot"]);
    let first =
        |line: &str| line.split_whitespace().next().filter(|word| word.starts_with("snapshot-")).map(str::to_owned);
    help.lines().filter_map(first).collect()
}

/// The options of a command, in virsh's order; virsh is asked once.
pub(super) fn flags(command: &str) -> Vec<Flag> {
    static KNOWN: Mutex<BTreeMap<String, Vec<Flag>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().expect("not poisoned");
    known.entry(command.to_owned()).or_insert_with(|| read(command)).clone()
}

fn read(command: &str) -> Vec<Flag> {
    let help = tools::run("virsh", &["help", command]);
    let options = help.lines().skip_while(|line| line.trim() != "OPTIONS").skip(1);
    let flag = |line: &str| {
        let mut words = line.split_whitespace();
        let word = words.next()?;
        let name = word.trim_matches(['[', ']']);
        let takes_value = words.next().is_some_and(|next| next.starts_with('<'));
        name.starts_with("--").then(|| Flag { name: name.to_owned(), positional: word.starts_with('['), takes_value })
    };
    options.map_while(|line| if line.trim().is_empty() { None } else { flag(line) }).collect()
}

/// The options that a command line of virsh uses, positional ones by their names.
pub(super) fn used(args: &[&str]) -> Vec<(String, String)> {
    let Some((command, rest)) = args.split_first() else { return Vec::new() };
    if !command.starts_with("snapshot-") {
        return Vec::new();
    }
    let flags = flags(command);
    let mut positional = flags.iter().filter(|flag| flag.positional);
    let mut used = Vec::new();
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        let named = flags.iter().find(|flag| flag.name == *word);
        match named {
            Some(flag) => {
                used.push(flag.name.clone());
                if flag.takes_value {
                    rest.next();
                }
            }
            None if word.starts_with("--") => panic!("{command} has no {word}"),
            None => used.extend(positional.next().map(|flag| flag.name.clone())),
        }
    }
    used.into_iter().map(|flag| ((*command).to_owned(), flag)).collect()
}

#[test]
fn the_options_of_a_command_line_are_told_from_their_values() {
    let used = used(&["snapshot-list", "web", "--from", "--odd", "--name"]);
    let names: Vec<&str> = used.iter().map(|(_, flag)| flag.as_str()).collect();
    assert_eq!(names, ["--domain", "--from", "--name"]);
    assert_eq!(super::help::used(&["start", "web"]), []);
}
