//! What a poll compares of a domain.

use super::{DomainRef, Host, Result};
use crate::model::names::SnapshotName;

/// Names of snapshots, in one piece: a poll compares thousands, and most are the same in the same order as in the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Each with a zero byte behind it, which no C string has in it.
    text: String,
    count: usize,
}

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.text.split_terminator('\0')
    }
}

impl<N: AsRef<str>> FromIterator<N> for Names {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        let mut all = Self::default();
        for name in names {
            all.text.push_str(name.as_ref());
            all.text.push('\0');
            all.count += 1;
        }
        all
    }
}

/// The names of a domain's snapshots, and the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// In no order. Not all where there are more than there were.
    pub names: Names,
    /// One that was listed, unless it came or went in between.
    pub current: Option<SnapshotName>,
}

impl Survey {
    /// Asks for both, of a domain that had so many snapshots: two calls.
    ///
    /// # Errors
    /// When the domain is gone.
    pub(super) fn of(host: &(impl Host + ?Sized), domain: &DomainRef, had: usize) -> Result<Self> {
        let names = host.names(domain, had + 1)?;
        Ok(Self { names, current: host.current(domain)?.map(|current| current.name) })
    }
}
