//! One domain on one host: which connection, which domain, which snapshot; and what was probably meant where there is none.

use std::sync::Arc;

use uuid::Uuid;

use super::super::Context;
use super::super::error::CliError;
use super::super::interrupt::Interrupt;
use super::super::{connections, reading};
use super::args::Which;
use crate::host::{Counting, DomainRef, Host, SnapshotRef};
use crate::libvirt::Access;
use crate::model::desired::DesiredState;
use crate::model::listing::AskedDomain;
use crate::model::text::{printable, suggestion};
use crate::observe::Connection;

/// How many names an error lists where none is near the one that was given.
const LISTED: usize = 10;

/// A domain that was found, and the connection to its host.
pub(in crate::cli) struct Opened {
    /// The host.
    pub(in crate::cli) connection: Connection,
    /// The domain.
    pub(in crate::cli) domain: DomainRef,
    /// Watches for signals; they end the process until a verb that acts asks for a stop instead.
    pub(super) interrupt: Arc<Interrupt>,
    calls: Arc<Counting>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        tracing::info!(libvirt_calls = self.calls.calls(), "asked");
    }
}

/// Connects to the one host of the command line and finds the domain there: one call to libvirt.
///
/// # Errors
/// When several hosts are named, the host cannot be reached, or it has no such domain.
pub(in crate::cli) fn open(context: &Context, domain: &str, access: Access) -> Result<Opened, CliError> {
    let candidates = connections::candidates(&context.global.connect, &DesiredState::default());
    if candidates.len() > 1 {
        let uris: Vec<_> = context.global.connect.iter().map(|uri| printable(uri)).collect();
        let text =
            format!("a snapshot verb is about one domain of one host, and -c names several: {}", uris.join(", "));
        return Err(CliError::usage(text).hint("give -c once"));
    }
    let interrupt = reading::prepare(context.output)?;
    let hosts = connections::open(candidates, access);
    let unreachable: Vec<_> = hosts.unreachable.iter().map(|host| host.error.as_str()).collect();
    let Some((connection, calls)) = hosts.connections.into_iter().zip(hosts.counters).next() else {
        return Err(CliError::failed(format!("{}; nothing was done", unreachable.join("; ")))
            .hint("check the URI with `virsh -c URI list --all`; -c URI chooses another one"));
    };
    let domain = find(&connection, domain)?;
    Ok(Opened { domain, connection, interrupt: Arc::new(interrupt), calls })
}

/// The domain of that name, UUID or id.
fn find(connection: &Connection, domain: &str) -> Result<DomainRef, CliError> {
    let domains = connection.host.domains()?;
    let Some(found) = choose(&domains, domain) else {
        let error = CliError::failed(format!(
            "there is no domain {} on {}; nothing was done",
            printable(domain),
            printable(&connection.uri)
        ));
        return Err(meant(error, domain, domains.iter().map(|domain| domain.name.as_str())));
    };
    Ok(found.clone())
}

/// As virsh: what is a number is an id first, what looks like a UUID is one before it is a name
/// (`virshLookupDomainInternal`).
fn choose<'a>(domains: &'a [DomainRef], given: &str) -> Option<&'a DomainRef> {
    let id: Option<u32> = given.parse().ok();
    let uuid: Option<Uuid> = given.parse().ok();
    let by = |is: &dyn Fn(&DomainRef) -> bool| domains.iter().find(|domain| is(domain));
    id.and_then(|id| by(&|domain| domain.id == Some(id)))
        .or_else(|| uuid.and_then(|uuid| by(&|domain| domain.uuid.0 == uuid)))
        .or_else(|| by(&|domain| domain.name == given))
}

/// An error with what was probably meant, or with what there is.
fn meant<'a>(error: CliError, given: &str, there: impl Iterator<Item = &'a str> + Clone) -> CliError {
    if let Some(name) = suggestion(given, there.clone()) {
        return error.hint(format!("did you mean {}?", printable(name)));
    }
    // libvirt lists out of a hash table, in another order each time.
    let mut names: Vec<_> = there.map(printable).collect();
    names.sort_unstable();
    match names.len() {
        0 => error.hint("it has none"),
        n if n > LISTED => error.hint(format!("it has {n}, among them {}", names[..LISTED].join(", "))),
        _ => error.hint(format!("it has {}", names.join(", "))),
    }
}

