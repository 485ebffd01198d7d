//! libvirt behind [`crate::host::Host`]: the only home of the `virt` crate and of unsafe code.

mod connect;
mod error;
mod event_loop;
mod events;
mod handle;
mod host;
mod image;
mod pages;
mod xml;

pub use connect::{Access, connect, initialize, prepare, prepare_for};
pub use pages::give_back_text;

use crate::model::act::CaptureSpec;
use crate::model::desired::{Definition, SavedSnapshot};

/// Reads the XML of a snapshot that was found in a file, as `virsh snapshot-dumpxml` writes it. `path` is kept with it.
///
/// # Errors
/// A text, when it is not the XML of a snapshot.
pub fn read_saved_snapshot(path: &str, xml: &str) -> Result<SavedSnapshot, String> {
    let (snapshot, domain) = xml::snapshot::read_with_domain(xml).map_err(|error| error.to_string())?;
    Ok(SavedSnapshot { xml: Definition { path: path.into(), xml: xml.into() }, snapshot, domain })
}

/// Reads the XML by which a person describes a capture, as `virsh snapshot-create` takes it.
///
/// # Errors
/// A text, when it is not that, or asks for what is not supported.
pub fn read_capture(xml: &str) -> Result<CaptureSpec, String> {
    xml::request::read(xml).map_err(|error| error.to_string())
}
