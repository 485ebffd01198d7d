//! libvirt's objects, freed without a panic, and the calls that `virt` does not wrap or not whole.
//!
//! `virt`'s own `Drop` panics where the C call to free fails, which aborts the process during an unwind. These free the
//! objects themselves and let a failure be: what could not be freed is leaked.

#![allow(unsafe_code, reason = "src/libvirt/ is the home of libvirt's C interface; see the SAFETY comments")]

use std::borrow::Cow;
use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;

use virt::connect::Connect;
use virt::domain::Domain;
use virt::domain_snapshot::DomainSnapshot;
use virt::error::Error;
use virt::sys;

use crate::host::{BlockJob, Names};

/// An object that is freed once, without a panic.
pub(super) struct Owned<T: Free>(ManuallyDrop<T>);

/// How a kind of object is freed.
pub(super) trait Free {
    /// Gives one reference back.
    ///
    /// # Safety
    /// The caller owns that reference and does not use the object again.
    unsafe fn free(&self);
}

impl<T: Free> Owned<T> {
    pub(super) fn new(object: T) -> Self {
        Self(ManuallyDrop::new(object))
    }
}

impl<T: Free> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Free> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the object came in by value, so its reference is ours; ManuallyDrop keeps `virt` from giving it back
        // a second time; nobody can reach the object after this.
        unsafe { self.0.free() };
    }
}

impl Free for Connect {
    unsafe fn free(&self) {
        // SAFETY: the pointer is valid as long as our reference is, which ends here.
        unsafe { sys::virConnectClose(self.as_ptr()) };
    }
}

impl Free for Domain {
    unsafe fn free(&self) {
        // SAFETY: the pointer is valid as long as our reference is, which ends here.
        unsafe { sys::virDomainFree(self.as_ptr()) };
    }
}

impl Free for DomainSnapshot {
    unsafe fn free(&self) {
        // SAFETY: the pointer is valid as long as our reference is, which ends here.
        unsafe { sys::virDomainSnapshotFree(self.as_ptr()) };
    }
}

/// A domain as the driver lists it.
pub(super) struct ListedDomain {
    pub(super) domain: Owned<Domain>,
    /// `virDomainState`; none where the driver did not say.
    pub(super) state: Option<u32>,
}

/// All domains with their state, in one call.
/// `virt::Connect::all_domain_stats` leaks its records.
pub(super) fn domains_with_state(connection: &Connect) -> Result<Vec<ListedDomain>, Error> {
    let mut records: *mut sys::virDomainStatsRecordPtr = ptr::null_mut();
    // SAFETY: the connection is open; libvirt stores a list that it allocates, or leaves the pointer alone and fails.
    let count =
        unsafe { sys::virConnectGetAllDomainStats(connection.as_ptr(), sys::VIR_DOMAIN_STATS_STATE, &mut records, 0) };
    let Ok(count) = usize::try_from(count) else { return Err(Error::last_error()) };
    let mut domains = Vec::with_capacity(count);
    let mut failure = None;
    for at in 0..count {
        // SAFETY: libvirt promises `count` valid pointers to records, that live until the list is freed below.
        let record = unsafe { &**records.add(at) };
        let mut state = 0;
        // SAFETY: the record's parameters are valid for as long as it is; the name is a C string; `state` is an int.
        let found =
            unsafe { sys::virTypedParamsGetInt(record.params, record.nparams, c"state.state".as_ptr(), &mut state) };
        let state = if found == 1 { u32::try_from(state).ok() } else { None };
        // SAFETY: the record's domain is valid; the list gives its own reference back below, so we take another.
        if unsafe { sys::virDomainRef(record.dom) } == 0 {
            // SAFETY: the reference just taken passes to the new object.
            let domain = Owned::new(unsafe { Domain::from_ptr(record.dom) });
            domains.push(ListedDomain { domain, state });
        } else {
            // Rather no list than one that hides a domain.
            failure.get_or_insert_with(Error::last_error);
        }
    }
    if !records.is_null() {
        // SAFETY: the list came from virConnectGetAllDomainStats and is not used again.
        unsafe { sys::virDomainStatsRecordListFree(records) };
    }
    failure.map_or(Ok(domains), Err)
}

/// How many names libvirt answers with at most: it refuses to be asked for more (`REMOTE_DOMAIN_SNAPSHOT_LIST_MAX`).
const MOST_NAMES: usize = 16_384;

