//! The `snapward` command.

fn main() {}
