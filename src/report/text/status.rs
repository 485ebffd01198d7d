//! The status as text: per domain its conditions, what is blocked, and the snapshot tree.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::layout::Page;
use super::origins;
use super::value::age;
use crate::model::names::SnapshotName;
use crate::model::plan::Blocked;
use crate::model::status::{ConditionKind, DomainStatus, Status, StatusSnapshot};
use crate::model::text::{count, printable};
use crate::report::style::{Palette, Role};

/// How wide the branches of a tree may grow, in characters; deeper ones lose their beginning. A chain of hundreds of
/// snapshots would otherwise leave the screen.
const BRANCHES_WIDTH: usize = 45;

/// The status for people; ages are relative to `now`.
pub fn status(status: &Status, now: Timestamp, palette: Palette) -> String {
    let mut page = Page::new(palette);
    for item in &status.domains {
        page.section();
        domain(&mut page, item, now);
    }
    if !status.blocked.is_empty() {
        page.section();
        page.painted(0, Role::Heading, "Blocked:");
        for item in &status.blocked {
            blocked(&mut page, &item.address.to_string(), item);
        }
    }
    if !status.unreadable.is_empty() {
        page.section();
        page.painted(0, Role::Heading, "Could not be read:");
        for item in &status.unreadable {
            let domain = item.domain.as_ref().map(|domain| format!("/{domain}")).unwrap_or_default();
            page.wrapped(2, "", Some(Role::Delete), &format!("{}{domain}: {}", item.host, item.error));
        }
    }
    page.section();
    page.painted(0, Role::Heading, &summary(status));
    page.finish()
}

fn summary(status: &Status) -> String {
    let s = &status.summary;
    let mut text = format!("Ready: {} of {}.", s.ready, count(s.domains, "domain", "domains"));
    if !status.blocked.is_empty() {
        text.push_str(&format!(
            " {} outside of any domain.",
            count(status.blocked.len(), "blocked item", "blocked items")
        ));
    }
    if !status.unreadable.is_empty() {
        let unreadable = count(status.unreadable.len(), "host or domain", "hosts or domains");
        text.push_str(&format!(" {unreadable} could not be read."));
    }
    text
}

fn domain(page: &mut Page, item: &DomainStatus, now: Timestamp) {
    let name = format!("{}/{}", printable(&item.host), printable(&item.domain));
    let name = page.palette.paint(Role::Heading, &name);
    let ready = item.conditions.iter().find(|condition| condition.kind == ConditionKind::Ready);
    let verdict = if ready.is_some_and(|condition| condition.status) {
        page.palette.paint(Role::Create, "Ready")
    } else {
        page.palette.paint(Role::Blocked, "not Ready")
    };
    page.line(0, &format!("{name} ({}): {verdict}", item.state.as_str()));
    for condition in &item.conditions {
        // The other conditions say what stands here anyway: blocked items, conflicts among them, and the suspension.
        match condition.kind {
            ConditionKind::Ready if !condition.status => page.wrapped(2, "", None, &condition.message),
            ConditionKind::Drifted if condition.status => page.wrapped(2, "Drifted: ", None, &condition.message),
            _ => {}
        }
    }
    if !item.sets.is_empty() {
        page.wrapped(2, "sets: ", None, &item.sets.join(", "));
    }
    match &item.newest_good {
        Some(good) => page.line(2, &format!("newest good: {}, {}", good.name, age(&good.created, now))),
        None => page.line(2, "newest good: none"),
    }
    if let Some(due) = &item.next_due {
        page.line(2, &format!("next due: {}", printable(due)));
    }
    for problem in &item.blocked {
        let name = problem.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
        blocked(page, &name, problem);
    }
    tree(page, &item.snapshots, now);
}

pub(super) fn blocked(page: &mut Page, name: &str, item: &Blocked) {
    let title = if name.is_empty() { format!("! {:?}", item.code) } else { format!("! {name}: {:?}", item.code) };
    page.painted(2, Role::Blocked, &title);
    page.wrapped(6, "", None, &item.text);
    page.wrapped(6, "=> ", Some(Role::WayOut), &item.way_out);
    if !item.origins.is_empty() {
        page.wrapped(6, "", Some(Role::Quiet), &origins(&item.origins));
    }
}

