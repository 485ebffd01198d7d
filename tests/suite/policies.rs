//! What the files of `policies/` say they come to is what `retention simulate` shows. `UPDATE=1 cargo nextest run -E
//! 'test(policies)'` rewrites it.

use std::path::Path;

use crate::support::cmd::snapward;

/// Replaces what stands between the command in the comment and its end by what the command prints.
fn refresh(text: &str, repository: &Path) -> Option<String> {
    let (head, rest) = text.split_once("\n# $ snapward ")?;
    let (command, rest) = rest.split_once('\n')?;
    let (_, tail) = rest.split_once("\n# end\n")?;
    let printed = snapward(command.split(' ')).dir(repository).run().exits(0).stdout;
    let comment: Vec<String> = printed.lines().map(|line| format!("#   {line}").trim_end().to_owned()).collect();
    Some(format!("{head}\n# $ snapward {command}\n#\n{}\n# end\n{tail}", comment.join("\n")))
}

#[test]
fn policies_come_to_what_they_say() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["homelab", "gfs", "ci-farm", "compliance", "before-upgrade"] {
        let path = repository.join(format!("policies/{name}.yaml"));
        let committed = std::fs::read_to_string(&path).expect(name);
        let fresh =
            refresh(&committed, repository).unwrap_or_else(|| panic!("{name} says nothing of what it comes to"));
        assert!(!fresh.contains("Still growing"), "{name}: the time in its comment is too short");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &fresh).expect("policies/ can be written");
        } else {
            assert!(
                committed == fresh,
                "policies/{name}.yaml is stale; run this test with UPDATE=1 and commit the change"
            );
        }
    }
}
