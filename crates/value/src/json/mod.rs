//! JSON: bytes to a [`Value`](crate::Value) and back, exactly as Go's `encoding/json` reads and writes.
//!
//! Reading follows `sigs.k8s.io/json` (what an API server decodes with): the same texts and offsets for
//! malformed input, the same nesting limit, invalid UTF-8 and lone surrogates repaired to U+FFFD, the last
//! of several equal keys wins. Numbers keep the spelling they had. Nothing here recurses, so neither a
//! deep document nor a deep tree overflows the stack, and every step is linear in the input.
//!
//! Writing follows `json.Encoder` with HTML escaping, which is its default; keys come in tree order.

mod duplicates;
mod error;
mod field_offsets;
mod float;
mod parse;
mod quote;
mod scan;
mod walk;
mod write;

#[cfg(test)]
mod tests;

pub use duplicates::{DUPLICATES_MAX, Duplicate, Duplicates};
pub use error::Error;
pub use field_offsets::field_offsets;
pub use parse::{DEPTH_MAX, parse, parse_with};
pub use quote::quote;
pub use write::{to_string, to_vec, write, write_number, write_pretty, write_str};

pub(crate) use float::{format_g, format_g32, write_float};
pub(crate) use parse::repair;
