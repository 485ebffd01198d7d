//! An allocator that counts: how often it was asked for memory, how much is in use, and how much was at most.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait; this one hands everything to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};

/// Counting takes time, and is for those runs alone whose time is not measured.
static COUNTS: AtomicBool = AtomicBool::new(false);
static MADE: AtomicU64 = AtomicU64::new(0);
/// Below zero where memory is given back that was taken before counting began.
static IN_USE: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

pub(crate) struct Counting;

pub(crate) fn count(on: bool) {
    COUNTS.store(on, Ordering::Relaxed);
}

/// Allocations so far.
pub(crate) fn made() -> u64 {
    MADE.load(Ordering::Relaxed)
}

/// Bytes in use now, as they were asked for.
pub(crate) fn in_use() -> isize {
    IN_USE.load(Ordering::Relaxed)
}

/// The most bytes that were in use at a time since the last call of [`forget_most`].
pub(crate) fn most() -> isize {
    MOST.load(Ordering::Relaxed)
}

pub(crate) fn forget_most() {
    MOST.store(in_use(), Ordering::Relaxed);
}

fn grew(bytes: usize) {
    if !COUNTS.load(Ordering::Relaxed) {
        return;
    }
    let bytes = bytes as isize;
    MADE.fetch_add(1, Ordering::Relaxed);
    let now = IN_USE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(now, Ordering::Relaxed);
}

fn shrank(bytes: usize) {
    if COUNTS.load(Ordering::Relaxed) {
        IN_USE.fetch_sub(bytes as isize, Ordering::Relaxed);
    }
}

// SAFETY: every request goes to the system's allocator as it came, and its answer back; the counters are beside that.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrank(layout.size());
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        shrank(layout.size());
        grew(size);
        // SAFETY: as the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
