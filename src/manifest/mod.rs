//! TODO(seam)
