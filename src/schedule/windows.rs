//! Windows: when a SafetyPolicy lets deletions or reverts happen. The truth table is that of Argo CD's allow windows: with
//! no window for an action it may always happen, with some it may while any of them is open. Where several policies meet
//! on a domain, each must allow it.

use jiff::Timestamp;

use super::slots::Timetable;
use crate::model::kinds::{Window, WindowAction};

/// Whether one policy's windows let the action happen now.
pub fn open(windows: &[Window], action: WindowAction, now: Timestamp) -> bool {
    let mut concerned = windows.iter().filter(|window| window.allow.contains(&action)).peekable();
    concerned.peek().is_none() || concerned.any(|window| is_open(window, now))
}

/// Whether a window is open. It opens at each of its slots and stays open for its duration, the end excluded; elapsed time,
/// whatever the clocks do meanwhile. The newest slot decides: an older one would close earlier.
fn is_open(window: &Window, now: Timestamp) -> bool {
    closes(window, now).is_some_and(|closes| now < closes)
}

/// When a window closes, or closed, that opened last.
fn closes(window: &Window, now: Timestamp) -> Option<Timestamp> {
    let opened = timetable(window)?.newest_at(now)?;
    Some(window.duration.after(opened).unwrap_or(Timestamp::MAX))
}

/// When the first of the policies that let the action happen now ceases to; none where no window restricts it.
pub fn open_until(policies: &[&[Window]], action: WindowAction, now: Timestamp) -> Option<Timestamp> {
    let of_policy = |windows: &&[Window]| {
        let concerned = windows.iter().filter(|window| window.allow.contains(&action));
        concerned.filter_map(|window| closes(window, now)).max()
    };
    policies.iter().filter_map(of_policy).min()
}

/// None for an expression that `validate` refuses: a window that cannot be read never opens.
fn timetable(window: &Window) -> Option<Timetable> {
    Timetable::new(&window.cron, window.time_zone.as_deref()).ok()
}

/// When all of the policies let the action happen again, where at least one does not now. `None`: they do now.
/// `Some(None)`: not within the time looked at, as two windows that never meet.
pub fn closed_until(policies: &[&[Window]], action: WindowAction, now: Timestamp) -> Option<Option<Timestamp>> {
    /// Openings tried before giving up: two daily windows that meet do so within a week, by the calendar's rules within
    /// a year of days.
    const MOST_TRIED: usize = 400;
    let opens = |windows: &[Window], at: Timestamp| {
        let concerned = windows.iter().filter(|window| window.allow.contains(&action));
        concerned.filter_map(|window| timetable(window)?.next_after(at)).min()
    };
    let mut at = now;
    for _ in 0..MOST_TRIED {
        // All of those that are closed must open: the latest of their next openings is the first chance.
        let closed = policies.iter().filter(|windows| !open(windows, action, at));
        let openings: Option<Vec<Timestamp>> = closed.map(|windows| opens(windows, at)).collect();
        match openings.map(|openings| openings.into_iter().max()) {
            Some(None) => return (at > now).then_some(Some(at)),
            Some(Some(next)) => at = next,
            None => break,
        }
    }
    Some(None)
}
