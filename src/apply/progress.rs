//! What a run tells while it works.

use crate::model::outcome::{ActionOutcome, DomainOutcome};
use crate::model::plan::Action;

/// Told of each step, from several threads at once.
pub trait Progress: Sync {
    /// A domain is locked and its actions begin.
    fn domain_started(&self, host: &str, domain: &str, actions: usize);
    /// An action begins.
    fn action_started(&self, action: &Action);
    /// A deletion merges images: bytes done, and bytes in all as far as is known yet.
    fn merged(&self, action: &Action, done: u64, total: u64);
    /// An action ended.
    fn action_finished(&self, action: &Action, outcome: &ActionOutcome);
    /// A domain is finished, or was not begun.
    fn domain_finished(&self, outcome: &DomainOutcome);
}

impl Progress for () {
    fn domain_started(&self, _: &str, _: &str, _: usize) {}
    fn action_started(&self, _: &Action) {}
    fn merged(&self, _: &Action, _: u64, _: u64) {}
    fn action_finished(&self, _: &Action, _: &ActionOutcome) {}
    fn domain_finished(&self, _: &DomainOutcome) {}
}
