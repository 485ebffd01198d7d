//! The runs that faults are tried on, each small and of another mechanism of libvirt's: what there is before, what is
//! asked for, and what must hold however the run ended, once the next one is through.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use snapward::model::desired::DesiredState;
use snapward::model::outcome::{DomainResult, Outcome};
use snapward::model::plan::{BlockCode, Plan};

use crate::support::chain::{Chain, backing_chain, source};
use crate::support::embed::EmbedRoot;
use crate::support::gate::wait_until;
use crate::support::guest::{Guest, between};
use crate::support::lab::{Lab, Planned, actions, blocks, set, snapshot};
use crate::support::tools::{self, qemu_img_snapshots};

/// One domain of a root, in which one fault is met.
pub(super) struct Site<'a> {
    pub(super) root: &'a EmbedRoot,
    pub(super) lab: &'a Lab<'a>,
    /// The domain's name.
    pub(super) domain: String,
    /// The hour of the first slot of a series.
    pub(super) start: Timestamp,
    /// Whether libvirt may have ended in the middle of a call: then a person does what the plan says, where it says so.
    pub(super) mends: bool,
}

/// What a run is and what must hold after it.
pub(super) struct World {
    pub(super) name: &'static str,
    /// Defines the domain and brings it to where the run begins.
    pub(super) prepare: fn(&Site<'_>),
    /// What is asked for.
    pub(super) desired: fn(&Site<'_>) -> DesiredState,
    /// When the run is, in hours after the first slot of a series; else now.
    hour: Option<i64>,
    /// What the run will do.
    actions: fn(&Site<'_>) -> Vec<String>,
    /// Lets the next run complete what ended early, and asserts all that must hold then.
    pub(super) check: fn(&Site<'_>) -> Ended,
}

/// How the next run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ended {
    /// Everything is as declared, and nothing is left to do.
    Converged,
    /// What needs a person, each with its way out.
    Blocked(Vec<String>),
    /// As declared, after a person did what the plan said of these.
    Mended(Vec<String>),
}

/// What an outcome says where libvirt is to be told anew how the images of a running domain lie.
const RESTART: &str = "shut the guest down and start it again";

/// What it says where that passes by itself.
const RUN_AGAIN: &str = "run again, libvirt takes another name each time";

/// Each of them.
pub(super) const ALL: [&World; 4] = [&DECLARED, &SERIES, &EXTERNAL, &REVERT];

impl World {
    /// Plans the run.
    pub(super) fn plan(&self, site: &Site<'_>) -> Planned {
        let planned = site.lab.plan_at(&(self.desired)(site), self.now(site));
        let (does, wanted) = (actions(&planned.plan), (self.actions)(site));
        // A guard is named after the second of its plan.
        let fits = does.len() == wanted.len() && does.iter().zip(&wanted).all(|(does, begin)| does.starts_with(begin));
        assert!(fits, "{} does {does:?} and not {wanted:?}", self.name);
        planned
    }

    /// The time of the run.
    pub(super) fn now(&self, site: &Site<'_>) -> Timestamp {
        self.hour.map_or_else(|| site.lab.now(), |hour| site.hour(hour))
    }
}

impl<'a> Site<'a> {
    /// An hour of the series: 0 is the first.
    fn hour(&self, n: i64) -> Timestamp {
        self.start + SignedDuration::from_hours(n)
    }

    /// The name of the snapshot of that hour.
    fn slot(&self, n: i64) -> String {
        format!("lab-hourly-{}", compact(self.hour(n)))
    }

    fn set(&self, spec: &str) -> String {
        set("lab", &format!("  domains: {{include: [{}]}}\n{spec}", self.domain))
    }

    /// The domain as an earlier process left it; what it wrote and captured is to be noted.
    fn known(&self) -> Chain<'a> {
        Chain::known(self.root, &self.domain)
    }

    fn new_chain(&self) -> Chain<'a> {
        Chain::new(self.root, &self.domain)
    }

    /// Runs as the manifests want it at that time, and once more: nothing may be left to do.
    fn completes(&self, desired: &DesiredState, now: Timestamp) -> Ended {
        let next = self.lab.plan_at(desired, now);
        assert_blocks_are_told(&next.plan);
        let outcome = self.lab.carry_out(&next);
        let mut texts = outcome.domains.iter().flat_map(|domain| &domain.actions).map(|action| action.text.as_str());
        let advice = texts.find_map(|text| [RESTART, RUN_AGAIN].into_iter().find(|advice| text.contains(advice)));
        if let Some(advice) = advice.filter(|_| self.mends) {
            assert_told(&outcome);
            if advice == RESTART {
                self.restart();
            }
            let ended = self.completes(desired, now);
            assert!(matches!(ended, Ended::Converged | Ended::Mended(_)), "{ended:?} after: {outcome:#?}");
            return Ended::Mended(vec![advice.to_owned()]);
        }
        assert!(outcome.domains.iter().all(|domain| domain.result == DomainResult::Done), "{outcome:#?}");
        let last = self.lab.plan_at(desired, now).plan;
        assert_eq!(actions(&last), Vec::<String>::new(), "left to do");
        let blocked = blocks(&last);
        if blocked.is_empty() {
            return Ended::Converged;
        }
        if !self.mends {
            return Ended::Blocked(blocked);
        }
        // One after the other: what hangs on it says so.
        let first =
            last.blocked.iter().find(|item| item.way_out != "repair the domain first").expect("one to begin with");
        self.mend(&first.text, &first.way_out);
        let ended = self.completes(desired, now);
        assert!(matches!(ended, Ended::Converged | Ended::Mended(_)), "{ended:?} after: {:#?}", last.blocked);
        Ended::Mended(blocked)
    }

    /// Stops the guest and starts it again.
    fn restart(&self) {
        let guest = self.known().guest;
        self.root.kill_guest(&self.domain);
        wait_until("libvirt to see that its guest is gone", || !guest.is_active());
        guest.start_paused();
    }

    /// Does what a blocked item says.
    fn mend(&self, text: &str, way_out: &str) {
        let guest = self.known().guest;
        let runs = guest.is_active();
        let stop = || {
            if runs {
                self.root.kill_guest(&self.domain);
                wait_until("libvirt to see that its guest is gone", || !guest.is_active());
            }
        };
        if way_out.contains("qemu-img snapshot -d") {
            stop();
            let listed = guest.snapshots();
            for tag in qemu_img_snapshots(&guest.vda()).iter().filter(|tag| !listed.contains(tag)) {
                tools::run("qemu-img", &["snapshot", "-d", tag, tools::text(&guest.vda())]);
            }
        } else if way_out.contains("qemu-img commit '") {
            stop();
            let file = between(way_out, "qemu-img commit '", "'");
            tools::run("qemu-img", &["commit", "-q", file]);
            if way_out.contains("virsh edit") {
                guest.redefine_with(file, between(way_out, ", and disk vda on ", ". Start"));
            }
            std::fs::remove_file(file).expect("it is there");
        } else if way_out.contains("virsh edit") {
            let (now, next) =
                (between(text, "an image below ", ", which the guest"), between(text, " on ", ", an image"));
            guest.redefine_with(next, now);
        } else if way_out.contains("set the pointer to the snapshot whose overlay is the active image") {
            let active = source(&guest.xml(), "vda");
            let on_it = |name: &&String| guest.snapshot_xml(name).contains(tools::text(&active));
            let snapshots = guest.snapshots();
            guest.set_current(snapshots.iter().find(on_it).expect("a snapshot with that overlay"));
        } else if text.contains("is there already") {
            std::fs::remove_file(between(text, "the file ", " is there already")).expect("it is there");
        } else {
            panic!("nobody knows what to do about: {text}\n{way_out}");
        }
        if runs && !guest.is_active() {
            guest.start_paused();
        }
    }

    /// The snapshot that a run deletes: where it may have ended in the middle of that, its content may be gone already.
    fn begun<'n>(&self, going: &'n str) -> &'n str {
        if self.mends { going } else { "" }
    }

    /// The images of this domain, sorted.
    fn images(&self) -> Vec<String> {
        let is_its = |image: &String| image.strip_prefix(&self.domain).is_some_and(|rest| rest.starts_with(['-', '.']));
        self.root.images().into_iter().filter(is_its).collect()
    }

    /// Asserts that no image of the domain is there that neither its disk nor any snapshot needs. Where libvirt ended
    /// in the middle of a call, one may be, and the plan names it.
    #[track_caller]
    fn assert_no_orphans(&self, guest: &Guest<'_>, plan: &Plan) {
        let mut used = backing_chain(&source(&guest.xml(), "vda"));
        for name in guest.snapshots() {
            used.extend(backing_chain(&source(&guest.snapshot_xml(&name), "vda")));
        }
        let warned = |image: &String| plan.warnings.iter().any(|warning| warning.text.contains(image.as_str()));
        let told = |image: &String| self.mends && warned(image);
        let orphans: Vec<_> = self.images().into_iter().filter(|image| !used.contains(image) && !told(image)).collect();
        assert_eq!(orphans, Vec::<String>::new(), "beside {used:?}, and not in {:?}", plan.warnings);
    }

    /// Removes the domain with its guest and images: else every later one is read beside it.
    pub(super) fn clear(&self) {
        let guest = self.known().guest;
        if guest.is_active() {
            self.root.kill_guest(&self.domain);
            wait_until("libvirt to see that its guest is gone", || !guest.is_active());
        }
        guest.undefine();
        for image in self.images() {
            std::fs::remove_file(self.root.image(&image)).expect("removed");
        }
    }
}

