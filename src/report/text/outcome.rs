//! The outcome of an apply as text: per domain what became of each action, then one summary line.

use super::layout::Page;
use super::value::millis;
use crate::model::outcome::{ActionOutcome, ActionResult, DomainOutcome, DomainResult, Outcome};
use crate::model::plan::ActionKind;
use crate::model::text::{count, printable};
use crate::report::style::{Palette, Role};

/// The outcome for people. Blocked items are counted only: the plan, shown before, has them with their way out.
pub fn outcome(outcome: &Outcome, palette: Palette) -> String {
    let mut page = Page::new(palette);
    // A domain without actions had its ledger completed; that is of interest only where it went wrong.
    for item in outcome.domains.iter().filter(|item| !item.actions.is_empty() || item.result != DomainResult::Done) {
        page.section();
        domain(&mut page, item);
    }
    if !outcome.unreadable.is_empty() {
        page.section();
        page.painted(0, Role::Heading, "Could not be read, left as it is:");
        for item in &outcome.unreadable {
            let domain = item.domain.as_ref().map(|domain| format!("/{domain}")).unwrap_or_default();
            page.wrapped(2, "", Some(Role::Delete), &format!("{}{domain}: {}", item.host, item.error));
        }
    }
    page.section();
    page.painted(0, Role::Heading, &summary(outcome));
    for line in what_next(outcome) {
        page.wrapped(0, "", None, &line);
    }
    page.finish()
}

fn summary(outcome: &Outcome) -> String {
    let s = &outcome.summary;
    let mut parts = vec![format!("{} done", s.done)];
    let more = [(s.failed, "failed"), (s.skipped, "skipped"), (s.blocked, "blocked (see the plan)")];
    parts.extend(more.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    format!("Apply: {}.", parts.join(", "))
}

/// Why not everything was tried, and what to do about it.
fn what_next(outcome: &Outcome) -> Vec<String> {
    let s = &outcome.summary;
    let mut lines = Vec::new();
    if s.interrupted {
        lines.push("Interrupted: run apply again for the rest.".to_owned());
    }
    if s.stale_domains > 0 {
        let domains = count(s.stale_domains, "domain", "domains");
        lines.push(format!("{domains} changed after the plan was made: make a new plan for the rest."));
    }
    if s.locked_domains > 0 {
        let domains = count(s.locked_domains, "domain is", "domains are");
        lines.push(format!("{domains} held by another run of snapward: run apply again when it has ended."));
    }
    if !outcome.unreadable.is_empty() {
        let unreadable = count(outcome.unreadable.len(), "host or domain", "hosts or domains");
        lines.push(format!("{unreadable} could not be read."));
    }
    lines
}

fn domain(page: &mut Page, item: &DomainOutcome) {
    let (role, result) = match item.result {
        DomainResult::Done => (Role::Create, "done"),
        DomainResult::Failed => (Role::Delete, "failed, the rest of it was left alone"),
        DomainResult::Stale => (Role::Blocked, "changed after the plan was made, nothing was done"),
        DomainResult::Locked => (Role::Blocked, "held by another run, nothing was done"),
        DomainResult::Interrupted => (Role::Change, "interrupted"),
        DomainResult::WindowClosed => (Role::Change, "its window closed, the rest was not begun"),
    };
    let name = page.palette.paint(Role::Heading, &format!("{}/{}", printable(&item.host), printable(&item.domain)));
    let result = page.palette.paint(role, result);
    page.line(0, &format!("{name}: {result}"));
    if !item.text.is_empty() {
        page.wrapped(2, "", None, &item.text);
    }
    for action in &item.actions {
        action_line(page, action);
    }
}

fn action_line(page: &mut Page, action: &ActionOutcome) {
    let name = action.address.snapshot.as_ref().map(ToString::to_string).unwrap_or_default();
    let (symbol, role) = symbol(action.action);
    match action.result {
        ActionResult::Done => {
            let text = format!("{symbol} {} {name} ({})", done(action.action), millis(action.millis));
            page.painted(2, role, &text);
        }
        ActionResult::Failed => page.painted(2, Role::Delete, &format!("x {} {name} failed", noun(action.action))),
        ActionResult::Skipped => page.painted(2, Role::Quiet, &format!("  {} {name} not tried", noun(action.action))),
    }
    for (target, image) in &action.disks {
        page.wrapped(6, "", None, &format!("disk {} is on {} now", printable(target), printable(image)));
    }
    if !action.text.is_empty() {
        page.wrapped(6, "", None, &action.text);
    }
}

fn symbol(kind: ActionKind) -> (char, Role) {
    match kind {
        ActionKind::Create => ('+', Role::Create),
        ActionKind::Redefine | ActionKind::SetCurrent => ('~', Role::Change),
        ActionKind::Delete => ('-', Role::Delete),
        ActionKind::Revert => ('<', Role::Delete),
    }
}

fn done(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Create => "created",
        ActionKind::Redefine => "redefined",
        ActionKind::SetCurrent => "set current to",
        ActionKind::Delete => "deleted",
        ActionKind::Revert => "reverted to",
    }
}

fn noun(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Create => "create",
        ActionKind::Redefine => "redefine",
        ActionKind::SetCurrent => "set current to",
        ActionKind::Delete => "delete",
        ActionKind::Revert => "revert to",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn the_images_that_disks_are_on_afterwards_are_told() {
        let mut sample = samples::outcome();
        sample.domains.truncate(1);
        sample.domains[0].actions[1].disks = [("vda".to_owned(), "/images/web-1.vda.golden.qcow2".to_owned())].into();
        let text = outcome(&sample, Palette::Plain);
        assert!(
            text.contains("+ created golden (1.2 s)\n      disk vda is on /images/web-1.vda.golden.qcow2 now\n"),
            "{text}"
        );
    }

    #[test]
    fn every_result_has_its_line() {
        insta::assert_snapshot!(outcome(&samples::outcome(), Palette::Plain), @r"
        kvm-017/web-1: done
          ~ redefined base (12 ms)
          + created golden (1.2 s)
          ~ set current to golden (3 ms)

        kvm-017/web-2: failed, the rest of it was left alone
          x create golden failed
              could not capture snapshot golden of domain web-2: no space left on device (libvirt error 1).
              The snapshot does not exist; free space on the pool and run apply again.
            delete old not tried

        kvm-017/web-3: changed after the plan was made, nothing was done
          its current snapshot was moved
            delete old not tried

        kvm-017/web-4: held by another run, nothing was done
            create golden not tried

        Could not be read, left as it is:
          kvm-018: could not connect to qemu+ssh://kvm-018/system: Connection refused

        Apply: 3 done, 1 failed, 3 skipped, 2 blocked (see the plan).
        Interrupted: run apply again for the rest.
        1 domain changed after the plan was made: make a new plan for the rest.
        1 domain is held by another run of snapward: run apply again when it has ended.
        1 host or domain could not be read.
        ");
    }
}
