//! The table of faults and outcomes in docs/reliability.md: written from the rows, and each row held by its tests
//! against what a run really said. `UPDATE=1 cargo nextest run -E 'test(faults::table)'` rewrites it.

use std::path::Path;

use snapward::model::plan::Plan;

use crate::docs::assert_fresh;
use crate::pitfalls::table::assert_tests_are_there;
use crate::support::lab::{actions, blocks};

/// One fault.
pub(crate) struct Row {
    /// By which its test finds it.
    key: &'static str,
    fault: &'static str,
    /// Words of what the run says that meets it: what happened, what state things are in, what to do.
    says: &'static [&'static str],
    /// What the next run does while the fault lasts.
    next: Next,
    /// How it ends.
    then: &'static str,
    /// The paths of the tests in the suite.
    tests: &'static [&'static str],
}

/// What a run plans.
pub(crate) enum Next {
    /// Blocked, with these codes and no action.
    Blocked(&'static [&'static str]),
    /// These actions, the names of series left out.
    Does(&'static [&'static str]),
    /// The tests look at it themselves.
    Told(&'static str),
}

use Next::{Blocked, Does, Told};

const ROWS: &[Row] = &[
    Row {
        key: "killed",
        fault: "snapward is killed (SIGKILL), before and after each call to libvirt: a declared set, a series of a running domain, \
                external snapshots of one, a revert with its guard",
        says: &[],
        next: Told(
            "completes it; where a revert was begun and is not noted as done, `OutcomeUnknown`, and it is not tried again",
        ),
        then: "every declared snapshot once, none of its contents changed, no lock and no file left over",
        tests: &[
            "faults::crash::declared_snapshots_of_a_stopped_domain",
            "faults::crash::a_series_of_a_running_domain",
            "faults::crash::external_snapshots_of_a_running_domain",
            "faults::crash::a_revert_with_a_guard",
        ],
    },
    Row {
        key: "killed inside",
        fault: "snapward is killed with libvirt's driver in its process, before each change of a lock or an image; of a stopped \
                domain in `make proof` before each change of any file, libvirt's own too",
        says: &[],
        next: Told("completes it, or is blocked with what a person has to do; the tests do that"),
        then: "as after a kill; the plan names a file that libvirt left over",
        tests: &[
            "faults::crash::declared_snapshots_of_a_stopped_domain_at_every_write",
            "faults::crash::a_series_of_a_running_domain_at_every_write",
            "faults::crash::external_snapshots_of_a_running_domain_at_every_write",
            "faults::crash::a_revert_with_a_guard_at_every_write",
        ],
    },
    Row {
        key: "not noted",
        fault: "libvirtd ends in the middle of a capture of a running domain: QEMU is on the overlay, libvirt or its stored \
                definition on the image below",
        says: &[],
        next: Told("`ChainInconsistent`, with how to bring them together"),
        then: "goes on, with all that the guest wrote",
        tests: &[
            "scenarios::external::unsaved::snapward_sees_the_overlay_that_the_guest_writes_to",
            "scenarios::external::unsaved::snapward_sees_the_overlay_of_a_first_capture",
            "scenarios::external::unsaved::snapward_sees_that_the_next_start_is_on_an_image_that_was_captured",
        ],
    },
    Row {
        key: "two runs",
        fault: "two snapward processes act on one domain at once, 2,000 times in `make proof`",
        says: &[],
        next: Told("does what the run that came second left: it was locked, or its plan stale"),
        then: "each snapshot is captured and deleted once, and the ledger has what both did",
        tests: &["faults::writers::two_runs_at_once_lose_no_update_and_do_nothing_twice"],
    },
    Row {
        key: "killed beside",
        fault: "one of two runs is killed at any instant",
        says: &[],
        next: Told("finds the lock free, and completes what both were to do"),
        then: "as above",
        tests: &["faults::writers::a_killed_run_leaves_no_lock_and_the_other_goes_on"],
    },
    Row {
        key: "virsh",
        fault: "virsh captures and deletes in the same domain at the same time",
        says: &[],
        next: Told("completes it, and reports what was captured by hand as not managed"),
        then: "nothing captured by hand is touched, and every content is as captured",
        tests: &["faults::writers::beside_virsh_no_content_is_lost_and_what_happened_is_reported"],
    },
    Row {
        key: "calls",
        fault: "any one call to libvirt fails with any class of error, is done and its answer lost, or hangs past its deadline and is \
                done later",
        says: &[],
        next: Told("as after a kill"),
        then: "as after a kill; every outcome says what happened, how things stand and what to do",
        tests: &[
            "faults::calls::declared_snapshots_of_a_stopped_domain",
            "faults::calls::a_series_of_a_running_domain",
            "faults::calls::external_snapshots_of_a_running_domain",
            "faults::calls::a_revert_with_a_guard",
        ],
    },
    Row {
        key: "reads",
        fault: "any one call fails while the plan is made",
        says: &[],
        next: Told("plans what it could read of, nothing else, and names the rest"),
        then: "what cannot be read is never taken for what is not there",
        tests: &["faults::calls::a_plan_made_through_faults_does_nothing_else"],
    },
    Row {
        key: "full, overlay",
        fault: "the filesystem is full when an overlay is made",
        says: &[
            "No space left on device",
            "libvirt lists no snapshot of this name; the others are untouched",
            RUN_PLAN,
        ],
        next: Blocked(&["NoSpace e2"]),
        then: "captures it once there is room",
        tests: &["faults::machine::a_full_filesystem_under_an_overlay"],
    },
    Row {
        key: "full, memory",
        fault: "the filesystem is full when a running domain is captured with its memory",
        says: &[
            "could not capture snapshot b of domain vm",
            "the filesystem of its images may be full",
            "libvirt lists no snapshot of this name; the others are untouched",
            RUN_PLAN,
        ],
        next: Blocked(&["NoSpace b"]),
        then: "captures it once there is room; the guest runs on",
        tests: &["faults::machine::a_full_filesystem_under_a_capture_with_memory"],
    },
    Row {
        key: "full, merge",
        fault: "the filesystem of the lower image is full in the middle of a merge",
        says: &["No space left on device", "is not merged", "do not revert to it", RUN_PLAN],
        next: Does(&["delete e1"]),
        then: "merges it once there is room; the guest runs on",
        tests: &["faults::machine::a_full_filesystem_under_a_merge"],
    },
    Row {
        key: "full, metadata",
        fault: "the filesystem of libvirt's metadata is full",
        says: CASE_X,
        next: Told("does nothing in this domain until libvirtd was restarted"),
        then: "redefines and deletes as declared once there is room",
        tests: &["faults::machine::metadata_that_cannot_be_written", IN_A_TREE_WITH_A_HOLE],
    },
    Row {
        key: "read-only, metadata",
        fault: "the filesystem of libvirt's metadata is read-only",
        says: CASE_X,
        next: Told("does nothing in this domain until libvirtd was restarted"),
        then: "redefines and deletes as declared once it can be written",
        tests: &["faults::machine::metadata_that_cannot_be_written", IN_A_TREE_WITH_A_HOLE],
    },
    Row {
        key: "unreadable image",
        fault: "an image of the chain cannot be read",
        says: &["the image chain of disk vda cannot be read from here", "nothing was done", "To go on: "],
        next: Blocked(&["ChainUnknown e2"]),
        then: "goes on once it can be read",
        tests: &["faults::machine::an_image_that_cannot_be_read"],
    },
    Row {
        key: "overlay in the way",
        fault: "a file is where an overlay shall be",
        says: &["is there by now; nothing was captured", RUN_PLAN],
        next: Blocked(&["NotPossible e2"]),
        then: "captures once it is gone; the file is as it was",
        tests: &["faults::machine::an_overlay_that_is_there_already"],
    },
    Row {
        key: "memory gone",
        fault: "the memory file of a snapshot is gone when it is reverted to",
        says: &["vm.memory is gone", "nothing was done"],
        next: Blocked(&["ChainInconsistent full"]),
        then: "reverts once it is back; the guest was never stopped, and the token is not used up",
        tests: &["scenarios::reverts::what_would_fail_midway_is_found_before_the_domain_is_stopped"],
    },
    Row {
        key: "memory broken",
        fault: "libvirt finds out with the domain stopped that it cannot revert",
        says: &["THE DOMAIN IS DOWN", "the state before it is in snapshot", "to have it back: snapward -c "],
        next: Blocked(&["OutcomeUnknown full"]),
        then: "the revert to the guard that the text names brings it back running",
        tests: &["scenarios::reverts::a_revert_that_fails_midway_says_that_the_domain_is_down_and_how_to_get_it_back"],
    },
    Row {
        key: "libvirtd killed, running",
        fault: "libvirtd is killed in the middle of a merge of a running domain",
        says: &["the connection broke while the call ran", "nothing is lost by that", RUN_PLAN],
        next: Told("merges again"),
        then: "merged, with all that was written",
        tests: &["scenarios::external_interrupted::libvirtd_dies_and_the_next_run_merges_again"],
    },
    Row {
        key: "libvirtd killed, stopped",
        fault: "libvirtd is killed in the middle of a merge of a stopped domain",
        says: &["it may be left of a deletion that was interrupted", "virsh destroy ends both and loses nothing"],
        next: Told("fails in that domain until the process that libvirt started for the merge is ended"),
        then: "merged, with all that was written",
        tests: &["scenarios::external_interrupted::libvirtd_dies_while_it_merges_for_a_stopped_guest"],
    },
    Row {
        key: "second disk",
        fault: "a merge of two disks fails between them",
        says: &["is merged into", "is not merged", "libvirt marked e1", "do not revert to it"],
        next: Does(&["delete e2"]),
        then: "brings libvirt's records up to the images, and merges the rest",
        tests: &["scenarios::external_partial::snapward_brings_the_records_up_and_completes_it"],
    },
    Row {
        key: "undefined",
        fault: "the domain is undefined after the plan was made",
        says: &["the domain is gone since the plan was made; nothing was done here. Make a new plan"],
        next: Blocked(&["NoSuchDomain"]),
        then: "goes on once the domain is defined again with its snapshots' metadata",
        tests: &["faults::machine::a_domain_that_somebody_changed_since_the_plan"],
    },
    Row {
        key: "renamed",
        fault: "the domain is renamed after the plan was made",
        says: &["the domain was renamed to other since the plan was made; nothing was done here. Make a new plan"],
        next: Blocked(&["NoSuchDomain"]),
        then: "goes on under the name that is declared",
        tests: &["faults::machine::a_domain_that_somebody_changed_since_the_plan"],
    },
    Row {
        key: "reverted",
        fault: "somebody reverts the domain after the plan was made",
        says: &["its snapshots or disks changed since the plan was made; nothing was done here. Make a new plan"],
        next: Blocked(&["TreeHolds e1"]),
        then: "deletes what the new tree lets go",
        tests: &["faults::machine::a_domain_that_somebody_changed_since_the_plan"],
    },
    Row {
        key: "started",
        fault: "somebody starts the domain after the plan was made",
        says: &[
            "it was shut off and is paused: it changed since the plan was made; nothing was done here. Make a new plan",
        ],
        next: Does(&["delete e1"]),
        then: "deletes it in the running domain",
        tests: &["faults::machine::a_domain_that_somebody_changed_since_the_plan"],
    },
    Row {
        key: "clock ahead",
        fault: "the clock is two years ahead for one run",
        says: &["older than maximumAge", "so none is deleted", "check the clock"],
        next: Told("captures the slot of that time and deletes nothing (`TooManyDeletes`)"),
        then: "see the next row",
        tests: &["faults::machine::a_clock_that_jumps_ahead_and_back"],
    },
    Row {
        key: "clock back",
        fault: "the clock is right again, or goes back",
        says: &["the clock is wrong, or was", "captures and deletes nothing", "if it is, delete this snapshot by hand"],
        next: Told("`Clock`: neither captures nor deletes in that series"),
        then: "takes the slot that is due once the snapshot of the wrong time is gone; none is taken twice",
        tests: &["faults::machine::a_clock_that_jumps_ahead_and_back"],
    },
];

