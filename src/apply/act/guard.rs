//! The watch over a domain with external snapshots: it is read anew before every action, must be as this pass left it, and
//! the action must be proven on it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Failure, Pass, RUN_AGAIN};
use crate::host::{self, Host, HostError};
use crate::model::names::DomainUuid;
use crate::model::observed::ObservedDomain;
use crate::model::plan::{Action, ActionKind};
use crate::model::text::printable;
use crate::observe::{self, Interest, Neighbourhood, read_domain};
use crate::plan::chain::{self, Effect, Neighbours, Rules, Step};

/// What is known of a domain with external snapshots and of its neighbours.
pub(in crate::apply) struct Guard<'a> {
    pub(super) rules: Rules,
    /// What to look at beside the definition and the snapshots.
    wanted: Interest<'a>,
    /// The disks as this pass left them: what each is, and its active image.
    disks: BTreeMap<String, Disk>,
    /// The other domains of the host, and when they were read; none where no file of theirs can be touched.
    neighbours: Option<(Neighbourhood, jiff::Timestamp)>,
}

/// For how long the other domains count as they were read, in seconds. To read them costs as much as a plan of the host, so
/// a row of quick deletions reads them once. A merge takes minutes to hours, in which anybody puts an overlay on an image.
const NEIGHBOURS_LAST: i64 = 60;

/// Whether an action can remove or overwrite what another domain of the host uses.
pub(in crate::apply) fn touches_files(action: &Action, external: bool) -> bool {
    match action.action {
        ActionKind::Delete => external,
        ActionKind::Create => action.after.as_ref().is_some_and(|after| after.reuse == Some(true)),
        ActionKind::Revert => true,
        ActionKind::Redefine | ActionKind::SetCurrent => false,
    }
}

/// What must not change under a pass: the definition of a disk, and its active image.
type Disk = (String, String, bool, Option<String>);

fn disks(domain: &ObservedDomain) -> BTreeMap<String, Disk> {
    let parts = |disk: &crate::model::observed::ObservedDisk| {
        (disk.source_type.clone(), disk.device.clone(), disk.readonly, disk.source.clone())
    };
    domain.disks.iter().map(|disk| (disk.target.clone(), parts(disk))).collect()
}

impl<'a> Guard<'a> {
    /// Starts from the domain as it was compared with the plan. With the time as `neighbours`, the other domains of the host
    /// are read: where something is deleted or reverted, or a file that is there becomes an overlay.
    ///
    /// # Errors
    /// When the domains cannot be listed.
    pub(in crate::apply) fn new(
        host: &dyn Host,
        domain: &ObservedDomain,
        wanted: Interest<'a>,
        rules: Rules,
        neighbours: Option<jiff::Timestamp>,
    ) -> host::Result<Self> {
        let read = |now| observe::neighbours(host, domain.uuid).map(|read| (read, now));
        let neighbours = neighbours.map(read).transpose()?;
        // What is declared was looked for when the domain was compared with the plan.
        let wanted = Interest { declared: BTreeSet::new(), external: true, ..wanted };
        Ok(Self { rules, wanted, disks: disks(domain), neighbours })
    }

    /// Notes where an action left the disks.
    pub(super) fn moved(&mut self, images: &BTreeMap<String, String>) {
        for (target, image) in images {
            if let Some(disk) = self.disks.get_mut(target) {
                disk.3 = Some(image.clone());
            }
        }
    }

    pub(super) fn neighbours(&self) -> Neighbours<'_> {
        let Some((read, _)) = &self.neighbours else { return Neighbours::default() };
        Neighbours::read(&read.domains, &read.unreadable)
    }

    /// Reads the other domains where that was too long ago, and those that came to the host since. A clock that was set
    /// back says nothing of how long.
    ///
    /// # Errors
    /// When the domains cannot be listed.
    fn meet(&mut self, host: &dyn Host, own: DomainUuid, now: jiff::Timestamp) -> host::Result<()> {
        let Some((known, read)) = &mut self.neighbours else { return Ok(()) };
        if !(0..NEIGHBOURS_LAST).contains(&(now.as_second() - read.as_second())) {
            (*known, *read) = (Neighbourhood::default(), now);
        }
        observe::meet(host, own, known)
    }
}

