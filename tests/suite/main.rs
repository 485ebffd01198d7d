//! All integration tests in one binary, which links once; nextest still runs each test in a process of its own.

mod manifests;
mod schemas;
mod sources;
