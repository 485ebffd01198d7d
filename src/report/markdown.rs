//! The plan as markdown for a pull request: summary, tables, and the whole text folded away.

use crate::model::desired::Origin;
use crate::model::plan::{ActionKind, Address, Plan, RiskLevel};
use crate::model::text::printable;

use super::style::Palette;
use super::text;

/// How many rows a table shows. GitHub and GitLab cut or refuse comments over 65,536 characters and more; a hundred
/// rows of usual length take a third of that.
const ROWS: usize = 100;

/// How many characters of the text form are folded in, before escaping; the other third.
const DETAILS: usize = 20_000;

/// The plan as GitHub-flavoured markdown. Nothing in names or texts can add markup, mention people or break a table.
pub fn plan(plan: &Plan) -> String {
    let mut out = format!("### snapward\n\n**{}**\n", prose(&text::plan_summary(plan)));
    if !plan.actions.is_empty() {
        out.push_str("\n| action | snapshot | why | risk | where |\n|---|---|---|---|---|\n");
        for action in plan.actions.iter().take(ROWS) {
            let risk = match action.risk.level {
                RiskLevel::Metadata => "",
                RiskLevel::Pause => "pause",
                RiskLevel::Loss => "**loss**",
            };
            out.push_str(&format!(
                "| {} | {} | {} | {risk} | {} |\n",
                verb(action.action),
                address(&action.address),
                prose(&action.reason.text),
                code(&action.origin.to_string())
            ));
        }
        rest(&mut out, plan.actions.len());
    }
    if !plan.blocked.is_empty() {
        out.push_str("\n**Needs a person**\n\n| blocked | what | way out | where |\n|---|---|---|---|\n");
        for item in plan.blocked.iter().take(ROWS) {
            out.push_str(&format!(
                "| {} | **{:?}**: {} | {} | {} |\n",
                address(&item.address),
                item.code,
                prose(&item.text),
                prose(&item.way_out),
                origins(&item.origins)
            ));
        }
        rest(&mut out, plan.blocked.len());
    }
    if !plan.unreadable.is_empty() {
        out.push_str("\n**Could not be read**\n\n");
        for item in plan.unreadable.iter().take(ROWS) {
            let domain = item.domain.as_ref().map(|domain| format!("/{domain}")).unwrap_or_default();
            out.push_str(&format!("- {}: {}\n", code(&format!("{}{domain}", item.host)), prose(&item.error)));
        }
        rest(&mut out, plan.unreadable.len());
    }
    if !plan.warnings.is_empty() {
        out.push_str("\n**Warnings**\n\n");
        for item in plan.warnings.iter().take(ROWS) {
            out.push_str(&format!("- {} ({})\n", prose(&item.text), code(&item.origin.to_string())));
        }
        rest(&mut out, plan.warnings.len());
    }
    let whole = text::plan(plan, Palette::Plain);
    let shown: String = whole.chars().take(DETAILS).collect();
    let cut = if shown.len() < whole.len() { "\n… cut here; `snapward plan` shows all of it" } else { "" };
    out.push_str(&format!(
        "\n<details><summary>Details</summary>\n\n<pre>\n{}{cut}\n</pre>\n\n</details>\n\nPlan {}\n",
        entities(shown.trim_end()),
        code(&plan.plan_id)
    ));
    out
}

/// Says that a table does not show everything.
fn rest(out: &mut String, all: usize) {
    if all > ROWS {
        out.push_str(&format!("\n… and {} more.\n", all - ROWS));
    }
}

fn verb(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Create => "create",
        ActionKind::Redefine => "redefine",
        ActionKind::SetCurrent => "set current",
        ActionKind::Delete => "**delete**",
        ActionKind::Revert => "**revert**",
    }
}

fn address(address: &Address) -> String {
    code(&address.to_string())
}

fn origins(origins: &[Origin]) -> String {
    origins.iter().map(|origin| code(&origin.to_string())).collect::<Vec<_>>().join(", ")
}

/// A name: an HTML code element, in which no mention or reference is made, and which a backtick cannot end.
fn code(text: &str) -> String {
    format!("<code>{}</code>", entities(text))
}

/// A sentence. A mention or an issue reference is made from the finished HTML, so an entity alone would not stop it;
/// a zero-width space after the sign does.
fn prose(text: &str) -> String {
    let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
    entities(&folded).replace("&#64;", "&#64;&#8203;").replace("&#35;", "&#35;&#8203;").replace("://", ":&#8203;//")
}

