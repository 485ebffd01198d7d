//! The table in docs/parity.md: written from the registry, held against what virsh itself says it can do.
//! `UPDATE=1 cargo nextest run -E 'test(parity::table)'` rewrites it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::help;
use super::registry::rows;
use crate::docs::assert_fresh;

/// Every command and flag of virsh's help.
fn of_virsh() -> Vec<(String, String)> {
    let flags = |command: String| help::flags(&command).into_iter().map(move |flag| (command.clone(), flag.name));
    help::commands().into_iter().flat_map(flags).collect()
}

#[test]
fn every_flag_of_virsh_has_a_row() {
    let registered: Vec<_> = rows().map(|row| (row.command.to_owned(), row.flag.to_owned())).collect();
    let once: BTreeSet<_> = registered.iter().cloned().collect();
    assert_eq!(once.len(), registered.len(), "a flag is registered twice");
    let there: BTreeSet<_> = of_virsh().into_iter().collect();
    assert!(there.len() > 60, "virsh's help was not understood: {there:?}");
    let missing: Vec<_> = there.difference(&once).collect();
    assert!(missing.is_empty(), "flags of virsh without a row in the registry: {missing:?}");
    let unknown: Vec<_> = once.difference(&there).collect();
    assert!(unknown.is_empty(), "virsh has no such flags: {unknown:?}");
}

#[test]
fn every_row_names_a_test_that_checks_its_coverage() {
    for test in rows().map(|row| row.test).collect::<BTreeSet<_>>() {
        // Of a test with several cases, one may be named.
        let of_all = test.split_once("::case_").map_or(test, |(test, _)| test);
        let (module, name) = of_all.rsplit_once("::").expect("module::test");
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite").join(format!("{}.rs", module.replace("::", "/")));
        let source = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{test}: {}: {error}", file.display()));
        let (before, after) =
            source.split_once(&format!("\nfn {name}(")).unwrap_or_else(|| panic!("there is no {test}"));
        let attribute = before.trim_end().lines().next_back().expect("an attribute");
        assert!(attribute.starts_with("#["), "{test} is no test");
        let body = after.split_once("\n}\n").map_or(after, |(body, _)| body);
        assert!(
            body.contains("Bed::new()") || body.contains("Coverage::of_this_test()"),
            "{test} does not note what it exercises"
        );
    }
}

#[test]
fn the_table_is_fresh() {
    assert_fresh("docs/parity.md", &mut |command| {
        let mut table = vec!["| virsh | snapward | shown by |".to_owned(), "|---|---|---|".to_owned()];
        for flag in help::flags(command) {
            let row = rows().find(|row| row.command == command && row.flag == flag.name);
            let row = row.unwrap_or_else(|| panic!("{command} {} has no row", flag.name));
            table.push(format!("| `{}` | {} | `{}` |", flag.name, row.how, row.test));
        }
        table.join("\n")
    });
}

#[test]
fn the_document_has_every_command() {
    let document =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/parity.md")).expect("docs/parity.md");
    for command in help::commands() {
        assert!(document.contains(&format!("<!-- begin: {command} -->")), "docs/parity.md lacks {command}");
    }
}