/// What every failed action ends with.
const RUN_PLAN: &str = "Run plan to see what stands";

/// A redefine whose metadata cannot be written.
const CASE_X: &[&str] = &[
    "unable to save metadata for snapshot e1",
    "libvirt has dropped the snapshot from its list",
    "Its content is still in the images",
    "restart libvirtd, which reads the file again",
];

const IN_A_TREE_WITH_A_HOLE: &str = "scenarios::external::writes::snapward_deletes_nothing_in_a_tree_with_a_hole";

/// The row of that key.
pub(crate) fn row(key: &str) -> &'static Row {
    ROWS.iter().find(|row| row.key == key).unwrap_or_else(|| panic!("no row {key:?}"))
}

impl Row {
    /// Asserts that a run said what the table tells.
    #[track_caller]
    pub(crate) fn is_told(&self, text: &str) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in self.says {
            assert!(text.contains(words), "{}: {words:?} is not in: {text}", self.key);
        }
    }

    /// Asserts that the next run plans what the table tells.
    #[track_caller]
    pub(crate) fn ends(&self, plan: &Plan) {
        let does: Vec<_> = actions(plan);
        match self.next {
            Blocked(codes) => {
                let codes: Vec<_> = codes.iter().map(|code| (*code).to_owned()).collect();
                assert_eq!((does, blocks(plan)), (Vec::new(), codes), "{}: {:#?}", self.key, plan.blocked);
                for blocked in &plan.blocked {
                    assert!(!blocked.text.is_empty() && !blocked.way_out.is_empty(), "{}: {blocked:?}", self.key);
                }
            }
            Does(wanted) => assert_eq!(does, wanted, "{}: {:#?}", self.key, plan.blocked),
            Told(_) => panic!("{}: the row does not say what is planned", self.key),
        }
    }
}

