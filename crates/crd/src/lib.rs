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
