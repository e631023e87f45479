//! The binary, in processes of its own.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod flags;
mod kills;
mod parts;
mod policies;
mod process;
mod quotas;
mod store;
mod watchers;
mod wire;
