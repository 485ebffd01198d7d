//! The planner proved on the model of libvirt: random hosts, manifests, other hands and accidents; observe, plan, apply and
//! verify as they are, and what snapward promises held against what became of every snapshot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is how a test fails")]

mod bench;
mod cases;
mod hands;
mod passes;
mod promises;
mod scenes;
mod wish;

#[path = "../model/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the differential test uses the rest")]
mod model;
