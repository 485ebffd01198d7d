//! A guest's QEMU at a crawl, so that a merge takes as long as a test wants on any machine and storage. `<iotune>` does not
//! do it: the block job is not throttled by it.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long it stands still, and how long it may run, in turn: enough to answer its monitor, too little to get far.
const STANDS: Duration = Duration::from_millis(60);
const RUNS: Duration = Duration::from_millis(2);

/// A process that is stopped most of the time. It runs on when this is dropped.
pub(crate) struct Slowed {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Slowed {
    /// Slows a process of the test's own.
    pub(crate) fn down(pid: i32) -> Self {
        let pid = Pid::from_raw(pid).expect("a process id");
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = spawn(move || {
            while !end.load(Ordering::SeqCst) && kill_process(pid, Signal::STOP).is_ok() {
                sleep(STANDS);
                // It may have ended.
                let _ = kill_process(pid, Signal::CONT);
                // Not asleep: on a busy machine it would be woken late, with the merge done.
                let end = Instant::now() + RUNS;
                while Instant::now() < end {
                    spin_loop();
                }
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(self.thread.take().map(JoinHandle::join));
    }
}
