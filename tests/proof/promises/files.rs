//! What snapward promises of images: of those that nobody names, of captures, and of the records that name them.

use std::collections::BTreeSet;

use snapward::model::names::SnapshotName;
use snapward::model::outcome::ActionResult;
use snapward::model::plan::ActionKind;

use super::super::model::{Domain, Part, Record, World};
use super::{Here, Kept, Pass, broken};

/// Every file that a definition, a guest or a record names, and what those stand on.
fn named(world: &World, domain: &Domain) -> BTreeSet<String> {
    let kept = domain.snapshots.values().flat_map(|record| record.definition.iter().chain(&record.inactive));
    let definitions = kept.chain([&domain.definition]).chain(&domain.stored);
    let sources = definitions.flat_map(|kept| &kept.disks).filter_map(|disk| disk.source.clone());
    let mut tops: Vec<String> = sources.collect();
    for record in domain.snapshots.values() {
        tops.extend(record.overlays().map(|(_, path)| path.clone()));
        tops.extend(record.revert_disks.values().cloned());
        if let Part::File(memory) = &record.memory {
            tops.push(memory.clone());
        }
    }
    tops.extend(domain.open.values().flatten().cloned());
    let mut named = BTreeSet::new();
    while let Some(path) = tops.pop() {
        let file = world.storage.real(&path).to_owned();
        tops.extend(
            world.storage.get(&file).and_then(|image| image.backing.clone()).filter(|_| !named.contains(&file)),
        );
        named.insert(file);
    }
    named
}

impl Pass<'_> {
    /// A file that no domain names may be what somebody still needs: it holds what it held. One that nothing was ever written
    /// to, and nobody has open, is the leftover of a capture. One that cannot be read tells nobody what it stands on.
    pub(super) fn what_nobody_names_stays(&self) -> Kept {
        if self.meddled {
            return Ok(());
        }
        let named: BTreeSet<String> =
            self.before.domains.values().flat_map(|domain| named(self.before, domain)).collect();
        for (path, image) in self.before.storage.files.iter().filter(|(path, _)| !named.contains(*path)) {
            let (then, now) = (self.before.storage.content(path), self.after.storage.content(path));
            let leftover = image.backing.is_some() && image.pages.is_empty() && !self.before.readers.contains(path);
            let read = !self.before.storage.forbidden.contains(path);
            if !leftover && read && then.is_ok() && then != now {
                return broken(format!("{path}, which nobody names, held {then:?} and holds {now:?}"));
            }
        }
        Ok(())
    }

    /// No disk comes to an image that another one, or another domain, uses.
    pub(super) fn nobody_meets_on_an_image(&self) -> Kept {
        let meeting = |world: &World| {
            let mut meeting = BTreeSet::new();
            for (name, domain) in &world.domains {
                let others = || world.domains.iter().filter(|(other, _)| *other != name);
                let theirs: BTreeSet<String> = others().flat_map(|(_, other)| named(world, other)).collect();
                let active = |target: &String| domain.definition.disk(target).and_then(|disk| disk.source.clone());
                let disks: Vec<_> = domain.definition.disks.iter().map(|disk| disk.target.clone()).collect();
                for target in &disks {
                    let Some(image) = active(target).map(|path| world.storage.real(&path).to_owned()) else { continue };
                    let own = disks.iter().filter(|other| *other != target).filter_map(active);
                    if theirs.contains(&image) || own.into_iter().any(|path| world.storage.same(&path, &image)) {
                        meeting.insert((name.clone(), target.clone(), image));
                    }
                }
            }
            meeting
        };
        let now = if self.meddled { BTreeSet::new() } else { meeting(self.after) };
        let now: Vec<_> =
            if now.is_empty() { Vec::new() } else { now.difference(&meeting(self.before)).cloned().collect() };
        let active = |domain: &str| self.before.disks(domain) == self.after.disks(domain);
        let trusted = |domain: &String| self.before.domains.keys().any(|other| self.trusts(domain, other));
        let broke = |domain: &String| (!active(domain) || self.is_acted_on(domain)) && !trusted(domain);
        match now.iter().find(|(domain, ..)| broke(domain)) {
            Some((domain, target, image)) => {
                broken(format!("{domain}: {target} came to {image}, which is in use elsewhere"))
            }
            None => Ok(()),
        }
    }

    fn is_acted_on(&self, domain: &str) -> bool {
        let acts = [ActionKind::Create, ActionKind::Delete, ActionKind::Revert];
        self.plan.actions.iter().any(|action| action.address.domain == domain && acts.contains(&action.action))
    }
}