impl Pass<'_> {
    /// Reads the domain anew before an action, and makes sure that nobody else had a hand in it.
    pub(super) fn fresh(&mut self, action: &Action) -> Result<ObservedDomain, Failure> {
        let unread = |error: HostError| {
            Failure::new(format!("the domain could not be read again ({error}), so nothing was done. {RUN_AGAIN}"))
        };
        let Some(guard) = &mut self.guard else {
            return Err(Failure::new("nothing watches over this domain; this is a defect of snapward"));
        };
        let Some(domain) = self.host.domain(self.domain.uuid).map_err(unread)? else {
            return Err(Failure::new(format!("the domain is gone; nothing was done. {RUN_AGAIN}")));
        };
        if domain.state != self.domain.state {
            return Err(Failure::new(format!(
                "the domain was {} and is {}; nothing was done. {RUN_AGAIN}",
                self.domain.state.as_str(),
                domain.state.as_str()
            )));
        }
        if touches_files(action, true) {
            guard.meet(self.host, self.domain.uuid, (self.clock)()).map_err(unread)?;
        }
        let (fresh, _) = read_domain(self.host, &domain, &guard.wanted).map_err(unread)?;
        let now = disks(&fresh);
        if now != guard.disks {
            let targets: BTreeSet<_> = now.keys().chain(guard.disks.keys()).collect();
            let other = targets.into_iter().find(|target| now.get(*target) != guard.disks.get(*target));
            return Err(Failure::new(format!(
                "somebody else changed disk {} since it was read; nothing was done. {RUN_AGAIN}",
                other.map(|target| printable(target)).unwrap_or_default()
            )));
        }
        self.none_is_new(fresh.tree.iter().map(|snapshot| &snapshot.name))?;
        Ok(fresh)
    }

    /// Reads the domain after an action, whatever became of it.
    pub(super) fn look_again(&self) -> host::Result<ObservedDomain> {
        let wanted = self.guard.as_ref().map(|guard| guard.wanted.clone()).unwrap_or_default();
        let domain = self.host.domain(self.domain.uuid)?;
        read_domain(self.host, domain.as_ref().unwrap_or(&self.domain), &wanted).map(|(domain, _)| domain)
    }

    /// Proves a step on a domain as it was just read.
    pub(super) fn prove(&self, domain: &ObservedDomain, step: Step<'_>) -> Result<Effect, Failure> {
        let Some(guard) = &self.guard else {
            return Err(Failure::new("nothing watches over this domain; this is a defect of snapward"));
        };
        chain::prove(domain, &guard.neighbours(), guard.rules, step)
            .map_err(|fault| Failure::new(format!("{}; nothing was done. To go on: {}", fault.text, fault.way_out)))
    }

    /// Whether a file is the leftover of an interrupted capture, which no domain of the host uses.
    pub(super) fn is_unused_leftover(&self, domain: &ObservedDomain, target: &str, path: &str) -> bool {
        let neighbours = self.guard.as_ref().map(Guard::neighbours);
        neighbours.is_some_and(|neighbours| chain::unused_leftover(domain, &neighbours, target, path))
    }

    /// Why tree and images do not fit each other after an action.
    pub(super) fn not_whole(&self, after: &ObservedDomain) -> Option<String> {
        let rules = self.guard.as_ref().map(|guard| guard.rules).unwrap_or_default();
        after.tree.external().next()?;
        let fault = chain::prove(after, &Neighbours::default(), rules, Step::Create).err()?;
        Some(format!("{}. To repair it: {}", fault.text, fault.way_out))
    }
}
