//! From YAML texts to the desired state: gate, decode, validate. Pure; reading the files is `cli::sources`.

mod diagnostic;
mod gate;
mod render;
mod source;
mod tree;

pub use diagnostic::{Code, Diagnostic, Related, Severity, Validation, ValidationSummary};
pub use gate::{MAX_FILE_BYTES, too_large};
pub use render::{SHOWN_PER_FILE, render};
pub use source::Source;
