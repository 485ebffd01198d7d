//! The hosts of a saved plan: connected by the URIs it holds, or by `-c`, and each made sure to be the one planned for.

use std::collections::BTreeSet;
use std::thread;

use super::connections;
use super::error::CliError;
use crate::apply::Target;
use crate::host;
use crate::libvirt::Access;
use crate::model::observed::{HostInfo, UnreadableHost};
use crate::model::plan::{Plan, Unreadable};
use crate::model::saved::SavedHost;
use crate::model::text::printable;
use crate::observe::{self, Connection, Endpoint};

/// Connects to the hosts that have something to do. A host that is down or is another one is noted in the plan, and does
/// not hold up the others.
///
/// # Errors
/// When `-c` names a host the plan is not about, or no host is left.
pub(super) fn open(hosts: &[SavedHost], plan: &mut Plan, connect: &[String]) -> Result<Vec<Target>, CliError> {
    let busy: BTreeSet<&str> = plan
        .actions
        .iter()
        .map(|action| action.address.host.as_str())
        .chain(plan.domains.iter().filter(|domain| domain.ledger.is_some()).map(|domain| domain.host.as_str()))
        .collect();
    let mut wanted: Vec<&SavedHost> = hosts.iter().filter(|host| busy.contains(host.name.as_str())).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut targets = Vec::with_capacity(wanted.len());
    let others = connect.iter().filter(|uri| !hosts.iter().any(|host| host.uri == **uri));
    let (given, down) = identified(others.map(Endpoint::uri).collect());
    if let Some(down) = down.first() {
        let text =
            format!("{} was given with -c and could not be reached ({}); nothing was done", down.name, down.error);
        return Err(CliError::failed(text).hint("without -c the plan's own URIs are used"));
    }
    for (connection, info) in given {
        let host = stands_for(hosts, &info).map_err(|why| CliError::failed(format!("{why}; nothing was done")))?;
        wanted.retain(|wanted| wanted.name != host.name);
        if targets.iter().any(|target: &Target| target.info.name == host.name) {
            let text =
                format!("{} is {}, which another -c leads to; nothing was done", info.uri, printable(&host.name));
            return Err(CliError::failed(text).hint("give one URI for each host"));
        }
        if busy.contains(host.name.as_str()) {
            targets.push(target(&connection, info, host));
        }
    }
    let (found, mut down) = identified(wanted.iter().map(|host| Endpoint::planned(&host.name, &host.uri)).collect());
    for (connection, info) in found {
        match wanted.iter().find(|host| host.name == info.name) {
            Some(host) if host.hostname == info.hostname => targets.push(target(&connection, info, host)),
            Some(host) => down.push(UnreadableHost { name: host.name.clone(), error: other(host, &info) }),
            None => {}
        }
    }
    if targets.is_empty() {
        let hosts: Vec<_> = down.iter().map(|host| format!("{}: {}", host.name, host.error)).collect();
        return Err(CliError::failed(format!(
            "no host of the plan was to be had; nothing was done\n{}",
            hosts.join("\n")
        ))
        .hint("-c URI connects to a host of the plan by another way"));
    }
    plan.summary.unreadable += down.len();
    plan.unreadable.extend(down.into_iter().map(|host| Unreadable {
        host: host.name,
        domain: None,
        error: host.error,
    }));
    Ok(targets)
}

/// Connects to all at once, and asks each what it is.
fn identified(candidates: Vec<Endpoint>) -> (Vec<(Connection, HostInfo)>, Vec<UnreadableHost>) {
    let hosts = connections::open(candidates, Access::ReadWrite);
    let mut down = hosts.unreachable;
    let answers: Vec<Option<host::Result<HostInfo>>> = thread::scope(|scope| {
        let asked: Vec<_> =
            hosts.connections.iter().map(|connection| scope.spawn(|| observe::identify(connection))).collect();
        asked.into_iter().map(|asked| asked.join().ok()).collect()
    });
    let mut found = Vec::with_capacity(answers.len());
    for (connection, answer) in hosts.connections.into_iter().zip(answers) {
        let error = match answer {
            Some(Ok(info)) => {
                found.push((connection, info));
                continue;
            }
            Some(Err(error)) => error.to_string(),
            None => "asking it ended in a defect of snapward".to_owned(),
        };
        down.push(UnreadableHost { name: connection.label, error });
    }
    (found, down)
}

/// Which host of the plan a host given with `-c` is: the one of the same driver and reported name.
fn stands_for<'a>(hosts: &'a [SavedHost], info: &HostInfo) -> Result<&'a SavedHost, String> {
    let same = |host: &&SavedHost| host.hostname == info.hostname && driver(&host.uri) == driver(&info.uri);
    let mut matching = hosts.iter().filter(same);
    match (matching.next(), matching.next()) {
        (Some(host), None) => Ok(host),
        (None, _) => {
            let planned: Vec<_> = hosts.iter().map(|host| printable(&host.hostname)).collect();
            Err(format!("{} is {}, and the plan is about {}", info.uri, printable(&info.hostname), planned.join(", ")))
        }
        (Some(one), Some(other)) => {
            Err(format!("{} can be {} or {} of the plan; both are on this machine", info.uri, one.name, other.name))
        }
    }
}

fn target(connection: &Connection, info: HostInfo, host: &SavedHost) -> Target {
    Target { info: HostInfo { name: host.name.clone(), ..info }, host: connection.host.clone() }
}

fn other(planned: &SavedHost, found: &HostInfo) -> String {
    let (is, was) = (printable(&found.hostname), printable(&planned.hostname));
    format!("{} leads to another host now: {is}, and the plan is about {was}", planned.uri)
}

/// The driver that a URI names, as `qemu` of `qemu+ssh://host/system`.
fn driver(uri: &str) -> &str {
    uri.split([':', '+']).next().unwrap_or(uri)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn saved(name: &str, uri: &str, hostname: &str) -> SavedHost {
        SavedHost { name: name.to_owned(), uri: uri.to_owned(), hostname: hostname.to_owned() }
    }

    fn found(hostname: &str) -> HostInfo {
        HostInfo {
            name: hostname.to_owned(),
            uri: "qemu:///system".to_owned(),
            hostname: hostname.to_owned(),
            labels: BTreeMap::new(),
            libvirt_version: 11_003_000,
            external_snapshots: true,
        }
    }

    #[test]
    fn a_host_is_known_by_its_driver_and_the_name_it_reports() {
        let hosts = [
            saved("one", "qemu+ssh://one/system", "kvm-1"),
            saved("two", "qemu+ssh://two/system", "kvm-2"),
            saved("test", "test:///default", "kvm-3"),
        ];
        let stands = |hostname: &str| stands_for(&hosts, &found(hostname)).map(|host| host.name.as_str());
        assert_eq!(stands("kvm-2"), Ok("two"));
        for hostname in ["kvm-3", "two"] {
            let why = stands(hostname).expect_err("another host");
            assert!(why.contains(hostname) && why.contains("the plan is about kvm-1, "), "{why}");
        }
        let twins = [saved("system", "qemu:///system", "kvm-1"), saved("session", "qemu:///session", "kvm-1")];
        assert!(stands_for(&twins, &found("kvm-1")).is_err());
    }
}
