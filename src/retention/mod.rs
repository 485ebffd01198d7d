//! Retention: when a snapshot's time is over. Pure functions of data and `now`.

use crate::model::kinds::TimeSpan;

/// The instant from which a snapshot is past its `deleteAfter`; none when the span reaches beyond time itself.
/// `created` is libvirt's creationTime, UTC epoch seconds.
pub fn expires_at(created: i64, delete_after: &TimeSpan) -> Option<jiff::Timestamp> {
    delete_after.after(jiff::Timestamp::from_second(created).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_expires_its_span_after_its_capture() {
        let fortnight = TimeSpan::parse("14d").unwrap();
        assert_eq!(expires_at(1_795_413_254, &fortnight).unwrap().to_string(), "2026-12-07T05:54:14Z");
        assert_eq!(expires_at(i64::MAX, &fortnight), None);
    }
}
