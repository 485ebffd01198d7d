//! Selectors that find nothing, and documents this version does not carry out.

use super::Context;
use crate::model::desired::{DesiredState, Document};
use crate::model::kinds::RevertRequest;
use crate::model::observed::ObservedState;
use crate::model::plan::{Address, BlockCode, Blocked, Plan, Warning};
use crate::model::selector::Pattern;
use crate::model::text::{printable, suggestion};

/// Reports plain names and UUIDs that no host has (blocked) and globs that match nothing (a warning). Where a host could
/// not be read nothing is said: the domain may be there.
pub(super) fn report(context: &Context<'_>, observed: &ObservedState, plan: &mut Plan) {
    if !observed.unreachable.is_empty() {
        return;
    }
    for chooser in &context.choosers {
        let set = chooser.set;
        let hosts: Vec<_> = observed.hosts.iter().filter(|host| chooser.selection.selects_host(&host.info)).collect();
        if hosts.is_empty() {
            let text = format!("set {} is for none of the connected hosts", set.id());
            plan.warnings.push(Warning { text, origin: set.origin("/spec/hosts") });
            continue;
        }
        let names: Vec<_> = hosts.iter().flat_map(|host| &host.domain_names).collect();
        for (index, text) in set.value.spec.domains.include.iter().enumerate() {
            let Ok(pattern) = Pattern::parse(text) else { continue };
            if names.iter().any(|(name, uuid)| pattern.matches(name, *uuid)) {
                continue;
            }
            let origin = set.origin(&format!("/spec/domains/include/{index}"));
            if !pattern.is_literal() {
                let text = format!("set {}: no domain matches {}", set.id(), printable(text));
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
                address: Address { host, domain: text.clone(), snapshot: None },
                code: BlockCode::NoSuchDomain,
                text: on,
                way_out,
                origins: vec![origin],
            });
        }
    }
}

/// Documents that are understood and not carried out by this version.
pub(super) fn unsupported(desired: &DesiredState) -> Vec<Blocked> {
    let blocked = |revert: &Document<RevertRequest>| Blocked {
        address: Address {
            host: revert.value.spec.hosts.include.join(","),
            domain: revert.value.spec.domains.include.join(","),
            snapshot: Some(revert.value.spec.to.clone()),
        },
        code: BlockCode::NotSupported,
        text: "this version of snapward does not carry out RevertRequests; nothing was reverted".to_owned(),
        way_out: "revert by hand (virsh snapshot-revert), after a snapshot of today's state".to_owned(),
        origins: vec![revert.origin("")],
    };
    desired.reverts.iter().map(blocked).collect()
}
