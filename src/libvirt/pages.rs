//! The memory of libvirt's some sixty libraries: most of the program text that their start runs is never run again, and counts
//! as resident until the kernel is short of memory.

#![allow(unsafe_code, reason = "src/libvirt/ is the home of what only C can do; see the SAFETY comment")]

use std::ffi::c_void;
use std::fs;
use std::sync::OnceLock;

use rustix::mm::{Advice, madvise};

/// Start and length of each mapping of program text that was there before libvirt was used: the program's own, and those of
/// the libraries it is linked with, which are never unloaded.
static TEXT: OnceLock<Vec<(usize, usize)>> = OnceLock::new();

/// Notes which libraries the program is linked with.
pub(super) fn note_text() {
    TEXT.get_or_init(|| unchanged_text(&fs::read_to_string("/proc/self/smaps").unwrap_or_default()));
}

/// Lets go of the pages of program text. Those that are used again come back from the page cache when they are.
pub fn give_back_text() {
    for (start, length) in TEXT.get().into_iter().flatten() {
        // SAFETY: these are private mappings of files, not writable, that differ in no page from their file; and they stay for
        // as long as the process does. MADV_DONTNEED makes the kernel read a page from the file again when it is next used
        // (madvise(2)), which it may do by itself at any time.
        let told = unsafe { madvise(*start as *mut c_void, *length, Advice::LinuxDontNeed) };
        if let Err(error) = told {
            tracing::debug!(%error, "pages of program text stay resident");
        }
    }
}

/// The mappings of program text that are as in their files, from what proc_pid_smaps(5) shows. One that the loader changed
/// (text relocations) is not.
fn unchanged_text(maps: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<Option<(usize, usize)>> = Vec::new();
    for line in maps.lines() {
        match line.split_once(':') {
            Some(("Anonymous" | "Swap", size)) if !size.trim_start().starts_with("0 ") => {
                found.pop();
                found.push(None);
            }
            // A mapping begins with its addresses; its device has a colon too.
            Some((head, _)) if head.contains('-') => found.push(text(line)),
            _ => {}
        }
    }
    found.into_iter().flatten().collect()
}

/// The start and length of a mapping, where it is of program text in a file.
fn text(line: &str) -> Option<(usize, usize)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [range, "r-xp", _, _, _, path, ..] = fields.as_slice() else { return None };
    let (start, end) = range.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    path.starts_with('/').then_some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_as_in_its_file_is_found_and_nothing_else() {
        let maps = "\
55d0c0000000-55d0c0002000 r--p 00000000 fe:01 11 /usr/bin/snapward-libvirt
Rss:                   8 kB
Anonymous:             0 kB
55d0c0002000-55d0c0005000 r-xp 00002000 fe:01 11 /usr/bin/snapward-libvirt
Rss:                  12 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
7f0000000000-7f0000001000 r-xp 00000000 fe:01 12 /usr/lib/relocated text.so
Anonymous:             4 kB
7f0000001000-7f0000002000 r-xp 00000000 fe:01 13 /usr/lib/swapped.so
Anonymous:             0 kB
Swap:                  4 kB
7f0000002000-7f0000003000 rw-p 00000000 00:00 0
Anonymous:             4 kB
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
";
        assert_eq!(unchanged_text(maps), [(0x55d0_c000_2000, 0x3000)]);
    }

    #[test]
    fn the_program_goes_on_without_the_pages_that_it_gave_back() {
        note_text();
        let known = TEXT.get().map_or(0, Vec::len);
        assert!(known > 10, "the program and libvirt's libraries: {known}");
        give_back_text();
        let text = fs::read_to_string("/proc/self/smaps").expect("Linux");
        assert_eq!(unchanged_text(&text).len(), known, "and reads, parses and compares");
    }
}
