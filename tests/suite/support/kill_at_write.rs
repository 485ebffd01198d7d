//! Kills a process right before one of its changes of files or commands to a monitor: its own ones, and those of
//! libvirt's driver where that runs in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools::{run, text};

/// Has a process count its changes below some directories once it has called [`begin`], note each in a file, and end
/// before one.
pub(crate) fn load(command: &mut Command, at: Option<usize>, below: &[PathBuf], log: &Path) {
    let library = log.with_extension("so");
    if !library.exists() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/support/kill_at_write.c");
        run("cc", &["-shared", "-fPIC", "-O1", "-o", text(&library), source, "-ldl"]);
    }
    let below = below.iter().map(|dir| text(dir)).collect::<Vec<_>>().join(":");
    command.env("LD_PRELOAD", library).env("KILL_AT_WRITE_BELOW", below).env("KILL_AT_WRITE_LOG", log);
    if let Some(at) = at {
        command.env("KILL_AT_WRITE", at.to_string());
    }
}

/// Counting begins.
pub(crate) fn begin() {
    // The library keeps the directory from being made.
    fs::create_dir("/kill-at-write").expect("the library is loaded");
}
