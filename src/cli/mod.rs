//! TODO(seam)

pub mod sources;
