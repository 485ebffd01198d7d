//! Reverts: proven on a fresh read, noted on the target before and after, and read back down to the images.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use super::{Done, Failure, Pass, RUN_AGAIN, ledger_failed};
use crate::host::{ErrorClass, HostError, Probe, RedefineRequest, RevertRequest};
use crate::model::image::{Backing, ImageState, directory, file_name};
use crate::model::ledger::Ledger;
use crate::model::names::SnapshotName;
use crate::model::observed::{ObservedDomain, RunState};
use crate::model::plan::Action;
use crate::model::revert::{RevertNote, RevertOrder, RevertToken, add_note, living_notes};
use crate::model::snapshot::ObservedSnapshot;
use crate::model::stamp::Description;
use crate::model::text::printable;
use crate::plan::chain::overlay_stem;
use crate::plan::revert::{self, Prepared, Wanted};

/// How far ahead the names that libvirt gives new overlays must be free, in seconds: it chooses one after it has stopped
/// the domain, which can take that long.
const AHEAD: i64 = 60;

/// How many seconds are waited for a name to be free. A revert right after another meets the name of the same second.
const PATIENCE: i64 = 3;

impl Pass<'_> {
    pub(super) fn revert(
        &mut self,
        action: &Action,
        name: &SnapshotName,
        fresh: Option<&ObservedDomain>,
    ) -> Result<Done, Failure> {
        let after = action.after.clone().unwrap_or_default();
        let (Some(order), Some(fresh)) = (after.revert, fresh) else {
            return Err(Failure::new("the revert was not prepared for; this is a defect of snapward"));
        };
        let snapshot = self.reference(name)?;
        let Some(target) = fresh.tree.get(name) else {
            return Err(Failure::new(format!("it is not there any more; nothing was done. {RUN_AGAIN}")));
        };
        self.is_known(target)?;
        if let Some(token) = &order.request {
            self.is_unused(fresh, token)?;
        }
        let prepared = self.prepare_revert(fresh, name, &order)?;
        if prepared.effect.unlinks != after.removes.unwrap_or_default()
            || prepared.effect.overlays_on != order.on
            || prepared.state != order.state
        {
            return Err(Failure::new(format!(
                "the revert would end otherwise than the plan says; nothing was done. {RUN_AGAIN}"
            )));
        }
        self.names_are_free(&prepared)?;
        if let Some(token) = &order.request {
            self.note(name, token.note(false, (self.clock)()))?;
        }
        let request = RevertRequest { power: order.power, force: order.force, reset_nvram: order.reset_nvram };
        if let Err(error) = self.host.revert(&self.domain, &snapshot, request) {
            return Err(self.revert_failed(fresh, &error));
        }
        let after = self.look_again().map_err(|error| {
            Failure::new(format!("was reverted to, but the domain could not be read afterwards ({error}). {RUN_AGAIN}"))
        })?;
        if let Some(wrong) = self.wrong_after_revert(target, &after, &prepared) {
            return Err(Failure::new(format!("was reverted to, but reads back differently: {wrong}. {RUN_AGAIN}")));
        }
        self.domain.state = after.state;
        self.scope = None;
        self.write_reverted_ledger(&order)?;
        if let Some(token) = &order.request {
            self.note(name, token.note(true, (self.clock)())).map_err(|failure| Failure {
                done: true,
                text: format!(
                    "done, but that could not be noted on the snapshot, so the next plan takes the outcome for unknown: {}",
                    failure.text
                ),
            })?;
        }
        let disks = after.disks.iter().filter(|disk| order.on.contains_key(&disk.target));
        let disks = disks.filter_map(|disk| Some((disk.target.clone(), disk.source.clone()?))).collect();
        Ok(Done { text: format!("the domain is {}", after.state.as_str()), disks })
    }

    /// A token is good for one revert, and not for ever: another run, or time, may have come before this one.
    fn is_unused(&self, fresh: &ObservedDomain, token: &RevertToken) -> Result<(), Failure> {
        let now = (self.clock)();
        if let Some(until) = token.until().filter(|until| *until <= now) {
            return Err(Failure::new(format!("the request expired {until}; nothing was reverted. {RUN_AGAIN}")));
        }
        let on_snapshots = fresh.tree.iter().flat_map(|snapshot| &snapshot.description.reverts);
        let in_ledger = fresh.ledger.iter().chain(&self.ledger).flat_map(|ledger| &ledger.reverts);
        match on_snapshots.chain(in_ledger).find(|note| note.is_of(&token.request, &token.token)) {
            Some(note) => {
                Err(Failure::new(format!("the token is used since {}; nothing was reverted. {RUN_AGAIN}", note.time)))
            }
            None => Ok(()),
        }
    }

    fn prepare_revert(
        &self,
        fresh: &ObservedDomain,
        name: &SnapshotName,
        order: &RevertOrder,
    ) -> Result<Prepared, Failure> {
        let Some(guard) = &self.guard else {
            return Err(Failure::new("nothing watches over this domain; this is a defect of snapward"));
        };
        let wanted = Wanted { power: order.power, force: order.force, reset_nvram: order.reset_nvram };
        revert::prepare(self.info, fresh, &guard.neighbours(), guard.rules, name, wanted)
            .map_err(|fault| Failure::new(format!("{}; nothing was done. To go on: {}", fault.text, fault.way_out)))
    }

    /// libvirt names the new overlays after the second, and fails where one is there, with the domain stopped already.
    fn names_are_free(&self, prepared: &Prepared) -> Result<(), Failure> {
        let mut taken = BTreeSet::new();
        for base in prepared.effect.overlays_on.values() {
            let stem = overlay_stem(base);
            // What cannot be listed is left to libvirt.
            let Probe::Known(names) = self.host.files().directory(directory(base)) else { continue };
            let second = |name: &String| {
                let digits = name.strip_prefix(file_name(&stem))?.strip_prefix('.')?;
                digits.parse::<i64>().ok()
            };
            taken.extend(names.iter().filter_map(second));
        }
        let now = (self.clock)().as_second();
        let ahead: Vec<i64> = taken.range(now..now + AHEAD).copied().collect();
        let Some(last) = ahead.last().copied() else { return Ok(()) };
        if last - now >= PATIENCE {
            return Err(Failure::new(format!(
                "an image named after the second {last} is there, beside the images that libvirt puts new overlays on, and it \
                 would choose that name in {} seconds; nothing was done. Wait a minute, or look whose file it is",
                last - now
            )));
        }
        // To the end of that second, by a clock that counts whole ones.
        thread::sleep(Duration::from_secs(u64::try_from(last - now).unwrap_or(0) + 1));
        Ok(())
    }

    /// Writes a note of a revert on the snapshot; those of requests that are void go.
    fn note(&mut self, name: &SnapshotName, note: RevertNote) -> Result<(), Failure> {
        let snapshot = self.reference(name)?;
        let present = self.read(&snapshot, "could not be read")?;
        let mut reverts = living_notes(&present.description.reverts, note.time);
        add_note(&mut reverts, note);
        let description = Description { reverts, ..present.description.clone() }.render();
        let request = RedefineRequest { description: Some(description.clone()), ..RedefineRequest::default() };
        self.send_redefine(&snapshot, &present, &request, &description).map(drop)
    }

    /// A revert rolls the domain's metadata back: the ledger is written as it was known before, with the revert.
    fn write_reverted_ledger(&mut self, order: &RevertOrder) -> Result<(), Failure> {
        let now = (self.clock)();
        if let Some(token) = &order.request {
            // Where the ledger was lost, a new one would pass for a whole one.
            let ours = |snapshot: &ObservedSnapshot| snapshot.description.stamp.is_some();
            if self.ledger.is_none() && !self.observed.tree.iter().any(ours) {
                self.ledger = Some(Ledger::empty(self.domain.uuid));
            }
            if let Some(ledger) = &mut self.ledger {
                ledger.reverts = living_notes(&ledger.reverts, now);
                add_note(&mut ledger.reverts, token.note(true, now));
            }
        }
        self.write_ledger().map_err(|error| ledger_failed(&error))
    }

    /// What is not as the plan said it would be.
    fn wrong_after_revert(
        &self,
        target: &ObservedSnapshot,
        after: &ObservedDomain,
        prepared: &Prepared,
    ) -> Option<String> {
        if after.tree.current() != Some(&target.name) {
            let current = after.tree.current().map_or_else(|| "none".to_owned(), ToString::to_string);
            return Some(format!("the current snapshot is {current}"));
        }
        if after.state != prepared.state {
            return Some(format!("the domain is {} and not {}", after.state.as_str(), prepared.state.as_str()));
        }
        for then in target.definition.iter().flat_map(|definition| &definition.disks) {
            let shown = printable(&then.target);
            let now = after.disks.iter().find(|disk| disk.target == then.target);
            let Some(source) = now.and_then(|disk| disk.source.as_ref()) else {
                if then.source.is_some() {
                    return Some(format!("disk {shown} is not there"));
                }
                continue;
            };
            let stands_on = match after.files.image(source) {
                ImageState::Present(image) => image.backing,
                // Of a remote host nothing more can be seen.
                ImageState::Absent | ImageState::Unknown(_) => continue,
            };
            let right = match prepared.effect.overlays_on.get(&then.target) {
                Some(base) => matches!(&stands_on, Backing::File(below) if after.files.same(below, base)),
                None => then.source.as_ref().is_none_or(|then| after.files.same(then, source)),
            };
            if !right {
                return Some(format!("disk {shown} is on {}", printable(source)));
            }
        }
        self.not_whole(after)
    }

    /// What stands after a revert that failed, and how to get the domain back.
    fn revert_failed(&self, before: &ObservedDomain, error: &HostError) -> Failure {
        let guard = self.refs.keys().find(|name| self.observed.tree.get(name).is_none());
        let uri = printable(&self.info.uri);
        let domain = printable(&self.domain.name);
        let guarded = guard.map(|guard| {
            format!(
                "the state before it is in snapshot {guard}; to have it back: snapward -c '{uri}' snapshot revert '{domain}' \
                 '{guard}' --no-guard"
            )
        });
        let unread = || {
            let guarded = guarded.clone().map(|guarded| format!("; {guarded}")).unwrap_or_default();
            Failure::new(format!("{error}. How the domain stands could not be read{guarded}. {RUN_AGAIN}"))
        };
        if error.class == ErrorClass::OutcomeUnknown {
            return unread();
        }
        let Ok(after) = self.look_again() else { return unread() };
        let source = |domain: &ObservedDomain, target: &str| {
            domain.disks.iter().find(|disk| disk.target == target).and_then(|disk| disk.source.clone())
        };
        let moved: Vec<String> = before
            .disks
            .iter()
            .filter(|disk| source(&after, &disk.target) != disk.source)
            .map(|disk| {
                let shown = |path: Option<String>| path.map_or_else(|| "nothing".to_owned(), |path| printable(&path));
                let (now, then) = (shown(source(&after, &disk.target)), shown(disk.source.clone()));
                format!("disk {} is on {now} and was on {then}", printable(&disk.target))
            })
            .collect();
        let down = before.state.is_active() && !after.state.is_active();
        let mut stands = vec![match (down, after.state == before.state) {
            (true, _) => format!("THE DOMAIN IS DOWN: it was {} and is off", before.state.as_str()),
            (false, true) => format!("the domain is {}, as before", after.state.as_str()),
            (false, false) => format!("the domain was {} and is {}", before.state.as_str(), after.state.as_str()),
        }];
        stands.extend(moved.iter().cloned());
        match (guarded, down, moved.is_empty()) {
            (Some(guarded), true, _) | (Some(guarded), _, false) => stands.push(guarded),
            (None, true, true) => stands.push(format!(
                "to start it from its disks, which are as they were: virsh -c '{uri}' start '{domain}'"
            )),
            (None, _, false) => stands.push(format!(
                "to get it back: give the disks those images again (virsh -c '{uri}' edit '{domain}'), then virsh -c '{uri}' \
                 start '{domain}'"
            )),
            (_, false, true) => {}
        }
        if before.state != RunState::ShutOff && down {
            stands.push("what its memory held beside that is lost".to_owned());
        }
        Failure::new(format!("{error}. {}. {RUN_AGAIN}", stands.join("; ")))
    }
}
