//! Selectors that find nothing.

use std::collections::{HashMap, HashSet};

use super::Context;
use crate::model::desired::{Origin, id_of};
use crate::model::names::DomainUuid;
use crate::model::observed::ObservedState;
use crate::model::plan::{Address, BlockCode, Blocked, Plan, Warning};
use crate::model::selector::{Pattern, Selection};
use crate::model::text::{printable, suggestion};

/// One document's selectors.
struct Chosen<'a> {
    label: String,
    selection: &'a Selection,
    include: &'a [String],
    origin: Box<dyn Fn(&str) -> Origin + 'a>,
}

/// Reports plain names and UUIDs that no host has (blocked) and globs that match nothing (a warning). Where a host could
/// not be read nothing is said: the domain may be there.
pub(super) fn report(context: &Context<'_>, observed: &ObservedState, plan: &mut Plan) {
    if !observed.unreachable.is_empty() {
        return;
    }
    let sets = context.desired.sets.iter().zip(context.sets.selections()).map(|(set, selection)| {
        let origin: Box<dyn Fn(&str) -> Origin + '_> = Box::new(|at| set.origin(at));
        Chosen { label: format!("set {}", set.id()), selection, include: &set.value.spec.domains.include, origin }
    });
    let requests = context.desired.reverts.iter().zip(context.reverts.selections()).map(|(request, selection)| {
        let origin: Box<dyn Fn(&str) -> Origin + '_> = Box::new(|at| request.origin(at));
        let label = format!("RevertRequest {}", id_of(&request.value.metadata));
        Chosen { label, selection, include: &request.value.spec.domains.include, origin }
    });
    // The names of the hosts that a document is for: mostly those that another one is for too.
    let mut known: HashMap<Vec<&str>, (HashSet<&str>, HashSet<DomainUuid>)> = HashMap::new();
    for Chosen { label, selection, include, origin } in sets.chain(requests) {
        let hosts: Vec<_> = observed.hosts.iter().filter(|host| selection.selects_host(&host.info)).collect();
        if hosts.is_empty() {
            let text = format!("{label} is for none of the connected hosts");
            plan.warnings.push(Warning { text, origin: origin("/spec/hosts") });
            continue;
        }
        let names: Vec<_> = hosts.iter().flat_map(|host| &host.domain_names).collect();
        let (by_name, by_uuid) =
            known.entry(hosts.iter().map(|host| host.info.name.as_str()).collect()).or_insert_with(|| {
                let by_name: HashSet<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
                (by_name, names.iter().map(|(_, uuid)| *uuid).collect::<HashSet<_>>())
            });
        for (index, text) in include.iter().enumerate() {
            let Ok(pattern) = Pattern::parse(text) else { continue };
            let found = match &pattern {
                Pattern::Name(name) => by_name.contains(name.as_str()),
                Pattern::Uuid(uuid) => by_uuid.contains(uuid),
                Pattern::Glob(_) => names.iter().any(|(name, uuid)| pattern.matches(name, *uuid)),
            };
            if found {
                continue;
            }
            let origin = origin(&format!("/spec/domains/include/{index}"));
            if !pattern.is_literal() {
                let text = format!("{label}: no domain matches {}", printable(text));
                plan.warnings.push(Warning { text, origin });
                continue;
            }
            let on = match hosts.as_slice() {
                [host] => format!("host {} has no such domain", host.info.name),
                hosts => format!("none of {} hosts has such a domain", hosts.len()),
            };
            let way_out = match suggestion(text, names.iter().map(|(name, _)| name.as_str())) {
                Some(name) => format!("did you mean {}?", printable(name)),
                None => "correct the name, or use a glob if the domain may be missing".to_owned(),
            };
            let host = if let [host] = hosts.as_slice() { host.info.name.clone() } else { "*".to_owned() };
            plan.blocked.push(Blocked {
                address: Address { host: host.into(), domain: text.clone(), snapshot: None },
                code: BlockCode::NoSuchDomain,
                text: on,
                way_out,
                origins: vec![origin],
            });
        }
    }
}
