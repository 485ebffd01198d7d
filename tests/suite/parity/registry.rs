//! The registry: every flag of virsh's snapshot commands, what says the same in snapward, and the test that shows it.
//!
//! A test listed here must use the flag in a virsh command of its bed, or fails. A flag of virsh's that is neither here nor
//! pending fails `parity::table`.

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

/// Flags without a test yet, by command. A command or flag leaves this list in the commit that gives it its row.
pub(super) const PENDING: &[(&str, &[&str])] = &[
    (
        "snapshot-create",
        &[
            "--domain",
            "--xmlfile",
            "--redefine",
            "--current",
            "--no-metadata",
            "--halt",
            "--disk-only",
            "--reuse-external",
            "--quiesce",
            "--atomic",
            "--live",
            "--validate",
        ],
    ),
    (
        "snapshot-create-as",
        &[
            "--domain",
            "--name",
            "--description",
            "--print-xml",
            "--no-metadata",
            "--halt",
            "--disk-only",
            "--reuse-external",
            "--quiesce",
            "--atomic",
            "--live",
            "--validate",
            "--memspec",
            "--diskspec",
        ],
    ),
    ("snapshot-current", &["--snapshotname"]),
    ("snapshot-delete", &["--domain", "--snapshotname", "--current", "--children", "--children-only", "--metadata"]),
    ("snapshot-edit", &["--domain", "--snapshotname", "--current", "--rename", "--clone"]),
];
