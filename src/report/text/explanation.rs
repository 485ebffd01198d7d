//! The explanation of retention as text.

use super::layout::Page;
use crate::model::explanation::{Explained, Explanation};
use crate::model::text::{count, printable};
use crate::report::style::{Palette, Role};

/// Every snapshot of every series with its reasons: one paragraph each.
pub fn explanation(explanation: &Explanation, palette: Palette) -> String {
    let mut page = Page::new(palette);
    for series in &explanation.series {
        page.section();
        let heading = format!(
            "{}/{}: series {} of set {}",
            printable(&series.host),
            printable(&series.domain),
            printable(&series.series),
            printable(&series.set)
        );
        page.painted(0, Role::Heading, &heading);
        if let Some(why) = &series.not_carried_out {
            page.wrapped(2, "! ", Some(Role::Blocked), why);
        }
        if series.snapshots.is_empty() {
            page.line(2, "no snapshot yet");
        }
        for snapshot in &series.snapshots {
            one(&mut page, snapshot);
        }
    }
    for item in &explanation.unreadable {
        let domain = item.domain.as_ref().map(|domain| format!("/{domain}")).unwrap_or_default();
        page.section();
        page.wrapped(0, "Could not be read: ", Some(Role::Delete), &format!("{}{domain}: {}", item.host, item.error));
    }
    page.section();
    let summary = &explanation.summary;
    let total = count(summary.kept + summary.deleted, "snapshot", "snapshots");
    let series = count(summary.series, "series", "series");
    page.painted(0, Role::Heading, &format!("{} of {total} in {series} kept, as of {}.", summary.kept, explanation.at));
    page.finish()
}

fn one(page: &mut Page, snapshot: &Explained) {
    let (word, role) = if snapshot.keep { ("keep", Role::Create) } else { ("delete", Role::Delete) };
    let painted = page.palette.paint(role, &format!("{word:<6}"));
    page.line(2, &format!("{painted}  {}", snapshot.name));
    let reasons: Vec<&str> = snapshot.reasons.iter().map(|reason| reason.text.as_str()).collect();
    page.wrapped(10, "", None, &reasons.join("; "));
    if let Some(goes) = &snapshot.goes {
        page.wrapped(10, "", Some(Role::Quiet), &format!("goes {goes}, should every slot be taken"));
    }
    if let Some(until) = &snapshot.stays_until {
        page.wrapped(10, "", Some(Role::Quiet), &format!("stays at least until {until}"));
    }
    if let Some(change) = &snapshot.saved_by {
        page.wrapped(10, "=> ", Some(Role::WayOut), &format!("{change} would keep it"));
    }
}
