//! The envelope in which objects are stored and travel: `k8s\0` and a `runtime.Unknown`.

use super::encode::{varint_len, write_varint};
use super::reader::{Reader, text};
use crate::DecodeError;
use std::borrow::Cow;

/// What an object in protobuf begins with.
pub const MAGIC: [u8; 4] = *b"k8s\0";
/// What follows the message: empty content encoding and content type.
pub const ENVELOPE_TAIL: [u8; 4] = [0x1a, 0, 0x22, 0];

/// An opened envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `apiVersion`; may be empty.
    pub api_version: Cow<'a, str>,
    /// `kind`; may be empty.
    pub kind: Cow<'a, str>,
    /// The message.
    pub raw: &'a [u8],
    /// `contentType`: empty for protobuf.
    pub content_type: Cow<'a, str>,
}

/// Appends what stands before a message of `message_len` bytes.
pub fn envelope_head(api_version: &str, kind: &str, message_len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    let string_len = |s: &str| 1 + varint_len(s.len() as u64) + s.len();
    out.push(0x0a);
    write_varint((string_len(api_version) + string_len(kind)) as u64, out);
    for (tag, s) in [(0x0a, api_version), (0x12, kind)] {
        out.push(tag);
        write_varint(s.len() as u64, out);
        out.extend_from_slice(s.as_bytes());
    }
    out.push(0x12);
    write_varint(message_len as u64, out);
}

/// Appends a message in its envelope.
pub fn wrap_message(api_version: &str, kind: &str, message: &[u8], out: &mut Vec<u8>) {
    out.reserve(message.len() + api_version.len() + kind.len() + 32);
    envelope_head(api_version, kind, message.len(), out);
    out.extend_from_slice(message);
    out.extend_from_slice(&ENVELOPE_TAIL);
}

/// Opens an envelope.
///
/// # Errors
/// When the bytes are none; with upstream's text.
pub fn read_envelope(data: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    if data.is_empty() {
        return Err(DecodeError::syntax("empty data"));
    }
    let Some(body) = data.strip_prefix(&MAGIC) else {
        return Err(DecodeError::syntax(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        ));
    };
    if body.is_empty() {
        return Err(DecodeError::syntax("empty body"));
    }
    let mut envelope =
        Envelope { api_version: "".into(), kind: "".into(), raw: &[], content_type: "".into() };
    let mut reader = Reader::new(body);
    while let Some(tag) = reader.tag("Unknown")? {
        match tag.number {
            1 => read_type_meta(reader.bytes(tag, "TypeMeta")?, &mut envelope)?,
            2 => envelope.raw = reader.bytes(tag, "Raw")?,
            3 => _ = reader.bytes(tag, "ContentEncoding")?,
            4 => envelope.content_type = text(reader.bytes(tag, "ContentType")?),
            _ => reader.skip(tag)?,
        }
    }
    Ok(envelope)
}

fn read_type_meta<'a>(data: &'a [u8], envelope: &mut Envelope<'a>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(data);
    while let Some(tag) = reader.tag("TypeMeta")? {
        match tag.number {
            1 => envelope.api_version = text(reader.bytes(tag, "APIVersion")?),
            2 => envelope.kind = text(reader.bytes(tag, "Kind")?),
            _ => reader.skip(tag)?,
        }
    }
    Ok(())
}
