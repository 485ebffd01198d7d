//! The exit codes: one enum, and how plan, outcome and status become one of them.

use std::process::ExitCode;

use crate::model::outcome::{DomainResult, Outcome};
use crate::model::plan::Plan;
use crate::model::status::Status;

/// How a run ended. `snapward --help` lists the codes; they are part of the contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// 0: done, or nothing to do.
    Done,
    /// 1: failed, nothing was done.
    Failed,
    /// 2: actions are pending (`plan --detailed-exitcode`).
    Pending,
    /// 3: something needs a person: blocked, or not all Ready.
    NeedsPerson,
    /// 4: every planned domain changed between plan and apply.
    Stale,
    /// 5: some actions failed, some domains were stale, or some host or domain could not be read.
    Partly,
    /// 6: another run holds a domain.
    Locked,
    /// 64: the command line makes no sense (`EX_USAGE`).
    Usage,
    /// 65: a manifest has an error (`EX_DATAERR`).
    BadManifest,
    /// 130: interrupted, as a shell reports SIGINT.
    Interrupted,
}

impl Exit {
    /// Which code wins where several apply. 64 meets none of them: it ends a run before it starts.
    const PRECEDENCE: [Self; 10] = [
        Self::Usage,
        Self::Interrupted,
        Self::BadManifest,
        Self::Failed,
        Self::Partly,
        Self::Stale,
        Self::Locked,
        Self::NeedsPerson,
        Self::Pending,
        Self::Done,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Pending => 2,
            Self::NeedsPerson => 3,
            Self::Stale => 4,
            Self::Partly => 5,
            Self::Locked => 6,
            Self::Usage => 64,
            Self::BadManifest => 65,
            Self::Interrupted => 130,
        }
    }

    /// The one that wins of those that apply; [`Exit::Done`] where none does.
    pub fn foremost(applying: &[Self]) -> Self {
        Self::PRECEDENCE.into_iter().find(|exit| applying.contains(exit)).unwrap_or(Self::Done)
    }

    /// How a plan ends that could read at least one host. With `detailed`, pending actions go before blocked items:
    /// who asks for the code wants to know whether to apply.
    pub fn of_plan(plan: &Plan, detailed: bool) -> Self {
        if !plan.unreadable.is_empty() {
            Self::Partly
        } else if detailed && plan.summary.has_changes {
            Self::Pending
        } else if detailed && !plan.blocked.is_empty() {
            Self::NeedsPerson
        } else {
            Self::Done
        }
    }

    /// How an apply ends that could read at least one host.
    pub fn of_outcome(outcome: &Outcome) -> Self {
        let summary = &outcome.summary;
        let too_late = |result| matches!(result, DomainResult::Stale | DomainResult::WindowClosed);
        let stale = outcome.domains.iter().filter(|domain| too_late(domain.result)).count();
        let mut applying = Vec::new();
        if summary.interrupted {
            applying.push(Self::Interrupted);
        }
        if summary.failed_domains > 0 {
            applying.push(if summary.done == 0 { Self::Failed } else { Self::Partly });
        }
        if stale > 0 {
            applying.push(if stale == outcome.domains.len() && summary.done == 0 { Self::Stale } else { Self::Partly });
        }
        if !outcome.unreadable.is_empty() {
            applying.push(Self::Partly);
        }
        if summary.locked_domains > 0 {
            applying.push(Self::Locked);
        }
        if !outcome.blocked.is_empty() {
            applying.push(Self::NeedsPerson);
        }
        Self::foremost(&applying)
    }

    /// How a status ends that could read at least one host.
    pub fn of_status(status: &Status) -> Self {
        if !status.unreadable.is_empty() {
            Self::Partly
        } else if status.summary.all_ready {
            Self::Done
        } else {
            Self::NeedsPerson
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::{DomainOutcome, OutcomeSummary};
    use crate::report::samples;

    #[test]
    fn precedence_is_the_contracts() {
        let order = [130, 65, 1, 5, 4, 6, 3, 2, 0];
        let exits: Vec<Exit> =
            order.iter().map(|code| *Exit::PRECEDENCE.iter().find(|e| e.code() == *code).expect("a code")).collect();
        for (place, exit) in exits.iter().enumerate() {
            let mut weaker = exits[place..].to_vec();
            assert_eq!(Exit::foremost(&weaker), *exit);
            weaker.reverse();
            assert_eq!(Exit::foremost(&weaker), *exit);
        }
        for (place, winner) in exits.iter().enumerate() {
            for loser in &exits[place..] {
                assert_eq!(Exit::foremost(&[*winner, *loser]), *winner);
                assert_eq!(Exit::foremost(&[*loser, *winner]), *winner);
            }
        }
        assert_eq!(Exit::foremost(&[]), Exit::Done);
    }

    #[test]
    fn a_plan_says_pending_before_blocked_and_only_when_asked() {
        let mut plan = samples::create();
        plan.blocked = samples::blocked().blocked;
        assert_eq!(Exit::of_plan(&plan, true), Exit::Pending);
        assert_eq!(Exit::of_plan(&plan, false), Exit::Done);
        assert_eq!(Exit::of_plan(&samples::blocked(), true), Exit::NeedsPerson);
        assert_eq!(Exit::of_plan(&samples::blocked(), false), Exit::Done);
        assert_eq!(Exit::of_plan(&samples::nothing(), true), Exit::Done);
        assert_eq!(Exit::of_plan(&samples::unreadable(), true), Exit::Partly);
        assert_eq!(Exit::of_plan(&samples::unreadable(), false), Exit::Partly);
    }

    fn outcome(summary: OutcomeSummary, results: &[DomainResult]) -> Outcome {
        let domains = results
            .iter()
            .map(|result| DomainOutcome {
                host: "kvm".to_owned(),
                domain: "web".to_owned(),
                result: *result,
                text: String::new(),
                actions: Vec::new(),
            })
            .collect();
        Outcome { summary, domains, blocked: Vec::new(), unreadable: Vec::new(), ..samples::outcome() }
    }

    #[test]
    fn an_outcome_says_the_worst_of_what_happened() {
        use DomainResult::{Done, Failed, Locked, Stale, WindowClosed};
        let none = OutcomeSummary::default();
        let of = |summary, results: &[DomainResult]| Exit::of_outcome(&outcome(summary, results));
        assert_eq!(of(none, &[]), Exit::Done);
        assert_eq!(of(OutcomeSummary { done: 2, ..none }, &[Done]), Exit::Done);
        assert_eq!(of(OutcomeSummary { failed_domains: 1, ..none }, &[Failed]), Exit::Failed);
        assert_eq!(of(OutcomeSummary { done: 1, failed_domains: 1, ..none }, &[Done, Failed]), Exit::Partly);
        assert_eq!(of(OutcomeSummary { stale_domains: 2, ..none }, &[Stale, Stale]), Exit::Stale);
        assert_eq!(of(OutcomeSummary { done: 1, stale_domains: 1, ..none }, &[Stale, Done]), Exit::Partly);
        assert_eq!(of(none, &[Stale, WindowClosed]), Exit::Stale);
        assert_eq!(of(OutcomeSummary { done: 1, ..none }, &[WindowClosed]), Exit::Partly, "something was done");
        let locked = OutcomeSummary { locked_domains: 1, ..none };
        assert_eq!(of(locked, &[Locked]), Exit::Locked);
        assert_eq!(of(OutcomeSummary { stale_domains: 1, ..locked }, &[Locked, Stale]), Exit::Partly);
        assert_eq!(of(OutcomeSummary { interrupted: true, failed_domains: 1, ..none }, &[Failed]), Exit::Interrupted);
        let mut blocked = outcome(OutcomeSummary { done: 1, ..none }, &[Done]);
        blocked.blocked = samples::blocked().blocked;
        assert_eq!(Exit::of_outcome(&blocked), Exit::NeedsPerson);
        blocked.unreadable = samples::unreadable().unreadable;
        assert_eq!(Exit::of_outcome(&blocked), Exit::Partly);
    }

    #[test]
    fn a_status_is_done_only_when_all_is_ready_and_read() {
        let mut status = samples::status();
        assert_eq!(Exit::of_status(&status), Exit::Partly);
        status.unreadable.clear();
        assert_eq!(Exit::of_status(&status), Exit::NeedsPerson);
        status.summary.all_ready = true;
        assert_eq!(Exit::of_status(&status), Exit::Done);
    }
}
