//! The `snapward` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    snapward::cli::run(std::env::args_os())
}
