//! Custom resources, as far as no I/O is needed: schemas, pruning, defaults, validation, rules, and the
//! validation of definitions. The counterpart of `k8s.io/apiextensions-apiserver`.
//!
//! ```text
//! openAPIV3Schema ─▶ Schema ─▶ prune, default, metadata   (decoding)
//!                       ├────▶ Check                      (values, formats)
//!                       ├────▶ list_type                  (sets and maps)
//!                       └────▶ Rules                      (x-kubernetes-validations)
//! definition ─▶ definition::{default, prepare_*, validate_*, warn_*}
//! ```
//!
//! Invariants: no I/O, no clock; texts equal upstream's; every walk is bounded by the depth of a schema that
//! the typed decoder has read, or by that of a document that the JSON parser has.

pub mod correlate;
pub mod decl;
pub mod definition;
pub mod field_path;
pub mod formats;
pub mod list_type;
pub mod metadata;
pub mod prune;
pub mod rules;
pub mod schema;
mod shown;
pub mod structural;
pub mod values;

pub use schema::{Rule, Schema};

/// Whether errors take so much room that the rest is left out: a long key above a long list would make them
/// far longer than the request.
pub(crate) fn is_full(errors: &[meta::field::Error]) -> bool {
    const TEXT_BYTES_MAX: usize = 2 << 20;
    errors.last().is_some_and(|e| e.field.len().saturating_mul(errors.len()) > TEXT_BYTES_MAX)
}
