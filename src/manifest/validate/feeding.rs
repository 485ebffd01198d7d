//! A series' retention beside its schedule: rules that the schedule does not feed, and policies that outgrow a chain.

use super::{AnyDocument, Entry, Scope};
use crate::manifest::diagnostic::{Code, Diagnostic};
use crate::manifest::kind::Kind;
use crate::manifest::tree::shown;
use crate::model::kinds::{
    Capture, Location, Presence, RetentionChoice, RetentionSpec, SafetySpec, Series, SeriesTemplateSpec, Snapshot,
    SnapshotSet,
};
use crate::retention::{Period, Reach, Rule, most_kept};

/// Images that a chain holds besides the series' own: the one that is written to, and one captured before another goes.
const OTHER_IMAGES: u64 = 2;

/// Checks the policy of a series that shall exist. What cannot be read is a fault of its own. Returns the most external
/// snapshots that it keeps, where that is known and fits.
pub(super) fn check(
    entry: &Entry<'_>,
    at: &str,
    (set, series): (&SnapshotSet, &Series),
    template: Option<&SeriesTemplateSpec>,
    scope: &Scope<'_>,
    out: &mut Vec<Diagnostic>,
) -> Option<u64> {
    let capture = series.capture.as_ref().or(template.and_then(|t| t.capture.as_ref()));
    let external = capture.is_some_and(|capture| capture.location == Location::External);
    let limit = chain_limit(set, scope);
    if external && !series.prune.or(template.and_then(|t| t.prune)).unwrap_or(false) {
        let message = format!(
            "the external series `{}` deletes nothing, and a chain has {limit} images at most: captures stop when it is full",
            shown(&series.name)
        );
        let help = "set `prune: true` with a policy under `retention`";
        out.push(entry.fault(Code::Contradiction, &format!("{at}/name"), message).warning().help(help));
    }
    let schedule = series.schedule.as_ref().or(template.and_then(|t| t.schedule.as_ref()));
    let choice = series.retention.as_ref().or(template.and_then(|t| t.retention.as_ref()));
    let (Some(schedule), Some(spec)) = (schedule, choice.and_then(|choice| policy(set, choice, scope))) else {
        return None;
    };
    let gap = scope.shortest_gap(schedule)?;
    let place = format!("{at}/{}", if series.retention.is_some() { "retention" } else { "template" });
    let starved = |rule: &Rule| {
        rule.period != Period::Each && rule.reach == Reach::Count && gap.as_secs() > rule.period.shortest_seconds()
    };
    if let Some(rule) = spec.keep.rules().find(starved) {
        let (name, count) = (rule.name(), spec.keep.count(rule.period));
        let message = format!(
            "`keep.{name}` is finer than the schedule of series `{}`, so it keeps the last {count} whatever their distance",
            shown(&series.name)
        );
        let help = format!("write `last: {count}` if that is meant, or a rule as coarse as the schedule");
        out.push(entry.fault(Code::Contradiction, &place, message).warning().help(help));
    }
    if !external {
        return None;
    }
    let most = most_kept(spec, Some(gap));
    if most.is_none_or(|most| most > limit.saturating_sub(OTHER_IMAGES)) {
        let keeps = most.map_or("without end".to_owned(), |most| format!("{most} snapshots"));
        let message = format!(
            "the policy of the external series `{}` can keep {keeps}, and a chain has {limit} images at most",
            shown(&series.name)
        );
        let help = format!(
            "keep at most {}: each external snapshot is one image in the disks' chain, and two are needed besides; or use \
             location: internal",
            limit.saturating_sub(OTHER_IMAGES)
        );
        out.push(entry.fault(Code::Contradiction, &place, message).help(help));
        return None;
    }
    most
}

/// Checks what all external snapshots of a set come to together; `series` is the most that each of its series keeps.
pub(super) fn check_together(
    entry: &Entry<'_>,
    set: &SnapshotSet,
    series: &[u64],
    scope: &Scope<'_>,
    out: &mut Vec<Diagnostic>,
) {
    let is_external = |snapshot: &&Snapshot| {
        let external = |capture: &Capture| capture.location == Location::External;
        snapshot.state == Presence::Present && snapshot.capture.as_ref().is_some_and(external)
    };
    let declared = set.spec.snapshots.iter().filter(is_external).count();
    let together = series.iter().sum::<u64>() + declared as u64;
    let limit = chain_limit(set, scope);
    let room = limit.saturating_sub(OTHER_IMAGES);
    if series.is_empty() || together <= room {
        return;
    }
    let what = if declared == 0 { "series" } else { "series and snapshots" };
    let message = format!(
        "the external {what} of the set can come to {together} snapshots in one domain, and a chain has {limit} images at most"
    );
    let help = format!("keep at most {room} together: each external snapshot is one image in the disks' chain");
    out.push(entry.fault(Code::Contradiction, "/spec/series", message).help(help));
}

fn chain_limit(set: &SnapshotSet, scope: &Scope<'_>) -> u64 {
    u64::from(safety(set, scope).map_or(SafetySpec::default().chain_limit, |safety| safety.chain_limit))
}

