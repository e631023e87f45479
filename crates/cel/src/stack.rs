//! Room for recursion.
//!
//! Expressions nest 250 deep in each of several ways and data as deep as its decoder lets it; threads of a
//! server have small stacks. Everything here that recurses with an expression or with data does so through
//! [`deep`].

/// Less than this left (bytes), and the stack is continued elsewhere.
const LEFT_MIN: usize = 128 * 1024;
/// How much is added then (bytes).
const ADDED: usize = 4 * 1024 * 1024;

/// Calls `f` with enough stack.
#[inline]
pub(crate) fn deep<R>(f: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(LEFT_MIN, ADDED, f)
}
