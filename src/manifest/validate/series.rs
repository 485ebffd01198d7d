//! Series and their templates: complete after the template's keys are laid under the series' own.

use std::collections::HashMap;

use super::{Entry, Scope, capture, feeding, others};
use crate::manifest::diagnostic::{Code, Diagnostic};
use crate::manifest::kind::Kind;
use crate::manifest::tree::shown;
use crate::model::kinds::{Metadata, Presence, RetentionChoice, Schedule, Series, SeriesTemplate, SnapshotSet, When};
use crate::model::names::{SnapshotName, is_resource_name};
use crate::model::series::{DEFAULT_NAME_TEMPLATE, SAMPLE_SLOT, fill, slot_of_name};
use crate::schedule::TimePattern;

/// Checks a template's own values.
pub(super) fn check_template(
    entry: &Entry<'_>,
    template: &SeriesTemplate,
    scope: &Scope<'_>,
    out: &mut Vec<Diagnostic>,
) {
    let spec = &template.spec;
    if let Some(schedule) = &spec.schedule {
        check_schedule(entry, "/spec/schedule", schedule, out);
    }
    if let Some(capture) = &spec.capture {
        capture::check(entry, "/spec/capture", capture, spec.when.unwrap_or_default(), out);
        capture::check_unattended(entry, "/spec/capture", capture, out);
    }
    if let Some(name) = &spec.name_template {
        check_name_template(entry, "/spec/nameTemplate", name, "series", out);
    }
    if let Some(retention) = &spec.retention {
        check_retention(entry, "/spec/retention", retention, &template.metadata, scope, out);
    }
}

/// Checks the series of a set.
pub(super) fn check_set(entry: &Entry<'_>, set: &SnapshotSet, scope: &Scope<'_>, out: &mut Vec<Diagnostic>) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut external = Vec::new();
    for (i, series) in set.spec.series.iter().enumerate() {
        let at = format!("/spec/series/{i}");
        let name = shown(&series.name);
        if !is_resource_name(&series.name) {
            let help = "1 to 63 lower case letters, digits, - and ., beginning and ending with a letter or digit";
            let message = format!("a series cannot be named `{name}`");
            out.push(entry.fault(Code::WrongValue, &format!("{at}/name"), message).help(help));
        }
        if let Some(other) = first.insert(&series.name, i) {
            let place = format!("/spec/series/{other}/name");
            let message = format!("series `{name}` is declared twice, first at {}", entry.place(&place));
            out.push(
                entry.fault(Code::DuplicateName, &format!("{at}/name"), message).label("declared again here").related(
                    entry.text,
                    &entry.range(&place),
                    "declared first here",
                ),
            );
        }
        external.extend(one(entry, &at, set, series, scope, out));
    }
    feeding::check_together(entry, set, &external, scope, out);
    same_names(entry, set, scope, out);
}

/// Two series whose snapshots have the same names at the same slots: the second one would find the first one's.
fn same_names(entry: &Entry<'_>, set: &SnapshotSet, scope: &Scope<'_>, out: &mut Vec<Diagnostic>) {
    let mut first: HashMap<(String, String), usize> = HashMap::new();
    for (i, series) in set.spec.series.iter().enumerate().filter(|(_, s)| s.state == Presence::Present) {
        let Some(around) = names_of(set, series, scope) else { continue };
        let Some(other) = first.get(&around).copied() else {
            first.insert(around, i);
            continue;
        };
        let (this, that) = (shown(&series.name), shown(&set.spec.series[other].name));
        let message = format!("series `{this}` gives its snapshots the names of series `{that}`");
        let help = "put {series} into `nameTemplate`: two schedules can have a slot at the same time";
        out.push(
            entry
                .fault(Code::Contradiction, &format!("/spec/series/{i}/name"), message)
                .related(entry.text, &entry.range(&format!("/spec/series/{other}/name")), "has the same names")
                .help(help),
        );
    }
}

