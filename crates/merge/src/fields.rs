//! Paths of fields, sets of paths, and their written form, FieldsV1.

mod filter;
mod path;
mod set;
pub mod v1;

pub use filter::{Filter, Pattern};
pub use path::{Path, PathElement};
pub(crate) use set::Node;
pub use set::Set;

#[cfg(test)]
mod tests;
