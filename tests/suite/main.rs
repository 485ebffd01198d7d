//! All integration tests in one binary, which links once; nextest still runs each test in a process of its own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too; clippy.toml allows it in #[test] functions alone"
)]

mod embed;
mod host;
mod host_text;
#[allow(dead_code, reason = "tests come and go; what they share stays whole")]
mod support;
