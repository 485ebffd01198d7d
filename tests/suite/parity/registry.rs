//! The registry: every flag of virsh's snapshot commands, what says the same in snapward, and the test that shows it.
//!
//! A test listed here must use the flag in a virsh command of its bed, or fails. A flag of virsh's that is not here
//! fails `parity::table`.

/// What says the same as one flag, and the test that shows it.
pub(super) struct Row {
    pub(super) command: &'static str,
    pub(super) flag: &'static str,
    pub(super) how: &'static str,
    pub(super) test: &'static str,
}

/// Flags of one command that one test exercises: the flag, and what says the same in snapward.
struct Rows {
    command: &'static str,
    test: &'static str,
    flags: &'static [(&'static str, &'static str)],
}

/// All rows, flag by flag.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    ROWS.iter()
        .flat_map(|rows| rows.flags.iter().map(|(flag, how)| Row { command: rows.command, flag, how, test: rows.test }))
}

const ROWS: &[Rows] = &[
    Rows {
        command: "snapshot-list",
        test: "parity::list::every_filter_and_form",
        flags: &[
            ("--domain", "`snapshot list DOMAIN`"),
            ("--parent", "`snapshot list --parent`"),
            ("--roots", "`snapshot list --roots`"),
            ("--leaves", "`snapshot list --leaves`"),
            ("--no-leaves", "`snapshot list --no-leaves`"),
            ("--metadata", "`snapshot list --metadata`"),
            ("--no-metadata", "`snapshot list --no-metadata`"),
            ("--inactive", "`snapshot list --inactive`"),
            ("--active", "`snapshot list --active`"),
            ("--disk-only", "`snapshot list --disk-only`"),
            ("--internal", "`snapshot list --internal`"),
            ("--external", "`snapshot list --external`"),
            ("--from", "`snapshot list --from SNAPSHOT`"),
            ("--current", "`snapshot list --current`"),
            ("--descendants", "`snapshot list --descendants`"),
            ("--name", "`snapshot list --name`"),
            ("--topological", "`snapshot list --topological`"),
        ],
    },
    Rows {
        command: "snapshot-list",
        test: "parity::list::the_tree_hangs_as_virsh_draws_it",
        flags: &[("--tree", "`snapshot list --tree`")],
    },
    Rows {
        command: "snapshot-info",
        test: "parity::ask::every_question",
        flags: &[
            ("--domain", "`snapshot info DOMAIN`"),
            ("--snapshotname", "`snapshot info DOMAIN SNAPSHOT`"),
            ("--current", "`snapshot info --current`"),
        ],
    },
    Rows {
        command: "snapshot-dumpxml",
        test: "parity::ask::every_question",
        flags: &[
            ("--domain", "`snapshot xml DOMAIN`"),
            ("--snapshotname", "`snapshot xml DOMAIN SNAPSHOT`"),
            ("--security-info", "`snapshot xml --security-info`"),
        ],
    },
    Rows {
        command: "snapshot-dumpxml",
        test: "parity::ask::nodes_by_xpath",
        flags: &[
            ("--xpath", "`snapshot xml --xpath EXPRESSION`"),
            ("--wrap", "`snapshot xml --xpath EXPRESSION --wrap`"),
        ],
    },
    Rows {
        command: "snapshot-parent",
        test: "parity::ask::every_question",
        flags: &[
            ("--domain", "`snapshot parent DOMAIN`"),
            ("--snapshotname", "`snapshot parent DOMAIN SNAPSHOT`"),
            ("--current", "`snapshot parent --current`"),
        ],
    },
    Rows {
        command: "snapshot-current",
        test: "parity::ask::every_question",
        flags: &[
            ("--domain", "`snapshot current DOMAIN`"),
            ("--name", "`snapshot current --name`"),
            ("--security-info", "`snapshot current --security-info`"),
        ],
    },
    Rows {
        command: "snapshot-current",
        test: "parity::create::another_one_as_the_current",
        flags: &[("--snapshotname", "`snapshot current DOMAIN SNAPSHOT`")],
    },
    Rows {
        command: "snapshot-create",
        test: "parity::create::from_a_file",
        flags: &[
            ("--domain", "`snapshot create DOMAIN`"),
            ("--xmlfile", "`snapshot create --xml FILE`"),
            ("--atomic", "`snapshot create --atomic`"),
            ("--validate", "`snapshot create --validate`"),
        ],
    },
    Rows {
        command: "snapshot-create",
        test: "parity::create::records_that_are_given_back",
        flags: &[
            ("--redefine", "`snapshot create --redefine`, where the images hold what the XML says"),
            ("--current", "`snapshot create --redefine --current`"),
        ],
    },
    Rows {
        command: "snapshot-create",
        test: "parity::create::from_a_file_of_disks::case_1_disk_only",
        flags: &[("--disk-only", "`snapshot create --disk-only`")],
    },
    Rows {
        command: "snapshot-create",
        test: "parity::create::from_a_file_of_disks::case_2_unlisted",
        flags: &[("--no-metadata", "`snapshot create --no-metadata`")],
    },
    Rows {
        command: "snapshot-create",
        test: "parity::create::from_a_file_of_disks::case_3_reuse",
        flags: &[("--reuse-external", "`snapshot create --reuse-external`, for empty overlays on the active images")],
    },
    Rows {
        command: "snapshot-create",
        test: "parity::create::from_a_file_with_memory::case_1_live",
        flags: &[("--live", "`snapshot create --live`")],
    },
    Rows {
        command: "snapshot-create",
        test: "parity::create::from_a_file_with_memory::case_2_halt",
        flags: &[("--halt", "`snapshot create --halt`")],
    },
    Rows {
        command: "snapshot-create",
        test: "parity::create::without_an_agent_nothing_is_frozen",
        flags: &[("--quiesce", "`snapshot create --disk-only --quiesce`; `consistency: filesystem`")],
    },
    Rows {
        command: "snapshot-create-as",
        test: "parity::create::without_an_agent_nothing_is_frozen",
        flags: &[("--quiesce", "`snapshot create --disk-only --quiesce`; `consistency: filesystem`")],
    },
    Rows {
        command: "snapshot-create-as",
        test: "parity::create::internal",
        flags: &[
            ("--domain", "`snapshot create DOMAIN`"),
            ("--name", "`snapshot create DOMAIN NAME`"),
            ("--description", "`snapshot create --description`"),
            ("--atomic", "`snapshot create --atomic`"),
            ("--validate", "`snapshot create --validate`"),
        ],
    },
    Rows {
        command: "snapshot-create-as",
        test: "parity::create::the_xml_of_the_options",
        flags: &[("--print-xml", "`snapshot create --print-xml`")],
    },
    Rows {
        command: "snapshot-create-as",
        test: "parity::create::without_metadata",
        flags: &[("--no-metadata", "`snapshot create --no-metadata`")],
    },
    Rows {
        command: "snapshot-create-as",
        test: "parity::create::halted",
        flags: &[("--halt", "`snapshot create --halt`")],
    },
    Rows {
        command: "snapshot-create-as",
        test: "parity::create::disk_only",
        flags: &[("--disk-only", "`snapshot create --disk-only`")],
    },
    Rows {
        command: "snapshot-create-as",
        test: "parity::create::a_disk_left_to_other_means",
        flags: &[("--diskspec", "`snapshot create --diskspec`; `capture.disks`")],
    },
    Rows {
        command: "snapshot-create-as",
        test: "parity::create::onto_overlays_that_are_there",
        flags: &[("--reuse-external", "`snapshot create --reuse-external`, for empty overlays on the active images")],
    },
    Rows {
        command: "snapshot-create-as",
        test: "parity::create::memory_in_a_file",
        flags: &[("--memspec", "`snapshot create --memspec`")],
    },
    Rows {
        command: "snapshot-create-as",
        test: "parity::create::memory_in_a_file::case_2_live",
        flags: &[("--live", "`snapshot create --live`")],
    },
    Rows {
        command: "snapshot-delete",
        test: "parity::delete::internal_ones",
        flags: &[
            ("--domain", "`snapshot delete DOMAIN`"),
            ("--snapshotname", "`snapshot delete DOMAIN SNAPSHOT`"),
            ("--current", "`snapshot delete --current`"),
        ],
    },
    Rows {
        command: "snapshot-delete",
        test: "parity::delete::internal_branches::case_1_all",
        flags: &[("--children", "`snapshot delete --children`, of external ones too")],
    },
    Rows {
        command: "snapshot-delete",
        test: "parity::delete::internal_branches::case_2_below",
        flags: &[("--children-only", "`snapshot delete --children-only`, of external ones too")],
    },
    Rows {
        command: "snapshot-delete",
        test: "parity::delete::records_alone",
        flags: &[("--metadata", "`snapshot delete --metadata-only`")],
    },
    Rows {
        command: "snapshot-edit",
        test: "parity::edit::a_description_in_an_external_tree",
        flags: &[("--domain", "`snapshot edit DOMAIN`"), ("--snapshotname", "`snapshot edit DOMAIN SNAPSHOT`")],
    },
    Rows {
        command: "snapshot-edit",
        test: "parity::edit::a_description::case_2_the_current",
        flags: &[("--current", "`snapshot edit --current`")],
    },
    Rows {
        command: "snapshot-edit",
        test: "parity::edit::an_external_leaf_gets_another_name",
        flags: &[("--rename", "`snapshot edit --rename`, where the snapshot can be used afterwards")],
    },
    Rows {
        command: "snapshot-edit",
        test: "parity::edit::a_second_record_of_an_external_leaf",
        flags: &[("--clone", "`snapshot edit --clone`, where the record is of something")],
    },
    Rows {
        command: "snapshot-revert",
        test: "parity::revert::internal_reverts_in_every_run_state",
        flags: &[
            ("--domain", "`snapshot revert DOMAIN`"),
            ("--snapshotname", "`snapshot revert DOMAIN SNAPSHOT`; a RevertRequest's `to`"),
            ("--current", "`snapshot revert --current`"),
            ("--running", "`snapshot revert --running`; `power: running`"),
            ("--paused", "`snapshot revert --paused`; `power: paused`"),
            ("--force", "`snapshot revert --force`; `force: true`"),
            ("--reset-nvram", "`snapshot revert --reset-nvram`"),
        ],
    },
];
