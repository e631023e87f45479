//! The JSON tree that every object on the write path is held in, its parser, writers and patches.
//!
//! Invariants:
//! - A [`Map`] is sorted by key (bytewise) and has no key twice; equality of trees is equality of
//!   documents, whatever order they were written in. Field order on the wire is the writer's business.
//! - `null` is a value; absence is absence.
//! - A [`Number`] prints as it was written.
//! - Nothing here knows of Kubernetes, and nothing here does I/O.

pub mod json;
pub mod json_patch;
pub mod jsonpath;
pub mod merge_patch;
pub mod order;
pub mod pointer;
pub mod yaml;

mod deep;
mod map;
mod number;
mod value;

pub use map::Map;
pub use number::Number;
pub use smol_str::SmolStr as Str;
pub use value::Value;
