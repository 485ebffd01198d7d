//! From YAML texts to the desired state: gate, decode, validate. Pure; reading the files is `cli::sources`.

mod check;
mod decode;
mod diagnostic;
pub mod export;
mod gate;
pub mod kind;
mod load;
mod render;
pub mod schema;
mod shape;
mod source;
mod tree;
mod validate;
mod value;

pub use diagnostic::{Code, Diagnostic, Related, Severity, VALIDATION_FORMAT_VERSION, Validation, ValidationSummary};
pub use gate::{MAX_FILE_BYTES, too_large};
pub use load::{Loaded, load};
pub use render::{SHOWN_PER_FILE, render};
pub use source::Source;