fn policy<'a>(set: &SnapshotSet, choice: &'a RetentionChoice, scope: &Scope<'a>) -> Option<&'a RetentionSpec> {
    if let Some(spec) = &choice.spec {
        return Some(spec);
    }
    let name = choice.policy_ref.as_deref()?;
    let found = scope.by_name.get(&(Kind::RetentionPolicy, set.metadata.namespace.as_str(), name))?;
    match found.decoded.value.as_ref()? {
        AnyDocument::RetentionPolicy(policy) => Some(&policy.spec),
        _ => None,
    }
}

fn safety<'a>(set: &SnapshotSet, scope: &Scope<'a>) -> Option<&'a SafetySpec> {
    let name = set.spec.safety.as_ref()?.policy_ref.as_str();
    let found = scope.by_name.get(&(Kind::SafetyPolicy, set.metadata.namespace.as_str(), name))?;
    match found.decoded.value.as_ref()? {
        AnyDocument::SafetyPolicy(policy) => Some(&policy.spec),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::manifest::{Source, load};

    /// What is found in a set with one series: `error` or `warning`, and the message.
    fn findings(fields: &str, more: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: snapward/v1\nkind: SnapshotSet\nmetadata: {{name: web}}\nspec:\n  domains: {{include: [vm]}}\n{more}  \
             series:\n    - {{name: s, {fields}}}\n---\napiVersion: snapward/v1\nkind: SafetyPolicy\nmetadata: \
             {{name: long}}\nspec: {{chainLimit: 40}}\n"
        );
        let loaded = load(&[Source { name: Arc::from("m.yaml"), text: text.into_bytes() }]);
        let word = |is_error| if is_error { "error" } else { "warning" };
        loaded.diagnostics.iter().map(|d| format!("{}: {}", word(d.is_error()), d.message)).collect()
    }

    fn internal(cron: &str, keep: &str) -> Vec<String> {
        let capture = "capture: {content: full, location: internal}";
        findings(
            &format!("prune: true, schedule: {{cron: '{cron}'}}, {capture}, retention: {{spec: {{keep: {{{keep}}}}}}}"),
            "",
        )
    }

    #[test]
    fn a_count_rule_that_the_schedule_does_not_feed_is_warned_of() {
        let warned = internal("@daily", "hourly: 24, daily: 7");
        assert_eq!(
            warned,
            [
                "warning: `keep.hourly` is finer than the schedule of series `s`, so it keeps the last 24 whatever their distance"
            ]
        );
        assert_eq!(internal("0 */2 * * *", "hourly: 24").len(), 1);
        assert_eq!(internal("@monthly", "weekly: 4, monthly: 12").len(), 1);
        for (cron, keep) in [
            ("@hourly", "hourly: 24"),
            ("@daily", "daily: 7, weekly: 4"),
            ("0 0 * * MON,TUE", "daily: 7"),
            ("@yearly", "last: 3, yearly: 2"),
            ("@weekly", "withinDaily: 7d, weekly: 4"),
        ] {
            assert_eq!(internal(cron, keep), [] as [&str; 0], "{cron} {keep}");
        }
    }

    #[test]
    fn an_external_series_must_fit_into_the_chain() {
        let external = |keep: &str, more: &str| {
            let capture = "capture: {content: disks, location: external}";
            let schedule = "schedule: {cron: '@hourly'}";
            findings(&format!("prune: true, {schedule}, {capture}, retention: {{spec: {{{keep}}}}}"), more)
        };
        assert_eq!(external("keep: {last: 18}", ""), [] as [&str; 0]);
        assert_eq!(
            external("keep: {last: 12, daily: 7}", ""),
            ["error: the policy of the external series `s` can keep 19 snapshots, and a chain has 20 images at most"]
        );
        assert_eq!(external("keep: {last: 12, daily: 7}", "  safety: {policyRef: long}\n"), [] as [&str; 0]);
        assert_eq!(external("keep: {within: 24h}", "").len(), 1);
        assert_eq!(internal("@hourly", "last: 1000"), [] as [&str; 0]);
    }

    #[test]
    fn all_external_snapshots_of_a_set_must_fit_together() {
        let external = |name: &str, last: u32| {
            let capture = "capture: {content: disks, location: external}, schedule: {cron: '@daily'}";
            format!("name: {name}, prune: true, {capture}, retention: {{spec: {{keep: {{last: {last}}}}}}}")
        };
        let of = |other: u32, declared: &str| {
            let all = format!("{}}}\n    - {{{}", external("s", 12), external("t", other));
            findings(&all.replacen("name: s, ", "", 1), declared)
        };
        let golden = "  snapshots:\n    - {name: golden, capture: {content: disks, location: external}}\n";
        assert_eq!(of(6, ""), [] as [&str; 0]);
        let said = "error: the external series of the set can come to 19 snapshots in one domain, and a chain has 20 images at most";
        assert_eq!(of(7, ""), [said]);
        assert_eq!(of(6, golden), [said.replace("series of", "series and snapshots of")]);
        assert_eq!(of(6, &golden.replace("golden,", "golden, state: absent,")), [] as [&str; 0]);
    }

    #[test]
    fn an_external_series_that_deletes_nothing_is_warned_of() {
        let fields = "schedule: {cron: '@daily'}, capture: {content: disks, location: external}";
        let warned = findings(fields, "");
        assert_eq!(warned.len(), 1, "{warned:?}");
        assert!(warned[0].starts_with("warning: the external series `s` deletes nothing"), "{warned:?}");
        assert_eq!(findings(&fields.replace("disks, location: external", "full, location: internal"), ""), [""; 0]);
    }
}
