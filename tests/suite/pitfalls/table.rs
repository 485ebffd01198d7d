//! The table in docs/pitfalls.md: written from the registry, whose tests must be there.
//! `UPDATE=1 cargo nextest run -E 'test(pitfalls::table)'` rewrites it.

use std::fs;
use std::path::{Path, PathBuf};

use super::registry::{PITFALLS, Shown};
use crate::docs::assert_fresh;

/// Where pitfalls may be shown otherwise than on the real driver alone: other versions of libvirt, UEFI, AppArmor, a LUN, a
/// second host.
const OTHERWISE: [u8; 5] = [8, 12, 13, 15, 18];

/// The file of a test and the name of its function.
fn source_of(test: &str) -> (PathBuf, &str) {
    let (module, name) = test.rsplit_once("::").expect("module::test");
    let (root, module) = module.strip_prefix("snapward::").map_or(("tests/suite", module), |module| ("src", module));
    (Path::new(env!("CARGO_MANIFEST_DIR")).join(root).join(format!("{}.rs", module.replace("::", "/"))), name)
}

/// Asserts that tests are there, named by their paths in the suite, or in the library where they begin with `snapward::`.
pub(crate) fn assert_tests_are_there<'t>(tests: impl IntoIterator<Item = &'t str>) {
    for test in tests {
        let (file, name) = source_of(test);
        let source = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{test}: {}: {error}", file.display()));
        assert!(has_test(&source, name), "{} has no test {name}", file.display());
    }
}

/// Whether the source has a function of that name that is a test.
fn has_test(source: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("\nfn {name}(")) else { return false };
    let attributes = before.lines().rev().take_while(|line| line.starts_with("#["));
    attributes.into_iter().any(|line| matches!(line, "#[test]" | "#[rstest]" | "#[rstest::rstest]"))
}

#[test]
fn every_pitfall_is_there_once_in_order() {
    let numbers: Vec<_> = PITFALLS.iter().map(|pitfall| pitfall.number).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<u8>>());
}

#[test]
fn every_pitfall_names_tests_that_are_there() {
    for pitfall in PITFALLS {
        let mut real = 0;
        for shown in pitfall.shown {
            let test = match shown {
                Shown::Real(test) => {
                    real += 1;
                    test
                }
                Shown::Injected(test) => test,
                Shown::NotHere(because) => {
                    assert!(!because.is_empty() && OTHERWISE.contains(&pitfall.number), "{}", pitfall.number);
                    continue;
                }
            };
            assert_tests_are_there([*test]);
        }
        assert!(real > 0 || OTHERWISE.contains(&pitfall.number), "{} is shown on no real driver", pitfall.number);
    }
}

#[test]
fn what_is_no_test_is_told_from_one() {
    assert!(has_test("use x;\n\n#[test]\nfn a() {}\n", "a"));
    assert!(has_test("use x;\n\n#[test]\n#[cfg(unix)]\nfn a() {}\n", "a"));
    for source in
        ["\nfn a() {}\n", "\n#[test]\nfn ab() {}\n", "\n#[test]\nfn b() {}\n\nfn a() {}\n", "\n#[inline]\nfn a() {}\n"]
    {
        assert!(!has_test(source, "a"), "{source}");
    }
}

#[test]
fn the_table_is_fresh() {
    assert_fresh("docs/pitfalls.md", &mut |what| {
        assert_eq!(what, "pitfalls");
        let mut table = vec![
            "| | pitfall | what virsh does | what snapward does | shown by |".to_owned(),
            "|---|---|---|---|---|".to_owned(),
        ];
        for pitfall in PITFALLS {
            let shown = pitfall.shown.iter().map(|shown| match shown {
                Shown::Real(test) => format!("real driver: `{test}`"),
                Shown::Injected(test) => format!("injected: `{test}`"),
                Shown::NotHere(because) => format!("not shown here: {because}"),
            });
            let shown = shown.collect::<Vec<_>>().join("; ");
            let cells = [pitfall.name, pitfall.virsh, pitfall.snapward, &shown].join(" | ");
            table.push(format!("| {} | {cells} |", pitfall.number));
        }
        table.join("\n")
    });
}