/// Checks one series. Returns the most external snapshots that it keeps.
fn one(
    entry: &Entry<'_>,
    at: &str,
    set: &SnapshotSet,
    series: &Series,
    scope: &Scope<'_>,
    out: &mut Vec<Diagnostic>,
) -> Option<u64> {
    let name = shown(&series.name);
    let mut template_known = true;
    if let Some(template) = &series.template {
        let reference = (Kind::SeriesTemplate, &set.metadata, template.as_str());
        scope.resolve(entry, &format!("{at}/template"), reference, out);
        template_known = template_of(set, series, scope).is_some();
    }
    let template = template_of(set, series, scope).map(|template| &template.spec);
    if let Some(schedule) = &series.schedule {
        check_schedule(entry, &format!("{at}/schedule"), schedule, out);
    }
    let when = series.when.or(template.and_then(|t| t.when));
    match &series.capture {
        Some(capture) => {
            capture::check(entry, &format!("{at}/capture"), capture, when.unwrap_or_default(), out);
            capture::check_unattended(entry, &format!("{at}/capture"), capture, out);
        }
        // The template was checked with its own `when`; another one here makes another capture of it.
        None if series.when.is_some_and(|when| when != When::Any) => {
            if let Some(capture) = template.and_then(|t| t.capture.as_ref()) {
                capture::check(entry, &format!("{at}/when"), capture, when.unwrap_or_default(), out);
            }
        }
        None => {}
    }
    if let Some(template) = &series.name_template {
        check_name_template(entry, &format!("{at}/nameTemplate"), template, &series.name, out);
    }
    if let Some(retention) = &series.retention {
        check_retention(entry, &format!("{at}/retention"), retention, &set.metadata, scope, out);
    }
    if let Some(adopt) = &series.adopt {
        let mut zone = Vec::new();
        others::time_zone(entry, &format!("{at}/adopt/timeZone"), adopt.time_zone.as_deref(), &mut zone);
        if zone.is_empty()
            && let Err(message) = TimePattern::new(adopt)
        {
            let help = "write the names' form with strftime, as auto-%Y%m%d-%H%M";
            out.push(entry.fault(Code::WrongValue, &format!("{at}/adopt/pattern"), message).help(help));
        }
        out.append(&mut zone);
    }
    if series.state == Presence::Absent || !template_known {
        return None;
    }
    let mut missing = |field: &str, given: bool| {
        if !given {
            let where_to =
                if series.template.is_some() { "neither here nor in its template" } else { "and no template" };
            let message = format!("series `{name}` has no `{field}`, {where_to}");
            let fault = entry.fault(Code::MissingField, &format!("{at}/name"), message);
            out.push(fault.label(format!("`{field}` is required here")));
        }
    };
    missing("schedule", series.schedule.is_some() || template.is_some_and(|t| t.schedule.is_some()));
    missing("capture", series.capture.is_some() || template.is_some_and(|t| t.capture.is_some()));
    let prune = series.prune.or(template.and_then(|t| t.prune)).unwrap_or(false);
    if prune && series.retention.is_none() && template.is_none_or(|t| t.retention.is_none()) {
        let message = format!("series `{name}` has `prune: true` and no `retention`");
        let help = "say what is kept: `retention: {policyRef: ...}` or `retention: {spec: ...}`";
        out.push(entry.fault(Code::MissingField, &format!("{at}/prune"), message).help(help));
    }
    feeding::check(entry, at, (set, series), template, scope, out)
}

/// The template of a series, where it has one that could be read.
pub(super) fn template_of<'a>(set: &SnapshotSet, series: &Series, scope: &Scope<'a>) -> Option<&'a SeriesTemplate> {
    let name = series.template.as_deref()?;
    scope.by_name.get(&(Kind::SeriesTemplate, set.metadata.namespace.as_str(), name))?.template()
}

/// Checks a schedule at a pointer.
pub(super) fn check_schedule(entry: &Entry<'_>, at: &str, schedule: &Schedule, out: &mut Vec<Diagnostic>) {
    others::cron(entry, &format!("{at}/cron"), &schedule.cron, out);
    others::time_zone(entry, &format!("{at}/timeZone"), schedule.time_zone.as_deref(), out);
}

fn check_retention(
    entry: &Entry<'_>,
    at: &str,
    retention: &RetentionChoice,
    metadata: &Metadata,
    scope: &Scope<'_>,
    out: &mut Vec<Diagnostic>,
) {
    match (&retention.policy_ref, &retention.spec) {
        (Some(name), None) => {
            let reference = (Kind::RetentionPolicy, metadata, name.as_str());
            scope.resolve(entry, &format!("{at}/policyRef"), reference, out);
        }
        (None, Some(spec)) => others::retention_rules(entry, &format!("{at}/spec"), spec, out),
        (Some(_), Some(_)) => {
            let message = "`retention` has both `policyRef` and `spec`";
            out.push(entry.fault(Code::Contradiction, at, message).help("keep one of the two"));
        }
        (None, None) => {
            let message = "`retention` has neither `policyRef` nor `spec`";
            out.push(entry.fault(Code::MissingField, at, message).help("give one of the two"));
        }
    }
}

fn check_name_template(entry: &Entry<'_>, at: &str, template: &str, series: &str, out: &mut Vec<Diagnostic>) {
    let filled = fill(template, "set", series, SAMPLE_SLOT);
    let fault = if template.matches("{slot}").count() != 1 {
        Some("`nameTemplate` needs {slot}, once: every snapshot of a series has a name of its own".to_owned())
    } else if filled.contains(['{', '}']) {
        Some(format!("`nameTemplate` holds something else in braces: `{}`", shown(template)))
    } else {
        SnapshotName::parse(&filled).err().map(|error| format!("`nameTemplate`: {error}"))
    };
    if let Some(message) = fault {
        out.push(entry.fault(Code::WrongValue, at, message).help("filled in are {set}, {series} and {slot}"));
    }
}

/// The names a series gives its snapshots.
pub(super) enum NamePattern {
    /// Anything: the series adopts, or its template could not be read.
    Any,
    /// Text before and after the slot.
    Around(String, String),
}

/// The text before and after the slot in the names of a series; none where its template is not known.
fn names_of(set: &SnapshotSet, series: &Series, scope: &Scope<'_>) -> Option<(String, String)> {
    let template = template_of(set, series, scope);
    if series.template.is_some() && template.is_none() {
        return None;
    }
    let pattern = series.name_template.as_deref().or(template.and_then(|t| t.spec.name_template.as_deref()));
    let filled = fill(pattern.unwrap_or(DEFAULT_NAME_TEMPLATE), &set.metadata.name, &series.name, "\0");
    filled.split_once('\0').map(|(before, after)| (before.to_owned(), after.to_owned()))
}

impl NamePattern {
    pub(super) fn of(set: &SnapshotSet, series: &Series, scope: &Scope<'_>) -> Self {
        match names_of(set, series, scope).filter(|_| series.adopt.is_none()) {
            Some((before, after)) => Self::Around(before, after),
            None => Self::Any,
        }
    }

    pub(super) fn fits(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Around(before, after) => name
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .is_some_and(|slot| slot_of_name(slot).is_some()),
        }
    }
}
