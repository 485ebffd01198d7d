//! Watches the merge of a deletion while the call that does it runs.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::host::{BlockJob, DomainRef, Host};

/// The first look: small merges are through by then, and cost no call.
const FIRST: Duration = Duration::from_millis(250);

/// The looks after it: as often as a person wants to see a bar move, and a call per disk and second is nothing to libvirt.
const EVERY: Duration = Duration::from_secs(1);

/// Does the work, and tells meanwhile how far the jobs on these disks are, in bytes done and in all.
pub(super) fn watched<T>(
    host: &dyn Host,
    domain: &DomainRef,
    targets: &[&str],
    tell: impl Fn(u64, u64) + Send,
    work: impl FnOnce() -> T,
) -> T {
    if targets.is_empty() {
        return work();
    }
    let (at_work, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut jobs: Vec<Option<BlockJob>> = vec![None; targets.len()];
            let mut wait = FIRST;
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(wait) {
                wait = EVERY;
                for (job, target) in jobs.iter_mut().zip(targets) {
                    // An error says nothing: a stopped domain has no process before libvirt starts one for the merge.
                    let found = host.block_job(domain, target).ok().flatten();
                    // A job that was there and is gone is done.
                    *job = found.or(job.map(|last| BlockJob { done: last.total, total: last.total }));
                }
                let known = || jobs.iter().flatten();
                let total = known().map(|job| job.total).sum();
                if total > 0 {
                    tell(known().map(|job| job.done).sum(), total);
                }
            }
        });
        let result = work();
        drop(at_work);
        result
    })
}
