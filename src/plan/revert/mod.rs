//! Reverts: what must hold before one, whoever asks for it. libvirt stops the domain before it looks at most of this.

mod actions;
mod order;
mod request;

pub use order::{Order, ordered};

pub(super) use request::{Claim, targets};

use super::abilities::{EXTERNAL, LEFT_OUT, RESET_NVRAM, UEFI_OFF, version};
use super::chain::{self, Effect, Fault, Neighbours, Rules, Step};
use crate::model::kinds::Power;
use crate::model::names::SnapshotName;
use crate::model::observed::{HostInfo, Nvram, ObservedDisk, ObservedDomain, RunState};
use crate::model::plan::BlockCode;
use crate::model::snapshot::{ObservedSnapshot, Storage};
use crate::model::text::{bytes, printable};

/// What is asked for besides the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The run state afterwards.
    pub power: Power,
    /// Whether libvirt is told to go on where it calls the revert risky.
    pub force: bool,
    /// Whether the firmware's variables are taken from their template anew.
    pub reset_nvram: bool,
}

/// A revert that nothing is known to be in the way of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What it does to files.
    pub effect: Effect,
    /// The run state afterwards.
    pub state: RunState,
    /// What a person should know before.
    pub remarks: Vec<String>,
}

/// Checks a revert against the domain as it is.
///
/// # Errors
/// The first thing that is in the way; nothing may be sent to libvirt then.
pub fn prepare(
    host: &HostInfo,
    domain: &ObservedDomain,
    neighbours: &Neighbours<'_>,
    rules: Rules,
    name: &SnapshotName,
    wanted: Wanted,
) -> Result<Prepared, Fault> {
    let gone = || Fault::new(BlockCode::Missing, "the domain has no snapshot of this name", "name one that it has");
    let target = domain.tree.get(name).ok_or_else(gone)?;
    able(host, domain, target, wanted)?;
    whole(target, wanted)?;
    let state = state_after(target, wanted.power);
    ready(domain, target, state)?;
    let effect = chain::prove(domain, neighbours, rules, Step::Revert(name))?;
    let remarks = remarks(host, domain, target, &effect, state, wanted);
    Ok(Prepared { effect, state, remarks })
}

/// What the host can do at all.
fn able(host: &HostInfo, domain: &ObservedDomain, target: &ObservedSnapshot, wanted: Wanted) -> Result<(), Fault> {
    if target.is_external() && (!EXTERNAL.of(host) || host.is_test_driver()) {
        let text = format!(
            "libvirt {} of this host cannot revert to external snapshots, which {} with QEMU",
            version(host.libvirt_version),
            EXTERNAL.needs()
        );
        return Err(Fault::not_possible(text, "update libvirt on the host"));
    }
    let with_nvram = || domain.nvram == Nvram::Qcow2 && !target.is_external() && target.state == "shutoff";
    if with_nvram() && !UEFI_OFF.of(host) {
        return Err(Fault::not_possible(
            format!(
                "its firmware's variables are in a qcow2 file, which libvirt {} of this host does not revert for a domain that is off; \
                 that {}",
                version(host.libvirt_version),
                UEFI_OFF.needs()
            ),
            "update libvirt on the host",
        ));
    }
    if wanted.reset_nvram && (!RESET_NVRAM.of(host) || host.is_test_driver()) {
        let text = format!(
            "libvirt {} of this host cannot {}, which {} with QEMU",
            version(host.libvirt_version),
            RESET_NVRAM.what,
            RESET_NVRAM.needs()
        );
        return Err(Fault::not_possible(text, "update libvirt on the host, or revert without it"));
    }
    Ok(())
}

/// libvirt brings back what it captured itself, and says nothing of a disk that it left to other means.
fn whole(target: &ObservedSnapshot, wanted: Wanted) -> Result<(), Fault> {
    let Some(disk) = manual_disks(target).next().filter(|_| !wanted.force) else { return Ok(()) };
    let text = format!(
        "its disk {disk} was captured by other means (manual): libvirt brings the others back and leaves this one with what it \
         holds now"
    );
    let way_out = format!(
        "shut the domain down, bring the storage of {disk} back to what was captured, and then revert with force (force: true, \
         --force)"
    );
    Err(Fault::not_possible(text, way_out))
}

fn manual_disks(snapshot: &ObservedSnapshot) -> impl Iterator<Item = String> {
    snapshot.disks.iter().filter(|(_, part)| **part == Storage::Manual).map(|(target, _)| printable(target))
}

