//! What a host tells by itself, between two calls. Each event is a hint that something is to be read: one that is lost, or that
//! a driver does not know, costs time and nothing else.

use std::sync::Arc;

use crate::model::names::DomainUuid;

/// Something happened on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// To one of its domains.
    Domain {
        /// Its name.
        name: String,
        /// Its UUID.
        uuid: DomainUuid,
        /// What.
        what: Happened,
    },
    /// The connection is lost.
    Closed,
}

/// What happened to a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// It was defined, changed or renamed.
    Defined,
    /// It was undefined.
    Undefined,
    /// It was started.
    Started,
    /// It was stopped, or crashed.
    Stopped,
    /// It was paused or suspended.
    Paused,
    /// It runs on.
    Resumed,
    /// It was defined, started or stopped from a snapshot: a revert, or a capture that stops the guest.
    FromSnapshot,
    /// A block job on one of its disks ended: its image chains may have changed.
    BlockJob,
    /// The ledger in its metadata was written.
    Ledger,
}

impl Happened {
    /// As a label of a metric.
    pub fn word(self) -> &'static str {
        match self {
            Self::Defined => "defined",
            Self::Undefined => "undefined",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::FromSnapshot => "from_snapshot",
            Self::BlockJob => "block_job",
            Self::Ledger => "ledger",
        }
    }
}

/// Told of events. It is called on the thread that serves all connections of the process: it must neither block nor call a
/// host.
pub type Listener = Arc<dyn Fn(Event) + Send + Sync>;
