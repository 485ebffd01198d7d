//! The exact words of ten named mistakes.

use insta::assert_snapshot;
use snapward::manifest::{self, Source};

/// What `validate` prints for a file `web.yaml`.
fn printed(text: &str) -> String {
    let source = Source { name: "web.yaml".into(), text: text.as_bytes().to_vec() };
    let loaded = manifest::load(std::slice::from_ref(&source));
    manifest::render(&loaded.diagnostics, &[source], false)
}

/// A set with the given `spec`, indented by two.
fn set(spec: &str) -> String {
    format!("apiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {{name: web}}\nspec:\n{spec}")
}

#[test]
fn misspelt_key() {
    assert_snapshot!(printed(&set("  domains: {include: [web-1]}\n  snapshots:\n    - name: golden\n      captuer: {content: full, location: internal}\n")), @r#"
    error[UnknownField]: unknown field `captuer` in `spec.snapshots[0]`
     --> web.yaml:8:7
      |
    8 |       captuer: {content: full, location: internal}
      |       ^^^^^^^ did you mean `capture`?
      |
      = help: allowed here: adopt, capture, create, definition, deleteAfter, description, name, parent, protect, recreate, state, when
    "#);
}

#[test]
fn duplicate_key() {
    assert_snapshot!(printed(&set("  domains: {include: [web-1]}\n  current: a\n  domains: {include: [web-2]}\n")), @r#"
    error[DuplicateKey]: duplicate key `domains`, given first on line 5
     --> web.yaml:7:3
      |
    5 |   domains: {include: [web-1]}
      |   ------- given first here
    6 |   current: a
    7 |   domains: {include: [web-2]}
      |   ^^^^^^^ given again here
      |
      = help: keep one of the two
    "#);
}

#[test]
fn wrong_type() {
    assert_snapshot!(printed(&set("  domains: {include: web-1}\n  snapshots:\n    - {name: golden, create: never, protect: yes}\n")), @r#"
    error[WrongType]: `spec.domains.include` must be a list, not the text `web-1`
     --> web.yaml:5:22
      |
    5 |   domains: {include: web-1}
      |                      ^^^^^ expected a list
      |
      = help: for one value write `include: [web-1]`

    error[WrongType]: `spec.snapshots[0].protect` must be true or false, not the text `yes`
     --> web.yaml:7:46
      |
    7 |     - {name: golden, create: never, protect: yes}
      |                                              ^^^ write `true`
      |
      = help: in YAML 1.2 only true and false are booleans; yes, no, on, off and quoted words are text
    "#);
}

#[test]
fn unknown_kind() {
    assert_snapshot!(printed("apiVersion: snapward/v1\nkind: SnapshotSets\nmetadata: {name: web}\nspec: {}\n"), @r#"
    error[UnknownKind]: unknown kind `SnapshotSets`
     --> web.yaml:2:7
      |
    2 | kind: SnapshotSets
      |       ^^^^^^^^^^^^ did you mean `SnapshotSet`?
      |
      = help: allowed: SnapshotSet, SeriesTemplate, RetentionPolicy, SafetyPolicy, RevertRequest, Inventory
    "#);
}

#[test]
fn missing_capture() {
    assert_snapshot!(printed(&set("  domains: {include: [web-1]}\n  snapshots:\n    - name: golden\n      when: stopped\n")), @r#"
    error[MissingField]: snapshot `golden` has no `capture`
     --> web.yaml:7:13
      |
    7 |     - name: golden
      |             ^^^^^^ `capture` is required here
      |
      = help: give `capture: {content: full, location: internal}` or another; or `create: never` to only adopt it
    "#);
}

#[test]
fn bad_name() {
    assert_snapshot!(printed(&set("  domains: {include: [web-1]}\n  snapshots:\n    - name: before/upgrade\n      capture: {content: full, location: internal}\n")), @r#"
    error[WrongValue]: `spec.snapshots[0].name`: a snapshot name must not hold '/': libvirt stores the snapshot in a file of that name
     --> web.yaml:7:13
      |
    7 |     - name: before/upgrade
      |             ^^^^^^^^^^^^^^ not allowed here
    "#);
}

#[test]
fn unknown_enum_value() {
    assert_snapshot!(printed(&set("  domains: {include: [web-1]}\n  snapshots:\n    - name: golden\n      capture: {content: full, location: intern}\n")), @r#"
    error[WrongValue]: `spec.snapshots[0].capture.location` cannot be `intern`
     --> web.yaml:8:42
      |
    8 |       capture: {content: full, location: intern}
      |                                          ^^^^^^ did you mean `internal`?
      |
      = help: allowed: internal, external
    "#);
}

#[test]
fn unresolved_reference() {
    let policy = "---\napiVersion: snapward/v1\nkind: SafetyPolicy\nmetadata: {name: default}\nspec: {}\n";
    assert_snapshot!(printed(&(set("  domains: {include: [web-1]}\n  safety: {policyRef: defualt}\n") + policy)), @r#"
    error[Unresolved]: no SafetyPolicy `defualt` in the namespace `default`
     --> web.yaml:6:23
      |
    6 |   safety: {policyRef: defualt}
      |                       ^^^^^^^ did you mean `default`?
      |
      = help: declared there: default
    "#);
}

#[test]
fn tab_indentation() {
    assert_snapshot!(printed(&set("  domains:\n\tinclude: [web-1]\n")), @r#"
    error[Syntax]: a tab cannot be used as indentation
     --> web.yaml:6:1
      |
    6 |     include: [web-1]
      | ^ a tab
      |
      = help: indent with spaces
    "#);
}

#[test]
fn literally_conflicting_sets() {
    let one = |name: &str| {
        let spec = "  domains: {include: [web-1]}\n  snapshots:\n    - {name: golden, capture: {content: full, location: internal}}\n";
        set(spec).replace("name: web}", &format!("name: {name}}}"))
    };
    assert_snapshot!(printed(&(one("web") + "---\n" + &one("backup"))), @r#"
    error[Conflict]: two sets declare the snapshot `golden` for the domain `web-1`, the first at web.yaml:7
      --> web.yaml:15:14
       |
     7 |     - {name: golden, capture: {content: full, location: internal}}
       |              ------ set `web` here
    ...
    15 |     - {name: golden, capture: {content: full, location: internal}}
       |              ^^^^^^ set `backup` here
       |
       = help: a snapshot has one owner: remove it from one set, or exclude the domain there
    "#);
}
