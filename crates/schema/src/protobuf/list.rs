//! Lists written piece by piece: the items are encoded already, perhaps long ago.
//!
//! All pieces in order: [`list_head`], then for every item [`item_head`] and its message, then [`LIST_TAIL`].

use super::encode::{encode_message, varint_len, write_varint};
use super::envelope::{ENVELOPE_TAIL, envelope_head};
use crate::types::Types;
use value::Value;

/// What a list ends with.
pub const LIST_TAIL: [u8; 4] = ENVELOPE_TAIL;

/// The tag of `items`.
const ITEM_TAG: u8 = 0x12;

/// Appends what stands before the items of a list in its envelope.
///
/// `list_meta` is the list's metadata in JSON form; `items_len` the sum of [`item_len`] of all items.
pub fn list_head(
    types: &Types,
    api_version: &str,
    kind: &str,
    list_meta: &Value,
    items_len: usize,
    out: &mut Vec<u8>,
) {
    let mut meta = Vec::with_capacity(64);
    if let Some(ty) = types.by_go_name("meta/v1.ListMeta") {
        encode_message(types, ty, list_meta, &mut meta);
    }
    let meta_len = 1 + varint_len(meta.len() as u64) + meta.len();
    envelope_head(api_version, kind, meta_len + items_len, out);
    out.push(0x0a);
    write_varint(meta.len() as u64, out);
    out.extend_from_slice(&meta);
}

/// How many bytes an item takes in a list: its tag, its length and its message.
pub const fn item_len(message_len: usize) -> usize {
    1 + varint_len(message_len as u64) + message_len
}

/// Appends what stands before an item's message.
pub fn item_head(message_len: usize, out: &mut Vec<u8>) {
    out.push(ITEM_TAG);
    write_varint(message_len as u64, out);
}
