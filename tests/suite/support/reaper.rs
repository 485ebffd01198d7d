//! Buries guests that have ended. libvirt waits for a guest's process to be gone, and a dead one is gone when its parent has
//! asked after it. libvirt leaves that to process 1; where that is not a real init, it has been seen to take 1.5 seconds.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};

/// Between two looks: short beside the start of a guest.
const POLL: Duration = Duration::from_millis(10);

/// From now on the guests that a driver starts below this process are its children, and buried when they die; `pids` is the
/// directory of the driver's pid files. No other child is touched.
pub(crate) fn bury(pids: PathBuf) {
    set_child_subreaper(Some(rustix::process::getpid())).expect("every process may be one");
    thread::spawn(move || {
        let mut guests = BTreeSet::new();
        loop {
            let files = fs::read_dir(&pids).into_iter().flatten().flatten().map(|entry| entry.path());
            let guest_files =
                files.filter(|path| path.extension().is_some_and(|ext| ext == "pid") && !path.ends_with("driver.pid"));
            guests.extend(guest_files.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<i32>().ok()));
            // One that is no child of ours, or was buried, is none to wait for.
            let lives = |pid: &i32| {
                Pid::from_raw(*pid).is_some_and(|pid| matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(None)))
            };
            guests.retain(lives);
            thread::sleep(POLL);
        }
    });
}
