//! All integration tests in one binary, which links once; nextest still runs each test in a process of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, also in its helpers, which clippy.toml does not cover"
)]

mod manifests;
mod schemas;
mod sources;
