//! The status as text: per domain its conditions, what is blocked, and the snapshot tree.

use jiff::Timestamp;

use super::layout::Page;
use super::tree::tree;
use super::value::age;
use super::{origins, warnings};
use crate::model::plan::{Blocked, ChainLength};
use crate::model::status::{ConditionKind, DomainStatus, Status};
use crate::model::text::{count, printable};
use crate::report::style::{Palette, Role};

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
    warnings(&mut page, &status.warnings);
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
    if !item.chains.is_empty() {
        let chain = |chain: &ChainLength| format!("{} {}", printable(&chain.target), chain.images);
        let chains: Vec<_> = item.chains.iter().map(chain).collect();
        let limit = item.chains.first().map_or(0, |chain| chain.limit);
        page.wrapped(2, "images in the chains: ", None, &format!("{}, of {limit} at most", chains.join(", ")));
    }
    for problem in &item.blocked {
        let name = problem.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
        blocked(page, &name, problem);
    }
    tree(page, 2, &item.snapshots, now);
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
          images in the chains: vda 4, of 20 at most
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

        Warnings:
          kvm-017/web-1: 1 overlay lies beside its images that no snapshot uses (sets/web.yaml:4)

        Could not be read:
          kvm-018: could not connect to qemu+ssh://kvm-018/system: Connection refused

        Ready: 1 of 2 domains. 1 blocked item outside of any domain. 1 host or domain could not be read.
        ");
    }
}