/// A block says what is the matter and what to do.
#[track_caller]
fn assert_blocks_are_told(plan: &Plan) {
    for blocked in &plan.blocked {
        assert!(!blocked.text.is_empty() && !blocked.way_out.is_empty(), "{blocked:?}");
    }
}

/// Asserts that an image has these internal snapshots, each once.
#[track_caller]
fn assert_tags(guest: &Guest<'_>, wanted: &[&str]) {
    let mut tags = qemu_img_snapshots(&guest.vda());
    tags.sort();
    assert_eq!(tags, wanted, "the snapshots in the image");
}

/// Declared internal snapshots of a stopped domain: adopt, redefine, capture two, move the pointer, delete.
pub(super) const DECLARED: World = World {
    name: "declared",
    prepare: |site| {
        let mut chain = site.new_chain();
        chain.write();
        chain.guest.snapshot("found", "<description>by hand</description>");
        site.lab.apply(&site.set(&format!("  snapshots:\n{}", declared_before())));
        chain.write();
    },
    desired: |site| Lab::load(&site.set(&declared())),
    hour: None,
    actions: |_| {
        let all = ["redefine found", "redefine a", "create b", "create c", "redefine c", "setCurrent a", "delete old"];
        all.map(str::to_owned).to_vec()
    },
    check: |site| {
        let mut chain = site.known();
        chain.note_write();
        ["found", "old", "a"].iter().for_each(|name| chain.note_capture(name));
        chain.note_write();
        ["b", "c"].iter().for_each(|name| chain.note_capture(name));
        // Before anything else is done, and in the end.
        chain.assert_intact_but(site.begun("old"));
        let ended = site.completes(&Lab::load(&site.set(&declared())), site.lab.now());
        assert!(site.mends || ended == Ended::Converged, "{ended:?}");
        chain.assert_intact();
        assert_eq!(chain.guest.snapshots(), ["a", "b", "c", "found"]);
        assert_tags(&chain.guest, &["a", "b", "c", "found"]);
        assert_eq!(chain.guest.current(), "a");
        let ledger = chain.guest.xml();
        for made in ["a", "b", "c", "found"] {
            assert!(ledger.contains(&format!("made name=\"{made}\" created=")), "{ledger}");
        }
        let again = site.set(&format!("  snapshots:\n{}", snapshot("old", &[])));
        assert_eq!(blocks(&site.lab.plan(&again).plan), Vec::<String>::new(), "the deletion is not forgotten");
        ended
    },
};

