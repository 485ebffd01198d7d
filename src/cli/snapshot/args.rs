//! The arguments that several of the verbs take.

use clap::Args;

/// The domain a verb is about.
#[derive(Debug, Args)]
pub(super) struct Domain {
    /// The domain: its name, UUID, or id while it runs.
    #[arg(value_name = "DOMAIN")]
    pub(super) domain: String,
}

/// The snapshot a verb is about.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The snapshot's name.
    #[arg(value_name = "SNAPSHOT", required_unless_present = "current")]
    pub(super) snapshot: Option<String>,

    /// The current snapshot, rather than a named one.
    #[arg(long, conflicts_with = "snapshot")]
    pub(super) current: bool,
}
