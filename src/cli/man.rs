//! `snapward man`: the manual, one page for the command and one for each verb.

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::Context;
use super::args::{Cli, exit_codes};
use super::error::CliError;
use super::exit::Exit;

/// Print the manual in troff form, one page after the other.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  snapward man | man -l -\n",
    "  snapward man > snapward.1\n",
    "\n",
    exit_codes!(print)
))]
pub(super) struct ManArgs {}

pub(super) fn run(_: &ManArgs, context: &Context) -> Result<Exit, CliError> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    page(&command, &mut pages)?;
    for verb in command.get_subcommands() {
        page(verb, &mut pages)?;
    }
    context.output.data(&String::from_utf8_lossy(&pages))?;
    Ok(Exit::Done)
}

fn page(command: &Command, pages: &mut Vec<u8>) -> Result<(), CliError> {
    Man::new(command.clone())
        .render(pages)
        .map_err(|error| CliError::failed(format!("could not render the manual: {error}")))
}
