//! What a schema cannot say: names, references, contradictions, and captures that libvirt can never make. Over all
//! documents of all sources.

mod capture;
mod feeding;
mod holds;
mod identity;
mod meeting;
mod others;
mod selectors;
mod series;
mod set;

use crate::model::text::suggestion;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use jiff::SignedDuration;

use super::decode::{AnyDocument, Decoded};
use super::diagnostic::{Code, Diagnostic};
use super::gate::MAX_FAULTS;
use super::kind::Kind;
use super::load::WORTH_A_THREAD;
use super::source::Text;
use super::tree::{Tree, shown};
use crate::model::kinds::{Metadata, Schedule, SeriesTemplate, SnapshotSet};
use crate::parallel::by_pieces;
use crate::schedule::Timetable;

/// One document and where its values stand.
pub(super) struct Entry<'a> {
    pub(super) text: &'a Text<'a>,
    pub(super) tree: Tree,
    pub(super) decoded: Decoded,
}

impl Entry<'_> {
    /// An error at the value of a JSON pointer.
    fn fault(&self, code: Code, pointer: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(code, self.text, &self.range(pointer), message)
    }

    /// An error at the key of a JSON pointer's value.
    fn key_fault(&self, code: Code, pointer: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(code, self.text, &self.tree.key_place(self.tree.resolve(pointer)), message)
    }

    fn range(&self, pointer: &str) -> Range<usize> {
        self.tree.place(self.tree.resolve(pointer))
    }

    /// `file:line` of a JSON pointer's value.
    fn place(&self, pointer: &str) -> String {
        format!("{}:{}", shown(self.text.name), self.text.line(self.range(pointer).start))
    }

    fn set(&self) -> Option<&SnapshotSet> {
        match &self.decoded.value {
            Some(AnyDocument::SnapshotSet(set)) => Some(set),
            _ => None,
        }
    }

    fn template(&self) -> Option<&SeriesTemplate> {
        match &self.decoded.value {
            Some(AnyDocument::SeriesTemplate(template)) => Some(template),
            _ => None,
        }
    }
}

/// The cron expression and the zone of a schedule.
type Rhythm = (String, Option<String>);

/// All documents by identity.
struct Scope<'a> {
    by_name: &'a BTreeMap<(Kind, &'a str, &'a str), &'a Entry<'a>>,
    /// False where a file could not be read to its end: what a reference names may be in the rest.
    complete: bool,
    /// The shortest time between two slots of each schedule so far, by cron expression and zone: hundreds of slots are laid
    /// out to find it, and a farm has a few schedules for thousands of sets.
    gaps: RefCell<HashMap<Rhythm, Option<SignedDuration>>>,
}

impl<'a> Scope<'a> {
    /// The shortest time between two slots of a schedule; none where it cannot be read.
    fn shortest_gap(&self, schedule: &Schedule) -> Option<SignedDuration> {
        let key = (schedule.cron.clone(), schedule.time_zone.clone());
        let gap = || Timetable::of(schedule).ok().and_then(|timetable| timetable.shortest_gap());
        *self.gaps.borrow_mut().entry(key).or_insert_with(gap)
    }

    /// What a reference names. None, with an error where that is certain, if nothing does.
    fn resolve(
        &self,
        entry: &Entry<'_>,
        pointer: &str,
        (kind, metadata, name): (Kind, &Metadata, &str),
        out: &mut Vec<Diagnostic>,
    ) -> Option<&'a Entry<'a>> {
        let found = self.by_name.get(&(kind, metadata.namespace.as_str(), name)).copied();
        if found.is_none() && self.complete {
            let message = format!("no {kind} `{}` in the namespace `{}`", shown(name), shown(&metadata.namespace));
            let names = || {
                self.by_name.keys().filter(|(k, space, _)| *k == kind && *space == metadata.namespace).map(|key| key.2)
            };
            let elsewhere = self.by_name.keys().find(|(k, _, n)| *k == kind && *n == name);
            let label = match (suggestion(name, names()), elsewhere) {
                (_, Some((_, space, _))) => format!("it is in the namespace `{}`", shown(space)),
                (Some(near), None) => format!("did you mean `{}`?", shown(near)),
                (None, None) => "not found".to_owned(),
            };
            // A message with a hundred names helps nobody.
            const MOST_NAMES: usize = 10;
            let known: Vec<String> = names().take(MOST_NAMES).map(shown).collect();
            let help = match known.as_slice() {
                [] => format!(
                    "none is declared there; references resolve over all PATHs of the command, give the {kind}'s file too"
                ),
                known => format!("declared there: {}", known.join(", ")),
            };
            out.push(entry.fault(Code::Unresolved, pointer, message).label(label).help(help));
        }
        found
    }
}

/// Checks all documents. `complete` is false where a file could not be read to its end.
pub(super) fn validate(entries: &[Entry<'_>], complete: bool, out: &mut Vec<Diagnostic>) {
    let by_name = identity::index(entries, out);
    let scope = || Scope { by_name: &by_name, complete, gaps: RefCell::default() };
    let checked = by_pieces(entries, WORTH_A_THREAD, |entries| {
        let (scope, mut left) = (scope(), MAX_FAULTS + 1);
        // Behind so many faults nothing is told.
        let one = |entry| {
            let checked = (left > 0).then(|| check(entry, &scope))?;
            left = left.saturating_sub(checked.faults.len());
            Some(checked)
        };
        entries.iter().map_while(one).collect()
    });
    let before = out.len();
    let mut literals = Vec::with_capacity(entries.len());
    for mut checked in checked {
        if out.len() - before > MAX_FAULTS {
            break;
        }
        out.append(&mut checked.faults);
        literals.push(checked.literals);
    }
    if literals.len() < entries.len() {
        // Enough for anyone to begin with; the rest would only cost time and memory.
        return;
    }
    meeting::check(entries, &literals, &scope(), out);
}

/// What was found of one document.
struct Checked {
    faults: Vec<Diagnostic>,
    /// Of a set, the domains that it names literally.
    literals: BTreeSet<String>,
}

/// Checks one document, by itself and beside what it refers to.
fn check(entry: &Entry<'_>, scope: &Scope<'_>) -> Checked {
    let (mut out, mut literals) = (Vec::new(), BTreeSet::new());
    match &entry.decoded.value {
        None => {}
        Some(AnyDocument::SnapshotSet(set)) => {
            set::check(entry, set, scope, &mut out);
            literals = selectors::literals(&set.spec.domains);
        }
        Some(AnyDocument::SeriesTemplate(template)) => series::check_template(entry, template, scope, &mut out),
        Some(AnyDocument::RetentionPolicy(policy)) => others::retention_rules(entry, "/spec", &policy.spec, &mut out),
        Some(AnyDocument::SafetyPolicy(policy)) => others::safety(entry, policy, &mut out),
        Some(AnyDocument::RevertRequest(request)) => others::revert(entry, request, &mut out),
        Some(AnyDocument::Inventory(inventory)) => others::inventory(entry, inventory, &mut out),
    }
    Checked { faults: out, literals }
}
