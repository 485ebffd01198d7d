//! Freezing a guest's filesystems around a capture of its disks, and thawing them whatever becomes of it.
//!
//! By calls of their own and not libvirt's QUIESCE flag, which makes a capture fail that was taken where only the thaw
//! failed, and says nothing of the level reached.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::{Failure, Pass, RUN_AGAIN};
use crate::host::{DomainRef, ErrorClass, Host, HostError};
use crate::model::kinds::{Capture, Consistency};
use crate::model::observed::{Agent, ObservedDomain, RunState};
use crate::model::stamp::{ConsistencyReached, TRAILER_PREFIX};
use crate::model::text::{count, printable};

/// The longest a guest is kept frozen. What it writes piles up meanwhile, and its applications wait; new overlays on all
/// disks take well below a second.
const LONGEST: Duration = Duration::from_secs(20);

/// A guest that this process froze. Dropped without [`Self::thaw`], as in a panic, it is thawed too.
struct Frozen<'p> {
    host: &'p dyn Host,
    domain: &'p DomainRef,
    thawed: bool,
}

impl Frozen<'_> {
    /// Thaws it, with a second try: nothing else than a thaw helps a frozen guest.
    fn thaw(&mut self) -> Result<(), HostError> {
        self.thawed = true;
        self.host.thaw(self.domain).or_else(|_| self.host.thaw(self.domain)).map(drop)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if !self.thawed {
            // Whoever unwinds here has an error of its own to tell.
            drop(self.thaw());
        }
    }
}

/// What became of a capture and of the freeze around it.
pub(super) struct Quiesced<T> {
    /// The capture's own result.
    pub(super) result: T,
    /// The level it reached; none where the disks were not all there was to it.
    pub(super) level: Option<ConsistencyReached>,
    /// What a person should know of it.
    pub(super) remark: String,
    /// The guest may still be frozen: what to tell.
    pub(super) still_frozen: Option<String>,
}

impl Pass<'_> {
    /// Captures with the guest's filesystems frozen, where that is asked for and the guest runs on afterwards: paused for
    /// manual disks, it could not be thawed.
    pub(super) fn quiesced<T>(
        &self,
        fresh: &ObservedDomain,
        wanted: &Capture,
        capture: impl FnOnce() -> T,
    ) -> Result<Quiesced<T>, Failure> {
        let disks_alone =
            fresh.state.is_active() && wanted.memory.is_none() && !wanted.disks.is_empty() && !wanted.has_manual_disk();
        let plain = |level, remark: String, result| Ok(Quiesced { result, level, remark, still_frozen: None });
        if !disks_alone || wanted.consistency == Consistency::Crash {
            return plain(None, String::new(), capture());
        }
        let must = wanted.consistency == Consistency::Filesystem;
        let (mut frozen, filesystems) = match self.freeze(fresh) {
            Ok(frozen) => frozen,
            Err(why) if must => return Err(Failure::new(format!("{why}; nothing was captured. {RUN_AGAIN}"))),
            Err(why) => {
                let remark = format!("{why}: captured as after a power cut");
                return plain(Some(ConsistencyReached::Crash), remark, capture());
            }
        };
        let late = AtomicBool::new(false);
        let (at_work, ended) = mpsc::channel::<()>();
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                let ended = ended;
                if let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(LONGEST) {
                    late.store(true, Ordering::SeqCst);
                    // The thaw after the capture tells of an error.
                    drop(self.host.thaw(&self.domain));
                }
            });
            let result = capture();
            drop(at_work);
            result
        });
        let still_frozen = frozen.thaw().err().filter(|_| !late.load(Ordering::SeqCst)).map(|error| {
            let (uri, domain) = (printable(&self.info.uri), printable(&self.domain.name));
            format!(
                "THE GUEST'S FILESYSTEMS MAY STILL BE FROZEN: {error}. To thaw them: virsh -c '{uri}' domfsthaw '{domain}'"
            )
        });
        let (level, remark) = if late.load(Ordering::SeqCst) {
            let text = format!(
                "it took longer than {} s, so the guest was thawed meanwhile: as after a power cut",
                LONGEST.as_secs()
            );
            (ConsistencyReached::Crash, text)
        } else {
            let text =
                format!("{} frozen meanwhile", count(filesystems as usize, "filesystem was", "filesystems were"));
            (ConsistencyReached::Filesystem, text)
        };
        Ok(Quiesced { result, level: Some(level), remark, still_frozen })
    }

    /// Freezes the guest's filesystems, and says how many. Those that were frozen already are not ours to thaw.
    fn freeze(&self, fresh: &ObservedDomain) -> Result<(Frozen<'_>, u32), String> {
        if fresh.state != RunState::Running {
            return Err(format!("the guest is {} and cannot freeze its filesystems", fresh.state.as_str()));
        }
        if fresh.agent != Agent::Connected {
            return Err("no agent answers in the guest, so its filesystems cannot be frozen".to_owned());
        }
        let host = self.host;
        match host.freeze(&self.domain) {
            Ok(filesystems) => Ok((Frozen { host, domain: &self.domain, thawed: false }, filesystems)),
            Err(error) if error.class == ErrorClass::OutcomeUnknown => {
                // They may be frozen, or be so yet: that would be our doing.
                let (uri, domain) = (printable(&self.info.uri), printable(&self.domain.name));
                Err(match (Frozen { host, domain: &self.domain, thawed: false }).thaw() {
                    Ok(()) => format!("{error}; they were thawed again"),
                    Err(thaw) => format!(
                        "{error}; THE GUEST'S FILESYSTEMS MAY BE FROZEN: {thaw}. To thaw them: virsh -c '{uri}' domfsthaw \
                         '{domain}'"
                    ),
                })
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A stamp's lines with the level that was reached.
pub(super) fn with_level(lines: &[String], level: ConsistencyReached) -> Vec<String> {
    let key = format!("{TRAILER_PREFIX}Consistency: ");
    let line = |line: &String| if line.starts_with(&key) { format!("{key}{}", level.as_str()) } else { line.clone() };
    lines.iter().map(line).collect()
}
