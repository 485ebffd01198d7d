//! What snapward promises, held against what a pass did. Nothing here knows how the planner comes to its actions.

mod files;

use std::collections::{BTreeMap, BTreeSet};

use snapward::model::names::SnapshotName;
use snapward::model::outcome::{ActionOutcome, ActionResult, DomainResult, Outcome};
use snapward::model::plan::{Action, ActionKind, Plan, ReasonCode};
use snapward::model::revert::GUARD_SERIES;
use snapward::model::stamp::{Description, Stamp};

use super::model::{Domain, Pages, Part, Record, World};
use super::wish::{Series, Set, Wish, chooses};

/// One pass: what was asked for, what was planned, and the world before and after it.
pub(crate) struct Pass<'a> {
    pub(crate) wish: &'a Wish,
    pub(crate) plan: &'a Plan,
    pub(crate) outcome: &'a Outcome,
    pub(crate) before: &'a World,
    pub(crate) after: &'a World,
    /// Other hands were at work in the middle of it.
    pub(crate) meddled: bool,
}

/// A promise that was broken, in words.
type Kept = Result<(), String>;

fn broken(what: impl Into<String>) -> Kept {
    Err(what.into())
}

fn own_stamp(record: &Record) -> Option<Stamp> {
    Description::parse(&record.description).stamp.filter(|stamp| stamp.snapshot == record.name)
}

/// The most images with which a domain starts below libvirt 12 (case Z), less the one that a revert adds.
const HARD_LIMIT: usize = 24;

