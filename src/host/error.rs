//! Host errors, sorted by what a caller can do about them.

use std::fmt;

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Trying again later can help: a lost connection, a busy domain, a deadline.
    Transient,
    /// The domain or snapshot is not there (any more).
    NotFound,
    /// The host refuses it in the state things are in; a person has to change that.
    Refused,
    /// The user may not do that on this connection.
    Denied,
    /// A write passed its deadline: whether it was done is not known.
    OutcomeUnknown,
    /// snapward asked for something that makes no sense, or could not read an answer.
    Bug,
}

/// A failed host call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostError {
    /// What a caller can do about it.
    pub class: ErrorClass,
    /// What was tried, as `capture snapshot golden of domain web-1`.
    pub operation: String,
    /// What the host said.
    pub message: String,
    /// libvirt's error code (`virErrorNumber`), where there is one.
    pub code: Option<i32>,
}

impl HostError {
    /// An error without a code of libvirt's.
    pub fn new(class: ErrorClass, operation: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class, operation: operation.into(), message: message.into(), code: None }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: {}", self.operation, self.message)?;
        match self.code {
            Some(code) => write!(f, " (libvirt error {code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for HostError {}