/// The text with every character that could be markup as an entity; line feeds stay.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        for c in printable(line).chars() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '|' | '`' | '@' | '#' | '*' | '_' | '~' | '[' | ']' | '\\' | '$' => {
                    out.push_str(&format!("&#{};", u32::from(c)));
                }
                c => out.push(c),
            }
        }
        out.push_str(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn nothing_can_become_markup() {
        assert_eq!(
            prose("a|b `c` <b> @team #1 https://x [l](u)\n# h"),
            "a&#124;b &#96;c&#96; &lt;b&gt; &#64;&#8203;team &#35;&#8203;1 https:&#8203;//x &#91;l&#93;(u) &#35;&#8203; h"
        );
        assert_eq!(code("</code>`|@x"), "<code>&lt;/code&gt;&#96;&#124;&#64;x</code>");
    }

    #[test]
    fn a_big_plan_stays_within_a_comment_and_says_what_is_left_out() {
        let mut big = samples::create();
        let action = big.actions[0].clone();
        big.actions = vec![action; 5_000];
        let text = plan(&big);
        assert!(text.len() < 65_536, "{}", text.len());
        assert!(text.contains("… and 4900 more.") && text.contains("cut here"));
    }

    #[test]
    fn create() {
        insta::assert_snapshot!(plan(&samples::create()), @r#"
        ### snapward

        **Plan: 3 to create, 1 to set current. 0 unchanged.**

        | action | snapshot | why | risk | where |
        |---|---|---|---|---|
        | create | <code>kvm-017/web-1/golden</code> | declared and never made | pause | <code>sets/web.yaml:9</code> |
        | create | <code>kvm-017/web-1/patched</code> | declared and never made | pause | <code>sets/web.yaml:14</code> |
        | set current | <code>kvm-017/web-1/golden</code> | declared as the current snapshot |  | <code>sets/web.yaml:21</code> |
        | create | <code>kvm-017/web-2/golden</code> | declared and never made |  | <code>sets/web.yaml:9</code> |

        **Warnings**

        - golden and patched of kvm-017/web-1 are captured in one pass and hold the same state (<code>sets/web.yaml:14</code>)

        <details><summary>Details</summary>

        <pre>
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
          &#126; set current patched -&gt; golden
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
        </pre>

        </details>

        Plan <code>5f2c9a</code>
        "#);
    }

    #[test]
    fn nothing_to_do() {
        insta::assert_snapshot!(plan(&samples::nothing()), @r"
        ### snapward

        **No changes. Everything is as declared. 4 unchanged.**

        <details><summary>Details</summary>

        <pre>
        Kept:
          kvm-017/web-1/old: made by set default/web, which no longer declares it; declare it with state:
          absent to delete it (sets/web.yaml:1)

        Not managed by these manifests, never touched:
          kvm-017/web-1: manual-1, manual-2, manual-3, manual-4, manual-5, manual-6, manual-7, manual-8,
          manual-9, manual-10 and 2 more
          kvm-017/web-2: nightly (of backup/db)

        No changes. Everything is as declared. 4 unchanged.
        </pre>

        </details>

        Plan <code>5f2c9a</code>
        ");
    }

    #[test]
    fn delete_with_loss() {
        insta::assert_snapshot!(plan(&samples::delete()), @r#"
        ### snapward

        **Plan: 1 to delete. 3 unchanged.**

        | action | snapshot | why | risk | where |
        |---|---|---|---|---|
        | **delete** | <code>kvm-017/web-1/old</code> | declared with state: absent | **loss** | <code>sets/web.yaml:17</code> |

        <details><summary>Details</summary>

        <pre>
        kvm-017/web-1 (running)
          - delete old
              declared with state: absent (sets/web.yaml:17)
              description: "Before the upgrade"
              captured: 2026-10-01T03:00:00Z, running
              risk: the memory and disk state captured on 2026-10-01 is gone for good

        Plan: 1 to delete. 3 unchanged.
        </pre>

        </details>

        Plan <code>5f2c9a</code>
        "#);
    }

    #[test]
    fn blocked_mix() {
        insta::assert_snapshot!(plan(&samples::blocked()), @r"
        ### snapward

        **Nothing to do; 4 items need a person. 1 unchanged.**

        **Needs a person**

        | blocked | what | way out | where |
        |---|---|---|---|
        | <code>kvm-017/web-1/golden</code> | **Missing**: made on 2026-11-01T10:00:00Z and gone since; a new capture would hold today's state under the old name | recreate: true captures it again; state: absent forgets it | <code>sets/web.yaml:9</code> |
        | <code>kvm-017/web-1/patched</code> | **Conflict**: a snapshot of this name exists and snapward did not make it | adopt: true takes it over; or give the declared one another name | <code>sets/web.yaml:14</code>, <code>sets/web.yaml:31</code> |
        | <code>kvm-017/web-2</code> | **LedgerLost**: the domain has snapshots of set default/web and no ledger, so what was made before is not known | check which declared snapshots ever existed, then declare them with adopt: true or recreate: true | <code>sets/web.yaml:1</code> |
        | <code>kvm-017/web-9</code> | **NoSuchDomain**: no connected host has a domain of this name | correct the name, or write it as a glob if it may be absent | <code>sets/web.yaml:6</code> |

        <details><summary>Details</summary>

        <pre>
        kvm-017/web-1 (running)
          ! blocked golden: Missing
              made on 2026-11-01T10:00:00Z and gone since; a new capture would hold today's state under the
              old name
              =&gt; recreate: true captures it again; state: absent forgets it
              sets/web.yaml:9
          ! blocked patched: Conflict
              a snapshot of this name exists and snapward did not make it
              =&gt; adopt: true takes it over; or give the declared one another name
              sets/web.yaml:14, sets/web.yaml:31

        kvm-017/web-2 (shut off)
          ! blocked: LedgerLost
              the domain has snapshots of set default/web and no ledger, so what was made before is not
              known
              =&gt; check which declared snapshots ever existed, then declare them with adopt: true or
                 recreate: true
              sets/web.yaml:1

        kvm-017/web-9
          ! blocked: NoSuchDomain
              no connected host has a domain of this name
              =&gt; correct the name, or write it as a glob if it may be absent
              sets/web.yaml:6

        Nothing to do; 4 items need a person. 1 unchanged.
        </pre>

        </details>

        Plan <code>5f2c9a</code>
        ");
    }

    #[test]
    fn unreadable_host_beside_a_healthy_one() {
        insta::assert_snapshot!(plan(&samples::unreadable()), @r#"
        ### snapward

        **Plan: 1 to create. 0 unchanged. 2 hosts or domains could not be read.**

        | action | snapshot | why | risk | where |
        |---|---|---|---|---|
        | create | <code>kvm-017/web-1/golden</code> | declared and never made | pause | <code>sets/web.yaml:9</code> |

        **Could not be read**

        - <code>kvm-018</code>: could not connect to qemu+ssh:&#8203;//kvm-018/system: Connection refused
        - <code>kvm-017/web-3</code>: could not list the snapshots of domain web-3: inconsistent list (libvirt error 1)

        <details><summary>Details</summary>

        <pre>
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
        </pre>

        </details>

        Plan <code>5f2c9a</code>
        "#);
    }

    #[test]
    fn terminal_escapes_in_names() {
        let text = plan(&samples::escapes());
        assert!(!text.contains('\u{1b}'));
        insta::assert_snapshot!(text, @r#"
        ### snapward

        **Plan: 1 to create. 0 unchanged.**

        | action | snapshot | why | risk | where |
        |---|---|---|---|---|
        | create | <code>kvm-017/web&#92;u{1b}&#91;31m&#124;&#96;&lt;b&gt;&#64;all/go&#92;u{202e}ld&#92;u{9b}en</code> | declared by a&#92;u{1b}&#93;0;title&#92;u{7} friend of &#64;&#8203;team | pause | <code>sets/web.yaml:9</code> |

        <details><summary>Details</summary>

        <pre>
        kvm-017/web&#92;u{1b}&#91;31m&#124;&#96;&lt;b&gt;&#64;all (running)
          + create go&#92;u{202e}ld&#92;u{9b}en
              declared by a&#92;u{1b}&#93;0;title&#92;u{7} friend of &#64;team (sets/web.yaml:9)
              description: "line&#92;none&#92;u{1b}&#91;2J"
              risk: the guest stands still while its memory is written into the image

        Plan: 1 to create. 0 unchanged.
        </pre>

        </details>

        Plan <code>5f2c9a</code>
        "#);
    }
}
