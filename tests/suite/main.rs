//! All integration tests in one binary, which links once; nextest still runs each test in a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is how a test fails")]

mod agent;
mod agent_git;
mod agent_hosts;
mod agent_systemd;
mod asking;
mod cli;
mod differential;
mod docs;
mod embed;
mod examples;
mod exit_codes;
mod faults;
mod host;
mod host_events;
mod host_external;
mod host_text;
mod manifests;
mod monitoring;
mod other_tools;
mod parity;
mod pitfalls;
mod policies;
mod private_daemon;
mod retention;
mod scenarios;
mod schemas;
mod sources;
mod support;
mod tutorial;
