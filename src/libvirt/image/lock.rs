//! The locks by which QEMU keeps others off an image that it has open.
#![allow(unsafe_code, reason = "fcntl(2) takes a pointer; see the SAFETY comments")]

use std::fs::File;
use std::os::fd::AsRawFd as _;

/// The first byte that QEMU locks, of an image of any size: one for each permission it holds (`RAW_LOCK_PERM_BASE` in
/// block/file-posix.c).
const FIRST: libc::off_t = 100;

/// How many there are: those of the permissions that it does not share begin a hundred further
/// (`RAW_LOCK_SHARED_BASE`).
const BYTES: libc::off_t = 200;

/// Whether any process holds one of these locks. Asks without taking one; of a filesystem that knows none, no.
///
/// Not by `rustix::process::fcntl_getlk` (1.1): locks of open files, as QEMU's, have no process, and it takes the -1 in
/// that place for one and panics.
pub(super) fn is_held(file: &File) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "both are small constants of fcntl(2)")]
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: FIRST,
        l_len: BYTES,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open as long as `file` lives, and the kernel writes into a flock that is ours.
    let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    asked == 0 && i32::from(lock.l_type) != libc::F_UNLCK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_of_an_open_file_is_seen_and_taken_by_nobody() {
        let path = tempfile::NamedTempFile::new().expect("a file");
        let (ours, other) = (path.reopen().expect("opened"), path.reopen().expect("opened"));
        assert!(!is_held(&ours) && !is_held(&other), "asking takes none");
        let mut lock = libc::flock { l_type: 0, l_whence: 0, l_start: 201, l_len: 1, l_pid: 0 };
        // SAFETY: as above.
        let taken = unsafe { libc::fcntl(other.as_raw_fd(), libc::F_OFD_SETLK, &raw mut lock) };
        assert_eq!(taken, 0, "a shared lock on one byte");
        assert!(is_held(&ours));
        assert!(!is_held(&other), "one's own is none");
        drop(other);
        assert!(!is_held(&ours));
    }
}
