//! `snapward snapshot info`, `xml`, `parent` and `current` beside virsh's commands.
