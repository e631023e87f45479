//! The kinds of the core group.

pub mod pod;
mod seams;

pub use seams::*;

use crate::hooks::Hooks;

/// The hooks of a kind of the core group, by its plural name.
pub(crate) fn hooks(_plural: &str) -> Hooks {
    Hooks::NONE
}