/// The names of a domain's snapshots, so many at most.
/// `virt` has only the list of objects.
pub(super) fn snapshot_names(domain: &Domain, at_most: usize) -> Result<Names, Error> {
    let mut names = vec![ptr::null_mut(); at_most.min(MOST_NAMES)];
    let room = libc::c_int::try_from(names.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the domain is valid, and the array has room for so many; libvirt fills the first ones with strings that it
    // allocates, or fails and leaves none.
    let count = unsafe { sys::virDomainSnapshotListNames(domain.as_ptr(), names.as_mut_ptr(), room, 0) };
    let Ok(count) = usize::try_from(count) else { return Err(Error::last_error()) };
    // Each is freed when all were read.
    let names: Vec<_> = names.into_iter().take(count).map(Text).collect();
    Ok(names.iter().map(Text::read).collect())
}

/// The XML of a snapshot without secrets, where it lies: `virt` copies it and checks it byte by byte, which takes as long as the
/// hash over it.
pub(super) fn snapshot_xml(snapshot: &DomainSnapshot) -> Result<Text, Error> {
    // SAFETY: the snapshot is valid; libvirt allocates a string, or fails and returns null.
    let text = unsafe { sys::virDomainSnapshotGetXMLDesc(snapshot.as_ptr(), 0) };
    if text.is_null() { Err(Error::last_error()) } else { Ok(Text(text)) }
}

/// A string that libvirt allocated for us.
pub(super) struct Text(*mut libc::c_char);

impl Text {
    /// What it says. Bytes that are no UTF-8 are replaced, as `virt` does.
    pub(super) fn read(&self) -> Cow<'_, str> {
        // SAFETY: a C string that is ours until it is dropped.
        let bytes = unsafe { CStr::from_ptr(self.0) }.to_bytes();
        // Checked as a whole first: looking for what is to be replaced, byte by byte, showed in profiles.
        std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: whoever is given the string frees it (virDomainSnapshotGetXMLDesc, virDomainSnapshotListNames).
        unsafe { libc::free(self.0.cast()) };
    }
}

/// The job that runs on a disk; none where none does.
pub(super) fn block_job(domain: &Domain, target: &CStr) -> Result<Option<BlockJob>, Error> {
    let mut info = sys::virDomainBlockJobInfo { type_: 0, bandwidth: 0, cur: 0, end: 0 };
    // SAFETY: the domain is valid and the target a C string; libvirt fills `info` or leaves it alone, and keeps neither.
    let found = unsafe { sys::virDomainGetBlockJobInfo(domain.as_ptr(), target.as_ptr(), &mut info, 0) };
    match found {
        0 => Ok(None),
        1 => Ok(Some(BlockJob { done: info.cur, total: info.end })),
        _ => Err(Error::last_error()),
    }
}

/// How long an agent may take to answer a question that costs it nothing, in seconds: libvirt's own limit for its first word
/// to an agent (`QEMU_AGENT_WAIT_TIME`).
const AGENT_ANSWERS: i32 = 5;

/// How long an agent may take to freeze or thaw, in seconds.
const AGENT_FREEZES: i32 = 45;

/// Why nothing was frozen.
pub(super) enum NotFrozen {
    /// The agent did not answer before it was asked to.
    Silent(Error),
    /// It was asked to.
    Asked(Error),
}

/// Has the guest's agent freeze all mounted filesystems; how many it froze.
///
/// Three calls before the one: libvirt waits for an agent without end, and a freeze that was sent to one that hangs takes
/// place when it wakes up. So libvirt is given limits, and the agent is asked for the time first.
pub(super) fn freeze(domain: &Domain) -> Result<u32, NotFrozen> {
    limit_agent(domain, AGENT_ANSWERS).map_err(NotFrozen::Silent)?;
    let (mut seconds, mut nanoseconds) = (0, 0);
    // SAFETY: the domain is valid; libvirt fills both numbers or leaves them alone, and keeps neither.
    let answered = unsafe { sys::virDomainGetTime(domain.as_ptr(), &mut seconds, &mut nanoseconds, 0) };
    if answered < 0 {
        return Err(NotFrozen::Silent(Error::last_error()));
    }
    limit_agent(domain, AGENT_FREEZES).map_err(NotFrozen::Silent)?;
    // SAFETY: the domain is valid; without a list of mount points libvirt reads none.
    let frozen = unsafe { sys::virDomainFSFreeze(domain.as_ptr(), ptr::null_mut(), 0, 0) };
    u32::try_from(frozen).map_err(|_| NotFrozen::Asked(Error::last_error()))
}

/// Has libvirt give up on the domain's agent after so many seconds, until the domain is stopped.
fn limit_agent(domain: &Domain, seconds: i32) -> Result<(), Error> {
    // SAFETY: the domain is valid, and the call takes nothing but numbers.
    match unsafe { sys::virDomainAgentSetResponseTimeout(domain.as_ptr(), seconds, 0) } {
        0 => Ok(()),
        _ => Err(Error::last_error()),
    }
}

/// Has the guest's agent thaw all mounted filesystems; how many it thawed.
pub(super) fn thaw(domain: &Domain) -> Result<u32, Error> {
    // SAFETY: the domain is valid; without a list of mount points libvirt reads none.
    let thawed = unsafe { sys::virDomainFSThaw(domain.as_ptr(), ptr::null_mut(), 0, 0) };
    u32::try_from(thawed).map_err(|_| Error::last_error())
}