/// The run state that libvirt leaves the domain in (`qemuSnapshotRevert`).
fn state_after(target: &ObservedSnapshot, power: Power) -> RunState {
    match (power, target.state.as_str()) {
        (Power::Running, _) | (Power::AsCaptured, "running") => RunState::Running,
        (Power::Paused, _) | (Power::AsCaptured, "paused") => RunState::Paused,
        (Power::AsCaptured, _) => RunState::ShutOff,
    }
}

/// What the domain is doing.
fn ready(domain: &ObservedDomain, target: &ObservedSnapshot, state: RunState) -> Result<(), Fault> {
    if matches!(domain.state, RunState::PmSuspended | RunState::Crashed | RunState::ShuttingDown | RunState::Unknown) {
        return Err(Fault::new(
            BlockCode::WrongState,
            format!("the domain is {}; libvirt reverts none such", domain.state.as_str()),
            "wake it, or switch it off, then run again",
        ));
    }
    if matches!(target.state.as_str(), "pmsuspended" | "crashed") {
        return Err(Fault::not_possible(
            format!("it was captured while the domain was {}; libvirt reverts to none such", printable(&target.state)),
            "revert to another snapshot",
        ));
    }
    let Some(facts) = &domain.revert else {
        return Err(Fault::not_possible(
            "the domain was not looked at for a revert; this is a defect of snapward",
            "report it",
        ));
    };
    if let Some(disk) = facts.block_jobs.first() {
        return Err(Fault::new(
            BlockCode::WrongState,
            format!("a job runs on disk {} (a backup, a copy or a merge)", printable(disk)),
            "wait until it has ended (virsh blockjob), then run again",
        ));
    }
    if facts.managed_save {
        return Err(Fault::not_possible(
            "libvirt holds a saved memory image of the domain (managed save), and the next start would load that memory over \
             the reverted disks",
            "start the domain and shut it down, or drop the saved memory: virsh managedsave-remove",
        ));
    }
    if !facts.persistent && state == RunState::ShutOff {
        return Err(Fault::not_possible(
            "the domain is transient, and would be gone with all its snapshots: this one was captured without memory, so the \
             revert leaves it off",
            "ask for power: running or paused, or define the domain (virsh define)",
        ));
    }
    Ok(())
}

/// What a person should know beside what is lost.
fn remarks(
    host: &HostInfo,
    domain: &ObservedDomain,
    target: &ObservedSnapshot,
    effect: &Effect,
    state: RunState,
    wanted: Wanted,
) -> Vec<String> {
    let mut remarks = Vec::new();
    if domain.state.is_active() {
        let after = if state == RunState::ShutOff { "is off afterwards" } else { "QEMU is started anew" };
        remarks.push(format!("the domain is stopped, and {after}"));
    }
    let definition = target.definition.as_deref();
    let then = || definition.into_iter().flat_map(|definition| &definition.disks);
    if let (Some(now), Some(then)) = (domain.memory_kib, definition.and_then(|definition| definition.memory_kib))
        && now != then
    {
        remarks.push(format!("its memory goes from {} back to {}", bytes(now * 1024), bytes(then * 1024)));
    }
    let missing = |disk: &&ObservedDisk| !then().any(|then| then.target == disk.target);
    for disk in domain.disks.iter().filter(|_| definition.is_some()).filter(missing) {
        remarks.push(format!("disk {} was added since and leaves the definition", printable(&disk.target)));
    }
    let added = |disk: &&ObservedDisk| !domain.disks.iter().any(|now| now.target == disk.target);
    for disk in then().filter(added) {
        remarks.push(format!("disk {} was taken away since and comes back", printable(&disk.target)));
    }
    let cdrom = |disk: &&ObservedDisk| disk.device == "cdrom" && effect.overlays_on.contains_key(&disk.target);
    for disk in then().filter(cdrom) {
        remarks.push(format!(
            "libvirt puts an overlay on the medium of CD-ROM drive {} too, beside its image, and the drive is on that",
            printable(&disk.target)
        ));
    }
    let left_out = |disk: &&ObservedDisk| target.disks.get(&disk.target).is_none_or(|part| *part == Storage::No);
    if !target.is_external() && !LEFT_OUT.of(host) && then().any(|disk| left_out(&disk)) {
        remarks.push(
            "libvirt 11.2 and 11.3 as released fail here (\"does not support snapshots\"); distributions have \
                      fixes"
                .to_owned(),
        );
    }
    for disk in manual_disks(target) {
        remarks.push(format!("disk {disk} was captured by other means (manual) and keeps what it holds now"));
    }
    if wanted.force {
        remarks.push("with force: what libvirt calls risky is done".to_owned());
    }
    remarks.push(
        "the whole definition goes back to that of the snapshot; what else differs libvirt alone sees".to_owned(),
    );
    remarks
}
