//! What a user lives through, on the real QEMU driver: each test is one story.

mod captures;
mod crashes;
mod drift;
mod hazards;
mod ownership;
mod removal;
mod selection;
mod text;
