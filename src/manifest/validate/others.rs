//! Policies, revert requests and inventories.

use std::collections::HashMap;

use super::{Entry, selectors, series};
use crate::manifest::diagnostic::{Code, Diagnostic};
use crate::manifest::tree::shown;
use crate::model::kinds::{Inventory, Keep, RetentionSpec, RevertRequest, SafetyPolicy};
use crate::retention;
use crate::schedule::Cron;

/// Checks retention rules at a pointer.
pub(super) fn retention_rules(entry: &Entry<'_>, at: &str, spec: &RetentionSpec, out: &mut Vec<Diagnostic>) {
    time_zone(entry, &format!("{at}/timeZone"), spec.time_zone.as_deref(), out);
    if spec.keep == Keep::default() {
        let message = "the policy keeps nothing: every count under `keep` is 0";
        let help =
            "give at least one, as `last: 3` or `within: 48h`; to delete a whole series, write `state: absent` on it";
        out.push(entry.fault(Code::Contradiction, &format!("{at}/keep"), message).help(help));
    }
    for (rule, finer) in retention::useless(&spec.keep) {
        let (name, finer) = (rule.name(), finer.name());
        let message = format!("`{name}` keeps nothing that `{finer}` does not keep already");
        let help = format!("leave it out, or give it a longer span than `{finer}`");
        out.push(entry.fault(Code::Contradiction, &format!("{at}/keep/{name}"), message).help(help));
    }
    if retention::ages_contradict(spec) {
        let message = "`maximumAge` is over before `minimumAge`: the rules under `keep` never have a say";
        out.push(entry.fault(Code::Contradiction, &format!("{at}/maximumAge"), message));
    }
}

/// Checks a safety policy.
pub(super) fn safety(entry: &Entry<'_>, policy: &SafetyPolicy, out: &mut Vec<Diagnostic>) {
    for (i, window) in policy.spec.windows.iter().enumerate() {
        let at = format!("/spec/windows/{i}");
        cron(entry, &format!("{at}/cron"), &window.cron, out);
        time_zone(entry, &format!("{at}/timeZone"), window.time_zone.as_deref(), out);
    }
}

/// Checks a revert request.
pub(super) fn revert(entry: &Entry<'_>, request: &RevertRequest, out: &mut Vec<Diagnostic>) {
    let spec = &request.spec;
    selectors::check_hosts(entry, "/spec/hosts", &spec.hosts, out);
    selectors::check_domains(entry, "/spec/domains", &spec.domains, out);
    if spec.hosts.include.is_empty() && spec.hosts.labels.is_empty() {
        let message = "`spec.hosts` chooses no host: a revert names the hosts it is for";
        let help = "give `include` or `labels`; `include: [\"*\"]` means every connected host";
        out.push(entry.fault(Code::MissingField, "/spec/hosts", message).help(help));
    }
    match (&spec.token, &spec.schedule) {
        (Some(_), Some(_)) => {
            let message = "a revert request has a token or a schedule, not both";
            out.push(
                entry
                    .key_fault(Code::Contradiction, "/spec/schedule", message)
                    .help("with a schedule, the slot is the token"),
            );
        }
        (None, None) => {
            let message = "a revert request needs a `token` or a `schedule`";
            let help = "a token is any text; each new one is one new revert, as token: \"2026-11-23-reset\"";
            out.push(entry.key_fault(Code::MissingField, "/spec", message).help(help));
        }
        (Some(token), None) => {
            // It is written on the snapshot, in one line, before a `;`.
            if token.trim().is_empty() || token.contains([';', '\n', '\r']) {
                let message = "a token is one line of text without `;`";
                out.push(entry.fault(Code::WrongValue, "/spec/token", message));
            }
            if spec.expires_at.is_none() {
                let message = "a revert request with a token needs `expiresAt`";
                let help =
                    "after it the request is void: a host that was off for a month must not revert when it is back";
                out.push(entry.fault(Code::MissingField, "/spec/token", message).help(help));
            }
        }
        (None, Some(schedule)) => {
            series::check_schedule(entry, "/spec/schedule", schedule, out);
            if schedule.starting_deadline.is_none() {
                let message = "a revert request with a schedule needs `startingDeadline`";
                let help = "how late a slot's revert may still be done, as 15m: without it, a request that is committed at noon \
                            would revert for last night's slot at once";
                out.push(entry.fault(Code::MissingField, "/spec/schedule", message).help(help));
            }
        }
    }
}

/// Checks an inventory.
pub(super) fn inventory(entry: &Entry<'_>, inventory: &Inventory, out: &mut Vec<Diagnostic>) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (i, host) in inventory.spec.hosts.iter().enumerate() {
        let at = format!("/spec/hosts/{i}");
        for (field, value) in [("name", &host.name), ("uri", &host.uri)] {
            if value.trim().is_empty() {
                let message = format!("a host's `{field}` must not be empty");
                out.push(entry.fault(Code::WrongValue, &format!("{at}/{field}"), message));
            }
        }
        if let Some(other) = first.insert(&host.name, i) {
            let place = format!("/spec/hosts/{other}/name");
            let message = format!("host `{}` is listed twice, first at {}", shown(&host.name), entry.place(&place));
            out.push(
                entry.fault(Code::DuplicateName, &format!("{at}/name"), message).label("listed again here").related(
                    entry.text,
                    &entry.range(&place),
                    "listed first here",
                ),
            );
        }
    }
}

/// Checks an IANA time zone, by the database that snapward carries.
pub(super) fn time_zone(entry: &Entry<'_>, at: &str, name: Option<&str>, out: &mut Vec<Diagnostic>) {
    let Some(name) = name else { return };
    if jiff::tz::db().get(name).is_err() {
        let message = format!("`{}` is not a time zone", shown(name));
        out.push(entry.fault(Code::WrongValue, at, message).help("write an IANA name, as Europe/Prague or UTC"));
    }
}

/// Checks a cron expression: its fields, and that it ever fires.
pub(super) fn cron(entry: &Entry<'_>, at: &str, cron: &str, out: &mut Vec<Diagnostic>) {
    if let Err(error) = Cron::parse(cron) {
        out.push(entry.fault(Code::WrongValue, at, error.text).help(error.help));
    }
}
