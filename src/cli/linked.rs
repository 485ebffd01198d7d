//! Hands a command line to `snapward-libvirt`, the program beside this one that is linked with libvirt.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::Context;
use super::args::Verb;
use super::error::CliError;
use super::exit::Exit;

/// The program's file name.
const PROGRAM: &str = "snapward-libvirt";

/// Becomes `snapward-libvirt`: same process, same terminal, same signals. Returns only where that fails.
pub(super) fn hand_over(_: &Verb, _: &Context, args: &[OsString]) -> Result<Exit, CliError> {
    let here =
        env::current_exe().map_err(|error| CliError::failed(format!("snapward does not find itself: {error}")))?;
    let program = here.with_file_name(PROGRAM);
    let mut command = Command::new(&program);
    if let Some((name, rest)) = args.split_first() {
        command.arg0(name).args(rest);
    }
    let error = command.exec();
    let text = format!("{} cannot be started ({error}); nothing was done", program.display());
    Err(CliError::failed(text)
        .hint("snapward is two programs in one directory; install both, and libvirt's client library"))
}