fn declared_before() -> String {
    format!("{}{}", snapshot("old", &[]), snapshot("a", &["description: first"]))
}

fn declared() -> String {
    let snapshots = [
        snapshot("found", &["adopt: true"]),
        snapshot("a", &["description: second"]),
        "    - {name: old, state: absent}\n".to_owned(),
        snapshot("b", &[]),
        snapshot("c", &["parent: a"]),
    ];
    format!("  snapshots:\n{}  current: a", snapshots.concat())
}

/// A series of internal snapshots of a running domain: capture with memory, move the pointer back, delete the oldest.
pub(super) const SERIES: World = World {
    name: "series",
    prepare: |site| {
        let mut chain = site.new_chain();
        let desired = Lab::load(&series(site));
        chain.write();
        site.lab.carry_out(&site.lab.plan_at(&desired, site.hour(0)));
        chain.write();
        chain.guest.start_paused();
        site.lab.carry_out(&site.lab.plan_at(&desired, site.hour(1)));
    },
    desired: |site| Lab::load(&series(site)),
    hour: Some(2),
    actions: |site| {
        vec![format!("create {}", site.slot(2)), "setCurrent golden".to_owned(), format!("delete {}", site.slot(0))]
    },
    check: |site| {
        let mut chain = site.known();
        chain.note_write();
        ["golden", &site.slot(0)].iter().for_each(|name| chain.note_capture(name));
        chain.note_write();
        [site.slot(1), site.slot(2)].iter().for_each(|name| chain.note_capture(name));
        chain.assert_intact_but(site.begun(&site.slot(0)));
        assert!(chain.guest.snapshots().len() >= 3, "nothing is deleted before the next one is there");
        // A minute later, in the same slot.
        let later = site.hour(2) + SignedDuration::from_mins(1);
        let ended = site.completes(&Lab::load(&series(site)), later);
        assert!(site.mends || ended == Ended::Converged, "{ended:?}");
        chain.assert_intact();
        let left = ["golden", &site.slot(1), &site.slot(2)];
        assert_eq!(chain.guest.snapshots(), left, "one per slot, and the oldest is gone");
        assert_tags(&chain.guest, &left);
        assert_eq!(chain.guest.current(), "golden");
        assert!(chain.guest.is_active(), "it runs on");
        assert!(!chain.guest.xml().contains("made name=\"lab-hourly"), "the ledger is of declared snapshots");
        ended
    },
};

