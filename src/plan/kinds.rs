//! Internal and external: one kind per domain.

use super::chain;
use super::claims::Claim;
use crate::model::kinds::{Location, Presence};
use crate::model::names::SnapshotName;
use crate::model::observed::ObservedDomain;
use crate::model::plan::BlockCode;
use crate::model::text::count;

/// Why nothing may be done in a domain because of the kinds of its snapshots.
pub(super) struct KindProblem {
    pub(super) code: BlockCode,
    pub(super) text: String,
    pub(super) way_out: String,
}

/// How many names a message lists before it counts the rest; more would hide the sentence around them.
const NAMES_SHOWN: usize = 3;

/// Looks for external snapshots, existing or declared, and for both kinds together.
///
/// `others` is how the series of the domain are captured, and of which kinds the records are that are restored.
pub(super) fn problem(domain: &ObservedDomain, claims: &[Claim<'_>], others: &[Location]) -> Option<KindProblem> {
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
        return Some(KindProblem {
            code: BlockCode::MixedKinds,
            text: format!(
                "the domain has internal and external snapshots in one tree (external: {}); libvirt accepts deletes and \
                 reverts there that destroy other captures. Nothing was touched",
                some(&external)
            ),
            way_out: "merge or delete the snapshots of one kind by hand, newest first, after a backup of the images"
                .to_owned(),
        });
    }
    if !external.is_empty() && wants_internal {
        return Some(KindProblem {
            code: BlockCode::MixedKinds,
            text: format!(
                "an internal capture or definition is declared, and the domain has external snapshots ({}); the two kinds must not meet \
                 in one domain. Nothing was touched",
                some(&external)
            ),
            way_out: "delete the external snapshots first, or take what is internal out of the manifest".to_owned(),
        });
    }
    if internal > 0 && wants_external {
        return Some(KindProblem {
            code: BlockCode::MixedKinds,
            text: format!(
                "an external capture or definition is declared, and the domain has {}; the two kinds must not meet in one \
                 domain. Nothing was touched",
                count(internal, "internal snapshot", "internal snapshots")
            ),
            way_out:
                "declare location: internal, take the external definition out, or delete the internal snapshots first"
                    .to_owned(),
        });
    }
    if wants_internal && wants_external {
        return Some(KindProblem {
            code: BlockCode::MixedKinds,
            text: "internal and external snapshots are declared for it, to be captured or restored, by sets that meet in this \
                   domain or in one; the two kinds must not meet in one domain. Nothing was touched"
                .to_owned(),
            way_out: "exclude the domain from one of the sets (spec.domains.exclude), or declare one location".to_owned(),
        });
    }
    // A tree of external snapshots is proven as a whole, with its images.
    let fault = chain::parents_are_listed(domain).err().filter(|_| external.is_empty())?;
    Some(KindProblem { code: fault.code, text: fault.text, way_out: fault.way_out })
}

fn some(names: &[&SnapshotName]) -> String {
    let shown: Vec<_> = names.iter().take(NAMES_SHOWN).map(ToString::to_string).collect();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
