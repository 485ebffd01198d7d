//! The proof, clause by clause, on hand-made trees: what each one refuses, and what stays possible.

mod revert;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::image::{Backing, DomainFiles, FileId, Image, ImageState};
use crate::model::names::DomainUuid;
use crate::model::observed::{Agent, ObservedDisk, RevertFacts, RunState};
use crate::model::snapshot::{KeptDefinition, ObservedSnapshot, SnapshotFiles, Storage};
use crate::model::stamp::Description;
use crate::model::tree::SnapshotTree;

const STRICT: Rules = Rules { trust_unreadable_chains: false };
const TRUSTING: Rules = Rules { trust_unreadable_chains: true };

pub(in crate::plan) fn name(text: &str) -> SnapshotName {
    SnapshotName::observed(text)
}

/// A domain that is off, its images in `/i/`, with snapshots as libvirt would have made them.
#[derive(Clone)]
pub(in crate::plan) struct World {
    snapshots: Vec<ObservedSnapshot>,
    current: Option<String>,
    disks: BTreeMap<String, String>,
    images: BTreeMap<String, ImageState>,
    made: u64,
}

impl World {
    pub(in crate::plan) fn new(targets: &[&str]) -> Self {
        let mut world =
            Self { snapshots: Vec::new(), current: None, disks: BTreeMap::new(), images: BTreeMap::new(), made: 0 };
        for target in targets {
            let base = format!("/i/{target}");
            world.image(&base, Backing::None);
            world.disks.insert((*target).to_owned(), base);
        }
        world
    }

    /// One disk `vda`, and a line of captures.
    pub(in crate::plan) fn line(names: &[&str]) -> Self {
        names.iter().fold(Self::new(&["vda"]), |world, name| world.capture(name))
    }

    fn image(&mut self, path: &str, backing: Backing) {
        self.made += 1;
        let image = Image { id: FileId { device: 1, inode: self.made }, backing, allocated: 1000, empty: false };
        self.images.insert(path.to_owned(), ImageState::Present(image));
    }