impl Here<'_> {
    /// A capture is of what the guest sees, or would if it were on.
    pub(super) fn captures_hold_what_was_there(&self) -> Kept {
        if self.pass.meddled {
            return Ok(());
        }
        let then = self.pass.before.disks(self.name);
        for name in self.named(ActionKind::Create) {
            let held = self.pass.after.held(self.name, name);
            let other =
                held.iter().find(|(target, held)| then.get(*target).is_some_and(|then| then.is_ok() && then != *held));
            if let Some((target, held)) = other {
                return broken(format!("{target} held {:?}, and {name} captured {held:?}", then[target]));
            }
        }
        Ok(())
    }

    /// What was captured once and is gone is not captured again unasked: it would be another state under the old name.
    pub(super) fn nothing_is_made_twice(&self) -> Kept {
        let declared = self.pass.wish.sets_of(self.name);
        for name in self.named(ActionKind::Create) {
            let asked = declared.iter().flat_map(|set| &set.snapshots).find(|snapshot| snapshot.name == name.as_str());
            if asked.is_some_and(|snapshot| !snapshot.recreate) && self.domain.remembers_making(name) {
                return broken(format!("{name} was captured before, and is again"));
            }
        }
        Ok(())
    }

    /// The pointer is where the disks are, and each snapshot above it froze the image that is there: if that was so, it is so
    /// afterwards. Else the next deletion or revert destroys something.
    pub(super) fn records_fit_the_disks(&self) -> Kept {
        let failed = self.pass.outcome.domains.iter().flat_map(|domain| &domain.actions);
        let failed = failed.into_iter().any(|action| action.result == ActionResult::Failed);
        if self.pass.meddled || failed || !fits(self.pass.before, self.domain) || fits(self.pass.after, self.after()) {
            return Ok(());
        }
        broken("its records fitted its images, and do not any more")
    }
}

/// Whether the records on the path of the pointer fit the chains of the disks.
fn fits(world: &World, domain: &Domain) -> bool {
    let is_listed = |parent: &SnapshotName| domain.snapshots.contains_key(parent);
    if !domain.snapshots.values().any(Record::is_external) {
        return true;
    }
    if domain.current.is_none() || !domain.snapshots.values().all(|record| record.parent.iter().all(is_listed)) {
        return false;
    }
    let path = domain.path();
    domain.definition.disks.iter().all(|disk| {
        let Some(source) = &disk.source else { return true };
        let Ok(chain) = world.storage.chain(source) else { return false };
        let mut holders =
            path.iter().filter(|record| matches!(record.disks.get(&disk.target), Some(Part::File(_)))).peekable();
        let Some(first) = holders.peek() else { return true };
        let made = first.overlays().find_map(|(target, path)| (*target == disk.target).then_some(path));
        let Some(overlay) = first.revert_disks.get(&disk.target).or(made) else { return true };
        let froze = |record: &&&Record| record.definition.as_ref()?.disk(&disk.target)?.source.clone();
        let agrees =
            |(record, image): (&&Record, &String)| froze(&record).is_some_and(|base| world.storage.same(&base, image));
        world.storage.same(overlay, source) && holders.zip(&chain[1..]).all(agrees)
    })
}
