//! `snapward-libvirt`: the half of `snapward` that is linked with libvirt. `snapward` runs it; people do not.

use std::process::ExitCode;

fn main() -> ExitCode {
    snapward::cli::run_linked(std::env::args_os())
}
