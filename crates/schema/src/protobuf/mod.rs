//! Protobuf of typed objects, byte for byte as the generated (gogo) code of upstream writes it.
//!
//! Rules: members in order of their numbers; scalars and messages that are no pointers are always written,
//! also when zero; pointers when set; lists and maps element by element, map entries in order of their keys;
//! nothing is packed.

mod decode;
mod encode;
mod envelope;
mod list;
mod reader;

#[cfg(test)]
mod tests;

pub use decode::{decode_message, decode_protobuf};
pub use encode::{
    MessageSplice, encode_message, encode_message_spliced, encode_protobuf, splice_message,
    spliced_message_len,
};
pub use envelope::{ENVELOPE_TAIL, Envelope, MAGIC, envelope_head, read_envelope, wrap_message};
pub use list::{LIST_TAIL, item_head, item_len, list_head};
