//! Internal and external: one kind per domain.

use super::chain::{self, Fault};
use super::claims::Claim;
use crate::model::kinds::{Location, Presence};
use crate::model::observed::ObservedDomain;
use crate::model::plan::BlockCode;
use crate::model::text::{count, some};

/// Looks for external snapshots, existing or declared, and for both kinds together.
///
/// `others` is how the series of the domain are captured, and of which kinds the records are that are restored.
pub(super) fn problem(domain: &ObservedDomain, claims: &[Claim<'_>], others: &[Location]) -> Option<Fault> {
    let external: Vec<_> = domain.tree.external().collect();
    let internal = domain.tree.len() - external.len();
    // As the manifest's own check: what shall be absent is captured in no kind.
    let captures = || claims.iter().filter(|claim| claim.snapshot.state == Presence::Present);
    let declares = |location| {
        others.contains(&location)
            || captures().any(|claim| claim.snapshot.capture.as_ref().is_some_and(|c| c.location == location))
    };
    let (wants_internal, wants_external) = (declares(Location::Internal), declares(Location::External));
    if !external.is_empty() && internal > 0 {
        return Some(Fault::new(
            BlockCode::MixedKinds,
            format!(
                "the domain has internal and external snapshots in one tree (external: {}); libvirt accepts deletes and \
                 reverts there that destroy other captures. Nothing was touched",
                some(&external)
            ),
            "merge or delete the snapshots of one kind by hand, newest first, after a backup of the images",
        ));
    }
    if !external.is_empty() && wants_internal {
        return Some(Fault::new(
            BlockCode::MixedKinds,
            format!(
                "an internal capture or definition is declared, and the domain has external snapshots ({}); the two kinds must not meet \
                 in one domain. Nothing was touched",
                some(&external)
            ),
            "delete the external snapshots first, or take what is internal out of the manifest",
        ));
    }
    if internal > 0 && wants_external {
        return Some(Fault::new(
            BlockCode::MixedKinds,
            format!(
                "an external capture or definition is declared, and the domain has {}; the two kinds must not meet in one \
                 domain. Nothing was touched",
                count(internal, "internal snapshot", "internal snapshots")
            ),
            "declare location: internal, take the external definition out, or delete the internal snapshots first",
        ));
    }
    if wants_internal && wants_external {
        return Some(Fault::new(
            BlockCode::MixedKinds,
            "internal and external snapshots are declared for it, to be captured or restored, by sets that meet in this \
             domain or in one; the two kinds must not meet in one domain. Nothing was touched",
            "exclude the domain from one of the sets (spec.domains.exclude), or declare one location",
        ));
    }
    // A tree of external snapshots is proven as a whole, with its images.
    chain::parents_are_listed(domain).err().filter(|_| external.is_empty())
}
