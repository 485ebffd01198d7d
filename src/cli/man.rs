//! `snapward man`: the manual, one page for the command, one for each verb, and one for each verb of a verb.

use std::io;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

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
    pages_of(&command, &mut pages)?;
    context.output.data(&String::from_utf8_lossy(&pages))?;
    Ok(Exit::Done)
}

/// The pages of a command's verbs, each followed by those of its own verbs.
fn pages_of(command: &Command, pages: &mut Vec<u8>) -> Result<(), CliError> {
    for verb in command.get_subcommands() {
        page(verb, pages)?;
        pages_of(verb, pages)?;
    }
    Ok(())
}

fn page(command: &Command, pages: &mut Vec<u8>) -> Result<(), CliError> {
    render(command, pages).map_err(|error| CliError::failed(format!("could not render the manual: {error}")))
}

/// As clap_mangen does it, except that examples and exit codes keep their lines: it would fill them to paragraphs.
fn render(command: &Command, pages: &mut Vec<u8>) -> io::Result<()> {
    let man = Man::new(command.clone());
    man.render_title(pages)?;
    man.render_name_section(pages)?;
    man.render_synopsis_section(pages)?;
    man.render_description_section(pages)?;
    man.render_options_section(pages)?;
    if command.has_subcommands() {
        man.render_subcommands_section(pages)?;
    }
    let extra = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut sections = Roff::new();
    for block in extra.split("\n\n") {
        let mut lines = block.lines();
        if let Some(title) = lines.next() {
            sections.control("SH", [title.trim_end_matches(':').to_uppercase().as_str()]);
            sections.control("nf", []);
            for line in lines {
                sections.text([roman(line)]);
            }
            sections.control("fi", []);
        }
    }
    sections.to_writer(pages)
}
