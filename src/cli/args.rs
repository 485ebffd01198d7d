//! The command line: global options and the verbs. The doc comments are the help texts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{agent, apply, completions, export, man, plan, retention, schema, snapshot, status, validate};

/// Every exit code with its meaning; the same words in each verb's help.
macro_rules! exit_codes {
    (plan) => {
        concat!(
            "Exit codes:\n",
            "    0  a plan was made; with --detailed-exitcode: nothing to do\n",
            "    1  failed: no host could be read, or the plan could not be saved\n",
            "    2  actions are pending (--detailed-exitcode only)\n",
            "    3  nothing to do, but something is blocked and needs a person (--detailed-exitcode only)\n",
            "    5  some host or domain could not be read; the plan is about the others\n",
            "   64  wrong usage\n",
            "   65  a manifest has an error\n",
            "  130  interrupted"
        )
    };
    (apply) => {
        concat!(
            "Exit codes:\n",
            "    0  done, or nothing to do\n",
            "    1  failed, nothing was done\n",
            "    3  something is blocked and needs a person; the rest is done\n",
            "    4  every planned domain changed after the plan was made, or the plan is not the expected one;\n",
            "       nothing was done\n",
            "    5  partly: some actions failed, some domains changed, or some host or domain could not be read\n",
            "    6  another run holds a domain\n",
            "   64  wrong usage, or no terminal to ask on and no --yes\n",
            "   65  a manifest has an error, or the saved plan cannot be used\n",
            "  130  interrupted; what is listed as done is done\n",
            "Where several apply: 130, 65, 1, 5, 4, 6, 3, 0."
        )
    };
    (status) => {
        concat!(
            "Exit codes:\n",
            "    0  all selected domains are Ready\n",
            "    1  failed: no host could be read\n",
            "    3  not all are Ready\n",
            "    5  some host or domain could not be read\n",
            "   64  wrong usage\n",
            "   65  a manifest has an error\n",
            "  130  interrupted"
        )
    };
    (agent) => {
        concat!(
            "Exit codes:\n",
            "    0  ended by SIGTERM or SIGINT; what was begun is finished\n",
            "    1  failed: a socket could not be opened, or the agent found a defect in itself\n",
            "   64  wrong usage\n",
            "  130  ended at once by a second signal"
        )
    };
    (explain) => {
        concat!(
            "Exit codes:\n",
            "    0  explained\n",
            "    1  failed: no host could be read\n",
            "    5  some host or domain could not be read\n",
            "   64  wrong usage\n",
            "   65  a manifest has an error\n",
            "  130  interrupted"
        )
    };
    (validate) => {
        concat!(
            "Exit codes:\n",
            "    0  no error (there may be warnings)\n",
            "    1  the result could not be written\n",
            "   64  wrong usage\n",
            "   65  a manifest has an error, or a path cannot be read"
        )
    };
    (list) => {
        concat!(
            "Exit codes:\n",
            "    0  decided\n",
            "    1  the result could not be written\n",
            "   64  wrong usage\n",
            "   65  the policy or the list has an error, or cannot be read"
        )
    };
    (ask) => {
        concat!(
            "Exit codes:\n",
            "    0  answered\n",
            "    1  failed: no such domain or snapshot, or the host could not be read\n",
            "    5  partly: a snapshot could not be read; the answer is about the others\n",
            "   64  wrong usage\n",
            "  130  interrupted"
        )
    };
    (act) => {
        concat!(
            "Exit codes:\n",
            "    0  done, or nothing to do\n",
            "    1  failed or refused, nothing was done\n",
            "    4  the domain changed meanwhile, nothing was done\n",
            "    5  partly: some of it was done\n",
            "    6  another run holds the domain\n",
            "   64  wrong usage\n",
            "  130  interrupted"
        )
    };
    (print) => {
        concat!("Exit codes:\n", "    0  printed\n", "    1  the text could not be written\n", "   64  wrong usage")
    };
    (all) => {
        concat!(
            "Exit codes:\n",
            "    0  done, or nothing to do\n",
            "    1  failed, nothing was done\n",
            "    2  actions are pending (plan --detailed-exitcode)\n",
            "    3  something needs a person: blocked, or not all Ready\n",
            "    4  every planned domain changed after the plan was made, or the plan is not the expected one\n",
            "    5  partly: some actions failed, some domains changed, or some host or domain could not be read\n",
            "    6  another run holds a domain\n",
            "   64  wrong usage\n",
            "   65  a manifest has an error, or a saved plan cannot be used\n",
            "  130  interrupted\n",
            "Where several apply: 130, 65, 1, 5, 4, 6, 3, 2, 0 (plan: 2 before 3)."
        )
    };
}
pub(super) use exit_codes;

/// Makes the snapshots of libvirt/KVM domains match what YAML manifests declare.
///
/// It reads the manifests, reads libvirt, works out a plan, and applies it. It deletes only what it made or was told to
/// adopt, and names the reason and the manifest line of every change.
#[derive(Debug, Parser)]
#[command(
    name = "snapward",
    version,
    max_term_width = 100,
    after_help = concat!(
        "Examples:\n",
        "  snapward validate sets/              check the manifests, without a hypervisor\n",
        "  snapward plan sets/                  what would change on qemu:///system, and why\n",
        "  snapward apply sets/                 make it so, after a question\n",
        "  snapward -c qemu:///session status sets/\n",
        "\n",
        exit_codes!(all)
    )
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// The options that every verb takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Connect to this libvirt URI; may be given several times.
    ///
    /// Without it: the hosts of the Inventory in the manifests, else $LIBVIRT_DEFAULT_URI, else qemu:///system.
    #[arg(short = 'c', long = "connect", value_name = "URI", global = true)]
    pub(super) connect: Vec<String>,

    /// Log what is done to stderr; -vv more, -vvv everything. `plan` also prints the hosts.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,

    /// The form of log lines and progress on stderr.
    #[arg(long, value_name = "FORMAT", global = true, default_value = "text")]
    pub(super) log_format: LogFormat,

    /// When to use colours; NO_COLOR and the terminal decide for `auto`.
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub(super) color: ColorWhen,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// One line of text for each event.
    Text,
    /// One JSON object per line.
    Json,
    /// Straight to systemd's journal, each field searchable as F_NAME.
    Journald,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The form of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    /// For people.
    Text,
    /// For programs; schemas/plan.v1.json describes it.
    Json,
    /// For a comment on a pull request.
    Markdown,
}

/// The form of other results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs; `snapward schema` has the schemas.
    Json,
}

/// The manifests of a run.
#[derive(Debug, Args)]
pub(super) struct Paths {
    /// Manifest files, directories (all *.yaml and *.yml below them), or `-` for standard input.
    #[arg(value_name = "PATH", required = true)]
    pub(super) paths: Vec<PathBuf>,
}

impl Paths {
    /// The paths as a plan names its source.
    pub(super) fn names(&self) -> Vec<String> {
        path_names(&self.paths)
    }
}

/// Paths as a plan names its source.
pub(super) fn path_names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Validate(validate::ValidateArgs),
    Plan(plan::PlanArgs),
    Apply(apply::ApplyArgs),
    Status(status::StatusArgs),
    Agent(agent::AgentArgs),
    Retention(retention::RetentionArgs),
    Snapshot(snapshot::SnapshotArgs),
    Export(export::ExportArgs),
    Detach(export::DetachArgs),
    Schema(schema::SchemaArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
