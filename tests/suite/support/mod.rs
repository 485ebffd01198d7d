//! What the integration tests share.

pub(crate) mod embed;
pub(crate) mod guest;
pub(crate) mod tools;
