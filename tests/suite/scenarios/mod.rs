//! What a user lives through, on the real QEMU driver: each test is one story.

mod captures;
mod concurrent;
mod drift;
mod ownership;
mod removal;
mod selection;
mod text;
