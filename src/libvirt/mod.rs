//! libvirt behind [`crate::host::Host`]: the only home of the `virt` crate and of unsafe code.

mod connect;
mod error;
mod handle;
mod host;
mod image;
mod xml;

pub use connect::{Access, connect, initialize};
