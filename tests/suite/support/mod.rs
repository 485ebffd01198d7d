//! What the tests are made with: roots of the embedded driver, guests, a private libvirtd, and the programs they drive.

pub(crate) mod agent;
pub(crate) mod capabilities;
pub(crate) mod chain;
pub(crate) mod cmd;
pub(crate) mod daemon;
pub(crate) mod embed;
pub(crate) mod faulty;
pub(crate) mod fleet;
pub(crate) mod gate;
pub(crate) mod guest;
pub(crate) mod kill_at_write;
pub(crate) mod lab;
pub(crate) mod linux;
pub(crate) mod monitor;
pub(crate) mod reaper;
pub(crate) mod remote;
pub(crate) mod slow;
pub(crate) mod small_disk;
pub(crate) mod terminal;
pub(crate) mod tools;
