//! A snapshot tree as text, each snapshot with what is known of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::layout::Page;
use super::value::age;
use crate::model::names::SnapshotName;
use crate::model::status::StatusSnapshot;
use crate::model::text::{bytes, printable};
use crate::report::style::Role;

/// How wide the branches of a tree may grow, in characters; deeper ones lose their beginning. A chain of hundreds of
/// snapshots would otherwise leave the screen.
const BRANCHES_WIDTH: usize = 45;

/// A snapshot waiting to be drawn: where its branch starts, and whether it is its parent's last child.
struct Pending<'a> {
    snapshot: &'a StatusSnapshot,
    branches: String,
    last: Option<bool>,
}

/// Draws the tree without recursion: a chain may be as long as libvirt allows. What hangs in a cycle, which libvirt
/// never reports, is drawn as a root, so that nothing is left out.
pub(super) fn tree(page: &mut Page, indent: usize, snapshots: &[StatusSnapshot], now: Timestamp) {
    let names: BTreeSet<&SnapshotName> = snapshots.iter().map(|snapshot| &snapshot.name).collect();
    let parent_of = |snapshot: &StatusSnapshot| snapshot.parent.clone().filter(|parent| names.contains(parent));
    let mut children: BTreeMap<Option<SnapshotName>, Vec<&StatusSnapshot>> = BTreeMap::new();
    for snapshot in snapshots {
        children.entry(parent_of(snapshot)).or_default().push(snapshot);
    }
    let mut drawn: BTreeSet<&SnapshotName> = BTreeSet::new();
    let roots = children.remove(&None).unwrap_or_default();
    for start in roots.into_iter().chain(snapshots) {
        let mut stack = vec![Pending { snapshot: start, branches: String::new(), last: None }];
        while let Some(Pending { snapshot, branches, last }) = stack.pop() {
            if !drawn.insert(&snapshot.name) {
                continue;
            }
            let (own, below) = match last {
                None => ("", ""),
                Some(false) => ("├─ ", "│  "),
                Some(true) => ("└─ ", "   "),
            };
            row(page, indent, &format!("{}{own}", shortened(&branches)), snapshot, now);
            let below = format!("{branches}{below}");
            let hanging = children.remove(&Some(snapshot.name.clone())).unwrap_or_default();
            let mut last = true;
            for child in hanging.into_iter().rev() {
                stack.push(Pending { snapshot: child, branches: below.clone(), last: Some(last) });
                last = false;
            }
        }
    }
}

fn shortened(branches: &str) -> String {
    match branches.chars().count().checked_sub(BRANCHES_WIDTH) {
        None | Some(0) => branches.to_owned(),
        Some(extra) => format!("… {}", branches.chars().skip(extra + 2).collect::<String>()),
    }
}

fn row(page: &mut Page, indent: usize, branches: &str, snapshot: &StatusSnapshot, now: Timestamp) {
    let mut facts = vec![
        if snapshot.external { "external" } else { "internal" }.to_owned(),
        printable(&snapshot.state),
        age(&snapshot.created, now),
    ];
    facts.extend(snapshot.size.map(bytes));
    facts.push(snapshot.owner.as_deref().map_or_else(|| "unmanaged".to_owned(), printable));
    facts.extend(snapshot.series.as_deref().map(|series| format!("series {}", printable(series))));
    if snapshot.protected {
        facts.push("protected".to_owned());
    }
    if let Some(hold) = &snapshot.hold {
        facts.push(format!("on hold: {}", printable(hold)));
    }
    let facts = page.palette.paint(Role::Quiet, &facts.join(", "));
    let current = if snapshot.current { page.palette.paint(Role::Create, " * current") } else { String::new() };
    page.line(indent, &format!("{branches}{}{current}  {facts}", snapshot.name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::style::Palette;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().expect("valid")
    }

    fn snapshot(name: &str, parent: Option<&str>) -> StatusSnapshot {
        StatusSnapshot {
            name: SnapshotName::observed(name),
            parent: parent.map(SnapshotName::observed),
            depth: None,
            created: "2026-11-23T11:00:00Z".to_owned(),
            state: "shutoff".to_owned(),
            external: false,
            current: false,
            owner: None,
            protected: false,
            series: None,
            hold: None,
            size: None,
        }
    }

    #[test]
    fn a_cycle_and_a_missing_parent_hide_nothing() {
        let mut page = Page::new(Palette::Plain);
        let snapshots = [snapshot("a", Some("b")), snapshot("b", Some("a")), snapshot("c", Some("gone"))];
        tree(&mut page, 2, &snapshots, now());
        insta::assert_snapshot!(page.finish(), @r"
        c  internal, shutoff, 1 h ago, unmanaged
        a  internal, shutoff, 1 h ago, unmanaged
        └─ b  internal, shutoff, 1 h ago, unmanaged
        ");
    }

    #[test]
    fn a_long_chain_stays_on_the_screen() {
        let names: Vec<String> = (0..2_000).map(|n| format!("s{n}")).collect();
        let snapshots: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(n, name)| snapshot(name, n.checked_sub(1).map(|n| names[n].as_str())))
            .collect();
        let mut page = Page::new(Palette::Plain);
        tree(&mut page, 2, &snapshots, now());
        let text = page.finish();
        assert_eq!(text.lines().count(), 2_000);
        assert!(text.lines().all(|line| line.chars().count() < 120));
    }
}
