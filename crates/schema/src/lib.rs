//! Types of the built-in kinds: strict decoding, Go's JSON form, JSON and protobuf codecs.
//!
//! Invariants: no I/O, no clock; no kind is named (special *types* such as Quantity are). Decoding never
//! panics, whatever the bytes; every recursion is bounded by [`DEPTH_MAX`].

pub mod types;

pub use types::{Field, ListType, Shape, Struct, Type, TypeId, Types};
