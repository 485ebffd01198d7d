//! The registry: each pitfall of virsh's snapshot commands, what virsh and snapward do there, and what shows it.

/// One pitfall.
pub(super) struct Pitfall {
    /// From 1 on, without a gap.
    pub(super) number: u8,
    pub(super) name: &'static str,
    /// What virsh does, and libvirt for it.
    pub(super) virsh: &'static str,
    pub(super) snapward: &'static str,
    /// At least one.
    pub(super) shown: &'static [Shown],
}

/// What shows that the row is true.
pub(super) enum Shown {
    /// A test on the real QEMU driver: the path of its function in the suite.
    Real(&'static str),
    /// A test in which what cannot be had here is put in: its path in the suite, or in the library where it begins with
    /// `snapward::`.
    Injected(&'static str),
    /// Why a part of it is not shown.
    NotHere(&'static str),
}

use Shown::{Injected, NotHere, Real};

pub(super) const PITFALLS: &[Pitfall] = &[
    Pitfall {
        number: 1,
        name: "set-current destroys chains",
        virsh: "`snapshot-current NAME` moves the pointer off the overlay in use, or drops `<revertDisks>` where it moves \
                nothing; the next delete or revert unlinks files that are needed.",
        snapward: "Moves no pointer in an external tree but to where the disks are (`CurrentUnsafe`), and sends none that \
                   changes nothing.",
        shown: &[
            Real("scenarios::external::pointer::a_moved_pointer_lets_a_delete_unlink_the_live_backing_file"),
            Real("scenarios::external::pointer::a_no_op_set_current_lets_a_revert_unlink_what_it_reverts_to"),
            Real("scenarios::external::pointer::snapward_moves_no_pointer_off_the_overlay_in_use"),
            Real("scenarios::external::pointer::snapward_sends_no_set_current_that_changes_nothing"),
        ],
    },
    Pitfall {
        number: 2,
        name: "revert without a current snapshot",
        virsh: "`snapshot-revert` crashes libvirtd where the domain has external snapshots and none is current.",
        snapward: "Sets the pointer to where the disks are, before anything else; then a revert works.",
        shown: &[
            Real("scenarios::external::reverts::a_revert_without_a_current_snapshot_crashes_the_driver"),
            Real("scenarios::external::reverts::snapward_gives_a_domain_without_a_current_snapshot_its_pointer_back"),
        ],
    },
    Pitfall {
        number: 3,
        name: "a failed revert leaves the domain off",
        virsh: "`snapshot-revert` stops the running domain, and looks for the memory file and free names then.",
        snapward: "Looks first. Where libvirt alone can find out, says that the domain is down and how to get it back, and \
                   does not try again.",
        shown: &[
            Real("scenarios::external::reverts::a_revert_that_fails_leaves_a_running_domain_shut_off"),
            Real("scenarios::reverts::what_would_fail_midway_is_found_before_the_domain_is_stopped"),
            Real("scenarios::reverts::a_revert_that_fails_midway_says_that_the_domain_is_down_and_how_to_get_it_back"),
        ],
    },
    Pitfall {
        number: 4,
        name: "a revert discards",
        virsh: "`snapshot-revert` unlinks the overlay in use: what was written since the current snapshot is gone.",
        snapward: "Reverts only where it is asked for, and captures what is there first.",
        shown: &[
            Real("pitfalls::jobs::a_revert_discards_what_was_written_since"),
            Real("scenarios::reverts::a_stopped_external_domain_goes_back_and_forth_with_every_state_kept"),
        ],
    },
    Pitfall {
        number: 5,
        name: "metadata goes back with a revert",
        virsh: "`snapshot-revert` brings the domain's old definition back, with its `<metadata>`.",
        snapward: "Reads its ledger from every copy there is and writes it anew; protection and holds are on the snapshots.",
        shown: &[
            Real("scenarios::external::records::domain_metadata_goes_where_the_definition_goes"),
            Real("scenarios::external::records::snapward_reads_its_ledger_from_every_copy_there_is"),
            Real("scenarios::ownership::a_revert_rewinds_the_ledger_and_nothing_is_captured_again"),
            Real("scenarios::command_line::a_reverted_domain_keeps_its_protections"),
        ],
    },
    Pitfall {
        number: 6,
        name: "external deletes refuse by the tree's shape",
        virsh: "`snapshot-delete` fails for a fork, for what is not in the active chain and for a current one with children.",
        snapward: "Plans an order that libvirt accepts; what cannot go yet stays, and the plan says who holds it (`TreeHolds`).",
        shown: &[
            Real("scenarios::external::trees::a_dead_branch_goes_newest_first"),
            Real("scenarios::external::trees::a_current_snapshot_with_children_is_not_deleted"),
            Real("scenarios::external::trees::snapward_deletes_a_dead_branch_newest_first"),
        ],
    },
    Pitfall {
        number: 7,
        name: "the flags that delete several",
        virsh: "`snapshot-delete --children` and `--children-only` refuse external trees.",
        snapward: "Deletes one by one, in order, and stops at the first that fails.",
        shown: &[
            Real("scenarios::external::trees::several_external_ones_are_not_deleted_at_once"),
            Real("scenarios::external::trees::snapward_deletes_several_one_by_one_and_the_current_one_last"),
        ],
    },
    Pitfall {
        number: 8,
        name: "both kinds in one domain",
        virsh: "Internal and external snapshots mix. Some can then not be deleted, files stay, and a revert rewrites what \
                others captured.",
        snapward: "Mixes no kinds and touches nothing where another did (`MixedKinds`).",
        shown: &[
            Real("scenarios::external::mixed::the_border_between_the_kinds_cannot_be_deleted"),
            Real("scenarios::external::mixed::a_revert_across_the_border_rewrites_what_the_external_ones_captured"),
            Real("scenarios::external::mixed::an_overlay_above_an_internal_one_is_left_behind"),
            Real("scenarios::external::mixed::snapward_crosses_no_border_between_the_kinds"),
            Real("scenarios::external::mixed::snapward_deletes_no_internal_one_from_under_external_ones"),
            NotHere("before libvirt 11.0 such a delete also removed the base image, which needs that version"),
        ],
    },
    Pitfall {
        number: 9,
        name: "another tool's default kind",
        virsh: "`snapshot-create-as` captures internally, into the overlay of what virt-manager 5 captured externally. \
                Deleting the external one then merges that overlay away, with what was captured in it.",
        snapward: "Looks at the kind of every snapshot there is, mixes none and deletes nothing where another did (`MixedKinds`).",
        shown: &[
            Real("pitfalls::captures::virsh_mixes_its_default_kind_into_what_a_desktop_tool_made"),
            Real("scenarios::captures::an_external_tree_is_blocked_and_left_alone"),
        ],
    },
    Pitfall {
        number: 10,
        name: "names that half succeed",
        virsh: "A name over 247 bytes fails after the disk is on its new overlay, and leaves no current snapshot.",
        snapward: "Refuses it in the manifest; where it happened, touches nothing (`ChainInconsistent`). Names up to there work.",
        shown: &[
            Real("scenarios::external::writes::a_name_too_long_leaves_no_pointer_and_a_delete_breaks_the_live_chain"),
            Real("scenarios::external::writes::snapward_deletes_nothing_where_a_failed_capture_lost_the_pointer"),
            Real("scenarios::text::a_name_of_247_bytes_works_and_one_of_248_is_refused_in_the_manifest"),
            Real("scenarios::text::names_with_spaces_commas_and_markup_work"),
        ],
    },
    Pitfall {
        number: 11,
        name: "a name used again",
        virsh: "After `snapshot-delete --metadata` a capture of the same name adds a second one to the image, and \
                `snapshot-revert` gives back the first.",
        snapward: "Looks into the images first, captures nothing under a name that is there, and names the way out \
                   (`NotPossible`).",
        shown: &[
            Real("pitfalls::captures::a_name_used_again_gives_back_the_wrong_state"),
            Real("scenarios::hazards::a_tag_that_appeared_in_the_image_is_not_doubled"),
        ],
    },
    Pitfall {
        number: 12,
        name: "disks that take no internal snapshot",
        virsh: "A raw disk, raw NVRAM or a LUN that is passed through refuses the capture when it is made.",
        snapward: "Says so in the plan, with the disk and the way out (`NotPossible`).",
        shown: &[
            Real("host::an_internal_capture_of_a_raw_disk_fails_before_it_touches_anything"),
            Real("scenarios::captures::a_raw_disk_blocks_the_capture_in_the_plan_and_is_not_touched"),
            Injected("snapward::plan::tests::guards::captures_that_cannot_work_are_blocked_before_anything_is_touched"),
        ],
    },
    Pitfall {
        number: 13,
        name: "UEFI",
        virsh: "An internal snapshot of a running domain needs NVRAM in qcow2 and libvirt 10.9; a snapshot of disks alone \
                brings neither NVRAM nor TPM back.",
        snapward: "Blocks the capture of a running domain whose NVRAM is not qcow2 (`NotPossible`).",
        shown: &[
            Injected("snapward::plan::tests::guards::captures_that_cannot_work_are_blocked_before_anything_is_touched"),
            NotHere("the tests' machines have no UEFI firmware, and no libvirt before 10.9"),
        ],
    },
    Pitfall {
        number: 14,
        name: "a deletion starts the stopped domain",
        virsh: "`snapshot-delete` of an external one starts QEMU, paused, to merge: it fails where a device is missing.",
        snapward: "Deletes the same way and says what failed; nothing is lost, the next run deletes, and the domain is off \
                   again.",
        shown: &[
            Real("pitfalls::jobs::a_deletion_starts_the_stopped_domain"),
            Real("scenarios::external_interrupted::libvirtd_dies_while_it_merges_for_a_stopped_guest"),
        ],
    },
    Pitfall {
        number: 15,
        name: "AppArmor denies the merge",
        virsh: "`snapshot-delete` of a running domain fails with `Permission denied` before libvirt 12.1, and leaves a mark \
                on the snapshot below.",
        snapward: "Says which disks are merged and which are not; the same deletion completes it once it may.",
        shown: &[
            Injected(
                "scenarios::external_deletions::a_disk_that_cannot_be_merged_is_told_and_the_next_run_completes_it",
            ),
            NotHere("it needs a kernel with AppArmor; in the test QEMU is denied the file by a lock"),
        ],
    },
    Pitfall {
        number: 16,
        name: "long jobs",
        virsh: "A running domain at work makes every other command wait, and fail after 30 s.",
        snapward: "One run at a time works on a domain. Where another's job holds it, the run says so, has changed nothing, \
                   and the next one goes on.",
        shown: &[
            Real("pitfalls::jobs::a_domain_at_work_refuses_after_half_a_minute"),
            Real("scenarios::concurrent::a_second_run_leaves_a_domain_at_work_alone_and_does_the_others"),
        ],
    },
    Pitfall {
        number: 17,
        name: "undefined while it runs",
        virsh: "`undefine` of a running domain, and the end of a transient one, takes all metadata of its snapshots.",
        snapward: "Captures nothing in their place (`NotPossible`), and restores them from saved XML with `definition`.",
        shown: &[Real("scenarios::definitions::a_transient_domain_is_captured_and_restored_after_it_came_back")],
    },
    Pitfall {
        number: 18,
        name: "migration",
        virsh: "`migrate` refuses a domain with snapshots, so their metadata is dropped first.",
        snapward: "Captures none of them again: the ledger knows them (`Missing`), also after they vanished all at once.",
        shown: &[
            Real("pitfalls::moves::snapshots_that_are_gone_all_at_once_are_not_captured_again"),
            NotHere("the move itself, which needs a second host"),
        ],
    },
    Pitfall {
        number: 19,
        name: "quiesce",
        virsh: "`--quiesce` fails without an agent, and no snapshot says whether it was taken with it.",
        snapward: "Freezes, captures and always thaws; `filesystem` is blocked without an agent, `filesystemIfAgent` is not, \
                   and the snapshot says which it is.",
        shown: &[
            Real("pitfalls::captures::a_snapshot_of_virsh_does_not_say_how_consistent_it_is"),
            Real("scenarios::quiesce::a_guest_is_frozen_for_the_capture_and_never_left_so"),
        ],
    },
    Pitfall {
        number: 20,
        name: "long chains and what they leave",
        virsh: "A chain of 25 overlays neither starts nor lets one be deleted; overlays of a stopped domain are open to all; \
                a revert gives a CD-ROM an overlay; files are left.",
        snapward: "Stops at `chainLimit`, closes new overlays to whoever may not read the image below, names what the revert will do to the drive and what was left, and deletes no file \
                   that is not its own.",
        shown: &[
            Real("scenarios::external::long_chains::a_chain_of_25_overlays_can_neither_be_started_nor_shortened"),
            Real("scenarios::external::long_chains::snapward_makes_no_chain_that_cannot_be_started"),
            Real("scenarios::external::mixed::snapward_names_the_overlay_that_was_left_behind_and_leaves_it"),
            Real("scenarios::reverts::managed_save_and_cd_roms_are_looked_for"),
            Real("pitfalls::captures::overlays_of_a_stopped_domain_are_open_to_all"),
        ],
    },
];