    /// Captures all disks: overlay `/i/vda.NAME`.
    pub(in crate::plan) fn capture(self, name: &str) -> Self {
        let targets: Vec<String> = self.disks.keys().cloned().collect();
        self.capture_some(name, &targets.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn capture_some(mut self, text: &str, targets: &[&str]) -> Self {
        let mut files = SnapshotFiles { bases: self.disks.clone(), ..SnapshotFiles::default() };
        for target in targets {
            let overlay = format!("/i/{target}.{text}");
            self.image(&overlay, Backing::File(self.disks[*target].clone()));
            files.overlays.insert((*target).to_owned(), overlay.clone());
            self.disks.insert((*target).to_owned(), overlay);
        }
        let definition = KeptDefinition { disks: self.frozen_disks(&files.bases), memory_kib: None };
        self.forget_revert();
        self.snapshots.push(ObservedSnapshot {
            name: name(text),
            parent: self.current.as_deref().map(name),
            created: self.snapshots.len() as i64,
            state: "shutoff".into(),
            description: Description::parse(""),
            memory: Storage::No,
            disks: targets.iter().map(|target| ((*target).to_owned(), Storage::External)).collect(),
            files: Some(Box::new(files)),
            definition: Some(Box::new(definition)),
            ledger: None,
            digest: [0; 32],
        });
        self.current = Some(text.to_owned());
        self
    }

    fn files(&mut self, text: &str) -> &mut SnapshotFiles {
        let snapshot = self.snapshots.iter_mut().find(|s| s.name == name(text)).expect("captured");
        snapshot.files.as_deref_mut().expect("external")
    }

    fn forget_revert(&mut self) {
        if let Some(old) = self.current.clone() {
            self.files(&old).revert_overlays.clear();
        }
    }

    /// What libvirt does on a revert: a new overlay on what the snapshot froze, the current one's overlays unlinked.
    pub(in crate::plan) fn revert(mut self, to: &str) -> Self {
        let has_children = self.snapshots.iter().any(|s| s.parent == Some(name(to)));
        let old = self.current.clone().expect("a current one");
        let gone: Vec<String> = self.disks.values().cloned().collect();
        for (target, base) in self.files(to).bases.clone() {
            let overlay = format!("{base}.{}", 1_000_000 + self.made);
            self.image(&overlay, Backing::File(base));
            let files = self.files(to);
            let place = if has_children { &mut files.revert_overlays } else { &mut files.overlays };
            place.insert(target.clone(), overlay.clone());
            self.disks.insert(target, overlay);
        }
        for path in gone {
            self.images.insert(path, ImageState::Absent);
        }
        if old != to {
            self.files(&old).revert_overlays.clear();
        }
        self.current = Some(to.to_owned());
        self
    }

    pub(in crate::plan) fn pointing_at(mut self, text: Option<&str>) -> Self {
        self.current = text.map(str::to_owned);
        self
    }

    fn under(mut self, child: &str, parent: &str) -> Self {
        let child = self.snapshots.iter_mut().find(|s| s.name == name(child)).expect("captured");
        child.parent = Some(name(parent));
        self
    }

    fn without_image(mut self, path: &str) -> Self {
        self.images.insert(path.to_owned(), ImageState::Absent);
        self
    }

    fn unreadable(mut self, path: &str) -> Self {
        self.images.insert(path.to_owned(), ImageState::Unknown("permission denied".into()));
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn frozen_disks(&self, images: &BTreeMap<String, String>) -> Vec<ObservedDisk> {
        let disk = |(target, source): (&String, &String)| ObservedDisk {
            target: target.clone(),
            source_type: "file".into(),
            source: Some(source.clone()),
            format: "qcow2".into(),
            device: "disk".into(),
            readonly: false,
            snapshot: None,
            backing: None,
        };
        images.iter().map(disk).collect()
    }

    pub(in crate::plan) fn domain(self) -> ObservedDomain {
        let disks = self.frozen_disks(&self.disks);
        ObservedDomain {
            uuid: DomainUuid(uuid::Uuid::nil()),
            name: "vm".into(),
            state: RunState::ShutOff,
            disks,
            raw_nvram: false,
            tree: SnapshotTree::new(self.snapshots, self.current.as_deref().map(name)),
            ledger: None,
            ledger_is_current: false,
            image_snapshots: BTreeMap::new(),
            files: DomainFiles { images: self.images, ..DomainFiles::default() },
            memory_kib: None,
            agent: Agent::None,
            revert: Some(RevertFacts { persistent: true, ..RevertFacts::default() }),
            fingerprint: "f".into(),
        }
    }
}

fn delete_of(domain: &ObservedDomain, text: &str) -> Result<Effect, Fault> {
    prove(domain, &Neighbours::default(), STRICT, Step::Delete(&name(text)))
}

#[track_caller]
fn refused(result: Result<Effect, Fault>, code: BlockCode, words: &[&str]) {
    let fault = result.expect_err("refused");
    assert_eq!(fault.code, code, "{fault:?}");
    assert!(words.iter().all(|word| fault.text.contains(word)), "{words:?} in {fault:?}");
    assert!(!fault.way_out.is_empty());
}

fn merge(target: &str, from: &str, into: &str) -> ImageMerge {
    ImageMerge { target: target.into(), from: from.into(), into: into.into(), bytes: Some(1000) }
}

#[test]
fn in_a_line_each_goes_by_a_merge_into_the_older_file() {
    let domain = World::line(&["e1", "e2", "e3"]).domain();
    assert_eq!(prove(&domain, &Neighbours::default(), STRICT, Step::Create), Ok(Effect::default()));
    for (text, from, into) in [("e1", "/i/vda.e1", "/i/vda"), ("e2", "/i/vda.e2", "/i/vda.e1")] {
        let effect = delete_of(&domain, text).expect(text);
        assert_eq!(effect.merges, [merge("vda", from, into)]);
        assert_eq!((effect.unlinks, effect.disks), (vec![from.to_owned()], BTreeMap::new()));
    }
    let effect = delete_of(&domain, "e3").expect("the current leaf");
    assert_eq!(effect.merges, [merge("vda", "/i/vda.e3", "/i/vda.e2")]);
    assert_eq!(effect.disks, BTreeMap::from([("vda".into(), "/i/vda.e2".into())]));
}

#[test]
fn every_keep_set_of_a_line_has_an_order() {
    let all = ["e1", "e2", "e3", "e4", "e5"];
    let domain = World::line(&all).domain();
    for kept in 0..32_u32 {
        let wanted: BTreeSet<_> =
            all.iter().enumerate().filter(|(bit, _)| kept & (1 << bit) == 0).map(|(_, text)| name(text)).collect();
        let arranged = arrange(&domain, &Neighbours::default(), STRICT, &wanted);
        assert_eq!((arranged.order.len(), arranged.held), (wanted.len(), vec![]), "{wanted:?}");
        assert_eq!(arranged.left.tree.len(), 5 - wanted.len());
        let order: Vec<_> = arranged.order.iter().map(|(name, _)| name.clone()).collect();
        assert!(order.is_sorted(), "from the root, so that each overlay is moved once: {order:?}");
    }
}

#[test]
fn a_pointer_off_the_disks_is_refused() {
    let domain = World::line(&["e1", "e2"]).pointing_at(Some("e1")).domain();
    for step in [Step::Create, Step::Delete(&name("e2"))] {
        let result = prove(&domain, &Neighbours::default(), STRICT, step);
        refused(result, BlockCode::ChainInconsistent, &["the current snapshot is e1", "/i/vda.e2"]);
    }
    let domain = World::line(&["e1", "e2"]).pointing_at(None).domain();
    refused(delete_of(&domain, "e2"), BlockCode::ChainInconsistent, &["no current one"]);
}

#[test]
fn a_parent_that_is_not_in_the_chain_is_refused() {
    let domain = World::line(&["e0", "e1", "e2", "e3"]).under("e2", "e0").domain();
    for text in ["e1", "e3"] {
        refused(delete_of(&domain, text), BlockCode::ChainInconsistent, &["snapshot e0", "/i/vda.e0"]);
    }
    let fault = prove(&domain, &Neighbours::default(), STRICT, Step::Create).expect_err("refused");
    assert!(fault.way_out.contains("it is snapshot e1's"), "{fault:?}");
    let domain = World::line(&["e0", "e1"]).under("e1", "gone").domain();
    refused(delete_of(&domain, "e1"), BlockCode::ChainInconsistent, &["e1 names gone as its parent"]);
    let domain = World::line(&["e0", "e1"]).under("e0", "e1").domain();
    let circle = prove(&domain, &Neighbours::default(), STRICT, Step::Create);
    refused(circle, BlockCode::ChainInconsistent, &["circle"]);
}

#[test]
fn a_chain_with_a_missing_image_is_refused() {
    let domain = World::line(&["e1", "e2"]).without_image("/i/vda").domain();
    refused(delete_of(&domain, "e2"), BlockCode::ChainInconsistent, &["/i/vda", "no such file"]);
    let domain = World::line(&["e1"]).with(|world| world.disks.clear()).domain();
    refused(delete_of(&domain, "e1"), BlockCode::ChainInconsistent, &["does not have any more"]);
    let cut = World::line(&["e1", "e2"]).with(|world| world.image("/i/vda.e1", Backing::None)).domain();
    refused(delete_of(&cut, "e2"), BlockCode::ChainInconsistent, &["no such image is in the chain"]);
}

/// e1{e2-e3-e4, f}, current f.
fn forked() -> World {
    World::line(&["e1", "e2", "e3", "e4"]).revert("e1").capture("f")
}

#[test]
fn a_dead_branch_goes_from_its_tip() {
    let domain = forked().domain();
    for (text, words) in [("e1", "e2, f stand on it"), ("e2", "not in use"), ("e3", "not in use")] {
        refused(delete_of(&domain, text), BlockCode::TreeHolds, &[words]);
    }
    assert!(delete_of(&domain, "e2").expect_err("held").way_out.contains("e4 must go first"));
    let effect = delete_of(&domain, "e4").expect("the tip");
    assert_eq!((effect.merges, effect.unlinks), (vec![], vec!["/i/vda.e3".to_owned()]));
    let wanted = ["e1", "e2", "e3", "e4"].map(name).into();
    let arranged = arrange(&domain, &Neighbours::default(), STRICT, &wanted);
    assert_eq!(arranged.order.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["e4", "e3", "e2", "e1"]);
    let wanted = ["e1", "e2", "e3"].map(name).into();
    let arranged = arrange(&domain, &Neighbours::default(), STRICT, &wanted);
    assert_eq!((arranged.order.len(), arranged.held.len()), (0, 3), "e4 is kept and holds them");
}

#[test]
fn a_current_snapshot_with_children_stays() {
    let domain = World::line(&["e1", "e2"]).revert("e1").domain();
    refused(delete_of(&domain, "e1"), BlockCode::TreeHolds, &["the current snapshot", "e2 stands on it"]);
    let wanted = ["e1", "e2"].map(name).into();
    let arranged = arrange(&domain, &Neighbours::default(), STRICT, &wanted);
    assert_eq!(arranged.order.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["e2", "e1"]);
}

/// libvirt moves the pointer to the parent and does not know that the disk is on a revert's overlay: the next revert
/// unlinks the overlay that the other branch stands on.
#[test]
fn a_leaf_whose_parent_went_on_elsewhere_stays() {
    let domain = World::line(&["e1", "e2"]).revert("e1").capture("f").domain();
    refused(delete_of(&domain, "f"), BlockCode::TreeHolds, &["lose track"]);
}

#[test]
fn a_file_that_another_domain_uses_stays() {
    let domain = World::line(&["e1", "e2"]).domain();
    let neighbour =
        |world: World| ObservedDomain { uuid: DomainUuid(uuid::Uuid::max()), name: "clone".into(), ..world.domain() };
    let clone_on = |path: &str| {
        let mut world = World { made: 1000, ..World::new(&[]) };
        world.disks.insert("vdx".into(), "/i/vdx".into());
        world.image("/i/vdx", Backing::File(path.to_owned()));
        world.image(path, Backing::None);
        world
    };
    let with = |other: &ObservedDomain, text: &str| {
        let neighbours = Neighbours { domains: vec![other], unread: Vec::new() };
        prove(&domain, &neighbours, STRICT, Step::Delete(&name(text)))
    };
    let on_base = neighbour(clone_on("/i/vda"));
    refused(with(&on_base, "e1"), BlockCode::SharedBase, &["/i/vda", "domain clone", "disk vdx"]);
    assert!(with(&on_base, "e2").is_ok(), "that merge does not touch the shared image");
    let on_overlay = neighbour(clone_on("/i/vda.e1"));
    refused(with(&on_overlay, "e2"), BlockCode::SharedBase, &["/i/vda.e1"]);
    let frozen = neighbour(clone_on("/i/vda.e1").capture("s").with(|world| {
        world.disks.insert("vdx".into(), "/i/vda".into());
        world.files("s").overlays.clear();
    }));
    refused(with(&frozen, "e2"), BlockCode::SharedBase, &["snapshot s"]);
    // Another name of the same file.
    let linked = neighbour(clone_on("/link").with(|world| {
        let same = domain.files.images["/i/vda"].clone();
        world.images.insert("/link".into(), same);
    }));
    refused(with(&linked, "e1"), BlockCode::SharedBase, &["/link"]);
    let unknown = neighbour(clone_on("/i/x").unreadable("/i/vdx"));
    refused(with(&unknown, "e1"), BlockCode::SharedBase, &["not known"]);
    let unread = Neighbours { domains: Vec::new(), unread: vec!["hung"] };
    let e1 = name("e1");
    let step = Step::Delete(&e1);
    refused(prove(&domain, &unread, STRICT, step), BlockCode::SharedBase, &["domain hung", "could not be read"]);
    assert!(prove(&domain, &unread, TRUSTING, step).is_ok());
}

#[test]
fn a_file_that_another_snapshot_or_disk_needs_stays() {
    // By its metadata, e4 froze what the live chain stands on.
    let twisted = forked().with(|world| {
        world.files("e4").bases.insert("vda".into(), "/i/vda".into());
    });
    refused(delete_of(&twisted.domain(), "e4"), BlockCode::ChainInconsistent, &["/i/vda"]);
    // A dead branch that stands on an image which the merge removes.
    let on_top = forked().with(|world| {
        let removed = world.files("f").bases["vda"].clone();
        world.image("/i/vda.e3", Backing::File(removed));
        let dead: Vec<_> = ["e2", "e3"].map(name).into();
        world.snapshots.retain(|snapshot| !dead.contains(&snapshot.name));
        let e4 = world.snapshots.iter_mut().find(|s| s.name == name("e4")).expect("e4");
        e4.parent = None;
    });
    refused(delete_of(&on_top.domain(), "f"), BlockCode::ChainInconsistent, &["snapshot e4 needs"]);
    let second_disk = World::new(&["vda", "vdb"]).capture_some("e1", &["vda"]).with(|world| {
        world.disks.insert("vdb".into(), "/i/vda".into());
    });
    refused(delete_of(&second_disk.domain(), "e1"), BlockCode::ChainInconsistent, &["disk vdb needs"]);
    let memory = World::line(&["e1", "e2"]).with(|world| {
        world.files("e1").memory = Some("/i/m".into());
        world.files("e2").memory = Some("/i/m".into());
    });
    refused(delete_of(&memory.domain(), "e2"), BlockCode::ChainInconsistent, &["/i/m", "snapshot e1"]);
}

#[test]
fn what_cannot_be_read_is_captured_over_and_not_deleted() {
    let domain = World::line(&["e1", "e2"]).unreadable("/i/vda.e1").domain();
    assert!(prove(&domain, &Neighbours::default(), STRICT, Step::Create).is_ok());
    refused(delete_of(&domain, "e1"), BlockCode::ChainUnknown, &["permission denied"]);
    let trusted = prove(&domain, &Neighbours::default(), TRUSTING, Step::Delete(&name("e1"))).expect("trusted");
    assert_eq!(trusted.merges[0].into, "/i/vda", "by the metadata");
    let dead = forked().unreadable("/i/vda.e2").domain();
    refused(delete_of(&dead, "e4"), BlockCode::ChainUnknown, &["snapshot e3", "permission denied"]);
    // The running domain's own XML says what is open, whatever the files let see.
    let mut running = World::line(&["e1", "e2"]).unreadable("/i/vda.e1").domain();
    running.disks[0].backing = Some(vec!["/i/vda.e1".into(), "/i/vda".into()]);
    assert_eq!(delete_of(&running, "e2").map(|effect| effect.merges[0].into.clone()), Ok("/i/vda.e1".to_owned()));
}

#[test]
fn several_disks_merge_each_in_its_own_chain() {
    let domain = World::new(&["vda", "vdb"]).capture("e1").capture_some("e2", &["vdb"]).capture("e3").domain();
    let effect = delete_of(&domain, "e2").expect("a part");
    assert_eq!(effect.merges, [merge("vdb", "/i/vdb.e2", "/i/vdb.e1")]);
    let effect = delete_of(&domain, "e1").expect("both");
    assert_eq!(effect.merges, [merge("vda", "/i/vda.e1", "/i/vda"), merge("vdb", "/i/vdb.e1", "/i/vdb")]);
    let wanted = ["e1", "e2", "e3"].map(name).into();
    let arranged = arrange(&domain, &Neighbours::default(), STRICT, &wanted);
    assert_eq!(arranged.order.len(), 3, "{:?}", arranged.held);
    assert_eq!(arranged.left.disks[1].source.as_deref(), Some("/i/vdb"));
}

#[test]
fn an_interrupted_deletion_can_be_finished_and_nothing_else_done() {
    // Of e2, vda was merged and vdb not.
    let half = World::new(&["vda", "vdb"]).capture("e1").capture("e2").capture("e3").with(|world| {
        world.image("/i/vda.e3", Backing::File("/i/vda.e1".into()));
        world.images.insert("/i/vda.e2".into(), ImageState::Absent);
        world.files("e1").unfinished.insert("vda".into());
    });
    let domain = half.domain();
    let effect = delete_of(&domain, "e2").expect("to be finished");
    assert_eq!(effect.merges, [merge("vdb", "/i/vdb.e2", "/i/vdb.e1")]);
    for text in ["e1", "e3"] {
        refused(delete_of(&domain, text), BlockCode::ChainInconsistent, &["disk vda"]);
    }
}

#[test]
fn what_was_captured_by_other_means_stays() {
    let manual = World::line(&["e1"]).with(|world| {
        world.snapshots[0].disks.insert("vdb".into(), Storage::Manual);
    });
    refused(delete_of(&manual.domain(), "e1"), BlockCode::NotPossible, &["vdb", "manual"]);
}

fn set_current(domain: &ObservedDomain, text: &str) -> Result<Effect, Fault> {
    prove(domain, &Neighbours::default(), STRICT, Step::SetCurrent(&name(text)))
}

#[test]
fn a_wrong_pointer_is_set_to_where_the_disks_are() {
    let wrong = World::line(&["e1", "e2"]).pointing_at(Some("e1")).domain();
    let repair = find_repair(&wrong, STRICT).expect("one way");
    assert_eq!((repair.target.as_str(), repair.moves_pointer, &repair.overlays), ("e2", true, &None));
    assert!(set_current(&wrong, "e2").is_ok());
    assert!(Layout::whole(&after_repair(&wrong, &repair), Trust::Nothing).is_ok());
    let lost = World::line(&["e1", "e2"]).pointing_at(None).domain();
    assert_eq!(find_repair(&lost, STRICT).expect("one way").target, name("e2"));
    let right = World::line(&["e1", "e2"]).domain();
    refused(set_current(&right, "e1"), BlockCode::CurrentUnsafe, &["not on this snapshot's overlays"]);
    refused(set_current(&right, "e2"), BlockCode::CurrentUnsafe, &["already"]);
}

#[test]
fn forgotten_revert_overlays_are_given_back_before_the_pointer() {
    let reverted = || World::line(&["e1", "e2"]).revert("e1");
    let active = reverted().disks["vda"].clone();
    let forgotten = reverted().with(|world| world.files("e1").revert_overlays.clear());
    let domain = forgotten.clone().domain();
    refused(delete_of(&domain, "e2"), BlockCode::ChainInconsistent, &["the current snapshot is e1"]);
    let repair = find_repair(&domain, STRICT).expect("one way");
    let overlays = BTreeMap::from([("vda".to_owned(), active)]);
    assert_eq!((repair.moves_pointer, repair.overlays.as_ref()), (false, Some(&overlays)));
    let give = |domain: &ObservedDomain, text: &str, overlays: &BTreeMap<String, String>| {
        prove(domain, &Neighbours::default(), STRICT, Step::RestoreOverlays(&name(text), overlays))
    };
    assert!(give(&domain, "e1", &overlays).is_ok());
    let other = BTreeMap::from([("vda".to_owned(), "/i/vda.e1".to_owned())]);
    refused(give(&domain, "e1", &other), BlockCode::ChainInconsistent, &["no longer"]);
    // The pointer was moved as well: overlays first, then the pointer.
    let moved = forgotten.pointing_at(Some("e2")).domain();
    let repair = find_repair(&moved, STRICT).expect("one way");
    assert_eq!((repair.target.as_str(), repair.moves_pointer), ("e1", true));
    refused(set_current(&moved, "e1"), BlockCode::CurrentUnsafe, &["not on this snapshot's overlays"]);
    assert!(set_current(&after_repair(&moved, &Repair { moves_pointer: false, ..repair }).clone(), "e1").is_err());
}

#[test]
fn a_pointer_stays_where_its_revert_overlays_are_in_use() {
    let domain = World::line(&["e1", "e2"]).revert("e1").domain();
    refused(set_current(&domain, "e2"), BlockCode::CurrentUnsafe, &["forget", "in use"]);
    assert_eq!(find_repair(&World::line(&["e1"]).under("e1", "gone").domain(), STRICT), None);
}

#[test]
fn leftovers_and_orphans_are_told_from_what_is_used() {
    let leftover = World::line(&["e1"]).with(|world| {
        world.image("/i/vm.vda.e2.qcow2", Backing::File("/i/vda.e1".into()));
        world.image("/i/vm.log", Backing::None);
        if let Some(ImageState::Present(image)) = world.images.get_mut("/i/vm.vda.e2.qcow2") {
            image.empty = true;
        }
    });
    let domain = leftover.clone().domain();
    assert!(unused_leftover(&domain, "vda", "/i/vm.vda.e2.qcow2"));
    assert!(!unused_leftover(&domain, "vda", "/i/vda.e1"), "it is in use");
    let orphan = |domain: &ObservedDomain, neighbours: &Neighbours<'_>| {
        orphans(domain, &Bystanders::new(neighbours)).into_iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(orphan(&domain, &Neighbours::default()), ["/i/vm.vda.e2.qcow2"]);
    let user = leftover.with(|world| drop(world.disks.insert("vda".into(), "/i/vm.vda.e2.qcow2".into()))).domain();
    assert!(orphan(&domain, &Neighbours { domains: vec![&user], unread: Vec::new() }).is_empty());
    let written = World::line(&["e1"]).with(|world| world.image("/i/x", Backing::File("/i/vda.e1".into()))).domain();
    assert!(!unused_leftover(&written, "vda", "/i/x"), "it holds data");
    let elsewhere = World::line(&["e1"]).with(|world| {
        world.image("/i/x", Backing::File("/i/vda".into()));
        if let Some(ImageState::Present(image)) = world.images.get_mut("/i/x") {
            image.empty = true;
        }
    });
    assert!(!unused_leftover(&elsewhere.domain(), "vda", "/i/x"), "it does not stand on the active image");
}