fn hourly(location: &str, last: usize) -> String {
    format!(
        "  series:\n    - name: hourly\n      schedule: {{cron: '0 * * * *'}}\n      capture: {location}\n      prune: true\n      \
         retention: {{spec: {{keep: {{last: {last}}}}}}}\n"
    )
}

fn series(site: &Site<'_>) -> String {
    let declared = format!("  snapshots:\n{}  current: golden\n", snapshot("golden", &[]));
    site.set(&(declared + &hourly("{content: full, location: internal}", 2)))
}

/// A series of external snapshots of a running domain: capture an overlay, merge another.
pub(super) const EXTERNAL: World = World {
    name: "external",
    prepare: |site| {
        let mut chain = site.new_chain();
        chain.write();
        site.lab.carry_out(&site.lab.plan_at(&Lab::load(&external(site)), site.hour(0)));
        chain.write();
        // A merge of a stopped domain's images starts it for that.
        chain.guest.start_paused();
    },
    desired: |site| Lab::load(&external(site)),
    hour: Some(1),
    actions: |site| vec![format!("create {}", site.slot(1)), format!("delete {}", site.slot(0))],
    check: |site| {
        let mut chain = site.known();
        chain.note_write();
        chain.note_capture(&site.slot(0));
        chain.note_write();
        chain.note_capture(&site.slot(1));
        chain.assert_intact_but(site.begun(&site.slot(0)));
        assert!(!chain.guest.snapshots().is_empty(), "nothing is deleted before the next one is there");
        let later = site.hour(1) + SignedDuration::from_mins(1);
        let ended = site.completes(&Lab::load(&external(site)), later);
        assert!(site.mends || ended == Ended::Converged, "{ended:?}");
        chain.assert_intact();
        assert_eq!(chain.guest.snapshots(), [site.slot(1)], "one per slot, and the oldest is gone");
        assert_eq!(chain.guest.current(), site.slot(1));
        assert!(chain.guest.is_active(), "it runs on");
        site.assert_no_orphans(&chain.guest, &site.lab.plan_at(&Lab::load(&external(site)), later).plan);
        ended
    },
};

