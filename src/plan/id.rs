//! The plan's id: a hash of what the declaration asks for and the state it was decided on.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::model::plan::{ActionKind, Address, Plan, ReasonCode, View};
use crate::model::text::hex;

/// What of an action makes it the same action: not its line, which moves when a comment is added above it, nor its
/// texts, which hold times.
#[derive(Serialize)]
struct Identity<'a> {
    address: &'a Address,
    action: ActionKind,
    reason: ReasonCode,
    after: Option<Cow<'a, View>>,
}

/// How many bytes of the hash are shown: 16 are beyond any chance of two plans meeting.
const ID_BYTES: usize = 16;

/// How many hexadecimal digits an id has.
pub const ID_DIGITS: usize = 2 * ID_BYTES;

/// The reasons that come by the clock and not by the declaration.
const BY_THE_CLOCK: [ReasonCode; 6] = [
    ReasonCode::Expired,
    ReasonCode::Retention,
    ReasonCode::Scheduled,
    ReasonCode::CurrentMoved,
    ReasonCode::Guard,
    ReasonCode::RevertScheduled,
];

/// Works out the id. What comes by the clock is not in it, so that a pull request's plan stays the same plan. Deletions
/// over the breaker are: who names the id approves exactly them.
pub(super) fn plan_id(plan: &Plan) -> String {
    let declared: Vec<_> = plan
        .actions
        .iter()
        .filter(|action| !BY_THE_CLOCK.contains(&action.reason.code))
        .chain(plan.held_back.iter().map(|held| &held.action))
        .collect();
    let identities: Vec<_> = declared
        .iter()
        .map(|action| Identity {
            address: &action.address,
            action: action.action,
            reason: action.reason.code,
            after: action.after.as_ref().and_then(|after| match action.action {
                // What a deletion does to files hangs on how much was written meanwhile.
                ActionKind::Delete => None,
                // What a revert removes is named after the time of its guard snapshot.
                ActionKind::Revert => Some(Cow::Owned(View { removes: None, ..after.clone() })),
                _ => Some(Cow::Borrowed(after)),
            }),
        })
        .collect();
    let touched: HashSet<_> =
        declared.iter().map(|action| (action.address.host.as_str(), action.address.domain.as_str())).collect();
    let fingerprints: Vec<_> = plan
        .domains
        .iter()
        .filter(|domain| touched.contains(&(domain.host.as_str(), domain.domain.as_str())))
        .map(|domain| (&domain.host, domain.uuid, &domain.fingerprint))
        .collect();
    // These types serialise without fail: no map has a key that is not text.
    let bytes = serde_json::to_vec(&(identities, fingerprints)).unwrap_or_default();
    hex(&Sha256::digest(bytes)[..ID_BYTES])
}
