//! JSON of typed objects: what Go's decoder and encoder do with the structs.

mod cursor;
mod decode;
mod encode;
mod special;
mod strict;

#[cfg(test)]
mod tests;

pub(crate) use decode::go_float;
pub use decode::{Decoded, Unknown, decode_json, decode_value};
pub(crate) use encode::fill;
pub use encode::{JsonSplice, encode_json, encode_json_spliced, encode_untyped_spliced, splice_json};
