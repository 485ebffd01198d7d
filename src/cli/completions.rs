//! `snapward completions`: completion scripts for shells.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Context;
use super::args::{Cli, exit_codes};
use super::error::CliError;
use super::exit::Exit;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward completions bash > /usr/share/bash-completion/completions/snapward\n",
    "  source <(snapward completions zsh)\n",
    "\n",
    exit_codes!(print)
))]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, context: &Context) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "snapward", &mut script);
    context.output.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
