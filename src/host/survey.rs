//! What a poll compares of a domain.

use super::{DomainRef, Host, Result};
use crate::model::names::SnapshotName;

/// The names of a domain's snapshots, and the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// In no order. Not all where there are more than there were.
    pub names: Vec<SnapshotName>,
    /// One that was listed, unless it came or went in between.
    pub current: Option<SnapshotName>,
}

impl Survey {
    /// Asks for both: two calls.
    ///
    /// # Errors
    /// When the domain is gone.
    pub(super) fn of(host: &(impl Host + ?Sized), domain: &DomainRef, had: usize) -> Result<Self> {
        let names = host.names(domain, had + 1)?;
        Ok(Self { names, current: host.current(domain)?.map(|current| current.name) })
    }
}
