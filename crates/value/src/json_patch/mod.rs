//! JSON Patch (RFC 6902), as the API server applies it: `gopkg.in/evanphx/json-patch.v4`, whose error texts
//! and departures from the RFC are kept.
//!
//! The departures: `replace` of an absent object member adds it; list indices may be negative, counted from
//! the end; what comes before a path's first slash is ignored; a member that was never there tests equal to
//! null. Tests compare numbers by their spelling.

mod apply;
mod decode;

#[cfg(test)]
mod tests;

pub use decode::{DecodeError, StrictPatch};

use crate::{Str, Value};
use std::fmt;

/// How many bytes the copies of one patch may add up to, as the API server limits them by default.
pub const COPY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// How many operations a patch may have, as the API server limits them; whoever decodes patches of clients
/// compares it with [`JsonPatch::len`].
pub const OPERATIONS_MAX: usize = 10_000;

/// A decoded patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonPatch {
    operations: Vec<Operation>,
}

impl JsonPatch {
    /// How many operations there are.
    pub const fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

/// One step. What is missing or ill-typed is an error only when the step is run.
#[derive(Clone, Debug, Default, PartialEq)]
struct Operation {
    kind: Str,
    path: Field,
    from: Field,
    value: Option<Value>,
}

/// A string member of an operation.
#[derive(Clone, Debug, Default, PartialEq)]
enum Field {
    #[default]
    Missing,
    /// It is something else, which Go calls so.
    Not(&'static str),
    Text(Str),
}

/// Why a patch does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyError {
    message: String,
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApplyError {}
