//! The algorithm a second time, slowly and from its definition: texts for buckets, sets for lists, nothing shared with the
//! first but the types. It also looks every reason over.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::generated::set_count;
use crate::model::kinds::{Prefer, RetentionSpec, TimeSpan};
use crate::retention::{Candidate, Change, Context, Decision, Period, Reach, Reason, Rule, SetAside};

/// What a second look finds.
pub(super) struct Oracle<'a> {
    list: &'a [Candidate],
    spec: &'a RetentionSpec,
    context: Context<'a>,
    /// By candidate and period: its bucket, as text.
    keys: Rc<Vec<[String; 7]>>,
    /// Those that the guards look at, newest first.
    in_play: Vec<usize>,
    /// Those that the rules look at, newest first.
    ruled: Vec<usize>,
    /// By rule, in their order: what it keeps, each with its number.
    picks: Vec<(Rule, BTreeMap<usize, u32>)>,
    oldest: Option<usize>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(list: &'a [Candidate], spec: &'a RetentionSpec, context: Context<'a>) -> Self {
        let zone = TimeZone::get(spec.time_zone.as_deref().unwrap_or("UTC")).unwrap();
        let local = |candidate: &Candidate| candidate.slot.to_zoned(zone.clone());
        let keys =
            list.iter().enumerate().map(|(i, candidate)| Period::ALL.map(|period| key(period, i, &local(candidate))));
        Self::with_keys(list, spec, context, Rc::new(keys.collect()))
    }

    fn with_keys(
        list: &'a [Candidate],
        spec: &'a RetentionSpec,
        context: Context<'a>,
        keys: Rc<Vec<[String; 7]>>,
    ) -> Self {
        let (in_play, ruled) = (Vec::new(), Vec::new());
        let mut oracle = Self { list, spec, context, keys, in_play, ruled, picks: Vec::new(), oldest: None };
        oracle.in_play = oracle.sorted();
        let old = |i: &usize| spec.maximum_age.as_ref().is_some_and(|age| !oracle.younger(list[*i].created, age));
        oracle.ruled = oracle.in_play.iter().copied().filter(|i| !old(i)).collect();
        for period in Period::ALL {
            for rule in [Rule::count(period), Rule::span(period)] {
                let picks = oracle.picked_by(rule);
                oracle.picks.push((rule, picks));
            }
        }
        oracle.oldest = oracle.filling();
        oracle
    }

    fn younger(&self, created: Timestamp, span: &TimeSpan) -> bool {
        span.after(created).is_none_or(|expiry| expiry > self.context.now)
    }

    fn sane(&self, i: usize) -> bool {
        let latest = self.context.max_future.after(self.context.now).unwrap();
        self.list[i].slot <= latest && self.list[i].created <= latest
    }

    fn sorted(&self) -> Vec<usize> {
        let mut all: Vec<usize> =
            (0..self.list.len()).filter(|&i| self.sane(i) && self.list[i].set_aside.is_none()).collect();
        all.sort_by_key(|&i| self.place(i));
        all
    }

    /// Greater is older.
    fn place(&self, i: usize) -> (std::cmp::Reverse<(Timestamp, Timestamp)>, String) {
        let c = &self.list[i];
        (std::cmp::Reverse((c.slot, c.created)), c.name.as_str().to_owned())
    }

    fn key(&self, period: Period, i: usize) -> &str {
        &self.keys[i][period as usize]
    }

    /// The members of each bucket, newest first, and the buckets by their newest member.
    fn buckets(&self, period: Period) -> Vec<Vec<usize>> {
        let mut by_key: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &i in &self.ruled {
            by_key.entry(self.key(period, i)).or_default().push(i);
        }
        let mut buckets: Vec<_> = by_key.into_values().collect();
        buckets.sort_by_key(|members| self.place(members[0]));
        buckets
    }

    fn kept_before(&self, rule: Rule) -> BTreeSet<usize> {
        let earlier = self.picks.iter().filter(|(earlier, _)| *earlier < rule);
        earlier.flat_map(|(_, picks)| picks.keys().copied()).collect()
    }

    fn count_of(&self, rule: Rule) -> u32 {
        if rule.reach == Reach::Count { self.spec.keep.count(rule.period) } else { 0 }
    }

    fn picked_by(&self, rule: Rule) -> BTreeMap<usize, u32> {
        let kept = self.kept_before(rule);
        let free = self.buckets(rule.period).into_iter().filter(|members| members.iter().all(|i| !kept.contains(i)));
        let eligible = |i: &usize| match rule.reach {
            Reach::Count => true,
            Reach::Span => {
                self.spec.keep.span(rule.period).is_some_and(|span| self.younger(self.list[*i].created, span))
            }
        };
        let picks = free.filter_map(|members| match self.spec.prefer {
            Prefer::Newest => members.into_iter().find(eligible),
            Prefer::Oldest => members.into_iter().rfind(eligible),
        });
        let limit = match rule.reach {
            Reach::Count => self.count_of(rule) as usize,
            Reach::Span => usize::MAX,
        };
        picks.take(limit).zip(1..).collect()
    }

    fn filling(&self) -> Option<usize> {
        let coarsest = Period::ALL.into_iter().rfind(|period| self.spec.keep.count(*period) > 0)?;
        let (_, picks) = self.picks.iter().find(|(rule, _)| *rule == Rule::count(coarsest))?;
        let short = picks.len() < self.spec.keep.count(coarsest) as usize;
        let last = *self.ruled.last()?;
        (self.spec.fill_oldest && short && !self.by_rules().contains(&last)).then_some(last)
    }

    fn by_rules(&self) -> BTreeSet<usize> {
        self.picks.iter().flat_map(|(_, picks)| picks.keys().copied()).collect()
    }

    /// The newest complete ones that are enough.
    fn enough(&self) -> Vec<usize> {
        let complete = self.in_play.iter().copied().filter(|&i| self.list[i].complete);
        complete.take(self.spec.minimum_count as usize).collect()
    }

    /// The codes of all reasons to keep one.
    pub(super) fn keeps(&self, i: usize) -> BTreeSet<&'static str> {
        let mut codes = BTreeSet::new();
        for (rule, picks) in &self.picks {
            if picks.contains_key(&i) {
                codes.insert(rule.name());
            }
        }
        let young =
            |i: usize| self.spec.minimum_age.as_ref().is_some_and(|age| self.younger(self.list[i].created, age));
        let in_play = self.in_play.contains(&i);
        for (code, holds) in [
            ("oldest", self.oldest == Some(i)),
            ("newest", self.in_play.first() == Some(&i)),
            ("current", self.list[i].current),
            ("held", matches!(self.list[i].set_aside, Some(SetAside::Held(_)))),
            ("protected", self.list[i].set_aside == Some(SetAside::Protected)),
            ("clock", !self.sane(i)),
            ("minimumAge", in_play && young(i)),
            ("minimumCount", self.enough().contains(&i)),
        ] {
            if holds {
                codes.insert(code);
            }
        }
        codes
    }

    /// Looks over all that was decided on one.
    pub(super) fn check(&self, i: usize, decision: &Decision) {
        let keeps = self.keeps(i);
        assert_eq!(decision.keep, !keeps.is_empty(), "{i} {decision:?} {keeps:?}");
        assert!(!decision.reasons.is_empty(), "{i} has no reason");
        if decision.keep {
            let said: BTreeSet<_> = decision.reasons.iter().map(|reason| reason.code().as_str()).collect();
            assert_eq!(said, keeps, "{i} {decision:?}");
            assert_eq!(said.len(), decision.reasons.len(), "twice: {decision:?}");
            assert_eq!(decision.saved_by, None);
        } else {
            assert_eq!(decision.reasons.len(), 1, "{decision:?}");
        }
        for reason in &decision.reasons {
            self.check_reason(i, reason);
        }
        // One in five: each takes two more oracles.
        if let (Some(Change::Count { period, to }), 0) = (decision.saved_by, i % 5) {
            self.check_raise(i, period, to);
        }
    }

    fn check_reason(&self, i: usize, reason: &Reason) {
        match reason {
            Reason::Rule { rule, bucket, ordinal } => {
                let (_, picks) = self.picks.iter().find(|(r, _)| r == rule).unwrap();
                // `within` counts what it adds, bucket or not.
                assert_eq!(picks[&i], *ordinal, "{reason:?}");
                if rule.period != Period::Each {
                    assert_eq!(bucket.to_string(), self.key(rule.period, i));
                }
            }
            Reason::Oldest { period, counted } => {
                let (_, picks) = self.picks.iter().find(|(r, _)| *r == Rule::count(*period)).unwrap();
                assert!(picks.len() == *counted as usize && *counted < self.spec.keep.count(*period));
            }
            Reason::MinimumAge(until) => {
                assert_eq!(*until, self.spec.minimum_age.as_ref().unwrap().after(self.list[i].created));
            }
            Reason::MinimumCount(ordinal) => assert_eq!(self.enough()[*ordinal as usize - 1], i),
            Reason::Clock(at) => assert_eq!(*at, self.list[i].slot.max(self.list[i].created)),
            Reason::Superseded { rule, bucket, by } => {
                assert!(self.by_rules().contains(by), "{by} stands for a bucket and is not kept");
                assert_eq!(self.key(rule.period, *by), self.key(rule.period, i));
                assert_eq!(bucket.to_string(), self.key(rule.period, i));
                assert!(self.reached(*rule, i), "{rule:?} does not reach {i}");
                assert!(self.active().filter(|finer| finer < rule).all(|finer| !self.reached(finer, i)));
            }
            Reason::Beyond => assert!(self.active().all(|rule| !self.reached(rule, i))),
            Reason::MaximumAge => assert!(!self.ruled.contains(&i)),
            Reason::Newest | Reason::Current | Reason::Held | Reason::Protected => {}
        }
    }

    fn active(&self) -> impl Iterator<Item = Rule> + '_ {
        self.spec.keep.rules()
    }

    /// Whether a rule comes to the bucket of one, before its count is full; a span: whether it is younger.
    fn reached(&self, rule: Rule, i: usize) -> bool {
        if rule.reach == Reach::Span {
            return self.spec.keep.span(rule.period).is_some_and(|span| self.younger(self.list[i].created, span));
        }
        let kept = self.kept_before(rule);
        let newer = self.buckets(rule.period).into_iter().take_while(|members| !members.contains(&i));
        let counted = newer.filter(|members| members.iter().all(|member| !kept.contains(member))).count();
        counted < self.count_of(rule) as usize
    }

    /// With the raise the rule keeps it, with one less it does not.
    fn check_raise(&self, i: usize, period: Period, to: u32) {
        let mut spec = self.spec.clone();
        assert!(to > spec.keep.count(period));
        for (count, keeps) in [(to, true), (to - 1, false)] {
            set_count(&mut spec.keep, period, count);
            let other = Oracle::with_keys(self.list, &spec, self.context, Rc::clone(&self.keys));
            assert_eq!(other.keeps(i).contains(Rule::count(period).name()), keeps, "{period:?} {count}");
        }
    }
}

fn key(period: Period, i: usize, local: &Zoned) -> String {
    match period {
        Period::Each => format!("{i}"),
        Period::Hour => local.strftime("%Y-%m-%d %H:00%:z").to_string(),
        Period::Day => local.strftime("%Y-%m-%d").to_string(),
        Period::Week => local.strftime("%G-W%V").to_string(),
        Period::Month => local.strftime("%Y-%m").to_string(),
        Period::Quarter => format!("{}-Q{}", local.year(), (local.month() + 2) / 3),
        Period::Year => local.strftime("%Y").to_string(),
    }
}
