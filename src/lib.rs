//! snapward makes the snapshots of libvirt/KVM domains match what YAML manifests declare.
//!
//! Data flows one way: manifests become a desired state, libvirt an observed state, both together a plan, and the plan
//! is applied. ARCHITECTURE.md has the map.

pub mod agent;
pub mod apply;
pub mod cli;
pub mod host;
pub mod libvirt;
pub mod manifest;
pub mod model;
pub mod observe;
mod parallel;
pub mod plan;
pub mod report;
pub mod retention;
pub mod schedule;
