//! What goes wrong, and what becomes of it: faults of libvirt, of the machine, of other hands and of what is read.

mod crash;
mod worlds;
