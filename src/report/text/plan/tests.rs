//! The pinned text of plans in named situations.

use super::*;
use crate::report::samples;

fn plain(of: &Plan) -> String {
    let text = plan(of, Palette::Plain);
    assert!(!text.contains("\n\n\n") && !text.starts_with('\n') && !text.ends_with("\n\n"), "{text}");
    assert!(!text.lines().any(|line| line.ends_with(' ')), "{text}");
    text
}

#[test]
fn create() {
    insta::assert_snapshot!(plain(&samples::create()), @r#"
    kvm-017/web-1 (running)
      + create golden
          declared and never made (sets/web.yaml:9)
          description: "Clean install, patched"
          capture: full, internal
          risk: the guest stands still while its memory is written into the image
      + create patched
          declared and never made (sets/web.yaml:14)
          description: "Clean install, patched"
          capture: full, internal
          risk: the guest stands still while its memory is written into the image
      ~ set current patched -> golden
          declared as the current snapshot (sets/web.yaml:21)

    kvm-017/web-2 (shut off)
      + create golden
          declared and never made (sets/web.yaml:9)
          description: "Clean install, patched"
          capture: full, internal

    Warnings:
      golden and patched of kvm-017/web-1 are captured in one pass and hold the same state
      (sets/web.yaml:14)

    Plan: 3 to create, 1 to set current. 0 unchanged.
    "#);
}

#[test]
fn nothing_to_do() {
    insta::assert_snapshot!(plain(&samples::nothing()), @r"
    Kept:
      kvm-017/web-1/old: made by set default/web, which no longer declares it; declare it with state:
      absent to delete it (sets/web.yaml:1)

    Not managed by these manifests, never touched:
      kvm-017/web-1: manual-1, manual-2, manual-3, manual-4, manual-5, manual-6, manual-7, manual-8,
      manual-9, manual-10 and 2 more
      kvm-017/web-2: nightly (of backup/db)

    No changes. Everything is as declared. 4 unchanged.
    ");
}

#[test]
fn redefine_with_field_changes() {
    insta::assert_snapshot!(plain(&samples::redefine()), @r#"
    kvm-017/web-1 (paused)
      ~ redefine base
          description, parent and protect differ (sets/web.yaml:9)
          description: "Installed" -> "Installed, \"patched\"\nand signed off"
          parent: "root" -> (none)
          stamp: + Snapward-Protect: true

    Plan: 1 to redefine. 2 unchanged.
    "#);
}

#[test]
fn delete_with_loss() {
    insta::assert_snapshot!(plain(&samples::delete()), @r#"
    kvm-017/web-1 (running)
      - delete old
          declared with state: absent (sets/web.yaml:17)
          description: "Before the upgrade"
          captured: 2026-10-01T03:00:00Z, running
          risk: the memory and disk state captured on 2026-10-01 is gone for good

    Plan: 1 to delete. 3 unchanged.
    "#);
}

#[test]
fn blocked_mix() {
    insta::assert_snapshot!(plain(&samples::blocked()), @r"
    kvm-017/web-1 (running)
      ! blocked golden: Missing
          made on 2026-11-01T10:00:00Z and gone since; a new capture would hold today's state under the
          old name
          => recreate: true captures it again; state: absent forgets it
          sets/web.yaml:9
      ! blocked patched: Conflict
          a snapshot of this name exists and snapward did not make it
          => adopt: true takes it over; or give the declared one another name
          sets/web.yaml:14, sets/web.yaml:31

    kvm-017/web-2 (shut off)
      ! blocked: LedgerLost
          the domain has snapshots of set default/web and no ledger, so what was made before is not
          known
          => check which declared snapshots ever existed, then declare them with adopt: true or
             recreate: true
          sets/web.yaml:1

    kvm-017/web-9
      ! blocked: NoSuchDomain
          no connected host has a domain of this name
          => correct the name, or write it as a glob if it may be absent
          sets/web.yaml:6

    Nothing to do; 4 items need a person. 1 unchanged.
    ");
}

#[test]
fn suspended() {
    insta::assert_snapshot!(plain(&samples::suspended()), @r#"
    kvm-017/web-1 (running)
      suspended: default/web: migration to new storage; until 2026-12-01

    Differs from the manifests, left as it is:
      kvm-017/web-1/golden (sets/web.yaml:9)
          description: "do not touch" -> "Clean install, patched"

    No changes. 1 unchanged. 1 domain is suspended.
    "#);
}

#[test]
fn a_pointer_that_is_put_back_is_not_also_left_alone() {
    let mut plan = samples::create();
    plan.drift = vec![Drift {
        address: Address { snapshot: None, ..plan.actions[0].address.clone() },
        field: "current".to_owned(),
        declared: "golden".to_owned(),
        observed: "patched".to_owned(),
        origin: plan.actions[2].origin.clone(),
    }];
    assert!(!plain(&plan).contains("left as it is"), "{}", plain(&plan));
    plan.actions.retain(|action| action.address.snapshot.as_ref().is_some_and(|name| name.as_str() != "golden"));
    assert!(plain(&plan).contains("left as it is"), "{}", plain(&plan));
}

#[test]
fn unreadable_host_beside_a_healthy_one() {
    insta::assert_snapshot!(plain(&samples::unreadable()), @r#"
    kvm-017/web-1 (running)
      + create golden
          declared and never made (sets/web.yaml:9)
          description: "Clean install, patched"
          capture: full, internal
          risk: the guest stands still while its memory is written into the image

    Could not be read, left as it is:
      kvm-018: could not connect to qemu+ssh://kvm-018/system: Connection refused
      kvm-017/web-3: could not list the snapshots of domain web-3: inconsistent list (libvirt error 1)

    Plan: 1 to create. 0 unchanged. 2 hosts or domains could not be read.
    "#);
}

#[test]
fn terminal_escapes_in_names() {
    let text = plain(&samples::escapes());
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    insta::assert_snapshot!(text, @r#"
    kvm-017/web\u{1b}[31m|`<b>@all (running)
      + create go\u{202e}ld\u{9b}en
          declared by a\u{1b}]0;title\u{7} friend of @team (sets/web.yaml:9)
          description: "line\none\u{1b}[2J"
          risk: the guest stands still while its memory is written into the image

    Plan: 1 to create. 0 unchanged.
    "#);
}

#[test]
fn colour_changes_the_look_and_not_the_text() {
    for (name, sample) in samples::plans() {
        let coloured = plan(&sample, Palette::Colour);
        assert!(coloured.contains("\u{1b}["), "{name}");
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain(&sample), "{name}");
    }
}