impl Pass<'_> {
    /// Whether a domain is worked on without a look at another one: who says that chains which cannot be read are trusted says
    /// so of a neighbour that cannot be asked.
    fn trusts(&self, domain: &str, other: &str) -> bool {
        other != domain && self.wish.limits(domain).trust && self.before.domains[other].unreadable
    }

    /// Holds every promise against the pass.
    pub(crate) fn check(&self) -> Kept {
        if let Some(crash) = &self.after.crashed {
            return broken(format!("the driver died of {crash}"));
        }
        self.every_action_is_accepted()?;
        for (name, domain) in &self.before.domains {
            let actions: Vec<&Action> =
                self.plan.actions.iter().filter(|action| action.address.domain == *name).collect();
            let here = Here { pass: self, name, domain, actions };
            here.check().map_err(|what| format!("{name}: {what}"))?;
        }
        self.limits_of_the_host()?;
        self.no_file_of_nobody_goes()?;
        self.what_nobody_names_stays()?;
        self.nobody_meets_on_an_image()
    }

    /// libvirt refuses nothing: what it would refuse is seen before.
    fn every_action_is_accepted(&self) -> Kept {
        if self.meddled {
            return Ok(());
        }
        for done in &self.outcome.domains {
            let fails = done.actions.iter().find(|action| action.result == ActionResult::Failed);
            match fails {
                Some(fails) if !self.nobody_could_know(&done.domain, fails) => {
                    return broken(format!("{} {}: {}", done.domain, fails.address, fails.text));
                }
                None if done.result != DomainResult::Done => return broken(format!("{}: {}", done.domain, done.text)),
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// QEMU has given its images up since a capture of its memory, which libvirt does not tell: a second capture of the
    /// memory of the same paused guest fails, and nothing changes. Nor can be seen in an image that may not be read whether
    /// it holds a snapshot of the name, and what it stands on. And where other hands doubled a name in an image, one of the two
    /// stays behind, which apply finds and tells.
    fn nobody_could_know(&self, name_of: &str, fails: &ActionOutcome) -> bool {
        let domain = &self.after.domains[name_of];
        let storage = &self.before.storage;
        let images = || domain.definition.disks.iter().filter_map(|disk| disk.source.as_ref());
        let unread = |path: &String| {
            let below = |path: &String| storage.get(path)?.backing.clone();
            let mut chain = std::iter::successors(Some(path.clone()), below).take(200);
            chain.any(|image| storage.forbidden.contains(&image))
        };
        match fails.action {
            ActionKind::Create => domain.images_wait.is_some() || images().any(unread),
            ActionKind::Delete => {
                let told = domain.snapshots.values().any(|record| matches!(record.memory, Part::File(_)));
                let name = fails.address.snapshot.as_ref().map(SnapshotName::as_str);
                let doubled = |path: &String| {
                    let tags = storage.get(path).into_iter().flat_map(|image| &image.tags);
                    tags.filter(|tag| Some(tag.name.as_str()) == name).count() > 1
                };
                // Only where that is allowed is an external one deleted from a chain that cannot be read.
                let blindly = !domain.snapshots.values().any(Record::is_external) || self.wish.limits(name_of).trust;
                domain.images_wait.is_some() && !told || images().any(doubled) || blindly && images().any(unread)
            }
            _ => false,
        }
    }

    /// The breaker, over all domains of the host.
    fn limits_of_the_host(&self) -> Kept {
        let total = self.plan.actions.iter().filter(|action| is_by_age(action)).count();
        let limit = self.before.domains.keys().map(|name| self.wish.limits(name).per_host).min().unwrap_or(50);
        match total > limit {
            true => broken(format!("{total} deletions by age on the host, and {limit} are allowed")),
            false => Ok(()),
        }
    }

    /// A file that is gone was named by the domain in which something was deleted or reverted, and by no other.
    fn no_file_of_nobody_goes(&self) -> Kept {
        if self.meddled {
            return Ok(());
        }
        let gone: Vec<_> =
            self.before.storage.files.keys().filter(|path| !self.after.storage.files.contains_key(*path)).collect();
        for path in gone {
            let told = self.plan.actions.iter().filter_map(|action| action.after.as_ref()).any(|after| {
                let merged = after.merges.iter().flatten().any(|merge| self.before.storage.same(&merge.from, path));
                merged || after.removes.iter().flatten().any(|removed| self.before.storage.same(removed, path))
            });
            if !told {
                return broken(format!("{path} is gone, which no action said"));
            }
        }
        Ok(())
    }
}

fn is_by_age(action: &Action) -> bool {
    let codes = [ReasonCode::Expired, ReasonCode::Retention, ReasonCode::Drained, ReasonCode::Guard];
    action.action == ActionKind::Delete && codes.contains(&action.reason.code)
}

/// One domain of a pass.
struct Here<'a> {
    pass: &'a Pass<'a>,
    name: &'a str,
    /// As it was.
    domain: &'a Domain,
    actions: Vec<&'a Action>,
}

type Held = BTreeMap<String, Result<Pages, String>>;

/// Whether everything that could be read before is read the same.
fn same(before: &Held, after: &Held) -> bool {
    before.iter().all(|(target, held)| held.is_err() || after.get(target) == Some(held))
}

impl Here<'_> {
    fn check(&self) -> Kept {
        self.others_stay()?;
        self.snapshots_stay()?;
        self.disks_stay()?;
        self.nothing_else_comes()?;
        self.captures_hold_what_was_there()?;
        self.nothing_is_made_twice()?;
        self.records_fit_the_disks()?;
        self.deletions_have_reasons()?;
        self.limits_hold()?;
        self.captures_have_room()?;
        self.kinds_do_not_meet()?;
        self.suspended_rests()
    }

    fn of_kind(&self, kind: ActionKind) -> impl Iterator<Item = &Action> {
        self.actions.iter().copied().filter(move |action| action.action == kind)
    }

    fn named(&self, kind: ActionKind) -> BTreeSet<&SnapshotName> {
        self.of_kind(kind).filter_map(|action| action.address.snapshot.as_ref()).collect()
    }

    /// What is done, or was left undone after a failure, is not known to the reader of the outcome alone: the world tells.
    fn after(&self) -> &Domain {
        &self.pass.after.domains[self.name]
    }

    fn is_chosen(&self) -> bool {
        let by_request = self.pass.wish.reverts.iter().any(|revert| chooses(revert.domains, self.name));
        by_request || !self.pass.wish.sets_of(self.name).is_empty()
    }

    /// A domain that no manifest chooses is as it was.
    fn others_stay(&self) -> Kept {
        let chosen = self.is_chosen() || self.pass.meddled;
        match chosen || (self.actions.is_empty() && *self.after() == *self.domain) {
            true => Ok(()),
            false => broken("no manifest chooses it, and it changed"),
        }
    }

    /// Every snapshot is there, as it was and with what it held, but for those whose deletion was planned.
    fn snapshots_stay(&self) -> Kept {
        let deletes = self.named(ActionKind::Delete);
        for (name, record) in &self.domain.snapshots {
            let Some(now) = self.after().snapshots.get(name) else {
                match deletes.contains(name) || self.pass.meddled {
                    true => continue,
                    false => return broken(format!("{name} is gone, and no deletion was planned")),
                }
            };
            if self.pass.meddled && now.created != record.created {
                continue;
            }
            let (then, held) = (self.pass.before.held(self.name, name), self.pass.after.held(self.name, name));
            // Deleted by other hands between the reading of its record and the sending of it: libvirt lists it again.
            let deleted_meanwhile = self.pass.meddled && held.values().any(Result::is_err);
            if !same(&then, &held) && !deleted_meanwhile {
                return broken(format!("{name} held {then:?} and holds {held:?}"));
            }
            let whole = |world: &World| world.is_whole(self.name, name);
            if whole(self.pass.before) && !whole(self.pass.after) && !self.pass.meddled {
                return broken(format!("{name} needs files that are gone"));
            }
            if now.created != record.created {
                return broken(format!("{name} is another snapshot"));
            }
            if !self.is_managed(record) && now.description != record.description && !self.pass.meddled {
                return broken(format!("{name} is nobody's, and its description changed"));
            }
        }
        Ok(())
    }

    /// Whether a set may write on the snapshot: it made it, or is told to adopt it, or reverts to it.
    fn is_managed(&self, record: &Record) -> bool {
        let stamp = own_stamp(record);
        let sets = self.pass.wish.sets_of(self.name);
        let of_set = |set: &&&Set| stamp.as_ref().is_some_and(|stamp| stamp.set.name == set.name);
        let adopted = sets
            .iter()
            .flat_map(|set| &set.snapshots)
            .any(|snapshot| snapshot.name == record.name.as_str() && snapshot.adopt && !snapshot.absent);
        let reverted = self.named(ActionKind::Revert).contains(&record.name);
        sets.iter().find(of_set).is_some() || adopted || reverted
    }

    /// The disks hold what they held; after a revert, what its target held.
    fn disks_stay(&self) -> Kept {
        let now = self.pass.after.disks(self.name);
        let reverted = self.named(ActionKind::Revert).into_iter().next();
        let done = self.pass.outcome.domains.iter().flat_map(|domain| &domain.actions).any(|action| {
            action.action == ActionKind::Revert
                && action.address.domain == self.name
                && action.result == ActionResult::Done
        });
        let then = match reverted.filter(|_| done) {
            Some(target) => self.pass.before.held(self.name, target),
            None => self.pass.before.disks(self.name),
        };
        let trusted = self.pass.before.domains.keys().any(|other| self.pass.trusts(other, self.name));
        if self.pass.meddled || trusted || same(&then, &now) {
            return Ok(());
        }
        broken(format!("its disks held {then:?} and hold {now:?}"))
    }

    /// No snapshot comes but those that were to be captured.
    fn nothing_else_comes(&self) -> Kept {
        let creates = self.named(ActionKind::Create);
        let new = self.after().snapshots.keys().filter(|name| !self.domain.snapshots.contains_key(*name));
        match new.into_iter().find(|name| !creates.contains(name)) {
            Some(name) if !self.pass.meddled => broken(format!("{name} came from nowhere")),
            _ => Ok(()),
        }
    }

    fn deletions_have_reasons(&self) -> Kept {
        for action in self.of_kind(ActionKind::Delete) {
            let name = action.address.snapshot.as_ref().ok_or("a deletion of nothing")?;
            let record = self.domain.snapshots.get(name).ok_or_else(|| format!("{name} is not there to be deleted"))?;
            self.reason_is_true(action.reason.code, record).map_err(|what| {
                format!("{name} is deleted ({:?}, {}), and {what}", action.reason.code, action.reason.text)
            })?;
        }
        Ok(())
    }

    /// Whether a deletion's reason is one: by the manifest, by the clock, by the stamp.
    fn reason_is_true(&self, code: ReasonCode, record: &Record) -> Kept {
        let Some(stamp) = own_stamp(record) else { return broken("it is not snapward's") };
        if stamp.protect {
            return broken("it is protected");
        }
        let now = self.pass.before.now;
        let hand_held = stamp
            .hold_by_hand
            .as_ref()
            .is_some_and(|hold| hold.lasts(jiff::Timestamp::from_second(now).expect("a year of ours")));
        if hand_held {
            return broken("it is on hold by hand");
        }
        let name = record.name.as_str();
        if code == ReasonCode::Guard {
            return self.guard_is_beyond(record, &stamp);
        }
        let sets = self.pass.wish.sets_of(self.name);
        let Some(set) = sets.iter().find(|set| set.name == stamp.set.name) else { return broken("no set owns it") };
        if set.suspended {
            return broken("its set is suspended");
        }
        if set.holds.iter().any(|held| held == name) {
            return broken("it is on hold");
        }
        if sets.iter().any(|set| set.current == Some(name)) {
            return broken("it is declared as current");
        }
        let awaited = |revert: &super::wish::Revert| {
            chooses(revert.domains, self.name) && revert.to == name && revert.expires > now
        };
        if self.pass.wish.reverts.iter().any(awaited) {
            return broken("a RevertRequest needs it");
        }
        let declared = set.snapshots.iter().find(|declared| declared.name == name);
        let series = set.series.iter().find(|series| stamp.series.as_deref() == Some(series.name));
        match (code, declared, series) {
            (ReasonCode::Absent, Some(declared), _) if declared.absent => Ok(()),
            (ReasonCode::Expired, Some(declared), _) if !declared.absent => {
                if declared.protect == Some(true) {
                    return broken("it is declared as protected");
                }
                match declared.delete_after_hours.is_some_and(|hours| record.created + hours * 3600 <= now) {
                    true => Ok(()),
                    false => broken("its time is not over"),
                }
            }
            (ReasonCode::Drained, None, Some(series)) if series.absent => self.drain_leaves_one(),
            (ReasonCode::Retention, None, Some(series)) if series.prune && !series.absent => {
                self.retention_lets_go(series, record, &stamp)
            }
            _ => broken("no manifest says so"),
        }
    }

    fn guard_is_beyond(&self, record: &Record, stamp: &Stamp) -> Kept {
        let of = |revert: &&super::wish::Revert| revert.name == stamp.set.name && chooses(revert.domains, self.name);
        let Some(revert) = self.pass.wish.reverts.iter().find(of) else { return broken("no request made it") };
        if stamp.series.as_deref() != Some(GUARD_SERIES) {
            return broken("it is no guard");
        }
        let newer = self.domain.snapshots.values().filter(|other| {
            own_stamp(other).is_some_and(|other| other.set == stamp.set && other.series == stamp.series)
                && (other.created, &other.name) > (record.created, &record.name)
        });
        match newer.count() >= revert.keep {
            true => Ok(()),
            false => broken("it is one of the newest guards"),
        }
    }

    fn drain_leaves_one(&self) -> Kept {
        let left = self.domain.snapshots.len() + self.named(ActionKind::Create).len();
        match self.pass.wish.limits(self.name).allow_empty || left > self.named(ActionKind::Delete).len() {
            true => Ok(()),
            false => broken("the domain is left without any"),
        }
    }

    /// The snapshots of a series, those captured in this pass included, with their slots; newest first.
    fn members(&self, series: &Series, stamp: &Stamp) -> Vec<(i64, SnapshotName)> {
        let is_member = |record: &&Record| {
            own_stamp(record).is_some_and(|own| own.set == stamp.set && own.series.as_deref() == Some(series.name))
        };
        let slot = |record: &Record| {
            own_stamp(record).and_then(|own| own.slot).map_or(record.created, jiff::Timestamp::as_second)
        };
        let there = self.domain.snapshots.values().filter(is_member).map(|record| (slot(record), record.name.clone()));
        let prefix = format!("{}-{}-", stamp.set.name, series.name);
        let new = self.named(ActionKind::Create).into_iter().filter(|name| name.as_str().starts_with(&prefix));
        let mut members: Vec<_> = there.chain(new.map(|name| (self.pass.before.now, name.clone()))).collect();
        members.sort_by(|a, b| b.cmp(a));
        members
    }

    fn retention_lets_go(&self, series: &Series, record: &Record, stamp: &Stamp) -> Kept {
        let now = self.pass.before.now;
        let members = self.members(series, stamp);
        if members.iter().take(series.last.max(1)).any(|(_, name)| *name == record.name) {
            return broken(format!("it is one of the newest {}", series.last.max(1)));
        }
        let older_than = |hours: Option<i64>| hours.is_none_or(|hours| record.created + hours * 3600 <= now);
        if !older_than(series.minimum_age_hours) {
            return broken("it is younger than the minimumAge");
        }
        if !older_than(series.within_hours) {
            return broken("it is within the span that is kept");
        }
        if record.created > now + 5 * 60 {
            return broken("its clock is not sane");
        }
        let deletes = self.named(ActionKind::Delete);
        let left = members.iter().filter(|(_, name)| !deletes.contains(name)).count();
        // One whose content is gone does not count, and goes.
        let exists = |part: &Part| !matches!(part, Part::File(path) if !self.pass.before.storage.exists(path));
        let held = self.pass.before.held(self.name, &record.name);
        let whole = exists(&record.memory) && held.values().all(Result::is_ok);
        if whole && left < series.minimum_count {
            return broken(format!("{left} are left, and the minimumCount is {}", series.minimum_count));
        }
        let pointer_moves =
            !self.named(ActionKind::Create).is_empty() || !self.named(ActionKind::SetCurrent).is_empty();
        if self.domain.current.as_ref() == Some(&record.name) && !pointer_moves {
            return broken("it is the current snapshot");
        }
        let percent = self.pass.wish.limits(self.name).percent;
        let gone = members.iter().filter(|(_, name)| deletes.contains(name)).count();
        match gone * 100 > percent * members.len() {
            true => broken(format!("{gone} of {} go at once, and {percent} percent are allowed", members.len())),
            false => Ok(()),
        }
    }

    fn limits_hold(&self) -> Kept {
        let limits = self.pass.wish.limits(self.name);
        let by_age = self.actions.iter().filter(|action| is_by_age(action)).count();
        if by_age > limits.per_domain {
            return broken(format!("{by_age} deletions by age, and {} are allowed", limits.per_domain));
        }
        let acts = self.of_kind(ActionKind::Delete).count() + self.of_kind(ActionKind::Revert).count();
        match acts > 0 && !self.pass.wish.window_is_open(self.name, self.pass.before.now) {
            true => broken("it deletes or reverts, and no window is open"),
            false => Ok(()),
        }
    }

    /// The chains of the disks that are written to.
    fn chains(&self, world: &World) -> Vec<Vec<String>> {
        let disks = world.domains[self.name].definition.disks.iter().filter(|disk| !disk.readonly);
        disks.filter_map(|disk| world.storage.chain(disk.source.as_deref()?).ok()).collect()
    }

    fn longest_chain(&self, world: &World) -> usize {
        self.chains(world).iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Captures keep within the chain limit and the free space; what is deleted before them is deleted to that end.
    fn captures_have_room(&self) -> Kept {
        let creates = self.named(ActionKind::Create);
        let reverts = self.of_kind(ActionKind::Revert).count();
        if creates.is_empty() || self.pass.meddled {
            return Ok(());
        }
        let limits = self.pass.wish.limits(self.name);
        let (was, is) = (self.longest_chain(self.pass.before), self.longest_chain(self.pass.after));
        let limit = limits.chain_limit.min(HARD_LIMIT);
        // What an image that cannot be read stands on is known from the tree alone, or from libvirt where the domain runs.
        let forbidden = &self.pass.before.storage.forbidden;
        let unread = |chain: &Vec<String>| chain.iter().any(|image| forbidden.contains(image));
        let by_tree = self.domain.path().len() + 1;
        let hidden = |chain: &Vec<String>| unread(chain) && chain.len() > by_tree && !self.domain.state.is_active();
        let unread = self.chains(self.pass.before).iter().any(hidden);
        if is > limit.max(was) && reverts == 0 && !unread {
            return broken(format!("its chains have {is} images, and the limit is {limit}"));
        }
        let space = self.pass.before.storage.space;
        let full = space.free * 100 / space.total < limits.free_percent;
        let at = |kind| self.actions.iter().position(|action| action.action == kind);
        let (first_delete, first_create) = (at(ActionKind::Delete), at(ActionKind::Create));
        let deletes_first = first_delete.is_some_and(|delete| first_create.is_some_and(|create| delete < create));
        if full && !deletes_first && reverts == 0 {
            return broken("it captures where the space is too little");
        }
        match deletes_first && !full && was + creates.len() <= limit {
            true => broken("it deletes before it captures, and there is room"),
            false => Ok(()),
        }
    }

    /// Internal and external snapshots do not meet by our doing, and where they did, nothing is captured or deleted.
    fn kinds_do_not_meet(&self) -> Kept {
        let mixed = |domain: &Domain| {
            let external = domain.snapshots.values().filter(|record| record.is_external()).count();
            external > 0 && external < domain.snapshots.len()
        };
        let acts = self.of_kind(ActionKind::Create).count() + self.of_kind(ActionKind::Delete).count();
        if mixed(self.domain) && acts > 0 {
            return broken("both kinds are in one tree, and something is captured or deleted");
        }
        match !mixed(self.domain) && mixed(self.after()) && !self.pass.meddled {
            true => broken("both kinds are in one tree now"),
            false => Ok(()),
        }
    }

    fn suspended_rests(&self) -> Kept {
        let sets = self.pass.wish.sets_of(self.name);
        let all = !sets.is_empty() && sets.iter().all(|set| set.suspended);
        match all && !self.actions.is_empty() {
            true => broken("it is suspended, and something is done"),
            false => Ok(()),
        }
    }
}