impl Opened {
    /// Another domain of the same host.
    ///
    /// # Errors
    /// When the host has no such domain.
    pub(in crate::cli) fn another(&self, domain: &str) -> Result<Self, CliError> {
        Ok(Self {
            domain: find(&self.connection, domain)?,
            connection: self.connection.clone(),
            interrupt: Arc::clone(&self.interrupt),
            calls: Arc::clone(&self.calls),
        })
    }

    /// The calls.
    pub(in crate::cli) fn host(&self) -> &dyn Host {
        self.connection.host.as_ref()
    }

    /// The domain as answers name it.
    pub(super) fn asked(&self) -> AskedDomain {
        AskedDomain {
            connection: self.connection.uri.clone(),
            domain: self.domain.name.clone(),
            uuid: self.domain.uuid,
            domain_state: self.domain.state,
        }
    }

    /// The snapshot of that name: one call, the list of all, which also has the names for a suggestion.
    ///
    /// # Errors
    /// When there is none of that name, with the one that is probably meant.
    pub(super) fn snapshot(&self, name: &str) -> Result<SnapshotRef, CliError> {
        let all = self.host().snapshots(&self.domain)?;
        if let Some(found) = all.iter().find(|snapshot| snapshot.name.as_str() == name) {
            return Ok(found.clone());
        }
        let (domain, name_shown) = (printable(&self.domain.name), printable(name));
        let error = CliError::failed(format!("domain {domain} has no snapshot {name_shown}; nothing was done"));
        Err(meant(error, name, all.iter().map(|snapshot| snapshot.name.as_str())))
    }

    /// The current snapshot: one call.
    ///
    /// # Errors
    /// When the domain has none.
    pub(super) fn current(&self) -> Result<SnapshotRef, CliError> {
        self.host().current(&self.domain)?.ok_or_else(|| {
            let domain = printable(&self.domain.name);
            CliError::failed(format!("domain {domain} has no current snapshot; nothing was done"))
                .hint(format!("`snapward snapshot list {domain}` shows its snapshots"))
        })
    }

    /// The snapshot that was asked for: one call.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn which(&self, which: &Which) -> Result<SnapshotRef, CliError> {
        match &which.snapshot {
            Some(name) => self.snapshot(name),
            None => self.current(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::DomainUuid;
    use crate::model::observed::RunState;

    fn domain(name: &str, id: Option<u32>) -> DomainRef {
        let uuid = DomainUuid(Uuid::from_u128(name.len() as u128));
        DomainRef { name: name.to_owned(), uuid, id, state: RunState::Running, handle: Arc::new(()) }
    }

    #[test]
    fn a_number_is_an_id_before_it_is_a_name() {
        let domains = [domain("web", Some(7)), domain("7", None), domain("12", Some(3))];
        let found = |given: &str| choose(&domains, given).map(|domain| domain.name.as_str());
        assert_eq!(found("7"), Some("web"));
        assert_eq!(found("12"), Some("12"), "no domain has this id");
        assert_eq!(found("web"), Some("web"));
        assert_eq!(found(&Uuid::from_u128(2).to_string()), Some("12"));
        assert_eq!(found("we"), None);
    }

    #[test]
    fn a_misspelt_name_gets_the_nearest_or_all_there_are() {
        let hint =
            |given: &str, there: &[&str]| meant(CliError::failed(""), given, there.iter().copied()).hints.join("; ");
        assert_eq!(hint("goldne", &["base", "golden"]), "did you mean golden?");
        assert_eq!(hint("x", &["base", "golden"]), "it has base, golden");
        assert_eq!(hint("x", &[]), "it has none");
        let many: Vec<String> = (0..11).map(|n| format!("snap{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(hint("x", &many).starts_with("it has 11, among them snap0, "));
    }
}
