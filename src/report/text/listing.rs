//! Snapshots of one domain as text: virsh's table, the tree, and the lines about one snapshot.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::layout::Page;
use super::tree::tree;
use crate::model::listing::{SnapshotInfo, SnapshotList};
use crate::model::status::StatusSnapshot;
use crate::model::text::printable;
use crate::report::style::Palette;

/// How virsh writes a creation time.
const TIME: &str = "%Y-%m-%d %H:%M:%S %z";

/// The table of `virsh snapshot-list`, to the character; with `parents` its fourth column (`vshTable`).
pub fn snapshot_table(list: &SnapshotList, parents: bool, zone: &TimeZone) -> String {
    let mut rows = vec![["Name", "Creation Time", "State", "Parent"].map(str::to_owned)];
    rows.extend(list.snapshots.iter().map(|snapshot| {
        let parent = snapshot.parent.as_ref().map(ToString::to_string).unwrap_or_default();
        [snapshot.name.to_string(), local(&snapshot.created, zone), printable(&snapshot.state), parent]
    }));
    let columns = if parents { 4 } else { 3 };
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (at, row) in rows.iter().enumerate() {
        out.push(' ');
        for (column, text) in row.iter().take(columns).enumerate() {
            out.push_str(text);
            if column + 1 < columns {
                let blanks = widths[column] - text.chars().count() + 3;
                out.extend(std::iter::repeat_n(' ', blanks));
            }
        }
        out.push('\n');
        if at == 0 {
            out.extend(std::iter::repeat_n('-', widths.iter().map(|width| width + 3).sum()));
            out.push('\n');
        }
    }
    out
}

/// A creation time as virsh shows it; another text than an instant as it is.
fn local(created: &str, zone: &TimeZone) -> String {
    match created.parse::<Timestamp>() {
        Ok(created) => created.to_zoned(zone.clone()).strftime(TIME).to_string(),
        Err(_) => printable(created),
    }
}

/// Each name with its parent's, as `virsh snapshot-list --name --parent`.
pub fn snapshot_parents(list: &SnapshotList) -> String {
    let parent = |snapshot: &StatusSnapshot| snapshot.parent.as_ref().map(|parent| format!("\t{parent}"));
    let line = |snapshot: &StatusSnapshot| format!("{}{}\n", snapshot.name, parent(snapshot).unwrap_or_default());
    list.snapshots.iter().map(line).collect()
}

/// The tree, with what is known of each snapshot; ages are relative to `now`.
pub fn snapshot_tree(list: &SnapshotList, now: Timestamp, palette: Palette) -> String {
    let mut page = Page::new(palette);
    tree(&mut page, 0, &list.snapshots, now);
    page.finish()
}

/// The lines of `virsh snapshot-info`, then those that only snapward knows, where they apply.
pub fn snapshot_info(info: &SnapshotInfo) -> String {
    let snapshot = &info.snapshot;
    let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let parent = snapshot.parent.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let mut lines = vec![
        ("Name", snapshot.name.to_string()),
        ("Domain", printable(&info.domain.domain)),
        ("Current", yes_no(snapshot.current)),
        ("State", printable(&snapshot.state)),
        ("Location", if snapshot.external { "external" } else { "internal" }.to_owned()),
        ("Parent", parent),
        ("Children", info.children.to_string()),
        ("Descendants", info.descendants.to_string()),
        ("Metadata", yes_no(info.metadata)),
    ];
    lines.extend(snapshot.owner.as_deref().map(|owner| ("Set", printable(owner))));
    lines.extend(snapshot.series.as_deref().map(|series| ("Series", printable(series))));
    if snapshot.protected {
        lines.push(("Protected", yes_no(true)));
    }
    lines.extend(snapshot.hold.as_deref().map(|hold| ("Hold", printable(hold))));
    lines.into_iter().map(|(name, value)| format!("{:<16}{value}\n", format!("{name}:"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::SnapshotName;
    use crate::report::samples;

    #[test]
    fn the_table_is_virshs() {
        let mut list = samples::snapshot_list();
        list.snapshots.truncate(2);
        list.snapshots[1].parent = Some(SnapshotName::observed("base"));
        let zone = TimeZone::get("Europe/Prague").expect("bundled");
        assert_eq!(
            snapshot_table(&list, false, &zone),
            " Name     Creation Time               State\n\
             -----------------------------------------------\n\
             \x20base     2026-11-01 13:00:00 +0100   running\n\
             \x20golden   2026-11-20 13:00:00 +0100   running\n"
        );
        assert_eq!(
            snapshot_table(&list, true, &zone),
            " Name     Creation Time               State     Parent\n\
             --------------------------------------------------------\n\
             \x20base     2026-11-01 13:00:00 +0100   running   \n\
             \x20golden   2026-11-20 13:00:00 +0100   running   base\n"
        );
        list.snapshots.clear();
        assert_eq!(
            snapshot_table(&list, false, &TimeZone::UTC),
            " Name   Creation Time   State\n-------------------------------\n"
        );
    }

    #[test]
    fn the_tree_says_whose_each_is_and_what_it_takes() {
        let now = "2026-11-23T12:00:00Z".parse().expect("valid");
        insta::assert_snapshot!(snapshot_tree(&samples::snapshot_list(), now, Palette::Plain), @r"
        base  internal, running, 22 d ago, default/web, protected
        ├─ golden * current  internal, running, 3 d ago, 32.4 MiB, default/web, series hourly, on hold: audit; 2027-01-01
        │  └─ leaf  internal, running, 30 min ago, default/web
        └─ manual\u{1b}[31m  external, disk-snapshot, 24 h ago, unmanaged
        other  internal, running, 30 s ago, default/web
        ");
    }

    #[test]
    fn the_lines_of_virsh_and_then_ours() {
        insta::assert_snapshot!(snapshot_info(&samples::snapshot_info()), @r"
        Name:           golden
        Domain:         web-1
        Current:        yes
        State:          running
        Location:       internal
        Parent:         base
        Children:       1
        Descendants:    1
        Metadata:       yes
        Set:            default/web
        Series:         hourly
        Hold:           audit; 2027-01-01
        ");
    }
}