/// A snapshot waiting to be drawn: where its branch starts, and whether it is its parent's last child.
struct Pending<'a> {
    snapshot: &'a StatusSnapshot,
    branches: String,
    last: Option<bool>,
}

/// Draws the tree without recursion: a chain may be as long as libvirt allows. What hangs in a cycle, which libvirt
/// never reports, is drawn as a root, so that nothing is left out.
fn tree(page: &mut Page, snapshots: &[StatusSnapshot], now: Timestamp) {
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
            row(page, &format!("{}{own}", shortened(&branches)), snapshot, now);
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

fn row(page: &mut Page, branches: &str, snapshot: &StatusSnapshot, now: Timestamp) {
    let mut facts = vec![
        if snapshot.external { "external" } else { "internal" }.to_owned(),
        printable(&snapshot.state),
        age(&snapshot.created, now),
        snapshot.owner.as_deref().map_or_else(|| "unmanaged".to_owned(), printable),
    ];
    if snapshot.protected {
        facts.push("protected".to_owned());
    }
    if let Some(hold) = &snapshot.hold {
        facts.push(format!("on hold: {}", printable(hold)));
    }
    let facts = page.palette.paint(Role::Quiet, &facts.join(", "));
    let current = if snapshot.current { page.palette.paint(Role::Create, " * current") } else { String::new() };
    page.line(2, &format!("{branches}{}{current}  {facts}", snapshot.name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().expect("valid")
    }

    #[test]
    fn conditions_and_tree() {
        insta::assert_snapshot!(status(&samples::status(), now(), Palette::Plain), @r"
        kvm-017/web-1 (running): Ready
          sets: default/web
          newest good: leaf, 30 min ago
          base  internal, running, 22 d ago, default/web, protected
          ├─ golden * current  internal, running, 3 d ago, default/web, on hold: audit; 2027-01-01
          │  └─ leaf  internal, running, 30 min ago, default/web
          └─ manual\u{1b}[31m  external, disk-snapshot, 24 h ago, unmanaged
          other  internal, running, 30 s ago, default/web

        kvm-017/web-2 (shut off): not Ready
          1 item needs a person
          Drifted: 1 declared field differs
          sets: default/web, ci/runner
          newest good: none
          ! golden: Missing
              made on 2026-11-01T10:00:00Z and gone since; a new capture would hold today's state under the
              old name
              => recreate: true captures it again; state: absent forgets it
              sets/web.yaml:9

        Blocked:
          ! kvm-017/web-9: NoSuchDomain
              no connected host has a domain of this name
              => correct the name, or write it as a glob if it may be absent
              sets/web.yaml:6

        Could not be read:
          kvm-018: could not connect to qemu+ssh://kvm-018/system: Connection refused

        Ready: 1 of 2 domains. 1 blocked item outside of any domain. 1 host or domain could not be read.
        ");
    }

    fn snapshot(name: &str, parent: Option<&str>) -> StatusSnapshot {
        StatusSnapshot {
            name: SnapshotName::observed(name),
            parent: parent.map(SnapshotName::observed),
            depth: 0,
            created: "2026-11-23T11:00:00Z".to_owned(),
            state: "shutoff".to_owned(),
            external: false,
            current: false,
            owner: None,
            protected: false,
            hold: None,
        }
    }

    #[test]
    fn a_cycle_and_a_missing_parent_hide_nothing() {
        let mut page = Page::new(Palette::Plain);
        let snapshots = [snapshot("a", Some("b")), snapshot("b", Some("a")), snapshot("c", Some("gone"))];
        tree(&mut page, &snapshots, now());
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
        tree(&mut page, &snapshots, now());
        let text = page.finish();
        assert_eq!(text.lines().count(), 2_000);
        assert!(text.lines().all(|line| line.chars().count() < 120));
    }
}
