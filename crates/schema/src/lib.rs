//! Types of the built-in kinds: strict decoding, Go's JSON form, JSON and protobuf codecs.
//!
//! Invariants: no I/O, no clock; no kind is named (special *types* such as Quantity are). Decoding never
//! panics, whatever the bytes; every recursion is bounded by [`DEPTH_MAX`].

mod conform;
mod error;
mod fields;
pub mod fuzz;
pub mod json;
mod normalize;
pub mod protobuf;
mod special;
pub mod types;
mod zero;

pub use conform::conform;
pub use error::{DecodeError, DecodeErrorKind};
pub use json::{Decoded, Unknown, decode_json, decode_value, encode_json};
pub use normalize::{is_normal, normalize, shown_form, stored_form};
pub use protobuf::{decode_message, decode_protobuf, encode_message, encode_protobuf};
pub use types::{Field, ListType, Shape, Struct, Type, TypeId, Types};

/// How deep typed values may nest: structs, lists and maps, each counted. Only JSON schemas in CRDs have no
/// bound of their own. Free-form JSON inside is bounded by the JSON parser.
pub const DEPTH_MAX: usize = 400;
