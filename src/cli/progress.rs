//! Progress of an apply: bars on a terminal, plain lines elsewhere, log events with other log formats and in the agent.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Context;
use super::args::LogFormat;
use super::output::Output;
use crate::apply::Progress;
use crate::model::outcome::{ActionOutcome, ActionResult, DomainOutcome};
use crate::model::plan::{Action, ActionKind};
use crate::model::text::{bytes, printable};
use crate::report::text::millis;

/// How often a spinner turns: often enough to show life, rarely enough for a slow terminal.
const TICK: Duration = Duration::from_millis(120);

/// The progress that fits where stderr goes.
pub(super) fn choose(context: &Context, actions: usize) -> Box<dyn Progress> {
    let terminal = std::io::stderr().is_terminal() && context.global.verbose == 0;
    match context.global.log_format {
        LogFormat::Json | LogFormat::Journald => Box::new(Events),
        LogFormat::Text if terminal && actions > 0 => Box::new(Bars::new(actions)),
        LogFormat::Text => Box::new(Lines(context.output, Mutex::default())),
    }
}

/// `create kvm-017/web-1/golden`.
fn title(action: &Action) -> String {
    let verb = match action.action {
        ActionKind::Create => "create",
        ActionKind::Redefine => "redefine",
        ActionKind::SetCurrent => "set current",
        ActionKind::Delete => "delete",
        ActionKind::Revert => "revert to",
    };
    format!("{verb} {}", action.address)
}

/// How much of a merge is done, of ten.
fn tenths(done: u64, total: u64) -> u64 {
    (u128::from(done) * 10).checked_div(u128::from(total)).map_or(0, |tenth| tenth.min(10) as u64)
}

fn merged(done: u64, total: u64) -> String {
    format!("merged {} of {}", bytes(done), bytes(total))
}

fn result(outcome: &ActionOutcome) -> String {
    match outcome.result {
        ActionResult::Done => format!("done in {}", millis(outcome.millis)),
        ActionResult::Failed => "failed".to_owned(),
        ActionResult::Skipped => "not tried".to_owned(),
    }
}

/// Plain lines, as for a CI log.
struct Lines(Output, Mutex<HashMap<String, u64>>);

impl Progress for Lines {
    fn domain_started(&self, _: &str, _: &str, _: usize) {}

    fn action_started(&self, action: &Action) {
        self.0.note(&format!("{} ...\n", title(action)));
    }

    fn merged(&self, action: &Action, done: u64, total: u64) {
        // A line per tenth: a log that is read afterwards needs no more.
        let tenth = tenths(done, total);
        let mut told = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(title(action), tenth) != Some(tenth) {
            self.0.note(&format!("{}: {}\n", title(action), merged(done, total)));
        }
    }

    fn action_finished(&self, action: &Action, outcome: &ActionOutcome) {
        self.0.note(&format!("{}: {}\n", title(action), result(outcome)));
    }

    fn domain_finished(&self, _: &DomainOutcome) {}
}

/// Log events, for programs and for the agent.
pub(super) struct Events;

impl Progress for Events {
    fn domain_started(&self, host: &str, domain: &str, actions: usize) {
        tracing::info!(event = "domainStarted", host, domain, actions);
    }

    fn action_started(&self, action: &Action) {
        tracing::info!(event = "actionStarted", action = title(action));
    }

    fn merged(&self, action: &Action, done: u64, total: u64) {
        tracing::info!(event = "merged", action = title(action), done, total);
    }

    fn action_finished(&self, action: &Action, outcome: &ActionOutcome) {
        let result = format!("{:?}", outcome.result);
        let (action, millis, text) = (title(action), outcome.millis, &outcome.text);
        tracing::info!(event = "actionFinished", action, result, millis, text);
    }

    fn domain_finished(&self, outcome: &DomainOutcome) {
        let result = format!("{:?}", outcome.result);
        tracing::info!(event = "domainFinished", host = outcome.host, domain = outcome.domain, result);
    }
}

/// One bar over all actions, and a spinner for each domain at work.
struct Bars {
    screen: MultiProgress,
    all: ProgressBar,
    domains: Mutex<HashMap<(String, String), ProgressBar>>,
}

impl Bars {
    fn new(actions: usize) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let all = screen.add(ProgressBar::new(actions as u64));
        all.set_style(style("{bar:30} {pos}/{len} actions, {elapsed}"));
        all.tick();
        Self { screen, all, domains: Mutex::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<(String, String), ProgressBar>) -> T) -> T {
        work(&mut self.domains.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The templates are constants; a wrong one would show indicatif's default.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bars {
    fn domain_started(&self, host: &str, domain: &str, _: usize) {
        let spinner = self.screen.insert_before(&self.all, ProgressBar::new_spinner());
        spinner.set_style(style("{spinner} {msg}"));
        spinner.set_message(format!("{}/{}", printable(host), printable(domain)));
        spinner.enable_steady_tick(TICK);
        self.with(|domains| domains.insert((host.to_owned(), domain.to_owned()), spinner));
    }

    fn action_started(&self, action: &Action) {
        let key = (action.address.host.to_string(), action.address.domain.clone());
        self.with(|domains| domains.get(&key).map(|spinner| spinner.set_message(title(action))));
    }

    fn merged(&self, action: &Action, done: u64, total: u64) {
        let key = (action.address.host.to_string(), action.address.domain.clone());
        let tenth = usize::try_from(tenths(done, total)).unwrap_or(0);
        let bar = format!("{}{}", "#".repeat(tenth), "-".repeat(10 - tenth));
        let text = format!("{} [{bar}] {}", title(action), merged(done, total));
        self.with(|domains| domains.get(&key).map(|spinner| spinner.set_message(text)));
    }

    fn action_finished(&self, action: &Action, outcome: &ActionOutcome) {
        if outcome.result != ActionResult::Done {
            self.screen.suspend(|| tracing::debug!(action = title(action), text = outcome.text, "not done"));
        }
        self.all.inc(1);
    }

    fn domain_finished(&self, outcome: &DomainOutcome) {
        let key = (outcome.host.clone(), outcome.domain.clone());
        if let Some(spinner) = self.with(|domains| domains.remove(&key)) {
            spinner.finish_and_clear();
            self.screen.remove(&spinner);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.all.finish_and_clear();
    }
}
