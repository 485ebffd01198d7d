//! A guest's QEMU at a crawl, so that a merge takes as long as a test wants on any machine and storage. `<iotune>` does not
//! do it: the block job is not throttled by it.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How many milliseconds it stands still, and how long it may run, in turn: enough to answer its monitor, too little to get
/// far.
const STANDS: u64 = 60;
const RUNS: Duration = Duration::from_millis(2);

/// Milliseconds to stand still for, where a busy machine may take seconds for what is to happen meanwhile.
const STANDS_LONG: u64 = 400;

/// A process that is stopped most of the time. It runs on when this is dropped.
pub(crate) struct Slowed {
    over: Arc<AtomicBool>,
    stands: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Slowed {
    /// Slows a process of the test's own.
    pub(crate) fn down(pid: i32) -> Self {
        let pid = Pid::from_raw(pid).expect("a process id");
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let stands = Arc::new(AtomicU64::new(STANDS));
        let stand = Arc::clone(&stands);
        let thread = spawn(move || {
            while !end.load(Ordering::SeqCst) && kill_process(pid, Signal::STOP).is_ok() {
                sleep(Duration::from_millis(stand.load(Ordering::SeqCst)));
                // It may have ended.
                let _ = kill_process(pid, Signal::CONT);
                // Not asleep: on a busy machine it would be woken late, with the merge done.
                let end = Instant::now() + RUNS;
                while Instant::now() < end {
                    spin_loop();
                }
            }
        });
        Self { over, stands, thread: Some(thread) }
    }

    /// Slows it still more: every answer of its monitor takes so much longer.
    pub(crate) fn further(&self) {
        self.stands.store(STANDS_LONG, Ordering::SeqCst);
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(self.thread.take().map(JoinHandle::join));
    }
}