/// An instant as names have it.
fn compact(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn external(site: &Site<'_>) -> String {
    site.set(&hourly("{content: disks, location: external}", 1))
}

/// A revert of a stopped domain with an external snapshot, and a guard of today's state before it.
pub(super) const REVERT: World = World {
    name: "revert",
    prepare: |site| {
        let mut chain = site.new_chain();
        chain.capture("e1");
        chain.write();
    },
    desired: |site| Lab::load(&revert(site)),
    hour: None,
    actions: |_| vec!["create reset-guard-".to_owned(), "revert e1".to_owned()],
    check: check_revert,
};

fn revert(site: &Site<'_>) -> String {
    format!(
        "apiVersion: snapward/v1\nkind: RevertRequest\nmetadata: {{name: reset}}\nspec:\n  hosts: {{include: [lab]}}\n  \
         domains: {{include: [{}]}}\n  to: e1\n  token: t1\n  expiresAt: 2100-01-01\n",
        site.domain
    )
}

fn check_revert(site: &Site<'_>) -> Ended {
    let mut chain = site.known();
    chain.note_write();
    chain.note_capture("e1");
    let before = chain.note_write();
    let guards = |chain: &Chain<'_>| -> Vec<String> {
        chain.guest.snapshots().into_iter().filter(|name| name.starts_with("reset-guard-")).collect()
    };
    assert_eq!(chain.held("e1"), Ok(1));
    let is_kept = |chain: &Chain<'_>| {
        chain.state() == Ok(before) || guards(chain).iter().any(|guard| chain.held(guard) == Ok(before))
    };
    assert!(is_kept(&chain), "today's state is on the disks, or in a guard");
    let noted = |word: &str| {
        let note = format!("default/reset/t1; {word}; ");
        // The ledger is written first: where it has the revert, that was done.
        chain.guest.xml().contains(&note) || chain.guest.snapshot_xml("e1").contains(&note)
    };
    let (done, attempted) = (noted("done"), noted("attempted"));
    // The guard's name is its second, and that of the run that ended early may be there.
    let desired = Lab::load(&revert(site));
    let plan = || site.lab.plan_at(&desired, site.lab.now() + SignedDuration::from_secs(2));
    let mut planned = plan();
    assert_blocks_are_told(&planned.plan);
    let mut mended = Vec::new();
    // One step after the other: what is the matter next shows when the first is put right.
    loop {
        // The same is told of the request and of the domain. Of a revert that libvirt did not live to end, a person sees to
        // all that is told.
        if site.mends && planned.plan.blocked.iter().any(|item| item.code == BlockCode::OutcomeUnknown) {
            assert_eq!((actions(&planned.plan), attempted && !done), (vec![], true), "nothing is done meanwhile");
            return Ended::Blocked(blocks(&planned.plan));
        }
        let Some(item) = planned.plan.blocked.first().filter(|_| site.mends) else { break };
        assert!(mended.len() < 4, "it does not end: {mended:?}, {item:?}");
        mended.push(format!("{:?}", item.code));
        site.mend(&item.text, &item.way_out);
        planned = plan();
    }
    let wanted = usize::from(!done && !attempted);
    assert_eq!(planned.plan.summary.revert, wanted, "never again where it may have been done: {:#?}", planned.plan);
    let outcome = site.lab.carry_out(&planned);
    assert!(outcome.domains.iter().all(|domain| domain.result == DomainResult::Done), "{outcome:#?}");
    assert!(is_kept(&chain), "today's state is on the disks, or in a guard");
    let again = plan();
    assert_eq!(again.plan.summary.revert, 0, "at most one revert per token");
    site.lab.carry_out(&again);
    assert!(is_kept(&chain), "today's state is on the disks, or in a guard");
    assert_eq!(chain.held("e1"), Ok(1));
    let last = plan().plan;
    site.assert_no_orphans(&chain.guest, &last);
    assert_eq!(actions(&last), Vec::<String>::new(), "left to do");
    match blocks(&last) {
        blocked if blocked.is_empty() => {
            assert_eq!(chain.state(), Ok(1), "what e1 captured is back");
            if mended.is_empty() { Ended::Converged } else { Ended::Mended(mended) }
        }
        blocked => {
            assert!(attempted && !done, "{blocked:?}");
            assert_eq!(blocked, ["OutcomeUnknown e1"]);
            Ended::Blocked(blocked)
        }
    }
}

/// Asserts that the outcome of a run that met a fault tells a person what happened, how things stand and what to do.
#[track_caller]
pub(super) fn assert_told(outcome: &Outcome) {
    for domain in outcome.domains.iter().filter(|domain| domain.result != DomainResult::Done) {
        let texts = domain.actions.iter().map(|action| action.text.as_str()).chain([domain.text.as_str()]);
        let told: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
        const NEXT: [&str; 6] = ["Run plan", "un again", "ake a new plan", "To go on", "The next apply", "To repair"];
        assert!(told.iter().any(|text| NEXT.iter().any(|next| text.contains(next))), "no next step: {told:?}");
    }
}
