//! The host calls as words: what an error says was tried, and which calls change something.

use std::fmt;

use super::DomainRef;
use crate::model::names::{DomainUuid, SnapshotName};
use crate::model::text::printable;

/// One call of a [`super::Host`], with what it is about.
#[derive(Debug, Clone, Copy)]
pub enum Operation<'a> {
    /// [`super::Host::hostname`].
    Hostname,
    /// [`super::Host::libvirt_version`].
    LibvirtVersion,
    /// [`super::Host::capabilities`].
    Capabilities,
    /// [`super::Host::domains`].
    Domains,
    /// [`super::Host::domain`].
    Domain(DomainUuid),
    /// [`super::Host::definition`].
    Definition(&'a DomainRef),
    /// [`super::Host::is_persistent`].
    IsPersistent(&'a DomainRef),
    /// [`super::Host::snapshots`].
    Snapshots(&'a DomainRef),
    /// [`super::Host::names`].
    Names(&'a DomainRef),
    /// [`super::Host::select`].
    Select(&'a DomainRef),
    /// [`super::Host::current`].
    Current(&'a DomainRef),
    /// [`super::Host::snapshot`].
    Snapshot(&'a DomainRef, &'a SnapshotName),
    /// [`super::Host::snapshot_xml`].
    SnapshotXml(&'a DomainRef, &'a SnapshotName),
    /// [`super::Host::snapshot_secure`].
    SnapshotSecure(&'a DomainRef, &'a SnapshotName),
    /// [`super::Host::create`].
    Create(&'a DomainRef, &'a SnapshotName),
    /// [`super::Host::redefine`]; the name stands in the XML.
    Redefine(&'a DomainRef, Option<&'a SnapshotName>),
    /// [`super::Host::delete`].
    Delete(&'a DomainRef, &'a SnapshotName),
    /// [`super::Host::forget`].
    Forget(&'a DomainRef, &'a SnapshotName),
    /// [`super::Host::revert`].
    Revert(&'a DomainRef, &'a SnapshotName),
    /// [`super::Host::has_managed_save`].
    HasManagedSave(&'a DomainRef),
    /// [`super::Host::freeze`].
    Freeze(&'a DomainRef),
    /// [`super::Host::thaw`].
    Thaw(&'a DomainRef),
    /// [`super::Host::write_ledger`].
    WriteLedger(&'a DomainRef),
    /// [`super::Host::block_job`].
    BlockJob(&'a DomainRef),
}

impl Operation<'_> {
    /// The name of the method.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::LibvirtVersion => "libvirt_version",
            Self::Capabilities => "capabilities",
            Self::Domains => "domains",
            Self::Domain(_) => "domain",
            Self::Definition(_) => "definition",
            Self::IsPersistent(_) => "is_persistent",
            Self::Snapshots(_) => "snapshots",
            Self::Names(_) => "names",
            Self::Select(_) => "select",
            Self::Current(_) => "current",
            Self::Snapshot(..) => "snapshot",
            Self::SnapshotXml(..) => "snapshot_xml",
            Self::SnapshotSecure(..) => "snapshot_secure",
            Self::Create(..) => "create",
            Self::Redefine(..) => "redefine",
            Self::Delete(..) => "delete",
            Self::Forget(..) => "forget",
            Self::Revert(..) => "revert",
            Self::HasManagedSave(_) => "has_managed_save",
            Self::Freeze(_) => "freeze",
            Self::Thaw(_) => "thaw",
            Self::WriteLedger(_) => "write_ledger",
            Self::BlockJob(_) => "block_job",
        }
    }

    /// Whether it changes something on the host.
    pub fn is_write(&self) -> bool {
        match self {
            Self::Create(..)
            | Self::Redefine(..)
            | Self::Delete(..)
            | Self::Forget(..)
            | Self::Revert(..)
            | Self::Freeze(_)
            | Self::Thaw(_)
            | Self::WriteLedger(_) => true,
            Self::Hostname
            | Self::LibvirtVersion
            | Self::Capabilities
            | Self::Domains
            | Self::Domain(_)
            | Self::Definition(_)
            | Self::IsPersistent(_)
            | Self::Snapshots(_)
            | Self::Names(_)
            | Self::Current(_)
            | Self::Select(_)
            | Self::Snapshot(..)
            | Self::SnapshotXml(..)
            | Self::SnapshotSecure(..)
            | Self::HasManagedSave(_)
            | Self::BlockJob(_) => false,
        }
    }

    /// Whether the guest's agent has to answer it, which a guest may never do.
    pub fn asks_agent(&self) -> bool {
        matches!(self, Self::Freeze(_) | Self::Thaw(_))
    }
}

/// Completes the sentence "could not ...".
impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |domain: &DomainRef| printable(&domain.name);
        match *self {
            Self::Hostname => f.write_str("read the host's name"),
            Self::LibvirtVersion => f.write_str("read libvirt's version"),
            Self::Capabilities => f.write_str("read the host's capabilities"),
            Self::Domains => f.write_str("list the domains"),
            Self::Domain(uuid) => write!(f, "look up the domain with UUID {uuid}"),
            Self::Definition(domain) => write!(f, "read the definition of domain {}", name(domain)),
            Self::IsPersistent(domain) => write!(f, "read whether domain {} is persistent", name(domain)),
            Self::Snapshots(domain) | Self::Names(domain) | Self::Select(domain) => {
                write!(f, "list the snapshots of domain {}", name(domain))
            }
            Self::Current(domain) => write!(f, "read the current snapshot of domain {}", name(domain)),
            Self::Snapshot(domain, snapshot) => write!(f, "read snapshot {snapshot} of domain {}", name(domain)),
            Self::SnapshotXml(domain, snapshot) => {
                write!(f, "read the XML of snapshot {snapshot} of domain {}", name(domain))
            }
            Self::SnapshotSecure(domain, snapshot) => {
                write!(f, "read snapshot {snapshot} of domain {} with its secrets", name(domain))
            }
            Self::Create(domain, snapshot) => write!(f, "capture snapshot {snapshot} of domain {}", name(domain)),
            Self::Redefine(domain, Some(snapshot)) => {
                write!(f, "redefine snapshot {snapshot} of domain {}", name(domain))
            }
            Self::Redefine(domain, None) => write!(f, "redefine a snapshot of domain {}", name(domain)),
            Self::Delete(domain, snapshot) => write!(f, "delete snapshot {snapshot} of domain {}", name(domain)),
            Self::Forget(domain, snapshot) => {
                write!(f, "drop libvirt's record of snapshot {snapshot} of domain {}", name(domain))
            }
            Self::Revert(domain, snapshot) => write!(f, "revert domain {} to snapshot {snapshot}", name(domain)),
            Self::HasManagedSave(domain) => write!(f, "read whether domain {} has a managed save", name(domain)),
            Self::Freeze(domain) => write!(f, "freeze the filesystems of domain {}", name(domain)),
            Self::Thaw(domain) => write!(f, "thaw the filesystems of domain {}", name(domain)),
            Self::WriteLedger(domain) => write!(f, "write the ledger of domain {}", name(domain)),
            Self::BlockJob(domain) => write!(f, "read the progress of domain {}'s block job", name(domain)),
        }
    }
}
