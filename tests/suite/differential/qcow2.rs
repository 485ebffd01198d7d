//! Reads pages of qcow2 and raw images without a process for each: a sequence reads hundreds of them. Also while a guest
//! has them open, after it flushed.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The size of a cluster, and the distance of two pages.
pub(super) const PAGE: u64 = 65_536;
/// How much of a page is filled.
pub(super) const FILLED: u64 = 4096;
/// How many pages there are.
pub(super) const PAGES: u8 = 8;

/// The bits of a table's entry that are an offset.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// What each page holds, down to the bottom of the chain; or why it cannot be read.
pub(super) fn content(path: &Path, tag: Option<&str>) -> Result<Vec<u8>, String> {
    (0..PAGES).map(|page| byte(path, tag, u64::from(page))).collect()
}

fn byte(path: &Path, tag: Option<&str>, page: u64) -> Result<u8, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let read = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at).map(|()| bytes).map_err(|error| format!("{}: {error}", path.display()))
    };
    let header = read(0, 104)?;
    if header[..4] != *b"QFI\xfb" {
        return filled(&read(page * PAGE, usize::try_from(FILLED).expect("small"))?, path);
    }
    let mut l1 = u64_at(&header, 40);
    if let Some(tag) = tag {
        l1 = tag_l1(&read, &header, tag)?.ok_or_else(|| format!("{} has no {tag}", path.display()))?;
    }
    // All pages are in the first cluster of the second table.
    let l2 = u64_at(&read(l1, 8)?, 0) & OFFSET;
    let entry = if l2 == 0 { 0 } else { u64_at(&read(l2 + page * 8, 8)?, 0) };
    match entry & OFFSET {
        _ if entry & 1 == 1 => Ok(0),
        0 => match backing(&read, &header)? {
            None => Ok(0),
            Some(below) => byte(&path.parent().expect("a directory").join(below), None, page),
        },
        at => filled(&read(at, usize::try_from(FILLED).expect("small"))?, path),
    }
}

fn filled(bytes: &[u8], path: &Path) -> Result<u8, String> {
    match bytes.iter().all(|byte| *byte == bytes[0]) {
        true => Ok(bytes[0]),
        false => Err(format!("a page of {} is filled with several patterns", path.display())),
    }
}

type Read<'r> = dyn Fn(u64, usize) -> Result<Vec<u8>, String> + 'r;

fn backing(read: &Read<'_>, header: &[u8]) -> Result<Option<String>, String> {
    let (at, length) = (u64_at(header, 8), u32_at(header, 16));
    if at == 0 {
        return Ok(None);
    }
    String::from_utf8(read(at, length as usize)?).map(Some).map_err(|error| error.to_string())
}

/// Where the first table of an internal snapshot is.
fn tag_l1(read: &Read<'_>, header: &[u8], tag: &str) -> Result<Option<u64>, String> {
    let (count, mut at) = (u32_at(header, 60), u64_at(header, 64));
    for _ in 0..count {
        let entry = read(at, 40)?;
        let length = |at: usize| u64::from(u16::from_be_bytes([entry[at], entry[at + 1]]));
        let (id, name, extra) = (length(12), length(14), u64::from(u32_at(&entry, 36)));
        let text = read(at + 40 + extra + id, usize::try_from(name).expect("short"))?;
        if text == tag.as_bytes() {
            return Ok(Some(u64_at(&entry, 0)));
        }
        at += (40 + extra + id + name).next_multiple_of(8);
    }
    Ok(None)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