#[test]
fn every_row_names_tests_that_are_there() {
    for row in ROWS {
        assert!(!row.tests.is_empty(), "{}", row.key);
        assert_tests_are_there(row.tests.iter().copied());
    }
}

/// In the text around the table too.
#[test]
fn every_test_that_the_page_names_is_there() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
    let page = std::fs::read_to_string(page).expect("docs/reliability.md");
    let named: Vec<_> = page.split('`').filter(|words| words.contains("::") && !words.contains(' ')).collect();
    assert!(named.len() > ROWS.len(), "{named:?}");
    assert_tests_are_there(named);
}

#[test]
fn the_table_is_fresh() {
    assert_fresh("docs/reliability.md", &mut |what| {
        assert_eq!(what, "faults");
        let mut table = vec![
            "| fault | what the run says | the next run | in the end | shown by |".to_owned(),
            "|---|---|---|---|---|".to_owned(),
        ];
        for row in ROWS {
            let quoted = |words: &&str| format!("\"{}\"", words.trim());
            let says: Vec<_> = row.says.iter().map(quoted).collect();
            let says = if says.is_empty() { "as the call that failed".to_owned() } else { says.join(" ... ") };
            let next = match row.next {
                Blocked(codes) => {
                    let code = |code: &&str| format!("`{}`", code.split(' ').next().unwrap_or_default());
                    format!("blocked: {}", codes.iter().map(code).collect::<Vec<_>>().join(", "))
                }
                Does(what) => format!("plans it again: {}", what.join(", ")),
                Told(text) => text.to_owned(),
            };
            let tests: Vec<_> = row.tests.iter().map(|test| format!("`{test}`")).collect();
            table.push(format!("| {} | {says} | {next} | {} | {} |", row.fault, row.then, tests.join(", ")));
        }
        table.join("\n")
    });
}
